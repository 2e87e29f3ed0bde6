//! Looking into HyperLogLogs, and testing the arithmetic: PFDEBUG and PFSELFTEST.

use super::{max_sparse_bytes, sketch};
use crate::command::call::Call;
use crate::command::errors::{Error, echo};
use crate::command::spec::{Arg, Command, Flags, Group, KeyFlags, KeySpec};
use crate::types::hyperloglog::{self, Encoding, Registers};
use rand::RngCore;
use std::sync::atomic::Ordering;

/// How often PFSELFTEST writes and reads all registers.
const TEST_CYCLES: usize = 1000;
/// How many elements it adds after that.
const TEST_ELEMENTS: u64 = 10_000_000;

pub const PFDEBUG: Command = Command {
    name: "pfdebug",
    summary: "Shows registers and form of a HyperLogLog, makes it dense, or switches how they are merged.",
    since: "2.8.9",
    group: Group::HyperLogLog,
    complexity: "N/A",
    arity: 3,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::ADMIN).union(Flags::SYSCMD),
    keys: &[KeySpec::one(2, KeyFlags::RW.union(KeyFlags::ACCESS))],
    args: &[Arg::string("subcommand"), Arg::key("key", 0)],
    reply: "GETREG: array of the registers; DECODE: the runs of a sparse one; ENCODING: dense or sparse; TODENSE: \
            1 if it was sparse, otherwise 0; SIMD: enabled or disabled",
    handler: Some(pfdebug),
    ..Command::NEW
};

fn pfdebug(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let subcommand = call.args.take()?;
    if subcommand.eq_ignore_ascii_case(b"simd") {
        return switch_vectors(call);
    }
    let key = call.args.take()?;
    let entry = call.keys.update(key).ok_or(Error::line("ERR The specified key does not exist"))?;
    let (bytes, encoding) = sketch(entry)?;
    match subcommand.to_ascii_lowercase().as_slice() {
        b"getreg" => {
            let mut registers = Registers::new(true);
            registers.merge(bytes)?;
            make_dense(call, key)?;
            call.out.array(hyperloglog::REGISTERS);
            registers.iter().for_each(|register| call.out.integer(register.into()));
        }
        b"decode" if encoding == Encoding::Dense => {
            return Err(Error::line("ERR HLL encoding is not sparse"));
        }
        b"decode" => call.out.text(&hyperloglog::describe(bytes)),
        b"encoding" => call.out.simple(match encoding {
            Encoding::Dense => "dense",
            Encoding::Sparse => "sparse",
        }),
        b"todense" => {
            let was_sparse = make_dense(call, key)?;
            call.out.integer(was_sparse.into());
        }
        _ => {
            let name = echo(subcommand, usize::MAX);
            return Err(Error::echoing("Unknown PFDEBUG subcommand '", name, "'"));
        }
    }
    Ok(())
}

/// Says whether merging may use the processor's vectors, and replies whether it does.
fn switch_vectors(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let on = if call.args.skip_word("ON") {
        true
    } else if call.args.skip_word("OFF") {
        false
    } else {
        return Err(Error::line("ERR Argument must be ON or OFF"));
    };
    call.server.switches.hyperloglog_vectors.store(on, Ordering::Relaxed);
    call.out.simple(if on && hyperloglog::has_vectors() { "enabled" } else { "disabled" });
    Ok(())
}

/// Makes a sketch dense. Says whether it was not.
fn make_dense(call: &mut Call<'_, '_>, key: &[u8]) -> Result<bool, Error> {
    let Some(entry) = call.keys.update(key) else { return Ok(false) };
    let (bytes, encoding) = sketch(entry)?;
    if encoding == Encoding::Dense {
        return Ok(false);
    }
    let dense = hyperloglog::to_dense(bytes)?;
    entry.rewrite(&dense);
    call.keys.changed(1);
    Ok(true)
}

pub const PFSELFTEST: Command = Command {
    name: "pfselftest",
    summary: "Tests registers and estimates of HyperLogLogs, which takes a while.",
    since: "2.8.9",
    group: Group::HyperLogLog,
    complexity: "N/A",
    arity: 1,
    flags: Flags::ADMIN.union(Flags::SYSCMD),
    reply: "OK",
    handler: Some(pfselftest),
    ..Command::NEW
};

fn pfselftest(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let mut rng = rand::rng();
    hyperloglog::self_test(TEST_CYCLES, TEST_ELEMENTS, max_sparse_bytes(call), || rng.next_u64())
        .map_err(Error::err)?;
    call.out.ok();
    Ok(())
}
