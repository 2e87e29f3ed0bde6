//! DEL and UNLINK, which do the same here: what is large is always freed by another thread.

use super::free_entry;
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command, Flags, Group, KeyFlags, KeySpec};
use crate::types::events::Class;

pub const DEL: Command = Command {
    name: "del",
    summary: "Deletes keys.",
    since: "1.0.0",
    group: Group::Generic,
    complexity: "O(N) in the number of keys. The memory of large values is given back by another thread.",
    arity: -2,
    flags: Flags::WRITE,
    tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
    keys: &[KeySpec::range(1, -1, 1, KeyFlags::RM.union(KeyFlags::DELETE))],
    args: &[Arg::key("key", 0).multiple()],
    reply: "the number of keys that were deleted",
    handler: Some(delete),
    ..Command::NEW
};

pub const UNLINK: Command = Command {
    name: "unlink",
    summary: "Deletes keys, and leaves it to another thread to give their memory back.",
    since: "4.0.0",
    flags: Flags::WRITE.union(Flags::FAST),
    ..DEL
};

fn delete(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let mut deleted = 0;
    for key in call.args.rest() {
        if let Some(entry) = call.keys.remove(key) {
            free_entry(entry);
            call.keys.notify(Class::GENERIC, "del", key);
            deleted += 1;
        }
    }
    call.keys.changed(deleted);
    call.out.integer(deleted as i64);
    Ok(())
}
