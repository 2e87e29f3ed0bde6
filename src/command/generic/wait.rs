//! Waiting until what was written is safe elsewhere: WAIT, WAITAOF.
//!
//! A single node has no replicas, so none ever acknowledges anything: whoever asks for that waits until the time is over,
//! and is told that there were none. The append-only file acknowledges what is on disk.

use crate::command::blocking;
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Acl, Arg, Command, Flags, Group, Scope};
use crate::keyspace::View;
use crate::resp::reply::Reply;
use crate::state::waiters::Operation;

pub const WAIT: Command = Command {
    name: "wait",
    summary: "Waits until so many replicas have what the connection has written before.",
    since: "3.0.0",
    group: Group::Generic,
    arity: 3,
    flags: Flags::BLOCKING,
    acl: Acl::CONNECTION,
    tips: &["request_policy:all_shards", "response_policy:agg_min"],
    args: &[Arg::integer("numreplicas"), Arg::integer("timeout")],
    reply: "the number of replicas that have it",
    scope: Scope::Nothing,
    handler: Some(wait),
    ..Command::NEW
};

pub const WAITAOF: Command = Command {
    name: "waitaof",
    summary: "Waits until what the connection has written before is in the append-only file, here and on so many \
              replicas.",
    since: "7.2.0",
    arity: 4,
    args: &[Arg::integer("numlocal"), Arg::integer("numreplicas"), Arg::integer("timeout")],
    reply: "array of the number of local files (0 or 1) and of replicas whose files have it",
    handler: Some(waitaof),
    ..WAIT
};

/// Acknowledgements that are waited for.
struct Acknowledgements {
    /// Of files, too.
    of_files: bool,
    /// All that is waited for is that of the own file.
    of_own_file: bool,
}

impl Operation for Acknowledgements {
    fn keys(&self) -> &[Box<[u8]>] {
        &[]
    }

    fn is_ready(&self, _view: &View<'_>, _key: &[u8]) -> bool {
        false
    }

    fn perform(&self, _view: &mut View<'_>, out: &mut Reply) -> Result<(), Vec<u8>> {
        self.give_up(out);
        Ok(())
    }

    fn complete(&self, out: &mut Reply) {
        if self.of_own_file {
            out.array(2);
            out.integer(1);
            out.integer(0);
        } else {
            self.give_up(out);
        }
    }

    fn give_up(&self, out: &mut Reply) {
        if self.of_files {
            out.array(2);
            out.integer(0);
        }
        out.integer(0);
    }
}

fn wait(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let replicas = call.args.next_i64()?;
    let deadline = blocking::next_millis(&mut call.args, call.keys.now_ms)?;
    await_all(call, replicas, deadline, Acknowledgements { of_files: false, of_own_file: false });
    Ok(())
}

fn waitaof(call: &mut Call<'_, '_>) -> Result<(), Error> {
    const LOCAL: Error = Error::line("ERR value is out of range, value must between 0 and 1");
    let local = call.args.next_i64_in(0..=1, LOCAL)?;
    let replicas = call.args.next_i64_in(0..=i64::MAX, Error::OutOfRangePositive)?;
    let deadline = blocking::next_millis(&mut call.args, call.keys.now_ms)?;
    let log = &call.server.append_only;
    if local > 0 && !log.is_on() {
        return Err(Error::line(
            "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.",
        ));
    }
    let position = call.session.log_position;
    let has_own = log.is_on() && log.synced() >= position;
    if (local == 0 || has_own) && replicas <= 0 {
        call.out.array(2);
        call.out.integer(has_own.into());
        call.out.integer(0);
        return Ok(());
    }
    let wanted = Acknowledgements { of_files: true, of_own_file: replicas <= 0 };
    if let Some(waiter) = blocking::wait(call, deadline, wanted)
        && replicas <= 0
    {
        log.wait(&call.server.waiters, &call.server.keyspace, position, waiter);
    }
    Ok(())
}

fn await_all(call: &mut Call<'_, '_>, replicas: i64, deadline: blocking::Deadline, wanted: Acknowledgements) {
    if replicas <= 0 {
        wanted.give_up(call.out);
    } else {
        blocking::wait(call, deadline, wanted);
    }
}
