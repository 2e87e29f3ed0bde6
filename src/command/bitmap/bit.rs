//! Single bits: SETBIT and GETBIT.

use super::offset;
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command, Flags, Group, KeyFlags, KeySpec};
use crate::command::string::string;
use crate::keyspace::Value;
use crate::types::number;

pub const SETBIT: Command = Command {
    name: "setbit",
    summary: "Sets or clears a bit of the string at a key, which grows with zeros as needed.",
    since: "2.2.0",
    group: Group::Bitmap,
    complexity: "O(1), if the string need not grow.",
    arity: 4,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))],
    args: &[Arg::key("key", 0), Arg::integer("offset"), Arg::integer("value")],
    reply: "the bit before",
    handler: Some(setbit),
    ..Command::NEW
};

const NO_BIT: Error = Error::line("ERR bit is not an integer or out of range");

/// The byte that a bit is in, and its place there.
fn place(offset: u64) -> (usize, u8) {
    ((offset / 8) as usize, 0x80 >> (offset % 8))
}

fn setbit(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let (at, mask) = place(offset(call.args.take()?, call.server)?);
    let set = match number::parse_i64(call.args.take()?) {
        Some(0) => false,
        Some(1) => true,
        _ => return Err(NO_BIT),
    };
    let entry = call.keys.update_or_create(key, Value::Bytes(b""));
    let grows = string(entry)?.len() <= at;
    let was_set = entry.edit(at + 1, |bytes| {
        let byte = &mut bytes[at];
        let was_set = *byte & mask != 0;
        *byte = if set { *byte | mask } else { *byte & !mask };
        was_set
    });
    call.keys.changed((grows || was_set != set).into());
    call.out.integer(was_set.into());
    Ok(())
}

pub const GETBIT: Command = Command {
    name: "getbit",
    summary: "Returns a bit of the string at a key.",
    since: "2.2.0",
    group: Group::Bitmap,
    complexity: "O(1)",
    arity: 3,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    args: &[Arg::key("key", 0), Arg::integer("offset")],
    reply: "the bit, 0 behind the end of the string",
    handler: Some(getbit),
    ..Command::NEW
};

fn getbit(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let (at, mask) = place(offset(call.args.take()?, call.server)?);
    let value = call.keys.get(key).map(string).transpose()?;
    let byte = value.and_then(|value| value.with(|bytes| bytes.get(at).copied()));
    call.out.integer(byte.is_some_and(|byte| byte & mask != 0).into());
    Ok(())
}
