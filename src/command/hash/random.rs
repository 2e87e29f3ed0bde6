//! HRANDFIELD: fields picked at random.

use super::value::{HashRef, read, reply_item, reply_or_null};
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command, Flags, Group, KeyFlags, KeySpec};
use crate::resp::reply::{Proto, Reply};
use crate::types::packed::Item;
use std::collections::HashSet;

/// Of a table at least so many times as large as the number of different fields asked for, these are found by
/// throwing dice; of a smaller one by leaving out.
const SPARSE: usize = 3;

pub const HRANDFIELD: Command = Command {
    name: "hrandfield",
    summary: "Returns fields of a hash picked at random.",
    since: "6.2.0",
    group: Group::Hash,
    complexity: "O(N) in the number of fields returned.",
    arity: -2,
    flags: Flags::READONLY,
    tips: &["nondeterministic_output"],
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    args: &[
        Arg::key("key", 0),
        Arg::block("options", &[Arg::integer("count"), Arg::word("withvalues", "WITHVALUES").optional()])
            .optional(),
    ],
    reply: "a field, or null if there is no such key; with a count an array of different fields, or of any if the \
            count is negative",
    handler: Some(hrandfield),
    ..Command::NEW
};

fn hrandfield(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    if call.args.is_done() {
        let hash = read(call.keys, key)?;
        let picked = hash.and_then(|hash| hash.random(&mut rand::rng()));
        reply_or_null(call.out, picked.map(|(name, _)| name));
        return Ok(());
    }
    let count = call.args.next_i64_in(-i64::MAX..=i64::MAX, Error::NotLong)?;
    let with_values = call.args.skip_word("WITHVALUES");
    call.args.finish()?;
    if with_values && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(Error::OutOfRange);
    }
    let hash = read(call.keys, key)?.filter(|hash| count != 0 && !hash.is_empty());
    let Some(hash) = hash else {
        call.out.array(0);
        return Ok(());
    };
    let longest_bytes = call.longest_reply_bytes();
    let mut out = Picks::new(call.out, with_values);
    let wanted = count.unsigned_abs() as usize;
    if count > 0 {
        distinct(hash, wanted, &mut out);
    } else {
        out.announce(wanted);
        let mut rng = rand::rng();
        let all = if hash.is_packed() { hash.to_vec() } else { Vec::new() };
        for _ in 0..wanted {
            let picked = match all.len() {
                0 => hash.random(&mut rng),
                len => Some(all[rand::Rng::random_range(&mut rng, 0..len)]),
            };
            picked.into_iter().for_each(|pair| out.push(pair));
            if out.out.len() > longest_bytes {
                break;
            }
        }
    }
    Ok(())
}

/// Up to `wanted` different fields.
fn distinct(hash: HashRef<'_>, wanted: usize, out: &mut Picks<'_>) {
    let len = hash.len();
    let amount = wanted.min(len);
    out.announce(amount);
    if amount == len {
        hash.each(|name, value, _| out.push((name, value)));
        return;
    }
    let mut rng = rand::rng();
    if !hash.is_packed() && hash.is_fresh() && amount.saturating_mul(SPARSE) <= len {
        let mut seen = HashSet::with_capacity(amount);
        while seen.len() < amount {
            let Some((name, value)) = hash.random(&mut rng) else { return };
            if let Item::Text(text) = name
                && seen.insert(text.as_ptr())
            {
                out.push((name, value));
            }
        }
        return;
    }
    let all = hash.to_vec();
    let mut picked = rand::seq::index::sample(&mut rng, len, amount).into_vec();
    picked.sort_unstable();
    picked.into_iter().for_each(|at| out.push(all[at]));
}

/// The reply: fields, or fields with values, which RESP3 has in pairs.
struct Picks<'a> {
    out: &'a mut Reply,
    with_values: bool,
    in_pairs: bool,
}

impl<'a> Picks<'a> {
    fn new(out: &'a mut Reply, with_values: bool) -> Picks<'a> {
        let in_pairs = with_values && out.proto() == Proto::Resp3;
        Picks { out, with_values, in_pairs }
    }

    fn announce(&mut self, amount: usize) {
        self.out.array(if self.with_values && !self.in_pairs { 2 * amount } else { amount });
    }

    fn push(&mut self, (name, value): (Item<'_>, Item<'_>)) {
        if self.in_pairs {
            self.out.array(2);
        }
        reply_item(self.out, name);
        if self.with_values {
            reply_item(self.out, value);
        }
    }
}
