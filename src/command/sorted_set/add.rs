//! Giving scores to members: ZADD and ZINCRBY.

use super::value::{Limits, SortedSetMut};
use crate::command::args::Args;
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command, Flags, Group, KeyFlags, KeySpec};
use crate::types::events::Class;
use crate::types::number;
use smallvec::SmallVec;

const NX_AND_XX: Error = Error::line("ERR XX and NX options at the same time are not compatible");
const GT_LT_AND_NX: Error = Error::line("ERR GT, LT, and/or NX options at the same time are not compatible");
const INCR_OF_MANY: Error = Error::line("ERR INCR option supports a single increment-element pair");
const NOT_A_NUMBER: Error = Error::line("ERR resulting score is not a number (NaN)");

pub const ZADD: Command = Command {
    name: "zadd",
    summary: "Adds members to a sorted set, or changes their scores. Creates the key if there is none.",
    since: "1.2.0",
    group: Group::SortedSet,
    complexity: "O(log(N)) for each member, where N is the number of members of the sorted set.",
    arity: -4,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
    args: &[
        Arg::key("key", 0),
        Arg::one_of("condition", &[Arg::word("nx", "NX"), Arg::word("xx", "XX")]).optional().since("3.0.2"),
        Arg::one_of("comparison", &[Arg::word("gt", "GT"), Arg::word("lt", "LT")]).optional().since("6.2.0"),
        Arg::word("change", "CH").optional().since("3.0.2"),
        Arg::word("increment", "INCR").optional().since("3.0.2"),
        Arg::block("data", &[Arg::double("score"), Arg::string("member")]).multiple(),
    ],
    history: &[
        ("2.4.0", "Several members."),
        ("3.0.2", "The options NX, XX, CH and INCR."),
        ("6.2.0", "The options GT and LT."),
    ],
    reply: "the number of members added (with CH: added or changed); with INCR the new score, or null if a \
            condition was against it",
    handler: Some(|call| add(call, Options::default())),
    ..Command::NEW
};

pub const ZINCRBY: Command = Command {
    name: "zincrby",
    summary: "Adds to the score of a member, which counts as 0 if it is not in the sorted set.",
    since: "1.2.0",
    group: Group::SortedSet,
    complexity: "O(log(N)) in the number of members of the sorted set.",
    arity: 4,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))],
    args: &[Arg::key("key", 0), Arg::integer("increment"), Arg::string("member")],
    reply: "double: the new score",
    handler: Some(|call| add(call, Options { incr: true, ..Options::default() })),
    ..Command::NEW
};

#[derive(Clone, Copy, Default)]
pub struct Options {
    pub nx: bool,
    pub xx: bool,
    pub gt: bool,
    pub lt: bool,
    pub ch: bool,
    pub incr: bool,
}

/// What has become of the members so far.
#[derive(Default)]
struct Outcome {
    added: u64,
    updated: u64,
    /// The score of the last member that no condition was against.
    score: Option<f64>,
    is_nan: bool,
}

impl Options {
    /// Consumes the options. (Redis takes them from ZINCRBY too.)
    fn parse(mut self, args: &mut Args<'_>) -> Options {
        loop {
            let option = if args.skip_word("NX") {
                &mut self.nx
            } else if args.skip_word("XX") {
                &mut self.xx
            } else if args.skip_word("GT") {
                &mut self.gt
            } else if args.skip_word("LT") {
                &mut self.lt
            } else if args.skip_word("CH") {
                &mut self.ch
            } else if args.skip_word("INCR") {
                &mut self.incr
            } else {
                return self;
            };
            *option = true;
        }
    }

    fn check(&self, members: usize) -> Result<(), Error> {
        match self {
            Options { nx: true, xx: true, .. } => Err(NX_AND_XX),
            Options { gt: true, lt: true, .. } => Err(GT_LT_AND_NX),
            Options { nx: true, gt, lt, .. } if *gt || *lt => Err(GT_LT_AND_NX),
            Options { incr: true, .. } if members > 1 => Err(INCR_OF_MANY),
            _ => Ok(()),
        }
    }

    /// The score that a member gets, if any other than it has.
    fn decide(&self, old: Option<f64>, given: f64, outcome: &mut Outcome) -> Option<f64> {
        let Some(old) = old else {
            if self.xx {
                return None;
            }
            outcome.added += 1;
            outcome.score = Some(given);
            return Some(given);
        };
        if self.nx {
            return None;
        }
        let new = if self.incr { old + given } else { given };
        if new.is_nan() {
            outcome.is_nan = true;
            return None;
        }
        if self.lt && new >= old || self.gt && new <= old {
            return None;
        }
        outcome.score = Some(new);
        if new == old {
            return None;
        }
        outcome.updated += 1;
        Some(new)
    }
}

fn add(call: &mut Call<'_, '_>, options: Options) -> Result<(), Error> {
    let key = call.args.take()?;
    let options = options.parse(&mut call.args);
    let members = call.args.left() / 2;
    if members == 0 || !call.args.left().is_multiple_of(2) {
        return Err(Error::Syntax);
    }
    options.check(members)?;
    let mut pairs: SmallVec<[(f64, &[u8]); 4]> = SmallVec::with_capacity(members);
    while !call.args.is_done() {
        let score = number::parse_f64(call.args.take()?).ok_or(Error::NotFloat)?;
        pairs.push((score, call.args.take()?));
    }
    apply(call, key, options, &pairs)
}

/// Gives scores to members of the sorted set at `key`, and replies as the options say, which have been checked.
pub fn apply(
    call: &mut Call<'_, '_>,
    key: &[u8],
    options: Options,
    pairs: &[(f64, &[u8])],
) -> Result<(), Error> {
    let longest_bytes = pairs.iter().map(|(_, member)| member.len()).max().unwrap_or(0);

    let limits = Limits::of(call);
    let mut outcome = Outcome::default();
    let found = match call.keys.update(key) {
        // Long members change the form only when they are added.
        Some(entry) => Some((SortedSetMut::of(entry, limits)?, 0)),
        None if options.xx => None,
        None => Some((SortedSetMut::create(call.keys, key, limits), longest_bytes)),
    };
    if let Some((mut set, longest_bytes)) = found {
        set.expect(pairs.len(), longest_bytes);
        for (score, member) in pairs {
            set.update(member, |old| options.decide(old, *score, &mut outcome));
        }
    }
    if outcome.added + outcome.updated > 0 {
        call.keys.notify(Class::ZSET, if options.incr { "zincr" } else { "zadd" }, key);
    }
    call.keys.changed(outcome.added + outcome.updated);
    if outcome.is_nan {
        return Err(NOT_A_NUMBER);
    }
    match outcome.score {
        Some(score) if options.incr => call.out.double(score),
        None if options.incr => call.out.null(),
        _ if options.ch => call.out.integer((outcome.added + outcome.updated) as i64),
        _ => call.out.integer(outcome.added as i64),
    }
    Ok(())
}
