//! The server's clock: rates for INFO, several times a second.

use crate::memory;
use crate::state::Server;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How often rates are sampled, and over how many samples they are averaged (Redis's figures).
const PERIOD: Duration = Duration::from_millis(100);
const SAMPLES: usize = 16;

/// Samples until the runtime ends.
pub async fn run(server: Arc<Server>) {
    let mut ring = [(0_u64, 0_u64, 0_u64); SAMPLES];
    let mut last = (server.counters.raw(), Instant::now());
    for turn in 0_usize.. {
        tokio::time::sleep(PERIOD).await;
        memory::publish();
        memory::used_bytes();
        let (now, at) = (server.counters.raw(), Instant::now());
        let micros = at.duration_since(last.1).as_micros().max(1) as u64;
        let rate = |new: u64, old: u64| new.wrapping_sub(old).saturating_mul(1_000_000) / micros;
        ring[turn % SAMPLES] = (
            rate(now.commands, last.0.commands),
            rate(now.input_bytes, last.0.input_bytes),
            rate(now.output_bytes, last.0.output_bytes),
        );
        last = (now, at);
        let mean = |f: fn(&(u64, u64, u64)) -> u64| ring.iter().map(f).sum::<u64>() / SAMPLES as u64;
        let instant = &server.counters.instant;
        instant.ops_per_sec.store(mean(|r| r.0), Ordering::Relaxed);
        instant.input_bytes_per_sec.store(mean(|r| r.1), Ordering::Relaxed);
        instant.output_bytes_per_sec.store(mean(|r| r.2), Ordering::Relaxed);
    }
}
