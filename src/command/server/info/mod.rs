//! INFO: the server's figures as lines of text, in sections.
//!
//! Names and forms are Redis's, which exporters and dashboards read. A field of something that this version
//! does not have (replicas, snapshots, scripts) is given where tools rely on its being there: it says that
//! there is none.

mod machine;
mod memory;
mod statistics;
mod storage;

use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Acl, Arg, Command, Flags, Group, Scope};
use crate::state::Server;

pub const INFO: Command = Command {
    name: "info",
    summary: "Returns the server's properties and statistics.",
    group: Group::Server,
    arity: -1,
    flags: Flags::LOADING.union(Flags::STALE),
    acl: Acl::DANGEROUS,
    tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    args: &[Arg::string("section").optional().multiple()],
    history: &[("7.0.0", "Takes several sections.")],
    reply: "lines of field and value, in sections",
    scope: Scope::Nothing,
    handler: Some(info),
    ..Command::NEW
};

/// One section: its name as INFO takes it, its title, whether it is shown when none is asked for, and what
/// writes it.
struct Section {
    name: &'static str,
    title: &'static str,
    by_default: bool,
    write: fn(&mut Text, &Server, i64),
}

const fn section(
    name: &'static str,
    title: &'static str,
    by_default: bool,
    write: fn(&mut Text, &Server, i64),
) -> Section {
    Section { name, title, by_default, write }
}

/// All sections, in Redis's order.
const SECTIONS: &[Section] = &[
    section("server", "Server", true, machine::server),
    section("clients", "Clients", true, machine::clients),
    section("memory", "Memory", true, memory::memory),
    section("persistence", "Persistence", true, storage::persistence),
    section("stats", "Stats", true, statistics::stats),
    section("replication", "Replication", true, storage::replication),
    section("cpu", "CPU", true, machine::cpu),
    section("modules", "Modules", true, |_, _, _| {}),
    section("commandstats", "Commandstats", false, statistics::commands),
    section("errorstats", "Errorstats", true, statistics::errors),
    section("latencystats", "Latencystats", false, statistics::latencies),
    section("cluster", "Cluster", true, |text, _, _| text.field("cluster_enabled", 0)),
    section("keyspace", "Keyspace", true, storage::keyspace),
];

/// The text that grows.
#[derive(Default)]
struct Text(String);

impl Text {
    fn field(&mut self, name: &str, value: impl std::fmt::Display) {
        self.line(format_args!("{name}:{value}"));
    }

    fn fields<V: std::fmt::Display>(&mut self, fields: &[(&str, V)]) {
        for (name, value) in fields {
            self.field(name, value);
        }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = std::fmt::write(&mut self.0, line);
        self.0.push_str("\r\n");
    }
}

fn info(call: &mut Call<'_>) -> Result<(), Error> {
    let wanted: Vec<&[u8]> = call.args.rest().collect();
    let names = |name: &str| wanted.iter().any(|word| word.eq_ignore_ascii_case(name.as_bytes()));
    let all = names("all") || names("everything");
    let defaults = wanted.is_empty() || names("default");
    let mut text = Text::default();
    for section in SECTIONS {
        if !(all || (defaults && section.by_default) || names(section.name)) {
            continue;
        }
        if !text.0.is_empty() {
            text.0.push_str("\r\n");
        }
        text.line(format_args!("# {}", section.title));
        (section.write)(&mut text, call.server, call.keys.now_ms);
    }
    call.out.verbatim("txt", text.0.as_bytes());
    Ok(())
}
