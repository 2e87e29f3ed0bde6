//! MEMORY: where the memory goes.

use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::help;
use crate::command::spec::{Arg, Command, Flags, Group, KeyFlags, KeySpec, Scope};
use crate::keyspace::shard::BUCKET_BYTES;
use crate::keyspace::view::Mode;
use crate::memory;
use crate::resp::reply::Reply;
use crate::script::Purpose;
use crate::state::memory_use::{Excess, MemoryUse};
use crate::types::number;

/// What the subcommands on the whole server have in common.
const BASE: Command = Command {
    since: "4.0.0",
    group: Group::Server,
    arity: 2,
    tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    scope: Scope::Nothing,
    ..Command::NEW
};

const COULD_BE_SLOW: &str = "Depends on how much memory is allocated, could be slow";

pub const MEMORY: Command = Command {
    name: "memory",
    summary: "Contains the commands on memory.",
    since: "4.0.0",
    group: Group::Server,
    complexity: "Depends on the subcommand.",
    arity: -2,
    help: HELP,
    subcommands: &[
        Command {
            name: "doctor",
            summary: "Explains where more memory is used than need be.",
            reply: "text",
            scope: Scope::Survey(Mode::Shared),
            handler: Some(doctor),
            ..BASE
        },
        help::record(Group::Server, "4.0.0"),
        Command {
            name: "malloc-stats",
            summary: "Returns the allocator's own statistics.",
            complexity: COULD_BE_SLOW,
            reply: "text",
            handler: Some(malloc_stats),
            ..BASE
        },
        Command {
            name: "purge",
            summary: "Has the allocator give memory back to the system.",
            complexity: COULD_BE_SLOW,
            tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
            reply: "OK",
            handler: Some(|call| {
                memory::purge();
                call.out.ok();
                Ok(())
            }),
            ..BASE
        },
        Command {
            name: "stats",
            summary: "Returns what the memory is used for.",
            reply: "map of figures",
            scope: Scope::Survey(Mode::Shared),
            handler: Some(stats),
            ..BASE
        },
        Command {
            name: "usage",
            summary: "Returns the memory that a key takes.",
            complexity: "O(N) where N is the number of samples",
            arity: -3,
            flags: Flags::READONLY,
            tips: &[],
            keys: &[KeySpec::one(2, KeyFlags::RO)],
            args: &[Arg::key("key", 0), Arg::integer("count").token("SAMPLES").optional()],
            reply: "bytes, or null if there is no such key",
            scope: Scope::Keys,
            handler: Some(usage),
            ..BASE
        },
    ],
    ..Command::NEW
};

fn usage(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    while !call.args.is_done() {
        // A string's size is exact, so nothing is sampled; the number must be one all the same.
        if call.args.left() < 2 || !call.args.skip_word("SAMPLES") || call.args.next_i64()? < 0 {
            return Err(Error::Syntax);
        }
    }
    match call.keys.peek(key) {
        Some(entry) => call.out.integer((entry.heap_bytes() + BUCKET_BYTES) as i64),
        None => call.out.null(),
    }
    Ok(())
}

fn malloc_stats(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let text = memory::allocator_report();
    call.out.verbatim("txt", &text);
    Ok(())
}

fn stats(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let memory = MemoryUse::of(call.server, call.keys);
    let scripting = &call.server.scripting;
    let mut fields = Fields { out: call.out, count: 0 };
    let place = fields.out.deferred();
    fields.bytes("peak.allocated", memory.peak);
    fields.bytes("total.allocated", memory.used);
    fields.bytes("startup.allocated", memory.startup);
    fields.bytes("replication.backlog", 0);
    fields.bytes("replica.fullsync.buffer", 0);
    fields.bytes("clients.slaves", 0);
    fields.bytes("clients.normal", memory.clients);
    fields.bytes("cluster.links", 0);
    fields.bytes("aof.buffer", 0);
    fields.bytes("lua.caches", scripting.scripts.bytes());
    fields.bytes("functions.caches", scripting.functions.current().bytes());
    fields.bytes(
        "script.VMs",
        scripting.interpreter_bytes(Purpose::Eval) + scripting.interpreter_bytes(Purpose::Functions),
    );
    for (db, overhead) in &memory.databases {
        fields.name(&format!("db.{db}"));
        fields.out.map(2);
        fields.out.text("overhead.hashtable.main");
        fields.out.integer(overhead.table_bytes as i64);
        fields.out.text("overhead.hashtable.expires");
        fields.out.integer(overhead.wheel_bytes as i64);
    }
    let tables: usize = memory.databases.iter().map(|(_, overhead)| overhead.table_bytes).sum();
    fields.bytes("overhead.db.hashtable.lut", tables);
    // A table that grows does so at once: between commands there is never an old one beside it.
    fields.bytes("overhead.db.hashtable.rehashing", 0);
    fields.bytes("overhead.total", memory.overhead());
    fields.bytes("db.dict.rehashing.count", 0);
    fields.bytes("keys.count", memory.keys);
    fields.bytes("keys.bytes-per-key", memory.bytes_per_key());
    fields.bytes("dataset.bytes", memory.dataset());
    fields.ratio("dataset.percentage", memory.dataset_percent());
    fields.ratio("peak.percentage", memory.peak_percent());
    fields.bytes("allocator.allocated", memory.allocator.allocated);
    fields.bytes("allocator.active", memory.allocator.active);
    fields.bytes("allocator.resident", memory.allocator.resident);
    fields.excess(
        "allocator-fragmentation.ratio",
        "allocator-fragmentation.bytes",
        memory.allocator_fragmentation(),
    );
    fields.excess("allocator-rss.ratio", "allocator-rss.bytes", memory.allocator_resident());
    fields.excess("rss-overhead.ratio", "rss-overhead.bytes", memory.beyond_allocator());
    fields.excess("fragmentation", "fragmentation.bytes", memory.fragmentation());
    let count = fields.count;
    call.out.finish_map(place, count);
    Ok(())
}

/// A map that grows.
struct Fields<'a> {
    out: &'a mut Reply,
    count: usize,
}

impl Fields<'_> {
    fn name(&mut self, name: &str) {
        self.count += 1;
        self.out.text(name);
    }

    fn bytes(&mut self, name: &str, bytes: usize) {
        self.name(name);
        self.out.integer(bytes as i64);
    }

    fn ratio(&mut self, name: &str, ratio: f64) {
        self.name(name);
        let mut text = Vec::new();
        number::write_f64(&mut text, ratio);
        self.out.double_text(&text);
    }

    fn excess(&mut self, ratio: &str, bytes: &str, excess: Excess) {
        self.ratio(ratio, excess.ratio);
        self.name(bytes);
        self.out.integer(excess.bytes);
    }
}

/// Below this, ratios say nothing (Redis's figure).
const SMALL_BYTES: usize = 5 << 20;

/// From where on a ratio is worth a remark, and an amount (Redis's figures).
const HIGH_PEAK_RATIO: f64 = 1.5;
const HIGH_RATIO: f64 = 1.4;
const HIGH_EXCESS_BYTES: i64 = 10 << 20;
const LARGE_CLIENT_BYTES: usize = 200 << 10;

fn doctor(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let memory = MemoryUse::of(call.server, call.keys);
    let report = diagnose(&memory, call.server.clients.count());
    call.out.verbatim("txt", report.as_bytes());
    Ok(())
}

/// Explains what is remarkable about the figures.
fn diagnose(memory: &MemoryUse, clients: usize) -> String {
    if memory.used < SMALL_BYTES {
        return "Less than 5 MB are in use: too little for ratios to mean anything.\n".to_owned();
    }
    let high = |excess: Excess, ratio: f64| excess.ratio > ratio && excess.bytes > HIGH_EXCESS_BYTES;
    let remarks = [
        (
            memory.peak as f64 / memory.used as f64 > HIGH_PEAK_RATIO,
            "The peak was much higher: more than 1.5 times as much memory was once in use. The allocator may keep \
             some of it; MEMORY PURGE gives back what it can.",
        ),
        (
            high(memory.fragmentation(), HIGH_RATIO),
            "The process is much larger than its data: the resident set is more than 1.4 times the memory in use. The \
             remarks below, if any, say where the rest is; after many deletions, MEMORY PURGE helps.",
        ),
        (
            high(memory.allocator_fragmentation(), 1.1),
            "The allocator's pages are not full: values of many sizes came and went. New values of those sizes will \
             fill them; a restart does, too.",
        ),
        (
            high(memory.allocator_resident(), 1.1),
            "The allocator keeps free pages: they are given back in time, or at once by MEMORY PURGE.",
        ),
        (
            high(memory.beyond_allocator(), 1.1),
            "The process has memory that is not the allocator's: thread stacks and code take their share, and most \
             likely nothing is wrong.",
        ),
        (
            clients > 0 && memory.clients / clients > LARGE_CLIENT_BYTES,
            "Connections take more than 200 kB each on average: clients send very long requests, or do not read \
             their replies. CLIENT LIST shows who (qbuf, omem).",
        ),
    ];
    let found: Vec<&str> = remarks.iter().filter(|(applies, _)| *applies).map(|(_, text)| *text).collect();
    if found.is_empty() {
        return "Nothing is remarkable about the use of memory.\n".to_owned();
    }
    found.iter().map(|remark| format!("* {remark}\n")).collect()
}

const HELP: &[&str] = &[
    "DOCTOR",
    "    Explain where more memory is used than need be.",
    "MALLOC-STATS",
    "    The allocator's own statistics.",
    "PURGE",
    "    Have the allocator give memory back to the system.",
    "STATS",
    "    What the memory is used for.",
    "USAGE <key> [SAMPLES <count>]",
    "    Bytes that <key> takes, with its value. <count> elements of a nested value are looked at",
    "    (default: 5, 0: all).",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::AllocatorStats;

    #[test]
    fn remarks_follow_the_figures() {
        let allocator = AllocatorStats {
            allocated: 100 << 20,
            active: 105 << 20,
            resident: 110 << 20,
            ..Default::default()
        };
        let calm = MemoryUse {
            used: 100 << 20,
            peak: 110 << 20,
            startup: 1 << 20,
            clients: 1 << 20,
            peak_at_secs: 0,
            databases: Vec::new(),
            keys: 1000,
            resident: 112 << 20,
            allocator,
        };
        assert!(diagnose(&calm, 50).starts_with("Nothing"));
        assert!(diagnose(&MemoryUse { used: 1 << 20, ..calm.clone() }, 50).starts_with("Less"));
        let shrunk = MemoryUse { peak: 200 << 20, resident: 180 << 20, ..calm.clone() };
        let report = diagnose(&shrunk, 50);
        assert_eq!(report.lines().count(), 3, "{report}");
        assert!(diagnose(&calm, 2).contains("CLIENT LIST"));
    }
}
