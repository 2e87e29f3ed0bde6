//! Every error text that a client can see, once, in Redis's wording (clients match on it).
//!
//! [`Error::reply`] is the line after the `-` of an error reply, its code first. It may repeat bytes of a
//! request, which need not be text. This module knows nothing of how errors are counted or sent.

use std::borrow::Cow;
use std::fmt;

/// What went wrong with one command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Error {
    Syntax,
    NotInteger,
    /// An integer, but not of 32 bits.
    NotInt32,
    NotFloat,
    /// The key holds a value of another type.
    WrongType,
    /// RESTORE to a key that there is.
    BusyKey,
    /// RESTORE of bytes that no DUMP has written, or a later one.
    DumpEnvelope,
    /// RESTORE of a value that is damaged.
    DumpFormat,
    Overflow,
    DecrementOverflow,
    NanOrInfinity,
    NoSuchKey,
    SameObject,
    DbIndexOutOfRange,
    InvalidFirstDbIndex,
    InvalidSecondDbIndex,
    OffsetOutOfRange,
    StringTooLong,
    InvalidCursor,
    /// `invalid expire time in 'set' command`, with the command's full name.
    InvalidExpire(Cow<'static, str>),
    /// EXPIRE with NX and another condition.
    ExpireNxAndOthers,
    /// EXPIRE with GT and LT.
    ExpireGtAndLt,
    /// OBJECT IDLETIME under an LFU policy.
    LfuSelected,
    /// OBJECT FREQ under any other.
    LfuNotSelected,
    /// HINCRBY on another value.
    FieldNotInteger,
    /// HINCRBYFLOAT on another value.
    FieldNotFloat,
    /// HINCRBYFLOAT by infinity.
    IncrementInfinite,
    FieldExpireNegative,
    /// HEXPIRE with a bad number of fields.
    FieldExpireCount,
    /// HSETEX with a bad number of fields.
    FieldCountInvalid,
    /// Others with a bad number of fields.
    FieldCount,
    FieldsMissing,
    FieldsMismatch,
    FieldConditions,
    FieldExpiries,
    ExpireTimeMissing,
    OutOfRange,
    /// An integer, but not one that HRANDFIELD can count with.
    NotLong,
    LcsLenAndIdx,
    LcsTooLarge,
    LcsNoMemory,
    /// The full name of the command.
    WrongArity(String),
    /// The name, quoted, then the first arguments as sent.
    UnknownCommand(Vec<u8>),
    /// Container and subcommand as sent.
    UnknownSubcommand {
        container: String,
        sub: Vec<u8>,
    },
    /// Container, and subcommand as sent.
    SubcommandSyntax {
        container: String,
        sub: Vec<u8>,
    },
    /// EVALSHA of a script that nobody knows.
    NoScript,
    /// A script keeps others waiting.
    BusyScript,
    /// A function does.
    BusyFunction,
    ShutdownFailed,
    /// The full name of a command that a client of RESP2 with subscriptions may not use.
    SubscriberMode(String),
    /// A client that watches by MONITOR counts as a replica.
    ReplicaKeyspace,
    NoAuth,
    HelloNoAuth,
    WrongPass,
    NoPasswordSet,
    NoProto,
    Oom,
    Loading,
    /// The last snapshot could not be saved.
    SnapshotFailed,
    /// The log cannot be written, for this reason.
    LogFailed(String),
    OutOfRangePositive,
    TimeoutNotInteger,
    TimeoutNegative,
    TimeoutOutOfRange,
    /// No client sees this: the handler has found, before it did anything, that it has to change a key that is
    /// locked for reading. It is called again when the key is locked for writing.
    NeedsExclusive,
    /// Any other message of one place, with its code (`ERR …`).
    Other(Cow<'static, str>),
    /// One that repeats bytes of a request.
    Echo(Vec<u8>),
    /// The error of a command that a script ran, which the statistics know of already.
    Counted(Vec<u8>),
}

/// The part of a client's bytes that an error repeats: up to the first zero byte, where C's strings end, and
/// at most `limit` bytes.
pub fn echo(bytes: &[u8], limit: usize) -> &[u8] {
    let bytes = &bytes[..bytes.len().min(limit)];
    memchr::memchr(0, bytes).map_or(bytes, |end| &bytes[..end])
}

impl Error {
    /// An error of code `ERR` with this text.
    pub fn err(text: impl fmt::Display) -> Error {
        Error::Other(Cow::Owned(format!("ERR {text}")))
    }

    /// An error whose whole line, code included, is known beforehand.
    pub const fn line(text: &'static str) -> Error {
        Error::Other(Cow::Borrowed(text))
    }

    /// An option of EXPIRE that there is not, as far as its first zero byte.
    pub fn unsupported_option(option: &[u8]) -> Error {
        Error::echoing("Unsupported option ", echo(option, usize::MAX), "")
    }

    /// An error of code `ERR` that repeats bytes of a request between two texts.
    pub fn echoing(before: &str, bytes: &[u8], after: &str) -> Error {
        Error::Echo([b"ERR ", before.as_bytes(), bytes, after.as_bytes()].concat())
    }

    /// The line of the error reply.
    pub fn reply(&self) -> Vec<u8> {
        match self {
            Error::Echo(line) | Error::Counted(line) => line.clone(),
            Error::UnknownCommand(rest) => [b"ERR unknown command ", rest.as_slice()].concat(),
            Error::UnknownSubcommand { container, sub } => {
                [b"ERR unknown subcommand '", sub.as_slice(), b"'. Try ", container.as_bytes(), b" HELP."]
                    .concat()
            }
            Error::SubcommandSyntax { container, sub } => [
                b"ERR unknown subcommand or wrong number of arguments for '",
                sub.as_slice(),
                b"'. Try ",
                container.as_bytes(),
                b" HELP.",
            ]
            .concat(),
            error => error.to_string().into_bytes(),
        }
    }

    /// The code that errorstats counts: the first word.
    pub fn code(&self) -> String {
        let line = self.to_string();
        line.split(' ').next().unwrap_or("ERR").to_owned()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = match self {
            Error::Syntax => "ERR syntax error",
            Error::NotInteger => "ERR value is not an integer or out of range",
            Error::NotInt32 => "ERR value is out of range, value must between -2147483648 and 2147483647",
            Error::WrongType => "WRONGTYPE Operation against a key holding the wrong kind of value",
            Error::BusyKey => "BUSYKEY Target key name already exists.",
            Error::DumpEnvelope => "ERR DUMP payload version or checksum are wrong",
            Error::DumpFormat => "ERR Bad data format",
            Error::NotFloat => "ERR value is not a valid float",
            Error::Overflow => "ERR increment or decrement would overflow",
            Error::DecrementOverflow => "ERR decrement would overflow",
            Error::NanOrInfinity => "ERR increment would produce NaN or Infinity",
            Error::NoSuchKey => "ERR no such key",
            Error::SameObject => "ERR source and destination objects are the same",
            Error::DbIndexOutOfRange => "ERR DB index is out of range",
            Error::InvalidFirstDbIndex => "ERR invalid first DB index",
            Error::InvalidSecondDbIndex => "ERR invalid second DB index",
            Error::OffsetOutOfRange => "ERR offset is out of range",
            Error::StringTooLong => "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
            Error::InvalidCursor => "ERR invalid cursor",
            Error::InvalidExpire(name) => return write!(f, "ERR invalid expire time in '{name}' command"),
            Error::ExpireNxAndOthers => "ERR NX and XX, GT or LT options at the same time are not compatible",
            Error::ExpireGtAndLt => "ERR GT and LT options at the same time are not compatible",
            Error::LfuSelected => {
                "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when \
                 switching between policies at runtime LRU and LFU data will take some time to adjust."
            }
            Error::LfuNotSelected => {
                "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that \
                 when switching between policies at runtime LRU and LFU data will take some time to adjust."
            }
            Error::FieldNotInteger => "ERR hash value is not an integer",
            Error::FieldNotFloat => "ERR hash value is not a float",
            Error::IncrementInfinite => "ERR value is NaN or Infinity",
            Error::FieldExpireNegative => "ERR invalid expire time, must be >= 0",
            Error::FieldExpireCount => "ERR Parameter `numFields` should be greater than 0",
            Error::FieldCountInvalid => "ERR invalid number of fields",
            Error::FieldCount => "ERR Number of fields must be a positive integer",
            Error::FieldsMissing => "ERR Mandatory argument FIELDS is missing or not at the right position",
            Error::FieldsMismatch => "ERR The `numfields` parameter must match the number of arguments",
            Error::FieldConditions => "ERR Only one of FXX or FNX arguments can be specified",
            Error::FieldExpiries => {
                "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified"
            }
            Error::ExpireTimeMissing => "ERR missing expire time",
            Error::OutOfRange => "ERR value is out of range",
            Error::NotLong => {
                "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807"
            }
            Error::LcsLenAndIdx => "ERR If you want both the length and indexes, please just use IDX.",
            Error::LcsTooLarge => {
                "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len"
            }
            Error::LcsNoMemory => "ERR Insufficient memory, failed allocating transient memory for LCS",
            Error::WrongArity(name) => {
                return write!(f, "ERR wrong number of arguments for '{name}' command");
            }
            Error::Echo(_)
            | Error::Counted(_)
            | Error::UnknownCommand(_)
            | Error::UnknownSubcommand { .. }
            | Error::SubcommandSyntax { .. } => return write!(f, "{}", self.reply().escape_ascii()),
            Error::SubscriberMode(name) => {
                return write!(
                    f,
                    "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET \
                     are allowed in this context"
                );
            }
            Error::ReplicaKeyspace => "ERR Replica can't interact with the keyspace",
            Error::NoScript => "NOSCRIPT No matching script. Please use EVAL.",
            Error::BusyScript => {
                "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."
            }
            Error::BusyFunction => {
                "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE."
            }
            Error::ShutdownFailed => "ERR Errors trying to SHUTDOWN. Check logs.",
            Error::NoAuth => "NOAUTH Authentication required.",
            Error::HelloNoAuth => {
                "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> \
                 AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol \
                 version at the same time"
            }
            Error::WrongPass => "WRONGPASS invalid username-password pair or user is disabled.",
            Error::NoPasswordSet => {
                "ERR AUTH <password> called without any password configured for the default user. Are you \
                 sure your configuration is correct?"
            }
            Error::NoProto => "NOPROTO unsupported protocol version",
            Error::Oom => "OOM command not allowed when used memory > 'maxmemory'.",
            Error::Loading => "LOADING Redis is loading the dataset in memory",
            Error::SnapshotFailed => {
                "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. \
                 Commands that may modify the data set are disabled, because this instance is configured to report \
                 errors during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check \
                 the Redis logs for details about the RDB error."
            }
            Error::LogFailed(reason) => {
                return write!(f, "MISCONF Errors writing to the AOF file: {reason}");
            }
            Error::OutOfRangePositive => "ERR value is out of range, must be positive",
            Error::TimeoutNotInteger => "ERR timeout is not an integer or out of range",
            Error::TimeoutOutOfRange => "ERR timeout is out of range",
            Error::TimeoutNegative => "ERR timeout is negative",
            Error::NeedsExclusive => "ERR a key has to be locked for writing",
            Error::Other(line) => line,
        };
        f.write_str(line)
    }
}

impl std::error::Error for Error {}
