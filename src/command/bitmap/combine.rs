//! Whole strings combined bit by bit: BITOP.

use crate::command::args::Args;
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::generic::free_entry;
use crate::command::spec::{Arg, Command, Flags, Group, KeyFlags, KeySpec};
use crate::command::string::string;
use crate::keyspace::{Deadline, StringRef, Value};
use crate::types::bits::{self, Operation};
use bytes::Bytes;
use smallvec::SmallVec;
use std::borrow::Cow;

/// The names of the operations.
const OPERATIONS: [(&str, Operation); 8] = [
    ("AND", Operation::And),
    ("OR", Operation::Or),
    ("XOR", Operation::Xor),
    ("NOT", Operation::Not),
    ("DIFF", Operation::Diff),
    ("DIFF1", Operation::Diff1),
    ("ANDOR", Operation::AndOr),
    ("ONE", Operation::One),
];

pub const BITOP: Command = Command {
    name: "bitop",
    summary: "Combines the strings at some keys bit by bit and stores the result.",
    since: "2.6.0",
    group: Group::Bitmap,
    complexity: "O(N) in the sum of the lengths of the strings.",
    arity: -4,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: &[
        KeySpec::one(2, KeyFlags::OW.union(KeyFlags::UPDATE)),
        KeySpec::range(3, -1, 1, KeyFlags::RO.union(KeyFlags::ACCESS)),
    ],
    args: &[
        Arg::one_of(
            "operation",
            &[
                Arg::word("and", "AND"),
                Arg::word("or", "OR"),
                Arg::word("xor", "XOR"),
                Arg::word("not", "NOT"),
                Arg::word("diff", "DIFF"),
                Arg::word("diff1", "DIFF1"),
                Arg::word("andor", "ANDOR"),
                Arg::word("one", "ONE"),
            ],
        ),
        Arg::key("destkey", 0),
        Arg::key("key", 1).multiple(),
    ],
    history: &[("8.2.0", "The operations DIFF, DIFF1, ANDOR and ONE.")],
    reply: "the length of the result, which is that of the longest string",
    handler: Some(bitop),
    ..Command::NEW
};

/// Reads an operation, and looks whether it is given as many sources as it needs.
fn operation(args: &mut Args<'_>) -> Result<Operation, Error> {
    let found = OPERATIONS.iter().find(|(name, _)| args.skip_word(name));
    let (name, operation) = found.ok_or(Error::Syntax)?;
    let sources = args.left() - 1;
    match operation {
        Operation::Not if sources != 1 => {
            Err(Error::line("ERR BITOP NOT must be called with a single source key."))
        }
        Operation::Diff | Operation::Diff1 | Operation::AndOr if sources < 2 => {
            Err(Error::err(format_args!("BITOP {name} must be called with at least two source keys.")))
        }
        _ => Ok(*operation),
    }
}

/// The result of the operation on the keys that are left.
fn result(call: &Call<'_, '_>, operation: Operation) -> Result<Vec<u8>, Error> {
    let mut values: SmallVec<[Cow<'_, [u8]>; 4]> = SmallVec::new();
    for key in call.args.rest() {
        values.push(match call.keys.get(key).map(string).transpose()? {
            None => Cow::Borrowed(b""),
            Some(StringRef::Inline(bytes)) => Cow::Borrowed(bytes),
            Some(StringRef::Shared(bytes)) => Cow::Borrowed(bytes),
            Some(number) => Cow::Owned(number.with(<[u8]>::to_vec)),
        });
    }
    let sources: SmallVec<[&[u8]; 4]> = values.iter().map(|value| &**value).collect();
    Ok(bits::combine(operation, &sources))
}

fn bitop(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let operation = operation(&mut call.args)?;
    let destination = call.args.take()?;
    let result = result(call, operation)?;
    let len = result.len();
    if len > 0 {
        call.keys.set(destination, Value::Shared(Bytes::from(result)), Deadline::Clear);
        if let Some(entry) = call.keys.update(destination) {
            entry.mark_raw();
        }
        call.keys.changed(1);
    } else if let Some(entry) = call.keys.remove(destination) {
        free_entry(entry);
        call.keys.changed(1);
    }
    call.out.integer(len as i64);
    Ok(())
}
