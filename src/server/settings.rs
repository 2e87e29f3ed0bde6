//! Directives that the connections look at on every turn, copied out of the configuration once per change.

use crate::config::Config;
use std::cell::Cell;

/// The values of one moment.
#[derive(Clone, Copy, Default, Debug)]
pub struct Settings {
    generation: u64,
    /// `proto-max-bulk-len`, bytes.
    pub max_bulk_bytes: i64,
    /// `client-query-buffer-limit`, bytes.
    pub query_limit_bytes: usize,
    /// `client-output-buffer-limit normal` and `pubsub`, bytes; 0 is none.
    pub normal_hard_bytes: usize,
    pub pubsub_hard_bytes: usize,
    /// `maxmemory-clients`, bytes.
    pub clients_limit_bytes: Option<usize>,
}

/// A worker's copy.
#[derive(Default)]
pub struct CachedSettings(Cell<Option<Settings>>);

impl CachedSettings {
    /// The settings now: one comparison unless something was changed.
    #[inline]
    pub fn get(&self, config: &Config) -> Settings {
        match self.0.get() {
            Some(settings) if settings.generation == config.generation() => settings,
            _ => self.refresh(config),
        }
    }

    #[cold]
    fn refresh(&self, config: &Config) -> Settings {
        let generation = config.generation();
        let limits = config.client_output_buffer_limit();
        let settings = Settings {
            generation,
            max_bulk_bytes: config.proto_max_bulk_len() as i64,
            // Positions within the buffer are kept in 32 bits.
            query_limit_bytes: (config.client_query_buffer_limit() as usize).min(u32::MAX as usize),
            normal_hard_bytes: limits.normal.hard_bytes as usize,
            pubsub_hard_bytes: limits.pubsub.hard_bytes as usize,
            clients_limit_bytes: config.max_client_bytes(),
        };
        self.0.set(Some(settings));
        settings
    }
}
