//! An outlet: a sleeping connection's socket, through which whoever has something for its client may send it.
//!
//! A client that waits in `BLPOP` gets its element from another connection, mostly on another worker. To wake that
//! worker, for nothing but to send a few bytes, takes longer than all the rest. So the connection leaves its socket in
//! its mailbox while it sleeps, and the pusher sends the reply. The connection notices when it next wakes.
//!
//! The socket stays open as long as the outlet exists: it lies in the mailbox, under whose lock it is used, and the
//! connection takes it out under the same lock before it does anything with the socket.

use std::os::fd::RawFd;

/// See the module's head.
pub struct Outlet(RawFd);

impl Outlet {
    pub fn new(socket: RawFd) -> Outlet {
        Outlet(socket)
    }

    /// Sends what the socket takes at once. Returns how many bytes that was; errors are left to the connection.
    pub fn send(self, bytes: &[u8]) -> usize {
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        // SAFETY: the pointer and the length are those of a slice.
        let sent = unsafe { libc::send(self.0, bytes.as_ptr().cast(), bytes.len(), flags) };
        usize::try_from(sent).unwrap_or(0)
    }
}
