//! Values in a form that can be kept elsewhere and brought back: DUMP, RESTORE.

use super::free_entry;
use crate::command::args::Args;
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::serialize::{Limits, Problem, Saving, load};
use crate::command::spec::{Acl, Arg, Command, Flags, Group, KeyFlags, KeySpec};
use crate::keyspace::access::{Access, is_lfu};
use crate::keyspace::{Entry, NewValue};
use crate::rdb::payload;
use crate::rdb::source::{Slice, Source};
use crate::rdb::write::Writer;
use crate::types::events::Class;
use std::sync::atomic::Ordering::Relaxed;

pub const DUMP: Command = Command {
    name: "dump",
    summary: "Returns the value of a key in a serialized form, which RESTORE takes.",
    since: "2.6.0",
    group: Group::Generic,
    complexity: "O(N) in the bytes of the value.",
    arity: 2,
    flags: Flags::READONLY,
    acl: Acl::KEYSPACE,
    tips: &["nondeterministic_output"],
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    args: &[Arg::key("key", 0)],
    reply: "the serialized value, or null if there is no such key",
    handler: Some(dump),
    ..Command::NEW
};

fn dump(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let compress = call.server.config.rdbcompression();
    let now_ms = call.keys.now_ms;
    let found = call.keys.get(call.args.take()?).and_then(|entry| Saving::of(entry, now_ms));
    let Some(value) = found else {
        call.out.null();
        return Ok(());
    };
    let mut writer = Writer { out: vec![value.kind()], compress };
    value.write(&mut writer);
    let payload = payload::seal(writer.out, value.version());
    call.out.bulk_shared(&payload.into());
    Ok(())
}

pub const RESTORE: Command = Command {
    name: "restore",
    summary: "Creates a key from a value in the serialized form that DUMP returns.",
    since: "2.6.0",
    group: Group::Generic,
    complexity: "O(N) in the bytes of the value; O(N*log(N)) for sorted sets.",
    arity: -4,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    acl: Acl::KEYSPACE.union(Acl::DANGEROUS),
    keys: &[KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE))],
    args: &[
        Arg::key("key", 0),
        Arg::integer("ttl"),
        Arg::string("serialized-value"),
        Arg::word("replace", "REPLACE").optional().since("3.0.0"),
        Arg::word("absttl", "ABSTTL").optional().since("5.0.0"),
        Arg::integer("seconds").token("IDLETIME").optional().since("5.0.0"),
        Arg::integer("frequency").token("FREQ").optional().since("5.0.0"),
    ],
    history: &[
        ("3.0.0", "The option REPLACE."),
        ("5.0.0", "The option ABSTTL."),
        ("5.0.0", "The options IDLETIME and FREQ."),
    ],
    reply: "OK",
    handler: Some(restore),
    ..Command::NEW
};

/// What RESTORE is told beside key, time to live and value.
#[derive(Default)]
struct Options {
    replace: bool,
    is_absolute: bool,
    idle_seconds: Option<u32>,
    frequency: Option<u8>,
}

impl Options {
    fn parse(args: &mut Args<'_>) -> Result<Options, Error> {
        const BAD_IDLE: Error = Error::line("ERR Invalid IDLETIME value, must be >= 0");
        const BAD_FREQUENCY: Error = Error::line("ERR Invalid FREQ value, must be >= 0 and <= 255");
        let mut options = Options::default();
        while !args.is_done() {
            // Each of the last two excludes the other, and is no option without its argument.
            let has_more = args.left() > 1;
            if args.skip_word("REPLACE") {
                options.replace = true;
            } else if args.skip_word("ABSTTL") {
                options.is_absolute = true;
            } else if has_more && options.frequency.is_none() && args.skip_word("IDLETIME") {
                let seconds = args.next_i64_in(0..=i64::MAX, BAD_IDLE)?;
                options.idle_seconds = Some(u32::try_from(seconds).unwrap_or(u32::MAX));
            } else if has_more && options.idle_seconds.is_none() && args.skip_word("FREQ") {
                options.frequency = Some(args.next_i64_in(0..=u8::MAX.into(), BAD_FREQUENCY)? as u8);
            } else {
                return Err(Error::Syntax);
            }
        }
        Ok(options)
    }

    /// The access record of the new key; what is said for the other kind of policy counts for nothing.
    fn access(&self, now_ms: i64) -> Access {
        match (self.idle_seconds, self.frequency) {
            (Some(seconds), _) if !is_lfu() => Access::idle(now_ms, seconds),
            (_, Some(frequency)) if is_lfu() => Access::frequent(now_ms, frequency),
            _ => Access::created(now_ms),
        }
    }
}

fn restore(call: &mut Call<'_, '_>) -> Result<(), Error> {
    const BAD_TTL: Error = Error::line("ERR Invalid TTL value, must be >= 0");
    let key = call.args.take()?;
    let mut ttl = call.args;
    call.args.take()?;
    let payload = call.args.take()?;
    let options = Options::parse(&mut call.args)?;
    if !options.replace && call.keys.peek(key).is_some() {
        return Err(Error::BusyKey);
    }
    let ttl_ms = ttl.next_i64_in(0..=i64::MAX, BAD_TTL)?;
    let value = open(call, payload)?;
    let now_ms = call.keys.now_ms;
    let deadline_ms = match ttl_ms {
        0 => None,
        deadline_ms if options.is_absolute => Some(deadline_ms),
        ttl_ms => Some(call.keys.clock_ms().saturating_add(ttl_ms)),
    };
    let access = options.access(now_ms);
    let entry = value.store(|value| Entry::new(key, value, deadline_ms, access));
    // The key's time is over, or that of all fields of a hash.
    let is_expired =
        deadline_ms.is_some_and(|deadline| deadline <= now_ms) || Saving::of(&entry, now_ms).is_none();
    let restored = entry.value_type();
    let old = if is_expired {
        free_entry(entry);
        call.keys.remove(key)
    } else {
        call.keys.insert_in(call.keys.db, entry)
    };
    if !is_expired {
        call.keys.notify(Class::GENERIC, "restore", key);
        call.keys.changed(1);
        if let Some(deadline) = deadline_ms.filter(|_| !options.is_absolute && call.keys.is_logged()) {
            let mut text = itoa::Buffer::new();
            let request = call.args.request();
            let args = [b"RESTORE".as_slice(), key, text.format(deadline).as_bytes()].into_iter();
            let args = args.chain(request.iter().skip(3)).chain([b"ABSTTL".as_slice()]);
            call.keys.propagate_many(request.len() + 1, args);
        }
    } else if old.is_some() {
        call.keys.notify(Class::GENERIC, "del", key);
        call.keys.changed(1);
        call.keys.propagate(&[b"DEL", key]);
    }
    if let Some(old) = old {
        if !is_expired {
            call.keys.overwritten(call.keys.db, key, old.value_type(), restored);
        }
        free_entry(old);
    }
    call.out.ok();
    Ok(())
}

/// The value in a payload.
fn open(call: &Call<'_, '_>, payload: &[u8]) -> Result<NewValue, Error> {
    let ignore_checksum = call.server.switches.checksums_ignored.load(Relaxed);
    let body = payload::open(payload, ignore_checksum).ok_or(Error::DumpEnvelope)?;
    call.server.counters.worker(call.session.client.worker).totals.values_checked.add(1);
    let mut source = Slice::new(body);
    let loaded = source.byte().map_err(Problem::from).and_then(|kind| {
        let value = load(kind, &mut source, Limits::of(&call.server.config))?;
        if source.is_done() { Ok(value) } else { Err(source.corrupt("bytes behind the value").into()) }
    });
    loaded.map_err(|problem| {
        if let Problem::Corrupt(corrupt) = problem {
            tracing::warn!("RESTORE of a damaged value: {corrupt}");
        }
        Error::DumpFormat
    })
}
