//! Loops over bytes that are compiled several times, for what different processors can do.
//!
//! The binary runs on any processor of its architecture. On x86-64 that leaves out most of what today's processors
//! have, so a loop that is worth it is written once, inlined into functions that are compiled for more, and the
//! processor is asked which of them it can run. The compiler does the rest: it turns the loops into the widest
//! instructions that it may use.
//!
//! # Invariant of the `unsafe` code
//! A function that is compiled for more than the architecture's baseline is called only after the processor said
//! that it has just that.

/// Whether the processor has vectors of 256 bits, and counts bits in hardware.
pub fn has_wide_vectors() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

/// The number of bits that are set.
pub fn count_ones(bytes: &[u8]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if has_wide_vectors() {
        // SAFETY: the processor has both features.
        return unsafe { count_with_avx2(bytes) };
    } else if is_x86_feature_detected!("popcnt") {
        // SAFETY: the processor has the feature.
        return unsafe { count_with_popcnt(bytes) };
    }
    count_words(bytes)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt")]
fn count_with_avx2(bytes: &[u8]) -> u64 {
    count_words(bytes)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "popcnt")]
fn count_with_popcnt(bytes: &[u8]) -> u64 {
    count_words(bytes)
}

/// Inlined always, so that it is compiled anew for the features of each caller.
#[inline(always)]
fn count_words(bytes: &[u8]) -> u64 {
    let words = bytes.chunks_exact(size_of::<u64>());
    let rest: u32 = words.remainder().iter().map(|byte| byte.count_ones()).sum();
    let whole: u64 = words
        .map(|word| u64::from(u64::from_ne_bytes(word.try_into().expect("eight bytes")).count_ones()))
        .sum();
    whole + u64::from(rest)
}

/// Raises each register to the value of its six bits in `packed`, the lowest bits first. `vectors` allows
/// [wide ones](has_wide_vectors), which make no difference to the result.
pub fn raise_registers(registers: &mut [u8], packed: &[u8], vectors: bool) {
    #[cfg(target_arch = "x86_64")]
    if vectors && has_wide_vectors() {
        // SAFETY: the processor has the feature.
        return unsafe { raise_with_avx2(registers, packed) };
    }
    raise_by_fours(registers, packed);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn raise_with_avx2(registers: &mut [u8], packed: &[u8]) {
    raise_by_fours(registers, packed);
}

/// Four registers are three bytes. All arithmetic is on bytes, so that vectors hold many of them. Inlined always,
/// as [`count_words`].
#[inline(always)]
fn raise_by_fours(registers: &mut [u8], packed: &[u8]) {
    for (four, three) in registers.chunks_exact_mut(4).zip(packed.chunks_exact(3)) {
        let (a, b, c) = (three[0], three[1], three[2]);
        four[0] = four[0].max(a & 0x3f);
        four[1] = four[1].max((a >> 6 | b << 2) & 0x3f);
        four[2] = four[2].max((b >> 4 | c << 4) & 0x3f);
        four[3] = four[3].max(c >> 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_copy_of_the_loop_counts_the_same(bytes in proptest::collection::vec(any::<u8>(), 0..700), skip in 0..9usize) {
            let bytes = &bytes[skip.min(bytes.len())..];
            let expected: u64 = bytes.iter().map(|byte| u64::from(byte.count_ones())).sum();
            prop_assert_eq!(count_ones(bytes), expected);
            prop_assert_eq!(count_words(bytes), expected);
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("popcnt") {
                // SAFETY: the processor has the feature.
                prop_assert_eq!(unsafe { count_with_popcnt(bytes) }, expected);
            }
        }

        #[test]
        fn every_copy_raises_registers_the_same(
            mut registers in proptest::collection::vec(0..64_u8, 0..400),
            packed in proptest::collection::vec(any::<u8>(), 300),
        ) {
            let mut expected = registers.clone();
            let whole = expected.len() / 4 * 4;
            for (at, register) in expected[..whole].iter_mut().enumerate() {
                let bit = |bit: usize| packed[bit / 8] >> (bit % 8) & 1;
                let value = (0..6).fold(0, |value, i| value | bit(6 * at + i) << i);
                *register = value.max(*register);
            }
            let mut narrow = registers.clone();
            raise_registers(&mut narrow, &packed, false);
            prop_assert_eq!(&narrow, &expected);
            raise_registers(&mut registers, &packed, true);
            prop_assert_eq!(&registers, &expected);
        }
    }
}
