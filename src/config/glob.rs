//! MERGE: stands in for `crate::types::glob`, which has the same `matches`; delete this file then.
//!
//! Redis's patterns: `*`, `?`, `[a-c]`, `[^a]`, and `\` before a byte that stands for itself.

/// Whether all of `text` matches the pattern.
pub(super) fn matches(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
    let fold = |byte: u8| if nocase { byte.to_ascii_lowercase() } else { byte };
    let (mut at, mut pos) = (0, 0);
    // Where to go on after the last `*` once it has taken one byte more.
    let mut star: Option<(usize, usize)> = None;
    loop {
        let step = match (pattern.get(at), text.get(pos)) {
            (None, None) => return true,
            (Some(b'*'), _) => {
                star = Some((at + 1, pos));
                at += 1;
                continue;
            }
            (Some(b'?'), Some(_)) => Some(at + 1),
            (Some(b'['), Some(byte)) => {
                class(&pattern[at + 1..], fold(*byte), fold).map(|length| at + 1 + length)
            }
            (Some(b'\\'), Some(byte)) if at + 1 < pattern.len() => {
                (fold(pattern[at + 1]) == fold(*byte)).then_some(at + 2)
            }
            (Some(want), Some(byte)) => (fold(*want) == fold(*byte)).then_some(at + 1),
            (_, None) | (None, _) => None,
        };
        match (step, star) {
            (Some(next), _) => (at, pos) = (next, pos + 1),
            (None, Some((after, taken))) if taken < text.len() => {
                star = Some((after, taken + 1));
                (at, pos) = (after, taken + 1);
            }
            (None, _) => return false,
        }
    }
}

/// Matches a byte with a class that starts behind its `[`. Gives the length of the class if it does.
fn class(pattern: &[u8], byte: u8, fold: impl Fn(u8) -> u8) -> Option<usize> {
    let negated = pattern.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    while at < pattern.len() && pattern[at] != b']' {
        if pattern[at] == b'\\' && at + 1 < pattern.len() {
            at += 1;
            found |= fold(pattern[at]) == byte;
        } else if at + 2 < pattern.len() && pattern[at + 1] == b'-' {
            let (from, to) = (fold(pattern[at]), fold(pattern[at + 2]));
            found |= (from.min(to)..=from.max(to)).contains(&byte);
            at += 2;
        } else {
            found |= fold(pattern[at]) == byte;
        }
        at += 1;
    }
    (found != negated).then_some((at + 1).min(pattern.len()))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        for (pattern, text, want) in [
            ("*", "", true),
            ("max*", "maxmemory", true),
            ("MAX*y", "maxmemory-policy", true),
            ("*max*p*", "maxmemory-policy", true),
            ("?ind", "bind", true),
            ("[a-c]ind", "bind", true),
            ("[^a-c]ind", "bind", false),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("", "a", false),
            ("a[", "a", false),
            ("**a", "b", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes(), true), want, "{pattern} {text}");
        }
    }
}
