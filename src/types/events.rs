//! Classes of keyspace events, as `notify-keyspace-events` writes them: a letter each. Which events exist and
//! when they happen is not known here.

use std::ops::BitOr;

/// A class of keyspace events, or several.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Class(u32);

/// Redis's complaint about other letters. Its list of letters is not complete, but clients know it so.
pub const COMPLAINT: &str = "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.";

impl Class {
    /// Publish on `__keyspace@…__` channels.
    pub const KEYSPACE: Class = Class(1 << 0);
    /// Publish on `__keyevent@…__` channels.
    pub const KEYEVENT: Class = Class(1 << 1);
    /// Commands of no particular type.
    pub const GENERIC: Class = Class(1 << 2);
    /// String commands.
    pub const STRING: Class = Class(1 << 3);
    /// List commands.
    pub const LIST: Class = Class(1 << 4);
    /// Set commands.
    pub const SET: Class = Class(1 << 5);
    /// Hash commands.
    pub const HASH: Class = Class(1 << 6);
    /// Sorted set commands.
    pub const ZSET: Class = Class(1 << 7);
    /// A key expired.
    pub const EXPIRED: Class = Class(1 << 8);
    /// A key was evicted.
    pub const EVICTED: Class = Class(1 << 9);
    /// Stream commands.
    pub const STREAM: Class = Class(1 << 10);
    /// A key was asked for that does not exist.
    pub const KEY_MISS: Class = Class(1 << 11);
    /// Module types.
    pub const MODULE: Class = Class(1 << 12);
    /// A key was added.
    pub const NEW: Class = Class(1 << 13);
    /// A key's value was replaced.
    pub const OVERWRITTEN: Class = Class(1 << 14);
    /// A key's value was replaced by one of another type.
    pub const TYPE_CHANGED: Class = Class(1 << 15);
    /// What the letter `A` stands for.
    pub const ALL: Class = Class(
        Class::GENERIC.0
            | Class::STRING.0
            | Class::LIST.0
            | Class::SET.0
            | Class::HASH.0
            | Class::ZSET.0
            | Class::EXPIRED.0
            | Class::EVICTED.0
            | Class::STREAM.0
            | Class::MODULE.0,
    );

    /// None of them.
    pub const NONE: Class = Class(0);

    /// The classes as a number, one bit each, which [`Class::from_bits`] understands.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The classes of a number that [`Class::bits`] gave.
    pub const fn from_bits(bits: u32) -> Class {
        Class(bits)
    }

    /// Whether any class is in both.
    #[inline]
    pub const fn intersects(self, other: Class) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether all classes of `other` are in this.
    pub const fn contains(self, other: Class) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Class {
    type Output = Class;

    fn bitor(self, other: Class) -> Class {
        Class(self.0 | other.0)
    }
}

/// Classes that are shown as `A` if they are all there, and one by one otherwise, with those that `A` hides.
const TYPES: [(u8, Class); 13] = [
    (b'g', Class::GENERIC),
    (b'$', Class::STRING),
    (b'l', Class::LIST),
    (b's', Class::SET),
    (b'h', Class::HASH),
    (b'z', Class::ZSET),
    (b'x', Class::EXPIRED),
    (b'e', Class::EVICTED),
    (b't', Class::STREAM),
    (b'd', Class::MODULE),
    (b'n', Class::NEW),
    (b'o', Class::OVERWRITTEN),
    (b'c', Class::TYPE_CHANGED),
];

/// Classes that are always shown.
const CHANNELS: [(u8, Class); 3] =
    [(b'K', Class::KEYSPACE), (b'E', Class::KEYEVENT), (b'm', Class::KEY_MISS)];

/// The classes that the letters name; `None` if one names nothing.
pub fn parse(letters: &[u8]) -> Option<Class> {
    letters.iter().try_fold(Class::NONE, |classes, letter| {
        let known =
            TYPES.iter().chain(&CHANNELS).chain(&[(b'A', Class::ALL)]).find(|(known, _)| known == letter);
        known.map(|(_, class)| classes | *class)
    })
}

/// The letters of the classes, in Redis's order. As there, `A` hides `n`, `o` and `c`.
pub fn format(classes: Class) -> String {
    let shown = |table: &[(u8, Class)]| -> String {
        table
            .iter()
            .filter(|(_, class)| classes.intersects(*class))
            .map(|(letter, _)| char::from(*letter))
            .collect()
    };
    let types = if classes.contains(Class::ALL) { "A".to_owned() } else { shown(&TYPES) };
    types + &shown(&CHANNELS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_in_and_out() {
        for (written, shown) in [
            ("", ""),
            ("KEA", "AKE"),
            ("Knocg", "gnocK"),
            ("mEx", "xEm"),
            ("g$lshzxetdKE", "AKE"),
            ("AKEn", "AKE"),
        ] {
            assert_eq!(format(parse(written.as_bytes()).unwrap()), shown);
        }
        assert_eq!(parse(b"KQ"), None);
    }
}
