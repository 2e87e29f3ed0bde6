//! What tests that talk to a running server share: starting one, and a client that shows replies as they came.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const START_WITHIN: Duration = Duration::from_secs(20);
const REPLY_WITHIN: Duration = Duration::from_secs(20);

/// A server of our own on a free port, gone when this is dropped.
pub struct Process {
    child: Child,
    pub port: u16,
    _dir: TempDir,
}

impl Process {
    /// The binary under test.
    pub fn nuthatch(args: &[&str]) -> Process {
        Process::start(env!("CARGO_BIN_EXE_nuthatch"), args)
    }

    /// The Redis to compare with: `redis-server` on the path.
    pub fn redis(args: &[&str]) -> Process {
        Process::start("redis-server", args)
    }

    fn start(program: &str, args: &[&str]) -> Process {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = free.expect("a free port").port();
        let dir = tempfile::tempdir().expect("a directory for the server");
        let child = Command::new(program)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(args)
            .current_dir(&dir)
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {program}: {error}"));
        let mut process = Process { child, port, _dir: dir };
        let give_up = Instant::now() + START_WITHIN;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = process.child.try_wait().expect("the state of a child");
            assert!(ended.is_none(), "{program} ended: {ended:?}");
            assert!(Instant::now() < give_up, "{program} does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        process
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.port)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection that reads replies as bytes, without interpreting them.
pub struct Client {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    fn connect(port: u16) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        stream.set_nodelay(true).expect("a socket option");
        stream.set_read_timeout(Some(REPLY_WITHIN)).expect("a socket option");
        Client { stream, received: Vec::new() }
    }

    /// Sends one request.
    pub fn send(&mut self, args: &[impl AsRef<[u8]>]) {
        let mut request = format!("*{}\r\n", args.len()).into_bytes();
        for arg in args {
            let arg = arg.as_ref();
            request.extend(format!("${}\r\n", arg.len()).bytes());
            request.extend_from_slice(arg);
            request.extend(b"\r\n");
        }
        self.stream.write_all(&request).expect("the server takes a request");
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

    /// Sends one request and returns its reply in wire form.
    pub fn ask(&mut self, args: &[impl AsRef<[u8]>]) -> Vec<u8> {
        self.send(args);
        self.receive()
    }
}

/// The length of the first complete reply in `bytes`.
fn frame_len(bytes: &[u8]) -> Option<usize> {
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
