//! Values of directives: how each kind is read from arguments, and how it is shown.
//!
//! Reading is pure: it makes a [`Value`] or says why not, in Redis's words, and changes nothing.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::choice;
use super::directive::Kind;
use super::number::{
    format_fraction, format_memory, parse_c_integer, parse_fraction, parse_integer, parse_memory,
    parse_percent,
};
use super::parse::quote;
use crate::types::events::{self, Class};

/// Why an argument is refused, in Redis's words.
pub type Reason = Cow<'static, str>;

/// Redis's limit on `bind`.
const MAX_ADDRESSES: usize = 16;

/// Lowest and highest adjustment of the kernel's out-of-memory score: twice its own range, since adjustments
/// may be relative.
const OOM_SCORE_RANGE: std::ops::RangeInclusive<i64> = -2000..=2000;

/// Classes of clients that have output buffer limits, by their index in [`OutputLimits`].
const CLIENT_CLASSES: [&[u8]; 3] = [b"normal", b"slave", b"pubsub"];

/// The arguments of a line that only a configuration file can hold.
pub type Line = Arc<[Bytes]>;

/// The value of one directive. Cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Any kind that is a number, a choice or a set of bits.
    Number(i64),
    /// A text or a path.
    Text(Bytes),
    /// Addresses.
    Addresses(Arc<[Bytes]>),
    /// Save points.
    SavePoints(Arc<[SavePoint]>),
    /// Output buffer limits.
    OutputLimits(OutputLimits),
    /// Percentiles.
    Percentiles(Arc<[f64]>),
    /// Adjustments of the out-of-memory score.
    OomScores([i32; 3]),
    /// Host and port of a master, if there is one.
    ReplicaOf(Option<(Bytes, u16)>),
    /// Lines of a configuration file.
    Lines(Arc<[Line]>),
}

/// Save if at least this many changes were made and this much time has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SavePoint {
    /// Seconds since the last snapshot.
    pub seconds: i64,
    /// Changes since the last snapshot.
    pub changes: i64,
}

/// When a client that does not read its replies is disconnected. Zero is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputLimit {
    /// At once from this many bytes on.
    pub hard_bytes: u64,
    /// After `soft_seconds` with this many bytes or more.
    pub soft_bytes: u64,
    /// How long `soft_bytes` may last.
    pub soft_seconds: i64,
}

/// The output buffer limits of all client classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputLimits {
    /// Clients that are none of the others.
    pub normal: OutputLimit,
    /// Replicas.
    pub replica: OutputLimit,
    /// Clients that are subscribed to something.
    pub pubsub: OutputLimit,
}

impl OutputLimits {
    fn classes(&self) -> [OutputLimit; 3] {
        [self.normal, self.replica, self.pubsub]
    }

    fn class_mut(&mut self, index: usize) -> &mut OutputLimit {
        match index {
            0 => &mut self.normal,
            1 => &mut self.replica,
            _ => &mut self.pubsub,
        }
    }
}

/// A limit given in bytes or as a share of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryLimit {
    /// Bytes; 0 is no limit.
    Bytes(u64),
    /// Per cent.
    Percent(u64),
}

impl MemoryLimit {
    /// The limit in bytes, if there is one. A percentage is of `whole` bytes, of which 0 means no limit, too.
    pub fn bytes(self, whole: u64) -> Option<u64> {
        let bytes = match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => (u128::from(whole) * u128::from(percent) / 100) as u64,
        };
        (bytes != 0).then_some(bytes)
    }

    pub(super) fn from_number(number: i64) -> Self {
        if number < 0 { Self::Percent(number.unsigned_abs()) } else { Self::Bytes(number as u64) }
    }
}

macro_rules! unwrap {
    ($( $name:ident: $variant:ident -> $type:ty; )*) => { $(
        /// The value of a directive of the kind that is stored so.
        pub(super) fn $name(self) -> $type {
            match self {
                Value::$variant(value) => value,
                other => unreachable!("the directive's kind never makes {other:?}"),
            }
        }
    )* };
}

impl Value {
    unwrap! {
        into_text: Text -> Bytes;
        into_addresses: Addresses -> Arc<[Bytes]>;
        into_save_points: SavePoints -> Arc<[SavePoint]>;
        into_output_limits: OutputLimits -> OutputLimits;
        into_percentiles: Percentiles -> Arc<[f64]>;
        into_oom_scores: OomScores -> [i32; 3];
        into_replica_of: ReplicaOf -> Option<(Bytes, u16)>;
        into_lines: Lines -> Arc<[Line]>;
    }
}

/// The number of threads that a setting stands for: 0 is one for each core this process may use.
pub(super) fn effective_cores(setting: i64) -> usize {
    match usize::try_from(setting) {
        Ok(threads) if threads > 0 => threads,
        _ => std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get),
    }
}

/// Reads the value of a directive from its arguments. `current` is the value so far, which output buffer
/// limits, save points (if `extend`) and lines add to; relative directories are below `base`.
///
/// The caller has checked that a directive that does not take many arguments has exactly one.
pub fn parse(
    kind: &Kind,
    args: &[Bytes],
    current: &Value,
    extend: bool,
    base: &Path,
) -> Result<Value, Reason> {
    let first = || args.first().map(Bytes::as_ref).unwrap_or_default();
    Ok(match *kind {
        Kind::Bool => Value::Number(match first().to_ascii_lowercase().as_slice() {
            b"yes" => 1,
            b"no" => 0,
            _ => return Err("argument must be 'yes' or 'no'".into()),
        }),
        Kind::Integer { min, max } => Value::Number(integer(first(), min, max)?),
        Kind::Clamped { min, max, low, high } => Value::Number(integer(first(), min, max)?.clamp(low, high)),
        Kind::Cores { max } => Value::Number(integer(first(), 0, max)?),
        Kind::PowerOfTwo { max } => {
            let number = integer(first(), 1, max)?;
            if number.count_ones() != 1 {
                return Err("argument must be a power of two".into());
            }
            Value::Number(number)
        }
        Kind::Octal { max } => {
            let mode = parse_c_integer(first(), 8).ok_or("argument couldn't be parsed as an octal number")?;
            if !(0..=max).contains(&mode) {
                return Err(format!("argument must be between 0 and {max:o} inclusive").into());
            }
            Value::Number(mode)
        }
        Kind::Memory { min, max } => {
            let bytes = parse_memory(first()).ok_or("argument must be a memory value")?;
            if !(min..=max).contains(&bytes) {
                return Err(format!("argument must be between {min} and {max} inclusive").into());
            }
            Value::Number(bytes as i64)
        }
        Kind::MemoryOrPercent => Value::Number(memory_or_percent(first())?),
        Kind::Choice(words) => {
            Value::Number(choice::number_of(words, first()).ok_or_else(|| choice::must_be_one_of(words))?)
        }
        Kind::Flags { words, exclusive } => {
            let mut bits = args.iter().map(|word| choice::number_of(words, word));
            let bits: Option<i64> = bits.try_fold(0, |all, bit| Some(all | bit?));
            match bits {
                Some(bits) if !args.is_empty() => {
                    if bits & exclusive == exclusive {
                        return Err("shutdown options SAVE and NOSAVE can't be used simultaneously".into());
                    }
                    Value::Number(bits)
                }
                _ => return Err(choice::must_be_one_of(words).into()),
            }
        }
        Kind::Events => Value::Number(i64::from(events::parse(one(args)?).ok_or(events::COMPLAINT)?.bits())),
        Kind::Text { check, .. } => {
            check(first())?;
            Value::Text(Bytes::copy_from_slice(first()))
        }
        Kind::Directory => Value::Text(directory(one(args)?, base)?),
        Kind::Addresses => match args {
            [only] if only.is_empty() => Value::Addresses(Arc::default()),
            _ if args.len() > MAX_ADDRESSES => return Err("Too many bind addresses specified.".into()),
            _ => Value::Addresses(args.into()),
        },
        Kind::SavePoints => {
            let before: &[SavePoint] = match current {
                Value::SavePoints(points) if extend => points,
                _ => &[],
            };
            Value::SavePoints(save_points(args, before)?)
        }
        Kind::OutputLimits => {
            let mut limits = match current {
                Value::OutputLimits(limits) => *limits,
                _ => UNLIMITED,
            };
            output_limits(args, &mut limits)?;
            Value::OutputLimits(limits)
        }
        Kind::Percentiles => Value::Percentiles(percentiles(args)?),
        Kind::OomScores => Value::OomScores(oom_scores(args)?),
        Kind::ReplicaOf => Value::ReplicaOf(replica_of(args)?),
        Kind::Lines { .. } => {
            let before: &[Line] = match current {
                Value::Lines(lines) => lines,
                _ => &[],
            };
            Value::Lines(before.iter().cloned().chain([Line::from(args)]).collect())
        }
        Kind::Include | Kind::Obsolete => Value::Text(Bytes::new()),
    })
}

/// The value as CONFIG GET shows it. For all but [`Kind::Lines`], reading it again gives the same value.
pub fn format(kind: &Kind, value: &Value) -> Vec<u8> {
    match (kind, value) {
        (Kind::Bool, Value::Number(number)) => if *number == 0 { "no" } else { "yes" }.into(),
        (Kind::Cores { .. }, Value::Number(number)) => effective_cores(*number).to_string().into(),
        (Kind::Octal { .. }, Value::Number(number)) => format!("{number:o}").into(),
        (Kind::Memory { .. }, Value::Number(number)) => (*number as u64).to_string().into(),
        (Kind::MemoryOrPercent, Value::Number(number)) if *number < 0 => format!("{}%", -number).into(),
        (Kind::Choice(words) | Kind::Flags { words, .. }, Value::Number(number)) => {
            choice::words_of(words, *number).into()
        }
        (Kind::Events, Value::Number(number)) => events::format(Class::from_bits(*number as u32)).into(),
        (_, Value::Number(number)) => number.to_string().into(),
        (_, Value::Text(text)) => text.to_vec(),
        (_, Value::Addresses(addresses)) => addresses.join(&b' '),
        (_, Value::SavePoints(points)) => {
            joined(points.iter().map(|point| format!("{} {}", point.seconds, point.changes))).into()
        }
        (_, Value::OutputLimits(limits)) => {
            let classes = CLIENT_CLASSES.iter().zip(limits.classes()).map(|(name, limit)| {
                let OutputLimit { hard_bytes, soft_bytes, soft_seconds } = limit;
                format!("{} {hard_bytes} {soft_bytes} {soft_seconds}", String::from_utf8_lossy(name))
            });
            joined(classes).into()
        }
        (_, Value::Percentiles(percentiles)) => {
            joined(percentiles.iter().map(|p| format_fraction(*p))).into()
        }
        (_, Value::OomScores(scores)) => joined(scores.iter().map(i32::to_string)).into(),
        (_, Value::ReplicaOf(None)) => Vec::new(),
        (_, Value::ReplicaOf(Some((host, port)))) => [host, port.to_string().as_bytes()].join(&b' '),
        (_, Value::Lines(lines)) => {
            lines.iter().map(|line| line.join(&b' ')).collect::<Vec<_>>().join(&b'\n')
        }
    }
}

/// The lines that set the value in a configuration file, and for each whether it is needed there even when
/// none was before, because it is not the default. Empty for a value that no line can set.
pub fn file_lines(kind: &Kind, name: &str, value: &Value, default: &Value) -> Vec<(Vec<u8>, bool)> {
    let written = match (kind, value) {
        (Kind::Memory { .. }, Value::Number(number)) => format_memory(*number as u64).into(),
        (Kind::MemoryOrPercent, Value::Number(number)) if *number >= 0 => {
            format_memory(*number as u64).into()
        }
        (Kind::Cores { .. }, Value::Number(number)) => number.to_string().into(),
        (Kind::Text { optional: true, .. }, Value::Text(text)) if text.is_empty() => return Vec::new(),
        (_, Value::ReplicaOf(None)) => return Vec::new(),
        (_, Value::Text(text)) => quote(text),
        (Kind::Events, _) => quote(&format(kind, value)),
        (_, Value::OutputLimits(limits)) => {
            let default = match default {
                Value::OutputLimits(default) => default.classes(),
                _ => UNLIMITED.classes(),
            };
            let classes: [&str; 3] = ["normal", "replica", "pubsub"];
            let lines = classes.iter().zip(limits.classes()).zip(default).map(|((class, limit), default)| {
                let hard = format_memory(limit.hard_bytes);
                let soft = format_memory(limit.soft_bytes);
                (format!("{name} {class} {hard} {soft} {}", limit.soft_seconds).into(), limit != default)
            });
            return lines.collect();
        }
        _ => match format(kind, value) {
            empty if empty.is_empty() => b"\"\"".to_vec(),
            text => text,
        },
    };
    vec![([name.as_bytes(), &written].join(&b' '), value != default)]
}

const UNLIMITED: OutputLimits = {
    let limit = OutputLimit { hard_bytes: 0, soft_bytes: 0, soft_seconds: 0 };
    OutputLimits { normal: limit, replica: limit, pubsub: limit }
};

fn joined(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join(" ")
}

fn one(args: &[Bytes]) -> Result<&[u8], Reason> {
    match args {
        [only] => Ok(only),
        _ => Err("wrong number of arguments".into()),
    }
}

fn integer(text: &[u8], min: i64, max: i64) -> Result<i64, Reason> {
    let number = parse_integer(text).ok_or("argument couldn't be parsed into an integer")?;
    if (min..=max).contains(&number) {
        Ok(number)
    } else {
        Err(format!("argument must be between {min} and {max} inclusive").into())
    }
}

fn memory_or_percent(text: &[u8]) -> Result<i64, Reason> {
    if let Some(bytes) = parse_memory(text) {
        return i64::try_from(bytes)
            .map_err(|_| format!("argument must be between -100 and {} inclusive", i64::MAX).into());
    }
    match parse_percent(text) {
        Some(percent @ 0..=100) => Ok(-percent),
        Some(_) => Err("percentage argument must be less or equal to 100".into()),
        None => Err("argument must be a memory or percent value".into()),
    }
}

/// Resolves a directory as changing to it would.
fn directory(path: &[u8], base: &Path) -> Result<Bytes, Reason> {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};

    if path.is_empty() {
        return Err("dir can't be empty".into());
    }
    let resolved = std::fs::canonicalize(base.join(Path::new(std::ffi::OsStr::from_bytes(path))))
        .map_err(|error| Reason::from(error_text(&error)))?;
    if !resolved.is_dir() {
        return Err(error_text(&std::io::Error::from_raw_os_error(libc::ENOTDIR)).into());
    }
    Ok(Bytes::from(resolved.into_os_string().into_vec()))
}

/// The operating system's text for an error, without the error number that Rust adds.
pub(super) fn error_text(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

fn save_points(args: &[Bytes], before: &[SavePoint]) -> Result<Arc<[SavePoint]>, Reason> {
    const COMPLAINT: &str = "Invalid save parameters";
    let mut points = before.to_vec();
    if let [only] = args {
        return if only.is_empty() { Ok(Arc::default()) } else { Err(COMPLAINT.into()) };
    }
    for pair in args.chunks(2) {
        let [seconds, changes] = pair else { return Err(COMPLAINT.into()) };
        let seconds = parse_c_integer(seconds, 10).filter(|n| *n >= 1).ok_or(COMPLAINT)?;
        let changes = parse_c_integer(changes, 10).filter(|n| *n >= 0).ok_or(COMPLAINT)?;
        points.push(SavePoint { seconds, changes });
    }
    Ok(points.into())
}

fn output_limits(args: &[Bytes], limits: &mut OutputLimits) -> Result<(), Reason> {
    const COMPLAINT: &str = "Error in hard, soft or soft_seconds setting in buffer limit configuration.";
    for class in args.chunks(4) {
        let [class, hard, soft, seconds] = class else {
            return Err("Wrong number of arguments in buffer limit configuration.".into());
        };
        let class = match class.to_ascii_lowercase().as_slice() {
            b"normal" => 0,
            b"slave" | b"replica" => 1,
            b"pubsub" => 2,
            _ => return Err("Invalid client class specified in buffer limit configuration.".into()),
        };
        *limits.class_mut(class) = OutputLimit {
            hard_bytes: parse_memory(hard).ok_or(COMPLAINT)?,
            soft_bytes: parse_memory(soft).ok_or(COMPLAINT)?,
            soft_seconds: parse_c_integer(seconds, 10).filter(|n| *n >= 0).ok_or(COMPLAINT)?,
        };
    }
    Ok(())
}

fn percentiles(args: &[Bytes]) -> Result<Arc<[f64]>, Reason> {
    if let [only] = args
        && only.is_empty()
    {
        return Ok(Arc::default());
    }
    let parse = |text: &Bytes| -> Result<f64, Reason> {
        let percentile =
            parse_fraction(text).ok_or("Invalid latency-tracking-info-percentiles parameters")?;
        if (0.0..=100.0).contains(&percentile) {
            Ok(percentile)
        } else {
            Err("latency-tracking-info-percentiles parameters should sit between [0.0,100.0]".into())
        }
    };
    args.iter().map(parse).collect()
}

fn oom_scores(args: &[Bytes]) -> Result<[i32; 3], Reason> {
    let args: &[Bytes; 3] = args.try_into().map_err(|_| "wrong number of arguments")?;
    let mut scores = [0; 3];
    for (score, text) in scores.iter_mut().zip(args) {
        *score = parse_c_integer(text, 10)
            .filter(|n| OOM_SCORE_RANGE.contains(n))
            .ok_or("Invalid oom-score-adj-values, elements must be between -2000 and 2000.")?
            as i32;
    }
    Ok(scores)
}

fn replica_of(args: &[Bytes]) -> Result<Option<(Bytes, u16)>, Reason> {
    let [host, port] = args else { return Err("wrong number of arguments".into()) };
    if host.eq_ignore_ascii_case(b"no") && port.eq_ignore_ascii_case(b"one") {
        return Ok(None);
    }
    let port = parse_c_integer(port, 10).and_then(|n| u16::try_from(n).ok()).ok_or("Invalid master port")?;
    Ok(Some((host.clone(), port)))
}
