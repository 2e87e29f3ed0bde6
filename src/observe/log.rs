//! The log: a `tracing` layer that prints lines as Redis does, so that tools waiting for them find them.
//!
//! ```text
//! 4711:M 05 Mar 2025 14:03:59.123 * Ready to accept connections tcp
//! ```
//!
//! Process id, role (`M`aster, `S`lave, `C`hild or helper thread, `X` sentinel), local time, a mark for the level,
//! and the message with any fields after it. The levels of `tracing` stand for those of Redis: `TRACE` for debug,
//! `DEBUG` for verbose, `INFO` for notice, `WARN` and `ERROR` for warning.
//!
//! Level, file and role can be changed while logging goes on. A log file is opened for appending, which suits a
//! rotation that truncates it; one that renames it is noticed within a second, and the name opened again.
//! What cannot be written is dropped: a full disk must not stop a cache.

use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// How long a renamed log file may still be written to.
const RENAME_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// What is logged, as `loglevel` says it: this and what is graver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    Debug,
    Verbose,
    Notice,
    Warning,
    Nothing,
}

impl Level {
    const ALL: [Level; 5] = [Level::Debug, Level::Verbose, Level::Notice, Level::Warning, Level::Nothing];

    /// The level of that name, in any case.
    pub fn parse(name: &str) -> Option<Level> {
        Level::ALL.into_iter().find(|level| level.name().eq_ignore_ascii_case(name))
    }

    pub fn name(self) -> &'static str {
        match self {
            Level::Debug => "debug",
            Level::Verbose => "verbose",
            Level::Notice => "notice",
            Level::Warning => "warning",
            Level::Nothing => "nothing",
        }
    }

    /// The mark in front of a message.
    fn mark(self) -> char {
        match self {
            Level::Debug => '.',
            Level::Verbose => '-',
            Level::Notice => '*',
            Level::Warning | Level::Nothing => '#',
        }
    }

    fn of(level: &tracing::Level) -> Level {
        match *level {
            tracing::Level::TRACE => Level::Debug,
            tracing::Level::DEBUG => Level::Verbose,
            tracing::Level::INFO => Level::Notice,
            tracing::Level::WARN | tracing::Level::ERROR => Level::Warning,
        }
    }

    fn filter(self) -> LevelFilter {
        match self {
            Level::Debug => LevelFilter::TRACE,
            Level::Verbose => LevelFilter::DEBUG,
            Level::Notice => LevelFilter::INFO,
            Level::Warning => LevelFilter::WARN,
            Level::Nothing => LevelFilter::OFF,
        }
    }
}

/// Who the process is, shown in every line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    Master = b'M',
    Replica = b'S',
    Child = b'C',
    Sentinel = b'X',
}

enum Sink {
    Stdout,
    File { file: File, path: PathBuf, checked: Instant },
}

struct Shared {
    pid: u32,
    level: AtomicU8,
    role: AtomicU8,
    /// Held while a line is written, so that lines stay whole.
    sink: Mutex<Sink>,
}

/// The handle to the log: [`layer`](Self::layer) goes into a `tracing` subscriber, the rest changes settings.
#[derive(Clone)]
pub struct Log {
    shared: Arc<Shared>,
}

impl Log {
    /// A log of a master to standard output.
    pub fn new(level: Level) -> Log {
        let shared = Shared {
            pid: std::process::id(),
            level: AtomicU8::new(level as u8),
            role: AtomicU8::new(Role::Master as u8),
            sink: Mutex::new(Sink::Stdout),
        };
        Log { shared: Arc::new(shared) }
    }

    pub fn layer(&self) -> LogLayer {
        LogLayer { shared: self.shared.clone() }
    }

    pub fn level(&self) -> Level {
        self.shared.level()
    }

    pub fn set_level(&self, level: Level) {
        self.shared.level.store(level as u8, Relaxed);
        // `tracing` remembers which events are wanted.
        tracing::callsite::rebuild_interest_cache();
    }

    pub fn set_role(&self, role: Role) {
        self.shared.role.store(role as u8, Relaxed);
    }

    /// Goes on in the file `path`, made if need be, or on standard output. On an error all stays as it was.
    pub fn set_file(&self, path: Option<&Path>) -> io::Result<()> {
        let sink = match path {
            Some(path) => Sink::File { file: open(path)?, path: path.to_owned(), checked: Instant::now() },
            None => Sink::Stdout,
        };
        *self.shared.sink.lock() = sink;
        Ok(())
    }
}

/// Makes the process's log: at `level`, into `file` (empty: standard output). Called once.
///
/// # Errors
/// If the file cannot be opened.
pub fn start(level: Level, file: &[u8]) -> io::Result<Log> {
    let log = Log::new(level);
    if !file.is_empty() {
        log.set_file(Some(Path::new(std::ffi::OsStr::from_bytes(file))))?;
    }
    let subscriber = tracing_subscriber::registry().with(log.layer());
    tracing::subscriber::set_global_default(subscriber).map_err(io::Error::other)?;
    Ok(log)
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

impl Shared {
    fn level(&self) -> Level {
        Level::ALL[usize::from(self.level.load(Relaxed))]
    }

    fn line(&self, level: Level, message: &dyn Fn(&mut String) -> fmt::Result) -> String {
        let mut line = String::with_capacity(128);
        let role = self.role.load(Relaxed) as char;
        // Writing to a string does not fail; a field that fails to print itself is left out.
        let _ = write!(line, "{}:{role} {} {} ", self.pid, LocalTime::now(), level.mark());
        let _ = message(&mut line);
        line.push('\n');
        line
    }

    fn write(&self, line: &str) {
        let mut sink = self.sink.lock();
        match &mut *sink {
            Sink::Stdout => {
                // Standard output is shared with other writers of this process, hence its own lock.
                let mut stdout = io::stdout().lock();
                let _ = stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush());
            }
            Sink::File { file, path, checked } => {
                if checked.elapsed() >= RENAME_CHECK_INTERVAL {
                    *checked = Instant::now();
                    if !is_at(file, path) {
                        // If the name cannot be opened, the old file is better than none.
                        if let Ok(fresh) = open(path) {
                            *file = fresh;
                        }
                    }
                }
                let _ = file.write_all(line.as_bytes());
            }
        }
    }
}

/// Whether `path` still names `file`.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(ours), Ok(named)) => (ours.dev(), ours.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

/// The layer that prints; made by [`Log::layer`].
pub struct LogLayer {
    shared: Arc<Shared>,
}

impl<S: Subscriber> Layer<S> for LogLayer {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        Level::of(metadata.level()) >= self.shared.level()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.shared.level().filter())
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = Level::of(event.metadata().level());
        let line = self.shared.line(level, &|line| {
            let mut printer = Printer { line, result: Ok(()) };
            event.record(&mut MessageOnly(&mut printer));
            event.record(&mut FieldsOnly(&mut printer));
            printer.result
        });
        self.shared.write(&line);
    }
}

struct Printer<'a> {
    line: &'a mut String,
    result: fmt::Result,
}

/// The message comes first wherever it stands among the fields.
struct MessageOnly<'a, 'b>(&'a mut Printer<'b>);
struct FieldsOnly<'a, 'b>(&'a mut Printer<'b>);

impl Visit for MessageOnly<'_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0.result = self.0.result.and(write!(self.0.line, "{value:?}"));
        }
    }
}

impl Visit for FieldsOnly<'_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() != "message" {
            self.0.result = self.0.result.and(write!(self.0.line, " {}={value:?}", field.name()));
        }
    }
}

/// A moment in the time zone of the machine, printed as `05 Mar 2025 14:03:59.123`.
struct LocalTime {
    fields: libc::tm,
    millis: u32,
}

impl LocalTime {
    fn now() -> LocalTime {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        LocalTime {
            fields: local_fields(since_epoch.as_secs() as libc::time_t),
            millis: since_epoch.subsec_millis(),
        }
    }
}

impl fmt::Display for LocalTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let tm = &self.fields;
        let month = usize::try_from(tm.tm_mon).ok().and_then(|month| MONTHS.get(month)).unwrap_or(&"???");
        write!(
            f,
            "{:02} {month} {} {:02}:{:02}:{:02}.{:03}",
            tm.tm_mday,
            tm.tm_year + 1900,
            tm.tm_hour,
            tm.tm_min,
            tm.tm_sec,
            self.millis
        )
    }
}

fn local_fields(unix_s: libc::time_t) -> libc::tm {
    // SAFETY: `tm` is plain data for which all zeros is a value (a null zone name included).
    let mut fields: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are valid for the call and not kept; the function is thread-safe. Should it fail
    // (the year overflows an int), it leaves the zeros.
    unsafe { libc::localtime_r(&unix_s, &mut fields) };
    fields
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::prelude::*;

    use super::*;

    /// Logs through a subscriber of its own to a file and returns the file's lines.
    fn logged(level: Level, act: impl FnOnce(&Log, &Path)) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("test.log");
        let log = Log::new(level);
        log.set_file(Some(&path)).unwrap();
        let subscriber = tracing_subscriber::registry().with(log.layer());
        tracing::subscriber::with_default(subscriber, || act(&log, &path));
        std::fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect()
    }

    /// The part of a line after the time.
    fn tail(line: &str) -> &str {
        line.splitn(6, ' ').last().unwrap()
    }

    #[test]
    fn a_line_has_the_form_of_redis() {
        let lines = logged(Level::Notice, |log, _| {
            tracing::info!("Ready to accept connections {}", "tcp");
            log.set_role(Role::Replica);
            tracing::info!("now a replica");
        });
        let pid = std::process::id();
        assert!(lines[0].starts_with(&format!("{pid}:M ")), "{}", lines[0]);
        assert!(lines[1].starts_with(&format!("{pid}:S ")), "{}", lines[1]);
        assert!(lines[0].ends_with(" * Ready to accept connections tcp"));
        let words: Vec<&str> = lines[0].split(' ').collect();
        // pid:M 05 Mar 2025 14:03:59.123 * …
        assert_eq!(words[1..5].iter().map(|word| word.len()).collect::<Vec<_>>(), [2, 3, 4, 12]);
    }

    #[test]
    fn levels_have_their_marks_and_filter() {
        let all = || {
            tracing::trace!("t");
            tracing::debug!("d");
            tracing::info!("i");
            tracing::warn!("w");
            tracing::error!("e");
        };
        let lines = logged(Level::Debug, |log, _| {
            all();
            log.set_level(Level::Notice);
            all();
            log.set_level(Level::Nothing);
            all();
        });
        let tails: Vec<&str> = lines.iter().map(|line| tail(line)).collect();
        assert_eq!(tails, [". t", "- d", "* i", "# w", "# e", "* i", "# w", "# e"]);
        assert_eq!(Level::parse("VERBOSE"), Some(Level::Verbose));
        assert_eq!(Level::parse("info"), None);
    }

    #[test]
    fn fields_follow_the_message() {
        let lines = logged(Level::Notice, |_, _| tracing::info!(port = 6379, name = "x y", "listening"));
        assert_eq!(tail(&lines[0]), "* listening port=6379 name=\"x y\"");
    }

    #[test]
    fn rotation_by_truncating_or_renaming() {
        let lines = logged(Level::Notice, |log, path| {
            tracing::info!("one");
            std::fs::write(path, "").unwrap();
            tracing::info!("two");
            std::fs::rename(path, path.with_extension("old")).unwrap();
            if let Sink::File { checked, .. } = &mut *log.shared.sink.lock() {
                *checked -= RENAME_CHECK_INTERVAL;
            }
            tracing::info!("three");
            let old = std::fs::read_to_string(path.with_extension("old")).unwrap();
            assert_eq!(tail(old.trim_end()), "* two");
        });
        assert_eq!(lines.iter().map(|line| tail(line)).collect::<Vec<_>>(), ["* three"]);
    }

    #[test]
    fn a_file_that_cannot_be_opened_changes_nothing() {
        let lines = logged(Level::Notice, |log, _| {
            assert!(log.set_file(Some(Path::new("/nonexistent/directory/log"))).is_err());
            tracing::info!("still here");
        });
        assert_eq!(lines.len(), 1);
    }

    #[test]
    fn time_is_local_and_padded() {
        let time = LocalTime { fields: local_fields(1_741_183_439), millis: 7 };
        let text = time.to_string();
        assert!(text.contains("Mar 2025") && text.ends_with(":59.007"), "{text}");
        assert_eq!(text.len(), "05 Mar 2025 14:03:59.007".len());
    }
}
