//! Counting and searching bits: BITCOUNT and BITPOS.

use crate::command::args::Args;
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command, Flags, Group, KeyFlags, KeySpec};
use crate::command::string::string;
use crate::types::bits;
use std::ops::Range;

const KEYS: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))];
const UNIT: Arg =
    Arg::one_of("unit", &[Arg::word("byte", "BYTE"), Arg::word("bit", "BIT")]).optional().since("7.0.0");

/// What the positions of a range count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Byte,
    Bit,
}

impl Unit {
    fn next(args: &mut Args<'_>) -> Result<Unit, Error> {
        if args.skip_word("BIT") {
            Ok(Unit::Bit)
        } else if args.skip_word("BYTE") {
            Ok(Unit::Byte)
        } else {
            Err(Error::Syntax)
        }
    }

    /// The bits from `start` to `end` inclusive of a string of `len` bytes, where negative positions count from
    /// its end; a position before the first one means the first one. `None` if there are none.
    fn bits(self, start: i64, end: i64, len: usize) -> Option<Range<u64>> {
        let scale = if self == Unit::Bit { 1 } else { 8 };
        let units = len as i64 * 8 / scale;
        let absolute = |position: i64| if position < 0 { (units + position).max(0) } else { position };
        let (start, end) = (absolute(start), absolute(end).min(units - 1));
        (start <= end).then(|| (start * scale) as u64..((end + 1) * scale) as u64)
    }
}

pub const BITCOUNT: Command = Command {
    name: "bitcount",
    summary: "Counts the bits that are set in the string at a key, or in a part of it.",
    since: "2.6.0",
    group: Group::Bitmap,
    complexity: "O(N) in the length of the part.",
    arity: -2,
    flags: Flags::READONLY,
    keys: KEYS,
    args: &[
        Arg::key("key", 0),
        Arg::block("range", &[Arg::integer("start"), Arg::integer("end"), UNIT]).optional(),
    ],
    history: &[("7.0.0", "The options BYTE and BIT.")],
    reply: "the number of bits that are set",
    handler: Some(bitcount),
    ..Command::NEW
};

fn bitcount(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let (start, end, unit) = match call.args.left() {
        0 => (0, -1, Unit::Byte),
        2 => (call.args.next_i64()?, call.args.next_i64()?, Unit::Byte),
        3 => (call.args.next_i64()?, call.args.next_i64()?, Unit::next(&mut call.args)?),
        _ => return Err(Error::Syntax),
    };
    let count = match call.keys.get(key) {
        // Also where both are so far before the first bit that they would mean that bit.
        Some(entry) if start < 0 && end < 0 && start > end => string(entry).map(|_| 0)?,
        Some(entry) => string(entry)?
            .with(|bytes| unit.bits(start, end, bytes.len()).map_or(0, |range| bits::count(bytes, range))),
        None => 0,
    };
    call.out.integer(count as i64);
    Ok(())
}

pub const BITPOS: Command = Command {
    name: "bitpos",
    summary: "Finds the first bit that is set, or clear, in the string at a key or in a part of it.",
    since: "2.8.7",
    group: Group::Bitmap,
    complexity: "O(N) in the length of the part.",
    arity: -3,
    flags: Flags::READONLY,
    keys: KEYS,
    args: &[
        Arg::key("key", 0),
        Arg::integer("bit"),
        Arg::block(
            "range",
            &[Arg::integer("start"), Arg::block("end-unit-block", &[Arg::integer("end"), UNIT]).optional()],
        )
        .optional(),
    ],
    history: &[("7.0.0", "The options BYTE and BIT.")],
    reply: "the position of the bit; -1 if there is none, but a clear bit is found behind the end of the string \
            unless an end is given",
    handler: Some(bitpos),
    ..Command::NEW
};

fn bitpos(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let bit = match call.args.next_i64()? {
        0 => false,
        1 => true,
        _ => return Err(Error::line("ERR The bit argument must be 1 or 0.")),
    };
    let (mut start, mut end, mut unit) = (0, None, Unit::Byte);
    match call.args.left() {
        0 => {}
        1 => start = call.args.next_i64()?,
        2 => (start, end) = (call.args.next_i64()?, Some(call.args.next_i64()?)),
        3 => {
            start = call.args.next_i64()?;
            // A bad unit is complained about before a bad end.
            let end_at = call.args.position();
            call.args.take()?;
            unit = Unit::next(&mut call.args)?;
            call.args.seek(end_at);
            end = Some(call.args.next_i64()?);
        }
        _ => return Err(Error::Syntax),
    }
    let Some(entry) = call.keys.get(key) else {
        call.out.integer(if bit { -1 } else { 0 });
        return Ok(());
    };
    let found = string(entry)?.with(|bytes| {
        let range = unit.bits(start, end.unwrap_or(-1), bytes.len())?;
        let behind = (!bit && end.is_none()).then_some(range.end);
        bits::find(bytes, range, bit).or(behind)
    });
    call.out.integer(found.map_or(-1, |position| position as i64));
    Ok(())
}
