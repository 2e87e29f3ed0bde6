//! Floats with a 64-bit significand, as `INCRBYFLOAT` and `HINCRBYFLOAT` calculate.
//!
//! Redis adds in C's `long double`, which on x86 is the 80-bit extended format of the x87: 64 bits of
//! significand and 15 of exponent. Its sums show in replies and in stored values, so they are part of the
//! contract (`3.0e3 + 200` is `3200`, `0.1 + 0.2` is `0.3`, which doubles would not give). Rust has no such
//! type; this module does what is needed, reading, adding, scaling and printing, each rounded correctly to
//! nearest, ties to even, on every machine alike.
//!
//! Numbers of everyday length never leave 128-bit integers; long ones take a detour through big integers, whose
//! size is bounded because text of [`MAX_TEXT_LEN`] bytes or more is refused.

use num_bigint::BigUint;

use super::binary::{parse_exponent, parse_hex_float, shift_right_round};
use super::number::check_decimal;

/// Text of this many bytes or more is not read as a number, whatever it says. Redis's limit.
pub const MAX_TEXT_LEN: usize = 5 * 1024;

/// Digits printed after the point before trailing zeros are dropped, as of C's `%.17Lf`.
const DECIMALS: u32 = 17;
const DECIMALS_UNIT: u128 = 10u128.pow(DECIMALS);

/// Largest exponent of a leading bit, and the smallest of a normal number's.
const MAX_TOP: i64 = 16383;
const MIN_TOP: i64 = -16382;

/// No finite number has its decimal point further right than this, counted from the first digit other than
/// zero; anything whose point is further left than the other rounds to zero.
const MAX_POINT: i64 = 4933;
const MIN_POINT: i64 = -4960;

/// A number, or plus or minus infinity; never "not a number".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongDouble {
    negative: bool,
    magnitude: Magnitude,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Magnitude {
    Zero,
    /// `significand * 2^exponent`. The significand's top bit is set, unless the exponent is the smallest there
    /// is; hence a greater exponent always means a greater number.
    Finite {
        exponent: i32,
        significand: u64,
    },
    Infinite,
}

impl From<i64> for LongDouble {
    /// Always exact.
    fn from(value: i64) -> Self {
        LongDouble { negative: value < 0, magnitude: round(u128::from(value.unsigned_abs()), 0) }
    }
}

impl LongDouble {
    /// Reads a number with the grammar and strictness of [`parse_f64`](super::number::parse_f64): what is not
    /// a number, too large, or too small to be told from zero gives `None`, infinity is accepted.
    pub fn parse(text: &[u8]) -> Option<LongDouble> {
        if text.len() >= MAX_TEXT_LEN {
            return None;
        }
        let (negative, unsigned) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        let magnitude = if unsigned.eq_ignore_ascii_case(b"inf") || unsigned.eq_ignore_ascii_case(b"infinity")
        {
            Magnitude::Infinite
        } else {
            let (magnitude, significant) = if matches!(unsigned, [b'0', b'x' | b'X', ..]) {
                let float = parse_hex_float(unsigned)?;
                (round(float.significand, float.exponent), float.significand != 0)
            } else {
                let significant = check_decimal(unsigned)?;
                (if significant { parse_decimal(unsigned)? } else { Magnitude::Zero }, significant)
            };
            match magnitude {
                Magnitude::Infinite => return None,
                Magnitude::Zero if significant => return None,
                _ => magnitude,
            }
        };
        Some(LongDouble { negative, magnitude })
    }

    /// The sum, or `None` if that is infinite or not a number.
    pub fn checked_add(self, other: LongDouble) -> Option<LongDouble> {
        let (a, b) = match (self.magnitude, other.magnitude) {
            (Magnitude::Infinite, _) | (_, Magnitude::Infinite) => return None,
            (Magnitude::Zero, Magnitude::Zero) => {
                return Some(LongDouble {
                    negative: self.negative && other.negative,
                    magnitude: Magnitude::Zero,
                });
            }
            (Magnitude::Zero, _) => return Some(other),
            (_, Magnitude::Zero) => return Some(self),
            (
                Magnitude::Finite { exponent: a_exponent, significand: a_significand },
                Magnitude::Finite { exponent: b_exponent, significand: b_significand },
            ) => ((a_exponent, a_significand), (b_exponent, b_significand)),
        };
        let ((large, negative), small) =
            if a >= b { ((a, self.negative), b) } else { ((b, other.negative), a) };

        // 63 spare bits below and one for the carry above: enough that a single sticky bit at the bottom
        // decides all rounding, for it is only ever needed when the smaller number is 64 places down.
        let wide = u128::from(large.1) << 63;
        let addend = u128::from(small.1) << 63;
        let (addend, inexact) = match (large.0 - small.0) as u32 {
            distance @ 0..=127 => (addend >> distance, addend & ((1 << distance) - 1) != 0),
            _ => (0, true),
        };
        let sum = if self.negative == other.negative {
            wide + addend
        } else {
            // What was cut off makes the true difference a little smaller.
            wide - addend - u128::from(inexact)
        };
        let magnitude = round(sum | u128::from(inexact), i64::from(large.0) - 63);
        match magnitude {
            Magnitude::Infinite => None,
            Magnitude::Zero => Some(LongDouble { negative: false, magnitude }),
            Magnitude::Finite { .. } => Some(LongDouble { negative, magnitude }),
        }
    }

    /// The product with `factor`, rounded up to a whole number. Numbers below all integers give the least; `None` if
    /// it is above them.
    pub fn scaled_ceil(self, factor: u32) -> Option<i64> {
        let magnitude = match self.magnitude {
            Magnitude::Finite { exponent, significand } => {
                round(u128::from(significand) * u128::from(factor), exponent.into())
            }
            other => other,
        };
        let (exponent, significand) = match magnitude {
            Magnitude::Zero => return Some(0),
            Magnitude::Infinite => return self.negative.then_some(i64::MIN),
            Magnitude::Finite { exponent, significand } => (exponent, i128::from(significand)),
        };
        let signed = if self.negative { -significand } else { significand };
        let ceil = match exponent {
            // With its top bit set, the number is beyond 64 bits.
            1.. => return self.negative.then_some(i64::MIN),
            -126..=0 => -(-signed >> exponent.unsigned_abs()),
            _ => i128::from(!self.negative),
        };
        match i64::try_from(ceil) {
            Ok(ceil) => Some(ceil),
            Err(_) => self.negative.then_some(i64::MIN),
        }
    }

    /// Appends the number in plain notation with up to 17 decimals, without trailing zeros and with no sign
    /// on zero.
    pub fn write(self, out: &mut Vec<u8>) {
        match self.magnitude {
            Magnitude::Zero => out.push(b'0'),
            Magnitude::Infinite => out.extend_from_slice(if self.negative { b"-inf" } else { b"inf" }),
            Magnitude::Finite { exponent, significand } => {
                let start = out.len();
                if self.negative {
                    out.push(b'-');
                }
                if exponent >= 0 {
                    write_integer(out, significand, exponent as u32);
                } else if !write_fraction(out, significand, exponent.unsigned_abs()) {
                    // Too small for the decimals there are.
                    out.truncate(start);
                    out.push(b'0');
                }
            }
        }
    }
}

/// `significand * 2^exponent`; the significand's lowest bit may stand for any bits below it, provided that it has
/// at least two more than are kept.
fn round(significand: u128, exponent: i64) -> Magnitude {
    if significand == 0 {
        return Magnitude::Zero;
    }
    let lead = significand.leading_zeros();
    let top = exponent + 127 - i64::from(lead);
    if top > MAX_TOP {
        return Magnitude::Infinite;
    }
    let bits = 64 - (MIN_TOP - top).clamp(0, 66);
    let rounded = shift_right_round(significand << lead, (128 - bits) as u32);
    let exponent = (top - bits + 1) as i32;
    match u64::try_from(rounded) {
        Ok(0) => Magnitude::Zero,
        Ok(significand) => Magnitude::Finite { exponent, significand },
        Err(_) if top == MAX_TOP => Magnitude::Infinite,
        Err(_) => Magnitude::Finite { exponent: exponent + 1, significand: 1 << 63 },
    }
}

/// Reads a decimal float that is well-formed and not zero. `None` if its size alone puts it out of range.
fn parse_decimal(text: &[u8]) -> Option<Magnitude> {
    let mark = text.iter().position(|b| b.eq_ignore_ascii_case(&b'e'));
    let (number, exponent) = match mark {
        Some(at) => (&text[..at], parse_exponent(&text[at + 1..])?),
        None => (text, 0),
    };
    let point = number.iter().position(|&b| b == b'.').unwrap_or(number.len());
    let digits: Vec<u8> = number.iter().copied().filter(|&b| b != b'.').collect();
    let first = digits.iter().position(|&b| b != b'0')?;
    let last = digits.iter().rposition(|&b| b != b'0')?;
    let position = exponent + point as i64 - first as i64;
    if !(MIN_POINT..=MAX_POINT).contains(&position) {
        return None;
    }
    let digits = &digits[first..=last];
    let scale = position - digits.len() as i64;

    // 38 digits fit an u128, and dividing by less than 2^60 leaves bits enough to round.
    if digits.len() <= 38 && scale >= -18 && digits.len() as i64 + scale <= 38 {
        let value = digits.iter().fold(0u128, |value, &d| value * 10 + u128::from(d - b'0'));
        if scale >= 0 {
            return Some(round(value * 10u128.pow(scale as u32), 0));
        }
        let lead = value.leading_zeros();
        let (value, divisor) = (value << lead, 10u128.pow(scale.unsigned_abs() as u32));
        let inexact = value % divisor != 0;
        return Some(round((value / divisor) | u128::from(inexact), -i64::from(lead)));
    }

    let value = BigUint::parse_bytes(digits, 10)?;
    let power = BigUint::from(10u32).pow(scale.unsigned_abs() as u32);
    if scale >= 0 {
        return Some(round_big(value * power, 0, false));
    }
    let lead = (128 + power.bits()).saturating_sub(value.bits());
    let value = value << lead;
    let quotient = &value / &power;
    let inexact = &quotient * &power != value;
    Some(round_big(quotient, -(lead as i64), inexact))
}

fn round_big(value: BigUint, exponent: i64, inexact: bool) -> Magnitude {
    let excess = value.bits().saturating_sub(128);
    let cut_off = value.trailing_zeros().is_some_and(|zeros| zeros < excess);
    let words = (value >> excess).to_u64_digits();
    let word = |i: usize| u128::from(words.get(i).copied().unwrap_or(0));
    round((word(1) << 64) | word(0) | u128::from(inexact || cut_off), exponent + excess as i64)
}

/// Appends `significand * 2^exponent`.
fn write_integer(out: &mut Vec<u8>, significand: u64, exponent: u32) {
    if exponent <= 64 {
        out.extend_from_slice(itoa::Buffer::new().format(u128::from(significand) << exponent).as_bytes());
    } else {
        out.extend_from_slice((BigUint::from(significand) << exponent).to_string().as_bytes());
    }
}

/// Appends `significand / 2^places`, unless it rounds to zero. Returns whether it did.
fn write_fraction(out: &mut Vec<u8>, significand: u64, places: u32) -> bool {
    // 64 bits times 10^17 are 121 bits.
    let scaled = shift_right_round(u128::from(significand) * DECIMALS_UNIT, places);
    if scaled == 0 {
        return false;
    }
    write_integer(out, (scaled / DECIMALS_UNIT) as u64, 0);
    let mut fraction = (scaled % DECIMALS_UNIT) as u64;
    if fraction == 0 {
        return true;
    }
    let mut digits = [b'0'; DECIMALS as usize];
    for digit in digits.iter_mut().rev() {
        *digit += (fraction % 10) as u8;
        fraction /= 10;
    }
    let used = digits.iter().rposition(|&d| d != b'0').map_or(0, |last| last + 1);
    out.push(b'.');
    out.extend_from_slice(&digits[..used]);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Option<LongDouble> {
        LongDouble::parse(text.as_bytes())
    }

    fn show(value: LongDouble) -> String {
        let mut out = Vec::new();
        value.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn add(a: &str, b: &str) -> Option<String> {
        parse(a)?.checked_add(parse(b)?).map(show)
    }

    #[test]
    fn sums_are_those_of_the_x87() {
        for (a, b, sum) in [
            ("10.50", "0.1", "10.6"),
            ("10.6", "-5", "5.6"),
            ("5.0e3", "2.0e2", "5200"),
            ("0.1", "0.2", "0.3"),
            ("3", "1.234567890123456789", "4.23456789012345679"),
            ("1", "-1", "0"),
            ("-0", "-0", "0"),
            ("1e-18", "0", "0"),
            ("-1e-18", "0", "0"),
            ("6e-18", "0", "0.00000000000000001"),
            ("17179869184", "1.5", "17179869185.5"),
            ("9007199254740993", "0", "9007199254740993"),
            ("18446744073709551615", "1", "18446744073709551616"),
            ("18446744073709551616", "1", "18446744073709551616"),
            ("18446744073709551616", "3", "18446744073709551620"),
            ("1e20", "0.5", "100000000000000000000"),
            ("1e25", "0", "10000000000000000000000000"),
            ("1e30", "0", "1000000000000000000024696061952"),
            ("0x1p-1", "0x.8", "1"),
            ("1.7976931348623157e308", "-1.7976931348623157e308", "0"),
        ] {
            assert_eq!(add(a, b).as_deref(), Some(sum), "{a} + {b}");
            assert_eq!(add(b, a).as_deref(), Some(sum), "{b} + {a}");
        }
    }

    #[test]
    fn results_out_of_range_are_detected() {
        assert_eq!(add("inf", "1"), None);
        assert_eq!(add("inf", "-inf"), None);
        assert_eq!(add("1.1e4932", "1.1e4932"), None);
        assert_eq!(show(parse("-infinity").unwrap()), "-inf");
        assert_eq!(add("1e4931", "0").map(|s| s.len()), Some(4932));
    }

    #[test]
    fn the_ends_of_the_range() {
        // Largest finite number, half a unit beyond it, smallest denormal, half of it.
        assert!(parse("1.18973149535723176502e4932").is_some());
        assert!(parse("0x1.fffffffffffffffep16383").is_some());
        assert!(parse("0x1.ffffffffffffffffp16383").is_none());
        assert!(parse("1.1897314953572317652e4932").is_none());
        assert!(parse("0x1p-16445").is_some());
        assert!(parse("0x1p-16446").is_none());
        assert!(parse("0x1.00000001p-16446").is_some());
        assert!(parse("3.6451995318824746025e-4951").is_some());
        assert!(parse("1.8e-4951").is_none());
        assert!(parse("0e-99999999999999999999").is_some());
        assert!(parse(&"1".repeat(MAX_TEXT_LEN)).is_none());
        assert!(parse(&format!("0.{}1", "0".repeat(4000))).is_some());
    }

    #[test]
    fn not_numbers() {
        for text in ["", "-", ".", " 1", "1 ", "nan", "-nan", "1e", "0x", "1,5", "1e5e5", "infinit", "1\0"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_two_ways_to_read_decimals_agree() {
        // The same number, short and padded with zeros and an exponent so that it takes the long way.
        for text in ["1.1", "123456789.987654321", "0.000000000000000001", "98765432109876543210.5"] {
            let (whole, fraction) = text.split_once('.').unwrap();
            let long = format!("{whole}{fraction}{}1e-{}", "0".repeat(60), fraction.len() + 61);
            assert_eq!(parse(&long), parse(text), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn integers_are_exact(a: i64, b: i64) {
            let sum = LongDouble::from(a).checked_add(LongDouble::from(b)).unwrap();
            let exact = i128::from(a) + i128::from(b);
            prop_assert_eq!(show(sum), exact.to_string());
            prop_assert_eq!(parse(&a.to_string()), Some(LongDouble::from(a)));
        }

        #[test]
        fn cents_add_up(a in -800i64..800, b in -800i64..800) {
            // Two digits before the point and 17 after it are what 64 bits hold; greater numbers show noise,
            // here as in Redis.
            let cents = |n: i64| format!("{}{}.{:02}", if n < 0 { "-" } else { "" }, n.abs() / 100, n.abs() % 100);
            let paper = cents(a + b);
            let paper = paper.trim_end_matches('0').trim_end_matches('.');
            let paper = if paper == "-0" { "0" } else { paper };
            prop_assert_eq!(add(&cents(a), &cents(b)).unwrap(), paper);
        }

        #[test]
        fn adding_commutes_and_undoes(a in "-?[0-9]{1,25}(\\.[0-9]{1,25})?(e-?[0-9]{1,3})?", b in "-?[0-9]{1,18}") {
            let (x, y) = (parse(&a).unwrap(), parse(&b).unwrap());
            prop_assert_eq!(x.checked_add(y), y.checked_add(x));
            prop_assert_eq!(x.checked_add(parse("0").unwrap()).map(show), Some(show(x)));
        }

        #[test]
        fn any_bytes_are_safe(text: Vec<u8>) {
            if let Some(value) = LongDouble::parse(&text) {
                value.write(&mut Vec::new());
            }
        }
    }
}
