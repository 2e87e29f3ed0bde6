//! Commands on keys of any type, and on whole databases.

mod database;
mod delete;
mod dump;
mod expire;
mod inspect;
mod object;
mod rename;
mod sort;
mod wait;
mod walk;

use super::spec::Command;
use crate::keyspace::{Entry, Garbage, Object};
use crate::memory::lazyfree;

pub const COMMANDS: &[Command] = &[
    rename::COPY,
    database::DBSIZE,
    delete::DEL,
    dump::DUMP,
    inspect::EXISTS,
    expire::EXPIRE,
    expire::EXPIREAT,
    expire::EXPIRETIME,
    database::FLUSHALL,
    database::FLUSHDB,
    walk::KEYS,
    rename::MOVE,
    object::OBJECT,
    expire::PERSIST,
    expire::PEXPIRE,
    expire::PEXPIREAT,
    expire::PEXPIRETIME,
    expire::PTTL,
    walk::RANDOMKEY,
    rename::RENAME,
    rename::RENAMENX,
    dump::RESTORE,
    walk::SCAN,
    sort::SORT,
    sort::SORT_RO,
    database::SWAPDB,
    inspect::TOUCH,
    expire::TTL,
    inspect::TYPE,
    delete::UNLINK,
    wait::WAIT,
    wait::WAITAOF,
];

/// Frees an entry that was taken out of its table: elsewhere, if that could take long.
pub fn free_entry(entry: Entry) {
    let objects = entry.object().map_or(1, Object::allocations);
    if objects >= lazyfree::MANY_FROM_OBJECTS || entry.heap_bytes() >= lazyfree::LARGE_FROM_BYTES {
        lazyfree::drop_later(entry, objects);
    }
}

/// Frees what a flush took out: elsewhere, if that could take long.
fn free_garbage(garbage: Garbage) {
    let objects = garbage.objects();
    if objects >= lazyfree::MANY_FROM_OBJECTS {
        lazyfree::drop_later(garbage, objects);
    }
}
