//! Deadlines of fields: HEXPIRE and its forms set them, HTTL and its forms tell them, HPERSIST removes them.

use super::deadline::{FIELDS, fields, parse};
use super::value::{HashMut, Limits, check_type, edit, notify_if_gone, read};
use crate::command::args::Args;
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command, Flags, Group, KeyFlags, KeySpec};
use crate::types::events::Class;

/// What the four forms of HEXPIRE have in common.
const SETTER: Command = Command {
    since: "7.4.0",
    group: Group::Hash,
    complexity: "O(N) in the number of fields named.",
    arity: -6,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
    reply: "array of integers: 1 if the deadline was set, 2 if it has passed and the field was deleted, 0 if the \
            condition forbids it, -2 if there is no such field",
    ..Command::NEW
};

const CONDITION: Arg = Arg::one_of(
    "condition",
    &[Arg::word("nx", "NX"), Arg::word("xx", "XX"), Arg::word("gt", "GT"), Arg::word("lt", "LT")],
)
.optional();

pub const HEXPIRE: Command = Command {
    name: "hexpire",
    summary: "Lets fields of a hash expire after a number of seconds.",
    args: &[Arg::key("key", 0), Arg::integer("seconds"), CONDITION, FIELDS],
    handler: Some(|call| set_deadlines(call, 1000, call.keys.clock_ms())),
    ..SETTER
};

pub const HPEXPIRE: Command = Command {
    name: "hpexpire",
    summary: "Lets fields of a hash expire after a number of milliseconds.",
    args: &[Arg::key("key", 0), Arg::integer("milliseconds"), CONDITION, FIELDS],
    handler: Some(|call| set_deadlines(call, 1, call.keys.clock_ms())),
    ..SETTER
};

pub const HEXPIREAT: Command = Command {
    name: "hexpireat",
    summary: "Lets fields of a hash expire at a Unix time in seconds.",
    args: &[Arg::key("key", 0), Arg::unix_time("unix-time-seconds"), CONDITION, FIELDS],
    handler: Some(|call| set_deadlines(call, 1000, 0)),
    ..SETTER
};

pub const HPEXPIREAT: Command = Command {
    name: "hpexpireat",
    summary: "Lets fields of a hash expire at a Unix time in milliseconds.",
    args: &[Arg::key("key", 0), Arg::unix_time("unix-time-milliseconds"), CONDITION, FIELDS],
    handler: Some(|call| set_deadlines(call, 1, 0)),
    ..SETTER
};

/// On which deadline the field must have for the new one to take effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Condition {
    Always,
    Absent,
    Present,
    Greater,
    Less,
}

impl Condition {
    fn parse(args: &mut Args<'_>) -> Condition {
        const WORDS: [(&str, Condition); 4] = [
            ("NX", Condition::Absent),
            ("XX", Condition::Present),
            ("GT", Condition::Greater),
            ("LT", Condition::Less),
        ];
        let found = WORDS.into_iter().find(|(word, _)| args.skip_word(word));
        found.map_or(Condition::Always, |(_, condition)| condition)
    }

    /// A field without a deadline counts as one that lives for ever.
    fn allows(self, old: Option<i64>, new: i64) -> bool {
        match self {
            Condition::Always => true,
            Condition::Absent => old.is_none(),
            Condition::Present => old.is_some(),
            Condition::Greater => old.is_some_and(|old| new > old),
            Condition::Less => old.is_none_or(|old| new < old),
        }
    }
}

/// What became of a field, as the reply says it.
const NO_SUCH_FIELD: i64 = -2;
const NO_DEADLINE: i64 = -1;
const FORBIDDEN: i64 = 0;
const DONE: i64 = 1;
const DELETED: i64 = 2;

/// Replies the same for each of so many fields.
fn reply_each(call: &mut Call<'_, '_>, count: usize, reply: i64) {
    call.out.array(count);
    (0..count).for_each(|_| call.out.integer(reply));
}

fn set_deadline(
    hash: &mut HashMut<'_>,
    name: &[u8],
    deadline: i64,
    condition: Condition,
    now_ms: i64,
) -> i64 {
    match hash.read().deadline(name) {
        None => NO_SUCH_FIELD,
        Some(old) if !condition.allows(old, deadline) => FORBIDDEN,
        Some(_) if deadline <= now_ms => {
            hash.remove(name);
            DELETED
        }
        Some(_) => {
            hash.set_deadline(name, Some(deadline));
            DONE
        }
    }
}

/// `base_ms` plus the argument in units of `unit_ms`.
fn set_deadlines(call: &mut Call<'_, '_>, unit_ms: i64, base_ms: i64) -> Result<(), Error> {
    let key = call.args.take()?;
    check_type(call.keys, key)?;
    let deadline = parse(call.args.take()?, unit_ms, base_ms, call.entry.spec.name)?;
    let condition = Condition::parse(&mut call.args);
    let count = fields(&mut call.args, Error::FieldExpireCount)?;
    let (names, now_ms) = (call.args, call.keys.now_ms);
    let (mut changed, mut deleted) = (0, Vec::new());
    let known = edit(call.keys, key, Limits::of(call.server), |hash| {
        hash.make_timed();
        call.out.array(count);
        for name in names.rest() {
            let outcome = set_deadline(hash, name, deadline, condition, now_ms);
            changed += (outcome == DONE || outcome == DELETED) as u64;
            if outcome == DELETED {
                deleted.push(name);
            }
            call.out.integer(outcome);
        }
        Ok(())
    })?;
    if known.is_none() {
        reply_each(call, count, NO_SUCH_FIELD);
    }
    call.keys.fields_expired(deleted.len());
    if changed > 0 {
        // All fields get the same deadline, which either has passed or not.
        call.keys.notify(Class::HASH, if deleted.is_empty() { "hexpire" } else { "hdel" }, key);
        if !deleted.is_empty() {
            let args = [b"HDEL".as_slice(), key].into_iter().chain(deleted.iter().copied());
            call.keys.propagate_many(2 + deleted.len(), args);
        } else if call.keys.is_logged() && (unit_ms, base_ms) != (1, 0) {
            let mut text = itoa::Buffer::new();
            let args = [b"HPEXPIREAT".as_slice(), key, text.format(deadline).as_bytes()];
            let request = call.args.request();
            call.keys.propagate_many(request.len(), args.into_iter().chain(request.iter().skip(3)));
        }
        notify_if_gone(call.keys, key);
    }
    call.keys.changed(changed);
    Ok(())
}

pub const HPERSIST: Command = Command {
    name: "hpersist",
    summary: "Lets fields of a hash live for ever.",
    arity: -5,
    args: &[Arg::key("key", 0), FIELDS],
    reply: "array of integers: 1 if the field had a deadline, -1 if not, -2 if there is no such field",
    handler: Some(persist),
    ..SETTER
};

fn persist(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    check_type(call.keys, key)?;
    let count = fields(&mut call.args, Error::FieldCount)?;
    let (names, mut changed) = (call.args, false);
    let known = edit(call.keys, key, Limits::of(call.server), |hash| {
        call.out.array(count);
        for name in names.rest() {
            call.out.integer(match hash.read().deadline(name) {
                None => NO_SUCH_FIELD,
                Some(None) => NO_DEADLINE,
                Some(Some(_)) => {
                    hash.set_deadline(name, None);
                    changed = true;
                    DONE
                }
            });
        }
        Ok(())
    })?;
    if known.is_none() {
        reply_each(call, count, NO_SUCH_FIELD);
    }
    if changed {
        call.keys.notify(Class::HASH, "hpersist", key);
        call.keys.changed(1);
    }
    Ok(())
}

/// What HTTL and its forms have in common.
const GETTER: Command = Command {
    since: "7.4.0",
    group: Group::Hash,
    complexity: "O(N) in the number of fields named.",
    arity: -5,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    args: &[Arg::key("key", 0), FIELDS],
    reply: "array of times: -1 if the field has no deadline, -2 if there is no such field",
    ..Command::NEW
};

pub const HTTL: Command = Command {
    name: "httl",
    summary: "Returns how many seconds fields of a hash have left to live.",
    tips: &["nondeterministic_output"],
    handler: Some(|call| reply_deadlines(call, 1000, call.keys.now_ms)),
    ..GETTER
};

pub const HPTTL: Command = Command {
    name: "hpttl",
    summary: "Returns how many milliseconds fields of a hash have left to live.",
    tips: &["nondeterministic_output"],
    handler: Some(|call| reply_deadlines(call, 1, call.keys.now_ms)),
    ..GETTER
};

pub const HEXPIRETIME: Command = Command {
    name: "hexpiretime",
    summary: "Returns the Unix times in seconds at which fields of a hash expire.",
    handler: Some(|call| reply_deadlines(call, 1000, 0)),
    ..GETTER
};

pub const HPEXPIRETIME: Command = Command {
    name: "hpexpiretime",
    summary: "Returns the Unix times in milliseconds at which fields of a hash expire.",
    handler: Some(|call| reply_deadlines(call, 1, 0)),
    ..GETTER
};

/// Replies with the deadlines less `base_ms`, in units of `unit_ms`, rounded up.
fn reply_deadlines(call: &mut Call<'_, '_>, unit_ms: i64, base_ms: i64) -> Result<(), Error> {
    let key = call.args.take()?;
    let hash = read(call.keys, key)?;
    let count = fields(&mut call.args, Error::FieldCount)?;
    call.out.array(count);
    for name in call.args.rest() {
        call.out.integer(match hash.and_then(|hash| hash.deadline(name)) {
            None => NO_SUCH_FIELD,
            Some(None) => NO_DEADLINE,
            Some(Some(deadline)) => (deadline - base_ms + unit_ms - 1) / unit_ms,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Condition;

    #[test]
    fn no_deadline_is_later_than_all() {
        let allowed =
            |condition: Condition| [None, Some(4), Some(5), Some(6)].map(|old| condition.allows(old, 5));
        assert_eq!(allowed(Condition::Always), [true, true, true, true]);
        assert_eq!(allowed(Condition::Absent), [true, false, false, false]);
        assert_eq!(allowed(Condition::Present), [false, true, true, true]);
        assert_eq!(allowed(Condition::Greater), [false, true, false, false]);
        assert_eq!(allowed(Condition::Less), [true, false, false, true]);
    }
}
