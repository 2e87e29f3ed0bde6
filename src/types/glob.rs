//! Glob patterns as `KEYS`, `SCAN MATCH`, `PSUBSCRIBE`, `CONFIG GET` and ACL rules use them.
//!
//! `?` is any one byte, `*` any run of bytes, `[ab]`, `[a-z]` and `[^a]` a class, `\x` the byte `x` itself.
//! Patterns come from clients, so every byte string is a pattern; what Redis does with malformed ones is
//! part of the contract, because patterns are stored in ACL files and compared with its behaviour:
//!
//! * A class that is not closed ends with the pattern; an empty one matches nothing, `[^` matches any byte.
//! * A range takes whatever byte follows the dash, also `]` or `\`, and is put in order if reversed. Its
//!   bounds compare as signed bytes (Redis's `char`, on the machines it mostly runs on).
//! * An escaped byte inside a class keeps its case even when the rest of the match ignores it.
//! * A lone `\` at the end stands for itself.
//! * No star matches the empty *text*: `*` against a text of no bytes is false. Callers that mean
//!   "everything" must look for the pattern `*` themselves, as Redis does.
//! * More than [`MAX_STARS`] stars (runs of stars count once) never match.
//!
//! Every token but the star takes exactly one byte, therefore only the last star passed ever needs to be
//! retried: if the tokens after it fit nowhere in the remaining text, giving an earlier star more bytes
//! leaves even less text to try. That bounds the work by pattern length times text length.

/// Stars that may be waiting for their tail to match. Redis recurses once per star and gives up here.
pub const MAX_STARS: usize = 1000;

/// Whether all of `text` matches `pattern`; with `nocase`, ASCII letters compare without regard to case.
pub fn matches(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
    let mut p = 0;
    let mut t = 0;
    let mut stars = 0;
    // Where to resume when a token fails: just after the last star, and the text position it is tried at.
    let mut retry: Option<(usize, usize)> = None;

    while t < text.len() {
        let step = match pattern.get(p) {
            None => None,
            Some(b'*') => {
                while pattern.get(p + 1) == Some(&b'*') {
                    p += 1;
                }
                p += 1;
                if p == pattern.len() {
                    return true;
                }
                stars += 1;
                if stars > MAX_STARS {
                    return false;
                }
                retry = Some((p, t));
                continue;
            }
            Some(b'?') => Some(p + 1),
            Some(b'[') => match_class(pattern, p + 1, text[t], nocase),
            Some(b'\\') if p + 1 < pattern.len() => same(pattern[p + 1], text[t], nocase).then_some(p + 2),
            Some(&literal) => same(literal, text[t], nocase).then_some(p + 1),
        };
        match (step, &mut retry) {
            (Some(next), _) => {
                p = next;
                t += 1;
            }
            (None, Some((after_star, from))) => {
                *from += 1;
                (p, t) = (*after_star, *from);
            }
            (None, None) => return false,
        }
    }
    // Should tokens be left over although the text is used up, retrying later in the text cannot help.
    // Stars at the end may match nothing, except against a text that was empty to begin with.
    if t == text.len() && !text.is_empty() {
        while pattern.get(p) == Some(&b'*') {
            p += 1;
        }
    }
    p == pattern.len() && t == text.len()
}

fn same(a: u8, b: u8, nocase: bool) -> bool {
    if nocase { a.eq_ignore_ascii_case(&b) } else { a == b }
}

/// Matches `byte` against the class whose content starts at `p`, one past the bracket.
/// Returns where the pattern goes on if it is in the class.
fn match_class(pattern: &[u8], mut p: usize, byte: u8, nocase: bool) -> Option<usize> {
    let negated = pattern.get(p) == Some(&b'^');
    if negated {
        p += 1;
    }
    let mut found = false;
    loop {
        match *pattern.get(p..).unwrap_or_default() {
            [] => break,
            [b'\\', escaped, ..] => {
                found |= escaped == byte;
                p += 2;
            }
            [b']', ..] => {
                p += 1;
                break;
            }
            [first, b'-', last, ..] => {
                found |= in_range(first, last, byte, nocase);
                p += 3;
            }
            [literal, ..] => {
                found |= same(literal, byte, nocase);
                p += 1;
            }
        }
    }
    (found != negated).then_some(p)
}

/// Bounds are put in order before their case is folded, which matters for ranges such as `[Z-a]`. Folding goes
/// through C's `tolower`, whose table (glibc's) turns signed bytes below -1 into their unsigned values.
fn in_range(first: u8, last: u8, byte: u8, nocase: bool) -> bool {
    let fold = |b: u8| match b {
        0xff => -1,
        _ if nocase => i16::from(b.to_ascii_lowercase()),
        _ => i16::from(b as i8),
    };
    let (low, high) = if first as i8 <= last as i8 { (first, last) } else { (last, first) };
    (fold(low)..=fold(high)).contains(&fold(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn m(pattern: &str, text: &str) -> bool {
        matches(pattern.as_bytes(), text.as_bytes(), false)
    }

    #[test]
    fn literals_and_wildcards() {
        assert!(m("", ""));
        assert!(!m("", "a"));
        assert!(m("hello", "hello"));
        assert!(!m("hello", "hell"));
        assert!(!m("hell", "hello"));
        assert!(m("h?llo", "hxllo"));
        assert!(m("h*llo", "heeeello"));
        assert!(m("h*llo", "hllo"));
        assert!(m("*", "x"));
        assert!(m("a**", "a"));
        assert!(m("a*b*c", "a--b--b--c"));
        assert!(!m("a*b*c", "a--c--b"));
        assert!(m("*a*", "ba"));
        assert!(matches(b"HeLLo*", b"hEllOOO", true));
        assert!(!matches(b"HeLLo*", b"hEllOOO", false));
        assert!(matches(b"\x00*\xff", b"\x00abc\xff", false));
    }

    #[test]
    fn classes() {
        assert!(m("h[ae]llo", "hallo"));
        assert!(!m("h[ae]llo", "hillo"));
        assert!(m("h[^e]llo", "hallo"));
        assert!(!m("h[^e]llo", "hello"));
        assert!(m("[a-c]", "b"));
        assert!(m("[c-a]", "b"));
        assert!(m("[\\]]", "]"));
        assert!(m("[a\\-z]", "-"));
        assert!(!m("[]", "]"));
        assert!(m("[^]", "]"));
        assert!(matches(b"[A-C]", b"b", true));
        assert!(!matches(b"[\\A]", b"a", true));
    }

    #[test]
    fn malformed_patterns_behave_as_in_redis() {
        assert!(m("[abc", "a"));
        assert!(!m("[", "["));
        assert!(m("[^", "x"));
        assert!(m("\\", "\\"));
        assert!(m("a\\", "a\\"));
        assert!(!m("*", ""));
        assert!(!m("**", ""));
        assert!(m("[a-]", "`"));
        // Signed bounds: 0xff is -1, hence the range holds 0xff and every byte up to 'a'.
        assert!(matches(b"[a-\xff]", b"\x00", false));
        assert!(!matches(b"[a-\xff]", b"z", false));
        // Reversed before folding: from 0x80 to 'Z', but 0x80 folds to above 'z'.
        assert!(matches(b"[Z-\x80]", b"A", false));
        assert!(!matches(b"[Z-\x80]", b"A", true));
    }

    #[test]
    fn too_many_stars_never_match() {
        let text = vec![b'a'; MAX_STARS + 1];
        assert!(matches(&b"*a".repeat(MAX_STARS), &text, false));
        assert!(!matches(&b"*a".repeat(MAX_STARS + 1), &text, false));
    }

    #[test]
    fn abusive_patterns_are_quick() {
        let mut pattern = b"a*".repeat(60);
        pattern.push(b'b');
        let text = vec![b'a'; 20_000];
        let start = std::time::Instant::now();
        assert!(!matches(&pattern, &text, false));
        assert!(start.elapsed().as_millis() < 500, "took {:?}", start.elapsed());
    }

    /// The obvious version: split off one token, try every text length for a star.
    fn obvious(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
        match pattern {
            [] => text.is_empty(),
            [b'*', rest @ ..] => (0..=text.len()).any(|n| obvious(rest, &text[n..], nocase)),
            [b'?', rest @ ..] => !text.is_empty() && obvious(rest, &text[1..], nocase),
            [b'[', ..] => {
                let Some((&byte, tail)) = text.split_first() else { return false };
                match_class(pattern, 1, byte, nocase)
                    .is_some_and(|next| obvious(&pattern[next..], tail, nocase))
            }
            [b'\\', literal, rest @ ..] | [literal, rest @ ..] => {
                text.first().is_some_and(|&b| same(*literal, b, nocase)) && obvious(rest, &text[1..], nocase)
            }
        }
    }

    fn patterns() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop::sample::select(b"aAbc*?[]^-\\\x00\xff".to_vec()), 0..12)
    }

    fn texts() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop::sample::select(b"aAbc-]\\^\x00\xff".to_vec()), 1..10)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]
        #[test]
        fn agrees_with_the_obvious_version(pattern in patterns(), text in texts(), nocase: bool) {
            prop_assert_eq!(matches(&pattern, &text, nocase), obvious(&pattern, &text, nocase));
        }

        #[test]
        fn any_bytes_are_a_pattern(pattern: Vec<u8>, text: Vec<u8>, nocase: bool) {
            matches(&pattern, &text, nocase);
        }
    }
}
