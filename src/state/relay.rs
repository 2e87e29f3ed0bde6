//! Relays: messages on their way to many subscribers, handed over once to each worker, not once to each subscriber.
//!
//! A publisher puts a message into the relay of every worker that serves somebody who listens. The worker spreads it
//! among its own connections later, together with the messages that have come meanwhile: what was published to one
//! channel in a row goes into each mailbox as one piece. So publishing costs the same whatever the number of
//! subscribers, and these cost their own workers, not the publisher's.
//!
//! Nothing is seen out of order because of it. Whoever puts anything else into a subscriber's mailbox, changes
//! who listens, or runs a subscriber's commands, first has spread what is in the relay ([`Relay::spread`], which any
//! thread may call). A publisher that finds too much there does it too: a relay is bounded, and a worker that is slow
//! slows down who publishes.
//!
//! Lock order: a channel's shard, a relay's spreading, its queue or a group's members, a mailbox.

use super::clients::Client;
use crate::resp::reply::{Proto, Reply};
use crate::state::wake;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::future::poll_fn;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

/// A relay that holds more is spread by whoever has filled it.
const MAX_WAITING_BYTES: usize = 1024 * 1024;

/// A queue keeps room for this many bytes from one spreading to the next.
const KEEP_BYTES: usize = 64 * 1024;

/// While a worker has other work, messages gather for about as long as it takes to send them to all who get them: a
/// system call each,
const SEND_TIME: Duration = Duration::from_micros(4);

/// but for no longer than this.
const LONGEST_GATHERING: Duration = Duration::from_millis(1);

/// Connections of one worker that listen to the same channel or pattern.
pub struct Group {
    relay: Arc<Relay>,
    members: Mutex<HashMap<u64, Arc<Client>, ahash::RandomState>>,
    size: AtomicUsize,
}

impl Group {
    pub fn new(relay: Arc<Relay>) -> Group {
        Group { relay, members: Mutex::default(), size: AtomicUsize::new(0) }
    }

    pub fn relay(&self) -> &Arc<Relay> {
        &self.relay
    }

    /// How many listen.
    pub fn size(&self) -> usize {
        self.size.load(Ordering::Relaxed)
    }

    /// How many of them are not being closed.
    pub fn live(&self) -> usize {
        self.members.lock().values().filter(|client| !client.is_killed()).count()
    }

    /// Adds a client, to be called under the lock of the channel: it gets what is published from now on.
    pub fn insert(&self, client: &Arc<Client>) {
        self.relay.spread();
        let mut members = self.members.lock();
        members.insert(client.id, client.clone());
        self.size.store(members.len(), Ordering::Relaxed);
    }

    /// Takes a client out, under the same lock: what was published before is in its mailbox. Whether it was there.
    pub fn remove(&self, id: u64) -> bool {
        self.relay.spread();
        let mut members = self.members.lock();
        let was_there = members.remove(&id).is_some();
        self.size.store(members.len(), Ordering::Relaxed);
        was_there
    }
}

/// Messages to one group, one after the other.
struct Run {
    to: Arc<Group>,
    /// Where its bytes end; they begin where those of the run before end.
    end: usize,
}

/// Messages in order.
#[derive(Default)]
struct Queue {
    /// In the form of RESP2, the default.
    text: Reply,
    /// Where each message begins.
    starts: Vec<usize>,
    runs: Vec<Run>,
}

impl Queue {
    fn clear(&mut self) {
        self.text.clear(KEEP_BYTES);
        self.starts.clear();
        self.starts.shrink_to(KEEP_BYTES / size_of::<usize>());
        self.runs.clear();
    }

    /// The runs with their bytes, and the range of the messages in [`Queue::starts`].
    fn each(&self, mut f: impl FnMut(&Group, &[u8], Range<usize>)) {
        let (mut from, mut first) = (0, 0);
        // Messages are copied into it, never attached.
        let text = self.text.plain().unwrap_or_default();
        for Run { to, end } in &self.runs {
            let after = first + self.starts[first..].partition_point(|start| start < end);
            f(to, &text[from..*end], first..after);
            (from, first) = (*end, after);
        }
    }
}

/// Messages for the subscribers that one worker serves. See the module's head.
#[derive(Default)]
pub struct Relay {
    worker: usize,
    has_mail: AtomicBool,
    queue: Mutex<Queue>,
    /// Held while messages are spread, so that they are in order; what is in it is only kept for its room.
    spreading: Mutex<Queue>,
    /// Wakes the worker's task.
    waker: OnceLock<Waker>,
}

impl Relay {
    pub fn new(worker: usize) -> Relay {
        Relay { worker, ..Relay::default() }
    }

    /// Puts in a message to all of `group`, a push that `write` copies there. To be called under the lock of the channel.
    pub fn put(&self, group: &Arc<Group>, write: impl FnOnce(&mut Reply)) {
        let mut queue = self.queue.lock();
        let was_empty = queue.runs.is_empty();
        let start = queue.text.len();
        queue.starts.push(start);
        write(&mut queue.text);
        let end = queue.text.len();
        match queue.runs.last_mut() {
            Some(run) if Arc::ptr_eq(&run.to, group) => run.end = end,
            _ => queue.runs.push(Run { to: group.clone(), end }),
        }
        if was_empty {
            self.has_mail.store(true, Ordering::Release);
        }
        drop(queue);
        if was_empty && let Some(waker) = self.waker.get() {
            wake::soon(self.worker, waker);
        }
        if end > MAX_WAITING_BYTES {
            self.spread();
        }
    }

    /// Puts all messages into the mailboxes of those whom they concern. They are there when this returns, whoever has
    /// done it. Returns to how many connections something was given.
    #[inline]
    pub fn spread(&self) -> usize {
        // Whoever has to see a message here has learnt of it from the one who has put it in, or holds the channel's lock.
        if self.has_mail.load(Ordering::Acquire) { self.spread_all() } else { 0 }
    }

    #[cold]
    fn spread_all(&self) -> usize {
        let mut messages = self.spreading.lock();
        std::mem::swap(&mut *messages, &mut *self.queue.lock());
        let mut given = 0;
        messages.each(|group, bytes, starts| {
            let from = messages.starts[starts.start];
            let mut forms =
                Forms { resp2: bytes, starts: &messages.starts[starts], from, shared: [None, None] };
            let members = group.members.lock();
            for client in members.values() {
                client.put_mail(|mail| mail.raw_shared(forms.of(mail.proto())));
            }
            given += members.len();
        });
        messages.clear();
        // Not before they are in the mailboxes: who sees that there is nothing here looks there.
        let queue = self.queue.lock();
        self.has_mail.store(!queue.runs.is_empty(), Ordering::Release);
        given
    }
}

/// One run of messages as each protocol has it.
struct Forms<'a> {
    resp2: &'a [u8],
    /// Where messages begin; the first is at `from`.
    starts: &'a [usize],
    from: usize,
    shared: [Option<Bytes>; 2],
}

impl Forms<'_> {
    fn of(&mut self, proto: Proto) -> &Bytes {
        let Forms { resp2, starts, from, shared } = self;
        shared[usize::from(proto == Proto::Resp3)].get_or_insert_with(|| {
            let mut bytes = resp2.to_vec();
            if proto == Proto::Resp3 {
                // It is all that a push of strings differs in.
                starts.iter().for_each(|start| bytes[start - *from] = b'>');
            }
            bytes.into()
        })
    }
}

/// Spreads what comes into a relay, as long as this future lives: a task of the relay's worker. `turns` counts what else
/// the worker does.
pub async fn serve(relay: Arc<Relay>, turns: impl Fn() -> u64) {
    poll_fn(|cx| {
        relay.waker.get_or_init(|| cx.waker().clone());
        Poll::Ready(())
    })
    .await;
    let mut gathering = Duration::ZERO;
    loop {
        poll_fn(|_| if relay.has_mail.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending })
            .await;
        let started = Instant::now();
        loop {
            let before = turns();
            // All that is ready has its turn, and sockets are looked at.
            tokio::task::yield_now().await;
            if turns() == before || started.elapsed() >= gathering {
                break;
            }
        }
        let given = relay.spread();
        gathering = (SEND_TIME * given as u32).min(LONGEST_GATHERING);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::clients::Transport;

    fn client(id: u64, proto: Proto) -> Arc<Client> {
        let client = Client::new(id, Transport::Tcp, format!("1.2.3.4:{id}"), "0.0.0.0:6".into(), 3, 0);
        client.mailbox.set_proto(proto);
        Arc::new(client)
    }

    fn mail(client: &Client) -> String {
        let mut out = Reply::default();
        client.mailbox.empty_into(&mut out);
        out.parts().map(|part| String::from_utf8_lossy(part.as_slice()).into_owned()).collect()
    }

    fn put(relay: &Relay, group: &Arc<Group>, text: &str) {
        relay.put(group, |out| {
            out.push(1);
            out.text(text);
        });
    }

    #[test]
    fn every_member_gets_what_was_put_in_while_it_was_one_in_order_and_in_its_protocol() {
        let relay = Arc::new(Relay::default());
        let (news, rare) = (Arc::new(Group::new(relay.clone())), Arc::new(Group::new(relay.clone())));
        let (a, b) = (client(1, Proto::Resp2), client(2, Proto::Resp3));
        for group in [&news, &rare] {
            group.insert(&a);
        }
        put(&relay, &news, "before");
        news.insert(&b);
        put(&relay, &news, "1");
        put(&relay, &news, "2");
        put(&relay, &rare, "3");
        put(&relay, &news, "4");
        assert!(news.remove(1));
        put(&relay, &news, "5");
        assert_eq!(
            (mail(&a), mail(&b)),
            (text('*', &["before", "1", "2", "3", "4"]), text('>', &["1", "2", "4"]))
        );
        assert_eq!((relay.spread(), relay.spread()), (1, 0));
        assert_eq!((mail(&a), mail(&b)), (String::new(), text('>', &["5"])));
        assert!(!news.remove(1) && news.size() == 1 && rare.size() == 1);
    }

    fn text(kind: char, messages: &[&str]) -> String {
        messages.iter().map(|text| format!("{kind}1\r\n${}\r\n{text}\r\n", text.len())).collect()
    }

    #[test]
    fn a_relay_that_nobody_spreads_is_spread_by_whoever_fills_it() {
        let relay = Arc::new(Relay::default());
        let group = Arc::new(Group::new(relay.clone()));
        let listener = client(1, Proto::Resp2);
        group.insert(&listener);
        let message = "x".repeat(1000);
        let messages = 3 * MAX_WAITING_BYTES / message.len();
        for _ in 0..messages {
            put(&relay, &group, &message);
            assert!(relay.queue.lock().text.len() <= MAX_WAITING_BYTES);
        }
        relay.spread();
        assert_eq!(mail(&listener).matches(&message).count(), messages);
    }

    #[test]
    fn threads_that_publish_and_spread_lose_nothing_and_keep_the_order() {
        const MESSAGES: usize = 2000;
        let relay = Arc::new(Relay::default());
        let group = Arc::new(Group::new(relay.clone()));
        let listener = client(1, Proto::Resp3);
        group.insert(&listener);
        let channel = Mutex::new(0);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..MESSAGES {
                        let mut next = channel.lock();
                        *next += 1;
                        put(&relay, &group, &next.to_string());
                        drop(next);
                        relay.spread();
                    }
                });
            }
        });
        let expected: Vec<String> = (1..=3 * MESSAGES).map(|at| at.to_string()).collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        assert!(mail(&listener) == text('>', &expected));
    }
}
