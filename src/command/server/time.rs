//! TIME and ROLE: what a client may want to know of the server before anything else.

use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Acl, Command, Flags, Group, Scope};
use crate::keyspace::unix_time;

pub const TIME: Command = Command {
    name: "time",
    summary: "Returns the server's time.",
    since: "2.6.0",
    group: Group::Server,
    flags: Flags::LOADING.union(Flags::STALE).union(Flags::FAST),
    tips: &["nondeterministic_output"],
    reply: "array of Unix seconds and the microseconds since then",
    scope: Scope::Nothing,
    handler: Some(time),
    ..Command::NEW
};

pub const ROLE: Command = Command {
    name: "role",
    summary: "Returns the server's part in replication.",
    since: "2.8.12",
    group: Group::Server,
    flags: Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE).union(Flags::FAST),
    acl: Acl::ADMIN.union(Acl::DANGEROUS),
    reply: "array of the role, the replication offset and the replicas",
    scope: Scope::Nothing,
    handler: Some(role),
    ..Command::NEW
};

fn time(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let now = match call.origin {
        // Time stands still within a script or a transaction.
        origin if origin.is_inside() => call.meter.stopped_at,
        _ => unix_time(),
    };
    call.out.array(2);
    call.out.bulk_integer(now.as_secs() as i64);
    call.out.bulk_integer(now.subsec_micros().into());
    Ok(())
}

fn role(call: &mut Call<'_, '_>) -> Result<(), Error> {
    // A master without replicas: there is no replication in this version.
    call.out.array(3);
    call.out.text("master");
    call.out.integer(0);
    call.out.array(0);
    Ok(())
}
