//! The options with which SET and GETEX set a deadline: EX, PX, EXAT, PXAT.

use crate::command::args::Args;
use crate::command::errors::Error;
use crate::command::spec::Arg;
use crate::types::number;
use std::borrow::Cow;

/// How a point in time is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimeForm {
    /// EX: seconds from now.
    Ex,
    /// PX: milliseconds from now.
    Px,
    /// EXAT: Unix seconds.
    ExAt,
    /// PXAT: Unix milliseconds.
    PxAt,
}

/// A deadline as the client gave it: looked at only when all options have turned out to be well-formed.
#[derive(Clone, Copy, Debug)]
pub struct Time<'a> {
    pub form: TimeForm,
    pub text: &'a [u8],
}

const TOKENS: [(&str, TimeForm); 4] =
    [("EX", TimeForm::Ex), ("PX", TimeForm::Px), ("EXAT", TimeForm::ExAt), ("PXAT", TimeForm::PxAt)];

impl<'a> Time<'a> {
    /// Consumes one of the four options with its number, if it is next.
    ///
    /// # Errors
    /// A syntax error if the number is missing, or if `before` (the options seen so far) has another form.
    /// The same form again replaces the earlier one, as in Redis.
    pub fn parse(args: &mut Args<'a>, before: Option<Time<'a>>) -> Result<Option<Time<'a>>, Error> {
        let Some((_, form)) = TOKENS.into_iter().find(|(token, _)| args.skip_word(token)) else {
            return Ok(None);
        };
        if before.is_some_and(|before| before.form != form) {
            return Err(Error::Syntax);
        }
        Ok(Some(Time { form, text: args.take()? }))
    }

    /// The deadline in Unix milliseconds.
    ///
    /// # Errors
    /// Not an integer, not positive, or beyond what 64 bits of milliseconds can say.
    pub fn deadline_ms(self, now_ms: i64, command: &'static str) -> Result<i64, Error> {
        let n = number::parse_i64(self.text).ok_or(Error::NotInteger)?;
        let ms = match self.form {
            TimeForm::Ex | TimeForm::ExAt => n.checked_mul(1000),
            TimeForm::Px | TimeForm::PxAt => Some(n),
        };
        let relative = matches!(self.form, TimeForm::Ex | TimeForm::Px);
        ms.filter(|ms| *ms > 0)
            .and_then(|ms| ms.checked_add(if relative { now_ms } else { 0 }))
            .ok_or(Error::InvalidExpire(Cow::Borrowed(command)))
    }
}

/// The four options as COMMAND DOCS shows them for SET, with the versions that brought them.
pub const SECONDS: Arg = Arg::integer("seconds").token("EX");
pub const MILLISECONDS: Arg = Arg::integer("milliseconds").token("PX");
pub const UNIX_SECONDS: Arg = Arg::unix_time("unix-time-seconds").token("EXAT");
pub const UNIX_MILLISECONDS: Arg = Arg::unix_time("unix-time-milliseconds").token("PXAT");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_and_their_limits() {
        let at = |form, text: &'static str| Time { form, text: text.as_bytes() }.deadline_ms(1_000, "set");
        let invalid = Err(Error::InvalidExpire("set".into()));
        assert_eq!(at(TimeForm::Ex, "5"), Ok(6_000));
        assert_eq!(at(TimeForm::Px, "5"), Ok(1_005));
        assert_eq!(at(TimeForm::ExAt, "5"), Ok(5_000));
        assert_eq!(at(TimeForm::PxAt, "5"), Ok(5));
        assert_eq!(at(TimeForm::PxAt, "9223372036854775807"), Ok(i64::MAX));
        assert_eq!(at(TimeForm::ExAt, "9223372036854775"), Ok(9_223_372_036_854_775_000));
        assert_eq!(at(TimeForm::Px, "x"), Err(Error::NotInteger));
        for (form, text) in [
            (TimeForm::Ex, "0"),
            (TimeForm::PxAt, "-1"),
            (TimeForm::Px, "9223372036854775807"),
            (TimeForm::Ex, "9223372036854775"),
            (TimeForm::ExAt, "9223372036854776"),
        ] {
            assert_eq!(at(form, text), invalid, "{text}");
        }
    }
}
