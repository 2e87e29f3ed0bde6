//! Commands on HyperLogLogs, which are strings of a special form (see [`types::hyperloglog`](hyperloglog)).
//!
//! They change registers in place; a sparse sketch, whose bytes move when it changes, is changed as a copy of its few
//! kilobytes and then written back.

mod debug;

use super::call::Call;
use super::errors::Error;
use super::spec::{Arg, Command, Flags, Group, KeyFlags, KeySpec};
use super::string::string;
use crate::keyspace::{Deadline, Entry, StringRef, Value};
use crate::types::events::Class;
use crate::types::hyperloglog::{self, Corrupt, Encoding, Registers};
use std::sync::atomic::Ordering;

pub const COMMANDS: &[Command] = &[PFADD, PFCOUNT, debug::PFDEBUG, PFMERGE, debug::PFSELFTEST];

const CORRUPT: Error = Error::line("INVALIDOBJ Corrupted HLL object detected");

impl From<Corrupt> for Error {
    fn from(_: Corrupt) -> Error {
        CORRUPT
    }
}

/// The bytes of a value that has to be a sketch, and how they are to be read.
fn sketch(entry: &Entry) -> Result<(&[u8], Encoding), Error> {
    let bytes: &[u8] = match string(entry)? {
        StringRef::Inline(bytes) => bytes,
        StringRef::Shared(bytes) => bytes,
        StringRef::Int(_) => b"",
    };
    let encoding = hyperloglog::encoding(bytes);
    encoding
        .map(|encoding| (bytes, encoding))
        .ok_or(Error::line("WRONGTYPE Key is not a valid HyperLogLog string value."))
}

/// The longest that a sparse sketch may become.
fn max_sparse_bytes(call: &Call<'_, '_>) -> usize {
    usize::try_from(call.server.config.hll_sparse_max_bytes()).unwrap_or(usize::MAX)
}

/// Registers to merge sketches in.
fn registers(call: &Call<'_, '_>) -> Registers {
    Registers::new(call.server.switches.hyperloglog_vectors.load(Ordering::Relaxed))
}

/// The sketch at a key, to be changed; a new one if there is none, and whether it is new.
fn sketch_or_new<'a>(call: &'a mut Call<'_, '_>, key: &[u8]) -> Result<(&'a mut Entry, bool), Error> {
    let is_new = call.keys.update(key).is_none();
    if is_new {
        call.keys.set(key, Value::Bytes(&hyperloglog::empty()), Deadline::Clear);
    }
    let entry = call.keys.update(key).expect("there is a value by now");
    sketch(entry)?;
    if is_new {
        entry.mark_raw();
    }
    Ok((entry, is_new))
}

pub const PFADD: Command = Command {
    name: "pfadd",
    summary: "Adds elements to a HyperLogLog, which is created if there is none.",
    since: "2.8.9",
    group: Group::HyperLogLog,
    complexity: "O(1) for each element.",
    arity: -2,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT))],
    args: &[Arg::key("key", 0), Arg::string("element").optional().multiple()],
    reply: "1 if the estimate may have changed, or the key was created, otherwise 0",
    handler: Some(pfadd),
    ..Command::NEW
};

fn pfadd(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let elements = call.args;
    let max_sparse_bytes = max_sparse_bytes(call);
    let (entry, is_new) = sketch_or_new(call, key)?;
    let mut changes = u64::from(is_new);
    let places = elements.rest().map(hyperloglog::place);
    let outcome = match sketch(entry)? {
        (_, Encoding::Dense) => {
            let raised = |bytes: &mut [u8]| {
                places.filter(|(register, rank)| hyperloglog::raise_dense(bytes, *register, *rank)).count()
            };
            changes += entry.edit(0, raised) as u64;
            Ok(())
        }
        (bytes, Encoding::Sparse) => {
            let mut bytes = bytes.to_vec();
            let mut outcome = Ok(());
            for (register, rank) in places {
                match hyperloglog::raise(&mut bytes, register, rank, max_sparse_bytes) {
                    Ok(raised) => changes += u64::from(raised),
                    Err(corrupt) => {
                        // What came before stays, as in Redis.
                        outcome = Err(corrupt);
                        break;
                    }
                }
            }
            if changes > 0 {
                entry.rewrite(&bytes);
            }
            outcome
        }
    };
    outcome?;
    if changes > 0 {
        entry.edit(0, hyperloglog::mark_stale);
        call.keys.notify(Class::STRING, "pfadd", key);
    }
    call.keys.changed(changes);
    call.out.integer((changes > 0).into());
    Ok(())
}

pub const PFCOUNT: Command = Command {
    name: "pfcount",
    summary: "Estimates how many different elements were added to some HyperLogLogs.",
    since: "2.8.9",
    group: Group::HyperLogLog,
    complexity: "O(1) for one key that has not changed since it was last counted, otherwise O(N) in the number of \
                 keys, with a large constant.",
    arity: -2,
    flags: Flags::READONLY.union(Flags::MAY_REPLICATE).union(Flags::NOTES),
    keys: &[KeySpec {
        notes: "The estimate is noted within the value of a single key.",
        ..KeySpec::range(1, -1, 1, KeyFlags::RW.union(KeyFlags::ACCESS))
    }],
    args: &[Arg::key("key", 0).multiple()],
    reply: "the estimate for the union",
    handler: Some(pfcount),
    ..Command::NEW
};

fn is_uncounted(entry: &Entry) -> bool {
    sketch(entry).is_ok_and(|(bytes, _)| hyperloglog::noted_cardinality(bytes).is_none())
}

fn pfcount(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let cardinality = if call.args.left() == 1 {
        let key = call.args.take()?;
        // Many may count at once what has been counted before; a new estimate is for one to note.
        if !call.keys.may_change(key) && call.keys.peek(key).is_some_and(is_uncounted) {
            return Err(Error::NeedsExclusive);
        }
        let Some(entry) = call.keys.get(key) else {
            call.out.integer(0);
            return Ok(());
        };
        let (bytes, _) = sketch(entry)?;
        match hyperloglog::noted_cardinality(bytes) {
            Some(noted) => noted,
            None => {
                let cardinality = hyperloglog::cardinality(bytes)?;
                if let Some(entry) = call.keys.update(key) {
                    entry.edit(0, |bytes| hyperloglog::note_cardinality(bytes, cardinality));
                }
                call.keys.modified(key);
                call.keys.changed(1);
                cardinality
            }
        }
    } else {
        let mut union = registers(call);
        for key in call.args.rest() {
            if let Some(entry) = call.keys.get(key) {
                union.merge(sketch(entry)?.0)?;
            }
        }
        union.cardinality()
    };
    call.out.integer(cardinality as i64);
    Ok(())
}

const MERGED: KeyFlags = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::INSERT);
const READ: KeyFlags = KeyFlags::RO.union(KeyFlags::ACCESS);

pub const PFMERGE: Command = Command {
    name: "pfmerge",
    summary: "Merges HyperLogLogs into one, which is created if there is none.",
    since: "2.8.9",
    group: Group::HyperLogLog,
    complexity: "O(N) in the number of keys, with a large constant.",
    arity: -2,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: &[KeySpec::one(1, MERGED), KeySpec::range(2, -1, 1, READ)],
    // There need not be any keys of the second kind.
    find_keys: Some(|request, visit| {
        (1..request.len()).for_each(|at| visit(at, if at == 1 { MERGED } else { READ }));
    }),
    args: &[Arg::key("destkey", 0), Arg::key("sourcekey", 1).optional().multiple()],
    reply: "OK",
    handler: Some(pfmerge),
    ..Command::NEW
};

fn pfmerge(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let mut union = registers(call);
    let mut any_dense = false;
    for key in call.args.rest() {
        if let Some(entry) = call.keys.get(key) {
            let (bytes, encoding) = sketch(entry)?;
            any_dense |= encoding == Encoding::Dense;
            union.merge(bytes)?;
        }
    }
    let key = call.args.take()?;
    let max_sparse_bytes = max_sparse_bytes(call);
    let (entry, _) = sketch_or_new(call, key)?;
    let mut bytes = sketch(entry)?.0.to_vec();
    if any_dense {
        bytes = hyperloglog::to_dense(&bytes)?;
    } else {
        // Register by register, since the bytes that Redis makes depend on the order.
        for (register, rank) in union.iter().enumerate().filter(|(_, rank)| *rank > 0) {
            hyperloglog::raise(&mut bytes, register, rank, max_sparse_bytes)?;
        }
    }
    if hyperloglog::encoding(&bytes) == Some(Encoding::Dense) {
        union.write_dense(&mut bytes);
    }
    hyperloglog::mark_stale(&mut bytes);
    entry.rewrite(&bytes);
    // Redis's name for it, too.
    call.keys.notify(Class::STRING, "pfadd", key);
    call.keys.changed(1);
    call.out.ok();
    Ok(())
}
