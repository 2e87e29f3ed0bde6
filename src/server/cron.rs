//! The server's clock: housekeeping for clients `hz` times a second, rates for INFO.

use super::housekeeping::Housekeeping;
use crate::keyspace::unix_ms;
use crate::memory;
use crate::persist;
use crate::state::Server;
use crate::state::counters::Totals;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// How often rates are sampled, and over how many samples they are averaged (Redis's figures).
const SAMPLE_EVERY: Duration = Duration::from_millis(100);
const SAMPLES: usize = 16;

/// Works until the runtime ends.
pub async fn run(server: Arc<Server>) {
    let mut housekeeping = Housekeeping::default();
    let mut rates = Rates::new(&server);
    loop {
        let turns_per_second = server.config.hz().max(1);
        tokio::time::sleep(Duration::from_secs(1) / turns_per_second as u32).await;
        let started = Instant::now();
        memory::publish();
        let now_ms = unix_ms();
        memory::note_peak(now_ms / 1000);
        if !server.switches.cron_paused.load(Relaxed) {
            housekeeping.turn(&server, turns_per_second as usize, now_ms);
            persist::engine::turn(&server);
        }
        rates.sample(&server, started);
        let totals = &server.counters.housekeeping;
        totals.turns.add(1);
        totals.turn_nanos.add(started.elapsed().as_nanos() as u64);
    }
}

/// What grows, per second, and the microseconds of a turn.
type Sample = [u64; 5];

/// The latest samples.
struct Rates {
    samples: [Sample; SAMPLES],
    taken: usize,
    last: Totals,
    last_at: Instant,
}

impl Rates {
    fn new(server: &Server) -> Rates {
        Rates { samples: Default::default(), taken: 0, last: server.counters.raw(), last_at: Instant::now() }
    }

    /// Takes a sample if it is time, and publishes the means.
    fn sample(&mut self, server: &Server, at: Instant) {
        let passed = at.duration_since(self.last_at);
        if passed < SAMPLE_EVERY {
            return;
        }
        let micros = passed.as_micros() as u64;
        let now = server.counters.raw();
        let grown = |of: fn(&Totals) -> u64| of(&now).wrapping_sub(of(&self.last));
        let rate = |of: fn(&Totals) -> u64| grown(of).saturating_mul(1_000_000) / micros;
        self.samples[self.taken % SAMPLES] = [
            rate(|totals| totals.commands),
            rate(|totals| totals.input_bytes),
            rate(|totals| totals.output_bytes),
            rate(|totals| totals.turns),
            grown(|totals| totals.turn_nanos) / 1000 / grown(|totals| totals.turns).max(1),
        ];
        (self.taken, self.last, self.last_at) = (self.taken + 1, now, at);
        let instant = &server.counters.instant;
        let published = [
            &instant.ops_per_sec,
            &instant.input_bytes_per_sec,
            &instant.output_bytes_per_sec,
            &instant.turns_per_sec,
            &instant.turn_micros,
        ];
        for (index, rate) in published.into_iter().enumerate() {
            rate.store(
                self.samples.iter().map(|sample| sample[index]).sum::<u64>() / SAMPLES as u64,
                Relaxed,
            );
        }
    }
}
