//! A client's mailbox: what others have to tell it, messages, invalidations and replies it waits for.
//!
//! Any thread puts bytes in wire form there; the connection takes them out, in order, and sends them: before each
//! command, so that what was put in before a command came is answered before it, and after its turn. The lock of a
//! mailbox is the innermost of all: whoever holds any other lock may take it, and nothing is locked under it.
//!
//! A connection that nobody has anything for pays one relaxed load per command.

use super::outlet::Outlet;
use crate::resp::reply::{Proto, Reply};
use parking_lot::Mutex;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A mailbox that was emptied keeps room for this many bytes, enough for a few short messages.
const KEEP_BYTES: usize = 512;

/// One that held more than that keeps as much: who gets messages by the dozen will get more.
const KEEP_BUSY_BYTES: usize = 4 * 1024;

/// The connection is woken when its mailbox was empty, and again whenever it has grown by this many bytes: so that
/// the client's record shows what waits for it although its socket takes nothing.
const WAKE_EVERY_BYTES: usize = 64 * 1024;

/// See the module's head. In cache lines of its own: who publishes to many touches little else of each.
#[derive(Default)]
#[repr(align(64))]
pub struct Mailbox {
    /// Whether there is anything: what the connection looks at before each command.
    has_mail: AtomicBool,
    bytes: AtomicUsize,
    content: Mutex<Content>,
}

#[derive(Default)]
struct Content {
    mail: Reply,
    /// The connection is to be woken when there are as many bytes.
    wake_at_bytes: usize,
    is_closed: bool,
    /// Where mail may go without the connection.
    outlet: Option<Outlet>,
    /// What went out there since it was opened.
    let_out_bytes: usize,
}

/// What came of putting something in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Put {
    /// The connection knows that there is mail.
    Added,
    /// The connection has to be woken.
    Wake,
    /// The box is closed: nothing was added.
    Closed,
}

impl Mailbox {
    /// Whether there is anything in it.
    #[inline]
    pub fn has_mail(&self) -> bool {
        self.has_mail.load(Ordering::Relaxed)
    }

    /// How much there is in it.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Sets the protocol of what is put in from now on.
    pub fn set_proto(&self, proto: Proto) {
        self.content.lock().mail.set_proto(proto);
    }

    /// Puts in what `write` writes, which must not lock anything.
    pub fn put(&self, write: impl FnOnce(&mut Reply)) -> Put {
        let mut content = self.content.lock();
        if content.is_closed {
            return Put::Closed;
        }
        write(&mut content.mail);
        let bytes = content.mail.len();
        self.bytes.store(bytes, Ordering::Relaxed);
        if bytes <= content.wake_at_bytes {
            return Put::Added;
        }
        content.wake_at_bytes = bytes.next_multiple_of(WAKE_EVERY_BYTES);
        self.has_mail.store(true, Ordering::Release);
        Put::Wake
    }

    /// Appends everything to `out` and empties the box.
    pub fn empty_into(&self, out: &mut Reply) {
        let mut content = self.content.lock();
        out.append(&content.mail);
        self.clear(&mut content);
    }

    /// Until [`Mailbox::close_outlet`], which has to come before the socket is closed, others may send the mail: the
    /// connection sleeps and has nothing else to send.
    pub fn open_outlet(&self, socket: RawFd) {
        let mut content = self.content.lock();
        if !content.is_closed && content.mail.is_empty() {
            content.outlet = Some(Outlet::new(socket));
        }
    }

    /// From now on only the connection sends. Returns how many bytes others have sent.
    pub fn close_outlet(&self) -> usize {
        let mut content = self.content.lock();
        content.outlet = None;
        std::mem::take(&mut content.let_out_bytes)
    }

    /// Sends all mail through the outlet, if it is open, and closes it. False if the connection has to do (the
    /// rest of) it.
    pub fn let_out(&self) -> bool {
        let mut content = self.content.lock();
        let content = &mut *content;
        let (Some(outlet), Some(mail)) = (content.outlet.take(), content.mail.plain()) else { return false };
        let sent = outlet.send(mail);
        content.let_out_bytes += sent;
        let rest = mail[sent..].to_vec();
        self.clear(content);
        if rest.is_empty() {
            return true;
        }
        content.mail.raw(&rest);
        self.bytes.store(rest.len(), Ordering::Relaxed);
        self.has_mail.store(true, Ordering::Release);
        false
    }

    /// Throws everything away, and what comes from now on.
    pub fn close(&self) {
        let mut content = self.content.lock();
        content.is_closed = true;
        content.outlet = None;
        self.clear(&mut content);
    }

    fn clear(&self, content: &mut Content) {
        let is_busy = content.mail.len() > KEEP_BYTES;
        content.mail.clear(if is_busy { KEEP_BUSY_BYTES } else { KEEP_BYTES });
        content.wake_at_bytes = 0;
        self.bytes.store(0, Ordering::Relaxed);
        self.has_mail.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_is_taken_in_order_and_the_owner_woken_once() {
        let mailbox = Mailbox::default();
        let put = |text: &str| mailbox.put(|mail| mail.raw(text.as_bytes()));
        assert!(!mailbox.has_mail());
        assert_eq!((put("a"), put("b")), (Put::Wake, Put::Added));
        assert!(mailbox.has_mail());
        assert_eq!(mailbox.bytes(), 2);
        let mut out = Reply::default();
        out.raw(b"0");
        mailbox.empty_into(&mut out);
        assert_eq!(out.plain(), Some(b"0ab".as_slice()));
        assert!(!mailbox.has_mail());
        assert_eq!(put("c"), Put::Wake);
        mailbox.close();
        assert_eq!((put("d"), mailbox.bytes(), mailbox.has_mail()), (Put::Closed, 0, false));
    }

    #[test]
    fn mail_goes_out_of_an_open_outlet_once() {
        use std::io::Read;
        use std::os::fd::AsRawFd;
        let (socket, mut peer) = std::os::unix::net::UnixStream::pair().unwrap();
        let mailbox = Mailbox::default();
        let put = |bytes: &[u8]| mailbox.put(|mail| mail.raw(bytes));
        put(b"a");
        mailbox.open_outlet(socket.as_raw_fd());
        assert!(!mailbox.let_out(), "there was mail before: it is the connection's turn");
        mailbox.empty_into(&mut Reply::default());
        mailbox.open_outlet(socket.as_raw_fd());
        put(b"bc");
        assert!(mailbox.let_out());
        assert!(!mailbox.has_mail() && mailbox.bytes() == 0);
        let mut got = [0; 8];
        assert_eq!(peer.read(&mut got).unwrap(), 2);
        assert_eq!((&got[..2], mailbox.close_outlet(), mailbox.close_outlet()), (b"bc".as_slice(), 2, 0));
        put(b"d");
        assert!(!mailbox.let_out() && mailbox.has_mail(), "closed");
        // What the socket does not take stays.
        mailbox.empty_into(&mut Reply::default());
        mailbox.open_outlet(socket.as_raw_fd());
        let much = vec![b'x'; 8 << 20];
        put(&much);
        assert!(!mailbox.let_out() && mailbox.has_mail());
        let mut rest = Reply::default();
        mailbox.empty_into(&mut rest);
        assert_eq!(rest.len() + mailbox.close_outlet(), much.len());
        mailbox.open_outlet(socket.as_raw_fd());
        mailbox.close();
        put(b"e");
        assert!(!mailbox.let_out());
    }

    #[test]
    fn the_owner_of_a_box_that_grows_is_woken_now_and_then() {
        let mailbox = Mailbox::default();
        let message = [b'x'; 1000];
        let puts = 1_000;
        let wakes = (0..puts).filter(|_| mailbox.put(|mail| mail.raw(&message)) == Put::Wake).count();
        let expected = 1 + puts * message.len() / WAKE_EVERY_BYTES;
        assert_eq!(wakes, expected);
    }
}
