//! Splits an inline request into words with Redis's quoting rules.
//!
//! Words are separated by white space (a vertical tab or form feed counts as such only before a word). Double
//! quotes allow `\n`, `\r`, `\t`, `\b`, `\a`, `\xHH` and a backslash before any other byte; single quotes allow
//! only `\'`. A closing quote must be followed by white space or the end. The line ends at its first NUL byte.

/// The words of `line`, or `None` if quotes do not balance.
pub fn split(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let line = memchr::memchr(0, line).map_or(line, |end| &line[..end]);
    let mut words = Vec::new();
    let mut at = 0;
    loop {
        while line.get(at).is_some_and(|b| is_space(*b)) {
            at += 1;
        }
        if at == line.len() {
            return Some(words);
        }
        let mut word = Vec::new();
        at = read_word(line, at, &mut word)?;
        words.push(word);
    }
}

/// C's isspace in the default locale.
fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

fn read_word(line: &[u8], mut at: usize, word: &mut Vec<u8>) -> Option<usize> {
    while let Some(&b) = line.get(at) {
        match b {
            b'"' => return read_quoted(line, at + 1, word, true),
            b'\'' => return read_quoted(line, at + 1, word, false),
            // Unlike between words, vertical tab and form feed do not end one.
            b' ' | b'\t' | b'\n' | b'\r' => break,
            _ => word.push(b),
        }
        at += 1;
    }
    Some(at)
}

fn read_quoted(line: &[u8], mut at: usize, word: &mut Vec<u8>, double: bool) -> Option<usize> {
    let quote = if double { b'"' } else { b'\'' };
    loop {
        let rest = line.get(at..).filter(|rest| !rest.is_empty())?;
        match rest {
            [b'\\', b'x', hi, lo, ..] if double && hi.is_ascii_hexdigit() && lo.is_ascii_hexdigit() => {
                let digit = |b: &u8| (*b as char).to_digit(16).unwrap_or(0) as u8;
                word.push(digit(hi) << 4 | digit(lo));
                at += 4;
            }
            [b'\\', escaped, ..] if double => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => *other,
                });
                at += 2;
            }
            [b'\\', b'\'', ..] if !double => {
                word.push(b'\'');
                at += 2;
            }
            [b, after @ ..] if *b == quote => {
                return match after.first() {
                    Some(next) if !is_space(*next) => None,
                    _ => Some(at + 1),
                };
            }
            [b, ..] => {
                word.push(*b);
                at += 1;
            }
            [] => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    fn words(line: &str) -> Option<Vec<String>> {
        split(line.as_bytes()).map(|w| w.into_iter().map(|w| String::from_utf8(w).unwrap()).collect())
    }

    #[test]
    fn quoting() {
        assert_eq!(words("").unwrap(), Vec::<String>::new());
        assert_eq!(words("  set  a\tb \r").unwrap(), ["set", "a", "b"]);
        assert_eq!(words(r#"set "a b" 'c d'"#).unwrap(), ["set", "a b", "c d"]);
        assert_eq!(words(r#""\x41\n\q" '\'\n'"#).unwrap(), ["A\nq", "'\\n"]);
        assert_eq!(words(r#"a"b c""#).unwrap(), ["ab c"]);
        assert_eq!(words(r#""a"b"#), None);
        assert_eq!(words(r#""a"#), None);
        assert_eq!(words("'a"), None);
        assert_eq!(words(r#""\"#), None);
        assert_eq!(words("a\0b").unwrap(), ["a"]);
        assert_eq!(words("\"\\\0\""), None);
        assert_eq!(words(r#""""#).unwrap(), [""]);
    }
}
