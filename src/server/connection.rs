//! One connection: receives, runs batches, sends.
//!
//! All of a turn happens without waiting, in the worker's scratch space: receive what there is, prepare and
//! run the requests in it, send all replies with one write. What does not fit (an incomplete request, replies
//! that the socket does not take) moves to buffers of the connection, which a connection without such
//! remainders does not have.
//!
//! A client may send a long pipeline before it reads the first reply, so requests are read on while replies
//! wait; but only up to [`MAX_WAITING_BYTES`] of them. From there on a slow reader is slowed down, not buffered
//! for.

use super::housekeeping::KEEP_INPUT_ROOM_BYTES;
use super::output::{self, Output};
use super::settings::Settings;
use super::stream::Stream;
use super::worker::{READ_BYTES, Scratch, Worker};
use crate::command::dispatch::{self, Dispatcher, Flow, Following};
use crate::command::errors::Error;
use crate::keyspace::unix_ms;
use crate::memory;
use crate::resp::reply::Reply;
use crate::resp::scan::{Found, LARGE_ARG_FROM_BYTES, Limits, Request, Scanner, Span};
use crate::state::session::Next;
use crate::state::{Client, Session};
use bytes::Bytes;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};

/// Replies are sent when they have grown to this size, even in the middle of a batch.
const FLUSH_BYTES: usize = 256 * 1024;

/// While this much output waits, nothing is read. Enough for the replies to any pipeline that a client would
/// send in one piece (six million times OK), and bounded, which Redis by default is not.
const MAX_WAITING_BYTES: usize = 32 * 1024 * 1024;

/// A worker's reply buffer keeps at most this much memory between turns.
const KEEP_REPLY_BYTES: usize = 512 * 1024;

/// A remainder up to this size is copied to the front of the worker's read buffer; a longer one grows in
/// place.
const MAX_COPIED_REMAINDER_BYTES: usize = READ_BYTES / 2;

/// A large argument's buffer starts with at most this size and doubles while data really arrives.
const FIRST_LARGE_BYTES: usize = 1024 * 1024;

/// An argument that is hardly longer, as one of 1 MB with its terminator, has its whole buffer from the start.
const WHOLE_LARGE_BYTES: usize = FIRST_LARGE_BYTES + 4096;

/// Whoever has sent one request in pieces will do so again: from then on, memory for incomplete requests is
/// kept in at least this size.
const MIN_REMAINDER_BYTES: usize = 16 * 1024;

/// A request that waits for the end of a CLIENT PAUSE.
struct Deferred {
    args: Vec<Bytes>,
    is_write: bool,
}

/// A large argument that is being received.
struct Receiving {
    data: Vec<u8>,
    /// With terminator.
    total_bytes: usize,
}

/// How a turn ended.
enum Step {
    /// Go on; `more`: there may be more to read at once.
    Continue {
        more: bool,
    },
    AwaitPause {
        is_write: bool,
    },
    AwaitShutdown,
    /// A command waits: see [`super::waiting`].
    Wait,
    Close,
}

/// A connection and its buffers. See the module's head.
pub struct Connection {
    pub(super) worker: Rc<Worker>,
    pub(super) stream: Stream,
    pub(super) session: Session,
    scanner: Scanner,
    /// Bytes from the beginning of the incomplete request on.
    remainder: Vec<u8>,
    /// The remainder holds complete requests that have not been looked at.
    pub(super) unprocessed: bool,
    partial_spans: Vec<Span>,
    partial_large: Vec<Bytes>,
    receiving: Option<Receiving>,
    deferred: Option<Deferred>,
    pub(super) output: Output,
    /// Position of the stream of effects that has to be secured before anything is sent; 0 if there is none.
    held_until: u64,
    closing: bool,
}

impl Connection {
    fn new(worker: Rc<Worker>, stream: Stream, client: Arc<Client>) -> Connection {
        let authenticated = !worker.server.needs_password();
        client.authenticated.store(authenticated, Ordering::Relaxed);
        Connection {
            worker,
            stream,
            session: Session::new(client, authenticated),
            scanner: Scanner::new(),
            remainder: Vec::new(),
            unprocessed: false,
            partial_spans: Vec::new(),
            partial_large: Vec::new(),
            receiving: None,
            deferred: None,
            output: Output::default(),
            held_until: 0,
            closing: false,
        }
    }

    /// Serves a connection until it ends.
    ///
    /// The connection is made in here, and futures that are rarely needed are boxed, because every idle
    /// connection pays for the size of this function's future.
    pub async fn run(worker: Rc<Worker>, stream: Stream, client: Arc<Client>) {
        let mut connection = Connection::new(worker, stream, client.clone());
        poll_fn(|cx| {
            client.set_waker(cx.waker());
            Poll::Ready(())
        })
        .await;
        connection.serve().await;
        let server = connection.worker.server.clone();
        connection.session.discard(&server);
        connection.worker.server.clients.remove(client.id);
        connection.worker.server.pubsub.forget(&mut connection.session);
        connection.worker.server.end_tracking(&mut connection.session);
        if connection.session.is_monitor {
            connection.worker.server.monitors.remove(client.id);
        }
        client.has_closed();
        client.mailbox.close();
        let _ = connection.stream.shutdown().await;
        drop(connection);
        memory::publish();
    }

    async fn serve(&mut self) {
        self.publish();
        loop {
            let step = match poll_fn(|cx| self.poll_turn(cx)).await {
                Ok(step) => step,
                Err(error) => {
                    tracing::debug!("Reading from client: {error}");
                    return;
                }
            };
            self.publish();
            match step {
                // Whoever has sent a whole buffer has more: let the neighbours have their turn first.
                Step::Continue { more: true } => tokio::task::yield_now().await,
                Step::Continue { more: false } => {}
                Step::AwaitPause { is_write } => {
                    let server = self.worker.server.clone();
                    let client = self.session.client.clone();
                    client.paused.store(true, Ordering::Relaxed);
                    let waited = self.attend(Box::pin(server.pause.wait(is_write))).await;
                    client.paused.store(false, Ordering::Relaxed);
                    if waited.is_none() {
                        return;
                    }
                }
                Step::AwaitShutdown => {
                    let server = self.worker.server.clone();
                    if self.attend(Box::pin(server.shutdown.settled())).await != Some(false) {
                        return;
                    }
                    let mut reply = Reply::new(self.session.proto);
                    reply.error(Error::ShutdownFailed.to_string());
                    self.output.queue(&reply, 0);
                }
                Step::Wait => {
                    if let Some(wait) = self.session.wait.take()
                        && !self.wait(wait).await
                    {
                        return;
                    }
                }
                Step::Close => return,
            }
        }
    }

    /// One turn: sends what waits, receives, runs, sends.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Step>> {
        if self.session.client.has_signals() && self.obey_signals() {
            return Poll::Ready(Ok(Step::Close));
        }
        let ends = self.closing || self.worker.server.shutdown.is_stopping();
        match self.poll_output(cx) {
            Poll::Ready(sent) => sent?,
            Poll::Pending if ends || self.output.bytes() >= MAX_WAITING_BYTES || self.must_rest() => {
                return Poll::Pending;
            }
            Poll::Pending => {}
        }
        if ends {
            return Poll::Ready(Ok(Step::Close));
        }
        let worker = self.worker.clone();
        let mut scratch = worker.scratch.borrow_mut();
        let scratch = &mut *scratch;
        let settings = worker.settings.get(&worker.server.config);
        let (started, commands) = (worker.clock.raw(), worker.totals().commands.get());
        scratch.out.set_proto(self.session.proto);
        let result = if self.deferred.is_some() {
            self.run_deferred(cx, scratch)
        } else {
            match self.receive(cx, scratch, settings) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(result) => result,
            }
        };
        scratch.out.clear(KEEP_REPLY_BYTES);
        scratch.large.clear();
        memory::publish();
        let counters = worker.server.counters.worker(worker.id);
        let nanos = worker.clock.delta_as_nanos(started, worker.clock.raw());
        counters.totals.turns.add(1);
        counters.totals.turn_nanos.add(nanos);
        counters.longest_turn_nanos.raise(nanos);
        counters.most_commands.raise(counters.totals.commands.get().wrapping_sub(commands));
        Poll::Ready(result)
    }

    /// Does what others asked the connection for; true if it has to close.
    #[cold]
    pub(super) fn obey_signals(&mut self) -> bool {
        if self.session.client.take_trim() {
            self.remainder.shrink_to_fit();
            if let Some(receiving) = &mut self.receiving {
                // Without any room left, the next look for data would make some again.
                receiving.data.shrink_to(receiving.data.len() + KEEP_INPUT_ROOM_BYTES);
            }
            self.publish();
        }
        if self.session.client.has_overflowed() {
            self.refuse_output(self.session.client.waiting_bytes());
        }
        self.session.client.is_killed()
    }

    /// Sends what waits, mail included; ready when nothing is left.
    #[inline]
    pub(super) fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.session.client.mailbox.has_mail() && !self.closing {
            let worker = self.worker.clone();
            let out = &mut worker.scratch.borrow_mut().out;
            let sent = self.flush(cx, out);
            out.clear(KEEP_REPLY_BYTES);
            self.publish();
            sent?;
        }
        if self.output.is_empty() { Poll::Ready(Ok(())) } else { self.send_output(cx) }
    }

    /// Waits for `future` while mail is delivered and output is sent. `None`: the connection has to close.
    async fn attend<F: Future>(&mut self, future: F) -> Option<F::Output> {
        let mut future = std::pin::pin!(future);
        poll_fn(|cx| {
            if self.session.client.has_signals() && self.obey_signals() {
                return Poll::Ready(None);
            }
            if let Poll::Ready(Err(error)) = self.poll_output(cx) {
                tracing::debug!("Writing to client: {error}");
                return Poll::Ready(None);
            }
            future.as_mut().poll(cx).map(Some)
        })
        .await
    }

    /// Whether nothing more is received, because the log is too far behind.
    fn must_rest(&self) -> bool {
        self.held_until != 0 && !self.worker.server.keyspace.effects().log().holds_all()
    }

    /// Sends replies that wait; ready when there are none left.
    fn send_output(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.held_until != 0 {
            let log = self.worker.server.keyspace.effects().log();
            let own = if log.is_stuck() { self.session.log_position } else { u64::MAX };
            ready!(log.poll_secured(cx, self.held_until.min(own)));
            self.held_until = 0;
        }
        let before = self.output.bytes();
        let polled = self.output.poll_send(cx, &mut self.stream);
        let sent = before - self.output.bytes();
        if sent > 0 {
            self.count_output(sent as u64);
            self.session.client.last_active_ms.store(unix_ms(), Ordering::Relaxed);
            self.publish();
        }
        polled
    }

    fn receive(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
        settings: Settings,
    ) -> Poll<io::Result<Step>> {
        if self.receiving.is_some() {
            let complete = ready!(self.receive_large(cx))?;
            let received = self.receiving.as_ref().map_or(0, |receiving| receiving.data.len());
            if received > settings.query_limit_bytes {
                return Poll::Ready(Ok(self.refuse_query(received)));
            }
            if !complete {
                return Poll::Ready(Ok(Step::Continue { more: false }));
            }
            if let Some(receiving) = self.receiving.take() {
                let Connection { scanner, partial_spans, partial_large, .. } = self;
                scanner.large_received(receiving.data, partial_spans, partial_large);
            }
            let remainder = std::mem::take(&mut self.remainder);
            return Poll::Ready(self.process_owned(cx, scratch, remainder, settings, false));
        }
        if std::mem::take(&mut self.unprocessed) {
            let remainder = std::mem::take(&mut self.remainder);
            return Poll::Ready(self.process_owned(cx, scratch, remainder, settings, false));
        }
        let kept = self.remainder.len();
        if kept > MAX_COPIED_REMAINDER_BYTES {
            // A long incomplete request grows in a buffer of its own.
            self.remainder.reserve(READ_BYTES);
            let mut buf = ReadBuf::uninit(self.remainder.spare_capacity_mut());
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf))?;
            let received = buf.filled().len();
            // SAFETY: the reader has initialised this many bytes behind the vector's end.
            unsafe { self.remainder.set_len(kept + received) };
            if received == 0 {
                return Poll::Ready(Ok(self.end_of_input()));
            }
            self.count_input(received);
            let remainder = std::mem::take(&mut self.remainder);
            return Poll::Ready(self.process_owned(cx, scratch, remainder, settings, true));
        }
        let mut read = std::mem::take(&mut scratch.read);
        let mut buf = ReadBuf::new(&mut read[kept..]);
        let polled = Pin::new(&mut self.stream).poll_read(cx, &mut buf);
        let received = buf.filled().len();
        let result = match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) if received == 0 => Poll::Ready(Ok(self.end_of_input())),
            Poll::Ready(Ok(())) => {
                self.count_input(received);
                read[..kept].copy_from_slice(&self.remainder);
                self.remainder.clear();
                if kept > 0 {
                    self.remainder.reserve_exact(MIN_REMAINDER_BYTES);
                }
                let filled = kept + received;
                let more = filled == read.len();
                Poll::Ready(self.process(cx, scratch, &read[..filled], settings).map(|step| match step {
                    Step::Continue { more: again } => Step::Continue { more: more || again },
                    step => step,
                }))
            }
        };
        scratch.read = read;
        result
    }

    /// The client sends nothing more. It still gets the replies that wait.
    #[cold]
    fn end_of_input(&mut self) -> Step {
        if self.output.is_empty() {
            return Step::Close;
        }
        self.closing = true;
        Step::Continue { more: false }
    }

    fn process_owned(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
        buf: Vec<u8>,
        settings: Settings,
        check_limit: bool,
    ) -> io::Result<Step> {
        if check_limit && buf.len() > settings.query_limit_bytes {
            return Ok(self.refuse_query(buf.len()));
        }
        self.process(cx, scratch, &buf, settings)
    }

    #[cold]
    fn refuse_query(&self, bytes: usize) -> Step {
        self.worker.totals().query_buffer_disconnections.add(1);
        tracing::warn!(
            "Closing client that reached max query buffer length: id={} qbuf={bytes}",
            self.session.client.id
        );
        Step::Close
    }

    /// Receives a part of a large argument; true when all of it is there.
    fn receive_large(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let Some(receiving) = &mut self.receiving else { return Poll::Ready(Ok(true)) };
        let total = receiving.total_bytes;
        let data = &mut receiving.data;
        if data.len() == data.capacity() {
            let larger = (data.capacity() * 2).max(MIN_REMAINDER_BYTES);
            data.reserve_exact(total.min(larger) - data.len());
            // What the connection takes is looked at before more is received.
            return Poll::Ready(Ok(false));
        }
        let len = data.len();
        let room = (total - len).min(data.capacity() - len);
        let mut buf = ReadBuf::uninit(&mut data.spare_capacity_mut()[..room]);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf))?;
        let received = buf.filled().len();
        // SAFETY: the reader has initialised this many bytes behind the vector's end.
        unsafe { data.set_len(len + received) };
        if received == 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        let complete = data.len() == total;
        self.count_input(received);
        self.session.client.last_active_ms.store(unix_ms(), Ordering::Relaxed);
        Poll::Ready(Ok(complete))
    }

    /// Runs all complete requests in `buf` and sends their replies; keeps the rest.
    fn process(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
        buf: &[u8],
        settings: Settings,
    ) -> io::Result<Step> {
        let worker = self.worker.clone();
        let server = &*worker.server;
        let mut start = 0;
        scratch.large.append(&mut self.partial_large);
        scratch.batch.begin(&self.partial_spans);
        self.partial_spans.clear();
        loop {
            let limits =
                Limits { max_bulk_bytes: settings.max_bulk_bytes, authenticated: self.session.authenticated };
            let Scratch { batch, large, out, .. } = scratch;
            let found = batch.fill(server, self.session.db, &mut self.scanner, buf, large, limits);
            let now_ms = unix_ms();
            if batch.is_empty() {
                self.session.client.last_active_ms.store(now_ms, Ordering::Relaxed);
            } else if batch.prefetched_keys() > 0 {
                let totals = worker.totals();
                totals.prefetch_batches.add(1);
                totals.prefetched_keys.add(batch.prefetched_keys() as u64);
            }
            let mut dispatcher = Dispatcher::new(server, worker.id, &worker.clock, now_ms);
            for index in 0..batch.len() {
                let (request, resolved, keys) = batch.get(index, buf, large);
                let following = batch.following(index);
                // What was sent to the client before this command comes before its reply.
                self.collect_mail(out);
                let flow = dispatcher.run(&mut self.session, out, request, resolved, keys, following);
                if let Flow::Paused { is_write } = flow {
                    let args = request.iter().map(Bytes::copy_from_slice).collect();
                    self.deferred = Some(Deferred { args, is_write });
                    self.put_back(&buf[batch.end(index)..]);
                    self.flush(cx, &mut scratch.out)?;
                    return Ok(Step::AwaitPause { is_write });
                }
                if self.session.next != Next::Continue {
                    drop(dispatcher);
                    self.put_back(&buf[batch.end(index)..]);
                    return self.after_command(cx, scratch);
                }
                if self.output_exceeds(out, settings) {
                    return Ok(self.refuse_output(out.len() + self.output.bytes()));
                }
                if out.len() >= FLUSH_BYTES {
                    dispatcher.release();
                    self.flush(cx, out)?;
                    out.clear(KEEP_REPLY_BYTES);
                    if self.output.bytes() >= MAX_WAITING_BYTES {
                        self.put_back(&buf[batch.end(index)..]);
                        return Ok(Step::Continue { more: false });
                    }
                }
            }
            drop(dispatcher);
            if !batch.is_empty() {
                start = batch.end(batch.len() - 1);
            }
            match found {
                Found::Request => {
                    // All large arguments so far belong to requests that are done.
                    batch.begin(&[]);
                    large.clear();
                }
                Found::Incomplete => {
                    self.keep(buf, start, buf.len(), batch.partial(), large);
                    let waiting = self.remainder.len() + self.session.queued_bytes();
                    if waiting > settings.query_limit_bytes {
                        return Ok(self.refuse_query(waiting));
                    }
                    self.flush(cx, &mut scratch.out)?;
                    return Ok(Step::Continue { more: false });
                }
                Found::Large(total_bytes) => {
                    let position = self.scanner.position();
                    self.keep(buf, start, position, batch.partial(), large);
                    let first_bytes =
                        if total_bytes <= WHOLE_LARGE_BYTES { total_bytes } else { FIRST_LARGE_BYTES };
                    let mut data = Vec::with_capacity(first_bytes);
                    data.extend_from_slice(&buf[position..]);
                    debug_assert!(data.len() < total_bytes && total_bytes > LARGE_ARG_FROM_BYTES);
                    self.receiving = Some(Receiving { data, total_bytes });
                    self.flush(cx, &mut scratch.out)?;
                    return Ok(Step::Continue { more: false });
                }
                Found::Broken(error) => {
                    server.counters.count_error("ERR");
                    out.error([b"ERR Protocol error: ".as_slice(), &error.message()].concat());
                    tracing::debug!("Protocol error ({error}) from client id={}", self.session.client.id);
                    self.closing = true;
                    self.flush(cx, &mut scratch.out)?;
                    return Ok(Step::Continue { more: false });
                }
            }
        }
    }

    /// Keeps an incomplete request for the next turn: its bytes from `start` to `end`, its spans, its large
    /// arguments.
    fn keep(&mut self, buf: &[u8], start: usize, end: usize, partial: &[Span], large: &[Bytes]) {
        self.keep_bytes(&buf[start..end]);
        self.scanner.shift(start);
        for span in partial {
            self.partial_spans.push(match *span {
                Span::Buffered { start: at, len } => Span::Buffered { start: at - start as u32, len },
                Span::Large(n) => {
                    self.partial_large.push(large[n as usize].clone());
                    Span::Large(self.partial_large.len() as u32 - 1)
                }
            });
        }
    }

    /// Appends to the remainder.
    #[inline]
    fn keep_bytes(&mut self, bytes: &[u8]) {
        if self.remainder.capacity() == 0 {
            self.remainder.reserve_exact(bytes.len());
        }
        self.remainder.extend_from_slice(bytes);
    }

    /// Keeps requests that were not run, to be scanned again from their beginning.
    fn put_back(&mut self, rest: &[u8]) {
        self.keep_bytes(rest);
        self.unprocessed = !rest.is_empty();
        self.scanner = Scanner::new();
    }

    /// Keeps what was received while a command waits. To be called when no request is incomplete in the scanner.
    pub(super) fn keep_ahead(&mut self, received: &[u8]) {
        self.count_input(received.len());
        self.keep_bytes(received);
        self.unprocessed = true;
        self.publish();
    }

    /// Whether more was received than a client may send before it is run.
    pub(super) fn exceeds_query_limit(&self, settings: Settings) -> bool {
        let exceeds = self.remainder.len() > settings.query_limit_bytes;
        if exceeds {
            self.refuse_query(self.remainder.len());
        }
        exceeds
    }

    fn run_deferred(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> io::Result<Step> {
        let Some(deferred) = self.deferred.take() else { return Ok(Step::Continue { more: false }) };
        let worker = self.worker.clone();
        let spans: Vec<Span> = (0..deferred.args.len() as u32).map(Span::Large).collect();
        let request = Request::new(&[], &deferred.args, &spans);
        let resolved = dispatch::resolve(request);
        let mut keys = Vec::new();
        dispatch::hash_keys(&worker.server, resolved, request, &mut keys);
        self.collect_mail(&mut scratch.out);
        let mut dispatcher = Dispatcher::new(&worker.server, worker.id, &worker.clock, unix_ms());
        match dispatcher.run(
            &mut self.session,
            &mut scratch.out,
            request,
            resolved,
            &keys,
            Following::Anything,
        ) {
            Flow::Paused { .. } => {
                let is_write = deferred.is_write;
                self.deferred = Some(deferred);
                Ok(Step::AwaitPause { is_write })
            }
            Flow::Done => self.after_command(cx, scratch),
        }
    }

    /// Does what the last command asked the connection to do, and sends what is written.
    fn after_command(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> io::Result<Step> {
        match std::mem::take(&mut self.session.next) {
            Next::CloseNow => return Ok(Step::Close),
            Next::CloseAfterReply => {
                self.closing = true;
                // Whoever has seen the reply may rely on it that nothing is sent here any more.
                self.worker.server.pubsub.forget(&mut self.session);
                self.collect_mail(&mut scratch.out);
                self.session.client.mailbox.close();
                self.flush(cx, &mut scratch.out)?;
            }
            Next::AwaitShutdown => {
                self.flush(cx, &mut scratch.out)?;
                return Ok(Step::AwaitShutdown);
            }
            Next::Wait => {
                self.flush(cx, &mut scratch.out)?;
                return Ok(Step::Wait);
            }
            Next::Continue => self.flush(cx, &mut scratch.out)?,
        }
        Ok(Step::Continue { more: false })
    }

    /// Appends what others have sent to the client.
    #[inline]
    fn collect_mail(&self, out: &mut Reply) {
        if self.session.is_subscriber {
            self.session.client.spread_relay();
        }
        let mailbox = &self.session.client.mailbox;
        if mailbox.has_mail() {
            mailbox.empty_into(out);
        }
    }

    /// Sends the worker's reply buffer and the mail; what the socket does not take is queued.
    #[inline]
    fn flush(&mut self, cx: &mut Context<'_>, out: &mut Reply) -> io::Result<()> {
        self.collect_mail(out);
        if out.is_empty() {
            return Ok(());
        }
        self.note_reply(out.len());
        // Nothing leaves before what it tells of is safe.
        if let Some(position) = self.worker.server.keyspace.effects().log().hold(self.session.log_position) {
            self.held_until = position;
        }
        let sent = if self.output.is_empty() && self.held_until == 0 {
            output::try_send(cx, &mut self.stream, out)?
        } else {
            0
        };
        if sent > 0 {
            self.count_output(sent as u64);
        }
        if sent < out.len() {
            self.output.queue(out, sent);
        }
        Ok(())
    }

    #[inline]
    fn output_exceeds(&self, out: &Reply, settings: Settings) -> bool {
        let hard_bytes = match self.session.is_subscriber {
            false => settings.normal_hard_bytes,
            true => settings.pubsub_hard_bytes,
        };
        hard_bytes != 0
            && self.session.client.output_beyond_buffer(out.len() + self.output.bytes()) > hard_bytes
    }

    /// A turn replies this many bytes.
    #[inline]
    fn note_reply(&self, bytes: usize) {
        let peak = &self.session.client.reply_peak_bytes;
        if bytes > peak.load(Ordering::Relaxed) {
            peak.store(bytes, Ordering::Relaxed);
        }
    }

    #[cold]
    fn refuse_output(&self, bytes: usize) -> Step {
        self.worker.totals().output_buffer_disconnections.add(1);
        let id = self.session.client.id;
        tracing::warn!("Client id={id} omem={bytes} closed for overcoming of output buffer limits.");
        Step::Close
    }

    #[inline]
    fn count_input(&self, bytes: usize) {
        let totals = self.worker.totals();
        totals.input_bytes.add(bytes as u64);
        totals.reads.add(1);
        add(&self.session.client.total_in_bytes, bytes as u64);
    }

    #[inline]
    pub(super) fn count_output(&self, bytes: u64) {
        let totals = self.worker.totals();
        totals.output_bytes.add(bytes);
        totals.writes.add(1);
        add(&self.session.client.total_out_bytes, bytes);
    }

    /// Brings the connection's public record up to date.
    #[inline]
    fn publish(&self) {
        let client = &self.session.client;
        // While a large argument arrives, it is what waits for input; what came before it are arguments.
        let (input, args_bytes) = match &self.receiving {
            None => (&self.remainder, 0),
            Some(receiving) => (&receiving.data, self.remainder.capacity()),
        };
        client.query_bytes.store(input.len(), Ordering::Relaxed);
        client.query_free_bytes.store(input.capacity() - input.len(), Ordering::Relaxed);
        client.args_bytes.store(args_bytes, Ordering::Relaxed);
        client.output_bytes.store(self.output.bytes(), Ordering::Relaxed);
        client.output_chunks.store(self.output.chunks(), Ordering::Relaxed);
        let large_bytes: usize = self.partial_large.iter().map(Bytes::len).sum();
        let memory = size_of::<Connection>()
            + size_of::<Client>()
            + input.capacity()
            + args_bytes
            + large_bytes
            + client.multi_bytes.load(Ordering::Relaxed)
            + self.session.subscriptions.as_ref().map_or(0, |all| all.memory_bytes())
            + self.output.bytes();
        let before = client.memory_bytes.load(Ordering::Relaxed);
        if memory != before {
            client.memory_bytes.store(memory, Ordering::Relaxed);
            if memory > before {
                self.note_growth(memory - before);
            }
        }
    }

    /// Has clients evicted if all together have become too large.
    #[cold]
    fn note_growth(&self, bytes: usize) {
        let server = &self.worker.server;
        if let Some(limit) = self.worker.settings.get(&server.config).clients_limit_bytes {
            server.clients.grown(bytes, limit);
        }
    }
}

/// Adds to a number that only this connection's task writes.
fn add(cell: &std::sync::atomic::AtomicU64, n: u64) {
    cell.store(cell.load(Ordering::Relaxed) + n, Ordering::Relaxed);
}
