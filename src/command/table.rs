//! The index over all command records: by name for dispatch, by number for statistics.

use super::spec::{Command, Flags, KeySpec, Scope};
use super::{connection, generic, server, string};
use std::sync::LazyLock;

/// A command (or subcommand) in its place.
pub struct Entry {
    pub spec: &'static Command,
    /// Number of the entry, dense from 0: the index of its statistics.
    pub id: usize,
    /// `get`, or `config|get` for a subcommand.
    pub full_name: String,
    pub parent: Option<&'static Command>,
    pub subcommands: Vec<&'static Entry>,
    /// Position of the only key, if that is all the record says about keys: the common case.
    pub single_key: Option<usize>,
}

impl Entry {
    pub fn is_write(&self) -> bool {
        self.spec.flags.contains(Flags::WRITE)
    }

    /// The index of the first argument behind the name(s).
    pub fn first_arg(&self) -> usize {
        1 + self.parent.is_some() as usize
    }
}

/// All records, in the order of their groups.
const GROUPS: &[&[Command]] = &[string::COMMANDS, generic::COMMANDS, connection::COMMANDS, server::COMMANDS];

/// Long enough for every command name; what is longer is unknown without a look.
const MAX_NAME_BYTES: usize = 32;

/// The table. Names are found by hashing their lower-case bytes into an open-addressing index.
pub struct Table {
    /// Commands without subcommands, by number of record.
    pub commands: Vec<&'static Entry>,
    /// Commands and subcommands, by [`Entry::id`].
    pub all: Vec<&'static Entry>,
    index: Vec<Option<&'static Entry>>,
}

static TABLE: LazyLock<Table> = LazyLock::new(Table::build);

/// The one table of this process.
pub fn table() -> &'static Table {
    &TABLE
}

fn single_key(spec: &Command) -> Option<usize> {
    use super::spec::{Begin, Find, KeyFlags};
    match (spec.scope, spec.keys) {
        (
            Scope::Keys,
            [KeySpec { begin: Begin::Index(at), find: Find::Range { last: 0, .. }, flags, .. }],
        ) if *at > 0 && !flags.contains(KeyFlags::NOT_KEY) => Some(*at as usize),
        _ => None,
    }
}

fn name_hash(lower: &[u8]) -> usize {
    // FNV-1a: short names, no adversary (the set of names is fixed, misses cost one more comparison).
    lower.iter().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ *b as u64).wrapping_mul(0x0100_0000_01b3))
        as usize
}

impl Table {
    fn build() -> Table {
        let mut all: Vec<&'static Entry> = Vec::new();
        let mut commands = Vec::new();
        for spec in GROUPS.iter().flat_map(|group| group.iter()) {
            commands.push(Self::entry(spec, None, &mut all));
        }
        let size = (commands.len() * 4).next_power_of_two();
        let mut table = Table { commands, all, index: vec![None; size] };
        for entry in table.commands.clone() {
            let mut at = name_hash(entry.spec.name.as_bytes()) % size;
            while table.index[at].is_some() {
                at = (at + 1) % size;
            }
            table.index[at] = Some(entry);
        }
        table
    }

    /// Entries live as long as the process: the table is built once.
    fn entry(
        spec: &'static Command,
        parent: Option<&'static Command>,
        all: &mut Vec<&'static Entry>,
    ) -> &'static Entry {
        let subcommands = spec.subcommands.iter().map(|sub| Self::entry(sub, Some(spec), all)).collect();
        let full_name = parent.map_or(spec.name.to_owned(), |p| format!("{}|{}", p.name, spec.name));
        let single_key = single_key(spec);
        let entry =
            Box::leak(Box::new(Entry { spec, id: all.len(), full_name, parent, subcommands, single_key }));
        all.push(entry);
        entry
    }

    /// The command of this name, in any case.
    #[inline]
    pub fn find(&self, name: &[u8]) -> Option<&'static Entry> {
        if name.len() > MAX_NAME_BYTES {
            return None;
        }
        let mut lower = [0; MAX_NAME_BYTES];
        let lower = &mut lower[..name.len()];
        for (to, from) in lower.iter_mut().zip(name) {
            *to = from.to_ascii_lowercase();
        }
        let mut at = name_hash(lower) % self.index.len();
        while let Some(entry) = self.index[at] {
            if entry.spec.name.as_bytes() == lower {
                return Some(entry);
            }
            at = (at + 1) % self.index.len();
        }
        None
    }

    /// The command or subcommand that COMMAND INFO and ACL name `name` or `container|sub`.
    pub fn find_full(&self, name: &[u8]) -> Option<&'static Entry> {
        match name.iter().position(|b| *b == b'|') {
            None => self.find(name),
            Some(at) => self.find(&name[..at])?.find_sub(&name[at + 1..]),
        }
    }
}

impl Entry {
    /// The subcommand of this name, in any case.
    pub fn find_sub(&self, name: &[u8]) -> Option<&'static Entry> {
        self.subcommands.iter().copied().find(|sub| sub.spec.name.as_bytes().eq_ignore_ascii_case(name))
    }
}
