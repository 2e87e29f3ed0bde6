//! A connection that waits in a blocking command.
//!
//! Its task sleeps until somebody has ended the wait, the time is over, or the client sends something or goes away.
//! Requests that follow are received, so that the end of the connection is noticed behind them, and run afterwards.
//! The reply usually is sent by whoever ends the wait (see [`crate::state::outlet`]), and the task sleeps on.

use super::connection::Connection;
use crate::command::blocking;
use crate::keyspace::unix_ms;
use crate::state::session::Wait;
use std::future::poll_fn;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Sleep;

/// Sleeps are bounded, so that no time is too far away, and a clock that was set forth is noticed some day.
const LONGEST_SLEEP: Duration = Duration::from_secs(24 * 60 * 60);

/// The timer of a wait.
#[derive(Default)]
struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Whether the time is over; else the task is woken then.
    fn poll(&mut self, cx: &mut Context<'_>, deadline_ms: i64) -> Poll<()> {
        loop {
            // As for keys, the millisecond of the deadline has to be over.
            let Ok(left_ms @ 1..) = u64::try_from(deadline_ms.saturating_add(1) - unix_ms()) else {
                return Poll::Ready(());
            };
            let left = Duration::from_millis(left_ms).min(LONGEST_SLEEP);
            let sleep = self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep(left)));
            match sleep.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) => self.0 = None,
            }
        }
    }
}

impl Connection {
    /// Waits until the command is over. False: the connection has to close.
    pub(super) async fn wait(&mut self, wait: Box<Wait>) -> bool {
        let mut alarm = Alarm::default();
        let goes_on = poll_fn(|cx| {
            self.close_outlet();
            let polled = self.poll_wait(cx, &wait, &mut alarm);
            if polled.is_pending() {
                self.open_outlet();
            }
            polled
        })
        .await;
        if !goes_on {
            let server = &self.worker.server;
            server.waiters.withdraw(&server.keyspace, &wait.waiter);
        }
        goes_on
    }

    /// While the task sleeps, has nothing else to send and will have nothing to run, whoever ends the wait may send the
    /// reply.
    fn open_outlet(&self) {
        // Not where replies wait for the disk.
        let waits_for_disk = self.worker.server.keyspace.effects().log().holds_all();
        if self.output.is_empty() && !self.unprocessed && !waits_for_disk {
            self.session.client.mailbox.open_outlet(self.stream.as_raw_fd());
        }
    }

    fn close_outlet(&self) {
        let sent = self.session.client.mailbox.close_outlet();
        if sent > 0 {
            self.count_output(sent as u64);
        }
    }

    fn poll_wait(&mut self, cx: &mut Context<'_>, wait: &Wait, alarm: &mut Alarm) -> Poll<bool> {
        let server = &self.worker.server;
        if server.shutdown.is_stopping() {
            return Poll::Ready(false);
        }
        if let Some(deadline_ms) = wait.deadline_ms
            && alarm.poll(cx, deadline_ms).is_ready()
        {
            server.waiters.time_out(&server.keyspace, &wait.waiter);
        }
        if wait.waiter.has_ended() {
            blocking::count(server, server.counters.worker(self.worker.id), &wait.waiter, unix_ms());
            self.session.client.count_command();
            // The reply is in the mailbox, or was sent already.
            return Poll::Ready(true);
        }
        if self.session.client.has_signals() && self.obey_signals() {
            return Poll::Ready(false);
        }
        if let Poll::Ready(Err(error)) = self.poll_output(cx) {
            tracing::debug!("Writing to client: {error}");
            return Poll::Ready(false);
        }
        if self.receive_ahead(cx) { Poll::Pending } else { Poll::Ready(false) }
    }

    /// Receives requests that cannot be run yet. False if the connection ends.
    fn receive_ahead(&mut self, cx: &mut Context<'_>) -> bool {
        let worker = self.worker.clone();
        let settings = worker.settings.get(&worker.server.config);
        let mut scratch = worker.scratch.borrow_mut();
        loop {
            let mut buf = ReadBuf::new(&mut scratch.read);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buf) {
                Poll::Pending => return true,
                Poll::Ready(Err(error)) => {
                    tracing::debug!("Reading from client: {error}");
                    return false;
                }
                Poll::Ready(Ok(())) if buf.filled().is_empty() => return false,
                Poll::Ready(Ok(())) => self.keep_ahead(buf.filled()),
            }
            if self.exceeds_query_limit(settings) {
                return false;
            }
        }
    }
}
