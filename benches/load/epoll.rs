//! A safe surface over Linux's `epoll`, as small as the generator needs: level-triggered, one number a socket.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Events taken from the kernel at once; more than the usual amount of connections.
const EVENTS: usize = 256;

/// A set of watched sockets.
pub struct Epoll {
    fd: OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl Epoll {
    pub fn new() -> io::Result<Self> {
        // SAFETY: the call takes no pointers; the result is checked before use.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just opened and nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { fd, events: vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS] })
    }

    /// Starts to watch a socket for reading; its events carry `token`.
    pub fn add(&self, socket: RawFd, token: usize) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, socket, token, false)
    }

    /// Watches a known socket for writing too, or no longer.
    pub fn watch_writing(&self, socket: RawFd, token: usize, on: bool) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, socket, token, on)
    }

    fn control(&self, operation: libc::c_int, socket: RawFd, token: usize, writing: bool) -> io::Result<()> {
        let interest = if writing { libc::EPOLLIN | libc::EPOLLOUT } else { libc::EPOLLIN };
        let mut event = libc::epoll_event { events: interest as u32, u64: token as u64 };
        // SAFETY: `event` lives through the call, which only reads it; bad descriptors are reported as errors.
        let result = unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), operation, socket, &raw mut event) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Waits at most `timeout_ms` and puts the tokens of the sockets that can go on into `ready`.
    pub fn wait(&mut self, timeout_ms: i32, ready: &mut Vec<usize>) -> io::Result<()> {
        ready.clear();
        // SAFETY: the kernel writes at most `EVENTS` events, which is the length of the vector.
        let count = unsafe {
            libc::epoll_wait(self.fd.as_raw_fd(), self.events.as_mut_ptr(), EVENTS as libc::c_int, timeout_ms)
        };
        if count < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) };
        }
        ready.extend(self.events[..count as usize].iter().map(|event| event.u64 as usize));
        Ok(())
    }
}
