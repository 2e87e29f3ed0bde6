//! Waking tasks when the round is over, not at once.
//!
//! Whoever sends something to many connections, or to one connection many times, would wake each of them in the
//! middle of its own work: they would send one message each time, with a system call each. So a worker gathers
//! whom it has to wake and wakes them when all tasks that were ready have had their turn, as an event loop sends
//! what it has to send before it sleeps. On a thread without rounds, tasks are woken at once.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// Room for this many tasks is kept from round to round.
const KEEP_ROOM: usize = 1024;

/// A thread's round.
struct Round {
    /// Whom to wake at its end.
    sleeping: RefCell<Vec<Waker>>,
    /// Makes [`rounds`] run after the tasks that are ready now; none on a thread without rounds.
    end: RefCell<Option<Waker>>,
    /// The end of the round has been asked for.
    is_ending: Cell<bool>,
}

thread_local! {
    static ROUND: Round =
        const { Round { sleeping: RefCell::new(Vec::new()), end: RefCell::new(None), is_ending: Cell::new(false) } };
}

/// Wakes a task at the end of this thread's round.
pub fn soon(waker: &Waker) {
    ROUND.with(|round| match &*round.end.borrow() {
        None => waker.wake_by_ref(),
        Some(end) => {
            round.sleeping.borrow_mut().push(waker.clone());
            if !round.is_ending.replace(true) {
                end.wake_by_ref();
            }
        }
    });
}

/// The thread has rounds no more; whoever waits for the end of the last one is woken.
struct LastRound;

impl Drop for LastRound {
    fn drop(&mut self) {
        ROUND.with(|round| {
            round.end.take();
            round.is_ending.set(false);
            round.sleeping.take().into_iter().for_each(Waker::wake);
        });
    }
}

/// Gives the thread rounds, as long as this future lives. It has to be a task of its own: being woken, it comes to
/// run behind all tasks that were ready before.
pub async fn rounds() {
    let _last = LastRound;
    poll_fn(|cx| {
        ROUND.with(|round| {
            let mut end = round.end.borrow_mut();
            if !end.as_ref().is_some_and(|end| end.will_wake(cx.waker())) {
                *end = Some(cx.waker().clone());
            }
            round.is_ending.set(false);
            let mut sleeping = round.sleeping.borrow_mut();
            sleeping.drain(..).for_each(Waker::wake);
            sleeping.shrink_to(KEEP_ROOM);
        });
        Poll::<()>::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn tasks_are_woken_behind_those_that_are_ready() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let local = tokio::task::LocalSet::new();
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let woken = || count.0.load(Ordering::Relaxed);
        soon(&waker);
        assert_eq!(woken(), 1, "no rounds: at once");
        local.block_on(&runtime, async {
            let rounds = tokio::task::spawn_local(rounds());
            tokio::task::yield_now().await;
            soon(&waker);
            soon(&waker);
            assert_eq!(woken(), 1);
            tokio::task::yield_now().await;
            assert_eq!(woken(), 3);
            soon(&waker);
            rounds.abort();
            let _ = rounds.await;
            assert_eq!(woken(), 4, "nobody is forgotten");
            soon(&waker);
            assert_eq!(woken(), 5);
        });
    }
}
