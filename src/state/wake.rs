//! Waking tasks when the round is over, not at once.
//!
//! Whoever sends something to many connections, or to one connection many times, would wake each of them in the
//! middle of its own work: they would send one message each time, with a system call each. So a worker gathers
//! whom it has to wake and wakes them when all tasks that were ready have had their turn, as an event loop sends
//! what it has to send before it sleeps. On a thread without rounds, tasks are woken at once.
//!
//! To wake a task of another worker takes a system call. So tasks of another worker are left with its [`Bell`], which is
//! rung once for all of them.

use super::clients::Client;
use crossbeam_utils::CachePadded;
use parking_lot::Mutex;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::sync::{Arc, OnceLock};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

/// Room for this many tasks is kept from round to round.
const KEEP_ROOM: usize = 1024;

/// While a worker has other work, connections with mail sleep on for so long at most.
const LONGEST_GATHERING: Duration = Duration::from_micros(200);

/// At most so many replies are sent by the thread itself at the end of a round: they take a system call each.
const MAX_DELIVERED: usize = 16;

/// Where other threads leave which of a worker's tasks are to be woken.
#[derive(Default)]
pub struct Bell {
    sleeping: Mutex<Vec<Waker>>,
    /// Makes the worker look there.
    ringer: OnceLock<Waker>,
}

impl Bell {
    /// Leaves tasks here, and takes them out of `sleeping`.
    fn leave(&self, sleeping: &mut Vec<Waker>) {
        let Some(ringer) = self.ringer.get() else { return sleeping.drain(..).for_each(Waker::wake) };
        let mut all = self.sleeping.lock();
        let was_empty = all.is_empty();
        all.append(sleeping);
        drop(all);
        if was_empty {
            ringer.wake_by_ref();
        }
    }

    /// Whether somebody was left here.
    fn has_rung(&self) -> bool {
        !self.sleeping.lock().is_empty()
    }

    fn wake_all(&self) {
        let mut all = self.sleeping.lock();
        all.drain(..).for_each(Waker::wake);
        all.shrink_to(KEEP_ROOM);
    }
}

/// The bells of all workers, by their numbers.
pub type Bells = Arc<[CachePadded<Bell>]>;

/// For so many workers.
pub fn bells(workers: usize) -> Bells {
    (0..workers).map(|_| CachePadded::default()).collect()
}

/// A worker's place among the others.
#[derive(Clone)]
pub struct Place {
    pub bells: Bells,
    pub worker: usize,
}

/// A thread's round.
struct Round {
    /// Whom to wake at its end, by worker.
    sleeping: RefCell<Vec<Vec<Waker>>>,
    place: RefCell<Option<Place>>,
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
                place: RefCell::new(None),
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

    fn wake(&self) {
        let place = self.place.borrow();
        for (worker, sleeping) in self.sleeping.borrow_mut().iter_mut().enumerate() {
            match &*place {
                Some(place) if place.worker != worker && !sleeping.is_empty() => {
                    place.bells[worker].leave(sleeping);
                }
                _ => sleeping.drain(..).for_each(Waker::wake),
            }
            sleeping.shrink_to(KEEP_ROOM);
        }
    }

    fn deliver(&self) {
        let mut served = self.served.borrow_mut();
        for (at, client) in served.drain(..).enumerate() {
            if at >= MAX_DELIVERED || !client.mailbox.let_out() {
                client.wake();
            }
        }
        served.shrink_to(KEEP_ROOM);
    }
}

/// Wakes a task of this worker at the end of this thread's round.
pub fn soon(worker: usize, waker: &Waker) {
    ROUND.with(|round| {
        if !round.is_going_to_end() {
            return waker.wake_by_ref();
        }
        let mut sleeping = round.sleeping.borrow_mut();
        if sleeping.len() <= worker {
            sleeping.resize_with(worker + 1, Vec::new);
        }
        sleeping[worker].push(waker.clone());
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
            round.deliver();
            round.wake();
            if let Some(place) = round.place.take() {
                place.bells[place.worker].wake_all();
            }
        });
    }
}

/// Gives a worker's thread rounds, as long as this future lives. It has to be a task of its own: being woken, it comes to
/// run behind all tasks that were ready before. `turns` counts what the worker does otherwise.
pub async fn rounds(place: Place, turns: impl Fn() -> u64) {
    let _last = LastRound;
    let mut awaited = turns();
    poll_fn(|cx| {
        place.bells[place.worker].ringer.get_or_init(|| cx.waker().clone());
        ROUND.with(|round| {
            round.place.replace(Some(place.clone()));
            round.end.replace(Some(cx.waker().clone()));
        });
        Poll::Ready(())
    })
    .await;
    loop {
        poll_fn(|_| {
            match ROUND.with(|round| round.is_ending.take()) | place.bells[place.worker].has_rung() {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
        ROUND.with(Round::deliver);
        let started = Instant::now();
        // Whoever has mail and is going to have a reply soon gets both at once.
        while awaited != turns() && started.elapsed() < LONGEST_GATHERING {
            awaited = turns();
            tokio::task::yield_now().await;
        }
        place.bells[place.worker].wake_all();
        ROUND.with(Round::wake);
    }
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
        let place = Place { bells: bells(2), worker: 0 };
        let soon = |waker| soon(0, waker);
        soon(&waker);
        assert_eq!(woken(), 1, "no rounds: at once");
        local.block_on(&runtime, async {
            let rounds = tokio::task::spawn_local(rounds(place, || 0));
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

    #[test]
    fn tasks_of_another_worker_are_woken_by_it_and_it_is_woken_once() {
        let bell = Bell::default();
        let (tasks, ringer) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let some = |amount| vec![Waker::from(tasks.clone()); amount];
        bell.leave(&mut some(2));
        assert_eq!(tasks.0.load(Ordering::Relaxed), 2, "nobody is there to do it");
        bell.ringer.set(ringer.clone().into()).unwrap();
        bell.leave(&mut some(3));
        bell.leave(&mut some(1));
        assert_eq!((tasks.0.load(Ordering::Relaxed), ringer.0.load(Ordering::Relaxed)), (2, 1));
        bell.wake_all();
        assert_eq!(tasks.0.load(Ordering::Relaxed), 6);
        bell.leave(&mut some(1));
        assert_eq!(ringer.0.load(Ordering::Relaxed), 2);
    }
}
