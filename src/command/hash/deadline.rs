//! What the commands on deadlines of fields have in common: times, and the list of fields.

use crate::command::args::Args;
use crate::command::errors::Error;
use crate::command::spec::Arg;
use crate::types::number;
use std::borrow::Cow;

/// The latest deadline that a field can have, Unix milliseconds (Redis's `HFE_MAX_ABS_TIME_MSEC`).
const MAX_DEADLINE_MS: i64 = (1 << 46) - 1;

/// `base_ms` plus an argument in units of `unit_ms`: Unix milliseconds.
///
/// # Errors
/// Not an integer, negative, or later than a field's deadline can be; `command` is the one to blame.
pub fn parse(text: &[u8], unit_ms: i64, base_ms: i64, command: &'static str) -> Result<i64, Error> {
    let n = number::parse_i64(text).ok_or(Error::NotInteger)?;
    if n < 0 {
        return Err(Error::FieldExpireNegative);
    }
    n.checked_mul(unit_ms)
        .filter(|ms| *ms <= MAX_DEADLINE_MS - base_ms)
        .map(|ms| ms + base_ms)
        .ok_or(Error::InvalidExpire(Cow::Borrowed(command)))
}

/// How a point in time is given: EX, PX, EXAT or PXAT.
const TOKENS: [(&str, i64, bool); 4] =
    [("EX", 1000, true), ("PX", 1, true), ("EXAT", 1000, false), ("PXAT", 1, false)];

/// One of the four options.
#[derive(Clone, Copy)]
pub struct TimeOption {
    unit_ms: i64,
    is_relative: bool,
}

impl TimeOption {
    /// Consumes the word of an option, if one is next.
    pub fn skip(args: &mut Args<'_>) -> Option<TimeOption> {
        let (_, unit_ms, is_relative) = TOKENS.into_iter().find(|(token, ..)| args.skip_word(token))?;
        Some(TimeOption { unit_ms, is_relative })
    }

    /// The deadline that the option's argument stands for: see [`parse`].
    pub fn deadline_ms(self, text: &[u8], now_ms: i64, command: &'static str) -> Result<i64, Error> {
        parse(text, self.unit_ms, if self.is_relative { now_ms } else { 0 }, command)
    }
}

/// Consumes `FIELDS numfields`, behind which as many fields have to stand as it says. Returns their number.
///
/// # Errors
/// `bad_count` if the number is none, or not positive.
pub fn fields(args: &mut Args<'_>, bad_count: Error) -> Result<usize, Error> {
    if !args.skip_word("FIELDS") {
        return Err(Error::FieldsMissing);
    }
    let count = match number::parse_i64(args.take()?) {
        Some(count @ 1..) => count as u64,
        _ => return Err(bad_count),
    };
    if count != args.left() as u64 {
        return Err(Error::FieldsMismatch);
    }
    Ok(args.left())
}

/// The list of fields as COMMAND DOCS shows it.
pub const FIELDS: Arg =
    Arg::block("fields", &[Arg::integer("numfields"), Arg::string("field").multiple()]).token("FIELDS");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_and_their_limits() {
        let invalid = Err(Error::InvalidExpire("hexpire".into()));
        for (text, unit_ms, base_ms, expected) in [
            ("5", 1000, 100, Ok(5_100)),
            ("0", 1, 7, Ok(7)),
            ("70368744177663", 1, 0, Ok(70_368_744_177_663)),
            ("70368744177664", 1, 0, invalid.clone()),
            ("70368744177663", 1, 1, invalid.clone()),
            ("70368744177", 1000, 0, Ok(70_368_744_177_000)),
            ("70368744178", 1000, 0, invalid.clone()),
            ("9223372036854775807", 1000, 0, invalid.clone()),
            ("-1", 1, 0, Err(Error::FieldExpireNegative)),
            ("9223372036854775808", 1, 0, Err(Error::NotInteger)),
        ] {
            assert_eq!(parse(text.as_bytes(), unit_ms, base_ms, "hexpire"), expected, "{text}");
        }
    }
}
