//! The library `cjson` (<https://www.kyne.com.au/~mark/software/lua-cjson-manual.html>), with the results of the
//! version that Redis ships: which tables are arrays, how numbers look, what is accepted that is not strictly
//! JSON, and the texts and places of errors.
//!
//! A crate for JSON would give other results in most of these, so both directions are written out here.

use super::lua::{Function, GLOBALS, Kind, Outcome, Raise, Stack, function, upvalue};
use crate::types::number;
use std::ffi::{CStr, c_int};

/// A number's text that `strtod` is asked about is at most this long; all that is significant of a double lies
/// within.
const MAX_NUMBER_BYTES: usize = 1100;

/// Integers of fewer digits than this are printed without a detour.
const SHORT_INTEGER: i64 = 1_000_000_000;

/// The settings that one `cjson` table has.
#[derive(Clone, Copy)]
struct Config {
    sparse_convert: i32,
    sparse_ratio: i32,
    sparse_safe: i32,
    encode_max_depth: i32,
    decode_max_depth: i32,
    encode_invalid_numbers: i32,
    decode_invalid_numbers: i32,
    encode_keep_buffer: i32,
    encode_number_precision: i32,
}

const DEFAULTS: Config = Config {
    sparse_convert: 0,
    sparse_ratio: 2,
    sparse_safe: 10,
    encode_max_depth: 1000,
    decode_max_depth: 1000,
    encode_invalid_numbers: 0,
    decode_invalid_numbers: 1,
    encode_keep_buffer: 1,
    encode_number_precision: 14,
};

const OFF_ON: [&str; 2] = ["off", "on"];
const OFF_ON_NULL: [&str; 3] = ["off", "on", "null"];

pub fn open(stack: Stack) {
    push_library(stack);
    stack.set_field(GLOBALS, "cjson");
}

/// Pushes a new `cjson` table with settings of its own.
fn push_library(stack: Stack) {
    let functions: [(&str, Function); 10] = [
        ("encode", function!(encode)),
        ("decode", function!(decode)),
        ("encode_sparse_array", function!(set_sparse_array)),
        (
            "encode_max_depth",
            function!(|stack| { set_number(stack, |config| &mut config.encode_max_depth, 1, i32::MAX) }),
        ),
        (
            "decode_max_depth",
            function!(|stack| { set_number(stack, |config| &mut config.decode_max_depth, 1, i32::MAX) }),
        ),
        (
            "encode_number_precision",
            function!(|stack| { set_number(stack, |config| &mut config.encode_number_precision, 1, 14) }),
        ),
        (
            "encode_keep_buffer",
            function!(|stack| { set_word(stack, |config| &mut config.encode_keep_buffer, &OFF_ON) }),
        ),
        (
            "encode_invalid_numbers",
            function!(|stack| { set_word(stack, |config| &mut config.encode_invalid_numbers, &OFF_ON_NULL) }),
        ),
        (
            "decode_invalid_numbers",
            function!(|stack| { set_word(stack, |config| &mut config.decode_invalid_numbers, &OFF_ON) }),
        ),
        (
            "new",
            function!(|stack| {
                push_library(stack);
                Ok(1)
            }),
        ),
    ];
    stack.new_table(0, functions.len() + 3);
    stack.push_userdata(DEFAULTS);
    for (name, function) in functions {
        stack.push_copy(-1);
        stack.push_function(function, 1);
        stack.set_field(-3, name);
    }
    stack.pop(1);
    stack.push_null_pointer();
    stack.set_field(-2, "null");
    for (name, text) in [("_NAME", "cjson"), ("_VERSION", "2.1.0")] {
        stack.push_bytes(text);
        stack.set_field(-2, name);
    }
}

fn config(stack: Stack) -> Config {
    stack.userdata(upvalue(1)).get()
}

/// At most `count` arguments; those that are missing become nil.
fn need_arguments(stack: Stack, count: c_int) -> Result<(), Raise> {
    if stack.top() > count {
        return Err(stack.arg_error(count + 1, "found too many arguments"));
    }
    stack.set_top(count);
    Ok(())
}

fn set_number(stack: Stack, setting: fn(&mut Config) -> &mut i32, least: i32, most: i32) -> Outcome {
    need_arguments(stack, 1)?;
    number_option(stack, 1, setting, least, most)?;
    Ok(1)
}

/// Changes a number by argument `arg`, if that is not nil, and pushes its value.
fn number_option(
    stack: Stack,
    arg: c_int,
    setting: fn(&mut Config) -> &mut i32,
    least: i32,
    most: i32,
) -> Result<(), Raise> {
    let mut config = config(stack);
    if stack.kind(arg) != Kind::Nil {
        let value = stack.check_integer(arg)? as i32;
        if !(least..=most).contains(&value) {
            return Err(stack.arg_error(1, format_args!("expected integer between {least} and {most}")));
        }
        *setting(&mut config) = value;
        stack.userdata(upvalue(1)).set(config);
    }
    stack.push_number(*setting(&mut config) as f64);
    Ok(())
}

fn set_word(stack: Stack, setting: fn(&mut Config) -> &mut i32, words: &[&str]) -> Outcome {
    need_arguments(stack, 1)?;
    word_option(stack, 1, setting, words)?;
    Ok(1)
}

/// Changes a setting that is one of these words (of which the first two are also false and true) by argument
/// `arg`, if that is not nil, and pushes its value.
fn word_option(
    stack: Stack,
    arg: c_int,
    setting: fn(&mut Config) -> &mut i32,
    words: &[&str],
) -> Result<(), Raise> {
    let mut config = config(stack);
    match stack.kind(arg) {
        Kind::Nil => {}
        Kind::Boolean => *setting(&mut config) = stack.to_boolean(arg) as i32,
        _ => {
            stack.check_bytes(arg)?;
            let word = stack.text(arg).unwrap_or_default();
            let Some(at) = words.iter().position(|known| known.as_bytes() == word) else {
                let word = word.escape_ascii();
                return Err(stack.arg_error(arg, format_args!("invalid option '{word}'")));
            };
            *setting(&mut config) = at as i32;
        }
    }
    stack.userdata(upvalue(1)).set(config);
    match *setting(&mut config) {
        value @ (0 | 1) => stack.push_boolean(value == 1),
        value => stack.push_bytes(words.get(value as usize).copied().unwrap_or_default()),
    }
    Ok(())
}

fn set_sparse_array(stack: Stack) -> Outcome {
    need_arguments(stack, 3)?;
    word_option(stack, 1, |config| &mut config.sparse_convert, &OFF_ON)?;
    number_option(stack, 2, |config| &mut config.sparse_ratio, 0, i32::MAX)?;
    number_option(stack, 3, |config| &mut config.sparse_safe, 0, i32::MAX)?;
    Ok(3)
}

fn encode(stack: Stack) -> Outcome {
    if stack.top() != 1 {
        return Err(stack.arg_error(1, "expected 1 argument"));
    }
    let mut encoder = Encoder { stack, config: config(stack), out: Vec::new() };
    encoder.value(0)?;
    stack.push_bytes(encoder.out);
    Ok(1)
}

struct Encoder {
    stack: Stack,
    config: Config,
    out: Vec<u8>,
}

impl Encoder {
    fn refuse(&self, index: c_int, reason: &str) -> Raise {
        let kind = self.stack.kind(index).name();
        self.stack.error(format_args!("Cannot serialise {kind}: {reason}"))
    }

    /// Appends the value on top, which stays.
    fn value(&mut self, depth: i32) -> Result<(), Raise> {
        let stack = self.stack;
        match stack.kind(-1) {
            Kind::String => write_string(&mut self.out, stack.bytes(-1).unwrap_or_default()),
            Kind::Number => self.number(-1)?,
            Kind::Boolean if stack.to_boolean(-1) => self.out.extend(b"true"),
            Kind::Boolean => self.out.extend(b"false"),
            Kind::Nil => self.out.extend(b"null"),
            Kind::LightUserdata if stack.to_userdata(-1).is_null() => self.out.extend(b"null"),
            Kind::Table => {
                let depth = depth + 1;
                if depth > self.config.encode_max_depth || !stack.has_room(6) {
                    return Err(stack.error(format_args!("Cannot serialise, excessive nesting ({depth})")));
                }
                match self.array_length()? {
                    Some(length) => self.array(depth, length)?,
                    None => self.object(depth)?,
                }
            }
            _ => return Err(self.refuse(-1, "type not supported")),
        }
        Ok(())
    }

    /// The largest index of the table on top if it is an array: not empty, with no keys but whole numbers from 1
    /// on.
    fn array_length(&self) -> Result<Option<i32>, Raise> {
        let stack = self.stack;
        let (mut largest, mut items) = (0_i32, 0_i32);
        stack.push_nil();
        while stack.next(-2) {
            let key = stack.to_number(-2);
            if stack.kind(-2) != Kind::Number || key < 1.0 || key.floor() != key {
                stack.pop(2);
                return Ok(None);
            }
            if key > largest as f64 {
                largest = key as i32;
            }
            items += 1;
            stack.pop(1);
        }
        let config = &self.config;
        if config.sparse_ratio > 0
            && largest > items.saturating_mul(config.sparse_ratio)
            && largest > config.sparse_safe
        {
            if config.sparse_convert == 0 {
                return Err(self.refuse(-1, "excessively sparse array"));
            }
            return Ok(None);
        }
        Ok((largest > 0).then_some(largest))
    }

    fn array(&mut self, depth: i32, length: i32) -> Result<(), Raise> {
        self.out.push(b'[');
        for n in 1..=length {
            if n > 1 {
                self.out.push(b',');
            }
            self.stack.raw_get_at(-1, n);
            self.value(depth)?;
            self.stack.pop(1);
        }
        self.out.push(b']');
        Ok(())
    }

    fn object(&mut self, depth: i32) -> Result<(), Raise> {
        let stack = self.stack;
        self.out.push(b'{');
        let mut is_first = true;
        stack.push_nil();
        while stack.next(-2) {
            if !std::mem::take(&mut is_first) {
                self.out.push(b',');
            }
            match stack.kind(-2) {
                Kind::Number => {
                    self.out.push(b'"');
                    self.number(-2)?;
                    self.out.push(b'"');
                }
                Kind::String => write_string(&mut self.out, stack.bytes(-2).unwrap_or_default()),
                _ => return Err(self.refuse(-2, "table key must be a number or string")),
            }
            self.out.push(b':');
            self.value(depth)?;
            stack.pop(1);
        }
        self.out.push(b'}');
        Ok(())
    }

    fn number(&mut self, index: c_int) -> Result<(), Raise> {
        let value = self.stack.to_number(index);
        if !value.is_finite() {
            match self.config.encode_invalid_numbers {
                0 => return Err(self.refuse(index, "must not be NaN or Inf")),
                1 if value.is_nan() => self.out.extend(b"nan"),
                1 if value > 0.0 => self.out.extend(b"inf"),
                1 => self.out.extend(b"-inf"),
                _ => self.out.extend(b"null"),
            }
            return Ok(());
        }
        write_general(&mut self.out, value, self.config.encode_number_precision as usize);
        Ok(())
    }
}

fn write_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    for &byte in bytes {
        let escaped = match byte {
            b'"' => b'"',
            b'\\' => b'\\',
            b'/' => b'/',
            8 => b'b',
            b'\t' => b't',
            b'\n' => b'n',
            12 => b'f',
            b'\r' => b'r',
            0..=31 | 127 => {
                out.extend(format!("\\u{byte:04x}").bytes());
                continue;
            }
            _ => {
                out.push(byte);
                continue;
            }
        };
        out.extend([b'\\', escaped]);
    }
    out.push(b'"');
}

/// Appends a finite number as C's `printf` does with `%.<precision>g`.
fn write_general(out: &mut Vec<u8>, value: f64, precision: usize) {
    if let Some(n) = number::exact_integer(value)
        && n.abs() < SHORT_INTEGER
        && precision >= 9
        && (n != 0 || value.is_sign_positive())
    {
        return number::write_i64(out, n);
    }
    let text = format!("{:.*e}", precision - 1, value);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..precision as i32).contains(&exponent) {
        let places = (precision as i32 - 1 - exponent) as usize;
        let plain = format!("{value:.places$}");
        let plain = if places > 0 { plain.trim_end_matches('0').trim_end_matches('.') } else { &plain };
        out.extend(plain.bytes());
        return;
    }
    let mantissa =
        if mantissa.contains('.') { mantissa.trim_end_matches('0').trim_end_matches('.') } else { mantissa };
    let sign = if exponent < 0 { '-' } else { '+' };
    out.extend(format!("{mantissa}e{sign}{:02}", exponent.abs()).bytes());
}

fn decode(stack: Stack) -> Outcome {
    if stack.top() != 1 {
        return Err(stack.arg_error(1, "expected 1 argument"));
    }
    let text = stack.check_bytes(1)?;
    if text.len() >= 2 && (text[0] == 0 || text[1] == 0) {
        return Err(stack.error("JSON parser does not support UTF-16 or UTF-32"));
    }
    let mut decoder =
        Decoder { stack, config: config(stack), text, at: 0, depth: 0, string: Vec::new(), token_at: 0 };
    let token = decoder.token();
    decoder.value(token)?;
    match decoder.token() {
        Token::End => Ok(1),
        token => Err(decoder.expected("the end", token)),
    }
}

/// One token; a string's bytes are in [`Decoder::string`].
#[derive(Clone, Copy)]
enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    String,
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    Bad(&'static str),
}

impl Token {
    /// As error messages name it.
    fn name(self) -> &'static str {
        match self {
            Token::ObjectBegin => "T_OBJ_BEGIN",
            Token::ObjectEnd => "T_OBJ_END",
            Token::ArrayBegin => "T_ARR_BEGIN",
            Token::ArrayEnd => "T_ARR_END",
            Token::String => "T_STRING",
            Token::Number(_) => "T_NUMBER",
            Token::Boolean(_) => "T_BOOLEAN",
            Token::Null => "T_NULL",
            Token::Colon => "T_COLON",
            Token::Comma => "T_COMMA",
            Token::End => "T_END",
            Token::Bad(reason) => reason,
        }
    }
}

struct Decoder<'a> {
    stack: Stack,
    config: Config,
    text: &'a [u8],
    at: usize,
    depth: i32,
    string: Vec<u8>,
    /// Where the last token began, or was found to be bad.
    token_at: usize,
}

impl Decoder<'_> {
    /// The byte so far ahead; 0 behind the end, as in C.
    fn byte(&self, ahead: usize) -> u8 {
        self.text.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn starts_with(&self, word: &[u8]) -> bool {
        self.text[self.at.min(self.text.len())..].starts_with(word)
    }

    fn bad(&mut self, reason: &'static str) -> Token {
        self.token_at = self.at;
        Token::Bad(reason)
    }

    fn token(&mut self) -> Token {
        while matches!(self.byte(0), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        self.token_at = self.at;
        let one = match self.byte(0) {
            b'{' => Token::ObjectBegin,
            b'}' => Token::ObjectEnd,
            b'[' => Token::ArrayBegin,
            b']' => Token::ArrayEnd,
            b',' => Token::Comma,
            b':' => Token::Colon,
            0 => return Token::End,
            b'"' => return self.string_token(),
            b'-' | b'0'..=b'9' => {
                if self.config.decode_invalid_numbers == 0 && self.is_invalid_number() {
                    return self.bad("invalid number");
                }
                return self.number_token();
            }
            b'f' | b'i' | b'I' | b'n' | b'N' | b't' | b'+' => return self.word_token(),
            _ => return self.bad("invalid token"),
        };
        self.at += 1;
        one
    }

    fn word_token(&mut self) -> Token {
        let words: [(&[u8], Token); 3] =
            [(b"true", Token::Boolean(true)), (b"false", Token::Boolean(false)), (b"null", Token::Null)];
        for (word, token) in words {
            if self.starts_with(word) {
                self.at += word.len();
                return token;
            }
        }
        if self.config.decode_invalid_numbers != 0 && self.is_invalid_number() {
            return self.number_token();
        }
        self.bad("invalid token")
    }

    /// What `strtod` would read and JSON forbids.
    fn is_invalid_number(&self) -> bool {
        let sign = (self.byte(0) == b'-') as usize;
        match self.byte(sign) {
            b'+' => sign == 0,
            b'0' => matches!(self.byte(sign + 1), b'x' | b'X' | b'0'..=b'9'),
            first if first <= b'9' => false,
            _ => {
                let word = [self.byte(sign), self.byte(sign + 1), self.byte(sign + 2)]
                    .map(|b| b.to_ascii_lowercase());
                word == *b"inf" || word == *b"nan"
            }
        }
    }

    fn number_token(&mut self) -> Token {
        // The usual case: a short integer.
        let digits = (0..16).take_while(|ahead| self.byte(*ahead).is_ascii_digit()).count();
        if (1..16).contains(&digits) && matches!(self.byte(digits), b',' | b'}' | b']' | b' ' | b'\n' | 0) {
            let value = (0..digits).fold(0_i64, |value, ahead| value * 10 + (self.byte(ahead) - b'0') as i64);
            self.at += digits;
            return Token::Number(value as f64);
        }
        match read_number(&self.text[self.at..]) {
            Some((value, len)) => {
                self.at += len;
                Token::Number(value)
            }
            None => self.bad("invalid number"),
        }
    }

    fn string_token(&mut self) -> Token {
        self.at += 1;
        self.string.clear();
        loop {
            let byte = self.byte(0);
            let byte = match byte {
                b'"' => break,
                0 => return self.bad("unexpected end of string"),
                b'\\' => {
                    let escaped = match self.byte(1) {
                        byte @ (b'"' | b'\\' | b'/') => byte,
                        b'b' => 8,
                        b't' => b'\t',
                        b'n' => b'\n',
                        b'f' => 12,
                        b'r' => b'\r',
                        b'u' => {
                            let Some(character) = self.unicode_escape() else {
                                return self.bad("invalid unicode escape code");
                            };
                            let mut utf8 = [0; 4];
                            self.string.extend_from_slice(character.encode_utf8(&mut utf8).as_bytes());
                            continue;
                        }
                        _ => return self.bad("invalid escape code"),
                    };
                    self.at += 1;
                    escaped
                }
                byte => byte,
            };
            self.string.push(byte);
            self.at += 1;
        }
        self.at += 1;
        Token::String
    }

    /// The character of `\u` and four digits, or of two such that are a surrogate pair.
    fn unicode_escape(&mut self) -> Option<char> {
        let unit = |ahead: usize| {
            (ahead..ahead + 4).try_fold(0, |code, at| Some(code << 4 | (self.byte(at) as char).to_digit(16)?))
        };
        let first = unit(2)?;
        let (code, len) = match first {
            0xDC00..=0xDFFF => return None,
            0xD800..=0xDBFF => {
                if self.byte(6) != b'\\' || self.byte(7) != b'u' {
                    return None;
                }
                let second = unit(8).filter(|second| (0xDC00..=0xDFFF).contains(second))?;
                (((first & 0x3FF) << 10 | (second & 0x3FF)) + 0x1_0000, 12)
            }
            code => (code, 6),
        };
        let character = char::from_u32(code)?;
        self.at += len;
        Some(character)
    }

    fn expected(&self, what: &str, found: Token) -> Raise {
        self.stack.error(format_args!(
            "Expected {what} but found {} at character {}",
            found.name(),
            self.token_at + 1
        ))
    }

    /// Pushes the value that begins with this token.
    fn value(&mut self, token: Token) -> Result<(), Raise> {
        match token {
            Token::String => self.stack.push_bytes(&self.string),
            Token::Number(value) => self.stack.push_number(value),
            Token::Boolean(value) => self.stack.push_boolean(value),
            Token::Null => self.stack.push_null_pointer(),
            Token::ObjectBegin => self.object()?,
            Token::ArrayBegin => self.array()?,
            token => return Err(self.expected("value", token)),
        }
        Ok(())
    }

    fn descend(&mut self) -> Result<(), Raise> {
        self.depth += 1;
        if self.depth > self.config.decode_max_depth || !self.stack.has_room(5) {
            return Err(self.stack.error(format_args!(
                "Found too many nested data structures ({}) at character {}",
                self.depth, self.at
            )));
        }
        Ok(())
    }

    fn object(&mut self) -> Result<(), Raise> {
        self.descend()?;
        self.stack.new_table(0, 0);
        let mut token = self.token();
        if !matches!(token, Token::ObjectEnd) {
            loop {
                if !matches!(token, Token::String) {
                    return Err(self.expected("object key string", token));
                }
                self.stack.push_bytes(&self.string);
                match self.token() {
                    Token::Colon => {}
                    token => return Err(self.expected("colon", token)),
                }
                let value = self.token();
                self.value(value)?;
                self.stack.raw_set(-3);
                match self.token() {
                    Token::ObjectEnd => break,
                    Token::Comma => token = self.token(),
                    token => return Err(self.expected("comma or object end", token)),
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn array(&mut self) -> Result<(), Raise> {
        self.descend()?;
        self.stack.new_table(0, 0);
        let mut token = self.token();
        if !matches!(token, Token::ArrayEnd) {
            for n in 1.. {
                self.value(token)?;
                self.stack.raw_set_at(-2, n);
                match self.token() {
                    Token::ArrayEnd => break,
                    Token::Comma => token = self.token(),
                    token => return Err(self.expected("comma or array end", token)),
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }
}

/// What C's `strtod` reads at the beginning of `text`: hexadecimal digits, infinity and NaN included. The value
/// and its length.
fn read_number(text: &[u8]) -> Option<(f64, usize)> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    let len = text.iter().take(MAX_NUMBER_BYTES).position(|byte| !is_part(byte));
    let len = len.unwrap_or(text.len().min(MAX_NUMBER_BYTES));
    let mut copy = text[..len].to_vec();
    copy.push(0);
    let copy = CStr::from_bytes_with_nul(&copy).ok()?;
    let mut end = std::ptr::null_mut();
    // SAFETY: the text ends with a zero byte, and `end` comes to point into it.
    let (value, read) = unsafe {
        let value = libc::strtod(copy.as_ptr(), &mut end);
        (value, end.offset_from(copy.as_ptr()) as usize)
    };
    (read > 0).then_some((value, read))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_look_as_printf_shows_them() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.5, "1.5"),
            (0.1, "0.1"),
            (1.0 / 3.0, "0.33333333333333"),
            (1e14, "1e+14"),
            (123456789012345.0, "1.2345678901234e+14"),
            (99999999999999.0, "99999999999999"),
            (1e-5, "1e-05"),
            (0.0001, "0.0001"),
            (1e100, "1e+100"),
            (-2.5e-300, "-2.5e-300"),
            (999999999999999.9, "1e+15"),
        ] {
            let mut out = Vec::new();
            write_general(&mut out, value, 14);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
        let mut out = Vec::new();
        write_general(&mut out, 12345.0, 3);
        assert_eq!(out, b"1.23e+04");
    }

    #[test]
    fn numbers_are_read_as_strtod_does() {
        assert_eq!(read_number(b"12.5e1,"), Some((125.0, 6)));
        assert_eq!(read_number(b"0x10]"), Some((16.0, 4)));
        assert_eq!(read_number(b"-inf"), Some((f64::NEG_INFINITY, 4)));
        assert_eq!(read_number(b"1.2.3"), Some((1.2, 3)));
        assert_eq!(read_number(b"-"), None);
        assert_eq!(read_number(b"1e"), Some((1.0, 1)));
    }
}
