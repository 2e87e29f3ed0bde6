//! Numbers as the protocol writes and reads them: 64-bit integers and doubles, with exactly the strictness
//! and the digits of Redis. (The wider floats of `INCRBYFLOAT` are in [`long_double`](super::long_double).)

use super::binary::{parse_exponent, parse_hex_float, shift_right_round};
use super::grisu;

/// Longest text of an `i64`: the sign and 19 digits.
pub const MAX_I64_LEN: usize = 20;

/// Longest text [`write_f64`] makes: the sign, 17 digits and 7 zeros.
pub const MAX_F64_LEN: usize = 25;

/// Reads an integer in its one canonical form: `0`, or a digit other than zero followed by digits, with `-` in
/// front if negative. No `+`, no blanks, no leading zeros, no `-0`; so what parses also prints as it was.
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'0'] => return Some(0),
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    // 19 digits cannot overflow the u64 below.
    if digits.len() > MAX_I64_LEN - 1 || !matches!(digits.first(), Some(b'1'..=b'9')) {
        return None;
    }
    let mut magnitude = 0u64;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        magnitude = magnitude * 10 + u64::from(digit);
    }
    if negative { 0i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

/// Appends `value` in decimal.
pub fn write_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Length of `value` in decimal, with its sign: what `STRLEN` says of a number stored as an integer.
pub fn digits(value: i64) -> usize {
    let magnitude = value.unsigned_abs();
    magnitude.checked_ilog10().map_or(1, |log| log as usize + 1) + usize::from(value < 0)
}

/// Reads a double as Redis does, which is `strtod` made strict: decimal or hexadecimal notation or `inf` or
/// `infinity` in any case, all with an optional sign, and nothing before or after. Not a number, numbers too
/// large for a double, and numbers other than zero that would become zero are refused.
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    let (value, fits) = read_f64(text)?;
    fits.then_some(value)
}

/// Reads a double as C's `strtod` does, which is what Redis does with the ends of a range of scores: as
/// [`parse_f64`], but nothing at all is a zero, blanks may stand in front, a zero byte ends the text, and what
/// is too large or too small for a double becomes infinity or zero.
pub fn parse_f64_loosely(text: &[u8]) -> Option<f64> {
    let text = &text[..memchr::memchr(0, text).unwrap_or(text.len())];
    if text.is_empty() {
        return Some(0.0);
    }
    let blanks = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t'..=b'\r')).count();
    read_f64(&text[blanks..]).map(|(value, _)| value)
}

/// A double with a sign, and whether it is within the range of doubles.
fn read_f64(text: &[u8]) -> Option<(f64, bool)> {
    let (negative, unsigned) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let (magnitude, fits) =
        if unsigned.eq_ignore_ascii_case(b"inf") || unsigned.eq_ignore_ascii_case(b"infinity") {
            (f64::INFINITY, true)
        } else if matches!(unsigned, [b'0', b'x' | b'X', ..]) {
            let float = parse_hex_float(unsigned)?;
            let value = f64_from_binary(float.significand, float.exponent);
            (value, is_in_range(value, float.significand != 0))
        } else {
            let significant = check_decimal(unsigned)?;
            let value: f64 = std::str::from_utf8(unsigned).ok()?.parse().ok()?;
            (value, is_in_range(value, significant))
        };
    Some((if negative { -magnitude } else { magnitude }, fits))
}

/// Whether a decimal float's significand has a digit other than zero; `None` if it is no decimal float.
pub(super) fn check_decimal(text: &[u8]) -> Option<bool> {
    let (mut digits, mut points, mut significant) = (0usize, 0usize, false);
    for (at, &byte) in text.iter().enumerate() {
        match byte {
            b'0'..=b'9' => {
                digits += 1;
                significant |= byte != b'0';
            }
            b'.' => points += 1,
            b'e' | b'E' => {
                parse_exponent(&text[at + 1..])?;
                break;
            }
            _ => return None,
        }
    }
    (digits > 0 && points < 2).then_some(significant)
}

/// Neither overflow, nor underflow of what is `significant`.
fn is_in_range(value: f64, significant: bool) -> bool {
    value.is_finite() && (value != 0.0 || !significant)
}

/// The double nearest to `significand * 2^exponent`.
fn f64_from_binary(significand: u128, exponent: i64) -> f64 {
    if significand == 0 {
        return 0.0;
    }
    let lead = significand.leading_zeros();
    // The exponent of the leading bit says how many bits there is room for: fewer below the normal range.
    let top = exponent + 127 - i64::from(lead);
    if top > 1023 {
        return f64::INFINITY;
    }
    let bits = 53 - (-1022 - top).clamp(0, 64);
    let rounded = shift_right_round(significand << lead, (128 - bits) as u32) as u64;
    // With the biased exponent one too low the hidden bit adds the missing one, and a carry out of rounding
    // moves to the next exponent, to the first normal number or to infinity by itself.
    let biased = (top + 1022).max(0) as u64;
    f64::from_bits((biased << 52) + rounded)
}

/// Largest magnitude that is printed, and kept in small collections, by way of an integer.
const INTEGER_LIMIT: f64 = (1_u64 << 62) as f64;

/// The integer that a double is, if it is one of at most 2^62. (Of a negative zero nothing is left but the zero.)
#[inline]
pub fn exact_integer(value: f64) -> Option<i64> {
    (value.abs() <= INTEGER_LIMIT && value as i64 as f64 == value).then_some(value as i64)
}

/// Appends a double as replies show it: integers up to 2^62 with all their digits, anything else in the
/// shortest form Grisu2 finds, with an exponent where plain notation would need
/// more than seven zeros at the end or some six after the point; `inf`, `-inf`, `nan`.
pub fn write_f64(out: &mut Vec<u8>, value: f64) {
    if value.is_nan() {
        return out.extend_from_slice(b"nan");
    }
    if value.is_sign_negative() {
        out.push(b'-');
    }
    let magnitude = value.abs();
    if magnitude.is_infinite() {
        out.extend_from_slice(b"inf");
    } else if let Some(n) = exact_integer(magnitude) {
        write_i64(out, n);
    } else {
        write_shortest(out, magnitude);
    }
}

/// Appends a double as C's `printf` does with `%.17g`: 17 significant digits without zeros at the end.
pub fn write_f64_17(out: &mut Vec<u8>, value: f64) {
    if value == 0.0 || !value.is_finite() {
        return write_f64(out, value);
    }
    let text = format!("{value:.16e}");
    let (mantissa, exponent) = text.split_once('e').expect("scientific notation has an exponent");
    let exponent: i32 = exponent.parse().expect("an exponent is an integer");
    let unsigned = mantissa.trim_start_matches('-');
    let digits: Vec<u8> = unsigned.trim_end_matches('0').bytes().filter(u8::is_ascii_digit).collect();
    if value < 0.0 {
        out.push(b'-');
    }
    let (whole, fraction) = match exponent {
        0..17 => digits.split_at(digits.len().min(exponent as usize + 1)),
        -4..0 => (b"0".as_slice(), digits.as_slice()),
        _ => digits.split_at(1),
    };
    out.extend_from_slice(whole);
    if let 0..17 = exponent {
        out.resize(out.len() + (exponent as usize + 1 - whole.len()), b'0');
    }
    if !fraction.is_empty() {
        out.push(b'.');
        if let -4..0 = exponent {
            out.resize(out.len() + (-1 - exponent) as usize, b'0');
        }
        out.extend_from_slice(fraction);
    }
    if !(-4..17).contains(&exponent) {
        out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
        if exponent.abs() < 10 {
            out.push(b'0');
        }
        write_i64(out, i64::from(exponent.abs()));
    }
}

/// Lays out the digits of a finite, positive double, whose sign has been written.
fn write_shortest(out: &mut Vec<u8>, value: f64) {
    let mut buffer = [0; grisu::MAX_DIGITS];
    let (count, k) = grisu::shortest(value, &mut buffer);
    let digits = &buffer[..count];
    let exponent = k + count as i32 - 1;

    if k >= 0 && exponent < count as i32 + 7 {
        out.extend_from_slice(digits);
        out.resize(out.len() + k as usize, b'0');
    } else if k < 0 && (k > -7 || exponent.abs() < 4) {
        let integral = count as i32 + k;
        if integral > 0 {
            let (whole, fraction) = digits.split_at(integral as usize);
            out.extend_from_slice(whole);
            out.push(b'.');
            out.extend_from_slice(fraction);
        } else {
            out.extend_from_slice(b"0.");
            out.resize(out.len() + integral.unsigned_abs() as usize, b'0');
            out.extend_from_slice(digits);
        }
    } else {
        out.push(digits[0]);
        if digits.len() > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
        write_i64(out, i64::from(exponent.abs()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn show(value: f64) -> String {
        let mut out = Vec::new();
        write_f64(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn integers_have_one_form() {
        let p = |s: &str| parse_i64(s.as_bytes());
        assert_eq!(p("0"), Some(0));
        assert_eq!(p("-1"), Some(-1));
        assert_eq!(p("9223372036854775807"), Some(i64::MAX));
        assert_eq!(p("-9223372036854775808"), Some(i64::MIN));
        for bad in [
            "",
            "-",
            "+1",
            " 1",
            "1 ",
            "01",
            "-0",
            "00",
            "-01",
            "1a",
            "0x1",
            "1.0",
            "--1",
            "9223372036854775808",
            "-9223372036854775809",
            "99999999999999999999",
            "18446744073709551617",
            "100000000000000000000",
        ] {
            assert_eq!(p(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn doubles_are_read_strictly() {
        let p = |s: &str| parse_f64(s.as_bytes());
        for (text, value) in [
            ("0", 0.0),
            ("-0", -0.0),
            ("1", 1.0),
            ("+1", 1.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e3", 1000.0),
            ("1E-3", 0.001),
            ("00001.50", 1.5),
            ("inf", f64::INFINITY),
            ("+InFiNiTy", f64::INFINITY),
            ("-inf", f64::NEG_INFINITY),
            ("0x1.8p3", 12.0),
            ("0X.8", 0.5),
            ("-0x10", -16.0),
            ("0x1p-1074", 5e-324),
            ("0x1.fffffffffffff7p1023", f64::MAX),
            ("0x0p99999999999999999999", 0.0),
            ("0e999999999999", 0.0),
            ("4.9e-324", 5e-324),
            ("3e-324", 5e-324),
        ] {
            assert_eq!(p(text).map(f64::to_bits), Some(value.to_bits()), "{text:?}");
        }
        for bad in [
            "",
            ".",
            "-",
            "+",
            "e5",
            "1e",
            "1e+",
            "1 ",
            " 1",
            "\t1",
            "nan",
            "-nan",
            "NaN(1)",
            "infin",
            "1e400",
            "-1e400",
            "1e-400",
            "2e-324",
            "0x",
            "0x1p",
            "0x1p1024",
            "0x1.fffffffffffff8p1023",
            "0x1p-1075",
            "0x1p-99999999999999",
            "1_000",
            "1e5.0",
            "1.2.3",
            "+-1",
            "--1",
            "1\0",
            "١",
        ] {
            assert_eq!(p(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn doubles_print_as_in_redis() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (3.0, "3"),
            (-3.5, "-3.5"),
            (3.15, "3.15"),
            (0.1, "0.1"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e17, "100000000000000000"),
            (1e18, "1000000000000000000"),
            (4e18, "4000000000000000000"),
            (1e19, "1e+19"),
            (1.5e19, "1.5e+19"),
            (1.2345678901234567e22, "12345678901234568000000"),
            (1e20, "1e+20"),
            (1e21, "1e+21"),
            (1.7976931348623157e308, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
            (0.001, "0.001"),
            (0.000001, "0.000001"),
            (0.0000001, "1e-7"),
            (1.5e-7, "1.5e-7"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ] {
            assert_eq!(show(value), text);
        }
    }

    #[test]
    fn ends_of_ranges_are_read_loosely() {
        for (text, value) in [
            ("", Some(0.0)),
            ("\0", Some(0.0)),
            (" 1", Some(1.0)),
            ("\t\r\n-2.5", Some(-2.5)),
            ("1\0x", Some(1.0)),
            ("1e400", Some(f64::INFINITY)),
            ("-1e400", Some(f64::NEG_INFINITY)),
            ("1e-400", Some(0.0)),
            ("0x10", Some(16.0)),
            ("inf", Some(f64::INFINITY)),
            (" ", None),
            ("1 ", None),
            ("nan", None),
            ("x", None),
            ("(1", None),
        ] {
            assert_eq!(parse_f64_loosely(text.as_bytes()), value, "{text:?}");
        }
    }

    #[test]
    fn seventeen_digits() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-3.5, "-3.5"),
            (0.1, "0.10000000000000001"),
            (0.0001, "0.0001"),
            (0.00012, "0.00012"),
            (0.00001, "1.0000000000000001e-05"),
            (100.0, "100"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (123456789012345680.0, "1.2345678901234568e+17"),
            (12345678901234568.0, "12345678901234568"),
            (1.5e300, "1.5000000000000001e+300"),
            (2f64.powi(-20), "9.5367431640625e-07"),
            (5e-324, "4.9406564584124654e-324"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            let mut out = Vec::new();
            write_f64_17(&mut out, value);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn seventeen_digits_round_trip(bits: u64) {
            let value = f64::from_bits(bits);
            prop_assume!(!value.is_nan());
            let mut out = Vec::new();
            write_f64_17(&mut out, value);
            prop_assert_eq!(parse_f64(&out).map(f64::to_bits), Some(bits));
        }

        #[test]
        fn integers_round_trip(value: i64) {
            let mut out = Vec::new();
            write_i64(&mut out, value);
            prop_assert_eq!(out.len(), digits(value));
            prop_assert!(out.len() <= MAX_I64_LEN);
            prop_assert_eq!(parse_i64(&out), Some(value));
        }

        #[test]
        fn integers_agree_with_std(text in "-?[0-9]{0,21}") {
            let canonical = text.parse::<i64>().ok().filter(|v| v.to_string() == text);
            prop_assert_eq!(parse_i64(text.as_bytes()), canonical);
        }

        #[test]
        fn doubles_round_trip(bits: u64) {
            let value = f64::from_bits(bits);
            prop_assume!(!value.is_nan());
            let text = show(value);
            prop_assert!(text.len() <= MAX_F64_LEN);
            prop_assert_eq!(parse_f64(text.as_bytes()).map(f64::to_bits), Some(bits), "{}", text);
        }

        #[test]
        fn hexadecimal_doubles_are_exact(bits: u64) {
            let value = f64::from_bits(bits & !(1 << 63));
            prop_assume!(value.is_finite());
            let (fraction, biased) = (bits & ((1 << 52) - 1), (bits >> 52) as i64 & 0x7ff);
            let text = match biased {
                0 => format!("0x0.{fraction:013x}p-1022"),
                _ => format!("0x1.{fraction:013x}p{}", biased - 1023),
            };
            prop_assert_eq!(parse_f64(text.as_bytes()), Some(value), "{}", text);
        }

        #[test]
        fn any_bytes_are_safe(text: Vec<u8>) {
            parse_f64(&text);
            parse_i64(&text);
        }
    }
}
