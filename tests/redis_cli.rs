//! The tools that come with Redis work with this server: redis-cli in all its modes, and redis-benchmark.

mod common;

use common::{Process, encode};
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// Runs a program to its end with this input; its output must be no error.
fn run(command: &mut Command, input: &[u8]) -> String {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    // A program that ends before it has read everything is judged by what it says.
    let feeding = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let Output { status, stdout, stderr } = child.wait_with_output().expect("the end of a child");
    feeding.join().expect("the writer");
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}: {status}\n{stdout}\n{stderr}");
    stdout.into_owned()
}

fn tool(server: &Process, program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(["-p", &server.port.to_string()]).args(args).current_dir(server.dir());
    command
}

fn cli(server: &Process, args: &[&str]) -> String {
    run(&mut tool(server, "redis-cli", args), b"")
}

/// What a mode that never ends prints within a while.
fn watch(server: &Process, args: &[&str]) -> String {
    // Unless told otherwise, the tool keeps its lines to itself when nobody seems to look.
    let child = Command::new("stdbuf")
        .args(["-oL", "redis-cli", "-p", &server.port.to_string()])
        .args(args)
        .stdout(Stdio::piped())
        .spawn();
    let mut child = child.expect("stdbuf and redis-cli");
    std::thread::sleep(Duration::from_millis(1200));
    child.kill().expect("a child to end");
    let output = child.wait_with_output().expect("the end of a child");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn commands() {
    let server = Process::nuthatch(&[]);
    assert_eq!(cli(&server, &["SET", "greeting", "hello"]), "OK\n");
    assert_eq!(cli(&server, &["GET", "greeting"]), "hello\n");
    assert_eq!(cli(&server, &["--no-raw", "GET", "greeting"]), "\"hello\"\n");
    assert_eq!(cli(&server, &["--no-raw", "GET", "nothing"]), "(nil)\n");
    assert_eq!(cli(&server, &["--no-raw", "-3", "GET", "nothing"]), "(nil)\n");
    assert_eq!(cli(&server, &["-r", "3", "-i", "0.01", "INCR", "n"]), "1\n2\n3\n");
    assert_eq!(cli(&server, &["-n", "5", "DBSIZE"]), "0\n");
    assert_eq!(cli(&server, &["--csv", "MGET", "greeting", "n"]), "\"hello\",\"3\"\n");
    assert_eq!(cli(&server, &["--json", "MGET", "greeting", "n"]), "[\"hello\",\"3\"]\n");
    assert_eq!(cli(&server, &["INCR", "greeting"]), "ERR value is not an integer or out of range\n\n");
    assert!(cli(&server, &["-3", "HELLO"]).contains("\nproto 3\n"));
    assert!(cli(&server, &["INFO", "server"]).contains("redis_version:"));
    let from_stdin = run(&mut tool(&server, "redis-cli", &["-x", "SET", "file"]), b"its contents");
    assert_eq!((from_stdin.as_str(), cli(&server, &["GET", "file"]).as_str()), ("OK\n", "its contents\n"));
    let script = b"SET a \"x y\"\nGET a\nSELECT 2\nDBSIZE\nNONSENSE\n";
    assert_eq!(
        run(&mut tool(&server, "redis-cli", &[]), script),
        "OK\nx y\nOK\n0\nERR unknown command 'NONSENSE', with args beginning with: \n\n"
    );
}

#[test]
fn passwords() {
    let server = Process::nuthatch(&["--requirepass", "a secret"]);
    assert_eq!(cli(&server, &["PING"]), "NOAUTH Authentication required.\n\n");
    assert_eq!(cli(&server, &["-a", "a secret", "--no-auth-warning", "PING"]), "PONG\n");
    let user = ["--user", "default", "--pass", "a secret", "--no-auth-warning", "-3", "PING"];
    assert_eq!(cli(&server, &user), "PONG\n");
    let wrong = cli(&server, &["-a", "wrong", "--no-auth-warning", "PING"]);
    assert_eq!(wrong, "NOAUTH Authentication required.\n\n");
}

#[test]
fn unix_socket() {
    let server = Process::nuthatch(&["--unixsocket", "the.socket"]);
    let path = server.dir().join("the.socket");
    let socket = path.to_str().expect("a path");
    assert_eq!(run(Command::new("redis-cli").args(["-s", socket, "PING"]), b""), "PONG\n");
}

#[test]
fn pipe() {
    let server = Process::nuthatch(&[]);
    let mut requests = Vec::new();
    for number in 0..50_000 {
        requests.extend(encode(&["SET", &format!("key:{number}"), &format!("value {number}")]));
    }
    requests.extend(b"INCR total\r\nINCR total\r\n");
    let said = run(&mut tool(&server, "redis-cli", &["--pipe"]), &requests);
    assert!(said.contains("errors: 0, replies: 50002"), "{said}");
    assert_eq!(cli(&server, &["DBSIZE"]), "50001\n");
    assert_eq!(cli(&server, &["GET", "key:49999"]), "value 49999\n");
    // Errors are counted, and end the tool with an error.
    let mut failing = tool(&server, "redis-cli", &["--pipe"]);
    let mut child = failing.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let child = child.as_mut().expect("redis-cli");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(b"SET a x\r\nINCR a\r\n").expect("redis-cli reads");
    drop(stdin);
    assert_eq!(child.wait().expect("the end of a child").code(), Some(1));
}

#[test]
fn walks_over_all_keys() {
    let server = Process::nuthatch(&[]);
    let mut client = server.connect();
    for number in 0..2000 {
        client.ask(&["SET", &format!("key:{number:04}"), "value"]);
    }
    client.ask(&[b"SET".as_slice(), b"giant", &[b'x'; 12_345]]);
    let all = cli(&server, &["--scan"]);
    let mut lines: Vec<&str> = all.lines().collect();
    lines.sort();
    lines.dedup();
    assert_eq!(lines.len(), 2001);
    let some = cli(&server, &["--scan", "--pattern", "key:000?"]);
    assert_eq!(some.lines().count(), 10);
    assert_eq!(cli(&server, &["--scan", "--quoted-pattern", "\"gi\\x61nt\""]), "giant\n");

    let big = cli(&server, &["--bigkeys"]);
    assert!(big.contains("Sampled 2001 keys in the keyspace!"), "{big}");
    assert!(big.contains("Biggest string found '\"giant\"' has 12345 bytes"), "{big}");
    assert!(big.contains("2001 strings with 22345 bytes (100.00% of keys"), "{big}");

    let memory = cli(&server, &["--memkeys"]);
    assert!(memory.contains("Biggest string found '\"giant\"' has"), "{memory}");
}

#[test]
fn hot_keys() {
    let server = Process::nuthatch(&["--maxmemory-policy", "allkeys-lfu"]);
    let mut client = server.connect();
    for number in 0..200 {
        client.ask(&["SET", &format!("key:{number}"), "value"]);
    }
    (0..20_000).for_each(|_| client.send(&["GET", "key:7"]));
    (0..20_000).for_each(|_| drop(client.receive()));
    let hot = cli(&server, &["--hotkeys"]);
    assert!(hot.contains("Sampled 200 keys in the keyspace!"), "{hot}");
    assert!(hot.lines().any(|line| line.starts_with("hot key found with counter:")), "{hot}");
    let hottest = hot.lines().find(|line| line.starts_with("hot key found")).unwrap_or_default();
    assert!(hottest.ends_with("keyname: \"key:7\""), "{hot}");
}

#[test]
fn latency_and_statistics() {
    let server = Process::nuthatch(&[]);
    // Without a terminal this mode prints one line, minimum, maximum, mean and samples, after a second.
    let latency = cli(&server, &["--latency"]);
    let numbers: Vec<f64> = latency.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    assert!(matches!(numbers[..], [_, _, mean, samples] if mean < 100.0 && samples > 5.0), "{latency:?}");

    let history = watch(&server, &["--latency-history", "-i", "0.5"]);
    assert!(history.lines().count() >= 1, "{history:?}");

    let stat = watch(&server, &["--stat", "-i", "0.2"]);
    let mut lines = stat.lines();
    assert!(lines.next().is_some_and(|line| line.contains("- data -")), "{stat}");
    assert!(lines.next().is_some_and(|line| line.starts_with("keys ")), "{stat}");
    let figures = lines.filter(|line| line.starts_with("0 ") && line.contains(" (+")).count();
    assert!(figures >= 3, "{stat}");
}

#[test]
fn benchmark() {
    let server = Process::nuthatch(&[]);
    for options in [
        &["-n", "20000", "-t", "ping,set,get,incr,mset", "-q"][..],
        &["-n", "100000", "-t", "set,get,incr", "-P", "16", "-r", "10000", "-q"],
        &["-n", "50000", "-t", "set,get", "-P", "16", "-r", "10000", "--threads", "2", "-d", "1000", "-q"],
        &["-n", "20000", "-3", "-t", "ping,get", "-q"],
    ] {
        let said = run(&mut tool(&server, "redis-benchmark", options), b"");
        let results = said.split(['\r', '\n']).filter(|line| line.contains("requests per second")).count();
        let names =
            options.iter().find(|option| option.contains(',')).map_or(0, |names| names.split(',').count());
        // PING is measured inline and as a multibulk request.
        let want = names + usize::from(options.iter().any(|option| option.contains("ping")));
        assert_eq!(results, want, "{options:?}: {said}");
        assert!(!said.contains("WARNING") && !said.contains("Error"), "{said}");
    }
    let csv = ["-n", "20000", "--csv", "SET", "key:__rand_int__", "value"];
    let said = run(&mut tool(&server, "redis-benchmark", &csv), b"");
    assert!(said.contains("\"SET key:__rand_int__ value\","), "{said}");
}
