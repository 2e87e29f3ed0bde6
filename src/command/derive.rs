//! What follows from a command's record without being written in it: the names of its flags, its ACL
//! categories, the old-style key range.
//!
//! The rules are Redis's (they decide what `COMMAND INFO` and `ACL CAT` answer), stated here once for COMMAND,
//! ACL and the generated reference. Knows records only.

use super::spec::{Acl, ArgKind, Begin, Command, Find, Flags, Group, KeyFlags};

impl Flags {
    /// The flags that clients see, in the order in which COMMAND INFO lists them.
    pub const NAMES: &'static [(Flags, &'static str)] = &[
        (Flags::WRITE, "write"),
        (Flags::READONLY, "readonly"),
        (Flags::DENYOOM, "denyoom"),
        (Flags::ADMIN, "admin"),
        (Flags::PUBSUB, "pubsub"),
        (Flags::NOSCRIPT, "noscript"),
        (Flags::BLOCKING, "blocking"),
        (Flags::LOADING, "loading"),
        (Flags::STALE, "stale"),
        (Flags::SKIP_MONITOR, "skip_monitor"),
        (Flags::SKIP_SLOWLOG, "skip_slowlog"),
        (Flags::ASKING, "asking"),
        (Flags::FAST, "fast"),
        (Flags::NO_AUTH, "no_auth"),
        (Flags::NO_MANDATORY_KEYS, "no_mandatory_keys"),
        (Flags::NO_ASYNC_LOADING, "no_async_loading"),
        (Flags::NO_MULTI, "no_multi"),
        (Flags::MOVABLEKEYS, "movablekeys"),
        (Flags::ALLOW_BUSY, "allow_busy"),
    ];
}

impl Acl {
    /// All categories with their names (without `@`), in the order of ACL CAT.
    pub const NAMES: &'static [(Acl, &'static str)] = &[
        (Acl::KEYSPACE, "keyspace"),
        (Acl::READ, "read"),
        (Acl::WRITE, "write"),
        (Acl::SET, "set"),
        (Acl::SORTEDSET, "sortedset"),
        (Acl::LIST, "list"),
        (Acl::HASH, "hash"),
        (Acl::STRING, "string"),
        (Acl::BITMAP, "bitmap"),
        (Acl::HYPERLOGLOG, "hyperloglog"),
        (Acl::GEO, "geo"),
        (Acl::STREAM, "stream"),
        (Acl::PUBSUB, "pubsub"),
        (Acl::ADMIN, "admin"),
        (Acl::FAST, "fast"),
        (Acl::SLOW, "slow"),
        (Acl::BLOCKING, "blocking"),
        (Acl::DANGEROUS, "dangerous"),
        (Acl::CONNECTION, "connection"),
        (Acl::TRANSACTION, "transaction"),
        (Acl::SCRIPTING, "scripting"),
    ];

    /// The categories of which a command has the one of its group, unless its record names others of them.
    const FAMILIES: Acl = Acl::KEYSPACE
        .union(Acl::SET)
        .union(Acl::SORTEDSET)
        .union(Acl::LIST)
        .union(Acl::HASH)
        .union(Acl::STRING)
        .union(Acl::BITMAP)
        .union(Acl::HYPERLOGLOG)
        .union(Acl::GEO)
        .union(Acl::STREAM)
        .union(Acl::CONNECTION)
        .union(Acl::TRANSACTION)
        .union(Acl::SCRIPTING);

    /// The category of this name (without `@`), in any case.
    pub fn by_name(name: &[u8]) -> Option<Acl> {
        let found = Self::NAMES.iter().find(|(_, n)| n.as_bytes().eq_ignore_ascii_case(name));
        found.map(|(category, _)| *category)
    }
}

impl KeyFlags {
    /// All key flags, in the order in which COMMAND INFO lists them.
    pub const NAMES: &'static [(KeyFlags, &'static str)] = &[
        (KeyFlags::RO, "RO"),
        (KeyFlags::RW, "RW"),
        (KeyFlags::OW, "OW"),
        (KeyFlags::RM, "RM"),
        (KeyFlags::ACCESS, "access"),
        (KeyFlags::UPDATE, "update"),
        (KeyFlags::INSERT, "insert"),
        (KeyFlags::DELETE, "delete"),
        (KeyFlags::NOT_KEY, "not_key"),
        (KeyFlags::INCOMPLETE, "incomplete"),
        (KeyFlags::VARIABLE_FLAGS, "variable_flags"),
    ];
}

impl Group {
    /// The name in COMMAND DOCS.
    pub fn name(self) -> &'static str {
        match self {
            Group::Generic => "generic",
            Group::String => "string",
            Group::List => "list",
            Group::Set => "set",
            Group::SortedSet => "sorted-set",
            Group::Hash => "hash",
            Group::PubSub => "pubsub",
            Group::Transactions => "transactions",
            Group::Connection => "connection",
            Group::Server => "server",
            Group::Scripting => "scripting",
            Group::HyperLogLog => "hyperloglog",
            Group::Cluster => "cluster",
            Group::Sentinel => "sentinel",
            Group::Geo => "geo",
            Group::Stream => "stream",
            Group::Bitmap => "bitmap",
        }
    }

    /// The ACL category of the group's commands, for the groups that have one.
    fn family(self) -> Acl {
        match self {
            Group::Generic => Acl::KEYSPACE,
            Group::String => Acl::STRING,
            Group::List => Acl::LIST,
            Group::Set => Acl::SET,
            Group::SortedSet => Acl::SORTEDSET,
            Group::Hash => Acl::HASH,
            Group::Transactions => Acl::TRANSACTION,
            Group::Connection => Acl::CONNECTION,
            Group::Scripting => Acl::SCRIPTING,
            Group::HyperLogLog => Acl::HYPERLOGLOG,
            Group::Geo => Acl::GEO,
            Group::Stream => Acl::STREAM,
            Group::Bitmap => Acl::BITMAP,
            Group::PubSub | Group::Server | Group::Cluster | Group::Sentinel => Acl::empty(),
        }
    }
}

impl ArgKind {
    /// The name in COMMAND DOCS.
    pub fn name(self) -> &'static str {
        match self {
            ArgKind::String => "string",
            ArgKind::Integer => "integer",
            ArgKind::Double => "double",
            ArgKind::Key => "key",
            ArgKind::Pattern => "pattern",
            ArgKind::UnixTime => "unix-time",
            ArgKind::PureToken => "pure-token",
            ArgKind::OneOf => "oneof",
            ArgKind::Block => "block",
        }
    }
}

/// The key positions of COMMAND INFO as they were before there were key specifications.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct KeyRange {
    /// 0 if the command has no keys at fixed places.
    pub first: i64,
    /// Absolute; negative counts from the end.
    pub last: i64,
    pub step: i64,
    /// Whether keys may also stand elsewhere (the `movablekeys` flag).
    pub movable: bool,
}

impl Command {
    /// Whether this is a name for subcommands only.
    pub fn is_container(&self) -> bool {
        self.handler.is_none()
    }

    /// All ACL categories: those of the record, that of the group, and those that follow from the flags.
    ///
    /// A record that names a family itself (SORT is of lists, sets and sorted sets) replaces the group's. A
    /// bare container does nothing and so belongs to no family.
    pub fn acl_categories(&self) -> Acl {
        let mut acl = self.acl;
        if !acl.intersects(Acl::FAMILIES) && !self.is_container() {
            acl |= self.group.family();
        }
        let implied = [
            (Flags::WRITE, Acl::WRITE),
            (Flags::ADMIN, Acl::ADMIN | Acl::DANGEROUS),
            (Flags::PUBSUB, Acl::PUBSUB),
            (Flags::FAST, Acl::FAST),
            (Flags::BLOCKING, Acl::BLOCKING),
        ];
        for (flag, categories) in implied {
            if self.flags.contains(flag) {
                acl |= categories;
            }
        }
        // EVAL_RO reads what its script reads: the right to read is not enough to run it.
        if self.flags.contains(Flags::READONLY) && !acl.contains(Acl::SCRIPTING) {
            acl |= Acl::READ;
        }
        if !acl.contains(Acl::FAST) {
            acl |= Acl::SLOW;
        }
        acl
    }

    /// The flags as clients see them: those of the record and what follows from the key specifications.
    pub fn visible_flags(&self) -> Flags {
        let mut flags = self.flags;
        flags.set(Flags::MOVABLEKEYS, flags.contains(Flags::MOVABLEKEYS) || self.key_range().movable);
        flags
    }

    /// The key specifications seen as one range from a first to a last key, as far as that is possible:
    /// index ranges of step 1 that follow one another are joined.
    pub fn key_range(&self) -> KeyRange {
        if let [only] = self.keys
            && let (Begin::Index(at), Find::Range { last, step, .. }) = (only.begin, only.find)
        {
            return KeyRange {
                first: at as i64,
                last: absolute(at, last),
                step: step as i64,
                movable: only.flags.contains(KeyFlags::INCOMPLETE),
            };
        }
        let mut range = KeyRange::default();
        for keys in self.keys {
            let (Begin::Index(at), Find::Range { last, step: 1, .. }) = (keys.begin, keys.find) else {
                range.movable = true;
                continue;
            };
            if range.first != 0 && range.last != at as i64 - 1 {
                range.movable = true;
                continue;
            }
            range.movable |= keys.flags.contains(KeyFlags::INCOMPLETE);
            if range.first == 0 {
                range.first = at as i64;
                range.step = 1;
            }
            range.last = absolute(at, last);
        }
        range
    }
}

fn absolute(first: i16, last: i16) -> i64 {
    if last >= 0 { first as i64 + last as i64 } else { last as i64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::call::Call;
    use crate::command::errors::Error;
    use crate::command::spec::KeySpec;

    fn handler(_: &mut Call<'_, '_>) -> Result<(), Error> {
        Ok(())
    }

    fn categories(record: Command) -> Vec<&'static str> {
        let acl = record.acl_categories();
        Acl::NAMES.iter().filter(|(category, _)| acl.contains(*category)).map(|(_, name)| *name).collect()
    }

    #[test]
    fn every_category_is_named_in_order() {
        let bits: Vec<u32> = Acl::NAMES.iter().map(|(category, _)| category.bits()).collect();
        assert!(bits.is_sorted());
        assert_eq!(bits.iter().sum::<u32>(), Acl::all().bits());
        assert_eq!(Acl::by_name(b"SortedSet"), Some(Acl::SORTEDSET));
        assert_eq!(Acl::by_name(b"@read"), None);
        assert_eq!(KeyFlags::NAMES.len(), KeyFlags::all().iter().count());
    }

    #[test]
    fn categories_from_flags_and_group() {
        let base = Command { handler: Some(handler), ..Command::NEW };
        let get = Command { group: Group::String, flags: Flags::READONLY | Flags::FAST, ..base };
        assert_eq!(categories(get), ["read", "string", "fast"]);
        let keys = Command { flags: Flags::READONLY, acl: Acl::DANGEROUS, ..base };
        assert_eq!(categories(keys), ["keyspace", "read", "slow", "dangerous"]);
        let wait = Command { flags: Flags::BLOCKING, acl: Acl::CONNECTION, ..base };
        assert_eq!(categories(wait), ["slow", "blocking", "connection"]);
        let config = Command { group: Group::Server, flags: Flags::ADMIN, ..base };
        assert_eq!(categories(config), ["admin", "slow", "dangerous"]);
        let eval_ro = Command { group: Group::Scripting, flags: Flags::READONLY, ..base };
        assert_eq!(categories(eval_ro), ["slow", "scripting"]);
        let client = Command { group: Group::Connection, ..Command::NEW };
        assert_eq!(categories(client), ["slow"]);
    }

    #[test]
    fn key_specifications_as_one_range() {
        let range = |keys: &'static [KeySpec]| {
            let range = Command { keys, ..Command::NEW }.key_range();
            (range.first, range.last, range.step, range.movable)
        };
        const RW: KeyFlags = KeyFlags::RW;
        let counted = const {
            KeySpec {
                flags: RW,
                begin: Begin::Index(2),
                find: Find::KeyNum { count_at: 0, first: 1, step: 1 },
                notes: "",
            }
        };
        assert_eq!(range(&[]), (0, 0, 0, false));
        assert_eq!(range(const { &[KeySpec::range(1, -1, 2, RW)] }), (1, -1, 2, false));
        assert_eq!(range(const { &[KeySpec::one(1, RW), KeySpec::one(2, RW)] }), (1, 2, 1, false));
        assert_eq!(range(const { &[KeySpec::one(1, RW), KeySpec::one(3, RW)] }), (1, 1, 1, true));
        assert_eq!(range(const { &[KeySpec::one(2, RW), KeySpec::range(3, -1, 1, RW)] }), (2, -1, 1, false));
        assert_eq!(range(Box::leak(Box::new([counted]))), (0, 0, 0, true));
        assert_eq!(range(Box::leak(Box::new([KeySpec::one(1, RW), counted]))), (1, 1, 1, true));
        const INCOMPLETE: KeySpec = KeySpec::one(1, RW.union(KeyFlags::INCOMPLETE));
        assert_eq!(range(&[INCOMPLETE]), (1, 1, 1, true));
    }
}
