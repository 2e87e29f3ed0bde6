//! The client table: one record per connection, which CLIENT LIST, KILL and INFO read while the connection
//! runs on its own worker.
//!
//! A connection writes its record after each turn with plain relaxed stores; others only read it, or raise
//! its kill flag and wake it.

use super::mailbox::{Mailbox, Put};
use super::relay::Relay;
use super::waiters::Waiter;
use super::wake;
use super::watch::WatchState;
use crate::resp::reply::Reply;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;

/// How a connection came in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    Tcp,
    Unix,
}

/// The classes of connections that `client-output-buffer-limit` and CLIENT's TYPE tell apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClientClass {
    Normal,
    Replica,
    Pubsub,
}

/// The reply buffer that a connection starts with and may grow to, bytes (Redis's figures).
pub const MAX_REPLY_BUFFER_BYTES: usize = 16 * 1024;

/// What it shrinks to while replies are small.
pub const MIN_REPLY_BUFFER_BYTES: usize = 1024;

/// The connection has to close.
const KILL: u8 = 1;
/// The connection has to give back buffers that it does not need.
const TRIM: u8 = 2;
/// More was put in the mailbox than the output limit allows: the connection has to close, and say why.
const OVERFLOW: u8 = 4;

/// The hard output limits of normal and of subscribed clients, bytes; 0 is none. One server per process.
static NORMAL_LIMIT_BYTES: AtomicUsize = AtomicUsize::new(0);
static PUBSUB_LIMIT_BYTES: AtomicUsize = AtomicUsize::new(0);

/// Connections that have to close and have not yet: while there are any, not every subscriber counts.
static CLOSING: AtomicUsize = AtomicUsize::new(0);

/// Whether any connection is being closed by others.
#[inline]
pub(super) fn any_closing() -> bool {
    CLOSING.load(Ordering::Relaxed) > 0
}

/// Sets the hard output limits that mailboxes keep to, bytes; 0 is none.
pub fn set_output_limits(normal_bytes: usize, pubsub_bytes: usize) {
    NORMAL_LIMIT_BYTES.store(normal_bytes, Ordering::Relaxed);
    PUBSUB_LIMIT_BYTES.store(pubsub_bytes, Ordering::Relaxed);
}

/// What a client said of itself.
#[derive(Clone, Default, Debug)]
pub struct Names {
    pub name: Vec<u8>,
    pub lib_name: Vec<u8>,
    pub lib_ver: Vec<u8>,
    pub user: Vec<u8>,
}

/// One connection, as the rest of the server sees it.
pub struct Client {
    pub id: u64,
    pub transport: Transport,
    /// `ip:port`, or `path:0` of a Unix socket.
    pub addr: String,
    pub laddr: String,
    pub fd: i32,
    /// Unix milliseconds.
    pub created_ms: i64,
    pub worker: usize,
    pub names: Mutex<Names>,
    pub db: AtomicUsize,
    /// Protocol version, 2 or 3.
    pub resp: AtomicU8,
    pub authenticated: AtomicBool,
    pub no_evict: AtomicBool,
    pub no_touch: AtomicBool,
    /// How the client is tracked: the bits of [`Modes`](super::tracking::Modes).
    pub tracking: AtomicU8,
    /// The client that is told of invalidations instead, 0 if none is, -1 if this one is not tracked.
    pub redirect: AtomicI64,
    /// The connection is waiting for the end of a CLIENT PAUSE.
    pub paused: AtomicBool,
    /// What it waits for in a blocking command.
    waiter: Mutex<Option<Arc<Waiter>>>,
    /// How many commands are queued for EXEC, -1 without MULTI.
    pub multi: AtomicI64,
    /// Memory of those, and of the list of watched keys.
    pub multi_bytes: AtomicUsize,
    pub watch: WatchState,
    /// The client has subscriptions.
    pub is_subscriber: AtomicBool,
    /// The client watches by MONITOR.
    pub is_monitor: AtomicBool,
    /// How many channels, patterns and shard channels the client has subscribed to.
    pub subscriptions: [AtomicUsize; 3],
    /// Unix milliseconds of the last command.
    pub last_active_ms: AtomicI64,
    /// Number of the last command in the table, `u32::MAX` if there was none.
    pub last_command: AtomicU32,
    pub query_bytes: AtomicUsize,
    pub query_free_bytes: AtomicUsize,
    pub args_bytes: AtomicUsize,
    /// Bytes that wait in the output queue, in how many chunks.
    pub output_bytes: AtomicUsize,
    pub output_chunks: AtomicUsize,
    /// How much of the output counts as the reply buffer, and not towards the output limits. It follows the
    /// size of the replies; the buffer itself is the worker's.
    pub reply_buffer_bytes: AtomicUsize,
    /// The most that one turn replied since `reply_peak_since_ms`.
    pub reply_peak_bytes: AtomicUsize,
    pub reply_peak_since_ms: AtomicI64,
    /// Since when the output has been over the soft limit, Unix milliseconds; 0 if it is not.
    pub over_soft_limit_since_ms: AtomicI64,
    /// Memory of the connection itself, buffers included.
    pub memory_bytes: AtomicUsize,
    pub total_in_bytes: AtomicU64,
    pub total_out_bytes: AtomicU64,
    pub total_commands: AtomicU64,
    /// What others have for the client; see [`Client::send`].
    pub mailbox: Mailbox,
    /// Where messages may be that are on their way to the mailbox; of a client that has ever subscribed.
    relay: OnceLock<Arc<Relay>>,
    /// [`KILL`], [`TRIM`] and [`OVERFLOW`].
    signals: AtomicU8,
    /// Wakes the connection's task, to look at its flags. A task's waker never changes.
    waker: OnceLock<Waker>,
}

impl Client {
    /// `addr` and `laddr` are as CLIENT LIST shows them.
    pub fn new(id: u64, transport: Transport, addr: String, laddr: String, fd: i32, worker: usize) -> Client {
        let now_ms = crate::keyspace::unix_ms();
        Client {
            id,
            transport,
            addr,
            laddr,
            fd,
            created_ms: now_ms,
            worker,
            names: Mutex::new(Names { user: b"default".to_vec(), ..Names::default() }),
            db: AtomicUsize::new(0),
            resp: AtomicU8::new(2),
            authenticated: AtomicBool::new(false),
            no_evict: AtomicBool::new(false),
            no_touch: AtomicBool::new(false),
            tracking: AtomicU8::new(0),
            redirect: AtomicI64::new(-1),
            paused: AtomicBool::new(false),
            waiter: Mutex::new(None),
            multi: AtomicI64::new(-1),
            multi_bytes: AtomicUsize::new(0),
            watch: WatchState::default(),
            is_subscriber: AtomicBool::new(false),
            is_monitor: AtomicBool::new(false),
            subscriptions: Default::default(),
            last_active_ms: AtomicI64::new(now_ms),
            last_command: AtomicU32::new(u32::MAX),
            query_bytes: AtomicUsize::new(0),
            query_free_bytes: AtomicUsize::new(0),
            args_bytes: AtomicUsize::new(0),
            output_bytes: AtomicUsize::new(0),
            output_chunks: AtomicUsize::new(0),
            reply_buffer_bytes: AtomicUsize::new(MAX_REPLY_BUFFER_BYTES),
            reply_peak_bytes: AtomicUsize::new(0),
            reply_peak_since_ms: AtomicI64::new(now_ms),
            over_soft_limit_since_ms: AtomicI64::new(0),
            memory_bytes: AtomicUsize::new(0),
            total_in_bytes: AtomicU64::new(0),
            total_out_bytes: AtomicU64::new(0),
            total_commands: AtomicU64::new(0),
            mailbox: Mailbox::default(),
            relay: OnceLock::new(),
            signals: AtomicU8::new(0),
            waker: OnceLock::new(),
        }
    }

    /// Whether the peer is on this machine.
    pub fn is_local(&self) -> bool {
        self.transport == Transport::Unix
            || self
                .addr
                .parse::<std::net::SocketAddr>()
                .is_ok_and(|addr| addr.ip().to_canonical().is_loopback())
    }

    /// Seconds since the connection was made.
    pub fn age_secs(&self, now_ms: i64) -> i64 {
        (now_ms - self.created_ms).max(0) / 1000
    }

    /// Counts a command. Only the connection's own task may call this.
    #[inline]
    pub fn count_command(&self) {
        self.total_commands.store(self.total_commands.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// What the connection waits for in a blocking command.
    pub fn waiter(&self) -> Option<Arc<Waiter>> {
        self.waiter.lock().clone()
    }

    /// Called when a wait begins, and by whoever ends it.
    pub(super) fn set_waiter(&self, waiter: Option<Arc<Waiter>>) {
        *self.waiter.lock() = waiter;
    }

    /// Whether the connection waits, in a blocking command or for the end of a CLIENT PAUSE.
    pub fn is_blocked(&self) -> bool {
        self.paused.load(Ordering::Relaxed) || self.waiter.lock().is_some()
    }

    /// The connection's class. So far there are no replicas: they come with replication.
    pub fn class(&self) -> ClientClass {
        if self.is_subscriber.load(Ordering::Relaxed) { ClientClass::Pubsub } else { ClientClass::Normal }
    }

    /// Asks the connection to close. Replies and mail that wait are not delivered.
    pub fn kill(&self) {
        self.mailbox.close();
        self.close_with(KILL);
    }

    fn close_with(&self, signals: u8) {
        if self.signals.fetch_or(signals, Ordering::AcqRel) & KILL == 0 {
            CLOSING.fetch_add(1, Ordering::Relaxed);
        }
        self.wake();
    }

    /// The connection has ended and has no subscriptions any more.
    pub fn has_closed(&self) {
        if self.is_killed() {
            CLOSING.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Has the connection send what `write` writes, behind what others have sent it before and before the reply to
    /// any command that has not begun. False if the connection is being closed, or has to be because of this: its
    /// client takes less than is sent to it.
    ///
    /// May be called by any thread and under any lock, but `write` must not lock anything. The connection is woken
    /// at the end of the round (see [`wake`]).
    pub fn send(&self, write: impl FnOnce(&mut Reply)) -> bool {
        self.spread_relay();
        self.put_mail(write)
    }

    /// As [`Client::send`], past messages that are still in the relay.
    pub(super) fn put_mail(&self, write: impl FnOnce(&mut Reply)) -> bool {
        match self.mailbox.put(write) {
            Put::Added => true,
            Put::Wake => self.has_mail(),
            Put::Closed => false,
        }
    }

    /// Makes sure that all that was published before is in the mailbox.
    #[inline]
    pub fn spread_relay(&self) {
        if let Some(relay) = self.relay.get() {
            relay.spread();
        }
    }

    /// The client subscribes: its messages come through the relay of its worker.
    pub(super) fn set_relay(&self, relay: &Arc<Relay>) {
        self.relay.get_or_init(|| relay.clone());
    }

    /// Wakes the connection for its mail, unless that is too much: the limit is looked at as often as the connection
    /// is woken. False: it is closed.
    fn has_mail(&self) -> bool {
        if let Some(waker) = self.waker.get() {
            wake::soon(self.worker, waker);
        }
        let limit = match self.class() {
            ClientClass::Pubsub => &PUBSUB_LIMIT_BYTES,
            ClientClass::Normal | ClientClass::Replica => &NORMAL_LIMIT_BYTES,
        };
        let limit = limit.load(Ordering::Relaxed);
        if limit != 0 && self.output_beyond_buffer(self.waiting_bytes()) > limit {
            self.mailbox.close();
            self.close_with(OVERFLOW | KILL);
            return false;
        }
        true
    }

    /// Bytes that wait to be sent: in the output queue and in the mailbox.
    pub fn waiting_bytes(&self) -> usize {
        self.output_bytes.load(Ordering::Relaxed) + self.mailbox.bytes()
    }

    /// Memory of the connection with all that waits for it, bytes.
    pub fn total_memory_bytes(&self) -> usize {
        self.memory_bytes.load(Ordering::Relaxed) + self.mailbox.bytes()
    }

    /// Whether the connection has to close because more was sent to it than the output limit allows.
    pub fn has_overflowed(&self) -> bool {
        self.signals.load(Ordering::Acquire) & OVERFLOW != 0
    }

    /// Asks the connection to give back buffers that it does not need at the moment.
    pub fn trim(&self) {
        self.signals.fetch_or(TRIM, Ordering::AcqRel);
        self.wake();
    }

    /// Whether the connection was asked for something.
    #[inline]
    pub fn has_signals(&self) -> bool {
        self.signals.load(Ordering::Acquire) != 0
    }

    /// Takes the request to trim, if there is one.
    pub fn take_trim(&self) -> bool {
        self.signals.fetch_and(!TRIM, Ordering::AcqRel) & TRIM != 0
    }

    /// Bytes of output that wait beyond the reply buffer: what counts towards the output limits.
    pub fn output_beyond_buffer(&self, output_bytes: usize) -> usize {
        output_bytes.saturating_sub(self.reply_buffer_bytes.load(Ordering::Relaxed))
    }

    /// Makes the connection's task look at its flags.
    pub fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    /// Whether the connection's task has begun.
    pub fn has_started(&self) -> bool {
        self.waker.get().is_some()
    }

    /// Called by the connection's task once, at its beginning.
    pub fn set_waker(&self, waker: &Waker) {
        self.waker.get_or_init(|| waker.clone());
    }

    pub fn is_killed(&self) -> bool {
        self.signals.load(Ordering::Acquire) & KILL != 0
    }
}

/// All connections of the server.
#[derive(Default)]
pub struct Clients {
    by_id: RwLock<BTreeMap<u64, Arc<Client>>>,
    last_id: AtomicU64,
    /// Connections that are open or being set up, for `maxclients`.
    count: AtomicUsize,
    rejected: AtomicU64,
    evicted: AtomicU64,
    /// The memory of all connections: exact at the last [`Clients::evict`], and since then what has grown.
    memory_estimate: AtomicUsize,
    /// Held by whoever evicts, so that two do not evict for the same excess.
    evicting: Mutex<()>,
    /// The counts at the last CONFIG RESETSTAT.
    accepted_before: AtomicU64,
    rejected_before: AtomicU64,
    evicted_before: AtomicU64,
}

impl Clients {
    /// Counts a connection that was turned away.
    pub fn count_rejected(&self) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
    }

    /// Connections that were turned away since start or reset.
    pub fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed) - self.rejected_before.load(Ordering::Relaxed)
    }

    /// Connections accepted since start or reset.
    pub fn accepted(&self) -> u64 {
        self.last_id.load(Ordering::Relaxed) - self.accepted_before.load(Ordering::Relaxed)
    }

    /// CONFIG RESETSTAT.
    pub fn reset_counts(&self) {
        self.accepted_before.store(self.last_id.load(Ordering::Relaxed), Ordering::Relaxed);
        self.rejected_before.store(self.rejected.load(Ordering::Relaxed), Ordering::Relaxed);
        self.evicted_before.store(self.evicted.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Connections that were closed because of `maxmemory-clients` since start or reset.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed) - self.evicted_before.load(Ordering::Relaxed)
    }

    /// A connection's buffers have grown by `bytes` while all may have `limit`: makes room if need be.
    pub fn grown(&self, bytes: usize, limit: usize) {
        if self.memory_estimate.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) > limit {
            self.evict(limit);
        }
    }

    /// Closes connections, the largest first, until the rest takes at most `limit` bytes. Those that asked for
    /// CLIENT NO-EVICT count, but stay.
    pub fn evict(&self, limit: usize) {
        let _evicting = self.evicting.lock();
        let mut clients = self.all();
        let memory = |client: &Client| client.total_memory_bytes();
        let mut total: usize = clients.iter().map(|client| memory(client)).sum();
        if total > limit {
            clients.retain(|client| !client.no_evict.load(Ordering::Relaxed));
            clients.sort_by_cached_key(|client| std::cmp::Reverse(memory(client)));
            for client in clients {
                if total <= limit {
                    break;
                }
                let bytes = memory(&client);
                tracing::info!("Evicting client: id={} addr={} tot-mem={bytes}", client.id, client.addr);
                self.kill(&client);
                self.evicted.fetch_add(1, Ordering::Relaxed);
                total -= bytes;
            }
        }
        self.memory_estimate.store(total, Ordering::Relaxed);
    }

    /// Up to `count` connections with numbers above `id`, in order.
    pub fn after(&self, id: u64, count: usize) -> Vec<Arc<Client>> {
        self.by_id.read().range(id + 1..).take(count).map(|(_, client)| client.clone()).collect()
    }

    /// Adds up how many connections each worker serves.
    pub fn count_by_worker(&self, load: &mut [usize]) {
        for client in self.by_id.read().values() {
            load[client.worker] += 1;
        }
    }

    /// A new connection's number. Numbers are never used again.
    pub fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub fn add(&self, client: Arc<Client>) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.by_id.write().insert(client.id, client);
    }

    pub fn remove(&self, id: u64) {
        if self.by_id.write().remove(&id).is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Closes a connection. To all who look it is gone at once.
    pub fn kill(&self, client: &Client) {
        self.remove(client.id);
        client.kill();
    }

    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub fn get(&self, id: u64) -> Option<Arc<Client>> {
        self.by_id.read().get(&id).cloned()
    }

    /// All connections, oldest first, as of one instant.
    pub fn all(&self) -> Vec<Arc<Client>> {
        self.by_id.read().values().cloned().collect()
    }
}
