//! Splitting one configuration line into arguments, and quoting arguments back.
//!
//! The quoting rules are those that redis.conf files, inline commands and redis-cli share:
//!
//! * arguments are separated by blanks;
//! * in `"double quotes"`, `\xHH`, `\n`, `\r`, `\t`, `\b` and `\a` are escapes, and a backslash before any
//!   other byte stands for that byte;
//! * in `'single quotes'`, only `\'` is an escape;
//! * a closing quote must be followed by a blank or the end of the line;
//! * the line ends at its first NUL byte.
//!
//! A configuration file may also name environment variables: `${NAME}`, outside quotes or in double quotes,
//! is replaced by the variable's value. The value is taken as it is: blanks, quotes and `${` in it mean
//! nothing. `'${NAME}'` and `"\${NAME}"` stay as written, as does a `${` that no variable name and `}`
//! follow. A variable that is not set is an error.
//!
//! This module knows nothing of directives.

use crate::types::quoting;
use std::fmt;

/// The longest line that is accepted, before and after the expansion of variables. Long enough for any
/// list of ACL rules; short enough that a mistaken file is refused before it is taken apart.
pub const MAX_LINE_BYTES: usize = 1 << 20;

/// Looks up an environment variable.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<Vec<u8>>;

/// Why a line cannot be split into arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LexError {
    /// A quote is not closed, or something follows a closing quote directly.
    UnbalancedQuotes,
    /// `${NAME}` names a variable that is not set.
    UnsetVariable(String),
    /// The line is longer than [`MAX_LINE_BYTES`], or becomes so by expansion.
    TooLong,
}

impl fmt::Display for LexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnbalancedQuotes => f.write_str("Unbalanced quotes in configuration line"),
            Self::UnsetVariable(name) => write!(f, "environment variable '{name}' is not set"),
            Self::TooLong => write!(f, "configuration line is longer than {MAX_LINE_BYTES} bytes"),
        }
    }
}

impl std::error::Error for LexError {}

/// Splits a line into arguments, without expanding variables.
pub fn split_args(line: &[u8]) -> Result<Vec<Vec<u8>>, LexError> {
    Lexer { line: until_nul(line), at: 0, environment: None, expanded: 0 }.run()
}

/// Splits a line of a configuration file into arguments, expanding `${NAME}`.
pub fn split_args_expanding(line: &[u8], environment: Environment<'_>) -> Result<Vec<Vec<u8>>, LexError> {
    Lexer { line: until_nul(line), at: 0, environment: Some(environment), expanded: 0 }.run()
}

/// Appends `text` in double quotes, so that both splitting functions give it back unchanged.
pub fn quote_into(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for (index, &byte) in text.iter().enumerate() {
        match byte {
            b'$' if text.get(index + 1) == Some(&b'{') => out.extend_from_slice(b"\\$"),
            _ => quoting::push_byte(out, byte),
        }
    }
    out.push(b'"');
}

/// `text` in double quotes; see [`quote_into`].
pub fn quote(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    quote_into(&mut out, text);
    out
}

fn until_nul(line: &[u8]) -> &[u8] {
    memchr::memchr(0, line).map_or(line, |end| &line[..end])
}

/// C's `isspace`: what may stand before an argument and after a closing quote.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

struct Lexer<'a> {
    line: &'a [u8],
    at: usize,
    environment: Option<Environment<'a>>,
    /// Bytes that expansion has added so far.
    expanded: usize,
}

impl Lexer<'_> {
    fn run(mut self) -> Result<Vec<Vec<u8>>, LexError> {
        if self.line.len() > MAX_LINE_BYTES {
            return Err(LexError::TooLong);
        }
        let mut args = Vec::new();
        loop {
            while self.peek(0).is_some_and(is_blank) {
                self.at += 1;
            }
            if self.peek(0).is_none() {
                return Ok(args);
            }
            args.push(self.argument()?);
        }
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.line.get(self.at + ahead).copied()
    }

    /// One argument. A quote may open in its middle, but closing one ends it.
    fn argument(&mut self) -> Result<Vec<u8>, LexError> {
        let mut out = Vec::new();
        while let Some(byte) = self.peek(0) {
            match byte {
                // Vertical tab and form feed separate arguments only when they come first: so it always was.
                b' ' | b'\n' | b'\r' | b'\t' => return Ok(out),
                b'"' => {
                    self.at += 1;
                    self.double_quoted(&mut out)?;
                    return self.closed(out);
                }
                b'\'' => {
                    self.at += 1;
                    self.single_quoted(&mut out)?;
                    return self.closed(out);
                }
                b'$' if self.variable(&mut out)? => {}
                _ => {
                    out.push(byte);
                    self.at += 1;
                }
            }
        }
        Ok(out)
    }

    fn closed(&self, out: Vec<u8>) -> Result<Vec<u8>, LexError> {
        match self.peek(0) {
            Some(byte) if !is_blank(byte) => Err(LexError::UnbalancedQuotes),
            _ => Ok(out),
        }
    }

    fn double_quoted(&mut self, out: &mut Vec<u8>) -> Result<(), LexError> {
        loop {
            match (self.peek(0), self.peek(1)) {
                (None, _) => return Err(LexError::UnbalancedQuotes),
                (Some(b'"'), _) => {
                    self.at += 1;
                    return Ok(());
                }
                (Some(b'\\'), Some(escape)) => {
                    let hex = |byte: Option<u8>| byte.and_then(|b| char::from(b).to_digit(16));
                    if let (b'x', Some(high), Some(low)) = (escape, hex(self.peek(2)), hex(self.peek(3))) {
                        out.push((high * 16 + low) as u8);
                        self.at += 4;
                        continue;
                    }
                    out.push(match escape {
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        b'b' => 0x08,
                        b'a' => 0x07,
                        other => other,
                    });
                    self.at += 2;
                }
                (Some(b'$'), _) if self.variable(out)? => {}
                (Some(byte), _) => {
                    out.push(byte);
                    self.at += 1;
                }
            }
        }
    }

    fn single_quoted(&mut self, out: &mut Vec<u8>) -> Result<(), LexError> {
        loop {
            match (self.peek(0), self.peek(1)) {
                (None, _) => return Err(LexError::UnbalancedQuotes),
                (Some(b'\''), _) => {
                    self.at += 1;
                    return Ok(());
                }
                (Some(b'\\'), Some(b'\'')) => {
                    out.push(b'\'');
                    self.at += 2;
                }
                (Some(byte), _) => {
                    out.push(byte);
                    self.at += 1;
                }
            }
        }
    }

    /// Expands the variable that starts here. False, and nothing consumed, if none does.
    fn variable(&mut self, out: &mut Vec<u8>) -> Result<bool, LexError> {
        let Some(environment) = self.environment else { return Ok(false) };
        let Some(rest) = self.line[self.at..].strip_prefix(b"${") else { return Ok(false) };
        let Some(length) = memchr::memchr(b'}', rest) else { return Ok(false) };
        let name = &rest[..length];
        let is_name = name.iter().enumerate().all(|(i, b)| match b {
            b'0'..=b'9' => i > 0,
            _ => b.is_ascii_alphabetic() || *b == b'_',
        });
        let Ok(name) = std::str::from_utf8(name) else { return Ok(false) };
        if !is_name || name.is_empty() {
            return Ok(false);
        }
        let value = environment(name).ok_or_else(|| LexError::UnsetVariable(name.to_owned()))?;
        self.expanded += value.len();
        if self.line.len() + self.expanded > MAX_LINE_BYTES {
            return Err(LexError::TooLong);
        }
        out.extend_from_slice(&value);
        self.at += "${}".len() + length;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(line: &str) -> Result<Vec<String>, LexError> {
        split_args(line.as_bytes())
            .map(|args| args.into_iter().map(|a| String::from_utf8_lossy(&a).into_owned()).collect())
    }

    fn expand(line: &str) -> Result<Vec<String>, LexError> {
        let environment = |name: &str| match name {
            "PORT" => Some(b"7000".to_vec()),
            "ODD" => Some(b"a \"b' ${PORT}".to_vec()),
            "EMPTY" => Some(Vec::new()),
            _ => None,
        };
        split_args_expanding(line.as_bytes(), &environment)
            .map(|args| args.into_iter().map(|a| String::from_utf8_lossy(&a).into_owned()).collect())
    }

    #[test]
    fn splits_as_redis_does() {
        let table: &[(&str, &[&str])] = &[
            ("", &[]),
            ("   \t ", &[]),
            ("port 6379", &["port", "6379"]),
            ("  port\t6379  ", &["port", "6379"]),
            (r#"save """#, &["save", ""]),
            ("save ''", &["save", ""]),
            (r#"a "b c" 'd e'"#, &["a", "b c", "d e"]),
            (r#""\n\r\t\b\a\q\"\\""#, &["\n\r\t\u{8}\u{7}q\"\\"]),
            (r#""\x41\x4g""#, &["Ax4g"]),
            (r#"'\n\'\x'"#, &["\\n'\\x"]),
            (r#"ab"cd" ef"#, &["abcd", "ef"]),
            ("a#b # c", &["a#b", "#", "c"]),
            ("a\u{b}b \u{b}c", &["a\u{b}b", "c"]),
            ("a\0b", &["a"]),
            ("${PORT} $x $", &["${PORT}", "$x", "$"]),
        ];
        for (line, want) in table {
            assert_eq!(split(line).unwrap(), *want, "{line:?}");
        }
    }

    #[test]
    fn refuses_unbalanced_quotes() {
        for line in [r#"""#, "'", r#""a"b"#, "'a'b", r#"a "b"#, r#""a\""#, "'a\\'", "\"a\0\"", "\"\\"] {
            assert_eq!(split(line), Err(LexError::UnbalancedQuotes), "{line:?}");
        }
    }

    #[test]
    fn expands_variables() {
        let table: &[(&str, &[&str])] = &[
            ("port ${PORT}", &["port", "7000"]),
            ("port 1${PORT}2", &["port", "170002"]),
            (r#"a "${PORT}" '${PORT}' "\${PORT}""#, &["a", "7000", "${PORT}", "${PORT}"]),
            ("a ${ODD} b", &["a", "a \"b' ${PORT}", "b"]),
            ("a ${EMPTY} b", &["a", "", "b"]),
            ("${} ${1A} ${A-B} ${PORT $PORT", &["${}", "${1A}", "${A-B}", "${PORT", "$PORT"]),
        ];
        for (line, want) in table {
            assert_eq!(expand(line).unwrap(), *want, "{line:?}");
        }
        assert_eq!(expand("a ${NO_1}"), Err(LexError::UnsetVariable("NO_1".into())));
        assert_eq!(expand("a \"${NO_1}\""), Err(LexError::UnsetVariable("NO_1".into())));
    }

    #[test]
    fn bounds_lines_before_and_after_expansion() {
        assert_eq!(split_args(&vec![b'a'; MAX_LINE_BYTES + 1]), Err(LexError::TooLong));
        let big = |_: &str| Some(vec![b'x'; MAX_LINE_BYTES / 2]);
        assert_eq!(split_args_expanding(b"a ${A}${A}", &big), Err(LexError::TooLong));
        assert!(split_args_expanding(b"a ${A}", &big).is_ok());
    }

    proptest! {
        #[test]
        fn never_panics(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = split_args(&line);
            let _ = split_args_expanding(&line, &|_| Some(b"v".to_vec()));
        }

        #[test]
        fn never_panics_on_much_quoting(line in "[\"' \\\\x0${}Aab]{0,40}") {
            let _ = split_args(line.as_bytes());
            let _ = split_args_expanding(line.as_bytes(), &|_| None);
        }

        #[test]
        fn quoting_round_trips(args in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..6)) {
            let line = args.iter().map(|a| quote(a)).collect::<Vec<_>>().join(&b' ');
            prop_assert_eq!(split_args(&line).unwrap(), args.clone());
            prop_assert_eq!(split_args_expanding(&line, &|_| None).unwrap(), args);
        }
    }
}
