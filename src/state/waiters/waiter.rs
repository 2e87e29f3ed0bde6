//! One client that waits: what it waits for, and the claim that decides who ends its wait.

use crate::keyspace::View;
use crate::resp::reply::{Proto, Reply};
use crate::state::clients::Client;
use crate::state::wake;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// A command that waits for its keys, as data: it is carried out by whoever makes one of them ready.
pub trait Operation: Send + Sync {
    /// The keys that it waits for, as the command names them.
    fn keys(&self) -> &[Box<[u8]>];

    /// A further key whose shard has to be locked to carry it out.
    fn destination(&self) -> Option<&[u8]> {
        None
    }

    /// Whether it also ends when one of its keys is gone or becomes something else.
    fn ends_without_key(&self) -> bool {
        false
    }

    /// Whether `key`, one of its keys, ends the wait as it is now. The view has the shard of the key, and the
    /// operation's database is selected.
    fn is_ready(&self, view: &View<'_>, key: &[u8]) -> bool;

    /// Does it, and writes the reply. The view has the shard of one ready key at least, and that of the destination;
    /// keys whose shards it has not are left alone.
    ///
    /// # Errors
    /// The line of an error reply.
    fn perform(&self, view: &mut View<'_>, out: &mut Reply) -> Result<(), Vec<u8>>;

    /// Writes the reply of a wait for something else than keys, which has come.
    fn complete(&self, out: &mut Reply) {
        self.give_up(out);
    }

    /// Writes the reply of a wait that was in vain.
    fn give_up(&self, out: &mut Reply) {
        out.null_array();
    }
}

const WAITING: u8 = 0;
/// Somebody is about to end the wait, and nobody else may.
const CLAIMED: u8 = 1;
/// The wait is over, and so is all work on it.
const ENDED: u8 = 2;

/// Who ends a wait is decided by one atomic step: pushers, the clock, CLIENT UNBLOCK and the connection's end may
/// all want to.
#[derive(Default)]
pub struct Claim(AtomicU8);

impl Claim {
    /// True for the first who asks, who then has to end the wait.
    pub fn take(&self) -> bool {
        super::point();
        self.0.compare_exchange(WAITING, CLAIMED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    pub fn is_waiting(&self) -> bool {
        super::point();
        self.0.load(Ordering::Acquire) == WAITING
    }

    /// What was done before is seen by whoever sees the end.
    fn end(&self) {
        super::point();
        self.0.store(ENDED, Ordering::Release);
    }

    fn has_ended(&self) -> bool {
        self.0.load(Ordering::Acquire) == ENDED
    }
}

/// What became of a wait.
#[derive(Default)]
pub struct Outcome {
    /// How long the operation took that ended the wait, nanoseconds.
    pub nanos: u64,
    /// The code of the error, if the reply is one.
    pub error: Option<String>,
}

/// How CLIENT UNBLOCK ends a wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unblock {
    /// As if its time were over.
    Timeout,
    Error,
}

/// The command that waits, as far as it is counted and logged when it is over.
#[derive(Default, Debug)]
pub struct Bill {
    /// The command's number in the table, and its arguments as a log may show them.
    pub command: usize,
    pub args: Vec<Box<[u8]>>,
    /// How long it ran before it began to wait, nanoseconds.
    pub nanos: AtomicU64,
}

/// What has to be known of the connection that waits.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    pub proto: Proto,
    /// The client wants no reply.
    pub silent: bool,
    /// The wait ends by itself.
    pub is_timed: bool,
}

/// One wait of one client.
pub struct Waiter {
    /// Counts up with each wait: who comes first is served first.
    pub(super) ordinal: u64,
    pub client: Arc<Client>,
    pub bill: Bill,
    pub(super) db: usize,
    pub(super) operation: Box<dyn Operation>,
    /// In which part of the queues each of the keys is.
    pub(super) parts: Box<[usize]>,
    pub(super) claim: Claim,
    pub(super) terms: Terms,
    outcome: Mutex<Option<Outcome>>,
}

impl Waiter {
    pub(super) fn new(
        ordinal: u64,
        client: Arc<Client>,
        db: usize,
        operation: Box<dyn Operation>,
        parts: Box<[usize]>,
        (terms, bill): (Terms, Bill),
    ) -> Waiter {
        Waiter {
            ordinal,
            client,
            bill,
            db,
            operation,
            parts,
            claim: Claim::default(),
            terms,
            outcome: Mutex::default(),
        }
    }

    /// Ends a wait that was claimed by the caller: `write` writes the reply, or returns the line of an error. The reply
    /// goes to the client's mailbox.
    pub(super) fn end(&self, write: impl FnOnce(&mut Reply) -> Result<(), Vec<u8>>) {
        let clock = std::time::Instant::now();
        let mut reply = Reply::new(self.terms.proto);
        let error = write(&mut reply).err().map(|line| {
            reply.truncate(0);
            reply.error(&line);
            let code = line.split(|byte| *byte == b' ').next().unwrap_or_default();
            String::from_utf8_lossy(code).into_owned()
        });
        if !self.terms.silent {
            // The connection is woken below, not by its mail: it must not be awake before the wait has ended.
            self.client.spread_relay();
            self.client.mailbox.put(|mail| mail.append(&reply));
        }
        *self.outcome.lock() = Some(Outcome { nanos: clock.elapsed().as_nanos() as u64, error });
        self.claim.end();
        wake::deliver_soon(&self.client);
    }

    pub fn is_waiting(&self) -> bool {
        self.claim.is_waiting()
    }

    /// Whether the wait is over, and the reply on its way.
    pub fn has_ended(&self) -> bool {
        self.claim.has_ended()
    }

    /// What became of the wait, for the first who asks when it is over: who then counts the command.
    pub fn take_outcome(&self) -> Option<Outcome> {
        if self.has_ended() { self.outcome.lock().take() } else { None }
    }
}
