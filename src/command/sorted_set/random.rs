//! ZRANDMEMBER: members picked at random, each with the same probability.

use super::{READ_KEY, find, reply_member, reply_members, reply_name};
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command, Flags, Group};
use rand::Rng;

const OUT_OF_RANGE: Error =
    Error::line("ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807");
const OUT_OF_RANGE_OF_PAIRS: Error = Error::line("ERR value is out of range");

pub const ZRANDMEMBER: Command = Command {
    name: "zrandmember",
    summary: "Returns members of a sorted set picked at random.",
    since: "6.2.0",
    group: Group::SortedSet,
    complexity: "O(M*log(N)) in the number of members that are returned and of those of the sorted set.",
    arity: -2,
    flags: Flags::READONLY,
    tips: &["nondeterministic_output"],
    keys: READ_KEY,
    args: &[
        Arg::key("key", 0),
        Arg::block("options", &[Arg::integer("count"), Arg::word("withscores", "WITHSCORES").optional()])
            .optional(),
    ],
    reply: "bulk string or null; with a count an array of different members, or of any if it is negative",
    handler: Some(zrandmember),
    ..Command::NEW
};

fn zrandmember(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    if call.args.is_done() {
        match find(call.keys, key)? {
            None => call.out.null(),
            Some(set) => {
                let rank = rand::rng().random_range(0..set.len());
                set.range(rank..rank + 1, false).for_each(|(member, _)| reply_name(call.out, member));
            }
        }
        return Ok(());
    }
    let count = call.args.next_i64_in(-i64::MAX..=i64::MAX, OUT_OF_RANGE)?;
    let with_scores = call.args.skip_word("WITHSCORES");
    call.args.finish()?;
    if with_scores && !(-i64::MAX / 2..=i64::MAX / 2).contains(&count) {
        return Err(OUT_OF_RANGE_OF_PAIRS);
    }
    let Some(set) = find(call.keys, key)? else {
        call.out.array(0);
        return Ok(());
    };
    let (len, wanted) = (set.len(), count.unsigned_abs() as usize);
    let replied = if count < 0 { wanted } else { wanted.min(len) };
    let longest_bytes = call.longest_reply_bytes();
    reply_members(call.out, replied, with_scores);
    if count >= 0 && wanted >= len {
        // From the last on, as Redis does.
        for (member, score) in set.range(0..len, true) {
            reply_member(call.out, member, with_scores.then(|| score.get()));
        }
        return Ok(());
    }
    let mut pick = |rank: usize| {
        for (member, score) in set.range(rank..rank + 1, false) {
            reply_member(call.out, member, with_scores.then(|| score.get()));
        }
        call.out.len() <= longest_bytes
    };
    let mut rng = rand::rng();
    if count < 0 {
        (0..wanted).all(|_| pick(rng.random_range(0..len)));
    } else {
        rand::seq::index::sample(&mut rng, len, wanted).into_iter().all(pick);
    }
    Ok(())
}
