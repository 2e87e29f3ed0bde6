//! Fields of bits as integers: BITFIELD and BITFIELD_RO.

use super::{offset, scaled_offset};
use crate::command::args::Args;
use crate::command::call::Call;
use crate::command::errors::{Error, echo};
use crate::command::spec::{Arg, Command, Flags, Group, KeyFlags, KeySpec};
use crate::command::string::string;
use crate::keyspace::Value;
use crate::resp::reply::Reply;
use crate::resp::scan::Request;
use crate::state::Server;
use crate::types::bits::{Field, Overflow};
use crate::types::number;

const READS: KeyFlags = KeyFlags::RO.union(KeyFlags::ACCESS);
const WRITES: KeyFlags = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE);

const ENCODING: Arg = Arg::string("encoding");
const OFFSET: Arg = Arg::integer("offset");

pub const BITFIELD: Command = Command {
    name: "bitfield",
    summary: "Reads and changes integers of any width within the string at a key.",
    since: "3.2.0",
    group: Group::Bitmap,
    complexity: "O(1) for each operation, if the string need not grow.",
    arity: -2,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: &[KeySpec {
        notes: "The key is only read if there are no other operations than GET.",
        ..KeySpec::one(1, WRITES.union(KeyFlags::VARIABLE_FLAGS))
    }],
    find_keys: Some(bitfield_key),
    args: &[
        Arg::key("key", 0),
        Arg::one_of(
            "operation",
            &[
                Arg::block("get-block", &[ENCODING, OFFSET]).token("GET"),
                Arg::block(
                    "write",
                    &[
                        Arg::one_of(
                            "overflow-block",
                            &[Arg::word("wrap", "WRAP"), Arg::word("sat", "SAT"), Arg::word("fail", "FAIL")],
                        )
                        .token("OVERFLOW")
                        .optional(),
                        Arg::one_of(
                            "write-operation",
                            &[
                                Arg::block("set-block", &[ENCODING, OFFSET, Arg::integer("value")])
                                    .token("SET"),
                                Arg::block("incrby-block", &[ENCODING, OFFSET, Arg::integer("increment")])
                                    .token("INCRBY"),
                            ],
                        ),
                    ],
                ),
            ],
        )
        .optional()
        .multiple(),
    ],
    reply: "array with the result of each operation: the value read, the value before (SET), the new value \
            (INCRBY), or null if it did not fit (OVERFLOW FAIL)",
    handler: Some(bitfield),
    ..Command::NEW
};

pub const BITFIELD_RO: Command = Command {
    name: "bitfield_ro",
    summary: "Reads integers of any width within the string at a key.",
    since: "6.0.0",
    flags: Flags::READONLY.union(Flags::FAST),
    keys: &[KeySpec::one(1, READS)],
    find_keys: None,
    args: &[
        Arg::key("key", 0),
        Arg::block("get-block", &[ENCODING, OFFSET]).token("GET").optional().multiple_token(),
    ],
    reply: "array of the values",
    handler: Some(bitfield_ro),
    ..BITFIELD
};

/// The key is only read if all that the request asks for is GET.
fn bitfield_key(request: Request<'_>, visit: &mut dyn FnMut(usize, KeyFlags)) {
    let mut args = Args::new(request, 2);
    let mut reads = true;
    while let (true, Some(name)) = (reads, args.peek()) {
        let operands = match name.to_ascii_uppercase().as_slice() {
            b"GET" => 2,
            b"OVERFLOW" => 1,
            _ => usize::MAX,
        };
        reads = args.left() > operands;
        if reads {
            args.seek(args.position() + 1 + operands);
        }
    }
    visit(1, if reads { READS } else { WRITES });
}

/// One operation.
struct Step {
    field: Field,
    /// The position of the field's first bit.
    at: u64,
    action: Action,
}

enum Action {
    Get,
    Set(i64, Overflow),
    Add(i64, Overflow),
}

impl Step {
    fn parse_all(args: &mut Args<'_>, server: &Server) -> Result<Vec<Step>, Error> {
        let mut steps = Vec::new();
        let mut overflow = Overflow::Wrap;
        while !args.is_done() {
            let operands = args.left() - 1;
            let name = args.take()?;
            let is =
                |word: &str, least: usize| operands >= least && name.eq_ignore_ascii_case(word.as_bytes());
            let (gets, sets) = (is("GET", 2), is("SET", 3));
            if !gets && !sets && !is("INCRBY", 3) {
                if !is("OVERFLOW", 1) {
                    return Err(Error::Syntax);
                }
                overflow = next_overflow(args)?;
                continue;
            }
            let field = parse_field(args.take()?)?;
            let at = match args.take()? {
                [b'#', fields @ ..] => scaled_offset(fields, field.bits(), server)?,
                bits => offset(bits, server)?,
            };
            let action = match (gets, sets) {
                (true, _) => Action::Get,
                (_, true) => Action::Set(args.next_i64()?, overflow),
                _ => Action::Add(args.next_i64()?, overflow),
            };
            steps.push(Step { field, at, action });
        }
        Ok(steps)
    }

    /// How long a string has to be for the step to write to it; 0 if it only reads.
    fn needed_bytes(&self) -> usize {
        match self.action {
            Action::Get => 0,
            _ => ((self.at + u64::from(self.field.bits()) - 1) / 8 + 1) as usize,
        }
    }

    /// Runs the step on bytes that are long enough, and replies. Says whether that was a change, which every
    /// write is to a string that has grown for it.
    fn run(&self, bytes: &mut [u8], has_grown: bool, out: &mut Reply) -> bool {
        let Step { field, at, action } = self;
        let old = field.read(bytes, *at);
        let (new, returns_old) = match *action {
            Action::Get => {
                out.integer(old);
                return false;
            }
            Action::Set(value, overflow) => (field.fit_given(value, overflow), true),
            Action::Add(increment, overflow) => {
                (field.fit(i128::from(old) + i128::from(increment), overflow), false)
            }
        };
        let Some(new) = new else {
            out.null();
            return false;
        };
        field.write(bytes, *at, new);
        out.integer(if returns_old { old } else { new });
        has_grown || new != old
    }
}

fn next_overflow(args: &mut Args<'_>) -> Result<Overflow, Error> {
    if args.skip_word("WRAP") {
        Ok(Overflow::Wrap)
    } else if args.skip_word("SAT") {
        Ok(Overflow::Saturate)
    } else if args.skip_word("FAIL") {
        Ok(Overflow::Fail)
    } else {
        Err(Error::line("ERR Invalid OVERFLOW type specified"))
    }
}

/// Reads the kind of a field: `i16`, `u8`.
fn parse_field(text: &[u8]) -> Result<Field, Error> {
    let (is_signed, bits) = match echo(text, usize::MAX) {
        [b'i', bits @ ..] => (true, bits),
        [b'u', bits @ ..] => (false, bits),
        _ => (false, &b""[..]),
    };
    let bits = number::parse_i64(bits).and_then(|bits| u32::try_from(bits).ok());
    bits.and_then(|bits| Field::new(is_signed, bits)).ok_or(Error::line(
        "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
    ))
}

fn bitfield(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let steps = Step::parse_all(&mut call.args, call.server)?;
    let len = steps.iter().map(Step::needed_bytes).max().unwrap_or(0);
    if len == 0 {
        return read(call, key, &steps);
    }
    let entry = call.keys.update_or_create(key, Value::Bytes(b""));
    let grows = string(entry)?.len() < len;
    call.out.array(steps.len());
    let out = &mut *call.out;
    let changes = entry.edit(len, |bytes| {
        let mut changes = 0;
        for step in &steps {
            changes += u64::from(step.run(bytes, grows, out));
        }
        changes
    });
    call.keys.changed(changes);
    Ok(())
}

fn bitfield_ro(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let steps = Step::parse_all(&mut call.args, call.server)?;
    if steps.iter().any(|step| step.needed_bytes() > 0) {
        return Err(Error::line("ERR BITFIELD_RO only supports the GET subcommand"));
    }
    read(call, key, &steps)
}

/// Replies with the values of fields.
fn read(call: &mut Call<'_, '_>, key: &[u8], steps: &[Step]) -> Result<(), Error> {
    let value = call.keys.get(key).map(string).transpose()?;
    call.out.array(steps.len());
    for step in steps {
        let read = |bytes: &[u8]| step.field.read(bytes, step.at);
        call.out.integer(value.map_or(0, |value| value.with(read)));
    }
    Ok(())
}
