//! Deadlines of keys: EXPIRE and its forms set them, TTL and its forms tell them, PERSIST removes them.

use super::free_entry;
use crate::command::args::Args;
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command, Flags, Group, KeyFlags, KeySpec};
use crate::types::events::Class;
use std::borrow::Cow;

const CONDITION: &[Arg] =
    &[Arg::word("nx", "NX"), Arg::word("xx", "XX"), Arg::word("gt", "GT"), Arg::word("lt", "LT")];

/// Fields that the four forms of EXPIRE share.
const SETTER: Command = Command {
    group: Group::Generic,
    complexity: "O(1)",
    arity: -3,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
    history: &[("7.0.0", "The options NX, XX, GT and LT.")],
    reply: "1 if the deadline was set; 0 if there is no such key or the option forbids it",
    ..Command::NEW
};

const OPTION: Arg = Arg::one_of("condition", CONDITION).optional().since("7.0.0");

pub const EXPIRE: Command = Command {
    name: "expire",
    summary: "Lets a key expire after a number of seconds.",
    since: "1.0.0",
    args: &[Arg::key("key", 0), Arg::integer("seconds"), OPTION],
    handler: Some(|call| set_deadline(call, 1000, call.keys.clock_ms())),
    ..SETTER
};

pub const PEXPIRE: Command = Command {
    name: "pexpire",
    summary: "Lets a key expire after a number of milliseconds.",
    since: "2.6.0",
    args: &[Arg::key("key", 0), Arg::integer("milliseconds"), OPTION],
    handler: Some(|call| set_deadline(call, 1, call.keys.clock_ms())),
    ..SETTER
};

pub const EXPIREAT: Command = Command {
    name: "expireat",
    summary: "Lets a key expire at a Unix time in seconds.",
    since: "1.2.0",
    args: &[Arg::key("key", 0), Arg::unix_time("unix-time-seconds"), OPTION],
    handler: Some(|call| set_deadline(call, 1000, 0)),
    ..SETTER
};

pub const PEXPIREAT: Command = Command {
    name: "pexpireat",
    summary: "Lets a key expire at a Unix time in milliseconds.",
    since: "2.6.0",
    args: &[Arg::key("key", 0), Arg::unix_time("unix-time-milliseconds"), OPTION],
    handler: Some(|call| set_deadline(call, 1, 0)),
    ..SETTER
};

/// On which deadline the key must have for the new one to take effect.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Conditions {
    absent: bool,
    present: bool,
    greater: bool,
    less: bool,
}

impl Conditions {
    fn parse(args: &mut Args<'_>) -> Result<Conditions, Error> {
        let mut conditions = Conditions::default();
        while !args.is_done() {
            let condition = if args.skip_word("NX") {
                &mut conditions.absent
            } else if args.skip_word("XX") {
                &mut conditions.present
            } else if args.skip_word("GT") {
                &mut conditions.greater
            } else if args.skip_word("LT") {
                &mut conditions.less
            } else {
                return Err(Error::unsupported_option(args.take()?));
            };
            *condition = true;
        }
        if conditions.absent && (conditions.present || conditions.greater || conditions.less) {
            return Err(Error::ExpireNxAndOthers);
        }
        if conditions.greater && conditions.less {
            return Err(Error::ExpireGtAndLt);
        }
        Ok(conditions)
    }

    /// A key without a deadline counts as one that lives for ever.
    fn allow(self, old: Option<i64>, new: i64) -> bool {
        !(self.absent && old.is_some()
            || self.present && old.is_none()
            || self.greater && old.is_none_or(|old| new <= old)
            || self.less && old.is_some_and(|old| new >= old))
    }
}

/// `base_ms` plus the argument in units of `unit_ms`.
fn set_deadline(call: &mut Call<'_, '_>, unit_ms: i64, base_ms: i64) -> Result<(), Error> {
    let key = call.args.take()?;
    let amount = call.args.take()?;
    let conditions = Conditions::parse(&mut call.args)?;
    let amount = crate::types::number::parse_i64(amount).ok_or(Error::NotInteger)?;
    let deadline = amount
        .checked_mul(unit_ms)
        .and_then(|ms| ms.checked_add(base_ms))
        .ok_or(Error::InvalidExpire(Cow::Borrowed(call.entry.spec.name)))?;
    let allowed = call.keys.update(key).is_some_and(|entry| conditions.allow(entry.deadline(), deadline));
    if allowed {
        if deadline <= call.keys.now_ms {
            if let Some(old) = call.keys.remove(key) {
                free_entry(old);
            }
            call.keys.notify(Class::GENERIC, "del", key);
            call.keys.propagate(&[call.keys.removal(), key]);
        } else {
            call.keys.set_deadline(key, Some(deadline));
            call.keys.notify(Class::GENERIC, "expire", key);
            if call.keys.is_logged() && (unit_ms, base_ms) != (1, 0) {
                let mut text = itoa::Buffer::new();
                let args = [b"PEXPIREAT".as_slice(), key, text.format(deadline).as_bytes()];
                let request = call.args.request();
                call.keys.propagate_many(request.len(), args.into_iter().chain(request.iter().skip(3)));
            }
        }
        call.keys.changed(1);
    }
    call.out.integer(allowed.into());
    Ok(())
}

pub const PERSIST: Command = Command {
    name: "persist",
    summary: "Lets a key live for ever.",
    since: "2.2.0",
    group: Group::Generic,
    complexity: "O(1)",
    arity: 2,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
    args: &[Arg::key("key", 0)],
    reply: "1 if the key had a deadline, 0 if not or if there is no such key",
    handler: Some(persist),
    ..Command::NEW
};

fn persist(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let had_deadline = call.keys.update(key).is_some_and(|entry| entry.deadline().is_some());
    if had_deadline {
        call.keys.set_deadline(key, None);
        call.keys.notify(Class::GENERIC, "persist", key);
        call.keys.changed(1);
    }
    call.out.integer(had_deadline.into());
    Ok(())
}

/// Fields that TTL and its forms share.
const GETTER: Command = Command {
    group: Group::Generic,
    complexity: "O(1)",
    arity: 2,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    args: &[Arg::key("key", 0)],
    reply: "the time; -1 if the key has no deadline, -2 if there is no such key",
    ..Command::NEW
};

const MISSING_SINCE: &[(&str, &str)] = &[("2.8.0", "The reply -2.")];

pub const TTL: Command = Command {
    name: "ttl",
    summary: "Returns how many seconds a key has left to live.",
    since: "1.0.0",
    tips: &["nondeterministic_output"],
    history: MISSING_SINCE,
    handler: Some(|call| reply_deadline(call, 1000, call.keys.now_ms)),
    ..GETTER
};

pub const PTTL: Command = Command {
    name: "pttl",
    summary: "Returns how many milliseconds a key has left to live.",
    since: "2.6.0",
    tips: &["nondeterministic_output"],
    history: MISSING_SINCE,
    handler: Some(|call| reply_deadline(call, 1, call.keys.now_ms)),
    ..GETTER
};

pub const EXPIRETIME: Command = Command {
    name: "expiretime",
    summary: "Returns the Unix time in seconds at which a key expires.",
    since: "7.0.0",
    handler: Some(|call| reply_deadline(call, 1000, 0)),
    ..GETTER
};

pub const PEXPIRETIME: Command = Command {
    name: "pexpiretime",
    summary: "Returns the Unix time in milliseconds at which a key expires.",
    since: "7.0.0",
    handler: Some(|call| reply_deadline(call, 1, 0)),
    ..GETTER
};

const NO_SUCH_KEY: i64 = -2;
const NO_DEADLINE: i64 = -1;

/// Replies with the deadline less `base_ms`, in units of `unit_ms`, rounded to the nearest.
fn reply_deadline(call: &mut Call<'_, '_>, unit_ms: i64, base_ms: i64) -> Result<(), Error> {
    let key = call.args.take()?;
    let reply = match call.keys.probe(key).map(|entry| entry.deadline()) {
        None => NO_SUCH_KEY,
        Some(None) => NO_DEADLINE,
        Some(Some(deadline)) => (deadline - base_ms).max(0).saturating_add(unit_ms / 2) / unit_ms,
    };
    call.out.integer(reply);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Conditions;

    #[test]
    fn no_deadline_is_later_than_all() {
        let none = Conditions::default();
        let nx = Conditions { absent: true, ..none };
        let xx = Conditions { present: true, ..none };
        let gt = Conditions { greater: true, ..none };
        let lt = Conditions { less: true, ..none };
        let allowed =
            |conditions: Conditions| [None, Some(4), Some(5), Some(6)].map(|old| conditions.allow(old, 5));
        assert_eq!(allowed(none), [true, true, true, true]);
        assert_eq!(allowed(nx), [true, false, false, false]);
        assert_eq!(allowed(xx), [false, true, true, true]);
        assert_eq!(allowed(gt), [false, true, false, false]);
        assert_eq!(allowed(lt), [true, false, false, true]);
        assert_eq!(allowed(Conditions { present: true, ..lt }), [false, false, false, true]);
    }
}
