//! Writes records as COMMAND INFO and COMMAND DOCS show them.
//!
//! The shapes (which level is a map, which a set, what is a status line) are Redis 7.2's, because client
//! libraries decode them. Knows records and the reply writer.

use super::spec::{Acl, Arg, ArgKind, Begin, Command, Find, Flags, KeyFlags, KeySpec};
use super::table::Entry;
use crate::resp::reply::Reply;

/// The ten fields of COMMAND INFO.
pub fn info(out: &mut Reply, entry: &Entry) {
    let spec = entry.spec;
    let range = spec.key_range();
    let flags = spec.visible_flags();
    let acl = spec.acl_categories();
    out.array(10);
    out.text(&entry.full_name);
    out.integer(spec.arity as i64);
    status_set(out, "", Flags::NAMES.iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, name)| *name));
    out.integer(range.first);
    out.integer(range.last);
    out.integer(range.step);
    let categories = Acl::NAMES.iter().filter(|(category, _)| acl.contains(*category));
    status_set(out, "@", categories.map(|(_, name)| *name));
    out.set(spec.tips.len());
    for tip in spec.tips {
        out.text(tip);
    }
    out.set(spec.keys.len());
    for keys in spec.keys {
        key_spec(out, keys);
    }
    if entry.subcommands.is_empty() {
        out.set(0);
    } else {
        out.array(entry.subcommands.len());
        entry.subcommands.iter().for_each(|sub| info(out, sub));
    }
}

/// What a command does with a key, as a set of names.
pub fn key_flags(out: &mut Reply, flags: KeyFlags) {
    let names = KeyFlags::NAMES.iter().filter(|(flag, _)| flags.contains(*flag));
    status_set(out, "", names.map(|(_, name)| *name));
}

/// The map of COMMAND DOCS, without the name before it.
pub fn docs(out: &mut Reply, entry: &Entry) {
    let Command { summary, since, complexity, deprecated, history, args, .. } = *entry.spec;
    let doc_flags =
        [("deprecated", deprecated.is_some()), ("syscmd", entry.spec.flags.contains(Flags::SYSCMD))];
    let place = out.deferred();
    let mut fields = 1;
    for (name, value) in [("summary", summary), ("since", since)] {
        fields += text_field(out, name, value);
    }
    text_field(out, "group", entry.spec.group.name());
    fields += text_field(out, "complexity", complexity);
    if doc_flags.iter().any(|(_, set)| *set) {
        out.text("doc_flags");
        status_set(out, "", doc_flags.iter().filter(|(_, set)| *set).map(|(name, _)| *name));
        fields += 1;
    }
    if let Some((since, replacement)) = deprecated {
        fields += text_field(out, "deprecated_since", since);
        fields += text_field(out, "replaced_by", replacement);
    }
    if !history.is_empty() {
        out.text("history");
        out.set(history.len());
        for (version, change) in history {
            out.array(2);
            out.text(version);
            out.text(change);
        }
        fields += 1;
    }
    if !args.is_empty() {
        out.text("arguments");
        arguments(out, args);
        fields += 1;
    }
    if !entry.subcommands.is_empty() {
        out.text("subcommands");
        out.map(entry.subcommands.len());
        for sub in &entry.subcommands {
            out.text(&sub.full_name);
            docs(out, sub);
        }
        fields += 1;
    }
    out.finish_map(place, fields);
}

/// Writes a pair unless the value is empty; returns how many pairs that were.
fn text_field(out: &mut Reply, name: &str, value: &str) -> usize {
    if value.is_empty() {
        return 0;
    }
    out.text(name);
    out.text(value);
    1
}

fn status_set<'a>(out: &mut Reply, prefix: &str, names: impl Iterator<Item = &'a str> + Clone) {
    out.set(names.clone().count());
    for name in names {
        out.simple(&format!("{prefix}{name}"));
    }
}

fn key_spec(out: &mut Reply, keys: &KeySpec) {
    out.map(3 + !keys.notes.is_empty() as usize);
    text_field(out, "notes", keys.notes);
    out.text("flags");
    key_flags(out, keys.flags);
    out.text("begin_search");
    match keys.begin {
        Begin::Index(at) => {
            typed(out, "index", 1);
            number_field(out, "index", at);
        }
        Begin::Keyword { word, from } => {
            typed(out, "keyword", 2);
            text_field(out, "keyword", word);
            number_field(out, "startfrom", from);
        }
        Begin::Unknown => typed(out, "unknown", 0),
    }
    out.text("find_keys");
    match keys.find {
        Find::Range { last, step, limit } => {
            typed(out, "range", 3);
            number_field(out, "lastkey", last);
            number_field(out, "keystep", step);
            number_field(out, "limit", limit);
        }
        Find::KeyNum { count_at, first, step } => {
            typed(out, "keynum", 3);
            number_field(out, "keynumidx", count_at);
            number_field(out, "firstkey", first);
            number_field(out, "keystep", step);
        }
        Find::Unknown => typed(out, "unknown", 0),
    }
}

/// Begins `{type: kind, spec: {…}}`, whose inner map has `fields` pairs.
fn typed(out: &mut Reply, kind: &str, fields: usize) {
    out.map(2);
    text_field(out, "type", kind);
    out.text("spec");
    out.map(fields);
}

fn number_field(out: &mut Reply, name: &str, value: i16) {
    out.text(name);
    out.integer(value as i64);
}

fn arguments(out: &mut Reply, args: &[Arg]) {
    out.array(args.len());
    args.iter().for_each(|arg| argument(out, arg));
}

fn argument(out: &mut Reply, arg: &Arg) {
    let is_group = matches!(arg.kind, ArgKind::OneOf | ArgKind::Block);
    let flags =
        [("optional", arg.optional), ("multiple", arg.multiple), ("multiple_token", arg.multiple_token)];
    let place = out.deferred();
    let mut fields = text_field(out, "name", arg.name) + text_field(out, "type", arg.kind.name());
    if !is_group {
        fields += text_field(out, "display_text", arg.display.unwrap_or(arg.name));
    }
    if let Some(index) = arg.key_spec {
        number_field(out, "key_spec_index", index as i16);
        fields += 1;
    }
    if let Some(token) = arg.token {
        // Not text_field: a token may be the empty word (`AUTH ""`).
        out.text("token");
        out.text(token);
        fields += 1;
    }
    for (name, version) in [("since", arg.since), ("deprecated_since", arg.deprecated_since)] {
        fields += version.map_or(0, |version| text_field(out, name, version));
    }
    if flags.iter().any(|(_, set)| *set) {
        out.text("flags");
        status_set(out, "", flags.iter().filter(|(_, set)| *set).map(|(name, _)| *name));
        fields += 1;
    }
    if is_group {
        out.text("arguments");
        arguments(out, arg.args);
        fields += 1;
    }
    out.finish_map(place, fields);
}
