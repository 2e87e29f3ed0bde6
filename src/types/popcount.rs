//! Counting the bits that are set in a run of bytes, as fast as they come from memory.
//!
//! The loop is written once, over words; the compiler turns it into the widest instructions that it may use. The
//! binary runs on any processor of its architecture, so on x86-64 two more copies of the loop are compiled, for
//! processors that count bits in hardware and for those with 256-bit vectors, and the processor is asked which one
//! it can run.
//!
//! # Invariant of the `unsafe` code
//! A function that is compiled for more than the architecture's baseline is called only after the processor said
//! that it has just that.

/// The number of bits that are set.
pub fn count_ones(bytes: &[u8]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("popcnt") {
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has both features.
            return unsafe { count_with_avx2(bytes) };
        }
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
    }
}
