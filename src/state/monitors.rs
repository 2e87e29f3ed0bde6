//! MONITOR: the clients that are shown every command as it begins.

use super::clients::{Client, Transport};
use crate::types::quoting;
use bytes::Bytes;
use parking_lot::Mutex;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Who watches.
#[derive(Default)]
pub struct Monitors {
    count: AtomicUsize,
    clients: Mutex<Vec<Arc<Client>>>,
}

impl Monitors {
    /// Whether nobody watches.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// Shows the client all commands that begin from now on.
    pub fn add(&self, client: &Arc<Client>) {
        let mut clients = self.clients.lock();
        clients.push(client.clone());
        self.count.store(clients.len(), Ordering::Release);
    }

    /// The client has seen enough.
    pub fn remove(&self, id: u64) {
        let mut clients = self.clients.lock();
        clients.retain(|client| client.id != id);
        self.count.store(clients.len(), Ordering::Release);
    }

    /// Shows a command of `client`, or of a script that it runs, to all who watch. `args` are as they may be shown:
    /// without secrets.
    pub fn show<'a>(
        &self,
        client: &Client,
        by_script: bool,
        db: usize,
        args: impl Iterator<Item = &'a [u8]>,
    ) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut line = Vec::new();
        // Writing to a vector cannot fail.
        let _ = write!(line, "+{}.{:06} [{db} ", now.as_secs(), now.subsec_micros());
        let _ = match client.transport {
            _ if by_script => write!(line, "lua]"),
            Transport::Tcp => write!(line, "{}]", client.addr),
            Transport::Unix => {
                write!(line, "unix:{}]", client.addr.strip_suffix(":0").unwrap_or(&client.addr))
            }
        };
        for arg in args {
            line.push(b' ');
            quoting::push(&mut line, arg);
        }
        line.extend_from_slice(b"\r\n");
        let line = Bytes::from(line);
        // All see the same order.
        for monitor in &*self.clients.lock() {
            monitor.send(|mail| mail.raw_shared(&line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::reply::Reply;

    #[test]
    fn a_line_is_that_of_redis() {
        let watcher = Arc::new(Client::new(1, Transport::Tcp, "1.2.3.4:5".into(), "0.0.0.0:6".into(), 3, 0));
        let monitors = Monitors::default();
        monitors.add(&watcher);
        assert!(!monitors.is_empty());
        let args: [&[u8]; 3] = [b"SET", b"a\"b\\\n\x01", b"(redacted)"];
        monitors.show(&watcher, false, 7, args.into_iter());
        let path = "/tmp/s:0".to_owned();
        let local = Client::new(2, Transport::Unix, path.clone(), path, 3, 0);
        monitors.show(&local, false, 0, args.into_iter().take(1));
        monitors.show(&local, true, 0, args.into_iter().take(1));
        monitors.remove(1);
        assert!(monitors.is_empty());
        let mut out = Reply::default();
        watcher.mailbox.empty_into(&mut out);
        let lines = String::from_utf8(out.plain().unwrap().to_vec()).unwrap();
        let (first, second) = lines.split_once("\r\n").unwrap();
        let (time, first) = first.split_once(' ').unwrap();
        let (seconds, micros) = time.strip_prefix('+').unwrap().split_once('.').unwrap();
        assert!(seconds.parse::<u64>().is_ok() && micros.len() == 6);
        assert_eq!(first, r#"[7 1.2.3.4:5] "SET" "a\"b\\\n\x01" "(redacted)""#);
        let (second, third) = second.split_once("\r\n").unwrap();
        assert_eq!(second.split_once(' ').unwrap().1, "[0 unix:/tmp/s] \"SET\"");
        assert_eq!(third.split_once(' ').unwrap().1, "[0 lua] \"SET\"\r\n");
    }
}
