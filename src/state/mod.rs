//! What all connections share: the parts of the server, sessions, the client table, statistics.
//!
//! Commands work on these; the `server` folder sets them up and drives them. Nothing here reads a socket.

pub mod append_only;
pub mod apply;
pub mod clients;
pub mod counters;
pub mod events;
pub mod listening;
pub mod mailbox;
pub mod memory_use;
pub mod monitors;
pub mod outlet;
pub mod pause;
pub mod persistence;
pub mod pubsub;
pub mod relay;
pub mod scripting;
pub mod session;
pub mod shutdown;
pub mod switches;
pub mod tracking;
pub mod transaction;
pub mod waiters;
pub mod wake;
pub mod watch;

pub use clients::{Client, Clients};
pub use session::Session;

use crate::config::Config;
use crate::keyspace::Keyspace;
use crate::observe::latency::LatencyMonitor;
use crate::observe::log::Log;
use crate::observe::slowlog::Slowlog;
use counters::Counters;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use tracking::Modes;

/// The server as commands see it.
pub struct Server {
    pub config: Config,
    /// The file that CONFIG REWRITE rewrites.
    pub config_file: Option<PathBuf>,
    pub log: Log,
    /// As it was started, for INFO.
    pub executable: String,
    /// How it was called, for the process's title.
    pub program: String,
    pub keyspace: Keyspace,
    pub append_only: append_only::AppendOnly,
    pub clients: Arc<Clients>,
    pub watchers: Arc<watch::Watchers>,
    pub counters: Counters,
    pub scripting: scripting::Scripting,
    pub slowlog: Slowlog,
    pub latency: LatencyMonitor,
    pub pause: pause::Pause,
    pub waiters: Arc<waiters::Waiters>,
    pub pubsub: Arc<pubsub::PubSub>,
    pub bells: wake::Bells,
    pub tracking: Arc<tracking::Tracking>,
    pub monitors: monitors::Monitors,
    pub shutdown: shutdown::Shutdown,
    pub listening: listening::Listening,
    pub switches: switches::Switches,
    pub persistence: persistence::Persistence,
    /// 40 hexadecimal digits, new with every start.
    pub run_id: String,
    /// 40 hexadecimal digits: names the data set's history, for replicas.
    pub replication_id: parking_lot::Mutex<String>,
    pub started: Instant,
    /// Unix milliseconds.
    pub started_at_ms: i64,
    /// The TCP port in use (it may have been chosen by the system), 0 if there is none.
    pub tcp_port: std::sync::atomic::AtomicU32,
    pub workers: usize,
    /// When a request of a foreign protocol was last logged, Unix milliseconds.
    pub intruder_logged_ms: std::sync::atomic::AtomicI64,
}

/// 40 random hexadecimal digits, the form of run and replication ids.
pub fn random_id() -> String {
    use rand::Rng;
    let mut rng = rand::rng();
    (0..40).map(|_| char::from_digit(rng.random_range(0..16), 16).unwrap_or('0')).collect()
}

impl Server {
    /// Tracks a client no more.
    pub fn end_tracking(&self, session: &mut Session) {
        if !session.tracking.is_empty() {
            session.tracking = Modes::default();
            self.tracking.disable(self.keyspace.effects(), &session.client);
        }
    }

    /// Whether a new connection has to authenticate first.
    pub fn needs_password(&self) -> bool {
        !self.config.requirepass().is_empty()
    }
}
