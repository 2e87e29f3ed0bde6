//! How reading and claiming in groups is logged: as what it has done to each entry.

use crate::keyspace::View;
use crate::types::stream::{Group, Id, Pending};

/// States that a consumer was made.
pub fn propagate_consumer(keys: &View<'_>, key: &[u8], group: &[u8], consumer: &[u8]) {
    keys.propagate(&[b"XGROUP", b"CREATECONSUMER", key, group, consumer]);
}

/// States that an entry has become pending for a consumer, and how far its group is.
pub fn propagate_claim(
    keys: &View<'_>,
    key: &[u8],
    (name, group): (&[u8], &Group),
    consumer: &[u8],
    id: Id,
    pending: &Pending,
) {
    let (mut time, mut count) = (itoa::Buffer::new(), itoa::Buffer::new());
    keys.propagate(&[
        b"XCLAIM",
        key,
        name,
        consumer,
        b"0",
        &id.text(),
        b"TIME",
        time.format(pending.delivered_ms).as_bytes(),
        b"RETRYCOUNT",
        count.format(pending.deliveries).as_bytes(),
        b"FORCE",
        b"JUSTID",
        b"LASTID",
        &group.last_id.text(),
    ]);
}

/// States how far a group is.
pub fn propagate_position(keys: &View<'_>, key: &[u8], (name, group): (&[u8], &Group)) {
    // Redis's sign for what is not known.
    let read = group.entries_read.map_or("-1".to_owned(), |read| read.to_string());
    keys.propagate(&[b"XGROUP", b"SETID", key, name, &group.last_id.text(), b"ENTRIESREAD", read.as_bytes()]);
}
