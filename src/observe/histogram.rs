//! Latency histograms: log-linear, in the manner of Gil Tene's HdrHistogram.
//!
//! Values are nanoseconds. Each power of two is divided into 32 buckets, so a value read back is at most 3.2%
//! above the one recorded, from 1 ns to 18 minutes. Counts of one power of two are allocated when the first value
//! falls there; the calls of one command spread over a few, which makes a histogram of one to two kB.
//!
//! A histogram has one writer, the worker that owns it, who records with plain loads and stores; any thread may
//! read. Readers add up the histograms of all workers in a [`Snapshot`] and ask that.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const SUB_BITS: u32 = 5;
/// Buckets of one power of two.
const SUB_BUCKETS: usize = 1 << SUB_BITS;
/// Values from 2^40 ns, some 18 minutes, count as the largest below.
const MAX_BITS: u32 = 40;
/// Values below 32 have a bucket each and share the first block.
const BLOCKS: usize = (MAX_BITS - SUB_BITS + 1) as usize;

type Block = [AtomicU64; SUB_BUCKETS];

/// Counts of recorded values; see the [module](self).
pub struct Histogram {
    blocks: [OnceLock<Box<Block>>; BLOCKS],
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

/// Block and bucket of a value.
fn locate(nanos: u64) -> (usize, usize) {
    let value = nanos.min((1 << MAX_BITS) - 1);
    let block = (value | (SUB_BUCKETS as u64 - 1)).ilog2() + 1 - SUB_BITS;
    let bucket = value >> block.saturating_sub(1);
    (block as usize, bucket as usize % SUB_BUCKETS)
}

/// The largest value that is counted there.
fn upper_bound(block: usize, bucket: usize) -> u64 {
    match block {
        0 => bucket as u64,
        _ => (((SUB_BUCKETS + bucket + 1) as u64) << (block - 1)) - 1,
    }
}

impl Histogram {
    pub const fn new() -> Histogram {
        Histogram { blocks: [const { OnceLock::new() }; BLOCKS] }
    }

    /// Counts a value `times` times. Only the owning thread may call this: of two at once, one could be lost.
    pub fn record(&self, nanos: u64, times: u64) {
        let (block, bucket) = locate(nanos);
        let block = self.blocks[block].get_or_init(|| Box::new([const { AtomicU64::new(0) }; SUB_BUCKETS]));
        let count = &block[bucket];
        count.store(count.load(Relaxed) + times, Relaxed);
    }

    /// Sets all counts to zero. From another thread than the owner's this may miss a bucket that is counted
    /// in at the same moment, which statistics can bear.
    pub fn reset(&self) {
        for count in self.blocks.iter().filter_map(OnceLock::get).flat_map(|block| block.iter()) {
            count.store(0, Relaxed);
        }
    }
}

/// The sum of any number of histograms at some moment.
pub struct Snapshot {
    counts: Vec<[u64; SUB_BUCKETS]>,
    total: u64,
}

impl Default for Snapshot {
    fn default() -> Self {
        Self::new()
    }
}

impl Snapshot {
    pub fn new() -> Snapshot {
        Snapshot { counts: vec![[0; SUB_BUCKETS]; BLOCKS], total: 0 }
    }

    /// Adds what `histogram` has counted so far.
    pub fn add(&mut self, histogram: &Histogram) {
        for (sums, block) in self.counts.iter_mut().zip(&histogram.blocks) {
            for (sum, count) in sums.iter_mut().zip(block.get().into_iter().flat_map(|block| block.iter())) {
                let count = count.load(Relaxed);
                *sum += count;
                self.total += count;
            }
        }
    }

    /// How many values were recorded.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The value in ns that `percent` of all recorded values do not exceed, up to 3.2% too high; 0 if there are
    /// none. `percent` is from 0 to 100.
    pub fn percentile(&self, percent: f64) -> u64 {
        // The nearest rank, rounded as HdrHistogram does, so that the median of few values is the usual one.
        let rank = ((percent.clamp(0.0, 100.0) / 100.0 * self.total as f64 + 0.5) as u64)
            .clamp(1, self.total.max(1));
        let mut seen = 0;
        for (block, counts) in self.counts.iter().enumerate() {
            for (bucket, count) in counts.iter().enumerate() {
                seen += count;
                if seen >= rank {
                    return upper_bound(block, bucket);
                }
            }
        }
        0
    }

    /// What `LATENCY HISTOGRAM` shows: pairs of an upper bound in µs and the number of values up to there,
    /// leaving out bounds that add none.
    ///
    /// The bounds are powers of two from 1024 ns to 2^29 ns, and one for everything longer. They are shown as
    /// 1, 2, 4, 8, 16, 33, 66, 132 … 541065, 1073741, because in Redis each ends with the bucket (of 128 to the
    /// power of two) that starts at the power of two; here the values of that sliver count for the next bound.
    pub fn power_of_two_us(&self) -> impl Iterator<Item = (u64, u64)> {
        const FIRST: u32 = 10;
        const LAST: u32 = 30;
        let mut cumulative = 0;
        let mut next_block = 0;
        (FIRST..=LAST).filter_map(move |exponent| {
            let (end, bound) = match exponent {
                LAST => (BLOCKS, (1 << LAST) - 1),
                _ => ((exponent - SUB_BITS + 1) as usize, (1u64 << exponent) + (1 << (exponent - 7)) - 1),
            };
            let added: u64 = self.counts[next_block..end].iter().flatten().sum();
            next_block = end;
            cumulative += added;
            (added > 0).then_some((bound / 1000, cumulative))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn snapshot(values: &[u64]) -> Snapshot {
        let histogram = Histogram::new();
        values.iter().for_each(|&value| histogram.record(value, 1));
        let mut snapshot = Snapshot::new();
        snapshot.add(&histogram);
        snapshot
    }

    #[test]
    fn nothing_recorded() {
        let empty = snapshot(&[]);
        assert_eq!((empty.total(), empty.percentile(50.0)), (0, 0));
        assert_eq!(empty.power_of_two_us().count(), 0);
    }

    #[test]
    fn bounds_are_those_redis_shows() {
        let one_each: Vec<u64> = (9..36).map(|bits| 3 << (bits - 1)).collect();
        let shown: Vec<_> = snapshot(&one_each).power_of_two_us().collect();
        assert_eq!(
            shown[..10],
            [(1, 1), (2, 2), (4, 3), (8, 4), (16, 5), (33, 6), (66, 7), (132, 8), (264, 9), (528, 10)]
        );
        assert_eq!(shown[18..], [(270532, 19), (541065, 20), (1073741, 27)]);
    }

    #[test]
    fn percentiles() {
        let values: Vec<u64> = (1..=1000).map(|n| n * 1000).collect();
        let snapshot = snapshot(&values);
        for (percent, expected) in
            [(0.0, 1000), (50.0, 500_000), (99.0, 990_000), (99.9, 999_000), (100.0, 1_000_000)]
        {
            let found = snapshot.percentile(percent);
            assert!((expected..=expected * 1032 / 1000).contains(&found), "p{percent}: {found}");
        }
    }

    #[test]
    fn histograms_add_up_and_reset() {
        let (a, b) = (Histogram::new(), Histogram::new());
        a.record(100, 1);
        b.record(100, 1);
        b.record(u64::MAX, 1);
        let mut sum = Snapshot::new();
        sum.add(&a);
        sum.add(&b);
        assert_eq!((sum.total(), sum.percentile(100.0)), (3, (1 << MAX_BITS) - 1));
        b.reset();
        let mut rest = Snapshot::new();
        rest.add(&b);
        assert_eq!(rest.total(), 0);
    }

    proptest! {
        #[test]
        fn every_value_has_a_close_bucket(bits in 0..40u32, value: u64) {
            let value = value >> (63 - bits);
            let (block, bucket) = locate(value);
            let found = upper_bound(block, bucket);
            prop_assert_eq!(locate(found), (block, bucket));
            // The last bucket takes all that is longer, too.
            if found + 1 < 1 << MAX_BITS {
                prop_assert_ne!(locate(found + 1), (block, bucket), "{}", found);
            }
            prop_assert!(value <= found && found - value <= value / 31, "{} in {}", value, found);
        }
    }
}
