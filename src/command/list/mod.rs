//! Commands on lists.

mod blocking;
pub mod build;
mod edit;
mod pop;
mod position;
mod push;
mod range;
mod transfer;
pub mod value;

use super::args::Args;
use super::errors::Error;
use super::spec::{Arg, Command};
use crate::types::list::End;

pub const COMMANDS: &[Command] = &[
    blocking::BLMOVE,
    blocking::BLMPOP,
    blocking::BLPOP,
    blocking::BRPOP,
    blocking::BRPOPLPUSH,
    range::LINDEX,
    edit::LINSERT,
    range::LLEN,
    transfer::LMOVE,
    pop::LMPOP,
    pop::LPOP,
    position::LPOS,
    push::LPUSH,
    push::LPUSHX,
    range::LRANGE,
    edit::LREM,
    edit::LSET,
    range::LTRIM,
    pop::RPOP,
    transfer::RPOPLPUSH,
    push::RPUSH,
    push::RPUSHX,
];

/// The one integer whose negative does not fit, where a negative number counts from the tail.
const LONG_RANGE: Error =
    Error::line("ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807");

/// Consumes an integer whose sign says from which end on.
fn next_signed(args: &mut Args<'_>) -> Result<i64, Error> {
    args.next_i64_in(-i64::MAX..=i64::MAX, LONG_RANGE)
}

/// The two ends as arguments.
const ENDS: &[Arg] = &[Arg::word("left", "LEFT"), Arg::word("right", "RIGHT")];

/// Consumes LEFT or RIGHT.
fn next_end(args: &mut Args<'_>) -> Result<End, Error> {
    if args.skip_word("LEFT") {
        Ok(End::Head)
    } else if args.skip_word("RIGHT") {
        Ok(End::Tail)
    } else {
        Err(Error::Syntax)
    }
}
