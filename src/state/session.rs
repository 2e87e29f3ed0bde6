//! The state of one connection as far as commands read and change it.

use super::Server;
use super::clients::Client;
use super::pubsub::Subscriptions;
use super::tracking::Modes;
use super::transaction::Transaction;
use super::waiters::Waiter;
use super::watch::WatchedKeys;
use crate::keyspace::View;
use crate::resp::reply::Proto;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// CLIENT REPLY.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ReplyMode {
    #[default]
    On,
    Off,
    /// CLIENT REPLY SKIP was the last command: the reply of the next one is not sent.
    SkipNext,
    /// The command that runs was preceded by CLIENT REPLY SKIP.
    Skip,
}

/// What the connection does after the command that is running.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Next {
    #[default]
    Continue,
    /// Send what is written, then close.
    CloseAfterReply,
    /// Close at once.
    CloseNow,
    /// The server shuts down; no reply unless it fails.
    AwaitShutdown,
    /// Wait for the end of [`Session::wait`].
    Wait,
}

/// A blocking command whose end the connection waits for.
pub struct Wait {
    pub waiter: Arc<Waiter>,
    /// Unix milliseconds; `None` if it may take for ever.
    pub deadline_ms: Option<i64>,
}

/// One connection's state. Owned by its task; [`Session::client`] is the part that others see.
pub struct Session {
    pub client: Arc<Client>,
    pub db: usize,
    pub proto: Proto,
    pub authenticated: bool,
    pub reply_mode: ReplyMode,
    pub no_touch: bool,
    /// None if there are none, as of most connections.
    pub subscriptions: Option<Box<Subscriptions>>,
    /// The client has subscriptions; see [`Session::set_subscriber`].
    pub is_subscriber: bool,
    /// The client watches by MONITOR.
    pub is_monitor: bool,
    /// How the client is tracked, for its own reads.
    pub tracking: Modes,
    pub next: Next,
    /// Position of the stream of effects behind what the client has written last.
    pub log_position: u64,
    /// What the connection waits for.
    pub wait: Option<Box<Wait>>,
    /// What was queued since MULTI.
    pub transaction: Option<Box<Transaction>>,
    pub watched: WatchedKeys,
}

impl Session {
    pub fn new(client: Arc<Client>, authenticated: bool) -> Session {
        Session {
            client,
            db: 0,
            proto: Proto::default(),
            authenticated,
            reply_mode: ReplyMode::On,
            no_touch: false,
            subscriptions: None,
            is_subscriber: false,
            is_monitor: false,
            tracking: Modes::default(),
            next: Next::Continue,
            log_position: 0,
            wait: None,
            transaction: None,
            watched: WatchedKeys::default(),
        }
    }

    /// Tells others how far the transaction has come.
    pub fn publish_transaction(&self) {
        let (commands, bytes) = match &self.transaction {
            None => (-1, 0),
            Some(transaction) => (transaction.len() as i64, transaction.bytes()),
        };
        self.client.multi.store(commands, Ordering::Relaxed);
        self.client.multi_bytes.store(bytes + self.watched.heap_bytes(), Ordering::Relaxed);
    }

    /// Bytes of the arguments that wait for EXEC: a part of what the client has sent.
    pub fn queued_bytes(&self) -> usize {
        self.transaction.as_ref().map_or(0, |transaction| transaction.args_bytes())
    }

    /// WATCH: a key of the view's database, which the view has locked.
    pub fn watch(&mut self, server: &Server, view: &View<'_>, key: &[u8]) {
        server.watchers.watch(&self.client, &mut self.watched, view, key);
        self.publish_transaction();
    }

    /// UNWATCH.
    pub fn unwatch(&mut self, server: &Server) {
        server.watchers.unwatch(&self.client, &mut self.watched, server.keyspace.effects());
        self.publish_transaction();
    }

    /// DISCARD, or the end of the connection.
    pub fn discard(&mut self, server: &Server) {
        if let Some(transaction) = self.transaction.take() {
            transaction.end();
        }
        self.unwatch(server);
    }

    /// SELECT.
    pub fn select(&mut self, db: usize) {
        self.db = db;
        self.client.db.store(db, Ordering::Relaxed);
    }

    /// HELLO's choice of the protocol.
    pub fn set_proto(&mut self, proto: Proto) {
        self.proto = proto;
        self.client.resp.store(proto.number(), Ordering::Relaxed);
        self.client.mailbox.set_proto(proto);
    }

    pub fn set_authenticated(&mut self, authenticated: bool) {
        self.authenticated = authenticated;
        self.client.authenticated.store(authenticated, Ordering::Relaxed);
    }

    /// CLIENT NO-TOUCH.
    pub fn set_no_touch(&mut self, no_touch: bool) {
        self.no_touch = no_touch;
        self.client.no_touch.store(no_touch, Ordering::Relaxed);
    }

    /// Whether the reply of the command that runs is not sent.
    pub fn is_silent(&self) -> bool {
        matches!(self.reply_mode, ReplyMode::Off | ReplyMode::Skip)
    }

    /// Whether the client has subscriptions, which makes it one of class `pubsub`.
    pub fn set_subscriber(&mut self, is_subscriber: bool) {
        self.is_subscriber = is_subscriber;
        self.client.is_subscriber.store(is_subscriber, Ordering::Relaxed);
    }

    /// MONITOR, and its end.
    pub fn set_monitor(&mut self, is_monitor: bool) {
        self.is_monitor = is_monitor;
        self.client.is_monitor.store(is_monitor, Ordering::Relaxed);
    }

    /// RESET: everything as for a new connection, but for what the client library said of itself.
    pub fn reset(&mut self, authenticated: bool) {
        self.select(0);
        self.set_proto(Proto::default());
        self.set_authenticated(authenticated);
        self.set_no_touch(false);
        self.client.no_evict.store(false, Ordering::Relaxed);
        self.client.names.lock().name.clear();
        // A reply that CLIENT REPLY SKIP suppresses stays suppressed, as in Redis.
        if self.reply_mode != ReplyMode::Skip {
            self.reply_mode = ReplyMode::On;
        }
    }
}
