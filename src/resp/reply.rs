//! Writes replies in RESP2 or RESP3.
//!
//! Handlers say what a reply means (a map, a double, a null); this writer says it in the protocol version of
//! the connection, as Redis translates it. Small data is copied into one growing buffer; a large value is
//! kept as a reference-counted chunk and goes to the socket without a copy.

use crate::types::number;
use bytes::Bytes;

/// The protocol version of a connection (HELLO).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Proto {
    #[default]
    Resp2,
    Resp3,
}

impl Proto {
    /// The number as HELLO and CLIENT LIST (`resp=`) show it.
    pub fn number(self) -> u8 {
        match self {
            Proto::Resp2 => 2,
            Proto::Resp3 => 3,
        }
    }
}

/// From this size on a value is attached instead of copied: below it, the copy is cheaper than one more
/// element of a vectored write.
const SHARE_FROM_BYTES: usize = 16 * 1024;

/// A reply buffer: bytes, with large shared chunks that belong between them.
#[derive(Default)]
pub struct Reply {
    buf: Vec<u8>,
    /// (position in `buf` before which the chunk belongs, chunk), by position.
    chunks: Vec<(usize, Bytes)>,
    chunk_bytes: usize,
    proto: Proto,
}

/// The place of a length that is written when it is known (see [`Reply::deferred`]).
#[must_use]
pub struct Deferred {
    at: usize,
    chunks_before: usize,
}

impl Reply {
    pub fn new(proto: Proto) -> Reply {
        Reply { proto, ..Reply::default() }
    }

    pub fn proto(&self) -> Proto {
        self.proto
    }

    pub fn set_proto(&mut self, proto: Proto) {
        self.proto = proto;
    }

    fn is_resp3(&self) -> bool {
        self.proto == Proto::Resp3
    }

    /// Bytes that this reply will put on the wire.
    pub fn len(&self) -> usize {
        self.buf.len() + self.chunk_bytes
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets everything after the first `len` bytes (as [`Reply::len`] counted them).
    pub fn truncate(&mut self, len: usize) {
        while self.len() > len {
            match self.chunks.last() {
                Some((at, chunk)) if *at == self.buf.len() => {
                    self.chunk_bytes -= chunk.len();
                    self.chunks.pop();
                }
                _ => {
                    let floor = self.chunks.last().map_or(0, |(at, _)| *at);
                    let keep = self.buf.len().saturating_sub(self.len() - len).max(floor);
                    self.buf.truncate(keep);
                }
            }
        }
    }

    /// Empties the buffer and keeps its memory, up to `keep_bytes` of it.
    pub fn clear(&mut self, keep_bytes: usize) {
        self.buf.clear();
        self.buf.shrink_to(keep_bytes);
        self.chunks.clear();
        self.chunk_bytes = 0;
    }

    /// The copied bytes, where no chunk is attached: the common case of one plain write.
    pub fn plain(&self) -> Option<&[u8]> {
        self.chunks.is_empty().then_some(self.buf.as_slice())
    }

    /// All parts in wire order.
    pub fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        let mut from = 0;
        let mut chunks = self.chunks.iter().peekable();
        let mut pending: Option<&Bytes> = None;
        std::iter::from_fn(move || {
            if let Some(chunk) = pending.take() {
                return Some(Part::Chunk(chunk));
            }
            if let Some((at, chunk)) = chunks.next() {
                let start = std::mem::replace(&mut from, *at);
                if start == *at {
                    return Some(Part::Chunk(chunk));
                }
                pending = Some(chunk);
                return Some(Part::Copied(&self.buf[start..*at]));
            }
            let start = std::mem::replace(&mut from, self.buf.len());
            (start < self.buf.len()).then(|| Part::Copied(&self.buf[start..]))
        })
    }

    /// Appends bytes that are already in wire form.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
    }

    #[inline]
    fn header(&mut self, kind: u8, n: i64) {
        // Most lengths have one or two digits, which need no loop.
        if (0..10).contains(&n) {
            self.buf.extend_from_slice(&[kind, b'0' + n as u8, b'\r', b'\n']);
        } else if (10..100).contains(&n) {
            let n = n as u8;
            self.buf.extend_from_slice(&[kind, b'0' + n / 10, b'0' + n % 10, b'\r', b'\n']);
        } else {
            let mut digits = itoa::Buffer::new();
            let digits = digits.format(n);
            self.buf.reserve(digits.len() + 3);
            self.buf.push(kind);
            self.buf.extend_from_slice(digits.as_bytes());
            self.buf.extend_from_slice(b"\r\n");
        }
    }

    /// `+text`; `text` must not contain line breaks.
    pub fn simple(&mut self, text: &str) {
        debug_assert!(!text.contains(['\r', '\n']));
        self.buf.push(b'+');
        self.buf.extend_from_slice(text.as_bytes());
        self.buf.extend_from_slice(b"\r\n");
    }

    #[inline]
    pub fn ok(&mut self) {
        self.buf.extend_from_slice(b"+OK\r\n");
    }

    /// `-line`, where `line` begins with the error's code. Line breaks become spaces, as in Redis.
    pub fn error(&mut self, line: impl AsRef<[u8]>) {
        self.buf.push(b'-');
        self.buf
            .extend(line.as_ref().iter().copied().map(|b| if b == b'\r' || b == b'\n' { b' ' } else { b }));
        self.buf.extend_from_slice(b"\r\n");
    }

    #[inline]
    pub fn integer(&mut self, n: i64) {
        self.header(b':', n);
    }

    #[inline]
    pub fn bulk(&mut self, data: &[u8]) {
        self.header(b'$', data.len() as i64);
        self.buf.reserve(data.len() + 2);
        self.buf.extend_from_slice(data);
        self.buf.extend_from_slice(b"\r\n");
    }

    pub fn text(&mut self, text: &str) {
        self.bulk(text.as_bytes());
    }

    /// A bulk string of a number's digits.
    pub fn bulk_integer(&mut self, n: i64) {
        let mut digits = itoa::Buffer::new();
        self.bulk(digits.format(n).as_bytes());
    }

    /// A bulk string that shares `data` with whoever else holds it, unless it is small.
    pub fn bulk_shared(&mut self, data: &Bytes) {
        if data.len() < SHARE_FROM_BYTES {
            return self.bulk(data);
        }
        self.header(b'$', data.len() as i64);
        self.chunk_bytes += data.len();
        self.chunks.push((self.buf.len(), data.clone()));
        self.buf.extend_from_slice(b"\r\n");
    }

    /// The null of a missing value.
    #[inline]
    pub fn null(&mut self) {
        let bytes: &[u8] = if self.is_resp3() { b"_\r\n" } else { b"$-1\r\n" };
        self.buf.extend_from_slice(bytes);
    }

    /// The null of a missing array.
    pub fn null_array(&mut self) {
        let bytes: &[u8] = if self.is_resp3() { b"_\r\n" } else { b"*-1\r\n" };
        self.buf.extend_from_slice(bytes);
    }

    /// Announces `n` elements.
    #[inline]
    pub fn array(&mut self, n: usize) {
        self.header(b'*', n as i64);
    }

    /// Announces `n` pairs (a flat array of 2n in RESP2).
    pub fn map(&mut self, n: usize) {
        if self.is_resp3() { self.header(b'%', n as i64) } else { self.header(b'*', 2 * n as i64) }
    }

    /// Announces `n` distinct elements (an array in RESP2).
    pub fn set(&mut self, n: usize) {
        self.header(if self.is_resp3() { b'~' } else { b'*' }, n as i64);
    }

    /// Announces an out-of-band message of `n` elements (an array in RESP2).
    pub fn push(&mut self, n: usize) {
        self.header(if self.is_resp3() { b'>' } else { b'*' }, n as i64);
    }

    /// Announces `n` pairs of attributes, which exist in RESP3 only.
    pub fn attribute(&mut self, n: usize) {
        debug_assert!(self.is_resp3(), "attributes are for RESP3 connections");
        self.header(b'|', n as i64);
    }

    /// A boolean: 1 or 0 in RESP2.
    pub fn boolean(&mut self, value: bool) {
        let bytes: &[u8] = match (self.is_resp3(), value) {
            (true, true) => b"#t\r\n",
            (true, false) => b"#f\r\n",
            (false, true) => b":1\r\n",
            (false, false) => b":0\r\n",
        };
        self.buf.extend_from_slice(bytes);
    }

    /// A double: a bulk string in RESP2.
    pub fn double(&mut self, value: f64) {
        match number::exact_integer(value) {
            // Most are whole numbers, which need no memory for their digits.
            Some(n) if n != 0 => self.double_text(itoa::Buffer::new().format(n).as_bytes()),
            _ => {
                let mut text = Vec::with_capacity(number::MAX_F64_LEN);
                number::write_f64(&mut text, value);
                self.double_text(&text);
            }
        }
    }

    /// A double, given as the text Redis would print for it: a bulk string in RESP2.
    pub fn double_text(&mut self, text: &[u8]) {
        if self.is_resp3() {
            self.buf.push(b',');
            self.buf.extend_from_slice(text);
            self.buf.extend_from_slice(b"\r\n");
        } else {
            self.bulk(text);
        }
    }

    /// An integer of any size, given as digits: a bulk string in RESP2.
    pub fn big_number(&mut self, digits: &[u8]) {
        if self.is_resp3() {
            self.buf.push(b'(');
            self.buf.extend_from_slice(digits);
            self.buf.extend_from_slice(b"\r\n");
        } else {
            self.bulk(digits);
        }
    }

    /// Text with a three-letter format (`txt`, `mkd`): a bulk string in RESP2.
    pub fn verbatim(&mut self, format: &str, text: &[u8]) {
        debug_assert_eq!(format.len(), 3);
        if self.is_resp3() {
            self.header(b'=', text.len() as i64 + 4);
            self.buf.extend_from_slice(format.as_bytes());
            self.buf.push(b':');
            self.buf.extend_from_slice(text);
            self.buf.extend_from_slice(b"\r\n");
        } else {
            self.bulk(text);
        }
    }

    /// Remembers this place for a length that is not known yet; [`Reply::finish_array`] or
    /// [`Reply::finish_map`] inserts it.
    pub fn deferred(&self) -> Deferred {
        Deferred { at: self.buf.len(), chunks_before: self.chunks.len() }
    }

    /// Inserts the header of an array of `n` elements at `place`.
    pub fn finish_array(&mut self, place: Deferred, n: usize) {
        self.finish(place, |reply| reply.array(n));
    }

    /// Inserts the header of a map of `n` pairs at `place`.
    pub fn finish_map(&mut self, place: Deferred, n: usize) {
        self.finish(place, |reply| reply.map(n));
    }

    /// Inserts the header of a set of `n` elements at `place`.
    pub fn finish_set(&mut self, place: Deferred, n: usize) {
        self.finish(place, |reply| reply.set(n));
    }

    fn finish(&mut self, place: Deferred, header: impl FnOnce(&mut Reply)) {
        let end = self.buf.len();
        header(self);
        let inserted = self.buf.len() - end;
        self.buf[place.at..].rotate_right(inserted);
        for (at, _) in &mut self.chunks[place.chunks_before..] {
            *at += inserted;
        }
    }
}

/// One part of a reply on its way to the socket.
#[derive(Clone, Copy)]
pub enum Part<'a> {
    Copied(&'a [u8]),
    Chunk(&'a Bytes),
}

impl Part<'_> {
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Part::Copied(bytes) => bytes,
            Part::Chunk(chunk) => chunk,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(reply: &Reply) -> Vec<u8> {
        reply.parts().flat_map(|p| p.as_slice().to_vec()).collect()
    }

    fn written(proto: Proto, f: impl FnOnce(&mut Reply)) -> String {
        let mut reply = Reply::new(proto);
        f(&mut reply);
        String::from_utf8(wire(&reply)).unwrap()
    }

    #[test]
    fn each_type_in_both_protocols() {
        type Write = fn(&mut Reply);
        let cases: &[(Write, &str, &str)] = &[
            (|r| r.null(), "$-1\r\n", "_\r\n"),
            (|r| r.null_array(), "*-1\r\n", "_\r\n"),
            (|r| r.map(3), "*6\r\n", "%3\r\n"),
            (|r| r.array(99), "*99\r\n", "*99\r\n"),
            (|r| r.array(100), "*100\r\n", "*100\r\n"),
            (|r| r.set(12), "*12\r\n", "~12\r\n"),
            (|r| r.push(2), "*2\r\n", ">2\r\n"),
            (|r| r.boolean(true), ":1\r\n", "#t\r\n"),
            (|r| r.boolean(false), ":0\r\n", "#f\r\n"),
            (|r| r.double_text(b"3.14"), "$4\r\n3.14\r\n", ",3.14\r\n"),
            (|r| r.double(-3.0), "$2\r\n-3\r\n", ",-3\r\n"),
            (|r| r.double(-0.0), "$2\r\n-0\r\n", ",-0\r\n"),
            (|r| r.double(0.25), "$4\r\n0.25\r\n", ",0.25\r\n"),
            (|r| r.double(f64::INFINITY), "$3\r\ninf\r\n", ",inf\r\n"),
            (|r| r.big_number(b"123"), "$3\r\n123\r\n", "(123\r\n"),
            (|r| r.verbatim("txt", b"hi"), "$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n"),
            (|r| r.integer(i64::MIN), ":-9223372036854775808\r\n", ":-9223372036854775808\r\n"),
            (|r| r.error("ERR a\r\nb"), "-ERR a  b\r\n", "-ERR a  b\r\n"),
        ];
        for (f, resp2, resp3) in cases {
            assert_eq!(&written(Proto::Resp2, f), resp2);
            assert_eq!(&written(Proto::Resp3, f), resp3);
        }
    }

    #[test]
    fn large_values_are_shared_in_order_and_truncated_with_the_rest() {
        let big = Bytes::from(vec![b'x'; SHARE_FROM_BYTES]);
        let mut reply = Reply::new(Proto::Resp2);
        let place = reply.deferred();
        reply.bulk(b"a");
        let after_first = reply.len();
        reply.bulk_shared(&big);
        reply.bulk_shared(&big);
        assert!(reply.plain().is_none());
        let mut expected = b"*3\r\n$1\r\na\r\n".to_vec();
        for _ in 0..2 {
            expected.extend(format!("${}\r\n", big.len()).bytes());
            expected.extend_from_slice(&big);
            expected.extend(b"\r\n");
        }
        reply.finish_array(place, 3);
        assert_eq!(wire(&reply), expected);
        assert_eq!(reply.len(), expected.len());
        reply.truncate(after_first + 4);
        assert_eq!(wire(&reply), b"*3\r\n$1\r\na\r\n");
        reply.truncate(0);
        assert!(reply.is_empty() && reply.plain().is_some());
    }
}
