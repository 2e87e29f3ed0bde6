//! The live values of all directives, and CONFIG GET and CONFIG SET on them.
//!
//! Numbers, choices and switches are atomics, so that the hot paths read them without a lock; the rest are
//! behind a lock each, held only for a clone of a reference-counted value. Readers may see the values of one
//! CONFIG SET arrive one after the other; writers are ordered by a lock of their own.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use super::directive::{Directive, Kind, flag, lookup};
use super::directives::{COUNT, DIRECTIVES, Id};
use super::value::{self, Reason, Value};
use crate::types::glob;

/// The live configuration. Every directive has a typed accessor of its own name.
#[derive(Debug)]
pub struct Config {
    /// The values of all kinds that are stored as [`Value::Number`].
    numbers: [AtomicI64; COUNT],
    /// The values of all other kinds.
    values: [RwLock<Value>; COUNT],
    /// Counts changes; see [`Config::generation`].
    generation: AtomicU64,
    /// Held while values are set and applied, so that two CONFIG SET cannot interleave.
    setting: Mutex<()>,
    /// Where the process was started: the default of `dir`.
    start_directory: PathBuf,
}

/// Who sets a directive, as far as it decides what may be set.
#[derive(Debug, Clone, Copy, Default)]
pub struct Caller {
    /// The client is on this machine: a loopback address or a Unix socket.
    pub is_local: bool,
    /// A data set is being loaded.
    pub is_loading: bool,
}

/// A directive that was set to another value.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Which one.
    pub id: Id,
    /// Its value before.
    pub old: Value,
    /// Its value now.
    pub new: Value,
}

impl Change {
    /// The directive that changed.
    pub fn directive(&self) -> &'static Directive {
        self.id.directive()
    }

    fn reversed(self) -> Self {
        Self { id: self.id, old: self.new, new: self.old }
    }
}

/// Why CONFIG SET changed nothing. Shown as the error reply, with its code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetError {
    /// No directive has this name.
    Unknown(Vec<u8>),
    /// The directive of this name cannot be set, or not to this value, for this reason.
    Failed { name: Vec<u8>, reason: Reason },
    /// Not while a data set is being loaded.
    Loading,
}

impl SetError {
    fn failed(name: &[u8], reason: impl Into<Reason>) -> Self {
        Self::Failed { name: name.to_vec(), reason: reason.into() }
    }

    /// The error reply, without the leading `-` and the line's end. A name that the client made up is in it as
    /// it came, but for line ends, which become blanks.
    pub fn to_reply(&self) -> Vec<u8> {
        let mut reply = match self {
            Self::Unknown(name) => {
                [b"ERR Unknown option or number of arguments for CONFIG SET - '", name.as_slice(), b"'"]
                    .concat()
            }
            Self::Failed { name, reason } => [
                b"ERR CONFIG SET failed (possibly related to argument '",
                name.as_slice(),
                b"') - ",
                reason.as_bytes(),
            ]
            .concat(),
            Self::Loading => b"LOADING Redis is loading the dataset in memory".to_vec(),
        };
        for byte in &mut reply {
            if matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        reply
    }
}

impl fmt::Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.to_reply()))
    }
}

impl std::error::Error for SetError {}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

impl Config {
    /// All directives at their defaults.
    pub fn new() -> Self {
        let start_directory = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        let default = |index: usize| default_value(&DIRECTIVES[index], &start_directory);
        let number = |index| match default(index) {
            Value::Number(number) => number,
            _ => 0,
        };
        Self {
            numbers: std::array::from_fn(|index| AtomicI64::new(number(index))),
            values: std::array::from_fn(|index| RwLock::new(default(index))),
            generation: AtomicU64::new(0),
            setting: Mutex::new(()),
            start_directory,
        }
    }

    /// A number that grows whenever a value changes: whoever keeps values that are dear to read keeps this
    /// with them, and reads them again when it is another.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The stored number of a directive of a kind that has one.
    pub(super) fn number(&self, id: Id) -> i64 {
        self.numbers[id as usize].load(Ordering::Relaxed)
    }

    /// The value of any directive.
    pub fn value(&self, id: Id) -> Value {
        match &*self.values[id as usize].read() {
            Value::Number(_) => Value::Number(self.number(id)),
            value => value.clone(),
        }
    }

    /// The value of any directive when nothing sets it.
    pub fn default_of(&self, id: Id) -> Value {
        default_value(id.directive(), &self.start_directory)
    }

    /// The value of any directive, as CONFIG GET shows it.
    pub fn text(&self, id: Id) -> Vec<u8> {
        value::format(&id.directive().kind, &self.value(id))
    }

    /// The directory that relative paths are relative to.
    pub fn directory(&self) -> PathBuf {
        use std::os::unix::ffi::OsStrExt;
        PathBuf::from(std::ffi::OsStr::from_bytes(&self.dir()))
    }

    /// `maxmemory-clients` in bytes, if there is such a limit.
    pub fn max_client_bytes(&self) -> Option<usize> {
        self.maxmemory_clients().bytes(self.maxmemory()).map(|bytes| bytes as usize)
    }

    /// Stores a value of the directive's kind.
    pub(super) fn store(&self, id: Id, value: Value) {
        match value {
            Value::Number(number) => self.numbers[id as usize].store(number, Ordering::Relaxed),
            value => *self.values[id as usize].write() = value,
        }
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// CONFIG GET: the names that match any of the patterns, and their values as Redis shows them.
    ///
    /// A pattern without `*`, `?` and `[` is a name and is answered as it is spelt. Others match names and
    /// aliases, in any case, but not hidden ones. Nothing is given twice. Redis gives the answers in no
    /// particular order; this gives them by pattern, then in the order of the table.
    pub fn get(&self, patterns: &[&[u8]]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut found: Vec<(Vec<u8>, Id)> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for &pattern in patterns {
            if !pattern.iter().any(|b| matches!(b, b'*' | b'?' | b'[')) {
                if let Some((id, name)) = lookup(pattern).filter(|(id, _)| !id.directive().is_file_only())
                    && seen.insert(name)
                {
                    found.push((pattern.to_vec(), id));
                }
                continue;
            }
            let shown = |directive: &&Directive| !directive.is_file_only() && !directive.has(flag::HIDDEN);
            for directive in DIRECTIVES.iter().filter(shown) {
                for name in std::iter::once(directive.name).chain(directive.aliases.iter().copied()) {
                    if glob::matches(pattern, name.as_bytes(), true) && seen.insert(name) {
                        found.push((name.as_bytes().to_vec(), directive.id));
                    }
                }
            }
        }
        found.into_iter().map(|(name, id)| (name, self.text(id))).collect()
    }

    /// CONFIG SET: sets all of the pairs of name and value, or none.
    ///
    /// All values are read and checked first, then stored, and then `apply` is called for each directive
    /// whose value is another than before, in the order of the pairs; it does what the change asks of the rest
    /// of the server, which already sees all new values. If it fails, all old values are stored again, it is
    /// called to go back for each change it had made, and its text is the reason in the error. It must not set
    /// anything itself.
    ///
    /// Gives the changes. The values of [`flag::SENSITIVE`] directives are among them.
    pub fn set_many(
        &self,
        pairs: &[(&[u8], &[u8])],
        caller: Caller,
        apply: &mut dyn FnMut(&Change) -> Result<(), String>,
    ) -> Result<Vec<Change>, SetError> {
        let found = self.find_all(pairs, caller)?;
        let _setting = self.setting.lock();

        let mut changes = Vec::with_capacity(found.len());
        for ((id, name), (_, text)) in found.into_iter().zip(pairs) {
            let directive = id.directive();
            let old = self.value(id);
            let new = self
                .parse_set(directive, text, &old)
                .map_err(|reason| SetError::failed(name.as_bytes(), reason))?;
            if new != old || directive.has(flag::VOLATILE) {
                changes.push((Change { id, old, new }, name));
            }
        }
        for (change, _) in &changes {
            self.store(change.id, change.new.clone());
        }
        for (index, (change, name)) in changes.iter().enumerate() {
            let Err(reason) = apply(change) else { continue };
            let error = SetError::failed(name.as_bytes(), reason);
            for (change, _) in &changes {
                self.store(change.id, change.old.clone());
            }
            // The one that failed is taken back, too: it may have got half way.
            for (change, name) in changes.into_iter().take(index + 1) {
                if let Err(reason) = apply(&change.reversed()) {
                    tracing::warn!("Failed applying restored failed CONFIG SET command: {name}: {reason}");
                }
            }
            return Err(error);
        }
        Ok(changes.into_iter().map(|(change, _)| change).collect())
    }

    /// Sets one directive, as CONFIG SET does, without applying it or asking who may.
    pub(super) fn parse_set(
        &self,
        directive: &Directive,
        text: &[u8],
        current: &Value,
    ) -> Result<Value, Reason> {
        let args: Vec<Bytes> = match directive.takes_many_args() {
            true if text.is_empty() => Vec::new(),
            true => text.split(|b| *b == b' ').map(Bytes::copy_from_slice).collect(),
            false => vec![Bytes::copy_from_slice(text)],
        };
        value::parse(&directive.kind, &args, current, false, &self.directory())
    }

    /// Looks all names up, and checks that each may be set by this caller, once.
    fn find_all(
        &self,
        pairs: &[(&[u8], &[u8])],
        caller: Caller,
    ) -> Result<Vec<(Id, &'static str)>, SetError> {
        let mut found: Vec<(Id, &'static str)> = Vec::with_capacity(pairs.len());
        for (name, _) in pairs {
            let known = lookup(name).filter(|(id, _)| !id.directive().is_file_only());
            let Some((id, spelling)) = known else { return Err(SetError::Unknown(name.to_vec())) };
            let directive = id.directive();
            if directive.has(flag::IMMUTABLE) {
                return Err(SetError::failed(name, "can't set immutable config"));
            }
            if directive.has(flag::PROTECTED) && !self.enable_protected_configs().allows(caller.is_local) {
                return Err(SetError::failed(name, "can't set protected config"));
            }
            if directive.has(flag::DENY_LOADING) && caller.is_loading {
                return Err(SetError::Loading);
            }
            if found.iter().any(|(other, _)| *other == id) {
                return Err(SetError::failed(name, "duplicate parameter"));
            }
            found.push((id, spelling));
        }
        Ok(found)
    }
}

/// The value of a directive when nothing sets it.
fn default_value(directive: &Directive, start_directory: &Path) -> Value {
    use std::os::unix::ffi::OsStrExt;

    let text = match directive.kind {
        Kind::Directory => start_directory.as_os_str().as_bytes(),
        Kind::Lines { .. } => return Value::Lines(std::sync::Arc::default()),
        Kind::ReplicaOf if directive.default.is_empty() => return Value::ReplicaOf(None),
        _ => directive.default.as_bytes(),
    };
    // A directory may have been removed, and yet be the one that the process is in.
    if let Kind::Directory = directive.kind {
        return Value::Text(Bytes::copy_from_slice(text));
    }
    let args: Vec<Bytes> = match directive.takes_many_args() {
        true => text.split(|b| *b == b' ').map(Bytes::copy_from_slice).collect(),
        false => vec![Bytes::copy_from_slice(text)],
    };
    match value::parse(&directive.kind, &args, &Value::Number(0), false, start_directory) {
        Ok(value) => value,
        Err(reason) => unreachable!("the table's default of {}: {reason}", directive.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(config: &Config, pairs: &[(&str, &str)]) -> Result<Vec<&'static str>, String> {
        let caller = Caller { is_local: true, is_loading: false };
        set_as(config, pairs, caller, &mut |_| Ok(()))
    }

    fn set_as(
        config: &Config,
        pairs: &[(&str, &str)],
        caller: Caller,
        apply: &mut dyn FnMut(&Change) -> Result<(), String>,
    ) -> Result<Vec<&'static str>, String> {
        let pairs: Vec<_> = pairs.iter().map(|(name, text)| (name.as_bytes(), text.as_bytes())).collect();
        let changes = config.set_many(&pairs, caller, apply).map_err(|error| error.to_string())?;
        Ok(changes.iter().map(|change| change.directive().name).collect())
    }

    fn get(config: &Config, patterns: &[&str]) -> Vec<(String, String)> {
        let patterns: Vec<&[u8]> = patterns.iter().map(|pattern| pattern.as_bytes()).collect();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        config.get(&patterns).into_iter().map(|(name, value)| (text(name), text(value))).collect()
    }

    fn names(config: &Config, patterns: &[&str]) -> Vec<String> {
        get(config, patterns).into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn every_default_is_read_back_from_how_it_is_shown() {
        let config = Config::new();
        for directive in &DIRECTIVES {
            let value = config.default_of(directive.id);
            assert_eq!(config.value(directive.id), value, "{}", directive.name);
            // CONFIG GET shows what `io-threads 0` comes to, and no master as nothing.
            if directive.is_file_only() || matches!(directive.kind, Kind::Cores { .. } | Kind::ReplicaOf) {
                continue;
            }
            let shown = config.text(directive.id);
            assert_eq!(config.parse_set(directive, &shown, &value), Ok(value), "{}", directive.name);
            if !matches!(directive.kind, Kind::Directory | Kind::Memory { .. }) {
                assert_eq!(String::from_utf8_lossy(&shown), directive.default, "{}", directive.name);
            }
        }
    }

    #[test]
    fn accessors_give_the_defaults() {
        let config = Config::new();
        assert_eq!(config.port(), 6379);
        assert_eq!(config.maxclients(), 10_000);
        assert!(config.protected_mode());
        assert_eq!(config.proto_max_bulk_len(), 512 << 20);
        assert_eq!(config.slowlog_log_slower_than(), 10_000);
        assert_eq!(config.loglevel(), super::super::choice::LogLevel::Notice);
        assert_eq!(config.bind().as_ref(), [Bytes::from("*"), Bytes::from("-::*")]);
        assert_eq!(config.save().len(), 3);
        assert_eq!(config.client_output_buffer_limit().pubsub.soft_bytes, 8 << 20);
        assert_eq!(config.latency_tracking_info_percentiles().as_ref(), [50.0, 99.0, 99.9]);
        assert_eq!(config.oom_score_adj_values(), [0, 200, 800]);
        assert_eq!(config.replicaof(), None);
        assert_eq!(config.keyspace_shards(), 1024);
        assert_eq!(config.maxmemory_clients(), value::MemoryLimit::Bytes(0));
        assert!(config.io_threads() >= 1);
        assert_eq!(config.directory(), std::env::current_dir().unwrap());
        assert!(config.user().is_empty() && config.requirepass().is_empty());
    }

    #[test]
    fn get_answers_names_and_patterns_once() {
        let config = Config::new();
        assert_eq!(get(&config, &["MaxMemory"]), [("MaxMemory".into(), "0".into())]);
        assert_eq!(
            names(&config, &["slave-priority", "SLAVE-PRIORITY", "s?ave-priority"]),
            ["slave-priority"]
        );
        assert_eq!(names(&config, &["*-PRIORITY"]), ["replica-priority", "slave-priority"]);
        assert_eq!(
            names(&config, &["maxmemory", "maxmemory", "maxmemory-p*"]),
            ["maxmemory", "maxmemory-policy"]
        );
        assert!(names(&config, &["nope", "user", "include", "rename-*", "key-load-d*"]).is_empty());
        assert_eq!(names(&config, &["key-load-delay"]), ["key-load-delay"]);
        let all = names(&config, &["*"]);
        assert!(!all.contains(&"keyspace-shards".to_owned()) && all.len() > 200);
    }

    #[test]
    fn values_are_shown_as_redis_shows_them() {
        let config = Config::new();
        for (name, value, shown) in [
            ("maxmemory", "1gb", "1073741824"),
            ("maxmemory", "", "0"),
            ("maxmemory-clients", "5%", "5%"),
            ("maxmemory-clients", "5k", "5000"),
            ("save", "900 1 60 2", "900 1 60 2"),
            ("save", "", ""),
            ("bind", "", ""),
            ("bind", "127.0.0.1 -::1", "127.0.0.1 -::1"),
            ("notify-keyspace-events", "KEA", "AKE"),
            ("appendonly", "YES", "yes"),
            ("oom-score-adj", "relative", "yes"),
            ("shutdown-on-sigterm", "force now", "now force"),
            ("shutdown-on-sigterm", "default", "default"),
            ("hz", "1000", "500"),
            (
                "client-output-buffer-limit",
                "replica 1mb 2 3",
                "normal 0 0 0 slave 1048576 2 3 pubsub 33554432 8388608 60",
            ),
            ("latency-tracking-info-percentiles", "1.50 99.12345678 0", "1.5 99.123457 0"),
            ("latency-tracking-info-percentiles", "", ""),
            ("list-max-listpack-size", "-5", "-5"),
        ] {
            set(&config, &[(name, value)]).unwrap();
            assert_eq!(get(&config, &[name]), [(name.to_owned(), shown.to_owned())]);
        }
    }

    #[test]
    fn set_complains_as_redis_does() {
        let config = Config::new();
        let failed = |name: &str, why: &str| {
            format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {why}")
        };
        for (pairs, want) in [
            (
                &[("No\r\nPe", "1")][..],
                "ERR Unknown option or number of arguments for CONFIG SET - 'No  Pe'".into(),
            ),
            (&[("user", "bob")], "ERR Unknown option or number of arguments for CONFIG SET - 'user'".into()),
            (&[("Databases", "1")], failed("Databases", "can't set immutable config")),
            (&[("dir", "/")], failed("dir", "can't set protected config")),
            (&[("maxmemory", "1"), ("maxmemory", "2")], failed("maxmemory", "duplicate parameter")),
            (
                &[("replica-priority", "1"), ("slave-priority", "2")],
                failed("slave-priority", "duplicate parameter"),
            ),
            (
                &[("timeout", "1"), ("PORT", "x")],
                failed("port", "argument couldn't be parsed into an integer"),
            ),
            (&[("save", "10 1  20 2")], failed("save", "Invalid save parameters")),
            (&[("oom-score-adj-values", "1")], failed("oom-score-adj-values", "wrong number of arguments")),
        ] {
            assert_eq!(set(&config, pairs), Err(want));
        }
        assert_eq!(config.timeout(), 0);
        let loading = Caller { is_local: false, is_loading: true };
        let error = set_as(&config, &[("appendonly", "yes")], loading, &mut |_| Ok(()));
        assert_eq!(error, Err("LOADING Redis is loading the dataset in memory".into()));
    }

    #[test]
    fn protected_directives_can_be_opened_to_local_clients() {
        let config = Config::new();
        config.store(
            Id::enable_protected_configs,
            Value::Number(super::super::choice::ProtectedAction::Local as i64),
        );
        assert_eq!(set(&config, &[("dbfilename", "a.rdb")]), Ok(vec!["dbfilename"]));
        assert!(set_as(&config, &[("dbfilename", "b.rdb")], Caller::default(), &mut |_| Ok(())).is_err());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap();
        set(&config, &[("dir", path.to_str().unwrap())]).unwrap();
        assert_eq!(config.directory(), path);
    }

    #[test]
    fn set_reports_what_changed() {
        let config = Config::new();
        let before = config.generation();
        assert_eq!(set(&config, &[("timeout", "0"), ("hz", "10")]), Ok(vec![]));
        assert_eq!(config.generation(), before);
        assert_eq!(
            set(&config, &[("timeout", "5"), ("hz", "10"), ("slave-priority", "7")]),
            Ok(vec!["timeout", "replica-priority"])
        );
        assert!(config.generation() > before);
        assert_eq!(
            set(&config, &[("tls-cert-file", "")]),
            Ok(vec!["tls-cert-file"]),
            "the file may have changed"
        );
    }

    #[test]
    fn a_failed_change_takes_all_back() {
        let config = Config::new();
        let mut calls = Vec::new();
        let mut apply = |change: &Change| {
            let (old, new) = (&change.old, &change.new);
            calls.push(format!("{} {old:?} {new:?} {}", change.directive().name, config.timeout()));
            if *new == Value::Number(7000) {
                Err("Unable to listen on this port. Check server logs.".to_owned())
            } else {
                Ok(())
            }
        };
        let pairs = [("timeout", "5"), ("port", "7000"), ("maxclients", "3"), ("requirepass", "x")];
        let error = set_as(&config, &pairs, Caller::default(), &mut apply).unwrap_err();
        assert_eq!(
            error,
            "ERR CONFIG SET failed (possibly related to argument 'port') - Unable to listen on this port. Check server logs."
        );
        assert_eq!(
            calls,
            [
                "timeout Number(0) Number(5) 5",
                "port Number(6379) Number(7000) 5",
                "timeout Number(5) Number(0) 0",
                "port Number(7000) Number(6379) 0",
            ]
        );
        let values = (config.timeout(), config.port(), config.maxclients(), config.requirepass());
        assert_eq!(values, (0, 6379, 10_000, Bytes::new()));
    }
}
