//! Waking tasks when the round is over, not at once.
//!
//! Whoever sends something to many connections, or to one connection many times, would wake each of them in the
//! middle of its own work: they would send one message each time, with a system call each. So a worker gathers
//! whom it has to wake and wakes them when all tasks that were ready have had their turn, as an event loop sends
//! what it has to send before it sleeps. On a thread without rounds, tasks are woken at once.

use super::clients::Client;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

/// Room for this many tasks is kept from round to round.
const KEEP_ROOM: usize = 1024;

/// At most so many replies are sent by the thread itself at the end of a round: they take a system call each.
const MAX_DELIVERED: usize = 16;

/// A thread's round.
struct Round {
    /// Whom to wake at its end.
    sleeping: RefCell<Vec<Waker>>,
    /// Whose mail to send at its end, or to wake.
    served: RefCell<Vec<Arc<Client>>>,
    /// Makes [`rounds`] run after the tasks that are ready now; none on a thread without rounds.
    end: RefCell<Option<Waker>>,
    /// The end of the round has been asked for.
    is_ending: Cell<bool>,
}

thread_local! {
    static ROUND: Round =
        const {
            Round {
                sleeping: RefCell::new(Vec::new()),
                served: RefCell::new(Vec::new()),
                end: RefCell::new(None),
                is_ending: Cell::new(false),
            }
        };
}

impl Round {
    /// Asks for the end of the round; false if the thread has none.
    fn is_going_to_end(&self) -> bool {
        let end = self.end.borrow();
        if let Some(end) = &*end
            && !self.is_ending.replace(true)
        {
            end.wake_by_ref();
        }
        end.is_some()
    }

    fn end(&self) {
        self.is_ending.set(false);
        let mut sleeping = self.sleeping.borrow_mut();
        sleeping.drain(..).for_each(Waker::wake);
        sleeping.shrink_to(KEEP_ROOM);
        let mut served = self.served.borrow_mut();
        for (at, client) in served.drain(..).enumerate() {
            if at >= MAX_DELIVERED || !client.mailbox.let_out() {
                client.wake();
            }
        }
        served.shrink_to(KEEP_ROOM);
    }
}

/// Wakes a task at the end of this thread's round.
pub fn soon(waker: &Waker) {
    ROUND.with(|round| match round.is_going_to_end() {
        true => round.sleeping.borrow_mut().push(waker.clone()),
        false => waker.wake_by_ref(),
    });
}

/// Sends a client's mail at the end of this thread's round if its connection sleeps (see [`outlet`](super::outlet)),
/// or wakes the connection.
pub fn deliver_soon(client: &Arc<Client>) {
    ROUND.with(|round| match round.is_going_to_end() {
        true => round.served.borrow_mut().push(client.clone()),
        false => client.wake(),
    });
}

/// The thread has rounds no more; whoever waits for the end of the last one is woken.
struct LastRound;

impl Drop for LastRound {
    fn drop(&mut self) {
        ROUND.with(|round| {
            round.end.take();
            round.end();
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
            drop(end);
            round.end();
        });
        Poll::<()>::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
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
