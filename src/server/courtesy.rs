//! Whether a worker that has nothing to do lets the other threads of its core go first before it sleeps.
//!
//! A thread that sleeps has to be woken, which costs whoever wakes it more than a short request costs in all, and
//! a woken thread interrupts what runs on its core, often a client that was about to send more. A worker that only
//! steps back once (`sched_yield`) stays runnable for that time: nobody has to wake it, and when its turn comes it
//! finds the requests of many connections at once. Beside busy clients on the same cores that can be worth half of
//! the throughput. Behind threads that compute without end it costs a whole time slice, some milliseconds, where the
//! system lets a woken thread run almost at once.
//!
//! Which of both is the case cannot be seen from the inside, so it is tried out: while there is much to do, short
//! [windows](WINDOW) of the one and the other way take turns, and the way that got more commands done is taken until
//! the next trial. All workers go the same way at a time, since they share the cores. While there is little to do,
//! they sleep as usual. Knows nothing of what the workers do but how many commands they have executed.

use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// How long one way is tried at a stretch: some hundred requests, several time slices.
const WINDOW: Duration = Duration::from_millis(10);

/// Windows of each way in a trial.
const TRIAL_WINDOWS: u32 = 4;

/// So many commands a second are much: below, sleeping and waking do not limit anybody.
const BUSY_COMMANDS_PER_SECOND: u64 = 30_000;

/// Stepping back has to be so much better to be preferred, percent: it is the way that can do harm.
const LEAST_GAIN_PERCENT: u64 = 10;

/// For how long the result of a trial holds, at first; twice as long each time it is confirmed.
const FIRST_HOLD: Duration = Duration::from_secs(1);

/// A trial costs up to half a window's work in each window; longer holds make that nothing.
const LONGEST_HOLD: Duration = Duration::from_secs(8);

/// As [`LONGEST_HOLD`] when stepping back was found worse: then the trials themselves delay requests.
const LONGEST_REFUSAL: Duration = Duration::from_secs(60);

/// Commands and the time in which they were executed.
#[derive(Clone, Copy, Default)]
struct Work {
    commands: u64,
    nanos: u64,
}

impl Work {
    fn add(&mut self, other: Work) {
        self.commands += other.commands;
        self.nanos += other.nanos;
    }

    fn per_second(self) -> u64 {
        (u128::from(self.commands) * 1_000_000_000 / u128::from(self.nanos.max(1))) as u64
    }
}

enum Stage {
    /// Little to do.
    Calm,
    /// So many windows are over; what was done in those without and with stepping back.
    Trial { windows: u32, work: [Work; 2] },
    /// Until then the last result holds.
    Hold { until_nanos: u64 },
}

/// The decision, as a function of what was observed.
struct Decision {
    stage: Stage,
    steps_back: bool,
    hold: Duration,
    /// What the last trial found.
    preferred: bool,
    looked_nanos: u64,
    commands: u64,
}

impl Decision {
    fn new() -> Decision {
        Decision {
            stage: Stage::Calm,
            steps_back: false,
            hold: Duration::ZERO,
            preferred: false,
            looked_nanos: 0,
            commands: 0,
        }
    }

    /// A window is over: so many commands have been executed since the start. Says whether workers step back in
    /// the next one.
    fn look(&mut self, now_nanos: u64, commands: u64) -> bool {
        let work = Work {
            commands: commands.saturating_sub(self.commands),
            nanos: now_nanos.saturating_sub(self.looked_nanos),
        };
        (self.looked_nanos, self.commands) = (now_nanos, commands);
        // In a trial it may be the way that is tried which leaves little done.
        let is_tried = self.steps_back && matches!(self.stage, Stage::Trial { .. });
        if work.per_second() < BUSY_COMMANDS_PER_SECOND && !is_tried {
            self.stage = Stage::Calm;
            self.hold = Duration::ZERO;
            self.steps_back = false;
            return false;
        }
        match &mut self.stage {
            Stage::Calm => self.begin_trial(),
            Stage::Hold { until_nanos } if now_nanos < *until_nanos => {}
            Stage::Hold { .. } => self.begin_trial(),
            Stage::Trial { windows, work: both } => {
                both[usize::from(self.steps_back)].add(work);
                *windows += 1;
                if *windows == 2 * TRIAL_WINDOWS {
                    let [asleep, back] = both.map(Work::per_second);
                    self.settle(back * 100 >= asleep * (100 + LEAST_GAIN_PERCENT), now_nanos);
                } else {
                    self.steps_back = !self.steps_back;
                }
            }
        }
        self.steps_back
    }

    fn begin_trial(&mut self) {
        self.stage = Stage::Trial { windows: 0, work: [Work::default(); 2] };
        self.steps_back = !self.preferred;
    }

    fn settle(&mut self, steps_back: bool, now_nanos: u64) {
        let longest = if steps_back { LONGEST_HOLD } else { LONGEST_REFUSAL };
        self.hold = match self.preferred == steps_back {
            true => (self.hold * 2).clamp(FIRST_HOLD, longest),
            false => FIRST_HOLD,
        };
        self.preferred = steps_back;
        self.steps_back = steps_back;
        self.stage = Stage::Hold { until_nanos: now_nanos + self.hold.as_nanos() as u64 };
    }
}

/// What the workers of a server share.
pub struct Courtesy {
    steps_back: AtomicBool,
    /// When the window ends: nanoseconds of the clock.
    next_nanos: AtomicU64,
    decision: Mutex<Decision>,
}

impl Courtesy {
    pub fn new() -> Courtesy {
        Courtesy {
            steps_back: AtomicBool::new(false),
            next_nanos: AtomicU64::new(0),
            decision: Mutex::new(Decision::new()),
        }
    }

    /// A worker has nothing to do. `commands` says how many the server has executed since it was started.
    pub fn before_sleep(&self, clock: &quanta::Clock, commands: impl FnOnce() -> u64) {
        let now_nanos = clock.delta_as_nanos(0, clock.raw());
        if now_nanos >= self.next_nanos.load(Ordering::Relaxed)
            && let Some(mut decision) = self.decision.try_lock()
        {
            self.next_nanos.store(now_nanos + WINDOW.as_nanos() as u64, Ordering::Relaxed);
            self.steps_back.store(decision.look(now_nanos, commands()), Ordering::Relaxed);
        }
        if self.steps_back.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
    }
}

impl Default for Courtesy {
    fn default() -> Courtesy {
        Courtesy::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that executes so many commands a second when its workers sleep, and when they step back.
    struct Simulated {
        decision: Decision,
        now_nanos: u64,
        commands: u64,
    }

    impl Simulated {
        fn new() -> Simulated {
            Simulated { decision: Decision::new(), now_nanos: 0, commands: 0 }
        }

        /// Returns for which part of the time the workers stepped back.
        fn run(&mut self, duration: Duration, asleep: u64, back: u64) -> f64 {
            let window = WINDOW.as_nanos() as u64;
            let windows = duration.as_nanos() as u64 / window;
            let mut stepped_back = 0;
            for _ in 0..windows {
                let rate = if self.decision.steps_back { back } else { asleep };
                stepped_back += u64::from(self.decision.steps_back);
                self.now_nanos += window;
                self.commands += rate / (1_000_000_000 / window);
                self.decision.look(self.now_nanos, self.commands);
            }
            stepped_back as f64 / windows as f64
        }
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn the_better_way_is_taken() {
        assert!(Simulated::new().run(MINUTE, 110_000, 160_000) > 0.98);
        assert!(Simulated::new().run(10 * MINUTE, 75_000, 27_000) < 0.003);
        // Where it makes no difference, workers sleep.
        assert!(Simulated::new().run(10 * MINUTE, 100_000, 100_000) < 0.003);
    }

    #[test]
    fn nothing_is_tried_while_there_is_little_to_do() {
        assert_eq!(Simulated::new().run(MINUTE, 10_000, 20_000), 0.0);
    }

    #[test]
    fn what_was_right_before_a_pause_is_not_taken_for_right_after_it() {
        let mut server = Simulated::new();
        server.run(10 * MINUTE, 75_000, 27_000);
        server.run(Duration::from_millis(100), 0, 0);
        assert!(server.run(Duration::from_secs(2), 110_000, 160_000) > 0.9);
    }

    #[test]
    fn a_change_is_noticed() {
        let mut server = Simulated::new();
        server.run(MINUTE, 110_000, 160_000);
        server.run(LONGEST_HOLD + Duration::from_secs(1), 75_000, 50_000);
        assert!(server.run(MINUTE, 75_000, 50_000) < 0.05);
    }
}
