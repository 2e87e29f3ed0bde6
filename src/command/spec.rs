//! What the command table says about one command: a declarative record that stands beside its handler.
//!
//! COMMAND, COMMAND DOCS, ACL rules, key locking, MONITOR, statistics and the generated reference all read
//! these records; nothing about a command is written down a second time. The vocabulary (flags, key
//! specifications, argument trees) is that of Redis's COMMAND DOCS and COMMAND INFO replies, so that clients
//! that discover commands find what they expect.
//!
//! This module knows nothing of connections, locks or databases.

use super::args::Args;
use super::call::Call;
use super::errors::Error;
use crate::keyspace::view::Mode;
use crate::resp::scan::Request;
use bitflags::bitflags;

/// Runs one command: parses the arguments, works on the locked keys, writes exactly one reply.
pub type Handler = fn(&mut Call<'_, '_>) -> Result<(), Error>;

bitflags! {
    /// Properties of a command, as COMMAND INFO names them (see [`Flags::NAMES`]).
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Flags: u32 {
        const WRITE = 1 << 0;
        const READONLY = 1 << 1;
        const DENYOOM = 1 << 2;
        const ADMIN = 1 << 3;
        const PUBSUB = 1 << 4;
        const NOSCRIPT = 1 << 5;
        const BLOCKING = 1 << 6;
        const LOADING = 1 << 7;
        const STALE = 1 << 8;
        const SKIP_MONITOR = 1 << 9;
        const SKIP_SLOWLOG = 1 << 10;
        const ASKING = 1 << 11;
        const FAST = 1 << 12;
        const NO_AUTH = 1 << 13;
        const MAY_REPLICATE = 1 << 14;
        const NO_ASYNC_LOADING = 1 << 15;
        const NO_MULTI = 1 << 16;
        const MOVABLEKEYS = 1 << 17;
        const ALLOW_BUSY = 1 << 18;
        const NO_MANDATORY_KEYS = 1 << 19;
        const PROTECTED = 1 << 20;
        const TOUCHES_ARBITRARY_KEYS = 1 << 21;
        /// For servers among themselves or for tests: only COMMAND DOCS says so.
        const SYSCMD = 1 << 22;
        /// Allowed to a client of RESP2 that has subscriptions. Clients are not told.
        const FOR_SUBSCRIBERS = 1 << 23;
        /// Answers with pushes, which CLIENT REPLY does not suppress. Clients are not told.
        const PUSHES = 1 << 24;
        /// Behind MULTI it is not queued. Clients do not see this.
        const UNQUEUED = 1 << 25;
        /// Seldom writes what it notes, and locks for reading until it does. Clients do not see this.
        const NOTES = 1 << 26;
        /// Those of commands that change data, or may.
        const WRITES = Self::WRITE.bits() | Self::MAY_REPLICATE.bits();
    }
}

bitflags! {
    /// ACL categories, in the order in which ACL CAT lists them.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Acl: u32 {
        const KEYSPACE = 1 << 0;
        const READ = 1 << 1;
        const WRITE = 1 << 2;
        const SET = 1 << 3;
        const SORTEDSET = 1 << 4;
        const LIST = 1 << 5;
        const HASH = 1 << 6;
        const STRING = 1 << 7;
        const BITMAP = 1 << 8;
        const HYPERLOGLOG = 1 << 9;
        const GEO = 1 << 10;
        const STREAM = 1 << 11;
        const PUBSUB = 1 << 12;
        const ADMIN = 1 << 13;
        const FAST = 1 << 14;
        const SLOW = 1 << 15;
        const BLOCKING = 1 << 16;
        const DANGEROUS = 1 << 17;
        const CONNECTION = 1 << 18;
        const TRANSACTION = 1 << 19;
        const SCRIPTING = 1 << 20;
    }
}

bitflags! {
    /// What a command does with the keys of one key specification.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct KeyFlags: u32 {
        const RO = 1 << 0;
        const RW = 1 << 1;
        const OW = 1 << 2;
        const RM = 1 << 3;
        const ACCESS = 1 << 4;
        const UPDATE = 1 << 5;
        const INSERT = 1 << 6;
        const DELETE = 1 << 7;
        const NOT_KEY = 1 << 8;
        const INCOMPLETE = 1 << 9;
        const VARIABLE_FLAGS = 1 << 10;
    }
}

/// The groups of COMMAND DOCS and of COMMAND LIST's documentation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Group {
    Generic,
    String,
    List,
    Set,
    SortedSet,
    Hash,
    PubSub,
    Transactions,
    Connection,
    Server,
    Scripting,
    HyperLogLog,
    Cluster,
    Sentinel,
    Geo,
    Stream,
    Bitmap,
}

/// Where the keys of a command begin.
#[derive(Clone, Copy, Debug)]
pub enum Begin {
    /// At this argument (0 is the command's name).
    Index(i16),
    /// After this word, searched from argument `from` (backwards from the end if negative).
    Keyword { word: &'static str, from: i16 },
    /// Cannot be told from the arguments.
    Unknown,
}

/// Which arguments are keys, seen from where they begin.
#[derive(Clone, Copy, Debug)]
pub enum Find {
    /// Every `step`-th argument up to `last` (relative; negative counts from the end of the command);
    /// `limit` divides the rest when `last` is -1 (0 and 1 mean no limit).
    Range {
        last: i16,
        step: i16,
        limit: i16,
    },
    /// Argument `count_at` holds the number of keys, which start at `first`, all relative.
    KeyNum {
        count_at: i16,
        first: i16,
        step: i16,
    },
    Unknown,
}

/// One rule that finds keys among the arguments.
#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    pub flags: KeyFlags,
    pub begin: Begin,
    pub find: Find,
    pub notes: &'static str,
}

impl KeySpec {
    /// A single key at argument `index`.
    pub const fn one(index: i16, flags: KeyFlags) -> KeySpec {
        Self::range(index, 0, 1, flags)
    }

    /// Keys from argument `first` to the relative position `last`, every `step`-th.
    pub const fn range(first: i16, last: i16, step: i16, flags: KeyFlags) -> KeySpec {
        KeySpec { flags, begin: Begin::Index(first), find: Find::Range { last, step, limit: 0 }, notes: "" }
    }
}

/// The type of one argument in COMMAND DOCS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ArgKind {
    String,
    Integer,
    Double,
    Key,
    Pattern,
    UnixTime,
    PureToken,
    OneOf,
    Block,
}

/// One argument (or a block or choice of arguments) of a command, as COMMAND DOCS describes it.
#[derive(Clone, Copy, Debug)]
pub struct Arg {
    pub name: &'static str,
    pub kind: ArgKind,
    /// The word that introduces the argument, if any.
    pub token: Option<&'static str>,
    /// What a user interface calls the argument, where that is not its name.
    pub display: Option<&'static str>,
    /// Which of the command's key specifications covers it (keys only).
    pub key_spec: Option<u8>,
    pub since: Option<&'static str>,
    pub deprecated_since: Option<&'static str>,
    pub optional: bool,
    pub multiple: bool,
    pub multiple_token: bool,
    pub args: &'static [Arg],
}

impl Arg {
    pub const fn new(name: &'static str, kind: ArgKind) -> Arg {
        Arg {
            name,
            kind,
            token: None,
            display: None,
            key_spec: None,
            since: None,
            deprecated_since: None,
            optional: false,
            multiple: false,
            multiple_token: false,
            args: &[],
        }
    }

    /// A key covered by key specification number `spec`.
    pub const fn key(name: &'static str, spec: u8) -> Arg {
        Arg { key_spec: Some(spec), ..Arg::new(name, ArgKind::Key) }
    }

    pub const fn string(name: &'static str) -> Arg {
        Arg::new(name, ArgKind::String)
    }

    pub const fn integer(name: &'static str) -> Arg {
        Arg::new(name, ArgKind::Integer)
    }

    pub const fn double(name: &'static str) -> Arg {
        Arg::new(name, ArgKind::Double)
    }

    pub const fn pattern(name: &'static str) -> Arg {
        Arg::new(name, ArgKind::Pattern)
    }

    pub const fn unix_time(name: &'static str) -> Arg {
        Arg::new(name, ArgKind::UnixTime)
    }

    /// A bare word such as NX.
    pub const fn word(name: &'static str, token: &'static str) -> Arg {
        Arg { token: Some(token), ..Arg::new(name, ArgKind::PureToken) }
    }

    pub const fn one_of(name: &'static str, args: &'static [Arg]) -> Arg {
        Arg { args, ..Arg::new(name, ArgKind::OneOf) }
    }

    pub const fn block(name: &'static str, args: &'static [Arg]) -> Arg {
        Arg { args, ..Arg::new(name, ArgKind::Block) }
    }

    pub const fn token(self, token: &'static str) -> Arg {
        Arg { token: Some(token), ..self }
    }

    pub const fn display(self, text: &'static str) -> Arg {
        Arg { display: Some(text), ..self }
    }

    pub const fn optional(self) -> Arg {
        Arg { optional: true, ..self }
    }

    pub const fn multiple(self) -> Arg {
        Arg { multiple: true, ..self }
    }

    /// Repeats together with its token.
    pub const fn multiple_token(self) -> Arg {
        Arg { multiple: true, multiple_token: true, ..self }
    }

    pub const fn since(self, version: &'static str) -> Arg {
        Arg { since: Some(version), ..self }
    }

    pub const fn deprecated(self, version: &'static str) -> Arg {
        Arg { deprecated_since: Some(version), ..self }
    }
}

/// Which part of the keyspace is locked, before the handler starts, until it has finished.
#[derive(Clone, Copy)]
pub enum Scope {
    /// The shards of the keys that the key specifications find: shared for a command that only reads,
    /// exclusive for one with [`Flags::WRITE`]. No keys, no locks.
    Keys,
    /// No lock at all: the handler takes what it needs in steps of its own (SCAN), or never looks at data.
    Nothing,
    /// Every shard of the selected database.
    Database,
    /// Every shard of every database.
    AllDatabases,
    /// Every shard of every database that was ever used.
    UsedDatabases,
    /// Keys in several databases, as the function finds them (COPY and MOVE).
    Custom(FindPlaces),
    /// No lock beforehand: the handler walks over the selected database, a shard at a time, by means of the view
    /// (SCAN). Inside another command: the whole database.
    Walk,
    /// No lock beforehand: the handler looks at any database, a shard at a time, by means of the view (INFO). Inside
    /// another command: all databases in use, in this mode.
    Survey(Mode),
    /// No lock; the argument is the database that commands behind it work on.
    Select,
    /// What all the queued commands lock together, and the watched keys.
    Queued,
    /// As [`Scope::Keys`]; but a script may turn out to touch others too.
    Script,
    /// What the function finds that the arguments need (SORT).
    Chosen(fn(Request<'_>) -> Needs),
}

/// What a request locks whose record leaves it to its arguments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Needs {
    /// Every shard of the selected database; otherwise the keys that the key specifications find.
    pub database: bool,
    pub mode: Mode,
}

/// Reads the arguments behind the command's name and appends, for each key that may be touched, its database and
/// the position of its name among all arguments. An error is the command's reply.
pub type FindPlaces = fn(&mut Args<'_>, Databases, &mut Vec<(usize, usize)>) -> Result<(), Error>;

/// Which databases there are to choose from.
#[derive(Clone, Copy, Debug)]
pub struct Databases {
    /// The one that the connection has selected.
    pub selected: usize,
    pub count: usize,
}

impl Databases {
    /// Takes an argument that is the number of a database.
    pub fn next(self, args: &mut Args<'_>) -> Result<usize, Error> {
        let db = usize::try_from(args.next_i32()?).ok();
        db.filter(|db| *db < self.count).ok_or(Error::DbIndexOutOfRange)
    }
}

/// Reports position and use of each key of a request, for commands whose specifications cannot tell all.
pub type FindKeys = fn(Request<'_>, &mut dyn FnMut(usize, KeyFlags));

/// Whether argument number `index` of a request is a password or the like, which no log may show.
pub type IsSecret = fn(Request<'_>, usize) -> bool;

/// Everything that is known about one command or subcommand.
#[derive(Clone, Copy)]
pub struct Command {
    /// Lower-case name; of a subcommand the second word only.
    pub name: &'static str,
    pub summary: &'static str,
    pub since: &'static str,
    pub group: Group,
    pub complexity: &'static str,
    /// Number of arguments including the name(s); negative: at least that many.
    pub arity: i16,
    pub flags: Flags,
    /// Categories beyond those that follow from `flags` and `group`: see [`Command::acl_categories`].
    pub acl: Acl,
    pub tips: &'static [&'static str],
    pub keys: &'static [KeySpec],
    /// Finds the keys instead of `keys`, where those depend on the options ([`KeyFlags::VARIABLE_FLAGS`],
    /// [`KeyFlags::INCOMPLETE`], [`Begin::Unknown`]).
    pub find_keys: Option<FindKeys>,
    pub args: &'static [Arg],
    /// (version, what changed)
    pub history: &'static [(&'static str, &'static str)],
    /// Since when the command is deprecated, and what replaces it.
    pub deprecated: Option<(&'static str, &'static str)>,
    /// The shape of the reply in a few words, for the generated reference.
    pub reply: &'static str,
    /// Finds the arguments that are not to be logged, if there may be any.
    pub is_secret: Option<IsSecret>,
    pub scope: Scope,
    /// `None` for a container, which has only subcommands.
    pub handler: Option<Handler>,
    pub subcommands: &'static [Command],
    /// A container's HELP, see [`super::help`].
    pub help: &'static [&'static str],
}

impl Command {
    /// A record with nothing set, for `..Command::NEW`.
    pub const NEW: Command = Command {
        name: "",
        summary: "",
        since: "1.0.0",
        group: Group::Generic,
        complexity: "O(1)",
        arity: 1,
        flags: Flags::empty(),
        acl: Acl::empty(),
        tips: &[],
        keys: &[],
        find_keys: None,
        args: &[],
        history: &[],
        deprecated: None,
        reply: "",
        is_secret: None,
        scope: Scope::Keys,
        handler: None,
        subcommands: &[],
        help: &[],
    };

    /// Whether a request of `argc` arguments (names included) fits the arity.
    pub fn accepts(&self, argc: usize) -> bool {
        if self.arity >= 0 { argc == self.arity as usize } else { argc >= self.arity.unsigned_abs() as usize }
    }
}
