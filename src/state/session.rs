//! The state of one connection as far as commands read and change it.

use super::clients::Client;
use crate::resp::reply::Proto;
use std::sync::Arc;

/// CLIENT REPLY.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ReplyMode {
    #[default]
    On,
    Off,
    /// The reply of the command that is running is not sent.
    SkipThis,
    /// The reply of the next command is not sent.
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
