//! Several sorted sets as one: ZUNION, ZINTER, ZDIFF, their STORE forms, ZINTERCARD.

use super::range::borrowed;
use super::source::Source;
use super::value::{Sorted, store};
use super::{WITHSCORES, reply_member, reply_members};
use crate::command::args::Args;
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Begin, Command, Find, Flags, Group, KeyFlags, KeySpec};
use crate::keyspace::View;
use crate::types::number;
use crate::types::packed::Item;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

const WEIGHT: Error = Error::line("ERR weight value is not a float");
const LIMIT: Error = Error::line("ERR LIMIT can't be negative");

/// Keys whose number is argument `at`.
const fn counted(at: i16) -> KeySpec {
    KeySpec {
        flags: KeyFlags::RO.union(KeyFlags::ACCESS),
        begin: Begin::Index(at),
        find: Find::KeyNum { count_at: 0, first: 1, step: 1 },
        notes: "",
    }
}

const SOURCES: &[KeySpec] = &[counted(1)];
const TARGET_AND_SOURCES: &[KeySpec] = &[KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE)), counted(2)];

const NUMKEYS: Arg = Arg::integer("numkeys");
const DESTINATION: Arg = Arg::key("destination", 0);
const WEIGHTS: Arg = Arg::integer("weight").token("WEIGHTS").optional().multiple();
const AGGREGATE: Arg =
    Arg::one_of("aggregate", &[Arg::word("sum", "SUM"), Arg::word("min", "MIN"), Arg::word("max", "MAX")])
        .token("AGGREGATE")
        .optional();

/// Fields that the commands that reply with members share.
const REPLYING: Command = Command {
    since: "6.2.0",
    group: Group::SortedSet,
    arity: -3,
    flags: Flags::READONLY,
    keys: SOURCES,
    args: &[NUMKEYS, Arg::key("key", 0).multiple(), WEIGHTS, AGGREGATE, WITHSCORES],
    reply: "array of members, with WITHSCORES each followed by its score (RESP3: arrays of both)",
    ..Command::NEW
};

/// Fields that the commands that store members share.
const STORING: Command = Command {
    since: "2.0.0",
    group: Group::SortedSet,
    arity: -4,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: TARGET_AND_SOURCES,
    args: &[DESTINATION, NUMKEYS, Arg::key("key", 1).multiple(), WEIGHTS, AGGREGATE],
    reply: "the number of members stored",
    ..Command::NEW
};

const UNION_COST: &str =
    "O(N)+O(M*log(M)) in the number of members of all the sets together and of those of the result.";
const INTER_COST: &str =
    "O(N*K)+O(M*log(M)) in the number of members of the smallest set, of sets, of members of the result.";
const DIFF_COST: &str =
    "O(L+K*log(K)) in the number of members of all the sets together and of those of the result.";

pub const ZUNION: Command = Command {
    name: "zunion",
    summary: "Returns the members that are in any of several sorted sets, with their scores added up.",
    complexity: UNION_COST,
    handler: Some(|call| reply(call, Operation::Union)),
    ..REPLYING
};

pub const ZUNIONSTORE: Command = Command {
    name: "zunionstore",
    summary: "Stores the members that are in any of several sorted sets, with their scores added up.",
    complexity: UNION_COST,
    handler: Some(|call| store_result(call, Operation::Union)),
    ..STORING
};

pub const ZINTER: Command = Command {
    name: "zinter",
    summary: "Returns the members that are in all of several sorted sets, with their scores added up.",
    complexity: INTER_COST,
    handler: Some(|call| reply(call, Operation::Inter)),
    ..REPLYING
};

pub const ZINTERSTORE: Command = Command {
    name: "zinterstore",
    summary: "Stores the members that are in all of several sorted sets, with their scores added up.",
    complexity: INTER_COST,
    handler: Some(|call| store_result(call, Operation::Inter)),
    ..STORING
};

pub const ZDIFF: Command = Command {
    name: "zdiff",
    summary: "Returns the members of the first sorted set that are in none of the others.",
    complexity: DIFF_COST,
    args: &[NUMKEYS, Arg::key("key", 0).multiple(), WITHSCORES],
    handler: Some(|call| reply(call, Operation::Diff)),
    ..REPLYING
};

pub const ZDIFFSTORE: Command = Command {
    name: "zdiffstore",
    summary: "Stores the members of the first sorted set that are in none of the others.",
    since: "6.2.0",
    complexity: DIFF_COST,
    args: &[DESTINATION, NUMKEYS, Arg::key("key", 1).multiple()],
    handler: Some(|call| store_result(call, Operation::Diff)),
    ..STORING
};

pub const ZINTERCARD: Command = Command {
    name: "zintercard",
    summary: "Returns the number of members that are in all of several sorted sets.",
    since: "7.0.0",
    complexity: "O(N*K) in the number of members of the smallest set and of sets.",
    args: &[NUMKEYS, Arg::key("key", 0).multiple(), Arg::integer("limit").token("LIMIT").optional()],
    reply: "integer, LIMIT at most if that is not 0",
    handler: Some(zintercard),
    ..REPLYING
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Union,
    Inter,
    Diff,
}

/// What is made of several scores of one member.
#[derive(Clone, Copy)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    /// The sum of opposite infinities is 0.
    fn apply(self, a: f64, b: f64) -> f64 {
        match self {
            Aggregate::Sum => or_zero(a + b),
            Aggregate::Min => {
                if b < a {
                    b
                } else {
                    a
                }
            }
            Aggregate::Max => {
                if b > a {
                    b
                } else {
                    a
                }
            }
        }
    }
}

/// Zero times infinity is 0 here, too.
fn or_zero(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// One of the sets, and what its scores are multiplied by.
#[derive(Clone, Copy)]
struct Weighted<'a> {
    source: Source<'a>,
    weight: f64,
}

/// Which options there are behind the keys.
#[derive(Clone, Copy)]
struct Allowed {
    weights: bool,
    scores: bool,
    limit: bool,
}

struct Query<'a> {
    sources: Vec<Weighted<'a>>,
    aggregate: Aggregate,
    with_scores: bool,
    /// 0 is none.
    limit: usize,
}

impl<'a> Query<'a> {
    /// Consumes all that is left, from the number of keys on. The keys are looked up before options are read:
    /// that is the order in which Redis finds errors.
    fn parse(
        args: &mut Args<'_>,
        view: &'a View<'_>,
        name: &str,
        allowed: Allowed,
    ) -> Result<Query<'a>, Error> {
        let count = args.next_i64()?;
        if count < 1 {
            return Err(Error::err(format_args!("at least 1 input key is needed for '{name}' command")));
        }
        let count = usize::try_from(count).ok().filter(|count| *count <= args.left()).ok_or(Error::Syntax)?;
        let mut query = Query {
            sources: Vec::with_capacity(count),
            aggregate: Aggregate::Sum,
            with_scores: false,
            limit: 0,
        };
        for _ in 0..count {
            let source = Source::of(view.get(args.take()?))?;
            query.sources.push(Weighted { source, weight: 1.0 });
        }
        while !args.is_done() {
            if allowed.weights && args.left() > count && args.skip_word("WEIGHTS") {
                for source in &mut query.sources {
                    source.weight = number::parse_f64(args.take()?).ok_or(WEIGHT)?;
                }
            } else if allowed.weights && args.left() > 1 && args.skip_word("AGGREGATE") {
                query.aggregate = match () {
                    () if args.skip_word("SUM") => Aggregate::Sum,
                    () if args.skip_word("MIN") => Aggregate::Min,
                    () if args.skip_word("MAX") => Aggregate::Max,
                    () => return Err(Error::Syntax),
                };
            } else if allowed.scores && args.skip_word("WITHSCORES") {
                query.with_scores = true;
            } else if allowed.limit && args.left() > 1 && args.skip_word("LIMIT") {
                let limit = args.next_i64().ok().and_then(|limit| usize::try_from(limit).ok());
                query.limit = limit.ok_or(LIMIT)?;
            } else {
                return Err(Error::Syntax);
            }
        }
        Ok(query)
    }

    /// The result, in order.
    fn run(mut self, operation: Operation) -> Sorted<'a> {
        let mut result = match operation {
            Operation::Union => self.union(),
            Operation::Inter => {
                let mut result = Vec::new();
                self.each_common(|member, score| {
                    result.push((borrowed(member), score));
                    true
                });
                result
            }
            Operation::Diff => self.diff(),
        };
        result.sort_unstable_by(order);
        result
    }

    /// The smallest set first: the order in which scores are added, too.
    fn sort_by_size(&mut self) {
        self.sources.sort_by_key(|weighted| weighted.source.len());
    }

    fn union(&mut self) -> Sorted<'a> {
        self.sort_by_size();
        let largest = self.sources.last().map_or(0, |weighted| weighted.source.len());
        let mut scores: HashMap<Cow<'a, [u8]>, f64, ahash::RandomState> =
            HashMap::with_capacity_and_hasher(largest, ahash::RandomState::new());
        for Weighted { source, weight } in &self.sources {
            for (member, score) in source.members() {
                let score = or_zero(score * weight);
                let aggregate = self.aggregate;
                scores
                    .entry(borrowed(member))
                    .and_modify(|sum| *sum = aggregate.apply(*sum, score))
                    .or_insert(score);
            }
        }
        scores.into_iter().collect()
    }

    /// Calls `f` with each member that all sets have, until it returns false.
    fn each_common(&mut self, mut f: impl FnMut(Item<'a>, f64) -> bool) {
        self.sort_by_size();
        let Some((smallest, others)) = self.sources.split_first() else { return };
        for (member, score) in smallest.source.members() {
            let score = or_zero(score * smallest.weight);
            let common = member.with(|text| {
                others.iter().try_fold(score, |sum, other| {
                    Some(self.aggregate.apply(sum, other.source.score(text)? * other.weight))
                })
            });
            if let Some(score) = common
                && !f(member, score)
            {
                return;
            }
        }
    }

    /// Looks up each member of the first set in the others; or, where that is more work, notes all members of
    /// the others first.
    fn diff(&self) -> Sorted<'a> {
        let Some((first, others)) = self.sources.split_first() else { return Vec::new() };
        let looked_up = first.source.len() * self.sources.len() / 2;
        let noted: usize = self.sources.iter().map(|weighted| weighted.source.len()).sum();
        let mut unwanted: HashSet<Cow<'a, [u8]>, ahash::RandomState> = HashSet::default();
        let is_noted = looked_up > noted;
        if is_noted {
            let members = others.iter().flat_map(|other| other.source.members());
            unwanted.extend(members.map(|(member, _)| borrowed(member)));
        }
        let is_wanted = |member: &[u8]| {
            if is_noted {
                !unwanted.contains(member)
            } else {
                others.iter().all(|other| other.source.score(member).is_none())
            }
        };
        let members = first.source.members().filter(|(member, _)| member.with(is_wanted));
        members.map(|(member, score)| (borrowed(member), score)).collect()
    }
}

/// The order of a sorted set: zeros of either sign are equal, and NaN does not occur.
fn order(a: &(Cow<'_, [u8]>, f64), b: &(Cow<'_, [u8]>, f64)) -> Ordering {
    a.1.partial_cmp(&b.1).unwrap_or(Ordering::Equal).then_with(|| a.0.cmp(&b.0))
}

fn reply(call: &mut Call<'_, '_>, operation: Operation) -> Result<(), Error> {
    let allowed = Allowed { weights: operation != Operation::Diff, scores: true, limit: false };
    let query = Query::parse(&mut call.args, call.keys, call.entry.spec.name, allowed)?;
    let with_scores = query.with_scores;
    let result = query.run(operation);
    reply_members(call.out, result.len(), with_scores);
    for (member, score) in &result {
        reply_member(call.out, Item::Text(member), with_scores.then_some(*score));
    }
    Ok(())
}

fn store_result(call: &mut Call<'_, '_>, operation: Operation) -> Result<(), Error> {
    let target = call.args.take()?;
    let (mut args, name) = (call.args, call.entry.spec.name);
    let allowed = Allowed { weights: operation != Operation::Diff, scores: false, limit: false };
    store(call, target, name, |view| Ok(Query::parse(&mut args, view, name, allowed)?.run(operation)))
}

fn zintercard(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let allowed = Allowed { weights: false, scores: false, limit: true };
    let mut query = Query::parse(&mut call.args, call.keys, call.entry.spec.name, allowed)?;
    let (mut count, limit) = (0, query.limit);
    query.each_common(|_, _| {
        count += 1;
        count != limit
    });
    call.out.integer(count as i64);
    Ok(())
}
