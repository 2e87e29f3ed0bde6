//! HSETEX: setting fields together with their deadlines.

use super::PAIRS;
use super::deadline::TimeOption;
use super::set::pairs;
use super::value::{Limits, check_type, edit, edit_or_create, notify_if_gone};
use crate::command::args::Args;
use crate::command::call::Call;
use crate::command::errors::{Error, echo};
use crate::command::spec::{Arg, Command, Flags, Group, KeyFlags, KeySpec};
use crate::types::events::Class;
use crate::types::number;

pub const HSETEX: Command = Command {
    name: "hsetex",
    summary: "Sets the values of fields of a hash, and their deadlines.",
    since: "8.0.0",
    group: Group::Hash,
    complexity: "O(N) in the number of fields to be set.",
    arity: -6,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
    args: &[
        Arg::key("key", 0),
        Arg::one_of("condition", &[Arg::word("fnx", "FNX"), Arg::word("fxx", "FXX")]).optional(),
        Arg::one_of(
            "expiration",
            &[
                Arg::integer("seconds").token("EX"),
                Arg::integer("milliseconds").token("PX"),
                Arg::unix_time("unix-time-seconds").token("EXAT"),
                Arg::unix_time("unix-time-milliseconds").token("PXAT"),
                Arg::word("keepttl", "KEEPTTL"),
            ],
        )
        .optional(),
        Arg::block("fields", &[Arg::integer("numfields"), PAIRS]).token("FIELDS"),
    ],
    reply: "1 if the fields were set, 0 if the condition forbids it",
    handler: Some(hsetex),
    ..Command::NEW
};

/// What becomes of the fields' deadlines.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expiry {
    Clear,
    Keep,
    At(i64),
}

/// On which of the fields there are the command depends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    Always,
    /// FNX: none of them.
    Absent,
    /// FXX: all of them.
    Present,
}

/// Consumes everything but names and values.
fn options(args: &mut Args<'_>, now_ms: i64, command: &'static str) -> Result<(Condition, Expiry), Error> {
    let (mut condition, mut expiry) = (Condition::Always, Expiry::Clear);
    while !args.skip_word("FIELDS") {
        let next = if args.skip_word("FNX") {
            Some(Condition::Absent)
        } else if args.skip_word("FXX") {
            Some(Condition::Present)
        } else {
            None
        };
        if let Some(next) = next {
            if condition != Condition::Always {
                return Err(Error::FieldConditions);
            }
            condition = next;
            continue;
        }
        let option = TimeOption::skip(args);
        if option.is_none() && !args.skip_word("KEEPTTL") {
            return Err(Error::echoing("unknown argument: ", echo(args.take()?, usize::MAX), ""));
        }
        if expiry != Expiry::Clear {
            return Err(Error::FieldExpiries);
        }
        expiry = match option {
            None => Expiry::Keep,
            Some(_) if args.is_done() => return Err(Error::ExpireTimeMissing),
            Some(option) => Expiry::At(option.deadline_ms(args.take()?, now_ms, command)?),
        };
    }
    Ok((condition, expiry))
}

/// Consumes the number of fields, behind which as many names and values have to stand.
fn count(args: &mut Args<'_>, full_name: &str) -> Result<(), Error> {
    let wrong = || Error::WrongArity(full_name.to_owned());
    if args.left() < 3 {
        return Err(wrong());
    }
    let count = number::parse_i64(args.take()?).and_then(|count| i32::try_from(count).ok());
    let count = count.filter(|count| *count > 0).ok_or(Error::FieldCountInvalid)?;
    if args.left() != 2 * count as usize {
        return Err(wrong());
    }
    Ok(())
}

fn hsetex(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let now_ms = call.keys.now_ms;
    let (condition, expiry) = options(&mut call.args, call.keys.clock_ms(), call.entry.spec.name)?;
    count(&mut call.args, &call.entry.full_name)?;
    check_type(call.keys, key)?;
    let (limits, pairs) = (Limits::of(call.server), pairs(call.args));
    if condition != Condition::Always {
        let wanted = condition == Condition::Present;
        let known = edit(call.keys, key, limits, |hash| {
            Ok(pairs.clone().all(|(name, _)| hash.read().get(name).is_some() == wanted))
        })?;
        if !known.unwrap_or(!wanted) {
            call.out.integer(0);
            return Ok(());
        }
    }
    let deleted = edit_or_create(call.keys, key, limits, |hash| {
        hash.prepare(pairs.clone());
        if let Expiry::At(_) = expiry {
            hash.make_timed();
        }
        let mut deleted = 0;
        for (name, value) in pairs.clone() {
            match expiry {
                Expiry::At(deadline) if deadline <= now_ms => {
                    hash.remove(name);
                    deleted += 1;
                }
                Expiry::At(deadline) => {
                    hash.set(name, value, true);
                    hash.set_deadline(name, Some(deadline));
                }
                Expiry::Clear | Expiry::Keep => {
                    hash.set(name, value, expiry == Expiry::Keep);
                }
            }
        }
        Ok(deleted)
    })?;
    call.keys.fields_expired(deleted);
    call.keys.notify(Class::HASH, "hset", key);
    if let Expiry::At(_) = expiry {
        call.keys.event(Class::HASH, if deleted > 0 { "hdel" } else { "hexpire" }, key);
    }
    notify_if_gone(call.keys, key);
    call.keys.changed((call.args.left() / 2) as u64);
    if let Expiry::At(deadline) = expiry
        && call.keys.is_logged()
    {
        if deleted > 0 {
            let names = pairs.map(|(name, _)| name);
            let args = [b"HDEL".as_slice(), key].into_iter().chain(names);
            call.keys.propagate_many(2 + call.args.left() / 2, args);
        } else {
            let mut text = itoa::Buffer::new();
            let mut count = itoa::Buffer::new();
            let args = [b"HSETEX".as_slice(), key, b"PXAT", text.format(deadline).as_bytes(), b"FIELDS"];
            let count = count.format(call.args.left() / 2).as_bytes();
            let args = args.into_iter().chain([count]).chain(call.args.rest());
            call.keys.propagate_many(6 + call.args.left(), args);
        }
    }
    call.out.integer(1);
    Ok(())
}
