//! The slow log: the latest commands that took longer than the operator likes.
//!
//! What is slow, and which commands are never logged, is decided by the caller. Arguments are shortened as in
//! Redis, so that one entry takes a few kB at most whatever the command was.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

/// Arguments kept of one command; if there are more, the last says how many.
const MAX_ARGS: usize = 32;
/// Bytes kept of one argument; if there are more, a note says how many.
const MAX_ARG_BYTES: usize = 128;

/// One slow command.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// Counts up from 0 and is never used again, not even after a reset.
    pub id: u64,
    /// When it was run, in seconds since 1970.
    pub unix_s: i64,
    /// How long it took.
    pub micros: u64,
    /// The command's words, shortened.
    pub args: Vec<Box<[u8]>>,
    pub client_addr: Box<str>,
    /// Empty if the client has set none.
    pub client_name: Box<[u8]>,
}

/// The log itself; see the [module](self).
pub struct Slowlog {
    // A plain lock: it is only taken for commands that were slow.
    inner: Mutex<Inner>,
}

struct Inner {
    /// Newest first; shared with readers, who can then reply without the lock.
    entries: VecDeque<Arc<Entry>>,
    max_len: usize,
    next_id: u64,
}

impl Slowlog {
    /// A log of up to `max_len` entries.
    pub fn new(max_len: usize) -> Slowlog {
        Slowlog { inner: Mutex::new(Inner { entries: VecDeque::new(), max_len, next_id: 0 }) }
    }

    /// Changes how many entries are kept. With 0 the log is off.
    pub fn set_max_len(&self, max_len: usize) {
        let mut inner = self.inner.lock();
        inner.max_len = max_len;
        inner.entries.truncate(max_len);
    }

    /// Logs a command that took `micros` at `unix_s`.
    pub fn push<'a>(
        &self,
        unix_s: i64,
        micros: u64,
        args: impl ExactSizeIterator<Item = &'a [u8]>,
        client_addr: &str,
        client_name: &[u8],
    ) {
        let args = shorten_all(args);
        let mut inner = self.inner.lock();
        if inner.max_len == 0 {
            return;
        }
        let keep = inner.max_len - 1;
        inner.entries.truncate(keep);
        let id = inner.next_id;
        inner.next_id += 1;
        inner.entries.push_front(Arc::new(Entry {
            id,
            unix_s,
            micros,
            args,
            client_addr: client_addr.into(),
            client_name: client_name.into(),
        }));
    }

    /// The newest `count` entries, newest first.
    pub fn latest(&self, count: usize) -> Vec<Arc<Entry>> {
        self.inner.lock().entries.iter().take(count).cloned().collect()
    }

    pub fn len(&self) -> usize {
        self.inner.lock().entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all entries.
    pub fn reset(&self) {
        self.inner.lock().entries.clear();
    }
}

fn shorten_all<'a>(args: impl ExactSizeIterator<Item = &'a [u8]>) -> Vec<Box<[u8]>> {
    let count = args.len();
    if count <= MAX_ARGS {
        return args.map(shorten).collect();
    }
    // The note takes the place of an argument.
    let kept = MAX_ARGS - 1;
    let note = format!("... ({} more arguments)", count - kept);
    args.take(kept).map(shorten).chain([note.into_bytes().into()]).collect()
}

fn shorten(arg: &[u8]) -> Box<[u8]> {
    match arg.split_at_checked(MAX_ARG_BYTES) {
        Some((kept, rest)) if !rest.is_empty() => {
            [kept, format!("... ({} more bytes)", rest.len()).as_bytes()].concat().into()
        }
        _ => arg.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(log: &Slowlog, args: &[&[u8]]) {
        log.push(1_700_000_000, 12_345, args.iter().copied(), "127.0.0.1:5000", b"me");
    }

    fn ids(log: &Slowlog, count: usize) -> Vec<u64> {
        log.latest(count).iter().map(|entry| entry.id).collect()
    }

    #[test]
    fn newest_first_and_bounded() {
        let log = Slowlog::new(3);
        (0..5).for_each(|_| push(&log, &[b"ping"]));
        assert_eq!(ids(&log, usize::MAX), [4, 3, 2]);
        assert_eq!(ids(&log, 1), [4]);
        log.set_max_len(2);
        assert_eq!(log.len(), 2);
        log.set_max_len(0);
        push(&log, &[b"ping"]);
        assert!(log.is_empty());
        log.set_max_len(10);
        push(&log, &[b"ping"]);
        assert_eq!(ids(&log, 10), [5]);
        log.reset();
        push(&log, &[b"ping"]);
        assert_eq!(ids(&log, 10), [6]);
    }

    #[test]
    fn an_entry_holds_what_was_logged() {
        let log = Slowlog::new(1);
        push(&log, &[b"debug", b"sleep"]);
        assert_eq!(
            *log.latest(1)[0],
            Entry {
                id: 0,
                unix_s: 1_700_000_000,
                micros: 12_345,
                args: vec![(*b"debug").into(), (*b"sleep").into()],
                client_addr: "127.0.0.1:5000".into(),
                client_name: (*b"me").into(),
            }
        );
    }

    #[test]
    fn long_commands_are_shortened() {
        let log = Slowlog::new(10);
        let long = [b'A'; 129];
        push(&log, &[&long[..128], &long]);
        let entry = &log.latest(1)[0];
        assert_eq!(*entry.args[0], long[..128]);
        assert_eq!(*entry.args[1], [&long[..128], b"... (1 more bytes)"].concat());

        push(&log, &[&b"x"[..]; 32]);
        assert_eq!(log.latest(1)[0].args.len(), 32);
        push(&log, &[&b"x"[..]; 33]);
        let entry = &log.latest(1)[0];
        assert_eq!((entry.args.len(), &*entry.args[31]), (32, &b"... (2 more arguments)"[..]));
    }
}
