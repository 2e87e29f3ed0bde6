//! What a connection could not send at once: a queue of chunks, and the limits on it.

use crate::resp::reply::{Part, Reply};
use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;

/// At most this many chunks go into one vectored write; the system allows 1024.
const MAX_SLICES: usize = 64;

/// Small replies are gathered in chunks of about this size, so that the queue costs little more than its bytes.
const GATHER_BYTES: usize = 16 * 1024;

/// Bytes on their way to a slow reader.
#[derive(Default)]
pub struct Output {
    chunks: VecDeque<Bytes>,
    /// Comes after the chunks: small replies that are being gathered.
    tail: Vec<u8>,
    /// Of the chunks and the tail.
    bytes: usize,
}

impl Output {
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn chunks(&self) -> usize {
        self.chunks.len() + usize::from(!self.tail.is_empty())
    }

    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Queues what is left of `reply` after its first `sent` bytes.
    pub fn queue(&mut self, reply: &Reply, mut sent: usize) {
        for part in reply.parts() {
            let len = part.as_slice().len();
            if sent >= len {
                sent -= len;
                continue;
            }
            self.bytes += len - sent;
            match part {
                Part::Copied(bytes) => self.tail.extend_from_slice(&bytes[sent..]),
                Part::Chunk(chunk) => {
                    self.end_tail();
                    self.chunks.push_back(chunk.slice(sent..));
                }
            }
            sent = 0;
            if self.tail.len() >= GATHER_BYTES {
                self.end_tail();
            }
        }
    }

    /// Makes the tail a chunk.
    fn end_tail(&mut self) {
        if !self.tail.is_empty() {
            self.chunks.push_back(std::mem::take(&mut self.tail).into());
        }
    }

    /// Sends what the stream takes; ready when the queue is empty.
    pub fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            if self.chunks.is_empty() {
                self.end_tail();
            }
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let mut count = 0;
            for (slice, chunk) in slices.iter_mut().zip(&self.chunks) {
                *slice = IoSlice::new(chunk);
                count += 1;
            }
            match Pin::new(&mut *stream).poll_write_vectored(cx, &slices[..count]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(sent)) => {
                    self.advance(sent);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, mut sent: usize) {
        self.bytes -= sent;
        while sent > 0 {
            let Some(front) = self.chunks.front_mut() else { return };
            if front.len() > sent {
                front.advance(sent);
                return;
            }
            sent -= front.len();
            self.chunks.pop_front();
        }
    }
}

/// Tries to send a whole reply without queueing; returns how many bytes went out.
pub fn try_send(
    cx: &mut Context<'_>,
    stream: &mut (impl AsyncWrite + Unpin),
    reply: &Reply,
) -> io::Result<usize> {
    let (mut sent, total) = (0, reply.len());
    if let Some(plain) = reply.plain() {
        while sent < total {
            match Pin::new(&mut *stream).poll_write(cx, &plain[sent..]) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(n)) => sent += n,
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => break,
            }
        }
        return Ok(sent);
    }
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    let mut count = 0;
    let parts: Vec<Part<'_>> = reply.parts().take(MAX_SLICES).collect();
    for (slice, part) in slices.iter_mut().zip(&parts) {
        *slice = IoSlice::new(part.as_slice());
        count += 1;
    }
    match Pin::new(stream).poll_write_vectored(cx, &slices[..count]) {
        Poll::Ready(result) => result,
        Poll::Pending => Ok(0),
    }
}
