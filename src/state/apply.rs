//! What a changed directive changes in the rest of the server.
//!
//! Most directives are read where they matter, each time; this is for the others.

use super::{Server, clients};
use crate::config::choice::{EvictionPolicy, LogLevel};
use crate::config::{Change, Id};
use crate::keyspace::access;
use crate::observe::log::Level;
use crate::observe::{process, title};
use std::sync::atomic::Ordering;

/// Descriptors beside those of clients: listeners, files, the runtimes' own (Redis's reserve).
const RESERVED_FILES: u64 = 32;

/// The log's level for that of the directive.
pub fn log_level(level: LogLevel) -> Level {
    match level {
        LogLevel::Debug => Level::Debug,
        LogLevel::Verbose => Level::Verbose,
        LogLevel::Notice => Level::Notice,
        LogLevel::Warning => Level::Warning,
        LogLevel::Nothing => Level::Nothing,
    }
}

impl Server {
    /// Copies directives to where the hot paths read them. Called at start and after CONFIG SET.
    pub fn apply_settings(&self) {
        let policy = self.config.maxmemory_policy();
        let lfu = matches!(policy, EvictionPolicy::AllkeysLfu | EvictionPolicy::VolatileLfu);
        access::configure(lfu, self.config.lfu_log_factor() as u32, self.config.lfu_decay_time() as u32);
        self.counters.track_latency.store(self.config.latency_tracking(), Ordering::Relaxed);
        self.keyspace.effects().set_classes(self.config.notify_keyspace_events());
        self.keyspace.effects().log().set_unlinks(self.config.lazyfree_lazy_expire());
        if let Some(log) = self.append_only.engine() {
            log.configure();
        }
        self.tracking.set_max_keys(self.config.tracking_table_max_keys() as usize);
        self.update_obstacles();
        self.slowlog.set_max_len(self.config.slowlog_max_len() as usize);
        let limits = self.config.client_output_buffer_limit();
        clients::set_output_limits(limits.normal.hard_bytes as usize, limits.pubsub.hard_bytes as usize);
    }

    /// Does what CONFIG SET's change of one directive asks for. The configuration holds the new value already.
    ///
    /// # Errors
    /// The reason, in Redis's words, if it cannot be done; the caller then puts the old value back and applies
    /// that.
    pub fn apply_change(&self, change: &Change) -> Result<(), String> {
        match change.id {
            Id::loglevel => self.log.set_level(log_level(self.config.loglevel())),
            Id::dir => std::env::set_current_dir(self.config.directory())
                .map_err(|error| process::error_text(&error))?,
            Id::port => self
                .listening
                .reopen()
                .map_err(|_| "Unable to listen on this port. Check server logs.".to_owned())?,
            Id::bind => {
                self.listening.reopen().map_err(|_| "Failed to bind to specified addresses.".to_owned())?;
            }
            Id::appendonly
                if self.append_only.engine().is_some_and(|log| !log.set_on(self.config.appendonly())) =>
            {
                return Err("Unable to turn on AOF. Check server logs.".to_owned());
            }
            Id::maxclients => self.make_room_for_clients().map_err(|possible| {
                format!(
                    "The operating system is not able to handle the specified number of clients, try with {possible}"
                )
            })?,
            _ => {}
        }
        self.apply_settings();
        if matches!(change.id, Id::proc_title_template | Id::port | Id::bind) {
            self.show_title();
        }
        if matches!(change.id, Id::maxmemory_clients | Id::maxmemory)
            && let Some(limit) = self.config.max_client_bytes()
        {
            self.clients.evict(limit);
        }
        Ok(())
    }

    /// Sets the process's title, unless `set-proc-title` is off.
    pub fn show_title(&self) {
        if !self.config.set_proc_title() {
            return;
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let template = text(&self.config.proc_title_template());
        let port = self.config.port();
        title::set(&title::expand(&template, |name| match name {
            "title" => self.program.clone(),
            "listen-addr" => {
                let bind = self.config.bind();
                format!("{}:{port}", bind.first().map_or("*".to_owned(), |address| text(address)))
            }
            "port" => port.to_string(),
            "tls-port" => self.config.tls_port().to_string(),
            "unixsocket" => text(&self.config.unixsocket()),
            "config-file" => {
                self.config_file.as_ref().map_or(String::new(), |file| file.display().to_string())
            }
            // `server-mode` is said of clusters and of Sentinel only.
            _ => String::new(),
        }));
    }

    /// Sees to it that the process may open enough files for `maxclients` connections.
    ///
    /// # Errors
    /// The number of connections that it may open, if those are fewer.
    pub fn make_room_for_clients(&self) -> Result<(), u64> {
        let wanted = self.config.maxclients() + RESERVED_FILES;
        let granted = process::raise_open_files(wanted);
        if granted >= wanted { Ok(()) } else { Err(granted.saturating_sub(RESERVED_FILES)) }
    }
}
