//! The running server: listeners, workers, connections, the clock, shutdown.
//!
//! [`run`] is the whole life of the process after its configuration is known.

pub mod banner;
pub mod batch;
pub mod busy;
pub mod connection;
pub mod courtesy;
pub mod cron;
pub mod housekeeping;
pub mod listener;
pub mod output;
pub mod pidfile;
pub mod reaper;
pub mod settings;
pub mod stream;
pub mod waiting;
pub mod worker;

use crate::command::{generic, table};
use crate::config::Config;
use crate::config::choice::shutdown as words;
use crate::keyspace::effects::Party;
use crate::keyspace::{Keyspace, unix_ms};
use crate::memory;
use crate::observe::latency::LatencyMonitor;
use crate::observe::log::Log;
use crate::observe::slowlog::Slowlog;
use crate::persist;
use crate::state::counters::Counters;
use crate::state::events::KeyspaceEvents;
use crate::state::pause::Paused;
use crate::state::persistence::Persistence;
use crate::state::pubsub::PubSub;
use crate::state::scripting::Scripting;
use crate::state::shutdown::{self, Shutdown};
use crate::state::tracking::Tracking;
use crate::state::waiters::Waiters;
use crate::state::watch::Watchers;
use crate::state::{Clients, Server, random_id, wake};
use pidfile::Pidfile;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicI64, AtomicU32};
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// What is loaded within this time is loaded before the first connection is accepted.
const QUICK_LOADING: Duration = Duration::from_secs(1);

/// How often it is looked whether the clock goes on.
const PAUSED_STEP: Duration = Duration::from_millis(5);

/// Connections get this long to send what is written when the server stops.
const DRAIN: Duration = Duration::from_secs(5);

/// The same while a script keeps others waiting: it may never end.
const DRAIN_BESIDE_SCRIPT: Duration = Duration::from_millis(100);

/// Builds the shared state of a server with this configuration. `program` is how it was called.
pub fn build(config: Config, config_file: Option<PathBuf>, log: Log, program: String) -> Server {
    let workers = config.io_threads();
    let reapers = reaper::amount(workers);
    let executable = std::env::current_exe().map(|p| p.display().to_string()).unwrap_or_default();
    let slowlog = Slowlog::new(config.slowlog_max_len() as usize);
    let keyspace = Keyspace::new(config.databases() as usize, config.keyspace_shards() as usize, reapers);
    keyspace.free_with(generic::free_entry);
    let waiters = Arc::new(Waiters::default());
    keyspace.effects().set_observer(Party::Waiters, waiters.clone());
    let (clients, pubsub) = (Arc::new(Clients::default()), Arc::new(PubSub::new(workers)));
    let tracking = Arc::new(Tracking::new(clients.clone()));
    keyspace.effects().set_publisher(Arc::new(KeyspaceEvents::new(pubsub.clone())));
    keyspace.effects().set_observer(Party::Tracking, tracking.clone());
    let watchers = Arc::new(Watchers::default());
    keyspace.effects().set_observer(Party::Watchers, watchers.clone());
    Server {
        keyspace,
        watchers,
        waiters,
        config,
        config_file,
        executable,
        program,
        log,
        bells: wake::bells(workers),
        clients,
        scripting: Scripting::new(workers, busy::attend),
        counters: Counters::new(workers, reapers, table::table().all.len()),
        slowlog,
        latency: LatencyMonitor::new(),
        pause: Default::default(),
        pubsub,
        tracking,
        monitors: Default::default(),
        shutdown: Shutdown::default(),
        listening: Default::default(),
        switches: Default::default(),
        append_only: Default::default(),
        persistence: Persistence::new(unix_ms() / 1000),
        run_id: random_id(),
        replication_id: random_id().into(),
        started: Instant::now(),
        started_at_ms: unix_ms(),
        tcp_port: AtomicU32::new(0),
        workers,
        intruder_logged_ms: AtomicI64::new(0),
    }
}

/// Serves until somebody asks for the end. Returns the process's exit code.
pub fn run(config: Config, config_file: Option<PathBuf>, log: Log, program: String) -> i32 {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("Cannot start the runtime: {error}");
            return 1;
        }
    };
    let code = runtime.block_on(serve(config, config_file, log, program));
    // A client that takes nothing must not keep the process from ending.
    runtime.shutdown_background();
    code
}

async fn serve(config: Config, config_file: Option<PathBuf>, log: Log, program: String) -> i32 {
    let server = Arc::new(build(config, config_file, log, program));
    server.apply_settings();
    persist::engine::install(&server);
    let log = persist::aof::install(&server);
    let listeners = match listener::open(&server.config) {
        Ok(listeners) if listeners.is_empty() => {
            tracing::error!("Configured to not listen anywhere, exiting.");
            return 1;
        }
        Ok(listeners) => listeners,
        Err(error) => {
            tracing::error!("{error}");
            return 1;
        }
    };
    let _pidfile = Pidfile::write(&server.config.pidfile());
    if let Err(possible) = server.make_room_for_clients() {
        tracing::warn!(
            "maxclients is {}, but the system lets this process open files for {possible} clients only",
            server.config.maxclients()
        );
    }

    let mut threads = Vec::new();
    let mut senders = Vec::new();
    let courtesy = Arc::new(courtesy::Courtesy::new());
    for id in 0..server.workers {
        let (sender, receiver) = mpsc::unbounded_channel();
        match worker::start(id, server.clone(), courtesy.clone(), receiver) {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                tracing::error!("Cannot start worker {id}: {error}");
                return 1;
            }
        }
        senders.push(sender);
    }
    for id in 0..server.keyspace.expiry().reapers() {
        match reaper::start(id, server.clone()) {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                tracing::error!("Cannot start the thread that removes expired keys: {error}");
                return 1;
            }
        }
    }
    let mut addresses: Vec<String> = listeners.iter().map(|listener| listener.address().0).collect();
    banner::print(&server, &addresses);
    server.show_title();
    addresses.clear();
    memory::mark_startup();
    // Test suites and supervisors wait for this line and the one when data is loaded, which are Redis's.
    tracing::warn!("Server initialized");
    server.persistence.begin_loading(0, unix_ms() / 1000);
    let mut loading = {
        let server = server.clone();
        tokio::task::spawn_blocking(move || {
            let is_loaded = persist::start::load_data(&server, &log);
            // What this thread has read into memory counts, too, even if it is never used again.
            memory::publish();
            is_loaded
        })
    };
    // Whoever connects while data is loaded is told so; but nobody needs to hear of what is done in a moment.
    let quickly = tokio::time::timeout(QUICK_LOADING, &mut loading).await;
    if matches!(quickly, Ok(Ok(true))) {
        log_ready();
    }
    let accepting = tokio::spawn(listener::serve_all(server.clone(), senders.clone(), listeners));
    let cron = tokio::spawn(cron::run(server.clone()));
    let shutdown = until_shutdown(&server);
    tokio::pin!(shutdown);
    let is_loaded = match quickly {
        Ok(is_loaded) => is_loaded.unwrap_or(false),
        Err(_) => tokio::select! {
            is_loaded = loading => is_loaded.unwrap_or(false).then(log_ready).is_some(),
            // Who wants the server to end while it loads does not want to wait for it.
            () = &mut shutdown => return 0,
        },
    };
    if !is_loaded {
        return 1;
    }
    shutdown.await;

    accepting.abort();
    let _ = accepting.await;
    cron.abort();
    drop(senders);
    server.keyspace.expiry().stop();
    for client in server.clients.all() {
        client.wake();
    }
    let drained = tokio::task::spawn_blocking(move || threads.into_iter().for_each(|t| drop(t.join())));
    let drain = if server.scripting.is_busy() { DRAIN_BESIDE_SCRIPT } else { DRAIN };
    if tokio::time::timeout(drain, drained).await.is_err() {
        tracing::warn!("Some clients did not take their replies in time");
    }
    tracing::warn!("Nuthatch is now ready to exit, bye bye...");
    0
}

/// Test suites and supervisors wait for this line, which is Redis's.
fn log_ready() {
    tracing::info!("Ready to accept connections tcp");
}

/// Does what `shutdown-on-sigterm` or `shutdown-on-sigint` says, of which these are the words.
fn shut_down_by_signal(server: &Server, words: u8) {
    let has = |word: u8| words & word != 0;
    let request = shutdown::Request {
        save: match (has(words::SAVE), has(words::NOSAVE)) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        },
        now: has(words::NOW),
        force: has(words::FORCE),
    };
    server.shutdown.request(request);
}

/// Prepares for the end that somebody asked for. False if the server has to go on. Who `insists` while data is saved
/// ends the process at once.
async fn prepare_shutdown(
    server: &Arc<Server>,
    request: shutdown::Request,
    insists: impl Future<Output = ()>,
) -> bool {
    // Tests hold the server's clock, by which Redis acts on signals, to abort in time.
    while server.switches.cron_paused.load(Relaxed) && server.shutdown.is_requested() {
        tokio::time::sleep(PAUSED_STEP).await;
    }
    if !server.shutdown.is_requested() {
        return false;
    }
    tracing::warn!("User requested shutdown...");
    // What is answered from here on would not be in the snapshot.
    server.pause.pause(Paused::Everything, i64::MAX, unix_ms());
    let saving = {
        let server = server.clone();
        tokio::task::spawn_blocking(move || persist::engine::save_before_exit(&server, request.save))
    };
    let is_saved = tokio::select! {
        is_saved = saving => is_saved.unwrap_or(false),
        () = insists => {
            tracing::warn!("You insist... exiting now.");
            persist::engine::remove_temporary(server);
            std::process::exit(1);
        }
    };
    if (is_saved || request.force) && server.shutdown.settle() {
        return true;
    }
    if !is_saved {
        tracing::warn!("Errors trying to shut down the server. Check the logs for more information.");
    }
    server.pause.unpause();
    server.shutdown.abort();
    false
}

/// Waits for SHUTDOWN or a signal.
async fn until_shutdown(server: &Arc<Server>) {
    let (mut terminate, mut interrupt) =
        match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
            (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
            (Err(error), _) | (_, Err(error)) => {
                tracing::error!("Cannot watch for signals: {error}");
                loop {
                    let request = server.shutdown.requested().await;
                    if prepare_shutdown(server, request, std::future::pending()).await {
                        return;
                    }
                }
            }
        };
    loop {
        tokio::select! {
            request = server.shutdown.requested() => {
                let insists = async {
                    interrupt.recv().await;
                };
                if prepare_shutdown(server, request, insists).await {
                    return;
                }
            }
            _ = terminate.recv() => {
                tracing::warn!("Received SIGTERM scheduling shutdown...");
                shut_down_by_signal(server, server.config.shutdown_on_sigterm());
            }
            _ = interrupt.recv() => {
                tracing::warn!("Received SIGINT scheduling shutdown...");
                shut_down_by_signal(server, server.config.shutdown_on_sigint());
            }
        }
    }
}
