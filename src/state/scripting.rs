//! Scripts and functions as all workers share them, and which of their runs keep others waiting.

use super::Server;
use crate::script::Purpose;
use crate::script::library::Functions;
use crate::script::store::Scripts;
use crossbeam_utils::CachePadded;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

/// A run that has taken longer than `busy-reply-threshold`.
pub struct SlowRun {
    pub purpose: Purpose,
    /// The SHA1 of a script, or a function's name.
    pub name: String,
    /// The command that runs it.
    pub command: Vec<Vec<u8>>,
    pub started: Instant,
    /// It has called a command that writes: it cannot be ended without leaving its work half done.
    pub has_written: AtomicBool,
    pub is_killed: AtomicBool,
}

/// What became of a request to kill.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Killing {
    Done,
    /// No run is slow.
    NotBusy,
    HasWritten,
    /// What is slow is of the other purpose.
    Other(Purpose),
}

/// Bytes of one worker's interpreters.
#[derive(Default)]
struct Interpreters {
    eval: AtomicUsize,
    functions: AtomicUsize,
}

/// Looks at the connections of a worker, but for one client's: see [`Scripting::attend`].
pub type Attend = fn(&Server, usize, u64);

/// See the module's head.
pub struct Scripting {
    pub scripts: Scripts,
    pub functions: Functions,
    interpreters: Box<[CachePadded<Interpreters>]>,
    slow: Mutex<Vec<Arc<SlowRun>>>,
    /// How many of them there are.
    busy: AtomicUsize,
    attend: Attend,
}

impl Scripting {
    /// `attend` is what [`Scripting::attend`] is to do.
    pub fn new(workers: usize, attend: Attend) -> Scripting {
        Scripting {
            scripts: Scripts::default(),
            functions: Functions::default(),
            interpreters: (0..workers).map(|_| CachePadded::default()).collect(),
            slow: Mutex::default(),
            busy: AtomicUsize::new(0),
            attend,
        }
    }

    /// Called by a slow run of this client, on its worker, now and then: others shall get an answer.
    pub fn attend(&self, server: &Server, worker: usize, running: u64) {
        (self.attend)(server, worker, running);
    }

    /// Whether a script keeps others waiting, so that only some commands are answered.
    #[inline]
    pub fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed) > 0
    }

    /// What the run is for that has kept others waiting longest.
    pub fn busy_with(&self) -> Option<Purpose> {
        self.slow.lock().first().map(|run| run.purpose)
    }

    /// The run that has kept others waiting longest.
    pub fn slowest(&self) -> Option<Arc<SlowRun>> {
        self.slow.lock().first().cloned()
    }

    pub fn add_slow(&self, run: Arc<SlowRun>) {
        self.slow.lock().push(run);
        self.busy.fetch_add(1, Ordering::Relaxed);
    }

    pub fn remove_slow(&self, run: &Arc<SlowRun>) {
        let mut slow = self.slow.lock();
        if let Some(at) = slow.iter().position(|other| Arc::ptr_eq(other, run)) {
            slow.remove(at);
            self.busy.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// SCRIPT KILL and FUNCTION KILL: asks all slow runs of this purpose to end.
    pub fn kill(&self, purpose: Purpose) -> Killing {
        let slow = self.slow.lock();
        let Some(first) = slow.first() else { return Killing::NotBusy };
        let mut outcome = Killing::Other(first.purpose);
        for run in slow.iter().filter(|run| run.purpose == purpose) {
            if !run.has_written.load(Ordering::Relaxed) {
                run.is_killed.store(true, Ordering::Relaxed);
                outcome = Killing::Done;
            } else if outcome != Killing::Done {
                outcome = Killing::HasWritten;
            }
        }
        outcome
    }

    /// States what a worker's interpreter for this purpose takes, bytes.
    pub fn note_bytes(&self, worker: usize, purpose: Purpose, bytes: usize) {
        let interpreters = &self.interpreters[worker];
        let cell = match purpose {
            Purpose::Eval => &interpreters.eval,
            Purpose::Functions => &interpreters.functions,
        };
        cell.store(bytes, Ordering::Relaxed);
    }

    /// Bytes of all workers' interpreters for this purpose.
    pub fn interpreter_bytes(&self, purpose: Purpose) -> usize {
        let one = |interpreters: &CachePadded<Interpreters>| match purpose {
            Purpose::Eval => interpreters.eval.load(Ordering::Relaxed),
            Purpose::Functions => interpreters.functions.load(Ordering::Relaxed),
        };
        self.interpreters.iter().map(one).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(purpose: Purpose) -> Arc<SlowRun> {
        Arc::new(SlowRun {
            purpose,
            name: String::new(),
            command: Vec::new(),
            started: Instant::now(),
            has_written: AtomicBool::new(false),
            is_killed: AtomicBool::new(false),
        })
    }

    #[test]
    fn killing() {
        let scripting = Scripting::new(1, |_, _, _| {});
        assert_eq!(scripting.kill(Purpose::Eval), Killing::NotBusy);
        let (wrote, reads) = (run(Purpose::Eval), run(Purpose::Eval));
        wrote.has_written.store(true, Ordering::Relaxed);
        scripting.add_slow(wrote.clone());
        assert!(scripting.is_busy());
        assert_eq!(scripting.kill(Purpose::Functions), Killing::Other(Purpose::Eval));
        assert_eq!(scripting.kill(Purpose::Eval), Killing::HasWritten);
        scripting.add_slow(reads.clone());
        assert_eq!(scripting.kill(Purpose::Eval), Killing::Done);
        assert!(reads.is_killed.load(Ordering::Relaxed) && !wrote.is_killed.load(Ordering::Relaxed));
        scripting.remove_slow(&wrote);
        scripting.remove_slow(&reads);
        scripting.remove_slow(&reads);
        assert!(!scripting.is_busy());
    }
}
