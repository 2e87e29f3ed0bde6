//! Commands on strings as arrays of bits.
//!
//! A missing key counts as an empty string, and every string goes on with zeros. Bits are numbered as
//! [`types::bits`](crate::types::bits) does it.

mod bit;
mod combine;
mod field;
mod scan;

use super::errors::Error;
use super::spec::Command;
use crate::state::Server;
use crate::types::number;

pub const COMMANDS: &[Command] = &[
    scan::BITCOUNT,
    field::BITFIELD,
    field::BITFIELD_RO,
    combine::BITOP,
    scan::BITPOS,
    bit::GETBIT,
    bit::SETBIT,
];

const NO_OFFSET: Error = Error::line("ERR bit offset is not an integer or out of range");

/// Reads the position of a bit. The byte that it is in must be one that a string may have (`proto-max-bulk-len`).
fn offset(text: &[u8], server: &Server) -> Result<u64, Error> {
    scaled_offset(text, 1, server)
}

/// Reads the position of a bit that is given in units of so many bits.
fn scaled_offset(text: &[u8], unit_bits: u32, server: &Server) -> Result<u64, Error> {
    // A product that is too large wraps, as in Redis.
    number::parse_i64(text)
        .and_then(|units| u64::try_from(units.wrapping_mul(i64::from(unit_bits))).ok())
        .filter(|position| position / 8 < server.config.proto_max_bulk_len())
        .ok_or(NO_OFFSET)
}
