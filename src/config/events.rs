//! Classes of keyspace events, as `notify-keyspace-events` writes them: a letter each. Which events exist and
//! when they happen is not known here.

/// Redis's complaint about other letters. Its list of letters is not complete, but clients know it so.
pub(super) const COMPLAINT: &str = "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.";

/// Publish on `__keyspace@…__` channels.
pub const KEYSPACE: u32 = 1 << 0;
/// Publish on `__keyevent@…__` channels.
pub const KEYEVENT: u32 = 1 << 1;
/// Commands of no particular type.
pub const GENERIC: u32 = 1 << 2;
/// String commands.
pub const STRING: u32 = 1 << 3;
/// List commands.
pub const LIST: u32 = 1 << 4;
/// Set commands.
pub const SET: u32 = 1 << 5;
/// Hash commands.
pub const HASH: u32 = 1 << 6;
/// Sorted set commands.
pub const ZSET: u32 = 1 << 7;
/// A key expired.
pub const EXPIRED: u32 = 1 << 8;
/// A key was evicted.
pub const EVICTED: u32 = 1 << 9;
/// Stream commands.
pub const STREAM: u32 = 1 << 10;
/// A key was asked for that does not exist.
pub const KEY_MISS: u32 = 1 << 11;
/// Module types.
pub const MODULE: u32 = 1 << 12;
/// A key was added.
pub const NEW: u32 = 1 << 13;
/// A key's value was replaced.
pub const OVERWRITTEN: u32 = 1 << 14;
/// A key's value was replaced by one of another type.
pub const TYPE_CHANGED: u32 = 1 << 15;
/// What the letter `A` stands for.
pub const ALL: u32 = GENERIC | STRING | LIST | SET | HASH | ZSET | EXPIRED | EVICTED | STREAM | MODULE;

/// Classes that are shown as `A` if they are all there, and one by one otherwise, with those that `A` hides.
const TYPES: [(u8, u32); 13] = [
    (b'g', GENERIC),
    (b'$', STRING),
    (b'l', LIST),
    (b's', SET),
    (b'h', HASH),
    (b'z', ZSET),
    (b'x', EXPIRED),
    (b'e', EVICTED),
    (b't', STREAM),
    (b'd', MODULE),
    (b'n', NEW),
    (b'o', OVERWRITTEN),
    (b'c', TYPE_CHANGED),
];

/// Classes that are always shown.
const CHANNELS: [(u8, u32); 3] = [(b'K', KEYSPACE), (b'E', KEYEVENT), (b'm', KEY_MISS)];

/// The classes that the letters name; `None` if one names nothing.
pub(super) fn parse(letters: &[u8]) -> Option<u32> {
    letters.iter().try_fold(0, |classes, letter| {
        let known = TYPES.iter().chain(&CHANNELS).chain(&[(b'A', ALL)]).find(|(known, _)| known == letter);
        known.map(|(_, class)| classes | class)
    })
}

/// The letters of the classes, in Redis's order. As there, `A` hides `n`, `o` and `c`.
pub(super) fn format(classes: u32) -> String {
    let shown = |table: &[(u8, u32)]| -> String {
        table
            .iter()
            .filter(|(_, class)| classes & class != 0)
            .map(|(letter, _)| char::from(*letter))
            .collect()
    };
    let types = if classes & ALL == ALL { "A".to_owned() } else { shown(&TYPES) };
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
