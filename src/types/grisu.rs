//! The decimal digits of a double, by Florian Loitsch's Grisu2 ("Printing Floating-Point Numbers Quickly and
//! Accurately with Integers", PLDI 2010).
//!
//! The digits always read back as the same double, and in more than 99.9% of cases there are no shorter ones.
//! The rest is why this module exists although `std` can print the very shortest form: replies must equal
//! those of Redis to the byte, and Redis (since 7.2) prints what Grisu2 finds. For the same reason the details
//! that the paper leaves open (which cached power to take, how to round products) follow the common
//! implementation by night-shift, `fpconv`, that Redis uses.

/// Most digits [`shortest`] yields: 17 identify any double.
pub const MAX_DIGITS: usize = 17;

const FRACTION_BITS: i32 = 52;
const HIDDEN_BIT: u64 = 1 << FRACTION_BITS;
/// Bias of the stored exponent, with the fraction read as an integer.
const EXPONENT_BIAS: i32 = 1023 + FRACTION_BITS;

/// `fraction * 2^exponent`, not necessarily normalised.
#[derive(Clone, Copy)]
struct Float {
    fraction: u64,
    exponent: i32,
}

impl Float {
    fn normalised(self) -> Float {
        let shift = self.fraction.leading_zeros();
        Float { fraction: self.fraction << shift, exponent: self.exponent - shift as i32 }
    }

    /// The product's upper 64 bits, rounded half up.
    fn times(self, other: Float) -> Float {
        let product = u128::from(self.fraction) * u128::from(other.fraction);
        Float {
            fraction: ((product + (1 << 63)) >> 64) as u64,
            exponent: self.exponent + other.exponent + 64,
        }
    }
}

/// Writes the digits of the finite, positive `value` and returns how many they are and the power of ten `k`
/// to multiply them with, read as one integer. There is no leading zero.
pub fn shortest(value: f64, digits: &mut [u8; MAX_DIGITS]) -> (usize, i32) {
    debug_assert!(value.is_finite() && value > 0.0);
    let bits = value.to_bits();
    let fraction = bits & (HIDDEN_BIT - 1);
    let float = match (bits >> FRACTION_BITS) as i32 {
        0 => Float { fraction, exponent: 1 - EXPONENT_BIAS },
        biased => Float { fraction: fraction | HIDDEN_BIT, exponent: biased - EXPONENT_BIAS },
    };

    // Halfway to the neighbours: between these, everything reads back as `value`. The lower neighbour of a
    // power of two is nearer by half.
    let upper = Float { fraction: (float.fraction << 1) + 1, exponent: float.exponent - 1 }.normalised();
    let nearer = if float.fraction == HIDDEN_BIT { 2 } else { 1 };
    let lower = Float {
        fraction: ((float.fraction << nearer) - 1) << (float.exponent - nearer - upper.exponent),
        exponent: upper.exponent,
    };

    let (power, k) = cached_power(upper.exponent);
    let exact = float.normalised().times(power);
    let mut upper = upper.times(power);
    let mut lower = lower.times(power);
    // Each product may be off by one unit: shrink the interval to what is surely inside.
    upper.fraction -= 1;
    lower.fraction += 1;
    let (count, kappa) = generate(exact, upper, lower, digits);
    (count, kappa - k)
}

/// Digits of a number between `lower` and `upper`, as near to `exact` as that many digits allow.
fn generate(exact: Float, upper: Float, lower: Float, digits: &mut [u8; MAX_DIGITS]) -> (usize, i32) {
    let shift = -upper.exponent;
    let one = 1u64 << shift;
    let distance = upper.fraction - exact.fraction;
    let mut delta = upper.fraction - lower.fraction;
    let mut integral = upper.fraction >> shift;
    let mut fractional = upper.fraction & (one - 1);
    let mut count = 0;

    let mut divisor = 1_000_000_000u64;
    for kappa in (0..10).rev() {
        let digit = integral / divisor;
        if digit != 0 || count != 0 {
            digits[count] = b'0' + digit as u8;
            count += 1;
        }
        integral -= digit * divisor;
        let rest = (integral << shift) + fractional;
        if rest <= delta {
            round(&mut digits[count - 1], delta, rest, divisor << shift, distance);
            return (count, kappa);
        }
        divisor /= 10;
    }

    let mut kappa = 0;
    let mut unit = 1u64;
    loop {
        fractional *= 10;
        delta *= 10;
        unit *= 10;
        kappa -= 1;
        let digit = fractional >> shift;
        if digit != 0 || count != 0 {
            digits[count] = b'0' + digit as u8;
            count += 1;
        }
        fractional &= one - 1;
        if fractional < delta {
            round(&mut digits[count - 1], delta, fractional, one, distance.wrapping_mul(unit));
            return (count, kappa);
        }
    }
}

/// Lowers the last digit while that brings the number nearer to the exact one and keeps it in the interval.
/// All are distances from the upper bound: `delta` of the lower bound, `rest` of the number found so far,
/// `distance` of the exact number; `step` is the weight of the last digit.
fn round(last: &mut u8, delta: u64, mut rest: u64, step: u64, distance: u64) {
    while rest < distance
        && delta - rest >= step
        && (rest.wrapping_add(step) < distance
            || distance - rest > rest.wrapping_add(step).wrapping_sub(distance))
    {
        *last -= 1;
        rest += step;
    }
}

/// A power of ten that brings a number with this binary exponent into the range where [`generate`] has 32 bits
/// or fewer for the integral part; returned with its decimal exponent.
fn cached_power(exponent: i32) -> (Float, i32) {
    const LOG10_OF_2: f64 = 0.301_029_995_663_981_14;
    let estimate = (-f64::from(exponent + POWERS_OF_TEN.len() as i32) * LOG10_OF_2) as i32;
    let mut index = ((estimate - FIRST_POWER) / POWER_STEP) as usize;
    loop {
        let (fraction, power_exponent) = POWERS_OF_TEN[index];
        match exponent + power_exponent + 64 {
            ..-60 => index += 1,
            -31.. => index -= 1,
            _ => {
                let power = Float { fraction, exponent: power_exponent };
                return (power, FIRST_POWER + index as i32 * POWER_STEP);
            }
        }
    }
}

const FIRST_POWER: i32 = -348;
const POWER_STEP: i32 = 8;

/// 10^-348, 10^-340, … 10^340 as `(fraction, exponent)` with `fraction * 2^exponent` correctly rounded and the
/// fraction's top bit set.
#[rustfmt::skip]
const POWERS_OF_TEN: [(u64, i32); 87] = [
    (0xfa8fd5a0081c0288, -1220),
    (0xbaaee17fa23ebf76, -1193),
    (0x8b16fb203055ac76, -1166),
    (0xcf42894a5dce35ea, -1140),
    (0x9a6bb0aa55653b2d, -1113),
    (0xe61acf033d1a45df, -1087),
    (0xab70fe17c79ac6ca, -1060),
    (0xff77b1fcbebcdc4f, -1034),
    (0xbe5691ef416bd60c, -1007),
    (0x8dd01fad907ffc3c, -980),
    (0xd3515c2831559a83, -954),
    (0x9d71ac8fada6c9b5, -927),
    (0xea9c227723ee8bcb, -901),
    (0xaecc49914078536d, -874),
    (0x823c12795db6ce57, -847),
    (0xc21094364dfb5637, -821),
    (0x9096ea6f3848984f, -794),
    (0xd77485cb25823ac7, -768),
    (0xa086cfcd97bf97f4, -741),
    (0xef340a98172aace5, -715),
    (0xb23867fb2a35b28e, -688),
    (0x84c8d4dfd2c63f3b, -661),
    (0xc5dd44271ad3cdba, -635),
    (0x936b9fcebb25c996, -608),
    (0xdbac6c247d62a584, -582),
    (0xa3ab66580d5fdaf6, -555),
    (0xf3e2f893dec3f126, -529),
    (0xb5b5ada8aaff80b8, -502),
    (0x87625f056c7c4a8b, -475),
    (0xc9bcff6034c13053, -449),
    (0x964e858c91ba2655, -422),
    (0xdff9772470297ebd, -396),
    (0xa6dfbd9fb8e5b88f, -369),
    (0xf8a95fcf88747d94, -343),
    (0xb94470938fa89bcf, -316),
    (0x8a08f0f8bf0f156b, -289),
    (0xcdb02555653131b6, -263),
    (0x993fe2c6d07b7fac, -236),
    (0xe45c10c42a2b3b06, -210),
    (0xaa242499697392d3, -183),
    (0xfd87b5f28300ca0e, -157),
    (0xbce5086492111aeb, -130),
    (0x8cbccc096f5088cc, -103),
    (0xd1b71758e219652c, -77),
    (0x9c40000000000000, -50),
    (0xe8d4a51000000000, -24),
    (0xad78ebc5ac620000, 3),
    (0x813f3978f8940984, 30),
    (0xc097ce7bc90715b3, 56),
    (0x8f7e32ce7bea5c70, 83),
    (0xd5d238a4abe98068, 109),
    (0x9f4f2726179a2245, 136),
    (0xed63a231d4c4fb27, 162),
    (0xb0de65388cc8ada8, 189),
    (0x83c7088e1aab65db, 216),
    (0xc45d1df942711d9a, 242),
    (0x924d692ca61be758, 269),
    (0xda01ee641a708dea, 295),
    (0xa26da3999aef774a, 322),
    (0xf209787bb47d6b85, 348),
    (0xb454e4a179dd1877, 375),
    (0x865b86925b9bc5c2, 402),
    (0xc83553c5c8965d3d, 428),
    (0x952ab45cfa97a0b3, 455),
    (0xde469fbd99a05fe3, 481),
    (0xa59bc234db398c25, 508),
    (0xf6c69a72a3989f5c, 534),
    (0xb7dcbf5354e9bece, 561),
    (0x88fcf317f22241e2, 588),
    (0xcc20ce9bd35c78a5, 614),
    (0x98165af37b2153df, 641),
    (0xe2a0b5dc971f303a, 667),
    (0xa8d9d1535ce3b396, 694),
    (0xfb9b7cd9a4a7443c, 720),
    (0xbb764c4ca7a44410, 747),
    (0x8bab8eefb6409c1a, 774),
    (0xd01fef10a657842c, 800),
    (0x9b10a4e5e9913129, 827),
    (0xe7109bfba19c0c9d, 853),
    (0xac2820d9623bf429, 880),
    (0x80444b5e7aa7cf85, 907),
    (0xbf21e44003acdd2d, 933),
    (0x8e679c2f5e44ff8f, 960),
    (0xd433179d9c8cb841, 986),
    (0x9e19db92b4e31ba9, 1013),
    (0xeb96bf6ebadf77d9, 1039),
    (0xaf87023b9bf0ee6b, 1066),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_correctly_rounded() {
        // An independent route to the same numbers: std parses decimals correctly, to 53 bits.
        for (i, &(fraction, exponent)) in POWERS_OF_TEN.iter().enumerate() {
            let decimal = FIRST_POWER + i as i32 * POWER_STEP;
            assert_eq!(fraction >> 63, 1);
            if (-300..=300).contains(&decimal) {
                let parsed: f64 = format!("1e{decimal}").parse().unwrap();
                let ours = (fraction as f64 / 2f64.powi(63)) * 2f64.powi(exponent + 63);
                assert!((ours / parsed - 1.0).abs() < 1e-15, "10^{decimal}");
            }
        }
    }

    #[test]
    fn digits_of_known_numbers() {
        let digits = |value| {
            let mut buffer = [0; MAX_DIGITS];
            let (count, k) = shortest(value, &mut buffer);
            (String::from_utf8(buffer[..count].to_vec()).unwrap(), k)
        };
        assert_eq!(digits(3.15), ("315".into(), -2));
        assert_eq!(digits(5e-324), ("5".into(), -324));
        assert_eq!(digits(f64::MAX), ("17976931348623157".into(), 292));
        assert_eq!(digits(0.1 + 0.2), ("30000000000000004".into(), -17));
    }
}
