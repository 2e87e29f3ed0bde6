//! Numbers as they are written in configuration: integers, memory sizes, octal modes, percentages.
//! Knows nothing of directives.

/// A plain decimal integer: no blanks, no `+`, no leading zeros.
pub fn parse_integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let canonical = match digits {
        [b'0'] => text.len() == 1,
        [b'1'..=b'9', ..] => true,
        _ => false,
    };
    if canonical { std::str::from_utf8(text).ok()?.parse().ok() } else { None }
}

/// An integer as C's `strtoll` reads it, with nothing behind it: leading blanks, a sign and leading zeros are
/// fine. `None` when it is not a number, and also when it does not fit.
pub fn parse_c_integer(text: &[u8], radix: u32) -> Option<i64> {
    let text = text.trim_ascii_start();
    let digits = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text);
    if !digits.first()?.is_ascii_digit() {
        return None;
    }
    i64::from_str_radix(std::str::from_utf8(text).ok()?, radix).ok()
}

/// A memory size in bytes: digits and a unit in either case. `k`, `m`, `g` are powers of 1000; `kb`, `mb`,
/// `gb` are powers of 1024; `b` or nothing is bytes. As in Redis, no digits count as zero, so an empty value
/// switches a limit off. `None` when it is not a size, or does not fit in 64 bits.
pub fn parse_memory(text: &[u8]) -> Option<u64> {
    let split = text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let unit_bytes: u64 = match unit.to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1000,
        b"kb" => 1 << 10,
        b"m" => 1000 * 1000,
        b"mb" => 1 << 20,
        b"g" => 1000 * 1000 * 1000,
        b"gb" => 1 << 30,
        _ => return None,
    };
    let count = if digits.is_empty() { 0 } else { std::str::from_utf8(digits).ok()?.parse::<u64>().ok()? };
    count.checked_mul(unit_bytes)
}

/// A memory size in the largest unit that shows it exactly, for configuration files.
pub fn format_memory(bytes: u64) -> String {
    for (unit_bytes, unit) in [(1u64 << 30, "gb"), (1 << 20, "mb"), (1 << 10, "kb")] {
        if bytes != 0 && bytes.is_multiple_of(unit_bytes) {
            return format!("{}{unit}", bytes / unit_bytes);
        }
    }
    bytes.to_string()
}

/// `12%` as 12.
pub fn parse_percent(text: &[u8]) -> Option<i64> {
    text.strip_suffix(b"%").and_then(parse_integer).filter(|percent| *percent >= 0)
}

/// A finite decimal fraction such as `99.9`.
pub fn parse_fraction(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    text.parse::<f64>().ok().filter(|number| number.is_finite())
}

/// A fraction with up to six decimals and no trailing zeros.
pub fn format_fraction(number: f64) -> String {
    let text = format!("{number:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_units() {
        for (text, want) in [
            ("0", Some(0)),
            ("", Some(0)),
            ("100", Some(100)),
            ("1b", Some(1)),
            ("1k", Some(1000)),
            ("1kB", Some(1024)),
            ("2M", Some(2_000_000)),
            ("2mb", Some(2 << 20)),
            ("3g", Some(3_000_000_000)),
            ("3GB", Some(3 << 30)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("99999999999999gb", None),
            ("-1", None),
            ("1.5gb", None),
            ("1tb", None),
            ("1 gb", None),
        ] {
            assert_eq!(parse_memory(text.as_bytes()), want, "{text}");
        }
        for bytes in [0, 1, 1024, 1536, 1 << 20, 3 << 30, u64::MAX] {
            assert_eq!(parse_memory(format_memory(bytes).as_bytes()), Some(bytes));
        }
    }

    #[test]
    fn integers() {
        assert_eq!(parse_integer(b"-12"), Some(-12));
        for text in ["", "-", "+1", "01", "-0", "1 ", " 1", "9223372036854775808", "1a", "0x1"] {
            assert_eq!(parse_integer(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse_c_integer(b" +0755", 8), Some(0o755));
        assert_eq!(parse_c_integer(b"-007", 10), Some(-7));
        for text in ["", "-", "8", "--1", "7z"] {
            assert_eq!(parse_c_integer(text.as_bytes(), 8), None, "{text}");
        }
    }

    #[test]
    fn fractions() {
        assert_eq!(format_fraction(99.9), "99.9");
        assert_eq!(format_fraction(50.0), "50");
        assert_eq!(format_fraction(99.123_456_78), "99.123457");
        assert_eq!(format_fraction(0.0), "0");
        assert_eq!(parse_fraction(b"nan"), None);
        assert_eq!(parse_percent(b"5%"), Some(5));
        assert_eq!(parse_percent(b"%"), None);
    }
}
