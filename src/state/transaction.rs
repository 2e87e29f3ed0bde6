//! What a connection has queued since MULTI.
//!
//! Requests are copied out of the receive buffer into one buffer of the queue, with the positions of their arguments
//! and the hashes of their keys, so that EXEC has only to run them. Large arguments are shared. Commands are numbers in
//! the command table: this module knows nothing of what they do.

use crate::keyspace::hash::KeyHash;
use crate::keyspace::view::Hashed;
use crate::resp::scan::{LARGE_ARG_FROM_BYTES, Request, Span};
use bytes::Bytes;
use std::cell::Cell;
use std::ops::Range;

/// A worker keeps one queue that is out of use, if its buffers are not larger than this, bytes.
const KEEP_BYTES: usize = 64 * 1024;

/// Positions in a queue's buffer are of 32 bits.
const MAX_QUEUED_BYTES: usize = u32::MAX as usize;

thread_local! {
    /// The queue that is out of use: connections that use MULTI at all use it all the time.
    static SPARE: Cell<Option<Box<Transaction>>> = const { Cell::new(None) };
}

/// The commands of one transaction. See the module's head.
#[derive(Default)]
pub struct Transaction {
    bytes: Vec<u8>,
    large: Vec<Bytes>,
    large_bytes: usize,
    spans: Vec<Span>,
    keys: Vec<KeyHash>,
    commands: Vec<Queued>,
    /// Flags of all queued commands together, as their records have them.
    pub flags: u32,
    /// A command could not be queued: EXEC is going to refuse.
    pub failed: bool,
}

struct Queued {
    /// Number in the command table.
    command: usize,
    spans: Range<u32>,
    keys: Range<u32>,
}

impl Transaction {
    /// An empty one.
    pub fn begin() -> Box<Transaction> {
        SPARE.take().unwrap_or_default()
    }

    /// Gives the memory back for the next transaction of this worker.
    pub fn end(mut self: Box<Transaction>) {
        let Transaction { bytes, large, large_bytes, spans, keys, commands, flags, failed } = &mut *self;
        bytes.clear();
        large.clear();
        spans.clear();
        keys.clear();
        commands.clear();
        (*large_bytes, *flags, *failed) = (0, 0, false);
        if self.capacity_bytes() <= KEEP_BYTES {
            SPARE.set(Some(self));
        }
    }

    /// Whether the request can be queued, as far as its size goes.
    pub fn has_room(&self, request: Request<'_>) -> bool {
        let bytes: usize = request.iter().map(<[u8]>::len).sum();
        self.bytes.len() + bytes <= MAX_QUEUED_BYTES
    }

    /// Queues a request for command number `command` whose flags these are. `keys` are the hashes of those keys by
    /// which it is locked. There must be room.
    pub fn push(&mut self, command: usize, flags: u32, request: Request<'_>, keys: &[Hashed]) {
        let (first_span, first_key) = (self.spans.len() as u32, self.keys.len() as u32);
        for at in 0..request.len() {
            let arg = request.get(at);
            if arg.len() >= LARGE_ARG_FROM_BYTES {
                let shared = match request.span(at) {
                    Span::Large(_) => request.large(at).clone(),
                    Span::Buffered { .. } => Bytes::copy_from_slice(arg),
                };
                self.large_bytes += shared.len();
                self.spans.push(Span::Large(self.large.len() as u32));
                self.large.push(shared);
            } else {
                self.spans.push(Span::Buffered { start: self.bytes.len() as u32, len: arg.len() as u32 });
                self.bytes.extend_from_slice(arg);
            }
        }
        self.keys.extend(keys.iter().map(|key| key.hash));
        self.flags |= flags;
        self.commands.push(Queued {
            command,
            spans: first_span..self.spans.len() as u32,
            keys: first_key..self.keys.len() as u32,
        });
    }

    /// The number of queued commands.
    pub fn len(&self) -> usize {
        self.commands.len()
    }

    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// The queued commands in order: number in the command table, request, hashes of keys.
    pub fn commands(&self) -> impl Iterator<Item = (usize, Request<'_>, &[KeyHash])> {
        self.commands.iter().map(|queued| {
            let spans = &self.spans[queued.spans.start as usize..queued.spans.end as usize];
            let keys = &self.keys[queued.keys.start as usize..queued.keys.end as usize];
            (queued.command, Request::new(&self.bytes, &self.large, spans), keys)
        })
    }

    /// Bytes of the queued arguments.
    pub fn args_bytes(&self) -> usize {
        self.bytes.len() + self.large_bytes
    }

    /// Memory of what is queued.
    pub fn bytes(&self) -> usize {
        self.args_bytes()
            + self.large.len() * size_of::<Bytes>()
            + self.spans.len() * size_of::<Span>()
            + self.keys.len() * size_of::<KeyHash>()
            + self.commands.len() * size_of::<Queued>()
    }

    /// Memory of the buffers.
    fn capacity_bytes(&self) -> usize {
        self.bytes.capacity()
            + self.large.capacity() * size_of::<Bytes>()
            + self.spans.capacity() * size_of::<Span>()
            + self.keys.capacity() * size_of::<KeyHash>()
            + self.commands.capacity() * size_of::<Queued>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::hash::KeyHasher;

    #[test]
    fn what_is_queued_comes_out_in_order() {
        let hasher = KeyHasher::new(16);
        let buf = b"setkeyvalueget";
        let large = [Bytes::from(vec![b'x'; LARGE_ARG_FROM_BYTES])];
        let span = |start, len| Span::Buffered { start, len };
        let set = [span(0, 3), span(3, 3), span(6, 5)];
        let get = [span(11, 3), Span::Large(0)];
        let key = Hashed::new(&buf[3..6], hasher.hash(b"key"));
        let mut transaction = Transaction::begin();
        for _ in 0..2 {
            assert!(transaction.is_empty() && !transaction.failed);
            transaction.push(7, 1, Request::new(buf, &large, &set), &[key]);
            transaction.push(9, 4, Request::new(buf, &large, &get), &[]);
            transaction.failed = true;
            let commands: Vec<_> = transaction.commands().collect();
            assert_eq!((transaction.len(), transaction.flags), (2, 5));
            assert_eq!(transaction.args_bytes(), 14 + LARGE_ARG_FROM_BYTES);
            let (command, request, keys) = commands[0];
            assert_eq!((command, keys), (7, [hasher.hash(b"key")].as_slice()));
            assert!(request.iter().eq([b"set".as_slice(), b"key", b"value"]));
            let (command, request, keys) = commands[1];
            assert_eq!((command, keys.len(), request.len()), (9, 0, 2));
            assert_eq!(request.get(1).as_ptr(), large[0].as_ptr(), "large arguments are shared");
            transaction.end();
            transaction = Transaction::begin();
        }
    }
}
