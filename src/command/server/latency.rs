//! LATENCY: what has made clients wait.

use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::help;
use crate::command::spec::{Arg, Command, Flags, Group, Scope};
use crate::command::table::{Entry, table};
use crate::observe::latency::Settings;

/// What all subcommands have in common.
const BASE: Command = Command {
    since: "2.8.13",
    group: Group::Server,
    arity: 2,
    flags: Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::LOADING).union(Flags::STALE),
    tips: &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
    scope: Scope::Nothing,
    ..Command::NEW
};

const EVENT: &[Arg] = &[Arg::string("event")];

pub const LATENCY: Command = Command {
    name: "latency",
    summary: "Contains the commands on latency.",
    since: "2.8.13",
    group: Group::Server,
    complexity: "Depends on the subcommand.",
    arity: -2,
    help: HELP,
    subcommands: &[
        Command {
            name: "doctor",
            summary: "Explains the latencies seen, and what can be done about them.",
            reply: "text",
            handler: Some(doctor),
            ..BASE
        },
        Command {
            name: "graph",
            summary: "Draws the latencies of an event.",
            arity: 3,
            args: EVENT,
            reply: "text",
            handler: Some(graph),
            ..BASE
        },
        help::record(Group::Server, "2.8.13"),
        Command {
            name: "histogram",
            summary: "Returns how the latencies of commands are distributed.",
            since: "7.0.0",
            complexity: "O(N) where N is the number of commands with latencies",
            arity: -2,
            args: &[Arg::string("command").optional().multiple()],
            reply: "map of command to its number of calls and the calls up to each power of two of microseconds",
            handler: Some(histogram),
            ..BASE
        },
        Command {
            name: "history",
            summary: "Returns the latencies of an event over time.",
            arity: 3,
            args: EVENT,
            reply: "array of pairs of Unix time and milliseconds",
            handler: Some(history),
            ..BASE
        },
        Command {
            name: "latest",
            summary: "Returns the latest latency of each event.",
            reply: "array of event, Unix time, milliseconds, most milliseconds so far",
            handler: Some(latest),
            ..BASE
        },
        Command {
            name: "reset",
            summary: "Forgets the latencies of some events, or of all.",
            arity: -2,
            tips: &["request_policy:all_nodes", "response_policy:agg_sum"],
            args: &[Arg::string("event").optional().multiple()],
            reply: "number of events forgotten",
            handler: Some(reset),
            ..BASE
        },
    ],
    ..Command::NEW
};

fn doctor(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let config = &call.server.config;
    let settings = Settings {
        threshold_ms: config.latency_monitor_threshold(),
        slowlog_slower_than_us: config.slowlog_log_slower_than(),
        slowlog_max_len: config.slowlog_max_len() as usize,
    };
    let report = call.server.latency.doctor(call.keys.now_ms / 1000, settings);
    call.out.verbatim("txt", report.as_bytes());
    Ok(())
}

fn graph(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let event = call.args.take()?;
    let name = String::from_utf8_lossy(event);
    let Some(graph) = call.server.latency.graph(&name, call.keys.now_ms / 1000) else {
        return Err(Error::echoing("No samples available for event '", event, "'"));
    };
    call.out.verbatim("txt", graph.as_bytes());
    Ok(())
}

fn history(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let event = String::from_utf8_lossy(call.args.take()?);
    let samples = call.server.latency.history(&event);
    call.out.array(samples.len());
    for sample in samples {
        call.out.array(2);
        call.out.integer(sample.unix_s);
        call.out.integer(sample.latency_ms as i64);
    }
    Ok(())
}

fn latest(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let events = call.server.latency.latest();
    call.out.array(events.len());
    for event in events {
        call.out.array(4);
        call.out.text(&event.event);
        call.out.integer(event.last.unix_s);
        call.out.integer(event.last.latency_ms as i64);
        call.out.integer(event.max_ms as i64);
    }
    Ok(())
}

fn reset(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let latency = &call.server.latency;
    let forgotten = if call.args.is_done() {
        latency.reset_all()
    } else {
        call.args.rest().map(|event| latency.reset(&String::from_utf8_lossy(event))).sum()
    };
    call.out.integer(forgotten as i64);
    Ok(())
}

fn histogram(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let commands: Vec<&Entry> = if call.args.is_done() {
        table().all.clone()
    } else {
        // A container stands for its subcommands; names that are none are passed over.
        let named = call.args.rest().filter_map(|name| table().find_full(name));
        named.flat_map(|entry| std::iter::once(entry).chain(entry.subcommands.iter().copied())).collect()
    };
    let place = call.out.deferred();
    let mut shown = 0;
    for entry in commands {
        let Some(histogram) = call.server.counters.histogram(entry.id) else { continue };
        shown += 1;
        let out = &mut *call.out;
        out.text(&entry.full_name);
        out.map(2);
        out.text("calls");
        out.integer(histogram.total() as i64);
        out.text("histogram_usec");
        let buckets: Vec<(u64, u64)> = histogram.power_of_two_us().collect();
        out.map(buckets.len());
        for (micros, calls) in buckets {
            out.integer(micros as i64);
            out.integer(calls as i64);
        }
    }
    call.out.finish_map(place, shown);
    Ok(())
}

const HELP: &[&str] = &[
    "DOCTOR",
    "    Explain the latencies seen.",
    "GRAPH <event>",
    "    Draw the latencies of <event>.",
    "HISTOGRAM [COMMAND ...]",
    "    How the latencies of commands are distributed; without names, of all that were called.",
    "HISTORY <event>",
    "    Times and latencies of <event>.",
    "LATEST",
    "    The latest latency of each event.",
    "RESET [<event> ...]",
    "    Forget the latencies of these events (default: all).",
];
