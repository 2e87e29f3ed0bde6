//! What is written about the server is true of it: tables of the documents against the code, the example
//! configuration and the help text against the directives, links against files.
//!
//! Tables between `<!-- NAME -->` and `<!-- /NAME -->` are written by this program when
//! `NUTHATCH_UPDATE_DOCUMENTS` is set, and compared otherwise.

mod common;

use common::{Process, elements, free_port, text};
use nuthatch::command::table::table;
use nuthatch::config::cli::{Invocation, parse_with, usage};
use nuthatch::config::directive::{Directive, Effect, Kind};
use nuthatch::config::{Config, DIRECTIVES, flag, lookup};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Checks, or writes, the part of a document that is derived from the code.
fn check_derived(document: &str, part: &str, expected: &str) {
    let old = read(document);
    let (begin, end) = (format!("<!-- {part} -->\n"), format!("<!-- /{part} -->"));
    let missing = || panic!("{document} has no part '{part}'");
    let start = old.find(&begin).unwrap_or_else(missing) + begin.len();
    let len = old[start..].find(&end).unwrap_or_else(missing);
    if old[start..start + len] == *expected {
        return;
    }
    if std::env::var_os("NUTHATCH_UPDATE_DOCUMENTS").is_none() {
        let stale: Vec<&str> = old[start..start + len].lines().filter(|l| !expected.contains(l)).collect();
        let wanted: Vec<&str> = expected.lines().filter(|line| !old.contains(line)).collect();
        panic!("{document} is out of date; NUTHATCH_UPDATE_DOCUMENTS=1 writes it.\n{stale:#?}\n{wanted:#?}");
    }
    let new = [&old[..start], expected, &old[start + len..]].concat();
    std::fs::write(root().join(document), new).expect("the document can be written");
}

fn code(text: &str) -> String {
    if text.is_empty() { "–".into() } else { format!("`{text}`") }
}

fn words(list: &[(&str, i64)]) -> String {
    list.iter().map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// What the values of a directive look like, for people.
fn values(kind: &Kind) -> String {
    let number = |min: i64, max: i64| match (min, max) {
        (_, i64::MAX) => format!("from {min}"),
        _ if max == i32::MAX.into() || max == u32::MAX.into() => {
            if min == i32::MIN.into() {
                "integer".into()
            } else {
                format!("from {min}")
            }
        }
        _ => format!("{min} to {max}"),
    };
    match *kind {
        Kind::Bool => "`yes`, `no`".into(),
        Kind::Integer { min, max } => number(min, max),
        Kind::Clamped { low, high, .. } => number(low, high),
        Kind::Cores { max } => number(0, max),
        Kind::PowerOfTwo { max } => format!("power of two up to {max}"),
        Kind::Octal { max } => format!("octal, up to {max:o}"),
        Kind::Memory { min: 0 | 1, .. } => "size".into(),
        Kind::Memory { min, .. } => format!("size, at least {}kb", min >> 10).replace("1024kb", "1mb"),
        Kind::MemoryOrPercent => "size or per cent".into(),
        Kind::Choice(list) => words(list),
        Kind::Flags { words: list, .. } => format!("any of {}", words(list)),
        Kind::Events => "letters".into(),
        Kind::Text { .. } => "text".into(),
        Kind::Directory => "directory".into(),
        Kind::Addresses => "addresses".into(),
        Kind::SavePoints => "pairs of seconds and changes".into(),
        Kind::OutputLimits => "class, size, size, seconds; repeated".into(),
        Kind::Percentiles => "0 to 100, several".into(),
        Kind::OomScores => "three integers".into(),
        Kind::ReplicaOf => "host and port, or `no one`".into(),
        Kind::Lines { .. } => "words".into(),
        Kind::Include => "path or pattern".into(),
        Kind::Obsolete => "anything".into(),
    }
}

fn when(directive: &Directive) -> &'static str {
    match directive {
        d if d.is_file_only() => "file",
        d if d.has(flag::IMMUTABLE) => "start",
        d if d.has(flag::PROTECTED) => "guarded",
        _ => "any time",
    }
}

fn name_cell(directive: &Directive) -> String {
    let mut cell = format!("`{}`", directive.name);
    for alias in directive.aliases {
        write!(cell, ", `{alias}`").expect("a string takes all");
    }
    if directive.has(flag::HIDDEN) {
        cell.push_str(" †");
    }
    cell
}

fn default_cell(directive: &Directive) -> String {
    match directive.kind {
        Kind::Directory => "where it is started".into(),
        _ => code(directive.default),
    }
}

fn title(section: &str) -> String {
    if section == "tls" {
        return "TLS".into();
    }
    section[..1].to_ascii_uppercase() + &section[1..]
}

fn by_section(is_meant: impl Fn(&Directive) -> bool) -> Vec<(&'static str, Vec<&'static Directive>)> {
    let mut sections: Vec<(&str, Vec<&Directive>)> = Vec::new();
    for directive in DIRECTIVES.iter().filter(|directive| is_meant(directive)) {
        match sections.last_mut() {
            Some((section, list)) if *section == directive.section => list.push(directive),
            _ => sections.push((directive.section, vec![directive])),
        }
    }
    sections
}

#[test]
fn every_directive_is_described() {
    let mut active = String::new();
    for (section, list) in by_section(|directive| directive.effect == Effect::Active) {
        active += &format!("\n### {}\n\n", title(section));
        active += "| directive | values | default | set | meaning |\n|---|---|---|---|---|\n";
        for d in list {
            let (name, default) = (name_cell(d), default_cell(d));
            active +=
                &format!("| {name} | {} | {default} | {} | {} |\n", values(&d.kind), when(d), d.summary);
        }
    }
    check_derived("docs/configuration.md", "directives", &(active + "\n"));

    let mut idle = String::new();
    for (section, list) in by_section(|directive| directive.effect != Effect::Active) {
        idle += &format!("\n### {}, without effect\n\n", title(section));
        idle += "| directive | default | set | why it has no effect |\n|---|---|---|---|\n";
        for d in list {
            let Effect::NoEffect(why) = d.effect else { continue };
            idle += &format!("| {} | {} | {} | {why} |\n", name_cell(d), default_cell(d), when(d));
        }
    }
    check_derived("docs/configuration.md", "idle directives", &(idle + "\n"));
}

/// Rows of Markdown tables that begin with a directive and its default.
fn assert_defaults(document: &str, rows: impl Iterator<Item = (String, String)>, at_least: usize) {
    let mut seen = 0;
    for (name, default) in rows {
        let (id, _) = lookup(name.as_bytes()).unwrap_or_else(|| panic!("{document}: {name} is no directive"));
        assert_eq!(default, id.directive().default, "{document}: the default of {name}");
        assert_eq!(id.directive().effect, Effect::Active, "{document}: {name}");
        seen += 1;
    }
    assert!(seen >= at_least, "{document}: only {seen} directives");
}

#[test]
fn the_readme_gives_the_true_defaults() {
    let readme = read("README.md");
    let rows = readme.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        let name = cells.next()?.strip_suffix('`')?;
        let default = cells.next()?.trim_matches('`').replace('–', "");
        Some((name.to_owned(), default))
    });
    assert_defaults("README.md", rows, 8);
}

#[test]
fn the_help_text_is_true() {
    let rows = usage().lines().filter_map(|line| {
        let (name, rest) = line.strip_prefix("  --")?.split_once(' ')?;
        let default = rest.split("  ").next()?.trim().trim_matches('\'');
        (name != "directive").then(|| (name.to_owned(), default.to_owned()))
    });
    assert_defaults("--help", rows, 8);
    // Every option that is mentioned anywhere exists.
    for word in usage().split_whitespace().filter_map(|word| word.strip_prefix("--")) {
        let is_known = ["version", "help", "directive"].contains(&word) || lookup(word.as_bytes()).is_some();
        assert!(is_known, "--{word}");
    }
    for wanted in ["--version", "-v", "--help", "-h", "redis.conf", " -\n", "SIGTERM", "SIGINT", "SHUTDOWN"] {
        assert!(usage().contains(wanted), "{wanted}");
    }
    // Every example that needs no file is a command line.
    for example in usage().lines().filter_map(|line| line.split_once("nuthatch ").map(|(_, rest)| rest)) {
        if usage().lines().skip_while(|line| *line != "Examples:").all(|line| !line.ends_with(example)) {
            continue;
        }
        let args = example.split_whitespace().filter(|arg| !arg.starts_with('/')).map(OsString::from);
        let invocation = parse_with(args, &mut "maxclients 500".as_bytes(), &|_| None);
        assert!(matches!(invocation, Ok(Invocation::Run { .. })), "{example}");
    }
    assert!(usage().lines().all(|line| line.len() <= 110), "a line is too long for a terminal");
}

/// The example configuration, and the same with all that is commented out in it.
fn example() -> (PathBuf, String) {
    let path = root().join("config/redis.conf");
    let is_off =
        |line: &str| line.starts_with('#') && line[1..].starts_with(|c: char| c.is_ascii_lowercase());
    let text = read("config/redis.conf");
    let all: Vec<&str> = text.lines().map(|line| if is_off(line) { &line[1..] } else { line }).collect();
    (path, all.join("\n"))
}

#[test]
fn the_example_configuration_is_complete() {
    let (path, all) = example();
    let load = |args: &[&str], stdin: &str| {
        let args = args.iter().map(OsString::from);
        match parse_with(args, &mut stdin.as_bytes(), &|_| Some(b"secret".to_vec())) {
            Ok(Invocation::Run { config, warnings, .. }) => (*config, warnings),
            other => panic!("{other:?}"),
        }
    };
    let (config, warnings) = load(&[path.to_str().expect("a path")], "");
    assert!(warnings.is_empty(), "{warnings:?}");
    for directive in &DIRECTIVES {
        let (is, would_be) = (config.text(directive.id), Config::new().text(directive.id));
        let name = directive.name;
        assert_eq!(is.escape_ascii().to_string(), would_be.escape_ascii().to_string(), "{name} is changed");
    }
    let (_, warnings) = load(&["-"], &all);
    assert!(warnings.is_empty(), "{warnings:?}");
    let named: BTreeSet<&str> = all.lines().filter_map(|line| line.split(' ').next()).collect();
    for directive in DIRECTIVES.iter().filter(|directive| directive.effect == Effect::Active) {
        assert!(named.contains(directive.name), "{} is missing", directive.name);
    }
}

#[test]
fn the_server_runs_with_the_example_configuration() {
    let port = free_port();
    let dir = tempfile::tempdir().expect("a directory");
    let mut command = Command::new(env!("CARGO_BIN_EXE_nuthatch"));
    command.arg(example().0).args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--logfile", "log"]);
    let server = Process::launch(command, port, dir);
    server.await_listening();
    assert_eq!(server.connect().ask(&["SET", "k", "v"]), b"+OK\r\n");
    let log = std::fs::read_to_string(server.dir().join("log")).expect("a log");
    assert!(log.contains("config/redis.conf") && !log.contains("no effect"), "{log}");
}

#[test]
fn every_command_is_listed() {
    let server = Process::nuthatch(&[]);
    let reply = server.connect().ask(&["COMMAND", "LIST"]);
    let names: BTreeSet<String> = elements(&reply).expect("a list").into_iter().map(text).collect();
    let groups: BTreeMap<String, String> = table()
        .all
        .iter()
        .map(|entry| (entry.full_name.clone(), format!("{:?}", entry.spec.group)))
        .collect();
    let mut by_group: BTreeMap<&str, BTreeMap<&str, Vec<&str>>> = BTreeMap::new();
    for name in &names {
        let (command, sub) = name.split_once('|').unwrap_or((name, ""));
        let subs = by_group.entry(&groups[name]).or_default().entry(command).or_default();
        subs.extend((!sub.is_empty()).then_some(sub));
    }
    let mut list = "\n| group | commands |\n|---|---|\n".to_owned();
    for (group, commands) in by_group {
        let commands = commands.into_iter().map(|(command, subs)| match subs.as_slice() {
            [] => format!("`{}`", command.to_uppercase()),
            subs => format!("`{}` ({})", command.to_uppercase(), subs.join(", ").to_uppercase()),
        });
        list += &format!("| {group} | {} |\n", commands.collect::<Vec<_>>().join(", "));
    }
    check_derived("docs/compatibility.md", "commands", &(list + "\n"));
}

/// The folders of `src` that the files below `folder` name.
fn used_by(folder: &Path, used: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            used_by(&path, used);
            continue;
        }
        let source = std::fs::read_to_string(&path).expect("a source file");
        for rest in source.split("crate::").skip(1) {
            let name: String = rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            used.insert(name);
        }
    }
}

#[test]
fn folders_depend_on_each_other_as_documented() {
    let document = read("docs/architecture.md");
    let mut folders: BTreeSet<String> = BTreeSet::new();
    for line in document.lines() {
        let Some(cells) = line.strip_prefix("| `src/").map(|rest| rest.split(" | ").collect::<Vec<_>>())
        else {
            continue;
        };
        let Some(folder) = cells[0].strip_suffix("/`") else { continue };
        let allowed: BTreeSet<String> = cells[2]
            .trim_end_matches(" |")
            .split(", ")
            .map(|name| name.trim_matches('`').to_owned())
            .collect();
        let mut used = BTreeSet::new();
        used_by(&root().join("src").join(folder), &mut used);
        used.retain(|name| !name.is_empty() && name != folder && root().join("src").join(name).is_dir());
        let unexpected: Vec<&String> = used.difference(&allowed).collect();
        assert!(
            unexpected.is_empty(),
            "src/{folder} uses {unexpected:?}, which docs/architecture.md forbids"
        );
        folders.insert(folder.to_owned());
    }
    for entry in std::fs::read_dir(root().join("src")).expect("src") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("a name");
        assert!(!entry.path().is_dir() || folders.contains(&name), "docs/architecture.md lacks src/{name}");
    }
}

#[test]
fn links_lead_somewhere() {
    let documents = std::fs::read_dir(root().join("docs")).expect("docs");
    let mut documents: Vec<PathBuf> = documents.map(|entry| entry.expect("an entry").path()).collect();
    documents.extend([root().join("README.md"), root().join("benches/README.md")]);
    let mut links = 0;
    for document in documents.iter().filter(|path| path.extension().is_some_and(|e| e == "md")) {
        let text = std::fs::read_to_string(document).expect("a document");
        for rest in text.split("](").skip(1) {
            let target = rest.split([')', '#']).next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let path = document.parent().expect("a folder").join(target);
            assert!(path.exists(), "{}: {target}", document.display());
            links += 1;
        }
    }
    assert!(links > 5, "only {links} links");
}
