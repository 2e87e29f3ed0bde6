//! What the float parsers share: C's hexadecimal notation, and rounding to fewer bits.

/// `significand * 2^exponent`; bits that did not fit are ored into the significand's lowest one, which is
/// enough to round correctly to 64 bits or fewer.
pub struct HexFloat {
    pub significand: u128,
    pub exponent: i64,
}

/// Exponents beyond this overflow or vanish in every format; saturating there keeps the arithmetic in range
/// (digits before the exponent can shift it by four each, and inputs are at most 512 MB).
const EXPONENT_LIMIT: i64 = 1 << 40;

/// Reads `0x1.8p3` without its sign, as `strtod` does: the point and the binary exponent are optional, one digit
/// is not. `None` if `text` is anything else.
pub fn parse_hex_float(text: &[u8]) -> Option<HexFloat> {
    let [b'0', b'x' | b'X', rest @ ..] = text else { return None };
    let mut float = HexFloat { significand: 0, exponent: 0 };
    let (mut digits, mut after_point) = (0usize, false);
    let mut at = 0;
    while let Some(&byte) = rest.get(at) {
        if byte == b'.' && !after_point {
            after_point = true;
        } else if let Some(digit) = (byte as char).to_digit(16) {
            digits += 1;
            if float.significand >> 124 == 0 {
                float.significand = float.significand << 4 | u128::from(digit);
                float.exponent -= if after_point { 4 } else { 0 };
            } else {
                float.significand |= u128::from(digit != 0);
                float.exponent += if after_point { 0 } else { 4 };
            }
        } else {
            break;
        }
        at += 1;
    }
    if digits == 0 {
        return None;
    }
    match &rest[at..] {
        [] => Some(float),
        [b'p' | b'P', exponent @ ..] => {
            float.exponent += parse_exponent(exponent)?;
            Some(float)
        }
        _ => None,
    }
}

/// A decimal exponent with an optional sign, saturated far beyond any float's range.
pub fn parse_exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0, |value, &d| (value * 10 + i64::from(d - b'0')).min(EXPONENT_LIMIT));
    Some(if negative { -value } else { value })
}

/// `value / 2^drop`, rounded to nearest, ties to even.
pub fn shift_right_round(value: u128, drop: u32) -> u128 {
    match drop {
        0 => value,
        1..=127 => {
            let kept = value >> drop;
            let rest = value & ((1 << drop) - 1);
            let half = 1 << (drop - 1);
            kept + u128::from(rest > half || (rest == half && kept & 1 == 1))
        }
        // All bits go; only more than half a unit is left to round up.
        128 => u128::from(value > 1 << 127),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_ties_to_even() {
        assert_eq!(shift_right_round(0b1010, 2), 0b10);
        assert_eq!(shift_right_round(0b1110, 2), 0b100);
        assert_eq!(shift_right_round(0b1011, 2), 0b11);
        assert_eq!(shift_right_round(1 << 127, 128), 0);
        assert_eq!(shift_right_round((1 << 127) + 1, 128), 1);
        assert_eq!(shift_right_round(u128::MAX, 129), 0);
    }

    #[test]
    fn long_hex_input_keeps_a_sticky_bit() {
        let float = parse_hex_float(format!("0x1{}1", "0".repeat(40)).as_bytes()).unwrap();
        assert_eq!((float.significand, float.exponent), (1 << 124 | 1, 40));
        assert!(parse_hex_float(b"0x").is_none());
        assert!(parse_hex_float(b"0x.").is_none());
        assert!(parse_hex_float(b"0x1p").is_none());
        assert!(parse_hex_float(b"0x1.2.3").is_none());
    }
}
