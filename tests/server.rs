//! The server as a program: its command line and configuration, where it listens, whom it lets in, what it
//! leaves on the disk, and how it ends.

mod common;

use common::{Client, Process, await_clients, elements, encode, free_port, text};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

fn nuthatch() -> Command {
    Command::new(env!("CARGO_BIN_EXE_nuthatch"))
}

fn dir() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

fn config(client: &mut Client, name: &str) -> String {
    let reply = client.ask(&["CONFIG", "GET", name]);
    let pair = elements(&reply).expect("a pair");
    assert_eq!(pair.len(), 2, "{name}");
    text(pair[1])
}

fn error(client: &mut Client, request: &[&str]) -> String {
    let reply = client.ask(request);
    assert_eq!(reply[0], b'-', "{request:?}: {}", reply.escape_ascii());
    text(&reply)
}

fn write(dir: &Path, name: &str, contents: &str) {
    std::fs::write(dir.join(name), contents).expect("a file");
}

fn read(dir: &Path, name: &str) -> String {
    std::fs::read_to_string(dir.join(name)).expect("a file")
}

/// Runs the program, which is to end by itself.
fn output(args: &[&str]) -> Output {
    let mut child = nuthatch()
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the server");
    let give_up = Instant::now() + Duration::from_secs(10);
    while child.try_wait().expect("the state of a child").is_none() {
        if Instant::now() > give_up {
            let _ = child.kill();
            panic!("{args:?}: the server does not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().expect("the output of a child")
}

#[test]
fn version_and_help() {
    for arg in ["--version", "-v"] {
        let Output { status, stdout, .. } = output(&[arg]);
        let said = String::from_utf8_lossy(&stdout).into_owned();
        assert!(status.success());
        assert!(said.starts_with("Nuthatch ") && said.contains(&format!("v={}", env!("CARGO_PKG_VERSION"))));
    }
    for arg in ["--help", "-h"] {
        let Output { status, stdout, .. } = output(&[arg]);
        let said = String::from_utf8_lossy(&stdout).into_owned();
        assert!(status.success());
        assert!(said.starts_with("Usage: nuthatch [/path/to/redis.conf]"), "{said}");
    }
}

#[test]
fn files_standard_input_and_options() {
    let dir = dir();
    let port = free_port();
    write(
        dir.path(),
        "main.conf",
        "# the main file\n\
         bind 127.0.0.1\n\
         include more*.conf\n\
         maxmemory 10mb\n\
         requirepass \"a \\x41 ${NUTHATCH_TEST_WORD}\"\n\
         slowlog-max-len ${NUTHATCH_TEST_NUMBER}\n\
         timeout 7\n\
         client-output-buffer-limit pubsub 1mb 2mb 3\n\
         save 900 1\nsave 60 2\n",
    );
    write(dir.path(), "more.conf", "maxclients 123\ntcp-keepalive 77\n");
    let mut command = nuthatch();
    command
        .args(["main.conf", "--port", &port.to_string(), "--timeout", "9", "--hz", "20", "-"])
        .env("NUTHATCH_TEST_WORD", "word")
        .env("NUTHATCH_TEST_NUMBER", "55")
        .stdin(Stdio::piped());
    let process = Process::launch(command, port, dir);
    let mut stdin = process.take_stdin();
    stdin.write_all(b"maxmemory 20mb\ntimeout 8\nlfu-log-factor 3").expect("the server reads");
    drop(stdin);
    process.await_listening();
    let mut client = process.connect();
    assert_eq!(client.ask(&["AUTH", "a A word"]), b"+OK\r\n");
    for (name, want) in [
        ("maxclients", "123"),
        ("tcp-keepalive", "77"),
        ("slowlog-max-len", "55"),
        ("maxmemory", "20971520"),
        ("lfu-log-factor", "3"),
        ("timeout", "9"),
        ("hz", "20"),
        ("save", "900 1 60 2"),
    ] {
        assert_eq!(config(&mut client, name), want, "{name}");
    }
    let limits = config(&mut client, "client-output-buffer-limit");
    assert!(limits.ends_with("pubsub 1048576 2097152 3"), "{limits}");
    assert!(text(&client.ask(&["INFO", "server"])).contains("main.conf"));
}

#[test]
fn standard_input_alone() {
    let port = free_port();
    let mut command = nuthatch();
    command.arg("-").stdin(Stdio::piped());
    let process = Process::launch(command, port, dir());
    write!(process.take_stdin(), "port {port}\nbind 127.0.0.1\nmaxclients 44\n").expect("the server reads");
    process.await_listening();
    assert_eq!(config(&mut process.connect(), "maxclients"), "44");
}

#[test]
fn bad_configurations_are_explained() {
    let dir = dir();
    let path = dir.path().join("bad.conf");
    let file = path.to_str().expect("a path");
    for (lines, number, line, reason) in [
        ("port 1\n\nnonsense 1\n", 3, "nonsense 1", "Bad directive or wrong number of arguments"),
        ("port x\n", 1, "port x", "argument couldn't be parsed into an integer"),
        ("# c\nport 65536\n", 2, "port 65536", "argument must be between 0 and 65535 inclusive"),
        ("maxmemory 1parsec\n", 1, "maxmemory 1parsec", "argument must be a memory value"),
        ("port 1 2\n", 1, "port 1 2", "wrong number of arguments"),
        ("appendonly maybe\n", 1, "appendonly maybe", "argument must be 'yes' or 'no'"),
        ("loglevel loud\n", 1, "loglevel loud", "argument(s) must be one of the following"),
        ("requirepass \"x\n", 1, "requirepass \"x", ""),
        ("requirepass ${NUTHATCH_TEST_UNSET}\n", 1, "requirepass ${NUTHATCH_TEST_UNSET}", ""),
        ("unixsocketperm 999\n", 1, "unixsocketperm 999", "argument"),
        ("dir /nowhere/at/all\n", 1, "dir /nowhere/at/all", "No such file or directory"),
        (
            "rename-command nonsense x\n",
            0,
            "rename-command nonsense \"x\"",
            "No such command in rename-command",
        ),
        ("rename-command get set\n", 0, "rename-command get \"set\"", "Target command name already exists"),
    ] {
        write(dir.path(), "bad.conf", lines);
        let Output { status, stderr, .. } = output(&[file]);
        let said = String::from_utf8_lossy(&stderr).into_owned();
        assert_eq!(status.code(), Some(1), "{lines:?}: {said}");
        assert!(said.contains("*** FATAL CONFIG FILE ERROR (Nuthatch"), "{lines:?}: {said}");
        assert!(number == 0 || said.contains(&format!("at line {number}\n")), "{lines:?}: {said}");
        assert!(said.contains(&format!(">>> '{line}'\n")) && said.contains(reason), "{lines:?}: {said}");
        let after = said.rsplit_once(&format!(">>> '{line}'\n")).map_or("", |(_, reason)| reason);
        assert!(!after.trim().is_empty() && after.ends_with('\n'), "no reason for {lines:?}: {said}");
    }
    let Output { status, stderr, .. } = output(&["--port", "1", "--nonsense", "x"]);
    let said = String::from_utf8_lossy(&stderr).into_owned();
    assert_eq!(status.code(), Some(1));
    assert!(said.contains(">>> 'nonsense \"x\"'\nBad directive or wrong number of arguments"), "{said}");
    let Output { status, stderr, .. } = output(&["/nowhere/redis.conf"]);
    let said = String::from_utf8_lossy(&stderr).into_owned();
    assert_eq!(status.code(), Some(1));
    assert!(
        said.contains("can't open config file '/nowhere/redis.conf': No such file or directory"),
        "{said}"
    );
}

fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

#[test]
fn several_addresses() {
    // 192.0.2.1 is no address of any machine (RFC 5737); with a `-` that is no reason to give up.
    let port = free_port();
    let mut command = nuthatch();
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "127.0.0.2", "-::1", "-192.0.2.1"]);
    let process = Process::launch(command, port, dir());
    process.await_listening();
    let mut addresses = vec![IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2])];
    if has_ipv6() {
        addresses.push(Ipv6Addr::LOCALHOST.into());
    }
    for address in addresses {
        let stream = TcpStream::connect((address, port)).expect("a connection");
        let mut client = Client::over(stream);
        assert_eq!(client.ask(&["PING"]), b"+PONG\r\n", "{address}");
        let shown = text(&client.ask(&["CLIENT", "INFO"]));
        let local = std::net::SocketAddr::new(address, port);
        assert!(shown.contains(&format!(" laddr={local} ")), "{shown}");
    }
    assert!(TcpStream::connect(("127.0.0.3", port)).is_err());
    // Other addresses while it runs; those that cannot be had change nothing.
    let mut client = process.connect();
    let refused = error(&mut client, &["CONFIG", "SET", "bind", "192.0.2.1"]);
    assert_eq!(
        refused,
        "ERR CONFIG SET failed (possibly related to argument 'bind') - Failed to bind to specified addresses."
    );
    assert_eq!(config(&mut client, "bind"), "127.0.0.1 127.0.0.2 -::1 -192.0.2.1");
    assert_eq!(client.ask(&["CONFIG", "SET", "bind", "127.0.0.1 127.0.0.3"]), b"+OK\r\n");
    assert!(TcpStream::connect(("127.0.0.3", port)).is_ok());
    assert!(TcpStream::connect(("127.0.0.2", port)).is_err());
    let other = free_port();
    assert_eq!(client.ask(&["CONFIG", "SET", "port", &other.to_string()]), b"+OK\r\n");
    assert!(TcpStream::connect(("127.0.0.1", other)).is_ok());
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn addresses_that_cannot_be_had() {
    let Output { status, stdout, .. } = output(&["--port", "8049", "--bind", "192.0.2.1"]);
    let said = String::from_utf8_lossy(&stdout).into_owned();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("192.0.2.1:8049: Cannot assign requested address"), "{said}");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let Output { status, stdout, .. } = output(&["--port", &port, "--bind", "127.0.0.1"]);
    let said = String::from_utf8_lossy(&stdout).into_owned();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("Address already in use"), "{said}");
    let Output { status, stdout, .. } = output(&["--port", "0"]);
    assert_eq!(status.code(), Some(1));
    assert!(String::from_utf8_lossy(&stdout).contains("Configured to not listen anywhere, exiting."));
}

#[test]
fn unix_socket_alone() {
    let dir = dir();
    let path = dir.path().join("the.socket");
    // What is left of a server that was killed.
    drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
    let mut command = nuthatch();
    command.args(["--port", "0", "--unixsocket", "the.socket", "--unixsocketperm", "700"]);
    let process = Process::launch(command, 0, dir);
    process.await_true("it listens", || UnixStream::connect(&path).is_ok());
    let metadata = std::fs::metadata(&path).expect("a socket");
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o700);
    let mut stream = UnixStream::connect(&path).expect("a connection");
    stream.write_all(b"CLIENT INFO\r\nSHUTDOWN NOSAVE\r\n").expect("the server reads");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("a reply, then the end");
    assert!(reply.contains("the.socket:0 ") && reply.contains(" flags=U "), "{reply}");
    assert!(process.wait().success());
    assert!(!path.exists(), "the socket is left behind");
}

#[test]
fn idle_clients_are_closed() {
    let server = Process::nuthatch(&["--timeout", "1"]);
    let (mut idle, mut busy) = (server.connect(), server.connect());
    assert_eq!(idle.ask(&["PING"]), b"+PONG\r\n");
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(4) {
        assert_eq!(busy.ask(&["PING"]), b"+PONG\r\n");
        std::thread::sleep(Duration::from_millis(200));
    }
    idle.stream().set_read_timeout(Some(Duration::from_millis(1))).expect("a socket option");
    assert_eq!(idle.receive_to_end(), b"", "the idle client is still connected");
}

/// An address of this machine that is no loopback address, if it has one.
fn outer_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent: this only asks for the route.
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

#[test]
fn strangers_of_an_unprotected_server() {
    let Some(outer) = outer_address() else {
        eprintln!("skipped: this machine has no address but the loopback ones");
        return;
    };
    let server = Process::nuthatch(&["--bind", "*"]);
    let stranger = || Client::over(TcpStream::connect((outer, server.port)).expect("a connection"));
    let refusal = stranger().receive_to_end();
    assert!(refusal.starts_with(b"-DENIED ") && refusal.ends_with(b"\r\n"), "{}", refusal.escape_ascii());
    assert_eq!(refusal.iter().filter(|byte| **byte == b'\n').count(), 1);
    let mut local = server.connect();
    assert_eq!(local.ask(&["PING"]), b"+PONG\r\n");
    // A password protects the server; so does somebody who says that it needs no protection.
    assert_eq!(local.ask(&["CONFIG", "SET", "requirepass", "secret"]), b"+OK\r\n");
    assert_eq!(error(&mut stranger(), &["PING"]), "NOAUTH Authentication required.");
    assert_eq!(stranger().ask(&["AUTH", "secret"]), b"+OK\r\n");
    assert_eq!(local.ask(&["CONFIG", "SET", "requirepass", "", "protected-mode", "no"]), b"+OK\r\n");
    assert_eq!(stranger().ask(&["PING"]), b"+PONG\r\n");
}

#[test]
fn passwords() {
    let server = Process::nuthatch(&["--requirepass", "secret"]);
    let client = &mut server.connect();
    const NOAUTH: &str = "NOAUTH Authentication required.";
    const WRONGPASS: &str = "WRONGPASS invalid username-password pair or user is disabled.";
    for request in [&["PING"][..], &["GET", "k"], &["COMMAND"], &["CONFIG", "GET", "*"], &["SHUTDOWN"]] {
        assert_eq!(error(client, request), NOAUTH, "{request:?}");
    }
    assert!(error(client, &["HELLO"]).starts_with("NOAUTH HELLO must be called with the client already"));
    assert!(
        error(client, &["HELLO", "3"]).starts_with("NOAUTH HELLO must be called with the client already")
    );
    assert_eq!(error(client, &["AUTH", ""]), WRONGPASS);
    assert_eq!(error(client, &["AUTH", "secret "]), WRONGPASS);
    assert_eq!(error(client, &["AUTH", "default", "wrong"]), WRONGPASS);
    assert_eq!(error(client, &["AUTH", "nobody", "secret"]), WRONGPASS);
    assert_eq!(error(client, &["HELLO", "3", "AUTH", "default", "wrong"]), WRONGPASS);
    assert_eq!(error(client, &["PING"]), NOAUTH);
    let hello = client.ask(&["HELLO", "3", "AUTH", "default", "secret", "SETNAME", "tester"]);
    assert!(hello.starts_with(b"%7\r\n$6\r\nserver\r\n"), "{}", hello.escape_ascii());
    assert_eq!(client.ask(&["CLIENT", "GETNAME"]), b"$6\r\ntester\r\n");
    assert_eq!(client.ask(&["GET", "k"]), b"_\r\n");
    // A wrong password takes nothing away; RESET does.
    assert_eq!(error(client, &["AUTH", "wrong"]), WRONGPASS);
    assert_eq!(client.ask(&["PING"]), b"+PONG\r\n");
    assert_eq!(client.ask(&["RESET"]), b"+RESET\r\n");
    assert_eq!(error(client, &["PING"]), NOAUTH);
    assert_eq!(client.ask(&["AUTH", "secret"]), b"+OK\r\n");
    assert_eq!(client.ask(&["GET", "k"]), b"$-1\r\n");
    // Another password holds for those who come later.
    assert_eq!(client.ask(&["CONFIG", "SET", "requirepass", "other"]), b"+OK\r\n");
    assert_eq!(client.ask(&["PING"]), b"+PONG\r\n");
    assert_eq!(error(&mut server.connect(), &["AUTH", "secret"]), WRONGPASS);
    assert_eq!(server.connect().ask(&["AUTH", "default", "other"]), b"+OK\r\n");
    assert_eq!(client.ask(&["CONFIG", "SET", "requirepass", ""]), b"+OK\r\n");
    assert_eq!(server.connect().ask(&["PING"]), b"+PONG\r\n");
    assert_eq!(
        error(&mut server.connect(), &["AUTH", "x"]),
        "ERR AUTH <password> called without any password configured for the default user. Are you sure your \
         configuration is correct?"
    );
}

#[test]
fn the_limit_of_clients_can_be_moved() {
    let server = Process::nuthatch(&["--maxclients", "2"]);
    let mut client = server.connect();
    await_clients(&mut client, 1);
    assert_eq!(client.ask(&["CONFIG", "SET", "maxclients", "1"]), b"+OK\r\n");
    assert_eq!(server.connect().receive_to_end(), b"-ERR max number of clients reached\r\n");
    assert_eq!(client.ask(&["CONFIG", "SET", "maxclients", "2"]), b"+OK\r\n");
    assert_eq!(server.connect().ask(&["PING"]), b"+PONG\r\n");
}

/// A client with replies under way, and one that just waits, at the moment of the end.
fn ends_well(ask_to_end: impl Fn(&Process)) {
    let server = Process::nuthatch(&["--logfile", "log"]);
    let (mut busy, mut idle) = (server.connect(), server.connect());
    assert_eq!(idle.ask(&["PING"]), b"+PONG\r\n");
    assert_eq!(busy.ask(&["SETRANGE", "large", "20000000", "x"]), b":20000001\r\n");
    busy.send(&["GET", "large"]);
    std::thread::sleep(Duration::from_millis(100));
    ask_to_end(&server);
    let reply = busy.receive_to_end();
    assert_eq!(reply.len(), "$20000001\r\n\r\n".len() + 20_000_001, "a reply under way was cut off");
    assert_eq!(idle.receive_to_end(), b"");
    assert_eq!(server.wait().code(), Some(0));
    assert!(TcpStream::connect(("127.0.0.1", server.port)).is_err());
    assert!(read(server.dir(), "log").contains("is now ready to exit, bye bye..."));
}

#[test]
fn signals_end_the_server() {
    ends_well(|server| server.signal("TERM"));
    ends_well(|server| server.signal("INT"));
}

#[test]
fn shutdown_in_every_form() {
    for words in ["", "NOSAVE", "nosave now", "NOW", "FORCE", "NOW FORCE NOSAVE", "SAVE FORCE"] {
        ends_well(|server| {
            let request: Vec<&str> = ["SHUTDOWN"].into_iter().chain(words.split_whitespace()).collect();
            let mut client = server.connect();
            client.send(&request);
            assert_eq!(client.receive_to_end(), b"", "no reply to {request:?}");
        });
    }
    let server = Process::nuthatch(&[]);
    let mut client = server.connect();
    assert_eq!(error(&mut client, &["SHUTDOWN", "ABORT"]), "ERR No shutdown in progress.");
    for words in [&["x"][..], &["SAVE", "NOSAVE"], &["NOW", "ABORT"], &["ABORT", "ABORT"]] {
        let request = [&["SHUTDOWN"], words].concat();
        assert_eq!(error(&mut client, &request), "ERR syntax error", "{request:?}");
    }
    assert_eq!(client.ask(&["PING"]), b"+PONG\r\n");
}

#[test]
fn what_was_sent_before_the_end_is_answered() {
    let server = Process::nuthatch(&[]);
    let mut client = server.connect();
    let mut requests = encode(&["INCR", "n"]).repeat(1000);
    requests.extend(encode(&["SHUTDOWN", "NOSAVE"]));
    requests.extend(encode(&["INCR", "n"]));
    client.write(&requests);
    let replies = client.receive_to_end();
    assert!(replies.ends_with(b":999\r\n:1000\r\n"), "{}", replies.escape_ascii());
    assert!(server.wait().success());
}

#[test]
fn a_client_that_does_not_read_delays_the_end_only_a_little() {
    let server = Process::nuthatch(&[]);
    let mut client = server.connect();
    assert_eq!(client.ask(&["SETRANGE", "large", "50000000", "x"]), b":50000001\r\n");
    client.send(&["GET", "large"]);
    std::thread::sleep(Duration::from_millis(100));
    let begun = Instant::now();
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn rewriting_keeps_comments_and_order() {
    let dir = dir();
    let port = free_port();
    write(
        dir.path(),
        "my.conf",
        &format!(
            "# My server.\nport {port}\nbind 127.0.0.1\n\n# Memory, and why.\nmaxmemory 100mb\n\
             maxmemory-policy allkeys-lru # no comment here\n"
        )
        .replace(" # no comment here", ""),
    );
    let mut command = nuthatch();
    command.args(["my.conf", "--timeout", "30"]);
    let server = Process::launch(command, port, dir);
    server.await_listening();
    let mut client = server.connect();
    assert_eq!(client.ask(&["CONFIG", "SET", "maxmemory", "50mb", "slowlog-max-len", "7"]), b"+OK\r\n");
    assert_eq!(client.ask(&["CONFIG", "REWRITE"]), b"+OK\r\n");
    let rewritten = read(server.dir(), "my.conf");
    let expected = format!(
        "# My server.\nport {port}\nbind 127.0.0.1\n\n# Memory, and why.\nmaxmemory 50mb\n\
         maxmemory-policy allkeys-lru\n"
    );
    assert!(rewritten.starts_with(&expected), "{rewritten}");
    let added = &rewritten[expected.len()..];
    assert!(added.contains("\ntimeout 30\n") && added.contains("\nslowlog-max-len 7\n"), "{rewritten}");
    // Once more changes nothing, and the file is a configuration.
    assert_eq!(client.ask(&["CONFIG", "REWRITE"]), b"+OK\r\n");
    assert_eq!(read(server.dir(), "my.conf"), rewritten);
    let again = tempfile::tempdir().expect("a directory");
    write(again.path(), "my.conf", &rewritten.replace(server.dir().to_str().expect("a path"), "."));
    client.send(&["SHUTDOWN", "NOSAVE"]);
    assert!(server.wait().success());
    let mut command = nuthatch();
    command.arg("my.conf");
    let server = Process::launch(command, port, again);
    server.await_listening();
    let mut client = server.connect();
    assert_eq!(config(&mut client, "maxmemory"), "52428800");
    assert_eq!(config(&mut client, "timeout"), "30");
    assert_eq!(config(&mut client, "slowlog-max-len"), "7");
    let without = Process::nuthatch(&[]);
    let refused = error(&mut without.connect(), &["CONFIG", "REWRITE"]);
    assert_eq!(refused, "ERR The server is running without a config file");
}

#[test]
fn pidfile_and_log() {
    let server = Process::nuthatch(&["--pidfile", "the.pid", "--logfile", "the.log", "--loglevel", "notice"]);
    assert_eq!(read(server.dir(), "the.pid"), format!("{}\n", server.id()));
    let log = read(server.dir(), "the.log");
    assert!(log.contains("Ready to accept connections"), "{log}");
    for wanted in [env!("CARGO_PKG_VERSION"), "127.0.0.1", "workers", "memory", "persistence"] {
        assert!(log.contains(wanted), "{wanted}: {log}");
    }
    let pid = server.id().to_string();
    assert!(log.lines().all(|line| line.starts_with(&format!("{pid}:M "))), "{log}");
    server.signal("TERM");
    assert!(server.wait().success());
    assert!(!server.dir().join("the.pid").exists(), "the pidfile is left behind");
    let log = read(server.dir(), "the.log");
    assert!(log.contains("Received SIGTERM scheduling shutdown..."), "{log}");
}

#[test]
fn commands_under_other_names() {
    let server = Process::nuthatch(&[
        "--rename-command",
        "FLUSHALL",
        "",
        "--rename-command",
        "get",
        "a-name-that-nobody-guesses-as-it-is-long",
    ]);
    let mut client = server.connect();
    assert_eq!(client.ask(&["SET", "k", "v"]), b"+OK\r\n");
    assert_eq!(client.ask(&["A-NAME-that-nobody-guesses-as-it-is-long", "k"]), b"$1\r\nv\r\n");
    assert_eq!(
        error(&mut client, &["GET", "k"]),
        "ERR unknown command 'GET', with args beginning with: 'k' "
    );
    assert_eq!(
        error(&mut client, &["FLUSHALL"]),
        "ERR unknown command 'FLUSHALL', with args beginning with: "
    );
    assert_eq!(client.ask(&["COMMAND", "INFO", "flushall"]), b"*1\r\n$-1\r\n");
}

#[test]
fn a_panic_ends_the_process_with_a_report() {
    let server = Process::nuthatch(&["--logfile", "log", "--enable-debug-command", "yes"]);
    let mut client = server.connect();
    client.write(b"DEBUG PANIC\r\n");
    assert_eq!(client.receive_to_end(), b"");
    assert!(!server.wait().success());
    let log = read(server.dir(), "log");
    assert!(log.contains("BUG REPORT") && log.contains("called by DEBUG PANIC"), "{log}");
}

#[test]
fn foreign_protocols_are_logged_once() {
    let server = Process::nuthatch(&["--logfile", "log"]);
    for _ in 0..3 {
        let mut client = server.connect();
        client.write(b"INCR n\r\nPOST / HTTP/1.1\r\nHost: localhost\r\n\r\nINCR n\r\n");
        // As in Redis, what came before is done; nothing is answered.
        assert_eq!(client.receive_to_end(), b"");
    }
    assert_eq!(server.connect().ask(&["GET", "n"]), b"$1\r\n3\r\n");
    let log = read(server.dir(), "log");
    let lines = log.lines().filter(|line| line.contains("Possible SECURITY ATTACK detected.")).count();
    assert_eq!(lines, 1, "{log}");
}

/// Requests that repeat each other to the byte take a short cut; replies, counts and order must not show it.
#[test]
fn repeated_requests_are_each_executed() {
    let server = Process::nuthatch(&[]);
    let mut client = server.connect();
    let mut pipeline = Vec::new();
    let mut expected = Vec::new();
    for n in 0..200 {
        // Runs of every length up to twenty.
        expected.extend(std::iter::repeat_n(["INCR", "hot"], n % 20 + 1));
        expected.extend([["INCR", "cold"], ["GET", "no such key"]]);
    }
    for request in &expected {
        pipeline.extend_from_slice(&encode(request));
    }
    pipeline.extend_from_slice(b"INCR inline\r\nINCR inline\r\nINCR inline\r\n");
    // In pieces that end anywhere.
    for (n, piece) in pipeline.chunks(997).enumerate() {
        client.write(piece);
        if n % 7 == 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    let (mut hot, mut cold) = (0, 0);
    for request in &expected {
        let reply = client.receive();
        match request {
            ["INCR", "hot"] => {
                hot += 1;
                assert_eq!(reply, format!(":{hot}\r\n").as_bytes());
            }
            ["INCR", _] => {
                cold += 1;
                assert_eq!(reply, format!(":{cold}\r\n").as_bytes());
            }
            _ => assert_eq!(reply, b"$-1\r\n"),
        }
    }
    for n in 1..=3 {
        assert_eq!(client.receive(), format!(":{n}\r\n").as_bytes());
    }
    let stats = text(&client.ask(&["INFO", "commandstats"]));
    let calls = hot + cold + 3;
    assert!(stats.contains(&format!("cmdstat_incr:calls={calls},")), "{calls} calls: {stats}");
    let reply = client.ask(&["LATENCY", "HISTOGRAM", "incr"]);
    let histogram = String::from_utf8_lossy(&reply);
    assert!(histogram.contains(&format!(":{calls}\r\n")), "{calls} calls: {histogram}");
}

/// The same with requests that fail, which are counted as such.
#[test]
fn repeated_requests_may_fail() {
    let server = Process::nuthatch(&[]);
    let mut client = server.connect();
    client.ask(&["SET", "text", "abc"]);
    let request = encode(&["INCR", "text"]);
    client.write(&request.repeat(30));
    for _ in 0..30 {
        assert_eq!(client.receive(), b"-ERR value is not an integer or out of range\r\n");
    }
    let stats = text(&client.ask(&["INFO", "commandstats"]));
    let incr = stats.lines().find(|line| line.starts_with("cmdstat_incr:")).expect("a line");
    assert!(incr.starts_with("cmdstat_incr:calls=30,") && incr.ends_with("failed_calls=30"), "{incr}");
}
