//! Reading configuration files: lines, includes, and the errors that stop the server from starting.
//!
//! A file is read line by line, and a later line overrides an earlier one, except that `save` lines of one
//! start add up, as do `rename-command`, `user` and `loadmodule` lines; each `client-output-buffer-limit`
//! line changes only the classes it names. `include` reads another file at its place; one with `*`, `?` or `[`
//! reads all files that match, in the order of their names, and none is fine, too.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::directive::{Directive, Effect, Kind, lookup};
use super::directives::Id;
use super::parse::{Environment, LexError, split_args, split_args_expanding};
use super::store::Config;
use super::value::{self, Reason, Value};

/// The largest file that is read. Configurations with thousands of users are far smaller.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// How deep files may include each other: enough for any sensible tree, and it ends a circle.
const MAX_INCLUDE_DEPTH: usize = 16;

/// How many files may be read in all, so that a file which includes itself twice ends, too.
const MAX_FILES: usize = 1000;

/// Why the configuration cannot be used. Shown as the block of text that Redis prints in this case.
#[derive(Debug)]
pub enum ConfigError {
    /// A line is wrong.
    Line {
        /// Counted from 1; the command line's options continue the file's lines.
        number: usize,
        /// The included file that the line is in; `None` for the main file and the command line.
        included: Option<PathBuf>,
        /// The line itself, without blanks around it.
        line: Vec<u8>,
        /// What is wrong with it.
        reason: Reason,
    },
    /// The lines are fine each, but not together, or not here.
    Whole(Reason),
    /// A file cannot be read.
    File(PathBuf, io::Error),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = env!("CARGO_PKG_VERSION");
        match self {
            Self::File(path, error) => {
                let error = value::error_text(error);
                return write!(f, "Fatal error, can't open config file '{}': {error}", path.display());
            }
            Self::Whole(_) | Self::Line { .. } => {
                write!(f, "\n*** FATAL CONFIG FILE ERROR (Nuthatch {version}) ***\n")?;
            }
        }
        match self {
            Self::Line { number, included, line, reason } => {
                match included {
                    None => writeln!(f, "Reading the configuration file, at line {number}")?,
                    Some(path) => {
                        writeln!(f, "Reading the configuration file '{}', at line {number}", path.display())?;
                    }
                }
                write!(f, ">>> '{}'\n{reason}", String::from_utf8_lossy(line))
            }
            Self::Whole(reason) => f.write_str(reason),
            Self::File(..) => Ok(()),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Reads lines into a configuration.
pub(super) struct Loader<'a> {
    config: &'a Config,
    environment: Environment<'a>,
    /// What the user should hear, though it stops nothing.
    pub(super) warnings: Vec<String>,
    /// Directives that have been warned about.
    warned: BTreeSet<Id>,
    /// A `save` line was seen: the next one adds to it.
    saw_save: bool,
    files: usize,
}

/// Where lines come from.
#[derive(Clone, Copy)]
struct Source<'a> {
    included: Option<&'a Path>,
    depth: usize,
}

impl<'a> Loader<'a> {
    pub(super) fn new(config: &'a Config, environment: Environment<'a>) -> Self {
        Self { config, environment, warnings: Vec::new(), warned: BTreeSet::new(), saw_save: false, files: 0 }
    }

    /// Reads the main configuration: the text of the file and of standard input, then the command line's
    /// options as lines, in which variables are not expanded, as the shell has done that.
    pub(super) fn load(&mut self, text: &[u8], options: &[u8]) -> Result<(), ConfigError> {
        let source = Source { included: None, depth: 0 };
        let mut number = 0;
        for line in text.split(|b| *b == b'\n') {
            number += 1;
            self.line(line, number, true, source)?;
        }
        for line in options.split(|b| *b == b'\n') {
            number += 1;
            self.line(line, number, false, source)?;
        }
        self.check_whole()
    }

    fn line(
        &mut self,
        line: &[u8],
        number: usize,
        expand: bool,
        from: Source<'_>,
    ) -> Result<(), ConfigError> {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            return Ok(());
        }
        let at_line = |reason: Reason| ConfigError::Line {
            number,
            included: from.included.map(Path::to_path_buf),
            line: line.to_vec(),
            reason,
        };
        if line.contains(&0) {
            return Err(at_line("configuration line contains a NUL byte".into()));
        }
        let lexed = if expand { split_args_expanding(line, self.environment) } else { split_args(line) };
        let args = lexed.map_err(|error| at_line(error.to_string().into()))?;
        let Some((name, args)) = args.split_first() else { return Ok(()) };
        match lookup(name) {
            Some((id, _)) if matches!(id.directive().kind, Kind::Include) && args.len() == 1 => {
                self.include(&args[0], from, at_line)
            }
            Some((id, _)) => self.set(id.directive(), args).map_err(at_line),
            // What would be a module's own setting.
            None if name.contains(&b'.') && args.is_empty() => {
                Err(at_line("Module config specified without value".into()))
            }
            None if name.contains(&b'.') => {
                let name = String::from_utf8_lossy(name);
                self.warnings.push(format!("'{name}' has no effect: modules cannot be loaded"));
                Ok(())
            }
            None => Err(at_line("Bad directive or wrong number of arguments".into())),
        }
    }

    fn set(&mut self, directive: &Directive, args: &[Vec<u8>]) -> Result<(), Reason> {
        const BAD: &str = "Bad directive or wrong number of arguments";
        let mut args: Vec<Bytes> = args.iter().cloned().map(Bytes::from).collect();
        match directive.kind {
            Kind::Include => return Err(BAD.into()),
            Kind::Obsolete if directive.id == Id::sentinel => {
                return Err("sentinel directive while not in sentinel mode".into());
            }
            Kind::Lines { min, max } if !(min..=max).contains(&args.len()) => return Err(BAD.into()),
            Kind::Lines { .. } => {}
            // `"a b"` stands for `a b`, but `""` stays an argument.
            _ if directive.takes_many_args() => {
                if let [only] = args.as_slice()
                    && !only.is_empty()
                {
                    let split =
                        split_args(only).map_err(|error: LexError| Reason::from(error.to_string()))?;
                    args = split.into_iter().map(Bytes::from).collect();
                }
            }
            _ if args.len() != 1 => return Err("wrong number of arguments".into()),
            _ => {}
        }
        let extend = directive.id == Id::save && std::mem::replace(&mut self.saw_save, true);
        let current = self.config.value(directive.id);
        let value = value::parse(&directive.kind, &args, &current, extend, &self.config.directory())?;
        self.warn_if_idle(directive, &value);
        self.config.store(directive.id, value);
        Ok(())
    }

    /// Warns, once, of a directive that is asked for something it will not do. Its default asks for nothing.
    fn warn_if_idle(&mut self, directive: &Directive, value: &Value) {
        let Effect::NoEffect(why) = directive.effect else { return };
        let is_default = !directive.is_file_only() && *value == self.config.default_of(directive.id);
        if !is_default && self.warned.insert(directive.id) {
            self.warnings.push(format!("'{}' has no effect: {why}", directive.name));
        }
    }

    fn include(
        &mut self,
        pattern: &[u8],
        from: Source<'_>,
        at_line: impl Fn(Reason) -> ConfigError,
    ) -> Result<(), ConfigError> {
        if from.depth == MAX_INCLUDE_DEPTH {
            return Err(at_line(
                format!("files include each other more than {MAX_INCLUDE_DEPTH} deep").into(),
            ));
        }
        let path = self.config.directory().join(OsStr::from_bytes(pattern));
        let paths = if pattern.iter().any(|b| matches!(b, b'*' | b'?' | b'[')) {
            matching_files(&path).map_err(|reason| at_line(reason.into()))?
        } else {
            vec![path]
        };
        for path in paths {
            self.files += 1;
            if self.files > MAX_FILES {
                return Err(at_line(format!("more than {MAX_FILES} files are included").into()));
            }
            let text = read_file(&path)?;
            let source = Source { included: Some(&path), depth: from.depth + 1 };
            for (index, line) in text.split(|b| *b == b'\n').enumerate() {
                self.line(line, index + 1, true, source)?;
            }
        }
        Ok(())
    }

    /// What Redis checks when all lines are read.
    fn check_whole(&mut self) -> Result<(), ConfigError> {
        let config = self.config;
        let log_file = config.logfile();
        if !log_file.is_empty() {
            // Once the server runs, nobody would see that it cannot log.
            let path = config.directory().join(OsStr::from_bytes(&log_file));
            std::fs::OpenOptions::new().append(true).create(true).open(path).map_err(|error| {
                ConfigError::Whole(format!("Can't open the log file: {}", value::error_text(&error)).into())
            })?;
        }
        if config.cluster_enabled() {
            if config.replicaof().is_some() {
                return Err(ConfigError::Whole("replicaof directive not allowed in cluster mode".into()));
            }
            if config.databases() > 1 {
                self.warnings.push(format!(
                    "Changing databases number from {} to 1 since we are in cluster mode",
                    config.databases()
                ));
                config.store(Id::databases, Value::Number(1));
            }
        }
        let [master, replica, child] = config.oom_score_adj_values();
        if replica < master || child < replica {
            let text = "The oom-score-adj-values configuration may not work for non-privileged processes! Please consult the documentation.";
            self.warnings.push(text.to_owned());
        }
        Ok(())
    }
}

/// The files that match a path with wildcards, in the order of their names.
fn matching_files(pattern: &Path) -> Result<Vec<PathBuf>, String> {
    let text = pattern.to_str().ok_or("a path with wildcards must be valid UTF-8")?;
    let options = glob::MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    let paths = glob::glob_with(text, options).map_err(|error| error.to_string())?;
    paths.map(|path| path.map_err(|error| error.to_string())).collect()
}

/// Reads a whole configuration file.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let fail = |error| ConfigError::File(path.to_path_buf(), error);
    let file = std::fs::File::open(path).map_err(fail)?;
    read_all(file).map_err(fail)
}

/// Reads all there is, up to the limit of a file.
pub(super) fn read_all(input: impl Read) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    input.take(MAX_FILE_BYTES + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the file is too large for a configuration"));
    }
    Ok(text)
}

/// An environment variable of this process.
pub(super) fn process_variable(name: &str) -> Option<Vec<u8>> {
    std::env::var_os(name).map(OsStringExt::into_vec)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<(Config, Vec<String>), String> {
        load_with_options(text, "")
    }

    fn load_with_options(text: &str, options: &str) -> Result<(Config, Vec<String>), String> {
        let config = Config::new();
        let mut loader = Loader::new(&config, &|name| (name == "PORT").then(|| b"7777".to_vec()));
        let result = loader.load(text.as_bytes(), options.as_bytes());
        let warnings = loader.warnings;
        result.map(|()| (config, warnings)).map_err(|error| error.to_string())
    }

    fn shown(config: &Config, name: &str) -> String {
        let found = config.get(&[name.as_bytes()]);
        String::from_utf8(found[0].1.clone()).unwrap()
    }

    #[test]
    fn reads_lines() {
        let (config, warnings) = load(
            "# comment\n\n  PORT ${PORT} \nbind 127.0.0.1 -::1\r\nmaxclients 50\nmaxclients 60\n\
             slave-priority 5\nrequirepass \"a b\"\nunixsocketperm 770\nproto-max-bulk-len 2Mb\n",
        )
        .unwrap();
        assert_eq!(config.port(), 7777);
        assert_eq!(shown(&config, "bind"), "127.0.0.1 -::1");
        assert_eq!(config.maxclients(), 60);
        assert_eq!(config.replica_priority(), 5);
        assert_eq!(config.requirepass(), "a b");
        assert_eq!(config.unixsocketperm(), 0o770);
        assert_eq!(config.proto_max_bulk_len(), 2 << 20);
        assert_eq!(warnings, ["'replica-priority' has no effect: replication is not part of this version"]);
    }

    #[test]
    fn repeated_directives() {
        let save = |text: &str| shown(&load(text).unwrap().0, "save");
        assert_eq!(save(""), "3600 1 300 100 60 10000");
        assert_eq!(save("save 900 1"), "900 1");
        assert_eq!(save("save 900 1\nsave 60 2 30 3"), "900 1 60 2 30 3");
        assert_eq!(save("save 900 1\nsave \"\""), "");
        assert_eq!(save("save ''\nsave '900 1'"), "900 1");
        let (config, _) = load("rename-command A B\nrename-command C \"\"\nclient-output-buffer-limit pubsub 1mb 2k 3\nclient-output-buffer-limit replica 1 2 3 normal 4 5 6").unwrap();
        assert_eq!(config.rename_command().len(), 2);
        assert_eq!(config.rename_command()[1].as_ref(), [Bytes::from("C"), Bytes::new()]);
        assert_eq!(
            shown(&config, "client-output-buffer-limit"),
            "normal 4 5 6 slave 1 2 3 pubsub 1048576 2000 3"
        );
    }

    #[test]
    fn complains_as_redis_does() {
        let bad = "Bad directive or wrong number of arguments";
        for (line, reason) in [
            ("bogus", bad),
            ("bogus 1", bad),
            ("rename-command a", bad),
            ("user", bad),
            ("include", bad),
            ("port", "wrong number of arguments"),
            ("port 1 2", "wrong number of arguments"),
            ("port x", "argument couldn't be parsed into an integer"),
            ("port 65536", "argument must be between 0 and 65535 inclusive"),
            ("maxclients 0", "argument must be between 1 and 4294967295 inclusive"),
            ("appendonly maybe", "argument must be 'yes' or 'no'"),
            ("maxmemory -1", "argument must be a memory value"),
            ("maxmemory 1x", "argument must be a memory value"),
            ("maxmemory-clients x", "argument must be a memory or percent value"),
            ("maxmemory-clients 101%", "percentage argument must be less or equal to 100"),
            ("unixsocketperm 9", "argument couldn't be parsed as an octal number"),
            ("unixsocketperm 1000", "argument must be between 0 and 777 inclusive"),
            ("keyspace-shards 3", "argument must be a power of two"),
            ("save 1", "Invalid save parameters"),
            ("save 0 1", "Invalid save parameters"),
            ("replicaof no", "wrong number of arguments"),
            ("replicaof host 70000", "Invalid master port"),
            ("requirepass \"a", "Unbalanced quotes in configuration line"),
            ("requirepass ${NO_SUCH}", "environment variable 'NO_SUCH' is not set"),
            ("requirepass a\0b", "configuration line contains a NUL byte"),
            ("sentinel monitor", "sentinel directive while not in sentinel mode"),
            ("x.y", "Module config specified without value"),
            ("dir \"\"", "dir can't be empty"),
            ("dir /no/such/place", "No such file or directory"),
            (
                "shutdown-on-sigterm save nosave",
                "shutdown options SAVE and NOSAVE can't be used simultaneously",
            ),
            (
                "latency-tracking-info-percentiles 101",
                "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]",
            ),
            (
                "loglevel loud",
                "argument(s) must be one of the following: debug, verbose, notice, warning, nothing",
            ),
            ("notify-keyspace-events Q", "Invalid event class character. Use 'Ag$lshzxeKEtmdn'."),
        ] {
            let want = format!(
                "\n*** FATAL CONFIG FILE ERROR (Nuthatch {}) ***\nReading the configuration file, at line 2\n>>> '{line}'\n{reason}",
                env!("CARGO_PKG_VERSION")
            );
            assert_eq!(load(&format!("port 1\n {line} \n")).err(), Some(want), "{line:?}");
        }
    }

    #[test]
    fn whole_checks() {
        assert!(
            load("logfile /no/such/place/log")
                .unwrap_err()
                .ends_with("***\nCan't open the log file: No such file or directory")
        );
        let both = "cluster-enabled yes\nreplicaof 127.0.0.1 1";
        assert!(load(both).unwrap_err().ends_with("replicaof directive not allowed in cluster mode"));
        assert_eq!(load("cluster-enabled yes").unwrap().0.databases(), 1);
    }

    #[test]
    fn old_names_are_known_and_warned_of_once() {
        let (_, warnings) =
            load("io-threads-do-reads yes\nio-threads-do-reads yes\nhz 10\nlist-max-ziplist-value 3\nx.y 1")
                .unwrap();
        assert_eq!(warnings.len(), 3, "{warnings:?}");
    }

    #[test]
    fn options_are_lines_without_variables() {
        let (config, _) = load_with_options("port 1", "requirepass \"${PORT}\"\nport 2").unwrap();
        assert_eq!(config.requirepass(), "${PORT}");
        assert_eq!(config.port(), 2);
        assert!(load_with_options("", "port x").unwrap_err().contains("at line 2\n>>> 'port x'"));
    }

    #[test]
    fn includes() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        std::fs::create_dir(at("d")).unwrap();
        std::fs::write(at("one.conf"), "port 1\nmaxclients 7\n").unwrap();
        std::fs::write(at("d/b.conf"), "port 2").unwrap();
        std::fs::write(at("d/c.conf"), "port 3").unwrap();
        std::fs::write(at("bad.conf"), "\nport x").unwrap();
        std::fs::write(at("loop.conf"), format!("include {0}\ninclude {0}", at("loop.conf"))).unwrap();

        let (config, _) = load(&format!("include {}\nmaxclients 8", at("one.conf"))).unwrap();
        assert_eq!((config.port(), config.maxclients()), (1, 8));
        assert_eq!(load(&format!("include {}", at("d/*.conf"))).unwrap().0.port(), 3);
        assert_eq!(load(&format!("include {}", at("none/*.conf"))).unwrap().0.port(), 6379);
        // Relative paths are below `dir`, once it is set.
        assert_eq!(load(&format!("dir {}\ninclude b.conf", at("d"))).unwrap().0.port(), 2);

        let error = load(&format!("include {}", at("bad.conf"))).unwrap_err();
        assert!(
            error.contains(&format!("Reading the configuration file '{}', at line 2", at("bad.conf"))),
            "{error}"
        );
        let missing = load(&format!("include {}", at("none.conf"))).unwrap_err();
        assert_eq!(
            missing,
            format!("Fatal error, can't open config file '{}': No such file or directory", at("none.conf"))
        );
        let error = load(&format!("include {}", at("loop.conf"))).unwrap_err();
        assert!(error.ends_with("files include each other more than 16 deep"), "{error}");
    }
}
