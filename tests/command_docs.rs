//! The command table tells the truth: COMMAND INFO and COMMAND DOCS of every command that Redis has too agree
//! with Redis's own, except where a newer Redis than the one at hand changed a fact.
//!
//! Runs against the `redis-server` on the path, or the one that `NUTHATCH_TEST_REDIS` names. Prose (summaries,
//! complexity, history) is ours and is not compared.

use redis::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Facts that Redis changed: command, field, and the version from which on Redis says what we say.
const CHANGED: &[(&str, &str, &str)] = &[
    ("bitcount", "arguments", "7.2.0"),
    ("bitfield", "arguments", "7.2.0"),
    ("bitfield_ro", "arguments", "7.2.0"),
    // DIFF, DIFF1, ANDOR and ONE.
    ("bitop", "arguments", "8.2.0"),
    ("bitpos", "arguments", "7.2.0"),
    // Scripts may use them, and do not wait.
    ("blmove", "flags", "7.2.0"),
    ("blpop", "flags", "7.2.0"),
    ("brpop", "flags", "7.2.0"),
    ("brpoplpush", "flags", "7.2.0"),
    ("bzpopmax", "flags", "7.2.0"),
    ("bzpopmin", "flags", "7.2.0"),
    ("client|kill", "arguments", "7.4.0"),
    ("client|list", "arguments", "7.2.0"),
    ("client|pause", "since", "7.2.0"),
    ("client|reply", "arguments", "7.2.0"),
    ("client|setname", "tips", "7.2.0"),
    ("client|unblock", "arguments", "7.2.0"),
    ("command|getkeys", "arity", "7.2.0"),
    ("command|getkeys", "arguments", "7.2.0"),
    ("command|getkeysandflags", "arity", "7.2.0"),
    ("command|getkeysandflags", "arguments", "7.2.0"),
    ("config|get", "arguments", "7.2.0"),
    ("config|resetstat", "tips", "7.2.0"),
    ("config|rewrite", "tips", "7.2.0"),
    ("config|set", "arguments", "7.2.0"),
    ("flushall", "arguments", "7.2.0"),
    ("flushdb", "arguments", "7.2.0"),
    ("function|flush", "arguments", "7.2.0"),
    ("geoadd", "arguments", "7.2.0"),
    ("geohash", "arguments", "7.2.0"),
    ("geopos", "arguments", "7.2.0"),
    ("georadius", "arguments", "7.2.0"),
    ("georadius_ro", "arguments", "7.2.0"),
    ("georadiusbymember", "arguments", "7.2.0"),
    ("georadiusbymember_ro", "arguments", "7.2.0"),
    ("geosearch", "arguments", "7.2.0"),
    ("geosearchstore", "arguments", "7.2.0"),
    ("hello", "arguments", "7.2.0"),
    ("hmset", "arguments", "7.2.0"),
    ("hscan", "arguments", "7.4.0"),
    ("hset", "arguments", "7.2.0"),
    ("latency|reset", "tips", "7.2.0"),
    ("lcs", "arguments", "7.2.0"),
    ("mset", "arguments", "7.2.0"),
    ("msetnx", "arguments", "7.2.0"),
    ("msetnx", "tips", "7.2.0"),
    ("pfmerge", "arguments", "7.2.0"),
    ("psetex", "deprecated_since", "7.2.0"),
    ("psetex", "doc_flags", "7.2.0"),
    ("psubscribe", "arguments", "7.2.0"),
    ("quit", "deprecated_since", "7.2.0"),
    ("quit", "doc_flags", "7.2.0"),
    ("randomkey", "tips", "7.2.0"),
    ("scan", "tips", "7.2.0"),
    ("script|flush", "arguments", "7.2.0"),
    // The comparison options.
    ("set", "arguments", "8.4.0"),
    ("setex", "deprecated_since", "7.2.0"),
    ("setex", "doc_flags", "7.2.0"),
    ("setnx", "deprecated_since", "7.2.0"),
    ("setnx", "doc_flags", "7.2.0"),
    ("shutdown", "arguments", "7.2.0"),
    ("sinterstore", "keys", "8.0.0"),
    ("sort", "arguments", "7.2.0"),
    ("sort_ro", "arguments", "7.2.0"),
    ("wait", "categories", "7.2.0"),
    ("wait", "flags", "7.2.0"),
    ("zadd", "arguments", "7.2.0"),
    ("zrange", "arguments", "7.2.0"),
    ("zrangebylex", "arguments", "7.2.0"),
    ("zrangebyscore", "arguments", "7.2.0"),
    ("zrangestore", "arguments", "7.2.0"),
    ("zrank", "arguments", "7.2.0"),
    ("zrank", "arity", "7.2.0"),
    ("zrevrangebylex", "arguments", "7.2.0"),
    ("zrevrangebyscore", "arguments", "7.2.0"),
    ("zrevrank", "arguments", "7.2.0"),
    ("zrevrank", "arity", "7.2.0"),
    // KEEPREF, DELREF and ACKED.
    ("xadd", "arguments", "8.2.0"),
    ("xclaim", "arguments", "7.2.0"),
    ("xgroup|create", "arguments", "7.2.0"),
    ("xgroup|createconsumer", "arguments", "7.2.0"),
    ("xgroup|delconsumer", "arguments", "7.2.0"),
    ("xgroup|destroy", "arguments", "7.2.0"),
    ("xgroup|setid", "arguments", "7.2.0"),
    ("xinfo|consumers", "arguments", "7.2.0"),
    ("xinfo|stream", "arguments", "7.2.0"),
    ("xreadgroup", "arguments", "7.2.0"),
    ("xsetid", "arguments", "7.2.0"),
    // As XADD.
    ("xtrim", "arguments", "8.2.0"),
];

struct Server {
    child: Child,
    connection: redis::Connection,
}

impl Server {
    fn start(program: &str) -> Server {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = free.expect("a free port").port();
        let mut child = Command::new(program)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .current_dir(std::env::temp_dir())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {program}: {error}"));
        let client = redis::Client::open(format!("redis://127.0.0.1:{port}/?protocol=resp3")).expect("a URL");
        let give_up = Instant::now() + Duration::from_secs(20);
        let connection = loop {
            match client.get_connection() {
                Ok(connection) => break connection,
                Err(error) if Instant::now() > give_up => {
                    let _ = child.kill();
                    panic!("{program} does not answer: {error}");
                }
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        Server { child, connection }
    }

    fn ask(&mut self, words: &[&str]) -> Value {
        let mut command = redis::cmd(words[0]);
        words[1..].iter().for_each(|word| {
            command.arg(word);
        });
        command.query(&mut self.connection).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    fn version(&mut self) -> Vec<u32> {
        let info = text(&self.ask(&["INFO", "server"]));
        let line = info.lines().find_map(|line| line.strip_prefix("redis_version:"));
        version(line.expect("redis_version"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn version(text: &str) -> Vec<u32> {
    text.split('.').map(|part| part.parse().expect("a number")).collect()
}

fn text(value: &Value) -> String {
    match value {
        Value::SimpleString(text) => text.clone(),
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::VerbatimString { text, .. } => text.clone(),
        other => panic!("not a string: {other:?}"),
    }
}

fn elements(value: &Value) -> &[Value] {
    match value {
        Value::Array(values) | Value::Set(values) => values,
        other => panic!("not an array: {other:?}"),
    }
}

fn pairs(value: &Value) -> impl Iterator<Item = (String, &Value)> {
    match value {
        Value::Map(pairs) => pairs.iter().map(|(name, value)| (text(name), value)),
        other => panic!("not a map: {other:?}"),
    }
}

/// A value in a form that reads well and compares regardless of the order of sets and maps.
fn plain(value: &Value) -> String {
    let list = |values: Vec<String>| values.join(", ");
    match value {
        Value::Int(n) => n.to_string(),
        Value::Array(values) => format!("[{}]", list(values.iter().map(plain).collect())),
        Value::Set(values) => {
            let mut values: Vec<String> = values.iter().map(plain).collect();
            values.sort();
            format!("{{{}}}", list(values))
        }
        Value::Map(_) => {
            // The notes of key specifications are prose.
            let facts = pairs(value).filter(|(field, _)| field != "notes");
            fields(facts.map(|(name, value)| (name, plain(value))))
        }
        other => text(other),
    }
}

fn fields(pairs: impl Iterator<Item = (String, String)>) -> String {
    let mut fields: Vec<String> = pairs.map(|(name, value)| format!("{name}: {value}")).collect();
    fields.sort();
    format!("{{{}}}", fields.join(", "))
}

/// An argument list without prose. Redis 7.0 wrote names with underscores and had no display texts.
fn plain_arguments(value: &Value) -> String {
    let argument = |argument: &Value| {
        let facts = pairs(argument).filter(|(field, _)| field != "display_text" && field != "summary");
        fields(facts.map(|(field, value)| match field.as_str() {
            "name" => (field, text(value).replace('_', "-")),
            "arguments" => (field, plain_arguments(value)),
            _ => (field, plain(value)),
        }))
    };
    format!("[{}]", elements(value).iter().map(argument).collect::<Vec<_>>().join(", "))
}

type Facts = BTreeMap<String, BTreeMap<String, String>>;

fn facts(server: &mut Server) -> Facts {
    let mut facts = Facts::new();
    collect_info(&server.ask(&["COMMAND", "INFO"]), &mut facts);
    collect_docs(&server.ask(&["COMMAND", "DOCS"]), &mut facts);
    facts
}

fn collect_info(commands: &Value, facts: &mut Facts) {
    const FIELDS: [&str; 9] =
        ["name", "arity", "flags", "first", "last", "step", "categories", "tips", "keys"];
    for command in elements(commands) {
        let values = elements(command);
        assert_eq!(values.len(), FIELDS.len() + 1, "{command:?}");
        let fields = FIELDS.iter().zip(values).skip(1).map(|(field, value)| {
            // A set on the wire, but arguments refer to key specifications by position.
            let is_list = *field == "keys";
            let value = if is_list { &Value::Array(elements(value).to_vec()) } else { value };
            (field.to_string(), plain(value))
        });
        facts.insert(text(&values[0]), fields.collect());
        collect_info(&values[FIELDS.len()], facts);
    }
}

fn collect_docs(commands: &Value, facts: &mut Facts) {
    for (name, docs) in pairs(commands) {
        let known = facts.get_mut(&name).unwrap_or_else(|| panic!("{name} has DOCS and no INFO"));
        let mut subcommands = None;
        for (field, value) in pairs(docs) {
            match field.as_str() {
                "since" | "group" | "deprecated_since" | "doc_flags" => {
                    known.insert(field, plain(value));
                }
                "arguments" => {
                    known.insert(field, plain_arguments(value));
                }
                "subcommands" => subcommands = Some(value),
                _ => assert!(
                    matches!(value, Value::BulkString(_) | Value::Set(_)),
                    "{name} {field}: {value:?}"
                ),
            }
        }
        if let Some(subcommands) = subcommands {
            collect_docs(subcommands, facts);
        }
    }
}

#[test]
fn records_agree_with_redis() {
    let oracle = std::env::var("NUTHATCH_TEST_REDIS").unwrap_or("redis-server".into());
    let mut redis = Server::start(&oracle);
    let mut nuthatch = Server::start(env!("CARGO_BIN_EXE_nuthatch"));
    let redis_version = redis.version();
    let theirs = facts(&mut redis);
    let ours = facts(&mut nuthatch);

    let mut differences = Vec::new();
    let mut compared = 0;
    for (name, our_fields) in &ours {
        let Some(their_fields) = theirs.get(name) else { continue };
        compared += 1;
        let fields: BTreeSet<&String> = our_fields.keys().chain(their_fields.keys()).collect();
        for field in fields {
            let (our, their) = (our_fields.get(field), their_fields.get(field));
            let excused = CHANGED.iter().any(|(command, changed, since)| {
                command == name && changed == field && redis_version < version(since)
            });
            if our != their && !excused {
                let absent = "(absent)".to_owned();
                let (our, their) = (our.unwrap_or(&absent), their.unwrap_or(&absent));
                differences.push(format!("{name} {field}\n  ours:  {our}\n  Redis: {their}"));
            }
            if our == their && excused {
                differences.push(format!("{name} {field} agrees although CHANGED says that it does not"));
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(compared > 100, "only {compared} commands and subcommands in common");
}

#[test]
fn lists_and_counts_agree_with_each_other() {
    let mut server = Server::start(env!("CARGO_BIN_EXE_nuthatch"));
    let all = facts(&mut server);
    let count = |value: &Value| elements(value).len();
    let listed: BTreeSet<String> = elements(&server.ask(&["COMMAND", "LIST"])).iter().map(text).collect();
    assert!(listed.iter().eq(all.keys()));
    assert_eq!(server.ask(&["COMMAND", "COUNT"]), Value::Int(count(&server.ask(&["COMMAND"])) as i64));
    let strings = server.ask(&["COMMAND", "LIST", "FILTERBY", "ACLCAT", "String"]);
    let in_category = all.values().filter(|fields| fields["categories"].contains("@string"));
    assert_eq!(count(&strings), in_category.count());
    let gets = server.ask(&["COMMAND", "LIST", "FILTERBY", "PATTERN", "GET*"]);
    assert_eq!(count(&gets), all.keys().filter(|name| name.starts_with("get")).count());
    assert_eq!(count(&server.ask(&["COMMAND", "LIST", "FILTERBY", "MODULE", "x"])), 0);
}

#[test]
fn keys_of_a_command() {
    let mut server = Server::start(env!("CARGO_BIN_EXE_nuthatch"));
    let mut keys = |line: &str| {
        let words: Vec<&str> = ["COMMAND", "GETKEYS"].into_iter().chain(line.split(' ')).collect();
        elements(&server.ask(&words)).iter().map(text).collect::<Vec<_>>()
    };
    assert_eq!(keys("get k"), ["k"]);
    assert_eq!(keys("mset a 1 b 2"), ["a", "b"]);
    assert_eq!(keys("del a b a"), ["a", "b", "a"]);
    assert_eq!(keys("object freq k"), ["k"]);
    assert_eq!(keys("lcs a b len"), ["a", "b"]);
    assert_eq!(keys("bitop and d a b"), ["d", "a", "b"]);
    assert_eq!(keys("pfmerge d"), ["d"]);
    assert_eq!(keys("pfmerge d a b"), ["d", "a", "b"]);

    let mut flags = |line: &str| {
        let words: Vec<&str> = ["COMMAND", "GETKEYSANDFLAGS"].into_iter().chain(line.split(' ')).collect();
        plain(&server.ask(&words))
    };
    assert_eq!(flags("set k v"), plain_pairs(&[("k", &["OW", "update"])]));
    assert_eq!(flags("set k v px 5 Get"), plain_pairs(&[("k", &["RW", "access", "update"])]));
    for (line, reads) in [
        ("bitfield k", true),
        ("bitfield k get u8 0 overflow sat get i3 #1", true),
        ("bitfield k get u8 0 Set u8 0 1", false),
        ("bitfield k get u8", false),
    ] {
        let flags_of_key: &[&str] = if reads { &["RO", "access"] } else { &["RW", "access", "update"] };
        assert_eq!(flags(line), plain_pairs(&[("k", flags_of_key)]), "{line}");
    }
    assert_eq!(
        flags("rename a b"),
        plain_pairs(&[("a", &["RW", "access", "delete"]), ("b", &["OW", "update"])])
    );

    let mut error = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let reply: redis::RedisResult<Value> =
            redis::cmd("COMMAND").arg(&words).query(&mut server.connection);
        reply.expect_err(line).to_string()
    };
    for (line, message) in [
        ("GETKEYS nosuch a", "Invalid command specified"),
        ("GETKEYS config nosuch", "Invalid command specified"),
        ("GETKEYS ping a", "The command has no key arguments"),
        ("GETKEYS config get a", "The command has no key arguments"),
        ("GETKEYS get a b", "Invalid number of arguments specified for command"),
        ("LIST FILTERBY", "syntax error"),
        ("LIST FILTERBY ACLCAT a b", "syntax error"),
        ("LIST FILTERBY NOSUCH a", "syntax error"),
        ("GETKEYS", "wrong number of arguments for 'command|getkeys' command"),
        ("NOSUCH", "unknown subcommand 'NOSUCH'. Try COMMAND HELP."),
    ] {
        let got = error(line);
        assert!(got.contains(message), "{line}: {got}");
    }
}

fn plain_pairs(keys: &[(&str, &[&str])]) -> String {
    let bulk = |text: &&str| Value::BulkString(text.as_bytes().to_vec());
    let pair = |(key, flags): &(&str, &[&str])| {
        Value::Array(vec![bulk(key), Value::Set(flags.iter().map(bulk).collect())])
    };
    plain(&Value::Array(keys.iter().map(pair).collect()))
}
