//! Reading fields and changing them at once: HGETDEL deletes them, HGETEX sets or removes their deadlines.

use super::deadline::{FIELDS, TimeOption, fields};
use super::value::{Limits, check_type, edit, notify_if_gone, reply_or_null};
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command, Flags, Group, KeyFlags, KeySpec};
use crate::types::events::Class;

/// What both commands have in common.
const GET_AND: Command = Command {
    since: "8.0.0",
    group: Group::Hash,
    complexity: "O(N) in the number of fields named.",
    arity: -5,
    flags: Flags::WRITE.union(Flags::FAST),
    reply: "array of values, with null for fields that there are not",
    ..Command::NEW
};

pub const HGETDEL: Command = Command {
    name: "hgetdel",
    summary: "Returns the values of fields of a hash and deletes the fields.",
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE))],
    args: &[Arg::key("key", 0), FIELDS],
    handler: Some(hgetdel),
    ..GET_AND
};

/// Replies that none of the fields is there.
fn reply_nulls(call: &mut Call<'_, '_>, count: usize) {
    call.out.array(count);
    (0..count).for_each(|_| call.out.null());
}

fn hgetdel(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    check_type(call.keys, key)?;
    let count = fields(&mut call.args, Error::FieldCount)?;
    let names = call.args;
    let deleted = edit(call.keys, key, Limits::of(call.server), |hash| {
        call.out.array(count);
        let mut deleted = 0;
        for name in names.rest() {
            reply_or_null(call.out, hash.read().get(name));
            deleted += hash.remove(name) as u64;
        }
        Ok(deleted)
    })?;
    match deleted {
        Some(deleted) => {
            if deleted > 0 {
                call.keys.notify(Class::HASH, "hdel", key);
                notify_if_gone(call.keys, key);
                let args = [b"HDEL".as_slice(), key].into_iter().chain(names.rest());
                call.keys.propagate_many(2 + count, args);
            }
            call.keys.changed(deleted);
        }
        None => reply_nulls(call, count),
    }
    Ok(())
}

pub const HGETEX: Command = Command {
    name: "hgetex",
    summary: "Returns the values of fields of a hash and sets or removes their deadlines.",
    keys: &[KeySpec {
        notes: "RW and UPDATE because the deadlines may change",
        ..KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))
    }],
    args: &[
        Arg::key("key", 0),
        Arg::one_of(
            "expiration",
            &[
                Arg::integer("seconds").token("EX"),
                Arg::integer("milliseconds").token("PX"),
                Arg::unix_time("unix-time-seconds").token("EXAT"),
                Arg::unix_time("unix-time-milliseconds").token("PXAT"),
                Arg::word("persist", "PERSIST"),
            ],
        )
        .optional(),
        FIELDS,
    ],
    handler: Some(hgetex),
    ..GET_AND
};

/// What becomes of a field's deadline.
#[derive(Clone, Copy)]
enum Change {
    Nothing,
    Persist,
    Expire(i64),
}

/// States how the change that HGETEX has made to the fields that are the rest of its arguments is logged.
fn propagate(call: &Call<'_, '_>, key: &[u8], change: Change, is_past: bool) {
    let (names, mut count, mut text) = (call.args, itoa::Buffer::new(), itoa::Buffer::new());
    let count = count.format(names.left()).as_bytes();
    let head: &[&[u8]] = match change {
        Change::Nothing => return,
        Change::Expire(_) if is_past => &[b"HDEL", key],
        Change::Expire(deadline) => &[b"HPEXPIREAT", key, text.format(deadline).as_bytes(), b"FIELDS", count],
        Change::Persist => &[b"HPERSIST", key, b"FIELDS", count],
    };
    call.keys.propagate_many(head.len() + names.left(), head.iter().copied().chain(names.rest()));
}

fn hgetex(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    check_type(call.keys, key)?;
    let now_ms = call.keys.now_ms;
    let change = if let Some(option) = TimeOption::skip(&mut call.args) {
        Change::Expire(option.deadline_ms(call.args.take()?, call.keys.clock_ms(), call.entry.spec.name)?)
    } else if call.args.skip_word("PERSIST") {
        Change::Persist
    } else {
        Change::Nothing
    };
    let count = fields(&mut call.args, Error::FieldCount)?;
    let (names, mut deleted) = (call.args, 0);
    let changed = edit(call.keys, key, Limits::of(call.server), |hash| {
        if !matches!(change, Change::Nothing) {
            hash.make_timed();
        }
        call.out.array(count);
        let mut changed = 0;
        for name in names.rest() {
            let Some(old) = hash.read().deadline(name) else {
                call.out.null();
                continue;
            };
            reply_or_null(call.out, hash.read().get(name));
            match change {
                Change::Nothing => continue,
                Change::Persist if old.is_none() => continue,
                Change::Persist => hash.set_deadline(name, None),
                Change::Expire(deadline) if deadline <= now_ms => deleted += hash.remove(name) as usize,
                Change::Expire(deadline) => hash.set_deadline(name, Some(deadline)),
            }
            changed += 1;
        }
        Ok(changed)
    })?;
    call.keys.fields_expired(deleted);
    match changed {
        Some(changed) => {
            if changed > 0 {
                let event = match change {
                    Change::Persist => "hpersist",
                    _ if deleted > 0 => "hdel",
                    _ => "hexpire",
                };
                call.keys.notify(Class::HASH, event, key);
                notify_if_gone(call.keys, key);
                propagate(call, key, change, deleted > 0);
            }
            call.keys.changed(changed);
        }
        None => reply_nulls(call, count),
    }
    Ok(())
}
