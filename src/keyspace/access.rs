//! The access record of a key: 32 bits that say how recently or how often it was used.
//!
//! Under the LFU policies Redis's scheme: 16 bits of minutes of the last decrement and an 8-bit logarithmic
//! counter (see Redis's `evict.c`, "LFU (Least Frequently Used) implementation"). Otherwise seconds of the
//! last access, in 24 bits. Which of the two is in force is the process's setting.

use rand::Rng;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

/// Seconds wrap around at this many bits, as in Redis (194 days).
const SECONDS_BITS: u32 = 24;
const SECONDS_MASK: u32 = (1 << SECONDS_BITS) - 1;

/// A new key starts with this frequency, so that it is not evicted at once (Redis's `LFU_INIT_VAL`).
const INITIAL_FREQUENCY: u8 = 5;

/// The access record of one key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Access(pub u32);

static LFU: AtomicBool = AtomicBool::new(false);
static LFU_LOG_FACTOR: AtomicU32 = AtomicU32::new(10);
static LFU_DECAY_MINUTES: AtomicU8 = AtomicU8::new(1);

/// Chooses between recency and frequency records (`maxmemory-policy`), and the frequency's tuning
/// (`lfu-log-factor`, `lfu-decay-time`).
pub fn configure(lfu: bool, log_factor: u32, decay_minutes: u32) {
    LFU_LOG_FACTOR.store(log_factor, Ordering::Relaxed);
    LFU_DECAY_MINUTES.store(decay_minutes.min(u8::MAX as u32) as u8, Ordering::Relaxed);
    LFU.store(lfu, Ordering::Relaxed);
}

/// Whether frequencies are recorded.
pub fn is_lfu() -> bool {
    LFU.load(Ordering::Relaxed)
}

/// The clock of recency records, as INFO's `lru_clock` shows it.
pub fn clock(now_ms: i64) -> u32 {
    seconds(now_ms)
}

fn seconds(now_ms: i64) -> u32 {
    (now_ms / 1000) as u32 & SECONDS_MASK
}

fn minutes(now_ms: i64) -> u32 {
    (now_ms / 60_000) as u32 & 0xffff
}

impl Access {
    /// The record of a key that is created now.
    #[inline]
    pub fn created(now_ms: i64) -> Access {
        if is_lfu() { Access::frequent(now_ms, INITIAL_FREQUENCY) } else { Access(seconds(now_ms)) }
    }

    /// The record of a key that was last used so many seconds ago.
    pub fn idle(now_ms: i64, idle_seconds: u32) -> Access {
        Access(seconds(now_ms).wrapping_sub(idle_seconds.min(SECONDS_MASK)) & SECONDS_MASK)
    }

    /// The record of a key that is used now and then, so often on the logarithmic scale.
    pub fn frequent(now_ms: i64, frequency: u8) -> Access {
        Access(minutes(now_ms) << 8 | frequency as u32)
    }

    /// The record after one more access.
    #[inline]
    pub fn touched(self, now_ms: i64) -> Access {
        if !is_lfu() {
            return Access(seconds(now_ms));
        }
        let mut frequency = self.frequency(now_ms);
        if frequency < u8::MAX {
            let base = frequency.saturating_sub(INITIAL_FREQUENCY) as f64;
            let chance = 1.0 / (base * LFU_LOG_FACTOR.load(Ordering::Relaxed) as f64 + 1.0);
            frequency += (rand::rng().random::<f64>() < chance) as u8;
        }
        Access::frequent(now_ms, frequency)
    }

    /// The logarithmic frequency after its decay until now. Meaningful if frequencies are recorded.
    pub fn frequency(self, now_ms: i64) -> u8 {
        let counter = self.0 as u8;
        let decay_minutes = LFU_DECAY_MINUTES.load(Ordering::Relaxed) as u32;
        let idle = minutes(now_ms).wrapping_sub(self.0 >> 8) & 0xffff;
        let periods = idle.checked_div(decay_minutes).unwrap_or(0);
        counter.saturating_sub(periods.min(u8::MAX as u32) as u8)
    }

    /// Seconds since the last access. Meaningful if recency is recorded.
    pub fn idle_seconds(self, now_ms: i64) -> u32 {
        seconds(now_ms).wrapping_sub(self.0) & SECONDS_MASK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_wraps() {
        let record = Access(SECONDS_MASK);
        assert_eq!(record.idle_seconds(((SECONDS_MASK as i64) + 3) * 1000), 3);
    }

    #[test]
    fn records_of_what_is_said_about_a_key() {
        let now_ms = 1_800_000_000_000;
        assert_eq!(Access::idle(now_ms, 1000).idle_seconds(now_ms), 1000);
        assert_eq!(Access::idle(now_ms, u32::MAX).idle_seconds(now_ms), SECONDS_MASK);
        assert_eq!(Access::frequent(now_ms, 100).frequency(now_ms), 100);
    }

    #[test]
    fn frequency_decays_by_minutes() {
        let record = Access(0xffff << 8 | 100);
        assert_eq!(record.frequency(0xffff * 60_000), 100);
        assert_eq!(record.frequency(0x1_0002 * 60_000), 97);
        assert_eq!(record.frequency(0x1_0500 * 60_000), 0);
    }
}
