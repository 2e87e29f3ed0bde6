//! How a reaper (see [`super::expire`]) that sleeps until the next deadline learns of an earlier one, without a
//! lock on either side.
//!
//! A writer publishes a due time, then looks until when the reaper means to sleep; the reaper announces until
//! when it means to sleep, then looks at the due times once more. Between its store and its load each has a
//! sequentially consistent fence, so that at least one of them sees the other (Dekker's handshake): either the
//! reaper's second look finds the new due time, or the writer finds that it must wake the reaper.
//!
//! Generic over the memory, so that `loom` can check this very code. Knows nothing of keys or wheels.

use std::sync::atomic::{AtomicI64, Ordering, fence};

/// A number shared between threads, read and written without order, and the fence that makes one.
pub trait Memory {
    fn load(&self) -> i64;
    fn store(&self, value: i64);
    /// Sequentially consistent.
    fn fence();
}

impl Memory for AtomicI64 {
    #[inline]
    fn load(&self) -> i64 {
        self.load(Ordering::Relaxed)
    }

    #[inline]
    fn store(&self, value: i64) {
        self.store(value, Ordering::Relaxed);
    }

    #[inline]
    fn fence() {
        fence(Ordering::SeqCst);
    }
}

/// Until when a reaper means to sleep (Unix milliseconds); 0 while it is awake.
pub struct Nap<M = AtomicI64>(M);

impl<M: Memory> Nap<M> {
    pub fn new(awake: M) -> Nap<M> {
        awake.store(0);
        Nap(awake)
    }

    /// Announces that the reaper is about to sleep until what `next_due` finds. Returns until when it may.
    pub fn begin(&self, next_due: impl Fn() -> i64) -> i64 {
        self.0.store(next_due());
        M::fence();
        next_due()
    }

    /// The reaper is awake.
    pub fn end(&self) {
        self.0.store(0);
    }

    /// Whether the reaper, as far as it had not seen a due time that was just published, must be woken for it.
    #[inline]
    pub fn is_too_long_for(&self, due_ms: i64) -> bool {
        M::fence();
        due_ms < self.0.load()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicBool, AtomicI64 as Modelled};
    use std::panic::catch_unwind;

    const EARLIER_MS: i64 = 5;

    impl Memory for Modelled {
        fn load(&self) -> i64 {
            self.load(Ordering::Relaxed)
        }

        fn store(&self, value: i64) {
            self.store(value, Ordering::Relaxed);
        }

        fn fence() {
            loom::sync::atomic::fence(Ordering::SeqCst);
        }
    }

    /// The same without fences.
    struct Unfenced(Modelled);

    impl Memory for Unfenced {
        fn load(&self) -> i64 {
            self.0.load(Ordering::Relaxed)
        }

        fn store(&self, value: i64) {
            self.0.store(value, Ordering::Relaxed);
        }

        fn fence() {}
    }

    /// Under every interleaving and every reordering that the memory model allows: a reaper goes to sleep while
    /// writers publish earlier and earlier due times.
    fn nobody_oversleeps<M: Memory + Send + Sync + 'static>(memory: fn() -> M, writers: i64) {
        loom::model(move || {
            let due = Arc::new(memory());
            due.store(i64::MAX);
            let nap = Arc::new(Nap::new(memory()));
            let woken = Arc::new(AtomicBool::new(false));
            let writer = {
                let (due, nap, woken) = (due.clone(), nap.clone(), woken.clone());
                loom::thread::spawn(move || {
                    for n in (0..writers).rev() {
                        due.store(EARLIER_MS + n);
                        if nap.is_too_long_for(EARLIER_MS + n) {
                            woken.store(true, Ordering::Relaxed);
                        }
                    }
                })
            };
            let until = nap.begin(|| due.load());
            writer.join().unwrap();
            assert!(until <= EARLIER_MS || woken.load(Ordering::Relaxed), "sleeps until {until}");
        });
    }

    #[test]
    fn an_earlier_due_time_is_seen_or_wakes() {
        nobody_oversleeps(|| Modelled::new(0), 1);
        nobody_oversleeps(|| Modelled::new(0), 2);
    }

    #[test]
    fn without_fences_the_reaper_oversleeps() {
        assert!(catch_unwind(|| nobody_oversleeps(|| Unfenced(Modelled::new(0)), 1)).is_err());
    }
}
