//! Adding elements at an end: LPUSH, RPUSH, LPUSHX, RPUSHX.

use super::value::{self, Sizes};
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command, Flags, Group, KeyFlags, KeySpec};
use crate::types::list::End;

pub const LPUSH: Command = Command {
    name: "lpush",
    summary: "Adds elements at the head of a list, which is made if there is none.",
    since: "1.0.0",
    group: Group::List,
    complexity: "O(1) for each element.",
    arity: -3,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT))],
    args: &[Arg::key("key", 0), Arg::string("element").multiple()],
    history: &[("2.4.0", "Several elements.")],
    reply: "the new length of the list",
    handler: Some(|call| push(call, End::Head)),
    ..Command::NEW
};

pub const RPUSH: Command = Command {
    name: "rpush",
    summary: "Adds elements at the tail of a list, which is made if there is none.",
    handler: Some(|call| push(call, End::Tail)),
    ..LPUSH
};

fn push(call: &mut Call<'_, '_>, end: End) -> Result<(), Error> {
    let key = call.args.take()?;
    let elements = value::incoming(call.args);
    let added = elements.len();
    let len = value::push(call.keys, key, end, elements, Sizes::of(call.server))?;
    call.keys.changed(added as u64);
    call.out.integer(len as i64);
    Ok(())
}

pub const LPUSHX: Command = Command {
    name: "lpushx",
    summary: "Adds elements at the head of a list, if there is one.",
    since: "2.2.0",
    history: &[("4.0.0", "Several elements.")],
    reply: "the new length of the list, 0 if there is none",
    handler: Some(|call| push_to_existing(call, End::Head)),
    ..LPUSH
};

pub const RPUSHX: Command = Command {
    name: "rpushx",
    summary: "Adds elements at the tail of a list, if there is one.",
    handler: Some(|call| push_to_existing(call, End::Tail)),
    ..LPUSHX
};

fn push_to_existing(call: &mut Call<'_, '_>, end: End) -> Result<(), Error> {
    let key = call.args.take()?;
    let Some(entry) = call.keys.update(key) else {
        call.out.integer(0);
        return Ok(());
    };
    let elements = value::incoming(call.args);
    let added = elements.len();
    let len = value::push_to(entry, end, elements, Sizes::of(call.server))?;
    call.keys.changed(added as u64);
    call.out.integer(len as i64);
    Ok(())
}
