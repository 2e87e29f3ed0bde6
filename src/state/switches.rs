//! What DEBUG and PFDEBUG switch for tests.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};

/// After this time the largest reply so far no longer counts for the size of a connection's reply buffer,
/// milliseconds (Redis's figure).
pub const REPLY_PEAK_RESET_MS: i64 = 5000;

pub struct Switches {
    /// HyperLogLogs are merged with the processor's vectors, if it has any.
    pub hyperloglog_vectors: AtomicBool,
    /// RESTORE takes values whose checksum is wrong.
    pub checksums_ignored: AtomicBool,
    /// Nothing is done periodically.
    pub cron_paused: AtomicBool,
    /// The log waits for so long before each write, microseconds.
    pub log_delay_micros: AtomicU64,
    /// Scripts may call DEBUG.
    pub debug_in_scripts: AtomicBool,
    /// Reply buffers follow the size of the replies.
    pub reply_resizing: AtomicBool,
    /// [`REPLY_PEAK_RESET_MS`], or another time; negative is never.
    pub reply_peak_reset_ms: AtomicI64,
}

impl Default for Switches {
    fn default() -> Switches {
        Switches {
            hyperloglog_vectors: AtomicBool::new(true),
            checksums_ignored: AtomicBool::new(false),
            cron_paused: AtomicBool::new(false),
            log_delay_micros: AtomicU64::new(0),
            debug_in_scripts: AtomicBool::new(false),
            reply_resizing: AtomicBool::new(true),
            reply_peak_reset_ms: AtomicI64::new(REPLY_PEAK_RESET_MS),
        }
    }
}
