//! Reading one string: GET, and the two reads that change the key, GETDEL and GETEX.

use super::expiry::{MILLISECONDS, SECONDS, Time, TimeForm, UNIX_MILLISECONDS, UNIX_SECONDS};
use super::{reply_string, reply_value, string};
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::generic::free_entry;
use crate::command::spec::{Arg, Command, Flags, Group, KeyFlags, KeySpec};
use crate::types::events::Class;

pub const GET: Command = Command {
    name: "get",
    summary: "Returns the string stored at a key.",
    since: "1.0.0",
    group: Group::String,
    complexity: "O(1)",
    arity: 2,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    args: &[Arg::key("key", 0)],
    reply: "bulk string, or null if there is no such key",
    handler: Some(get),
    ..Command::NEW
};

fn get(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    reply_value(call.out, call.keys.get(key))
}

pub const GETDEL: Command = Command {
    name: "getdel",
    summary: "Returns the string stored at a key and deletes the key.",
    since: "6.2.0",
    group: Group::String,
    complexity: "O(1)",
    arity: 2,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE))],
    args: &[Arg::key("key", 0)],
    reply: "bulk string, or null if there was no such key",
    handler: Some(getdel),
    ..Command::NEW
};

fn getdel(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    reply_value(call.out, call.keys.get(key))?;
    if let Some(entry) = call.keys.remove(key) {
        free_entry(entry);
        call.keys.notify(Class::GENERIC, "del", key);
        call.keys.changed(1);
        call.keys.propagate(&[b"DEL", key]);
    }
    Ok(())
}

const GETEX_EXPIRATION: &[Arg] =
    &[SECONDS, MILLISECONDS, UNIX_SECONDS, UNIX_MILLISECONDS, Arg::word("persist", "PERSIST")];

pub const GETEX: Command = Command {
    name: "getex",
    summary: "Returns the string stored at a key and sets or removes the key's deadline.",
    since: "6.2.0",
    group: Group::String,
    complexity: "O(1)",
    arity: -2,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: &[KeySpec {
        notes: "RW and UPDATE because the deadline may change",
        ..KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))
    }],
    args: &[Arg::key("key", 0), Arg::one_of("expiration", GETEX_EXPIRATION).optional()],
    reply: "bulk string, or null if there is no such key",
    handler: Some(getex),
    ..Command::NEW
};

fn getex(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let (mut time, mut persist) = (None, false);
    while !call.args.is_done() {
        if let Some(found) = Time::parse(&mut call.args, time)? {
            time = Some(found);
        } else if call.args.skip_word("PERSIST") {
            persist = true;
        } else {
            return Err(Error::Syntax);
        }
        if persist && time.is_some() {
            return Err(Error::Syntax);
        }
    }
    let (now_ms, clock_ms) = (call.keys.now_ms, call.keys.clock_ms());
    let Some(entry) = call.keys.get(key) else {
        call.out.null();
        return Ok(());
    };
    let value = string(entry)?;
    let had_deadline = entry.deadline().is_some();
    let deadline = time.map(|time| time.deadline_ms(clock_ms, call.entry.spec.name)).transpose()?;
    reply_string(call.out, value);
    match (deadline, time) {
        (Some(deadline), Some(Time { form: TimeForm::ExAt | TimeForm::PxAt, .. })) if deadline <= now_ms => {
            if let Some(entry) = call.keys.remove(key) {
                free_entry(entry);
            }
            call.keys.notify(Class::GENERIC, "del", key);
            call.keys.changed(1);
            call.keys.propagate(&[call.keys.removal(), key]);
        }
        (Some(at), _) => {
            call.keys.set_deadline(key, deadline);
            call.keys.notify(Class::GENERIC, "expire", key);
            call.keys.changed(1);
            call.keys.propagate(&[b"PEXPIREAT", key, itoa::Buffer::new().format(at).as_bytes()]);
        }
        (None, _) if persist && had_deadline => {
            call.keys.set_deadline(key, None);
            call.keys.notify(Class::GENERIC, "persist", key);
            call.keys.changed(1);
            call.keys.propagate(&[b"PERSIST", key]);
        }
        (None, _) => {}
    }
    Ok(())
}
