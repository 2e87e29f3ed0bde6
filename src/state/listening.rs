//! How a command has the listeners opened anew (CONFIG SET `port` and `bind`).
//!
//! The listeners belong to the main thread. A request waits for its answer: only then does the command know
//! whether the address could be had. The main thread never waits for a worker, so this cannot lock up.

use parking_lot::Mutex;
use std::sync::mpsc::{SyncSender, sync_channel};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// A request to close all listeners and open those of the configuration; takes the answer.
pub type Request = SyncSender<Result<(), String>>;

/// The line between commands and the main thread.
pub struct Listening {
    requests: UnboundedSender<Request>,
    receiver: Mutex<Option<UnboundedReceiver<Request>>>,
}

impl Default for Listening {
    fn default() -> Listening {
        let (requests, receiver) = unbounded_channel();
        Listening { requests, receiver: Mutex::new(Some(receiver)) }
    }
}

impl Listening {
    /// The receiving end, once.
    pub fn requests(&self) -> Option<UnboundedReceiver<Request>> {
        self.receiver.lock().take()
    }

    /// Has the listeners opened anew.
    ///
    /// # Errors
    /// A sentence for the log, if that failed: there are no listeners then.
    pub fn reopen(&self) -> Result<(), String> {
        let gone = |_| "The server is shutting down".to_owned();
        let (answer, answered) = sync_channel(1);
        self.requests.send(answer).map_err(|_| gone(()))?;
        answered.recv().map_err(|_| gone(()))?
    }
}
