//! Answers clients while a script keeps others waiting.
//!
//! A script occupies its worker: nothing else runs there until it ends, not even what would end it. So from within the
//! script's run, now and then, the worker looks at its other connections ([`attend`]), and the listener looks at
//! new ones, which no worker has yet ([`answer`]). What they send is answered with `BUSY` or, if it is for ending the
//! script, obeyed. Requests that are allowed meanwhile but need a connection's whole state (AUTH, MULTI, …) stay in
//! the socket until the script is over.
//!
//! Only connections between two requests are looked at, with nothing received or to be sent: their tasks know
//! nothing of what was taken and answered here. Works on the socket itself, past the runtime, which is not running.

use crate::command::dispatch::{Resolved, busy_error, resolve};
use crate::command::errors::Error;
use crate::command::scripting::kill;
use crate::command::spec::Flags;
use crate::resp::reply::{Proto, Reply};
use crate::resp::scan::{Found, Limits, Request, Scanner};
use crate::script::Purpose;
use crate::state::shutdown;
use crate::state::{Client, Server};
use std::os::fd::RawFd;
use std::sync::atomic::Ordering;

/// As much of what a client has sent is looked at.
const LOOK_BYTES: usize = 16 * 1024;

/// Looks at the connections of a worker, but for the client that runs the script.
pub fn attend(server: &Server, worker: usize, running: u64) {
    for client in server.clients.all() {
        if client.worker == worker && client.id != running && is_between_requests(&client) {
            // A connection that this worker has not yet begun to serve is as new ones are.
            let authenticated = match client.has_started() {
                true => client.authenticated.load(Ordering::Relaxed),
                false => !server.needs_password(),
            };
            answer(server, client.fd, authenticated);
        }
    }
}

/// Whether the connection waits for a request, has received no part of it, and nothing is to be sent to it.
fn is_between_requests(client: &Client) -> bool {
    let none = |bytes: &std::sync::atomic::AtomicUsize| bytes.load(Ordering::Relaxed) == 0;
    none(&client.query_bytes)
        && none(&client.args_bytes)
        && none(&client.output_bytes)
        && client.multi.load(Ordering::Relaxed) < 0
        && !client.is_blocked()
        && !client.is_subscriber.load(Ordering::Relaxed)
        && !client.is_monitor.load(Ordering::Relaxed)
}

/// Answers what has arrived on a socket, request by request, as far as it can be answered now.
pub fn answer(server: &Server, fd: RawFd, authenticated: bool) {
    let mut input = vec![0; LOOK_BYTES];
    // SAFETY: the buffer is as long as is said; nothing is taken from the socket, and nobody waits.
    let len = unsafe {
        libc::recv(fd, input.as_mut_ptr().cast(), input.len(), libc::MSG_PEEK | libc::MSG_DONTWAIT)
    };
    let Ok(len) = usize::try_from(len) else { return };
    input.truncate(len);
    let limits = Limits { max_bulk_bytes: LOOK_BYTES as i64, authenticated };
    let mut scanner = Scanner::new();
    let mut taken = 0;
    loop {
        let (mut spans, mut large) = (Vec::new(), Vec::new());
        if scanner.scan(&input, limits, &mut spans, &mut large) != Found::Request {
            return;
        }
        let request = Request::new(&input, &large, &spans);
        let mut out = Reply::new(Proto::Resp2);
        if !reply(server, request, authenticated, &mut out) {
            return;
        }
        let end = scanner.position();
        if !take(fd, end - taken) {
            return;
        }
        taken = end;
        send(fd, out.plain().unwrap_or_default());
    }
}

/// Writes the reply to a request; false if it has to wait.
fn reply(server: &Server, request: Request<'_>, authenticated: bool, out: &mut Reply) -> bool {
    let Resolved::Command(entry) = resolve(request) else { return false };
    let error = if !entry.spec.accepts(request.len()) {
        return false;
    } else if !authenticated {
        Error::NoAuth
    } else if !entry.spec.flags.contains(Flags::ALLOW_BUSY) {
        busy_error(server)
    } else {
        let killed = match entry.full_name.as_str() {
            "script|kill" => kill(server, Purpose::Eval),
            "function|kill" => kill(server, Purpose::Functions),
            "shutdown" if request.len() == 2 && request.get(1).eq_ignore_ascii_case(b"nosave") => {
                let without_saving = shutdown::Request { save: Some(false), ..shutdown::Request::default() };
                server.shutdown.request(without_saving);
                return true;
            }
            _ => return false,
        };
        match killed {
            Ok(()) => {
                out.ok();
                return true;
            }
            Err(error) => error,
        }
    };
    out.error(error.reply());
    true
}

/// Takes the bytes of a request from the socket, which has them.
fn take(fd: RawFd, bytes: usize) -> bool {
    let mut request = vec![0; bytes];
    // SAFETY: the buffer is as long as is said, and nobody waits.
    let taken = unsafe { libc::recv(fd, request.as_mut_ptr().cast(), bytes, libc::MSG_DONTWAIT) };
    usize::try_from(taken) == Ok(bytes)
}

/// Sends a short reply. A client that does not read its replies has made the socket full, and loses this one.
fn send(fd: RawFd, reply: &[u8]) {
    // SAFETY: the buffer is as long as is said, and nobody waits.
    let sent = unsafe {
        libc::send(fd, reply.as_ptr().cast(), reply.len(), libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
    };
    if usize::try_from(sent) != Ok(reply.len()) {
        // SAFETY: the descriptor is open. The connection's task will find that it has ended.
        unsafe { libc::shutdown(fd, libc::SHUT_RDWR) };
    }
}
