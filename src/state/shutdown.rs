//! How the server is asked to stop, and how those who asked learn what became of it.

use parking_lot::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};
use tokio::sync::Notify;

/// SHUTDOWN's options.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Request {
    /// `Some(true)`: save even without save points; `Some(false)`: do not save.
    pub save: Option<bool>,
    /// Do not wait for lagging replicas.
    pub now: bool,
    /// Stop even if something fails on the way.
    pub force: bool,
}

const RUNNING: u8 = 0;
const REQUESTED: u8 = 1;
const STOPPING: u8 = 2;

/// The one way to stop the server.
#[derive(Default)]
pub struct Shutdown {
    state: AtomicU8,
    request: Mutex<Request>,
    requested: Notify,
    /// Told to all who wait when the shutdown was aborted or has begun.
    settled: Notify,
}

impl Shutdown {
    /// Asks for a shutdown.
    pub fn request(&self, request: Request) {
        *self.request.lock() = request;
        let _ = self.state.compare_exchange(RUNNING, REQUESTED, Ordering::AcqRel, Ordering::Acquire);
        self.requested.notify_one();
    }

    /// Takes a request back; `false` if there is none, or it is too late.
    pub fn abort(&self) -> bool {
        let aborted =
            self.state.compare_exchange(REQUESTED, RUNNING, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if aborted {
            self.settled.notify_waiters();
        }
        aborted
    }

    /// Whether a shutdown is asked for that can still be aborted.
    pub fn is_requested(&self) -> bool {
        self.state.load(Ordering::Acquire) == REQUESTED
    }

    /// Whether the server is stopping for good: no new work.
    #[inline]
    pub fn is_stopping(&self) -> bool {
        self.state.load(Ordering::Acquire) == STOPPING
    }

    /// Waits for a request, which can be aborted until it is made final.
    pub async fn requested(&self) -> Request {
        loop {
            self.requested.notified().await;
            if self.state.load(Ordering::Acquire) == REQUESTED {
                return *self.request.lock();
            }
        }
    }

    /// Makes a request final; `false` if it was aborted.
    pub fn settle(&self) -> bool {
        let is_settled =
            self.state.compare_exchange(REQUESTED, STOPPING, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if is_settled {
            self.settled.notify_waiters();
        }
        is_settled
    }

    /// Waits until a request that was made is aborted (`false`) or final (`true`).
    pub async fn settled(&self) -> bool {
        loop {
            let settled = self.settled.notified();
            tokio::pin!(settled);
            settled.as_mut().enable();
            match self.state.load(Ordering::Acquire) {
                RUNNING => return false,
                STOPPING => return true,
                _ => settled.await,
            }
        }
    }
}
