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
use crate::keyspace::View;
use crate::keyspace::view::Mode;
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
    scope: Scope::Survey(Mode::Shared),
    handler: Some(info),
    ..Command::NEW
};

/// When a section is shown without being named.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    ByDefault,
    /// If all are asked for.
    InAll,
    Never,
}

/// One section: its name as INFO takes it, its title, and what writes it.
struct Section {
    name: &'static str,
    title: &'static str,
    shown: Shown,
    write: Write,
}

/// What a section is written from.
enum Write {
    /// The server and the time, Unix milliseconds.
    Server(fn(&mut Text, &Server, i64)),
    /// Also the databases.
    Keys(fn(&mut Text, &Server, &View<'_>)),
}

const fn section(
    name: &'static str,
    title: &'static str,
    shown: Shown,
    write: fn(&mut Text, &Server, i64),
) -> Section {
    Section { name, title, shown, write: Write::Server(write) }
}

const fn section_on_keys(
    name: &'static str,
    title: &'static str,
    write: fn(&mut Text, &Server, &View<'_>),
) -> Section {
    Section { name, title, shown: Shown::ByDefault, write: Write::Keys(write) }
}

/// All sections, in Redis's order.
const SECTIONS: &[Section] = &[
    section("server", "Server", Shown::ByDefault, machine::server),
    section("clients", "Clients", Shown::ByDefault, machine::clients),
    section_on_keys("memory", "Memory", memory::memory),
    section("persistence", "Persistence", Shown::ByDefault, storage::persistence),
    section("threads", "Threads", Shown::ByDefault, machine::threads),
    section("stats", "Stats", Shown::ByDefault, statistics::stats),
    section("replication", "Replication", Shown::ByDefault, storage::replication),
    section("cpu", "CPU", Shown::ByDefault, machine::cpu),
    section("modules", "Modules", Shown::ByDefault, |_, _, _| {}),
    section("commandstats", "Commandstats", Shown::InAll, statistics::commands),
    section("errorstats", "Errorstats", Shown::ByDefault, statistics::errors),
    section("latencystats", "Latencystats", Shown::InAll, statistics::latencies),
    section("cluster", "Cluster", Shown::ByDefault, |text, _, _| text.field("cluster_enabled", 0)),
    section("debug", "Debug", Shown::Never, statistics::debug),
    section_on_keys("keyspace", "Keyspace", storage::keyspace),
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

fn info(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let wanted: Vec<&[u8]> = call.args.rest().collect();
    let names = |name: &str| wanted.iter().any(|word| word.eq_ignore_ascii_case(name.as_bytes()));
    let all = names("all") || names("everything");
    let defaults = wanted.is_empty() || names("default");
    let mut text = Text::default();
    for section in SECTIONS {
        let shown = match section.shown {
            Shown::ByDefault => all || defaults,
            Shown::InAll => all,
            Shown::Never => false,
        };
        if !shown && !names(section.name) {
            continue;
        }
        if !text.0.is_empty() {
            text.0.push_str("\r\n");
        }
        text.line(format_args!("# {}", section.title));
        match section.write {
            Write::Server(write) => write(&mut text, call.server, call.keys.now_ms),
            Write::Keys(write) => write(&mut text, call.server, call.keys),
        }
    }
    call.out.verbatim("txt", text.0.as_bytes());
    Ok(())
}
