//! A reaper: a thread that removes expired keys from its share of the shards (see [`crate::keyspace::expire`]).

use crate::keyspace::unix_ms;
use crate::memory;
use crate::state::Server;
use crate::state::waiters::Rest;
use std::sync::Arc;
use std::thread::JoinHandle;

/// As many workers fill the keyspace about as fast as one reaper can empty it.
const WORKERS_PER_REAPER: usize = 2;

/// How many reapers there should be.
pub fn amount(workers: usize) -> usize {
    workers.div_ceil(WORKERS_PER_REAPER)
}

/// Starts reaper number `id`. It ends when the keyspace's expiry is stopped.
pub fn start(id: usize, server: Arc<Server>) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(format!("reaper-{id}")).spawn(move || {
        let totals = server.counters.reaper(id);
        server.keyspace.expire_forever(id, |round| {
            totals.expired_keys.add(round.expired);
            totals.expired_subkeys.add(round.fields);
            totals.dirty.add(round.expired + round.fields);
            totals.expire_nanos.add(round.took.as_nanos() as u64);
            if server.waiters.has_expired() {
                // Those who are served count their commands themselves.
                server.waiters.serve_rest(&server.keyspace, unix_ms(), &mut Rest::default(), |view| {
                    view.finish();
                });
            }
            memory::publish();
        });
    })
}
