//! DEBUG: switches and looks inside that test suites use. Off unless `enable-debug-command` allows it.
//!
//! What is wished of parts that this server has not (tables that resize, a Lua engine) is granted where nothing
//! depends on it, so that the suites run.

mod digest;
mod populate;
mod protocol;

use super::config::rewrite_file;
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::help;
use crate::command::serialize::Saving;
use crate::command::spec::{Command, Flags, Group, Scope};
use crate::keyspace::View;
use crate::keyspace::view::{Hashed, Mode};
use crate::observe::process;
use crate::state::persistence::Reload;
use crate::state::random_id;
use crate::state::switches::REPLY_PEAK_RESET_MS;
use crate::types::{glob, number};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

pub const DEBUG: Command = Command {
    name: "debug",
    summary: "Contains what test suites need.",
    group: Group::Server,
    complexity: "Depends on the subcommand.",
    arity: -2,
    flags: Flags::ADMIN
        .union(Flags::NOSCRIPT)
        .union(Flags::LOADING)
        .union(Flags::STALE)
        .union(Flags::PROTECTED)
        .union(Flags::SYSCMD),
    reply: "depends on the subcommand",
    // Subcommands lock what they look at, and may write.
    scope: Scope::Survey(Mode::Exclusive),
    handler: Some(debug),
    ..Command::NEW
};

fn debug(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let word = call.args.take()?.to_ascii_lowercase();
    match (word.as_slice(), call.args.left()) {
        (b"help", 0) => return help::reply(call, HELP),
        (b"sleep", 1) => return sleep(call),
        (b"set-active-expire", 1) => {
            let on = switch(call)?;
            call.server.keyspace.expiry().set_active(on);
        }
        (b"object", 1..=2) => return object(call),
        (b"stringmatch-len", 2) => {
            let (pattern, text) = (call.args.take()?, call.args.take()?);
            call.out.integer(glob::matches(pattern, text, false).into());
            return Ok(());
        }
        (b"change-repl-id", 0) => {
            tracing::info!("Changing replication IDs after receiving DEBUG change-repl-id");
            *call.server.replication_id.lock() = random_id();
        }
        (b"populate", 1..=3) => return populate::populate(call),
        (b"protocol", 1) => return protocol::protocol(call),
        (b"digest", 0) => return digest::dataset(call),
        (b"digest-value", _) => return digest::values(call),
        (b"error", 1) => {
            return Err(Error::Echo(call.args.take()?.to_vec()));
        }
        (b"log", 1) => {
            tracing::warn!("DEBUG LOG: {}", String::from_utf8_lossy(call.args.take()?));
        }
        (b"reload", _) => return reload(call),
        (b"aof-flush-sleep", 1) => {
            let micros = call.args.next_i64()?.max(0) as u64;
            call.server.switches.log_delay_micros.store(micros, Relaxed);
        }
        (b"loadaof", 0) => return load_log(call),
        (b"panic", 0) => panic!("called by DEBUG PANIC"),
        (b"htstats", 1..=2) => return table_statistics(call),
        (b"config-rewrite-force-all", 0) => {
            if let Err(error) = rewrite_file(call.server, true)? {
                let reason = process::error_text(&error);
                return Err(Error::err(format_args!("CONFIG-REWRITE-FORCE-ALL failed: {reason}")));
            }
        }
        (b"quicklist-packed-threshold", 1) => packed_threshold(call)?,
        (b"replybuffer", 2) => reply_buffer(call)?,
        (b"set-skip-checksum-validation", 1) => {
            let ignored = switch(call)?;
            call.server.switches.checksums_ignored.store(ignored, Relaxed);
        }
        (b"pause-cron", 1) => {
            let paused = switch(call)?;
            call.server.switches.cron_paused.store(paused, Relaxed);
        }
        (b"set-disable-deny-scripts", 1) => {
            let allowed = switch(call)?;
            call.server.switches.debug_in_scripts.store(allowed, Relaxed);
        }
        // Nothing here is resized or checked by what these switch.
        (b"jmap" | b"dict-resizing", 0..=1) => {}
        _ => return Err(help::syntax_error(call)),
    }
    call.out.ok();
    Ok(())
}

/// Reads 0 or 1, as C's atoi would: whatever is no number is 0.
fn switch(call: &mut Call<'_, '_>) -> Result<bool, Error> {
    Ok(number::parse_i64(call.args.take()?).unwrap_or(0) != 0)
}

/// Saves, empties the databases, and loads them again.
fn reload(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let mut how = Reload { save: true, flush: true, merge: false };
    while !call.args.is_done() {
        if call.args.skip_word("MERGE") {
            how.merge = true;
        } else if call.args.skip_word("NOFLUSH") {
            how.flush = false;
        } else if call.args.skip_word("NOSAVE") {
            how.save = false;
        } else {
            return Err(Error::line("ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options."));
        }
    }
    if call.origin.is_inside() {
        return Err(Error::line("ERR DEBUG RELOAD is not possible inside a transaction or script"));
    }
    let engine = call.server.persistence.engine().ok_or(Error::line("ERR"))?;
    if !engine.reload(how) {
        return Err(Error::line("ERR Error trying to load the RDB dump, check server logs."));
    }
    call.out.ok();
    Ok(())
}

/// Empties the databases, and loads the append-only file again.
fn load_log(call: &mut Call<'_, '_>) -> Result<(), Error> {
    if call.origin.is_inside() {
        return Err(Error::line("ERR DEBUG LOADAOF is not possible inside a transaction or script"));
    }
    let log = call.server.append_only.engine().ok_or(Error::line("ERR"))?;
    if !log.reload() {
        return Err(Error::line("ERR Error trying to load the AOF files, check server logs."));
    }
    call.out.ok();
    Ok(())
}

/// How the reply buffers of connections follow the size of their replies.
fn reply_buffer(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let switches = &call.server.switches;
    if call.args.skip_word("RESIZING") {
        let resizing = switch(call)?;
        switches.reply_resizing.store(resizing, Relaxed);
    } else if call.args.skip_word("PEAK-RESET-TIME") {
        let reset_ms = if call.args.skip_word("NEVER") {
            -1
        } else if call.args.skip_word("RESET") {
            REPLY_PEAK_RESET_MS
        } else {
            call.args.next_i64()?
        };
        switches.reply_peak_reset_ms.store(reset_ms, Relaxed);
    } else {
        return Err(help::syntax_error(call));
    }
    Ok(())
}

/// Holds up the worker, and with it all its connections, as tests of timeouts need it.
fn sleep(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let seconds = call.args.next_f64()?;
    if let Ok(duration) = Duration::try_from_secs_f64(seconds) {
        std::thread::sleep(duration);
    }
    call.out.ok();
    Ok(())
}

/// A view of one key of the selected database.
fn with_key<R>(call: &mut Call<'_, '_>, key: &[u8], mode: Mode, f: impl FnOnce(&mut View<'_>) -> R) -> R {
    if call.origin.is_inside() {
        // The outer command has locked everything.
        return f(call.keys);
    }
    let keyspace = call.keys.keyspace();
    let hashed = [Hashed::new(key, keyspace.hash(key))];
    let mut view = keyspace.lock_keys(call.session.db, call.keys.now_ms, &hashed, mode);
    let result = f(&mut view);
    view.finish();
    result
}

/// The low-level facts of a key, in the form of Redis, which tests take apart.
fn object(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let (now_ms, compress) = (call.keys.now_ms, call.server.config.rdbcompression());
    let line = with_key(call, key, Mode::Shared, |view| {
        let entry = view.peek(key)?;
        Some(format!(
            "Value at:{:p} refcount:1 encoding:{} serializedlength:{} lru:{} lru_seconds_idle:{}",
            entry.address(),
            entry.encoding_name(),
            Saving::of(entry, now_ms).map_or(0, |value| value.bytes(compress)),
            entry.access().0,
            entry.access().idle_seconds(now_ms),
        ))
    });
    call.out.simple(&line.ok_or(Error::NoSuchKey)?);
    Ok(())
}

fn table_statistics(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let db = usize::try_from(call.args.next_i64()?).ok().filter(|db| *db < call.server.keyspace.databases());
    let db = db.ok_or(Error::line("ERR Out of range database"))?;
    let counts = call.keys.survey(db);
    let text = format!(
        "[Dictionary HT]\nHash table 0 stats (main hash table):\n table size: {}\n number of elements: {}\n\
         [Expires HT]\nHash table 0 stats (main hash table):\n table size: {}\n number of elements: {}\n",
        counts.buckets, counts.keys, counts.deadlines, counts.deadlines
    );
    call.out.verbatim("txt", text.as_bytes());
    Ok(())
}

/// Which elements of a list are too large for a block follows from `list-max-listpack-size` alone, so nothing is
/// set; a size that Redis refuses is refused.
fn packed_threshold(call: &mut Call<'_, '_>) -> Result<(), Error> {
    const LIMIT_BYTES: u64 = 4 << 30;
    let text = String::from_utf8_lossy(call.args.take()?).to_ascii_lowercase();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: Option<u64> = match &text[digits.len()..] {
        "" | "b" => Some(1),
        "k" => Some(1000),
        "kb" => Some(1 << 10),
        "m" => Some(1_000_000),
        "mb" => Some(1 << 20),
        "g" => Some(1_000_000_000),
        "gb" => Some(1 << 30),
        _ => None,
    };
    let bytes = digits.parse::<u64>().ok().zip(unit).and_then(|(n, unit)| n.checked_mul(unit));
    if bytes.is_some_and(|bytes| bytes < LIMIT_BYTES) {
        return Ok(());
    }
    Err(Error::line("ERR argument must be a memory value bigger than 1 and smaller than 4gb"))
}

const HELP: &[&str] = &[
    "AOF-FLUSH-SLEEP <microseconds>",
    "    Wait for so long before each write to the append-only file.",
    "CHANGE-REPL-ID",
    "    Give the data set's history a new name.",
    "CONFIG-REWRITE-FORCE-ALL",
    "    Rewrite the configuration file with a line for every directive.",
    "DIGEST",
    "    A signature of the whole data set, the same as Redis's for the same data.",
    "DIGEST-VALUE <key> [<key> ...]",
    "    Signatures of the values of these keys.",
    "ERROR <string>",
    "    Reply with this error.",
    "HTSTATS <dbid> [full]",
    "    The size of the tables of a database.",
    "LOG <message>",
    "    Write <message> to the log.",
    "OBJECT <key>",
    "    Low-level facts about the value of <key>.",
    "PANIC",
    "    End the process as a bug would, with a report in the log.",
    "PAUSE-CRON <0|1>",
    "    Whether clients are left without housekeeping.",
    "POPULATE <count> [<prefix>] [<size>]",
    "    Create <count> keys named <prefix>:<number> (default: key:<number>), those that exist excepted.",
    "PROTOCOL <type>",
    "    Reply with a test value of the type: string, integer, double, bignum, null, array, set, map, attrib,",
    "    push, verbatim, true, false.",
    "LOADAOF",
    "    Write the append-only file to disk, remove all keys, and load the file.",
    "RELOAD [MERGE] [NOFLUSH] [NOSAVE]",
    "    Save a snapshot, remove all keys, and load the snapshot:",
    "    * MERGE: Keys that are there already are replaced.",
    "    * NOFLUSH: Keys are not removed before.",
    "    * NOSAVE: Load the snapshot that is there.",
    "REPLYBUFFER <setting> <value>",
    "    How the part of the output that counts as the reply buffer follows the size of the replies:",
    "    * PEAK-RESET-TIME <NEVER|RESET|milliseconds>",
    "      For how long the largest reply counts. RESET: the default.",
    "    * RESIZING <0|1>",
    "      Whether it follows at all.",
    "SET-ACTIVE-EXPIRE <0|1>",
    "    Whether keys that have expired are removed before somebody asks for them.",
    "SET-SKIP-CHECKSUM-VALIDATION <0|1>",
    "    Whether RESTORE takes values whose checksum is wrong.",
    "SLEEP <seconds>",
    "    Hold up the worker of this connection. Decimals allowed.",
    "STRINGMATCH-LEN <pattern> <string>",
    "    Whether a glob-like <pattern> matches <string>.",
    "JMAP, DICT-RESIZING <0|1>,",
    "QUICKLIST-PACKED-THRESHOLD <size>, SET-DISABLE-DENY-SCRIPTS <0|1>",
    "    Accepted for the sake of test suites; without effect here.",
];
