//! Compares CONFIG GET's answers with those of Debian's redis-server, started on a port of its own.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nuthatch::config::Config;

const START_LIMIT: Duration = Duration::from_secs(10);

/// Where the two differ on purpose.
const DIFFERENT: [(&str, &str); 8] = [
    ("bind", "given on the oracle's command line"),
    ("dir", "each has its own"),
    ("port", "the oracle's is ours to choose"),
    ("save", "switched off for the oracle"),
    ("io-threads", "ours is the number of cores"),
    ("syslog-ident", "the program's name"),
    ("io-threads-do-reads", "gone in Redis 8"),
    ("aof-disable-auto-gc", "hidden in Redis 7.2"),
];

struct Oracle(Child);

impl Drop for Oracle {
    fn drop(&mut self) {
        // A child that cannot be killed has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start() -> (Oracle, redis::Connection, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    // Free now; that somebody else takes it before the oracle does is unlikely enough for a test.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("its number").port();
    drop(listener);
    let child = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
        .arg(directory.path())
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server is installed");
    let oracle = Oracle(child);
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).expect("a valid address");
    let start = Instant::now();
    loop {
        match client.get_connection() {
            Ok(connection) => return (oracle, connection, directory),
            Err(error) if start.elapsed() > START_LIMIT => panic!("redis-server does not answer: {error}"),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

#[test]
fn defaults_are_those_of_redis() {
    let (_oracle, mut redis, _directory) = start();
    let theirs: BTreeMap<String, String> =
        redis::cmd("CONFIG").arg("GET").arg("*").query(&mut redis).expect("CONFIG GET *");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("defaults are text");
    let ours: BTreeMap<String, String> =
        Config::new().get(&[b"*"]).into_iter().map(|(name, value)| (text(name), text(value))).collect();
    assert!(theirs.len() > 150, "the oracle gave only {} directives", theirs.len());
    let is_different = |name: &str| DIFFERENT.iter().any(|(known, _)| *known == name);
    let wrong: Vec<String> = theirs
        .iter()
        .filter(|(name, value)| !is_different(name) && ours.get(*name) != Some(value))
        .map(|(name, value)| format!("{name}: {value:?} there, {:?} here", ours.get(name)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn set_errors_and_values_are_those_of_redis() {
    let (_oracle, mut redis, _directory) = start();
    let config = Config::new();
    for (name, value) in [
        ("maxmemory", "1gb"),
        ("maxmemory", "-1"),
        ("maxmemory-clients", "7%"),
        ("maxmemory-clients", "101%"),
        ("save", "900 1 60 2"),
        ("save", "1"),
        ("hz", "1000"),
        ("port", "99999"),
        ("timeout", "x"),
        ("appendonly", "maybe"),
        ("daemonize", "yes"),
        ("dir", "/"),
        ("nope", "1"),
        ("NOTIFY-keyspace-events", "KEAm"),
        ("notify-keyspace-events", "Q"),
        ("client-output-buffer-limit", "replica 1mb 2k 3"),
        ("client-output-buffer-limit", "master 1 2 3"),
        ("client-output-buffer-limit", "normal 1 2"),
        ("latency-tracking-info-percentiles", "1.50 99.12345678 0"),
        ("latency-tracking-info-percentiles", "200"),
        ("oom-score-adj-values", "1 2"),
        ("slave-priority", "5"),
        ("list-max-listpack-size", "-5"),
    ] {
        let theirs: Result<(), redis::RedisError> =
            redis::cmd("CONFIG").arg("SET").arg(name).arg(value).query(&mut redis);
        let ours =
            config.set_many(&[(name.as_bytes(), value.as_bytes())], Default::default(), &mut |_| Ok(()));
        match (theirs, ours) {
            (Ok(()), Ok(_)) => {
                let theirs: (Vec<u8>, Vec<u8>) =
                    redis::cmd("CONFIG").arg("GET").arg(name).query(&mut redis).expect("CONFIG GET");
                assert_eq!(config.get(&[name.as_bytes()]), [theirs]);
            }
            (Err(theirs), Err(ours)) => {
                let detail = theirs.detail().expect("an error with a text");
                assert_eq!(ours.to_string(), format!("ERR {detail}"), "{name} {value}");
            }
            (theirs, ours) => panic!("{name} {value}: {theirs:?} there, {ours:?} here"),
        }
    }
}
