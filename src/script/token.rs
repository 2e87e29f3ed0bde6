//! The words of a Lua 5.1 text, as far as [`super::proof`] looks at them. Texts that do not parse may give anything.

/// One word. Texts are without their quotes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Token<'a> {
    /// A name or a keyword.
    Name(&'a [u8]),
    /// A short text without any escape.
    Text(&'a [u8]),
    /// A text with escapes, a long one, or a number.
    Value,
    /// An operator or a bracket.
    Sign(&'a [u8]),
}

/// Operators of more than one character, longest first.
const LONG_SIGNS: [&[u8]; 6] = [b"...", b"..", b"==", b"~=", b"<=", b">="];

/// Splits a text into its words.
pub fn tokens(code: &[u8]) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&byte) = code.get(at) {
        let rest = &code[at..];
        match byte {
            _ if byte.is_ascii_whitespace() || byte == 11 => at += 1,
            b'-' if rest.starts_with(b"--") => {
                at += match long_bracket(&rest[2..]) {
                    Some(end) => 2 + end,
                    None => memchr::memchr(b'\n', rest).unwrap_or(rest.len()),
                };
            }
            b'[' if long_bracket(rest).is_some() => {
                at += long_bracket(rest).unwrap_or(1);
                tokens.push(Token::Value);
            }
            b'"' | b'\'' => {
                let end = text_end(rest);
                let inside = &rest[1..end.max(2) - 1];
                tokens.push(if inside.contains(&b'\\') { Token::Value } else { Token::Text(inside) });
                at += end;
            }
            _ if byte.is_ascii_digit() || byte == b'.' && rest.get(1).is_some_and(u8::is_ascii_digit) => {
                let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_');
                at += rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len());
                tokens.push(Token::Value);
            }
            _ if byte.is_ascii_alphabetic() || byte == b'_' || byte >= 128 => {
                let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 128;
                let len = rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len());
                tokens.push(Token::Name(&rest[..len]));
                at += len;
            }
            _ => {
                let len = LONG_SIGNS.iter().find(|sign| rest.starts_with(sign)).map_or(1, |sign| sign.len());
                tokens.push(Token::Sign(&rest[..len]));
                at += len;
            }
        }
    }
    tokens
}

/// Where a long bracket ends that begins here.
fn long_bracket(rest: &[u8]) -> Option<usize> {
    let inner = rest.strip_prefix(b"[")?;
    let level = inner.iter().take_while(|byte| **byte == b'=').count();
    if inner.get(level) != Some(&b'[') {
        return None;
    }
    let close = [b"]".as_slice(), &b"=".repeat(level), b"]"].concat();
    let found = memchr::memmem::find(&inner[level + 1..], &close);
    Some(found.map_or(rest.len(), |found| 1 + level + 1 + found + close.len()))
}

/// Where a short text ends that begins here, behind its quote.
fn text_end(rest: &[u8]) -> usize {
    let quote = rest[0];
    let mut at = 1;
    while let Some(&byte) = rest.get(at) {
        at += if byte == b'\\' { 2 } else { 1 };
        if byte == quote {
            break;
        }
    }
    at.min(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_script() {
        let code = br#"local a=KEYS[1]--x
            --[==[ long ]] ]==] b = 'x\'y' .. "z" .. [[l]] ~= 0x1F"#;
        let name = |name: &'static str| Token::Name(name.as_bytes());
        let sign = |sign: &'static str| Token::Sign(sign.as_bytes());
        assert_eq!(
            tokens(code),
            [
                name("local"),
                name("a"),
                sign("="),
                name("KEYS"),
                sign("["),
                Token::Value,
                sign("]"),
                name("b"),
                sign("="),
                Token::Value,
                sign(".."),
                Token::Text(b"z"),
                sign(".."),
                Token::Value,
                sign("~="),
                Token::Value,
            ]
        );
    }

    #[test]
    fn texts_without_an_end() {
        for code in ["'", "\"abc", "'\\", "[[", "--[[", "[==", "-", "["] {
            tokens(code.as_bytes());
        }
    }
}
