//! What happens to the files when the server starts.

use super::aof::Aof;
use super::aof::load::Unloadable;
use super::engine::snapshot_name;
use super::rdb::load::{self, Listener, Loaded};
use crate::command::scripting;
use crate::keyspace::fill::Existing;
use crate::keyspace::unix_ms;
use crate::state::Server;
use parking_lot::Mutex;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// Keeps INFO and the log informed.
struct Progress<'a> {
    server: &'a Server,
    libraries: Mutex<Vec<Vec<u8>>>,
}

impl Listener for Progress<'_> {
    fn progress(&self, bytes: u64) {
        self.server.persistence.loading.loaded_bytes.store(bytes, Relaxed);
    }

    fn aux(&self, name: &[u8], value: &[u8]) {
        let text = String::from_utf8_lossy(value);
        match name {
            b"redis-ver" => tracing::info!("Loading RDB produced by version {text}"),
            b"ctime" => {
                if let Ok(saved) = text.parse::<i64>() {
                    tracing::info!("RDB age {} seconds", (unix_ms() / 1000 - saved).max(0));
                }
            }
            b"used-mem" => {
                if let Ok(bytes) = text.parse::<u64>() {
                    tracing::info!("RDB memory usage when created {:.2} Mb", bytes as f64 / (1 << 20) as f64);
                    self.server.persistence.loading.rdb_used_bytes.store(bytes, Relaxed);
                }
            }
            b"aof-base" if value == b"1" => tracing::info!("RDB is base AOF"),
            // Lua scripts of old versions, replication state, and what nobody knows: nothing depends on them.
            _ => {}
        }
    }

    fn library(&self, source: &[u8]) -> Result<(), String> {
        self.libraries.lock().push(source.to_vec());
        Ok(())
    }
}

/// Loads the snapshot that a file begins with. `options` decides about keys that have expired, and those that are there.
///
/// # Errors
/// What is wrong with the file. Part of it may have been loaded.
pub fn load_from(
    server: &Server,
    file: impl io::Read,
    total_bytes: u64,
    options: load::Options,
) -> Result<Loaded, load::Error> {
    let progress = Progress { server, libraries: Mutex::default() };
    let loaded = load::load(file, total_bytes, &server.keyspace, options, &progress)?;
    let replaces = options.existing == Existing::Replaced;
    scripting::add_libraries(server, &progress.libraries.into_inner(), replaces)
        .map_err(|error| load::Error::Library(error.to_string()))?;
    server.persistence.loading.keys.store(loaded.keys, Relaxed);
    server.persistence.loading.expired_keys.store(loaded.expired_keys, Relaxed);
    tracing::info!(
        "Done loading RDB, keys loaded: {}, keys expired: {}, empty keys skipped: {}.",
        loaded.keys,
        loaded.expired_keys,
        loaded.empty_keys
    );
    Ok(loaded)
}

/// Loads the snapshot's file. `None` if there is none.
///
/// # Errors
/// What is wrong with the file.
pub fn load_snapshot(server: &Server, existing: Existing) -> Result<Option<Loaded>, load::Error> {
    let file = match File::open(snapshot_name(server)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let total_bytes = file.metadata()?.len();
    let now_ms = unix_ms();
    server.persistence.begin_loading(total_bytes, now_ms / 1000);
    let options = load::Options { existing, ..load::Options::of(&server.config, now_ms) };
    load_from(server, file, total_bytes, options).map(Some)
}

/// Loads the log, and goes on with it. False if the server must not start.
fn load_log(log: &Arc<Aof>) -> bool {
    let started = Instant::now();
    match log.load() {
        Ok(true) => {
            tracing::info!("DB loaded from append only file: {:.3} seconds", started.elapsed().as_secs_f64());
        }
        Ok(false) => {}
        Err(Unloadable) => return false,
    }
    if let Err(reason) = log.open() {
        tracing::warn!("{reason}");
        return false;
    }
    true
}

/// Loads the data that the server starts with. False if it must not start.
pub fn load_data(server: &Server, log: &Arc<Aof>) -> bool {
    if !log.read_manifest() {
        return false;
    }
    if server.config.appendonly() {
        let is_right = load_log(log);
        server.persistence.forget_changes(server.counters.raw().dirty);
        if is_right {
            server.persistence.end_loading();
        }
        return is_right;
    }
    let started = Instant::now();
    let result = load_snapshot(server, Existing::Fault);
    let is_right = match result {
        Ok(None) => true,
        Ok(Some(_)) => {
            tracing::info!("DB loaded from disk: {:.3} seconds", started.elapsed().as_secs_f64());
            true
        }
        Err(error) => {
            tracing::warn!("{error}");
            let name = snapshot_name(server);
            match error {
                load::Error::Io(_) | load::Error::Signature | load::Error::Version(_) => {}
                _ => tracing::warn!("Terminating server after rdb file reading failure."),
            }
            tracing::warn!("Fatal error loading the DB from {}, check server logs. Exiting.", name.display());
            false
        }
    };
    server.persistence.forget_changes(server.counters.raw().dirty);
    if is_right {
        server.persistence.end_loading();
    }
    is_right
}
