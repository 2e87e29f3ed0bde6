//! The state of one connection as far as commands read and change it.

use super::clients::Client;
use crate::resp::reply::Proto;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// CLIENT REPLY.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ReplyMode {
    #[default]
    On,
    Off,
    /// The reply of the next command is not sent, nor that of CLIENT REPLY SKIP itself.
    SkipNext,
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
}

/// One connection's state. Owned by its task; [`Session::client`] is the part that others see.
pub struct Session {
    pub client: Arc<Client>,
    pub db: usize,
    pub proto: Proto,
    pub authenticated: bool,
    pub reply_mode: ReplyMode,
    pub no_touch: bool,
    pub next: Next,
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
            next: Next::Continue,
        }
    }
}

impl Session {
    /// SELECT.
    pub fn select(&mut self, db: usize) {
        self.db = db;
        self.client.db.store(db, Ordering::Relaxed);
    }
}
