//! The ID of an entry: a time in milliseconds and a number within it, written `ms-seq`.

use std::fmt;
use std::ops::Deref;

/// The longest text that is read as an ID, as in Redis.
const MAX_TEXT_BYTES: usize = 127;

/// The longest ID that is written: two numbers of 20 digits and the dash.
const MAX_WRITTEN_BYTES: usize = 41;

/// The ID of an entry. IDs are ordered by time, then by number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Id {
    /// Unix time in milliseconds, or whatever the client counts by.
    pub ms: u64,
    /// The number among the entries of the same time.
    pub seq: u64,
}

/// How the ID of a new entry is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Numbering {
    /// By the clock, and always above the last one.
    Clock,
    /// With this time and the next free number.
    At(u64),
    /// Exactly this.
    Given(Id),
}

impl Id {
    pub const MIN: Id = Id::new(0, 0);
    pub const MAX: Id = Id::new(u64::MAX, u64::MAX);

    pub const fn new(ms: u64, seq: u64) -> Id {
        Id { ms, seq }
    }

    /// The ID right above; `None` above the last one.
    pub fn next(self) -> Option<Id> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(Id { seq, ..self }),
            None => self.ms.checked_add(1).map(|ms| Id::new(ms, 0)),
        }
    }

    /// The ID right below; `None` below the first one.
    pub fn previous(self) -> Option<Id> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(Id { seq, ..self }),
            None => self.ms.checked_sub(1).map(|ms| Id::new(ms, u64::MAX)),
        }
    }

    /// Reads `ms-seq`, or `ms` alone, which gets `missing_seq`.
    pub fn parse(text: &[u8], missing_seq: u64) -> Option<Id> {
        match parse(text)? {
            (ms, Sequence::Given(seq)) => Some(Id::new(ms, seq)),
            (ms, Sequence::Missing) => Some(Id::new(ms, missing_seq)),
            (_, Sequence::Any) => None,
        }
    }

    /// The bytes by which IDs order as they do: both numbers, the highest byte first.
    pub fn to_bytes(self) -> [u8; 16] {
        ((self.ms as u128) << 64 | self.seq as u128).to_be_bytes()
    }

    /// The ID that these bytes are of: see [`Id::to_bytes`].
    pub fn from_bytes(bytes: [u8; 16]) -> Id {
        let both = u128::from_be_bytes(bytes);
        Id { ms: (both >> 64) as u64, seq: both as u64 }
    }

    /// `ms-seq`.
    pub fn text(self) -> IdText {
        let mut text = IdText { bytes: [0; MAX_WRITTEN_BYTES], len: 0 };
        text.push(itoa::Buffer::new().format(self.ms).as_bytes());
        text.push(b"-");
        text.push(itoa::Buffer::new().format(self.seq).as_bytes());
        text
    }
}

impl Numbering {
    /// Reads an ID whose number may be left open: `ms-*`. (`*` alone is for the caller to see.)
    pub fn parse(text: &[u8]) -> Option<Numbering> {
        Some(match parse(text)? {
            (ms, Sequence::Given(seq)) => Numbering::Given(Id::new(ms, seq)),
            (ms, Sequence::Missing) => Numbering::Given(Id::new(ms, 0)),
            (ms, Sequence::Any) => Numbering::At(ms),
        })
    }
}

enum Sequence {
    Given(u64),
    Missing,
    Any,
}

fn parse(text: &[u8]) -> Option<(u64, Sequence)> {
    if text.len() > MAX_TEXT_BYTES {
        return None;
    }
    // As a C string.
    let text = memchr::memchr(0, text).map_or(text, |end| &text[..end]);
    match memchr::memchr(b'-', text) {
        None => Some((parse_u64(text)?, Sequence::Missing)),
        Some(dash) => {
            let ms = parse_u64(&text[..dash])?;
            match &text[dash + 1..] {
                b"*" => Some((ms, Sequence::Any)),
                seq => Some((ms, Sequence::Given(parse_u64(seq)?))),
            }
        }
    }
}

/// Reads a number as Redis does: what is not the canonical form of a number goes to C's `strtoull`, which takes
/// blanks, signs and zeros in front, and wraps what is negative.
fn parse_u64(text: &[u8]) -> Option<u64> {
    let canonical = |digits: &[u8]| matches!(digits, [b'0'] | [b'1'..=b'9', ..]);
    let is_blank = |byte: &u8| matches!(byte, b' ' | 0x09..=0x0D);
    let blanks = text.iter().take_while(|byte| is_blank(byte)).count();
    let (negative, digits) = match &text[blanks..] {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let magnitude = digits.iter().try_fold(0_u64, |n, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        n.checked_mul(10)?.checked_add(digit.into())
    })?;
    if !negative {
        return Some(magnitude);
    }
    // A negative number that fits 64 bits, in canonical form, is refused; any other wraps.
    let is_plain = blanks == 0 && canonical(digits) && magnitude != 0 && magnitude <= 1 << 63;
    (!is_plain).then(|| magnitude.wrapping_neg())
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text of an ID, without an allocation.
pub struct IdText {
    bytes: [u8; MAX_WRITTEN_BYTES],
    len: u8,
}

impl IdText {
    fn push(&mut self, bytes: &[u8]) {
        let at = self.len as usize;
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len() as u8;
    }
}

impl Deref for IdText {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        for (text, expected) in [
            ("0-0", Some(Id::MIN)),
            ("5", Some(Id::new(5, 77))),
            ("5-", None),
            ("-5", None),
            ("-", None),
            ("+", None),
            ("", None),
            ("1-*", None),
            ("1-2-3", None),
            ("1526919030474-55", Some(Id::new(1_526_919_030_474, 55))),
            ("18446744073709551615-18446744073709551615", Some(Id::MAX)),
            ("18446744073709551616-0", None),
            ("007-+3", Some(Id::new(7, 3))),
            (" 1-\t2", Some(Id::new(1, 2))),
            ("1 -2", None),
            ("1--2", None),
            ("1--0", Some(Id::new(1, 0))),
            ("1--02", Some(Id::new(1, u64::MAX - 1))),
            ("1--9223372036854775809", Some(Id::new(1, (1 << 63) - 1))),
            ("1-2\0x", Some(Id::new(1, 2))),
            ("1-x", None),
        ] {
            assert_eq!(Id::parse(text.as_bytes(), 77), expected, "{text:?}");
        }
        assert_eq!(Id::parse(&[b'0'; 127], 1), Some(Id::new(0, 1)));
        assert_eq!(Id::parse(&[b'0'; 128], 1), None);
        assert_eq!(Numbering::parse(b"4-*"), Some(Numbering::At(4)));
        assert_eq!(Numbering::parse(b"4"), Some(Numbering::Given(Id::new(4, 0))));
        assert_eq!(Numbering::parse(b"4-**"), None);
        assert_eq!(&*Id::MAX.text(), b"18446744073709551615-18446744073709551615");
        assert_eq!(&*Id::new(10, 3).text(), b"10-3");
    }

    #[test]
    fn neighbours() {
        assert_eq!(Id::new(1, u64::MAX).next(), Some(Id::new(2, 0)));
        assert_eq!(Id::new(2, 0).previous(), Some(Id::new(1, u64::MAX)));
        assert_eq!((Id::MIN.previous(), Id::MAX.next()), (None, None));
        assert!(Id::new(1, 9).to_bytes() < Id::new(2, 0).to_bytes());
    }
}
