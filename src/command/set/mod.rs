//! Commands on sets.
//!
//! Handlers say what happens to members; [`value`] knows in which form a set is kept and when it takes another.

mod algebra;
mod members;
mod random;
mod scan;
pub mod value;

use super::spec::Command;
use crate::resp::reply::Reply;
use crate::types::packed::Item;

pub const COMMANDS: &[Command] = &[
    members::SADD,
    members::SCARD,
    algebra::SDIFF,
    algebra::SDIFFSTORE,
    algebra::SINTER,
    algebra::SINTERCARD,
    algebra::SINTERSTORE,
    members::SISMEMBER,
    members::SMEMBERS,
    members::SMISMEMBER,
    members::SMOVE,
    random::SPOP,
    random::SRANDMEMBER,
    members::SREM,
    scan::SSCAN,
    algebra::SUNION,
    algebra::SUNIONSTORE,
];

/// Replies with a member.
#[inline]
fn reply_member(out: &mut Reply, member: Item<'_>) {
    match member {
        Item::Int(n) => out.bulk_integer(n),
        Item::Text(text) => out.bulk(text),
    }
}
