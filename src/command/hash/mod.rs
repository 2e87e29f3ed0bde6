//! Commands on hashes.
//!
//! In what form a hash is kept is the business of [`value`]; handlers see names, values and deadlines. Fields that
//! have expired are not there, whether they were removed or not.

pub mod build;
mod counter;
mod deadline;
mod expire;
mod get;
mod get_and;
mod random;
mod scan;
mod set;
mod setex;
pub mod value;

use super::spec::{Arg, Command};

pub const COMMANDS: &[Command] = &[
    set::HDEL,
    get::HEXISTS,
    expire::HEXPIRE,
    expire::HEXPIREAT,
    expire::HEXPIRETIME,
    get::HGET,
    get::HGETALL,
    get_and::HGETDEL,
    get_and::HGETEX,
    counter::HINCRBY,
    counter::HINCRBYFLOAT,
    get::HKEYS,
    get::HLEN,
    get::HMGET,
    set::HMSET,
    expire::HPERSIST,
    expire::HPEXPIRE,
    expire::HPEXPIREAT,
    expire::HPEXPIRETIME,
    expire::HPTTL,
    random::HRANDFIELD,
    scan::HSCAN,
    set::HSET,
    setex::HSETEX,
    set::HSETNX,
    get::HSTRLEN,
    expire::HTTL,
    get::HVALS,
];

/// Names and values.
const PAIRS: Arg = Arg::block("data", &[Arg::string("field"), Arg::string("value")]).multiple();
