//! The index over all command records: by name for dispatch, by number for statistics.

use super::reach::Reach;
use super::spec::{Command, Flags, KeySpec, Scope};
use super::{
    bitmap, connection, generic, geo, hash, hyperloglog, list, pubsub, scripting, server, set, sorted_set,
    stream, string, transaction,
};
use crate::keyspace::view::Mode;
use crate::resp::scan::Request;
use std::collections::BTreeMap;
use std::sync::OnceLock;

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
    pub reach: Reach,
}

/// What a log shows in the place of a secret.
const REDACTED: &[u8] = b"(redacted)";

impl Entry {
    /// The arguments of a request for this command, as a log may show them.
    pub fn loggable<'a>(&self, request: Request<'a>) -> impl ExactSizeIterator<Item = &'a [u8]> {
        let is_secret = self.spec.is_secret;
        (0..request.len()).map(move |index| {
            let hide = is_secret.is_some_and(|is_secret| is_secret(request, index));
            if hide { REDACTED } else { request.get(index) }
        })
    }

    /// Whether it may change something: it writes, or is a read that may note something in what it reads
    /// (PFCOUNT).
    pub fn is_write(&self) -> bool {
        self.spec.flags.intersects(Flags::WRITES)
    }

    /// Whether it runs what was queued behind MULTI.
    pub fn is_exec(&self) -> bool {
        matches!(self.spec.scope, Scope::Queued)
    }

    /// How its keys are locked when it runs by itself. One that [notes](Flags::NOTES) asks for more when it has
    /// something to note, with [`Error::NeedsExclusive`](super::errors::Error::NeedsExclusive).
    #[inline]
    pub fn first_mode(&self) -> Mode {
        let may_change = self.is_write() && !self.spec.flags.contains(Flags::NOTES);
        if may_change { Mode::Exclusive } else { Mode::Shared }
    }

    /// The index of the first argument behind the name(s).
    pub fn first_arg(&self) -> usize {
        1 + self.parent.is_some() as usize
    }
}

/// All records, in the order of their groups.
const GROUPS: &[&[Command]] = &[
    string::COMMANDS,
    bitmap::COMMANDS,
    geo::COMMANDS,
    hash::COMMANDS,
    hyperloglog::COMMANDS,
    list::COMMANDS,
    set::COMMANDS,
    sorted_set::COMMANDS,
    stream::COMMANDS,
    generic::COMMANDS,
    transaction::COMMANDS,
    scripting::COMMANDS,
    pubsub::COMMANDS,
    connection::COMMANDS,
    server::COMMANDS,
];

/// Long enough for every command name but those that were given to hide a command.
const USUAL_NAME_BYTES: usize = 32;

/// The table. Names are found by hashing their lower-case bytes into an open-addressing index.
pub struct Table {
    /// Commands without subcommands, by number of record.
    pub commands: Vec<&'static Entry>,
    /// Commands and subcommands, by [`Entry::id`].
    pub all: Vec<&'static Entry>,
    index: Vec<Option<Slot>>,
}

/// A name in the index, which may be other than the record's.
#[derive(Clone, Copy)]
struct Slot {
    name: &'static [u8],
    entry: &'static Entry,
}

static TABLE: OnceLock<Table> = OnceLock::new();

/// The one table of this process.
pub fn table() -> &'static Table {
    TABLE.get_or_init(|| Table::build(builtin_names()))
}

/// Builds the table with other names for some commands, as `rename-command` asks for: pairs of the old name
/// and the new one, which is empty for a command that nobody may use. Works only before the table is used.
///
/// # Errors
/// The pair at fault, and the reason in Redis's words.
pub fn rename(pairs: &[(&[u8], &[u8])]) -> Result<(), (usize, &'static str)> {
    let names = renamed(pairs)?;
    if TABLE.set(Table::build(names)).is_err() {
        unreachable!("commands are renamed before the first one is looked up");
    }
    Ok(())
}

type Names = BTreeMap<Vec<u8>, &'static Command>;

fn builtin_names() -> Names {
    let commands = GROUPS.iter().flat_map(|group| group.iter());
    commands.map(|spec| (spec.name.as_bytes().to_vec(), spec)).collect()
}

fn renamed(pairs: &[(&[u8], &[u8])]) -> Result<Names, (usize, &'static str)> {
    let mut names = builtin_names();
    for (index, (old, new)) in pairs.iter().enumerate() {
        let spec = names.remove(&old.to_ascii_lowercase());
        let spec = spec.ok_or((index, "No such command in rename-command"))?;
        if !new.is_empty() && names.insert(new.to_ascii_lowercase(), spec).is_some() {
            return Err((index, "Target command name already exists"));
        }
    }
    Ok(names)
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
    fn build(names: Names) -> Table {
        let mut all: Vec<&'static Entry> = Vec::new();
        let mut commands = Vec::new();
        for spec in GROUPS.iter().flat_map(|group| group.iter()) {
            commands.push(Self::entry(spec, None, &mut all));
        }
        let size = (commands.len() * 4).next_power_of_two();
        let mut table = Table { commands, all, index: vec![None; size] };
        table.commands.retain(|entry| names.values().any(|spec| std::ptr::eq(*spec, entry.spec)));
        for entry in &table.commands {
            let name = names.iter().find(|(_, spec)| std::ptr::eq(**spec, entry.spec));
            let Some((name, _)) = name else { continue };
            let mut at = name_hash(name) % size;
            while table.index[at].is_some() {
                at = (at + 1) % size;
            }
            table.index[at] = Some(Slot { name: name.clone().leak(), entry });
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
        let (id, reach) = (all.len(), Reach::of(spec));
        let entry =
            Box::leak(Box::new(Entry { spec, id, full_name, parent, subcommands, single_key, reach }));
        all.push(entry);
        entry
    }

    /// The command of this name, in any case.
    #[inline]
    pub fn find(&self, name: &[u8]) -> Option<&'static Entry> {
        if name.len() > USUAL_NAME_BYTES {
            return self.find_long(name);
        }
        let mut lower = [0; USUAL_NAME_BYTES];
        let lower = &mut lower[..name.len()];
        for (to, from) in lower.iter_mut().zip(name) {
            *to = from.to_ascii_lowercase();
        }
        let mut at = name_hash(lower) % self.index.len();
        while let Some(slot) = self.index[at] {
            if slot.name == lower {
                return Some(slot.entry);
            }
            at = (at + 1) % self.index.len();
        }
        None
    }

    #[cold]
    fn find_long(&self, name: &[u8]) -> Option<&'static Entry> {
        let slot = self.index.iter().flatten().find(|slot| slot.name.eq_ignore_ascii_case(name));
        slot.map(|slot| slot.entry)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renaming() {
        let names = renamed(&[(b"GET", b"Fetch"), (b"flushall", b""), (b"set", b"get")]).unwrap();
        let table = Table::build(names);
        assert_eq!(table.find(b"FETCH").unwrap().full_name, "get");
        assert_eq!(table.find(b"get").unwrap().full_name, "set");
        assert!(table.find(b"set").is_none() && table.find(b"flushall").is_none());
        let all = Table::build(builtin_names());
        assert_eq!((table.commands.len(), table.all.len()), (all.commands.len() - 1, all.all.len()));
        let secret = b"a-name-that-is-far-too-long-to-be-guessed";
        let table = Table::build(renamed(&[(b"debug", secret)]).unwrap());
        assert_eq!(table.find(&secret.to_ascii_uppercase()).unwrap().full_name, "debug");
        assert_eq!(renamed(&[(b"a", b"b")]).err().unwrap(), (0, "No such command in rename-command"));
        let taken = renamed(&[(b"get", b"x"), (b"set", b"ECHO")]).err().unwrap();
        assert_eq!(taken, (1, "Target command name already exists"));
    }
}
