//! A worker: one thread, one runtime, the connections it was given.

use super::connection::Connection;
use super::courtesy::Courtesy;
use super::settings::CachedSettings;
use super::stream::Accepted;
use crate::memory;
use crate::resp::reply::Reply;
use crate::state::counters::WorkerTotals;
use crate::state::{Client, Server, relay, wake};
use bytes::Bytes;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc;

/// Bytes read from a socket at once. A worker has one such buffer: what is not a whole request moves to the
/// connection.
pub const READ_BYTES: usize = 64 * 1024;

/// How often memory is published without traffic.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);

/// A connection on its way to a worker.
pub struct Assignment {
    pub stream: Accepted,
    pub client: Arc<Client>,
}

/// Scripts may nest calls of C functions 200 deep (Lua's limit) with a buffer of 8 kB in each, and values of a few
/// thousand levels are converted recursively. What is not used takes no memory.
const STACK_BYTES: usize = 16 << 20;

/// A worker's scratch space, used by whichever connection is running. Nothing in it outlives a turn.
pub struct Scratch {
    pub read: Box<[u8]>,
    pub out: Reply,
    pub batch: super::batch::Batch,
    pub large: Vec<Bytes>,
}

/// What the tasks of one worker share.
pub struct Worker {
    pub id: usize,
    pub server: Arc<Server>,
    pub clock: quanta::Clock,
    pub scratch: RefCell<Scratch>,
    pub settings: CachedSettings,
}

impl Worker {
    /// The worker's own statistics.
    pub fn totals(&self) -> &WorkerTotals {
        &self.server.counters.worker(self.id).totals
    }
}

/// Starts worker number `id`. It ends when the sender is dropped and its connections are closed.
pub fn start(
    id: usize,
    server: Arc<Server>,
    courtesy: Arc<Courtesy>,
    assignments: mpsc::UnboundedReceiver<Assignment>,
) -> std::io::Result<JoinHandle<()>> {
    let thread = std::thread::Builder::new().name(format!("worker-{id}")).stack_size(STACK_BYTES);
    thread.spawn(move || {
        let (clock, counted) = (quanta::Clock::new(), server.clone());
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().on_thread_park(move || courtesy.before_sleep(&clock, || executed(&counted)));
        let runtime = match builder.build() {
            Ok(runtime) => runtime,
            Err(error) => {
                tracing::error!("Cannot start worker {id}: {error}");
                return;
            }
        };
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, serve(id, server, assignments));
    })
}

/// How many commands the workers have executed since the server was started.
fn executed(server: &Server) -> u64 {
    (0..server.workers).map(|worker| server.counters.worker(worker).totals.commands.get()).sum()
}

async fn serve(id: usize, server: Arc<Server>, mut assignments: mpsc::UnboundedReceiver<Assignment>) {
    let worker = Rc::new(Worker {
        id,
        server: server.clone(),
        clock: quanta::Clock::new(),
        scratch: RefCell::new(Scratch {
            read: vec![0; READ_BYTES].into(),
            out: Reply::default(),
            batch: super::batch::Batch::default(),
            large: Vec::new(),
        }),
        settings: CachedSettings::default(),
    });
    tokio::task::spawn_local(publish_memory());
    let counting = worker.clone();
    let turns = move || counting.totals().turns.get();
    let place = wake::Place { bells: server.bells.clone(), worker: id };
    tokio::task::spawn_local(wake::rounds(place, turns.clone()));
    tokio::task::spawn_local(relay::serve(server.pubsub.relay(id).clone(), turns));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            assignment = assignments.recv() => {
                let Some(Assignment { stream, client }) = assignment else { break };
                match stream.register() {
                    Ok(stream) => {
                        connections.spawn_local(Connection::run(worker.clone(), stream, client));
                    }
                    Err(error) => {
                        tracing::warn!("Cannot serve a connection: {error}");
                        server.clients.remove(client.id);
                    }
                }
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
    while connections.join_next().await.is_some() {}
}

async fn publish_memory() {
    loop {
        tokio::time::sleep(PUBLISH_EVERY).await;
        memory::publish();
    }
}
