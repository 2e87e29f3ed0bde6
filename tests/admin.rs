//! What an operator sees and sets: clients and their memory, slow commands, figures, signals, the title.

mod common;

use common::{Client, Process, await_clients, elements, encode, info, text};
use std::time::{Duration, Instant};

const MB: usize = 1 << 20;

/// The field of a client's line in CLIENT LIST; `None` if there is no client of this name.
fn field(watcher: &mut Client, name: &str, field: &str) -> Option<usize> {
    let list = text(&watcher.ask(&["CLIENT", "LIST"]));
    let line = list.lines().find(|line| line.contains(&format!(" name={name} ")))?;
    let value = line.split(' ').find_map(|word| word.strip_prefix(field)?.strip_prefix('='));
    Some(value.expect("the field").parse().expect("a number"))
}

fn await_that(what: &str, mut condition: impl FnMut() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < give_up, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn named(server: &Process, name: &str) -> Client {
    let mut client = server.connect();
    assert_eq!(client.ask(&["CLIENT", "SETNAME", name]), b"+OK\r\n");
    client
}

fn set(client: &mut Client, name: &str, value: &str) {
    assert_eq!(client.ask(&["CONFIG", "SET", name, value]), b"+OK\r\n", "{name} {value}");
}

/// Sends the beginning of a request whose only argument never ends.
fn begin_argument(client: &mut Client, bytes: usize) {
    client.write(format!("*1\r\n${bytes}\r\n").as_bytes());
    client.write(&vec![b'v'; bytes]);
}

#[test]
fn clients_that_take_too_much_memory_are_evicted_the_largest_first() {
    let server = Process::nuthatch(&[]);
    let mut watcher = named(&server, "watcher");
    assert_eq!(watcher.ask(&["CLIENT", "NO-EVICT", "on"]), b"+OK\r\n");
    let mut clients: Vec<Client> = (1..=4).map(|n| named(&server, &format!("c{n}"))).collect();
    for (client, n) in clients.iter_mut().zip(1..) {
        begin_argument(client, n * MB);
        await_that("the input is counted", || field(&mut watcher, &format!("c{n}"), "qbuf") == Some(n * MB));
    }
    // 10 MB in all: without the two largest it is 3.
    set(&mut watcher, "maxmemory-clients", "4mb");
    let left = |watcher: &mut Client| {
        (1..=4).filter(|n| field(watcher, &format!("c{n}"), "id").is_some()).collect::<Vec<_>>()
    };
    assert_eq!(left(&mut watcher), [1, 2]);
    assert_eq!(info(&mut watcher, "evicted_clients"), 2);
    for evicted in &mut clients[2..] {
        assert_eq!(evicted.receive_to_end(), b"");
    }
    // What a client sends is limited as it comes, and again by one who is exempt.
    set(&mut watcher, "maxmemory-clients", "10mb");
    let mut greedy = named(&server, "greedy");
    begin_argument(&mut greedy, 12 * MB);
    await_that("eviction", || field(&mut watcher, "greedy", "id").is_none());
    let mut exempt = named(&server, "exempt");
    assert_eq!(exempt.ask(&["CLIENT", "NO-EVICT", "ON"]), b"+OK\r\n");
    set(&mut watcher, "maxmemory-clients", "0");
    begin_argument(&mut exempt, 5 * MB);
    await_that("5 MB of input", || field(&mut watcher, "exempt", "qbuf") == Some(5 * MB));
    // Per cent of a limit that does not exist are no limit.
    set(&mut watcher, "maxmemory-clients", "3%");
    assert_eq!(left(&mut watcher), [1, 2]);
    set(&mut watcher, "maxmemory", "100mb");
    assert_eq!(left(&mut watcher), [] as [i32; 0]);
    assert!(field(&mut watcher, "exempt", "tot-mem") > Some(5 * MB));
}

#[test]
fn replies_that_nobody_reads_count_as_memory() {
    let server = Process::nuthatch(&["--maxmemory-clients", "10mb"]);
    let mut watcher = server.connect();
    assert_eq!(watcher.ask(&["SETRANGE", "k", "1000000", "v"]), b":1000001\r\n");
    let mut reader = named(&server, "reader");
    for _ in 0..30 {
        reader.write(&encode(&["GET", "k"]));
    }
    await_that("eviction", || field(&mut watcher, "reader", "id").is_none());
    assert_eq!(info(&mut watcher, "evicted_clients"), 1);
}

#[test]
fn a_long_pipeline_may_be_sent_before_its_first_reply_is_read() {
    let server = Process::nuthatch(&[]);
    let mut client = server.connect();
    let (text, count) = ("e".repeat(100), 200_000);
    // 26 MB each way, far more than the sockets take.
    client.write(&encode(&["ECHO", &text]).repeat(count));
    for _ in 0..count {
        assert_eq!(client.receive().len(), "$100\r\n\r\n".len() + 100);
    }
}

#[test]
fn a_client_that_has_finished_sending_gets_all_replies() {
    let server = Process::nuthatch(&[]);
    let mut client = server.connect();
    assert_eq!(client.ask(&["SETRANGE", "k", "20000000", "v"]), b":20000001\r\n");
    client.write(&encode(&["GET", "k"]));
    client.stream().shutdown(std::net::Shutdown::Write).expect("half a close");
    assert_eq!(client.receive_to_end().len(), "$20000001\r\n\r\n".len() + 20_000_001);
}

#[test]
fn input_buffers_last_while_they_are_in_use() {
    let server = Process::nuthatch(&["--hz", "100"]);
    let mut watcher = server.connect();
    let mut client = named(&server, "sender");
    let mut buffer = || field(&mut watcher, "sender", "qbuf").zip(field(&mut watcher, "sender", "qbuf-free"));
    assert_eq!(buffer(), Some((0, 0)));
    client.write(b"*2\r\n$4\r\nECHO\r\n$100000\r\nx");
    await_that("a buffer for a large argument", || {
        buffer().is_some_and(|(used, free)| used + free > 100_000)
    });
    // Given back when nothing comes for a while, and taken again when something does.
    await_that("the buffer is given back", || buffer().is_some_and(|(used, free)| used == 1 && free < 5000));
    client.write(&[vec![b'x'; 99_999], b"\r\n".to_vec()].concat());
    assert_eq!(client.receive().len(), "$100000\r\n\r\n".len() + 100_000);
    client.write(b"*1\r\n$4\r\nPI");
    await_that("a buffer for half a request", || buffer().is_some_and(|(used, _)| used > 0));
    client.write(b"NG\r\n");
    assert_eq!(client.receive(), b"+PONG\r\n");
    await_that("no buffer", || buffer() == Some((0, 0)));
}

#[test]
fn large_arguments_count_towards_the_query_buffer_limit() {
    let server = Process::nuthatch(&["--client-query-buffer-limit", "1mb"]);
    let mut client = server.connect();
    client.write(&encode(&[b"SET".as_slice(), b"k", &vec![b'v'; MB]]));
    assert_eq!(client.receive_to_end(), b"");
    let mut client = server.connect();
    assert_eq!(client.ask(&[b"SET".as_slice(), b"k", &vec![b'v'; MB - 2]]), b"+OK\r\n");
    assert_eq!(info(&mut client, "client_query_buffer_limit_disconnections"), 1);
}

#[test]
fn the_reply_buffer_follows_the_replies() {
    let server = Process::nuthatch(&["--enable-debug-command", "yes", "--hz", "100"]);
    let mut watcher = server.connect();
    let mut client = named(&server, "reader");
    assert_eq!(watcher.ask(&["DEBUG", "REPLYBUFFER", "PEAK-RESET-TIME", "100"]), b"+OK\r\n");
    let mut size = || field(&mut watcher, "reader", "rbs");
    await_that("a small buffer", || size() == Some(1024));
    assert_eq!(client.ask(&["SETRANGE", "k", "40000", "v"]), b":40001\r\n");
    await_that("a large buffer", || {
        client.ask(&["GET", "k"]);
        size() == Some(16 * 1024)
    });
    assert!(info(&mut watcher, "reply_buffer_shrinks") >= 1);
    assert!(info(&mut watcher, "reply_buffer_expands") >= 4);
    assert_eq!(watcher.ask(&["DEBUG", "REPLYBUFFER", "RESIZING", "0"]), b"+OK\r\n");
    assert_eq!(watcher.ask(&["DEBUG", "REPLYBUFFER", "ODD", "0"])[0], b'-');
}

#[test]
fn the_slow_log_takes_commands_of_any_speed() {
    let server = Process::nuthatch(&["--slowlog-log-slower-than", "0"]);
    let mut client = server.connect();
    for _ in 0..20 {
        client.ask(&["PING"]);
    }
    assert_eq!(client.ask(&["SLOWLOG", "LEN"]), b":20\r\n");
    // What switches the log off is not slow by what it has just set.
    set(&mut client, "slowlog-log-slower-than", "-1");
    assert_eq!(client.ask(&["SLOWLOG", "LEN"]), b":21\r\n");
    let newest = client.ask(&["SLOWLOG", "GET", "1"]);
    assert!(text(elements(elements(&newest).expect("a log")[0]).expect("an entry")[3]).len() < 20);
}

#[test]
fn turns_are_counted_with_and_without_traffic() {
    let server = Process::nuthatch(&[]);
    let mut client = server.connect();
    let turns = info(&mut client, "eventloop_cycles");
    for field in ["eventloop_duration_sum", "eventloop_duration_cmd_sum"] {
        assert!(info(&mut client, field) > 0, "{field}");
    }
    await_that("a rate", || info(&mut client, "instantaneous_eventloop_cycles_per_sec") > 0);
    assert!(info(&mut client, "eventloop_cycles") > turns);
    let all = text(&client.ask(&["INFO", "everything"]));
    assert!(!all.contains("eventloop_cmd_per_cycle_max"), "shown only when asked for");
    client.write(&encode(&["PING"]).repeat(50));
    (0..50).for_each(|_| assert_eq!(client.receive(), b"+PONG\r\n"));
    let debug = text(&client.ask(&["INFO", "debug"]));
    let most = debug.lines().find_map(|line| line.strip_prefix("eventloop_cmd_per_cycle_max:"));
    assert!(most.expect("the field").parse::<u32>().expect("a number") >= 2);
    assert!(all.contains("\r\nio_thread_0:clients="));
}

#[test]
fn signals_stop_the_server_as_configured() {
    let args = ["--shutdown-on-sigterm", "save", "--shutdown-on-sigint", "nosave now", "--save", "100 1"];
    for (signal, saves) in [("TERM", true), ("INT", false)] {
        let server = Process::nuthatch(&args);
        assert_eq!(server.connect().ask(&["SET", "a", "b"]), b"+OK\r\n");
        server.signal(signal);
        assert!(server.wait().success());
        assert_eq!(server.dir().join("dump.rdb").exists(), saves);
    }
}

#[test]
fn the_title_follows_its_template() {
    let server = Process::nuthatch(&["--proc-title-template", "nuts {title} {listen-addr}"]);
    let title = || {
        let bytes = std::fs::read(format!("/proc/{}/cmdline", server.id())).expect("a title");
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    };
    let program = env!("CARGO_BIN_EXE_nuthatch");
    assert_eq!(title(), format!("nuts {program} 127.0.0.1:{}", server.port));
    let mut client = server.connect();
    set(&mut client, "proc-title-template", "{port} {tls-port}{unixsocket} {{x");
    assert_eq!(title(), format!("{} 0 {{x", server.port));
    // A title that is too long is cut, not written over what follows.
    set(&mut client, "proc-title-template", &"t".repeat(100_000));
    assert!(title().starts_with("ttt"));
    assert!(
        client.ask(&["CONFIG", "SET", "proc-title-template", "{odd}"]).starts_with(b"-ERR CONFIG SET failed")
    );
    await_clients(&mut client, 1);
}
