//! Giving a key a string: SET with its options, and the older commands that SET has taken over.

use super::expiry::{MILLISECONDS, SECONDS, Time, TimeForm, UNIX_MILLISECONDS, UNIX_SECONDS};
use super::{next_value, reply_value, string};
use crate::command::args::Args;
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command, Flags, Group, KeyFlags, KeySpec};
use crate::keyspace::{Deadline, Value, View};
use crate::resp::scan::Request;
use crate::types::events::Class;

const SET_CONDITION: &[Arg] =
    &[Arg::word("nx", "NX"), Arg::word("xx", "XX"), Arg::string("ifeq-value").token("IFEQ").since("8.4.0")];

const SET_EXPIRATION: &[Arg] = &[
    SECONDS.since("2.6.12"),
    MILLISECONDS.since("2.6.12"),
    UNIX_SECONDS.since("6.2.0"),
    UNIX_MILLISECONDS.since("6.2.0"),
    Arg::word("keepttl", "KEEPTTL").since("6.0.0"),
];

pub const SET: Command = Command {
    name: "set",
    summary: "Gives a key a string, whatever the key held before.",
    since: "1.0.0",
    group: Group::String,
    complexity: "O(1)",
    arity: -3,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: &[KeySpec {
        notes: "RW and ACCESS because of the option GET",
        ..KeySpec::one(
            1,
            KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE).union(KeyFlags::VARIABLE_FLAGS),
        )
    }],
    find_keys: Some(set_key),
    args: &[
        Arg::key("key", 0),
        Arg::string("value"),
        Arg::one_of("condition", SET_CONDITION).optional().since("2.6.12"),
        Arg::word("get", "GET").optional().since("6.2.0"),
        Arg::one_of("expiration", SET_EXPIRATION).optional(),
    ],
    history: &[
        ("2.6.12", "The options EX, PX, NX and XX."),
        ("6.0.0", "The option KEEPTTL."),
        ("6.2.0", "The options GET, EXAT and PXAT."),
        ("7.0.0", "NX and GET may be combined."),
        ("8.4.0", "The option IFEQ."),
    ],
    reply: "OK, or null if the condition does not hold; with GET the value before, or null",
    handler: Some(set),
    ..Command::NEW
};

/// The key is only overwritten unless GET asks for the old value.
fn set_key(request: Request<'_>, visit: &mut dyn FnMut(usize, KeyFlags)) {
    let reads = request
        .tail(3)
        .iter()
        .any(|arg| arg.eq_ignore_ascii_case(b"GET") || arg.eq_ignore_ascii_case(b"IFEQ"));
    visit(
        1,
        if reads {
            KeyFlags::RW | KeyFlags::ACCESS | KeyFlags::UPDATE
        } else {
            KeyFlags::OW | KeyFlags::UPDATE
        },
    );
}

/// On what SET depends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Condition<'a> {
    #[default]
    None,
    /// NX: there is no such key.
    Absent,
    /// XX: there is.
    Present,
    /// IFEQ: the key holds this.
    Equals(&'a [u8]),
}

impl Condition<'_> {
    fn holds(self, keys: &View<'_>, key: &[u8]) -> Result<bool, Error> {
        Ok(match self {
            Condition::None => true,
            Condition::Absent => keys.peek(key).is_none(),
            Condition::Present => keys.peek(key).is_some(),
            Condition::Equals(expected) => match keys.peek(key) {
                Some(entry) => string(entry)?.with(|value| value == expected),
                None => false,
            },
        })
    }
}

/// The options of SET.
#[derive(Clone, Copy, Debug, Default)]
struct SetOptions<'a> {
    condition: Condition<'a>,
    get: bool,
    keep_ttl: bool,
    time: Option<Time<'a>>,
}

impl<'a> SetOptions<'a> {
    /// Redis takes an option twice, but not two that contradict each other.
    fn parse(args: &mut Args<'a>) -> Result<SetOptions<'a>, Error> {
        let mut options = SetOptions::default();
        while !args.is_done() {
            if let Some(time) = Time::parse(args, options.time)? {
                options.time = Some(time);
            } else if args.skip_word("KEEPTTL") {
                options.keep_ttl = true;
            } else if args.skip_word("GET") {
                options.get = true;
            } else {
                let condition = if args.skip_word("NX") {
                    Condition::Absent
                } else if args.skip_word("XX") {
                    Condition::Present
                } else if args.skip_word("IFEQ") {
                    Condition::Equals(args.take()?)
                } else {
                    return Err(Error::Syntax);
                };
                let kind = std::mem::discriminant(&condition);
                if options.condition != Condition::None && std::mem::discriminant(&options.condition) != kind
                {
                    return Err(Error::Syntax);
                }
                options.condition = condition;
            }
            if options.keep_ttl && options.time.is_some() {
                return Err(Error::Syntax);
            }
        }
        Ok(options)
    }
}

/// Gives the key a value in the place of what it held, and states so.
#[inline]
fn store(call: &mut Call<'_, '_>, key: &[u8], value: Value<'_>, deadline: Deadline) {
    call.keys.overwrite(key, value, deadline);
    call.keys.notify(Class::STRING, "set", key);
    if let Deadline::At(_) = deadline {
        call.keys.event(Class::GENERIC, "expire", key);
    }
    call.keys.changed(1);
}

/// States how a SET with options is logged: with a point in time, and without what only the reply depends on.
#[cold]
fn propagate(call: &Call<'_, '_>, options: SetOptions<'_>, deadline: Deadline) {
    let request = call.args.request();
    match (deadline, options.time, options.condition) {
        (Deadline::At(_), Some(Time { form: TimeForm::PxAt, .. }), Condition::None) => {}
        (Deadline::At(deadline), ..) => propagate_until(call, request.get(1), request.get(2), deadline),
        (_, _, Condition::Equals(_)) => {
            let keep: &[&[u8]] = if options.keep_ttl { &[b"KEEPTTL"] } else { &[] };
            let args = [b"SET".as_slice(), request.get(1), request.get(2)];
            call.keys.propagate_many(3 + keep.len(), args.into_iter().chain(keep.iter().copied()));
        }
        _ if options.get => {
            let args = request.iter().enumerate();
            let kept = args.filter(|(at, arg)| *at < 3 || !arg.eq_ignore_ascii_case(b"GET"));
            let kept: Vec<&[u8]> = kept.map(|(_, arg)| arg).collect();
            call.keys.propagate(&kept);
        }
        _ => {}
    }
}

/// States that the command is logged as SET with a deadline.
fn propagate_until(call: &Call<'_, '_>, key: &[u8], value: &[u8], deadline: i64) {
    let mut text = itoa::Buffer::new();
    call.keys.propagate(&[b"SET", key, value, b"PXAT", text.format(deadline).as_bytes()]);
}

fn set(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let value = next_value(&mut call.args)?;
    if call.args.is_done() {
        store(call, key, value, Deadline::Clear);
        call.out.ok();
        return Ok(());
    }
    let options = SetOptions::parse(&mut call.args)?;
    let deadline = match options.time {
        Some(time) => Deadline::At(time.deadline_ms(call.keys.clock_ms(), call.entry.spec.name)?),
        None if options.keep_ttl => Deadline::Keep,
        None => Deadline::Clear,
    };
    if options.get {
        reply_value(call.out, call.keys.get(key))?;
    }
    let holds = options.condition.holds(call.keys, key)?;
    if holds {
        store(call, key, value, deadline);
        if call.keys.is_logged() {
            propagate(call, options, deadline);
        }
    }
    match (options.get, holds) {
        (true, _) => {}
        (false, true) => call.out.ok(),
        (false, false) => call.out.null(),
    }
    Ok(())
}

pub const SETNX: Command = Command {
    name: "setnx",
    summary: "Gives a key a string if there is no such key yet.",
    since: "1.0.0",
    group: Group::String,
    complexity: "O(1)",
    arity: 3,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::OW.union(KeyFlags::INSERT))],
    args: &[Arg::key("key", 0), Arg::string("value")],
    deprecated: Some(("2.6.12", "`SET` with the `NX` argument")),
    reply: "1 if the key was set, 0 if it existed",
    handler: Some(setnx),
    ..Command::NEW
};

fn setnx(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let value = next_value(&mut call.args)?;
    let absent = call.keys.peek(key).is_none();
    if absent {
        store(call, key, value, Deadline::Clear);
    }
    call.out.integer(absent.into());
    Ok(())
}

pub const SETEX: Command = Command {
    name: "setex",
    summary: "Gives a key a string and a time to live in seconds.",
    since: "2.0.0",
    group: Group::String,
    complexity: "O(1)",
    arity: 4,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: &[KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE))],
    args: &[Arg::key("key", 0), Arg::integer("seconds"), Arg::string("value")],
    deprecated: Some(("2.6.12", "`SET` with the `EX` argument")),
    reply: "OK",
    handler: Some(setex),
    ..Command::NEW
};

fn setex(call: &mut Call<'_, '_>) -> Result<(), Error> {
    set_for(call, TimeForm::Ex)
}

pub const PSETEX: Command = Command {
    name: "psetex",
    summary: "Gives a key a string and a time to live in milliseconds.",
    since: "2.6.0",
    group: Group::String,
    complexity: "O(1)",
    arity: 4,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: &[KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE))],
    args: &[Arg::key("key", 0), Arg::integer("milliseconds"), Arg::string("value")],
    deprecated: Some(("2.6.12", "`SET` with the `PX` argument")),
    reply: "OK",
    handler: Some(psetex),
    ..Command::NEW
};

fn psetex(call: &mut Call<'_, '_>) -> Result<(), Error> {
    set_for(call, TimeForm::Px)
}

fn set_for(call: &mut Call<'_, '_>, form: TimeForm) -> Result<(), Error> {
    let key = call.args.take()?;
    let time = Time { form, text: call.args.take()? };
    let deadline = time.deadline_ms(call.keys.clock_ms(), call.entry.spec.name)?;
    let value = next_value(&mut call.args)?;
    store(call, key, value, Deadline::At(deadline));
    propagate_until(call, key, call.args.request().get(3), deadline);
    call.out.ok();
    Ok(())
}

pub const GETSET: Command = Command {
    name: "getset",
    summary: "Gives a key a string and returns the one before.",
    since: "1.0.0",
    group: Group::String,
    complexity: "O(1)",
    arity: 3,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))],
    args: &[Arg::key("key", 0), Arg::string("value")],
    deprecated: Some(("6.2.0", "`SET` with the `!GET` argument")),
    reply: "bulk string: the value before, or null",
    handler: Some(getset),
    ..Command::NEW
};

fn getset(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let value = next_value(&mut call.args)?;
    reply_value(call.out, call.keys.get(key))?;
    store(call, key, value, Deadline::Clear);
    call.keys.propagate(&[b"SET", key, call.args.request().get(2)]);
    Ok(())
}
