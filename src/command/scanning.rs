//! What SCAN and its siblings on collections have in common: the cursor and the options.

use super::args::Args;
use super::errors::Error;
use crate::types::glob;

/// Whether a name fits a pattern in the style of shells.
pub fn matches(pattern: &[u8], name: &[u8]) -> bool {
    pattern == b"*" || glob::matches(pattern, name, false)
}

/// How many elements a step looks at if it is not told.
const DEFAULT_COUNT: usize = 10;

const NOVALUES_ELSEWHERE: Error = Error::line("ERR NOVALUES option can only be used in HSCAN");

/// What is walked, which decides about the options that there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scanned {
    /// The keys of a database: TYPE.
    Keys,
    /// The fields of a hash: NOVALUES.
    Fields,
    /// The members of a set or a sorted set.
    Members,
}

/// The options of one call.
pub struct ScanOptions<'a> {
    pattern: Option<&'a [u8]>,
    pub count: usize,
    type_name: Option<&'a [u8]>,
    pub without_values: bool,
}

impl<'a> ScanOptions<'a> {
    /// Consumes all that is left.
    pub fn parse(args: &mut Args<'a>, scanned: Scanned) -> Result<ScanOptions<'a>, Error> {
        let mut options =
            ScanOptions { pattern: None, count: DEFAULT_COUNT, type_name: None, without_values: false };
        while !args.is_done() {
            if args.skip_word("COUNT") {
                options.count =
                    usize::try_from(args.next_i64()?).ok().filter(|n| *n > 0).ok_or(Error::Syntax)?;
            } else if args.skip_word("MATCH") {
                options.pattern = Some(args.take()?);
            } else if scanned == Scanned::Keys && args.skip_word("TYPE") {
                options.type_name = Some(args.take()?);
            } else if args.skip_word("NOVALUES") {
                if scanned != Scanned::Fields {
                    return Err(NOVALUES_ELSEWHERE);
                }
                options.without_values = true;
            } else {
                return Err(Error::Syntax);
            }
        }
        Ok(options)
    }

    /// Whether the pattern, if there is one, allows this name.
    pub fn accepts(&self, name: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| matches(pattern, name))
    }

    /// Whether keys of this type are asked for.
    pub fn accepts_type(&self, name: &str) -> bool {
        self.type_name.is_none_or(|wanted| wanted.eq_ignore_ascii_case(name.as_bytes()))
    }
}

/// Reads a cursor as C's `strtoul` does, which is what Redis accepts: an optional sign and decimal digits of at
/// most 64 bits. No digits at all are a 0, as long as nothing else is there either.
pub fn parse_cursor(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return Some(0);
    }
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let magnitude = digits.iter().try_fold(0_u64, |n, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit <= 9).then(|| n.checked_mul(10)?.checked_add(digit.into())).flatten()
    })?;
    Some(if negative { magnitude.wrapping_neg() } else { magnitude })
}

#[cfg(test)]
mod tests {
    use super::parse_cursor;

    #[test]
    fn cursors() {
        for (text, expected) in [
            ("0", Some(0)),
            ("", Some(0)),
            ("+12", Some(12)),
            ("007", Some(7)),
            ("-1", Some(u64::MAX)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("-", None),
            (" 1", None),
            ("1 ", None),
            ("x", None),
            ("1.5", None),
        ] {
            assert_eq!(parse_cursor(text.as_bytes()), expected, "{text:?}");
        }
    }
}
