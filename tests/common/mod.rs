//! What tests that talk to a running server share: starting one, and a client that shows replies as they came.

#![allow(dead_code, reason = "every test program uses a part of this, and none uses all")]

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const START_WITHIN: Duration = Duration::from_secs(20);
const END_WITHIN: Duration = Duration::from_secs(20);
const REPLY_WITHIN: Duration = Duration::from_secs(20);

/// A server of our own on a free port, gone when this is dropped.
pub struct Process {
    child: Mutex<Child>,
    pub port: u16,
    dir: TempDir,
}

impl Process {
    /// The binary under test.
    pub fn nuthatch(args: &[&str]) -> Process {
        Process::start(env!("CARGO_BIN_EXE_nuthatch"), args)
    }

    /// The Redis to compare with: `redis-server` on the path, or the one that `NUTHATCH_TEST_REDIS` names.
    pub fn redis(args: &[&str]) -> Process {
        let program = std::env::var("NUTHATCH_TEST_REDIS");
        Process::start(program.as_deref().unwrap_or("redis-server"), args)
    }

    fn start(program: &str, args: &[&str]) -> Process {
        let port = free_port();
        let dir = tempfile::tempdir().expect("a directory for the server");
        let mut command = Command::new(program);
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]).args(args);
        let process = Process::launch(command, port, dir);
        process.await_listening();
        process
    }

    /// Starts a server whose command line says all that there is to say. It runs in `dir`.
    pub fn launch(mut command: Command, port: u16, dir: TempDir) -> Process {
        let child = command.current_dir(&dir).stdout(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Process { child: Mutex::new(child), port, dir }
    }

    /// Waits until the server takes connections on its port.
    pub fn await_listening(&self) {
        self.await_true("it listens", || TcpStream::connect(("127.0.0.1", self.port)).is_ok());
    }

    /// Waits until something is true of a server that runs.
    pub fn await_true(&self, what: &str, is_true: impl Fn() -> bool) {
        let give_up = Instant::now() + START_WITHIN;
        while !is_true() {
            let ended = self.child().try_wait().expect("the state of a child");
            assert!(ended.is_none(), "the server ended before {what}: {ended:?}");
            assert!(Instant::now() < give_up, "waited in vain: {what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process's id.
    pub fn id(&self) -> u32 {
        self.child().id()
    }

    /// The standard input of a server that was started with a pipe for it.
    pub fn take_stdin(&self) -> ChildStdin {
        self.child().stdin.take().expect("a pipe")
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.port)
    }

    /// The directory that the server runs in.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Sends a signal, named as `kill` names it.
    pub fn signal(&self, name: &str) {
        // The shell's own: a bare machine has no other.
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.id())]).status();
        assert!(sent.expect("a shell").success(), "cannot send SIG{name}");
    }

    /// How the process has ended, if it has.
    pub fn try_wait(&self) -> Option<ExitStatus> {
        self.child().try_wait().expect("the state of a child")
    }

    /// Waits for the end of the process.
    pub fn wait(&self) -> ExitStatus {
        let give_up = Instant::now() + END_WITHIN;
        loop {
            if let Some(status) = self.child().try_wait().expect("the state of a child") {
                return status;
            }
            assert!(Instant::now() < give_up, "the server does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A TCP port that nobody listens on.
pub fn free_port() -> u16 {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    free.expect("a free port").port()
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut child = self.child();
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// A connection that reads replies as bytes, without interpreting them.
pub struct Client {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    fn connect(port: u16) -> Client {
        Client::over(TcpStream::connect(("127.0.0.1", port)).expect("a connection"))
    }

    /// A client on a connection that was made elsewhere.
    pub fn over(stream: TcpStream) -> Client {
        stream.set_nodelay(true).expect("a socket option");
        stream.set_read_timeout(Some(REPLY_WITHIN)).expect("a socket option");
        Client { stream, received: Vec::new() }
    }

    /// Sends one request.
    pub fn send(&mut self, args: &[impl AsRef<[u8]>]) {
        self.stream.write_all(&encode(args)).expect("the server takes a request");
    }

    /// The next reply, in wire form.
    pub fn receive(&mut self) -> Vec<u8> {
        loop {
            if let Some(len) = frame_len(&self.received) {
                return self.received.drain(..len).collect();
            }
            let mut chunk = [0; 64 * 1024];
            let n = self.stream.read(&mut chunk).expect("the server replies");
            assert!(n > 0, "the server closed the connection");
            self.received.extend_from_slice(&chunk[..n]);
        }
    }

    /// The next reply; nothing if the server is gone.
    pub fn try_receive(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(len) = frame_len(&self.received) {
                return Some(self.received.drain(..len).collect());
            }
            let mut chunk = [0; 64 * 1024];
            let n = match self.stream.read(&mut chunk) {
                Err(error) if !is_closed(error.kind()) => panic!("no reply: {error}"),
                Ok(n @ 1..) => n,
                _ => return None,
            };
            self.received.extend_from_slice(&chunk[..n]);
        }
    }

    /// The connection itself, to send or receive bytes past this client.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends bytes as they are. That the server has closed the connection meanwhile is no error: what it had
    /// to say can still be received.
    pub fn write(&mut self, bytes: &[u8]) {
        match self.stream.write_all(bytes) {
            Err(error) if !is_closed(error.kind()) => panic!("cannot send: {error}"),
            _ => {}
        }
    }

    /// All that arrives until the server closes the connection.
    pub fn receive_to_end(&mut self) -> Vec<u8> {
        let mut all = std::mem::take(&mut self.received);
        match self.stream.read_to_end(&mut all) {
            Err(error) if !is_closed(error.kind()) => panic!("the server does not close: {error}"),
            _ => all,
        }
    }

    /// Sends one request and returns its reply in wire form.
    pub fn ask(&mut self, args: &[impl AsRef<[u8]>]) -> Vec<u8> {
        self.send(args);
        self.receive()
    }
}

fn is_closed(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted)
}

/// One request in wire form.
pub fn encode(args: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut request = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        let arg = arg.as_ref();
        request.extend(format!("${}\r\n", arg.len()).bytes());
        request.extend_from_slice(arg);
        request.extend(b"\r\n");
    }
    request
}

/// The text of a bulk, verbatim or simple string.
pub fn text(reply: &[u8]) -> String {
    let line_end = reply.windows(2).position(|pair| pair == b"\r\n").expect("a reply");
    let body = match reply[0] {
        b'$' => &reply[line_end + 2..reply.len() - 2],
        b'=' => &reply[line_end + "\r\ntxt:".len()..reply.len() - 2],
        _ => &reply[1..line_end],
    };
    String::from_utf8_lossy(body).into_owned()
}

/// The length of the first complete reply in `bytes`.
pub fn frame_len(bytes: &[u8]) -> Option<usize> {
    let line_end = bytes.windows(2).position(|pair| pair == b"\r\n")? + 2;
    let number = || std::str::from_utf8(&bytes[1..line_end - 2]).ok()?.parse::<i64>().ok();
    let elements = match bytes[0] {
        b'$' | b'=' | b'!' => {
            let len = usize::try_from(number()?).map_or(0, |len| len + 2);
            return (bytes.len() >= line_end + len).then_some(line_end + len);
        }
        b'*' | b'~' | b'>' => number()?.max(0),
        b'%' | b'|' => number()? * 2,
        _ => 0,
    };
    let mut len = line_end;
    for _ in 0..elements {
        len += frame_len(&bytes[len..])?;
    }
    Some(len)
}

/// The elements of an array reply, each in wire form; `None` for any other reply.
pub fn elements(reply: &[u8]) -> Option<Vec<&[u8]>> {
    if reply.first() != Some(&b'*') {
        return None;
    }
    let mut rest = &reply[reply.iter().position(|byte| *byte == b'\n')? + 1..];
    let mut elements = Vec::new();
    while !rest.is_empty() {
        let (element, tail) = rest.split_at(frame_len(rest)?);
        elements.push(element);
        rest = tail;
    }
    Some(elements)
}

/// A number of INFO.
pub fn info(client: &mut Client, field: &str) -> u64 {
    let info = text(&client.ask(&["INFO", "everything"]));
    let line = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("INFO has no {field}")).parse().expect("a number")
}

/// Waits until only so many clients are connected.
pub fn await_clients(client: &mut Client, count: u64) {
    let give_up = Instant::now() + Duration::from_secs(10);
    while info(client, "connected_clients") != count {
        assert!(Instant::now() < give_up, "clients that are gone are still counted");
        std::thread::sleep(Duration::from_millis(20));
    }
}
