//! What a directive is: the record that `directives.rs` lists one of for each, and the two macros that turn
//! the list into [`Id`](super::Id), the table and the typed accessors of [`Config`](super::Config).

use std::collections::HashMap;
use std::sync::LazyLock;

use super::choice::Words;
use super::directives::{COUNT, DIRECTIVES, Id};

/// Everything there is to know about one directive.
#[derive(Debug)]
pub struct Directive {
    /// Its position in the table.
    pub id: Id,
    /// Its name, in lower case.
    pub name: &'static str,
    /// Its other names: older ones, and those of Valkey.
    pub aliases: &'static [&'static str],
    /// The part of the configuration it belongs to.
    pub section: &'static str,
    /// What its values look like.
    pub kind: Kind,
    /// Its value when nothing sets it, as a configuration file would write it. `dir` is the one exception: it
    /// starts as the directory the server is started in.
    pub default: &'static str,
    /// A set of [`flag`] bits.
    pub flags: u8,
    /// Whether setting it changes anything.
    pub effect: Effect,
    /// One line for people.
    pub summary: &'static str,
}

/// What may be done to a directive besides reading it and setting it at any time.
pub mod flag {
    /// Only the configuration file and the command line can set it.
    pub const IMMUTABLE: u8 = 1;
    /// CONFIG GET answers it only under its exact name.
    pub const HIDDEN: u8 = 2;
    /// Its value is a secret: never logged.
    pub const SENSITIVE: u8 = 4;
    /// CONFIG SET needs `enable-protected-configs`.
    pub const PROTECTED: u8 = 8;
    /// It belongs to the few that crash reports list.
    pub const DEBUG: u8 = 16;
    /// CONFIG SET is refused while a data set is loaded.
    pub const DENY_LOADING: u8 = 32;
    /// Setting it applies it even if its value is the same, as the file that it names may have changed.
    pub const VOLATILE: u8 = 64;
}

/// Whether the server acts on a directive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It does.
    Active,
    /// It is only remembered, because of this. Asking for anything but the default earns a warning.
    NoEffect(&'static str),
}

/// A check of a text beyond its form; the error is the reason shown to the user.
pub type Check = fn(&[u8]) -> Result<(), &'static str>;

/// What the values of a directive look like, and how they are read and shown.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// `yes` or `no`.
    Bool,
    /// An integer from `min` to `max`.
    Integer { min: i64, max: i64 },
    /// An integer from `min` to `max` that is silently moved into `low..=high`.
    Clamped { min: i64, max: i64, low: i64, high: i64 },
    /// A number of threads up to `max`; 0 is one for each core, and is shown as their number.
    Cores { max: i64 },
    /// A power of two up to `max`.
    PowerOfTwo { max: i64 },
    /// File permissions, in octal.
    Octal { max: i64 },
    /// A memory size from `min` to `max` bytes.
    Memory { min: u64, max: u64 },
    /// A memory size, or a percentage of `maxmemory`, which is stored as a negative number.
    MemoryOrPercent,
    /// One of several words.
    Choice(Words),
    /// Any number of several words, but not both bits of `exclusive`.
    Flags { words: Words, exclusive: i64 },
    /// Classes of keyspace events, a letter each.
    Events,
    /// A text. An `optional` one counts as not set when it is empty.
    Text { optional: bool, check: Check },
    /// An existing directory, kept as an absolute path.
    Directory,
    /// Addresses to listen on.
    Addresses,
    /// Save points, in pairs of seconds and changes.
    SavePoints,
    /// Output buffer limits of the client classes.
    OutputLimits,
    /// Percentiles for INFO.
    Percentiles,
    /// Three adjustments of the out-of-memory score.
    OomScores,
    /// Host and port of a master, or `no one`.
    ReplicaOf,
    /// A line of `min` to `max` arguments that only a configuration file can hold, and any number of times.
    Lines { min: usize, max: usize },
    /// Another file to read here.
    Include,
    /// A directive of older versions that nothing reads any more.
    Obsolete,
}

impl Directive {
    /// Whether it has all of the given [`flag`] bits.
    pub fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// Whether only configuration files know it: CONFIG does not.
    pub fn is_file_only(&self) -> bool {
        matches!(self.kind, Kind::Lines { .. } | Kind::Include | Kind::Obsolete)
    }

    /// Whether its value is made of several words.
    pub(super) fn takes_many_args(&self) -> bool {
        matches!(
            self.kind,
            Kind::Flags { .. }
                | Kind::Addresses
                | Kind::SavePoints
                | Kind::OutputLimits
                | Kind::Percentiles
                | Kind::OomScores
                | Kind::ReplicaOf
        )
    }
}

impl Id {
    /// The record of this directive.
    pub fn directive(self) -> &'static Directive {
        &DIRECTIVES[self as usize]
    }
}

/// Finds a directive by one of its names, in any case. Gives the name as the table spells it, too.
pub fn lookup(name: &[u8]) -> Option<(Id, &'static str)> {
    static NAMES: LazyLock<HashMap<&'static [u8], (Id, &'static str)>> = LazyLock::new(|| {
        let mut names = HashMap::with_capacity(COUNT * 2);
        for directive in &DIRECTIVES {
            for name in std::iter::once(directive.name).chain(directive.aliases.iter().copied()) {
                names.insert(name.as_bytes(), (directive.id, name));
            }
        }
        names
    });
    NAMES.get(name.to_ascii_lowercase().as_slice()).copied()
}

/// Accepts every text.
pub(super) fn any_text(_: &[u8]) -> Result<(), &'static str> {
    Ok(())
}

/// Turns the `_` of an identifier into the `-` of a directive's name, at compile time.
pub(super) const fn dashed<const LENGTH: usize>(identifier: &str) -> [u8; LENGTH] {
    let bytes = identifier.as_bytes();
    let mut name = [0; LENGTH];
    let mut at = 0;
    while at < LENGTH {
        name[at] = if bytes[at] == b'_' { b'-' } else { bytes[at] };
        at += 1;
    }
    name
}

/// Declares directives; see `directives.rs` for the notation.
macro_rules! directives {
    ($( [$section:literal] $(
        $id:ident $(| $alias:literal)* : $kind:ident $args:tt = $default:literal $(+ $flag:ident)*,
            $effect:expr, $summary:literal;
    )* )*) => {
        /// A directive, as a number that indexes [`DIRECTIVES`] and the stored values.
        #[allow(non_camel_case_types, reason = "each variant is spelt as its directive, so that one can be found from the other")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum Id { $($( #[doc = $summary] $id, )*)* }

        /// The number of directives.
        pub const COUNT: usize = [$($( Id::$id, )*)*].len();

        /// All directives, by [`Id`].
        pub static DIRECTIVES: [Directive; COUNT] = [$($( Directive {
            id: Id::$id,
            name: {
                const NAME: [u8; stringify!($id).len()] = dashed(stringify!($id));
                match std::str::from_utf8(&NAME) {
                    Ok(name) => name,
                    Err(_) => stringify!($id),
                }
            },
            aliases: &[$($alias),*],
            section: $section,
            kind: kind!($kind $args),
            default: $default,
            flags: 0 $(| flag::$flag)*,
            effect: $effect,
            summary: $summary,
        }, )*)*];

        impl Config {
            $($( accessor!($id, $kind $args, $summary); )*)*
        }
    };
}

/// The kind that a line of the table names.
macro_rules! kind {
    (bool()) => {
        Kind::Bool
    };
    (int($min:expr, $max:expr)) => {
        Kind::Integer { min: $min, max: $max }
    };
    (uint($min:expr, $max:expr)) => {
        Kind::Integer { min: $min, max: $max }
    };
    (clamped($min:expr, $max:expr => $low:expr, $high:expr)) => {
        Kind::Clamped { min: $min, max: $max, low: $low, high: $high }
    };
    (cores($max:expr)) => {
        Kind::Cores { max: $max }
    };
    (power_of_two($max:expr)) => {
        Kind::PowerOfTwo { max: $max }
    };
    (octal($max:expr)) => {
        Kind::Octal { max: $max }
    };
    (memory($min:expr, $max:expr)) => {
        Kind::Memory { min: $min, max: $max }
    };
    (memory_or_percent()) => {
        Kind::MemoryOrPercent
    };
    (choice($choice:ident)) => {
        Kind::Choice(choice::$choice::WORDS)
    };
    (shutdown()) => {
        Kind::Flags {
            words: choice::shutdown::WORDS,
            exclusive: (choice::shutdown::SAVE | choice::shutdown::NOSAVE) as i64,
        }
    };
    (events()) => {
        Kind::Events
    };
    (text()) => {
        Kind::Text { optional: false, check: any_text }
    };
    (text($check:ident)) => {
        Kind::Text { optional: false, check: $check }
    };
    (optional()) => {
        Kind::Text { optional: true, check: any_text }
    };
    (optional($check:ident)) => {
        Kind::Text { optional: true, check: $check }
    };
    (directory()) => {
        Kind::Directory
    };
    (addresses()) => {
        Kind::Addresses
    };
    (save_points()) => {
        Kind::SavePoints
    };
    (output_limits()) => {
        Kind::OutputLimits
    };
    (percentiles()) => {
        Kind::Percentiles
    };
    (oom_scores()) => {
        Kind::OomScores
    };
    (replica_of()) => {
        Kind::ReplicaOf
    };
    (lines($min:expr, $max:expr)) => {
        Kind::Lines { min: $min, max: $max }
    };
    (include()) => {
        Kind::Include
    };
    (obsolete()) => {
        Kind::Obsolete
    };
}

/// The typed accessor of a directive, by its kind. The ones that give a number, a choice or a `bool` are one
/// relaxed atomic load; the others take a read lock for the time of a clone of an `Arc`.
macro_rules! accessor {
    ($id:ident, bool(), $summary:literal) => {
        #[doc = $summary]
        pub fn $id(&self) -> bool {
            self.number(Id::$id) != 0
        }
    };
    ($id:ident, int $args:tt, $summary:literal) => {
        #[doc = $summary]
        pub fn $id(&self) -> i64 {
            self.number(Id::$id)
        }
    };
    ($id:ident, cores $args:tt, $summary:literal) => {
        #[doc = $summary]
        pub fn $id(&self) -> usize {
            value::effective_cores(self.number(Id::$id))
        }
    };
    ($id:ident, octal $args:tt, $summary:literal) => {
        #[doc = $summary]
        pub fn $id(&self) -> u32 {
            self.number(Id::$id) as u32
        }
    };
    ($id:ident, memory $args:tt, $summary:literal) => {
        accessor!($id, unsigned(), $summary);
    };
    ($id:ident, uint $args:tt, $summary:literal) => {
        accessor!($id, unsigned(), $summary);
    };
    ($id:ident, clamped $args:tt, $summary:literal) => {
        accessor!($id, unsigned(), $summary);
    };
    ($id:ident, power_of_two $args:tt, $summary:literal) => {
        accessor!($id, unsigned(), $summary);
    };
    ($id:ident, unsigned(), $summary:literal) => {
        #[doc = $summary]
        pub fn $id(&self) -> u64 {
            self.number(Id::$id) as u64
        }
    };
    ($id:ident, memory_or_percent(), $summary:literal) => {
        #[doc = $summary]
        pub fn $id(&self) -> value::MemoryLimit {
            value::MemoryLimit::from_number(self.number(Id::$id))
        }
    };
    ($id:ident, choice($choice:ident), $summary:literal) => {
        #[doc = $summary]
        pub fn $id(&self) -> choice::$choice {
            choice::$choice::from_number(self.number(Id::$id))
        }
    };
    ($id:ident, shutdown(), $summary:literal) => {
        #[doc = $summary]
        pub fn $id(&self) -> u8 {
            self.number(Id::$id) as u8
        }
    };
    ($id:ident, events(), $summary:literal) => {
        #[doc = $summary]
        pub fn $id(&self) -> crate::types::events::Class {
            crate::types::events::Class::from_bits(self.number(Id::$id) as u32)
        }
    };
    ($id:ident, text $args:tt, $summary:literal) => {
        accessor!($id, bytes(), $summary);
    };
    ($id:ident, optional $args:tt, $summary:literal) => {
        accessor!($id, bytes(), $summary);
    };
    ($id:ident, directory(), $summary:literal) => {
        accessor!($id, bytes(), $summary);
    };
    ($id:ident, bytes(), $summary:literal) => {
        #[doc = $summary]
        pub fn $id(&self) -> Bytes {
            self.value(Id::$id).into_text()
        }
    };
    ($id:ident, addresses(), $summary:literal) => {
        #[doc = $summary]
        pub fn $id(&self) -> Arc<[Bytes]> {
            self.value(Id::$id).into_addresses()
        }
    };
    ($id:ident, save_points(), $summary:literal) => {
        #[doc = $summary]
        pub fn $id(&self) -> Arc<[value::SavePoint]> {
            self.value(Id::$id).into_save_points()
        }
    };
    ($id:ident, output_limits(), $summary:literal) => {
        #[doc = $summary]
        pub fn $id(&self) -> value::OutputLimits {
            self.value(Id::$id).into_output_limits()
        }
    };
    ($id:ident, percentiles(), $summary:literal) => {
        #[doc = $summary]
        pub fn $id(&self) -> Arc<[f64]> {
            self.value(Id::$id).into_percentiles()
        }
    };
    ($id:ident, oom_scores(), $summary:literal) => {
        #[doc = $summary]
        pub fn $id(&self) -> [i32; 3] {
            self.value(Id::$id).into_oom_scores()
        }
    };
    ($id:ident, replica_of(), $summary:literal) => {
        #[doc = $summary]
        pub fn $id(&self) -> Option<(Bytes, u16)> {
            self.value(Id::$id).into_replica_of()
        }
    };
    ($id:ident, lines $args:tt, $summary:literal) => {
        #[doc = $summary]
        pub fn $id(&self) -> Arc<[value::Line]> {
            self.value(Id::$id).into_lines()
        }
    };
    ($id:ident, include(), $summary:literal) => {};
    ($id:ident, obsolete(), $summary:literal) => {};
}

pub(super) use {accessor, directives, kind};
