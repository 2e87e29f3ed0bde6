//! Listeners: the sockets that the server accepts connections on, TCP and Unix.
//!
//! Accepts on the main thread and hands each connection to the worker with the fewest, since the kernel's own
//! spreading over several listening sockets is uneven for a few dozen clients.

use super::busy;
use super::stream::Accepted;
use super::worker::Assignment;
use crate::config::Config;
use crate::observe::process;
use crate::state::clients::Transport;
use crate::state::{Client, Server};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, TcpKeepalive, Type};
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;

/// How long accepting rests after an error such as too many open files.
const REST_AFTER_ERROR: Duration = Duration::from_millis(100);

/// How often a connection is looked at that no worker has yet.
const ATTEND_EVERY: Duration = Duration::from_millis(5);

/// Redis's message to strangers of an unprotected server, on one line as an error reply has to be.
const PROTECTED_MODE: &[u8] = b"-DENIED Nuthatch is running in protected mode because protected mode is enabled and no \
password is set for the default user. In this mode connections are only accepted from the loopback interface. If you \
want to connect from external computers you may adopt one of the following solutions: 1) Just disable protected mode \
sending the command 'CONFIG SET protected-mode no' from the loopback interface by connecting from the same host the \
server is running, however MAKE SURE it is not publicly accessible from internet if you do so. Use CONFIG REWRITE to \
make this change permanent. 2) Alternatively you can just disable the protected mode by editing the configuration \
file, and setting the protected mode option to 'no', and then restarting the server. 3) If you started the server \
manually just for testing, restart it with the '--protected-mode no' option. 4) Set up an authentication password for \
the default user. NOTE: You only need to do one of the above things in order for the server to start accepting \
connections from the outside.\r\n";

const MAX_CLIENTS_REACHED: &[u8] = b"-ERR max number of clients reached\r\n";

/// A socket that listens.
pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Listener::Unix(_, path) = self {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Opens every listener that the configuration asks for. Called within the main runtime.
///
/// # Errors
/// A sentence for the log, if an address that is not optional cannot be bound.
pub fn open(config: &Config) -> Result<Vec<Listener>, String> {
    let mut listeners = Vec::new();
    let backlog = config.tcp_backlog() as i32;
    let port = config.port() as u16;
    if port != 0 {
        let mut tried = 0;
        for address in config.bind().iter() {
            tried += 1;
            let address = String::from_utf8_lossy(address).into_owned();
            let (optional, name) = match address.strip_prefix('-') {
                Some(name) => (true, name),
                None => (false, address.as_str()),
            };
            match open_tcp(name, port, backlog) {
                Ok(listener) => {
                    let listener =
                        TcpListener::from_std(listener).map_err(|e| format!("Cannot watch {name}: {e}"))?;
                    listeners.push(Listener::Tcp(listener));
                }
                Err(error) if optional && is_unavailable(&error) => {}
                Err(error) => {
                    return Err(format!(
                        "Warning: Could not create server TCP listening socket {name}:{port}: {}",
                        process::error_text(&error)
                    ));
                }
            }
        }
        if listeners.is_empty() && tried > 0 {
            return Err(format!("Failed listening on port {port} (tcp), aborting."));
        }
    }
    let path = config.unixsocket();
    if !path.is_empty() {
        let path = PathBuf::from(String::from_utf8_lossy(&path).into_owned());
        let listener = open_unix(&path, config.unixsocketperm(), backlog)
            .map_err(|e| format!("Failed opening Unix socket: bind: {}", process::error_text(&e)))?;
        let listener =
            UnixListener::from_std(listener).map_err(|e| format!("Cannot watch the Unix socket: {e}"))?;
        listeners.push(Listener::Unix(listener, path));
    }
    Ok(listeners)
}

fn is_unavailable(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT | libc::EPROTONOSUPPORT | libc::ENOPROTOOPT)
    ) || error.kind() == io::ErrorKind::NotFound
}

fn open_tcp(name: &str, port: u16, backlog: i32) -> io::Result<std::net::TcpListener> {
    let ip: Option<IpAddr> = match name {
        "*" => Some(IpAddr::from([0, 0, 0, 0])),
        "::*" => Some(IpAddr::from([0_u16; 8])),
        name => name.parse().ok(),
    };
    let address = match ip {
        Some(ip) => SocketAddr::new(ip, port),
        None => (name, port).to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?,
    };
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn open_unix(path: &Path, permissions: u32, backlog: i32) -> io::Result<std::os::unix::net::UnixListener> {
    let _ = std::fs::remove_file(path);
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(backlog)?;
    if permissions != 0 {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(permissions))?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

impl Listener {
    /// The address as the start-up screen shows it, and its port if it has one.
    pub fn address(&self) -> (String, Option<u16>) {
        match self {
            Listener::Tcp(listener) => match listener.local_addr() {
                Ok(address) => (address.to_string(), Some(address.port())),
                Err(_) => ("?".to_owned(), None),
            },
            Listener::Unix(_, path) => (path.display().to_string(), None),
        }
    }

    async fn accept(&self) -> io::Result<Connected> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok(Connected::Tcp(stream.into_std()?, peer))
            }
            Listener::Unix(listener, path) => {
                let (stream, _) = listener.accept().await?;
                Ok(Connected::Unix(stream.into_std()?, path.clone()))
            }
        }
    }

    /// Accepts connections for ever and hands them to `workers`.
    pub async fn serve(self, server: Arc<Server>, workers: Vec<UnboundedSender<Assignment>>) {
        loop {
            match self.accept().await {
                Ok(connected) if server.scripting.is_busy() => {
                    let (server, workers) = (server.clone(), workers.clone());
                    tokio::spawn(async move {
                        attend(&server, &connected).await;
                        admit_or_log(&server, &workers, connected);
                    });
                }
                Ok(connected) => admit_or_log(&server, &workers, connected),
                Err(error) => {
                    tracing::warn!("Accepting client connection: {}", process::error_text(&error));
                    tokio::time::sleep(REST_AFTER_ERROR).await;
                }
            }
        }
    }
}

/// Serves `listeners`, and others in their place whenever a command has them opened anew. Ends when dropped.
pub async fn serve_all(
    server: Arc<Server>,
    workers: Vec<UnboundedSender<Assignment>>,
    mut listeners: Vec<Listener>,
) {
    let Some(mut requests) = server.listening.requests() else { return };
    let mut serving = JoinSet::new();
    loop {
        let port = listeners.iter().find_map(|listener| listener.address().1).unwrap_or(0);
        server.tcp_port.store(port.into(), Ordering::Relaxed);
        for listener in listeners.drain(..) {
            serving.spawn(listener.serve(server.clone(), workers.clone()));
        }
        let Some(answer) = requests.recv().await else { return };
        // An address can only be had again when the listener that has it is gone.
        serving.shutdown().await;
        let opened = open(&server.config).map(|opened| listeners = opened);
        if let Err(error) = &opened {
            tracing::warn!("{error}");
        }
        // Whoever asked may be gone by now.
        let _ = answer.send(opened);
    }
}

enum Connected {
    Tcp(std::net::TcpStream, SocketAddr),
    Unix(std::os::unix::net::UnixStream, PathBuf),
}

/// Whether protected mode turns a connection away.
fn is_stranger(server: &Server, local: bool) -> bool {
    server.config.protected_mode() && !local && !server.needs_password()
}

impl Connected {
    /// Whether the peer is on this machine.
    fn is_local(&self) -> bool {
        match self {
            Connected::Tcp(_, peer) => peer.ip().to_canonical().is_loopback(),
            Connected::Unix(..) => true,
        }
    }

    fn fd(&self) -> RawFd {
        match self {
            Connected::Tcp(stream, _) => stream.as_raw_fd(),
            Connected::Unix(stream, _) => stream.as_raw_fd(),
        }
    }
}

/// Answers a new connection as long as a script keeps others waiting: the worker that would get it may be the one
/// that the script occupies, or wait for a key that it holds.
async fn attend(server: &Server, connected: &Connected) {
    while server.scripting.is_busy() && !server.shutdown.is_stopping() {
        if is_stranger(server, connected.is_local()) {
            return;
        }
        busy::answer(server, connected.fd(), !server.needs_password());
        tokio::time::sleep(ATTEND_EVERY).await;
    }
}

fn admit_or_log(server: &Arc<Server>, workers: &[UnboundedSender<Assignment>], connected: Connected) {
    if let Err(error) = admit(server, workers, connected) {
        tracing::debug!("Error setting up a client connection: {}", process::error_text(&error));
    }
}

/// Sets a connection up and gives it to the worker with the fewest, or turns it away.
fn admit(
    server: &Arc<Server>,
    workers: &[UnboundedSender<Assignment>],
    connected: Connected,
) -> io::Result<()> {
    let local = connected.is_local();
    let (stream, transport, addr, laddr) = match connected {
        Connected::Tcp(stream, peer) => {
            stream.set_nodelay(true)?;
            set_keepalive(&stream, server.config.tcp_keepalive())?;
            let laddr = stream.local_addr()?.to_string();
            (Accepted::Tcp(stream), Transport::Tcp, peer.to_string(), laddr)
        }
        Connected::Unix(stream, path) => {
            let addr = format!("{}:0", path.display());
            (Accepted::Unix(stream), Transport::Unix, addr.clone(), addr)
        }
    };
    let fd = match &stream {
        Accepted::Tcp(stream) => stream.as_raw_fd(),
        Accepted::Unix(stream) => stream.as_raw_fd(),
    };
    if server.clients.count() >= server.config.maxclients() as usize {
        server.clients.count_rejected();
        return turn_away(stream, MAX_CLIENTS_REACHED);
    }
    if is_stranger(server, local) {
        server.clients.count_rejected();
        return turn_away(stream, PROTECTED_MODE);
    }
    let mut load = vec![0_usize; workers.len()];
    server.clients.count_by_worker(&mut load);
    let worker = (0..workers.len()).min_by_key(|worker| load[*worker]).unwrap_or(0);
    let client = Arc::new(Client::new(server.clients.next_id(), transport, addr, laddr, fd, worker));
    server.clients.add(client.clone());
    tracing::debug!("Accepted {}", client.addr);
    if let Err(refused) = workers[worker].send(Assignment { stream, client }) {
        server.clients.remove(refused.0.client.id);
    }
    Ok(())
}

/// One try to say why; the connection is closed in any case.
fn turn_away(stream: Accepted, message: &[u8]) -> io::Result<()> {
    match stream {
        Accepted::Tcp(mut stream) => stream.write_all(message),
        Accepted::Unix(mut stream) => stream.write_all(message),
    }
}

fn set_keepalive(stream: &std::net::TcpStream, seconds: u64) -> io::Result<()> {
    if seconds == 0 {
        return Ok(());
    }
    // Redis's proportions: probe at a third of the time, three times.
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(seconds))
        .with_interval(Duration::from_secs((seconds / 3).max(1)))
        .with_retries(3);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}
