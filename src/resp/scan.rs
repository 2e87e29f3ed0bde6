//! Finds requests in received bytes without copying them.
//!
//! The scanner walks multibulk requests (`*2\r\n$3\r\nGET\r\n…`) and inline lines and records where each
//! argument lies in the receive buffer. It resumes where it stopped, so that a request that arrives in a
//! thousand pieces is looked at once; it allocates nothing for a length that was only announced. A large
//! argument is received into a buffer of its own, which the command can keep without a copy.
//!
//! Limits and error texts are Redis's (`networking.c` describes the protocol). The connection is told to
//! close after an error. Knows nothing of commands.

use super::inline;
use bytes::Bytes;

/// An argument of at least this size gets a buffer of its own while it is received, as in Redis
/// (`PROTO_MBULK_BIG_ARG`).
pub const LARGE_ARG_FROM_BYTES: usize = 32 * 1024;

/// A line without its end, and a request line, are at most this long (Redis's `PROTO_INLINE_MAX_SIZE`).
pub const MAX_LINE_BYTES: usize = 64 * 1024;

/// Before authentication a request has at most this many arguments of at most [`UNAUTH_MAX_BULK_BYTES`].
const UNAUTH_MAX_ARGS: i64 = 10;
const UNAUTH_MAX_BULK_BYTES: i64 = 16 * 1024;

/// Where one argument lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// In the receive buffer.
    Buffered { start: u32, len: u32 },
    /// In a buffer of its own, by number.
    Large(u32),
}

/// The arguments of one complete request.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    buf: &'a [u8],
    large: &'a [Bytes],
    spans: &'a [Span],
}

impl<'a> Request<'a> {
    pub fn new(buf: &'a [u8], large: &'a [Bytes], spans: &'a [Span]) -> Request<'a> {
        Request { buf, large, spans }
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    #[inline]
    pub fn get(&self, index: usize) -> &'a [u8] {
        match self.spans[index] {
            Span::Buffered { start, len } => &self.buf[start as usize..start as usize + len as usize],
            Span::Large(n) => &self.large[n as usize],
        }
    }

    pub fn span(&self, index: usize) -> Span {
        self.spans[index]
    }

    /// The shared buffer of an argument whose span is [`Span::Large`].
    pub fn large(&self, index: usize) -> &'a Bytes {
        match self.spans[index] {
            Span::Large(n) => &self.large[n as usize],
            Span::Buffered { .. } => panic!("argument {index} is not a large one"),
        }
    }

    pub fn iter(self) -> impl ExactSizeIterator<Item = &'a [u8]> {
        (0..self.len()).map(move |i| self.get(i))
    }

    /// The whole request as it was received, if that is its form on the wire to the byte: it came in one piece, not as
    /// an inline command, and without spare digits.
    pub fn encoded(&self) -> Option<&'a [u8]> {
        let Some(Span::Buffered { start: first, len }) = self.spans.first().copied() else { return None };
        let lead = 1 + digits(self.len()) + 2 + 1 + digits(len as usize) + 2;
        let begin = (first as usize).checked_sub(lead)?;
        let mut at = begin;
        expect(self.buf, &mut at, b'*', self.len())?;
        for span in self.spans {
            let Span::Buffered { start, len } = *span else { return None };
            expect(self.buf, &mut at, b'$', len as usize)?;
            if at != start as usize {
                return None;
            }
            at += len as usize;
            if self.buf.get(at..at + 2)? != b"\r\n" {
                return None;
            }
            at += 2;
        }
        Some(&self.buf[begin..at])
    }

    /// Some arguments as a request of their own; an empty one if there are not that many.
    pub fn part(self, range: std::ops::Range<usize>) -> Request<'a> {
        Request { spans: self.spans.get(range).unwrap_or_default(), ..self }
    }

    /// The arguments from `first` on as a request of their own; an empty one if there are not that many.
    pub fn tail(self, first: usize) -> Request<'a> {
        Request { spans: self.spans.get(first..).unwrap_or_default(), ..self }
    }
}

fn digits(n: usize) -> usize {
    n.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// Passes over this number behind its sign, if it is there.
#[inline]
fn expect(buf: &[u8], at: &mut usize, sign: u8, n: usize) -> Option<()> {
    let mut text = itoa::Buffer::new();
    let digits = text.format(n).as_bytes();
    let end = *at + 1 + digits.len() + 2;
    let found = buf.get(*at..end)?;
    let fits = found[0] == sign && &found[1..=digits.len()] == digits && found.ends_with(b"\r\n");
    *at = end;
    fits.then_some(())
}

/// What a connection may send.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `proto-max-bulk-len`, bytes.
    pub max_bulk_bytes: i64,
    /// Whether the smaller limits before authentication are over.
    pub authenticated: bool,
}

/// What one call of [`Scanner::scan`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A request: its arguments are the spans appended; possibly none (an empty line or `*0`).
    Request,
    /// All bytes are consumed or belong to a request that is not complete.
    Incomplete,
    /// The next argument is large: receive this many bytes (terminator included) into a buffer of their own
    /// and hand it over with [`Scanner::large_received`].
    Large(usize),
    /// The protocol is broken. The text follows `ERR Protocol error: `.
    Broken(ProtocolError),
}

/// How the protocol was broken, in Redis's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    TooBigInline,
    TooBigMultibulkLine,
    TooBigBulkLine,
    InvalidMultibulkLength,
    UnauthMultibulkLength,
    UnauthBulkLength,
    ExpectedDollar(u8),
    InvalidBulkLength,
    UnbalancedQuotes,
}

impl ProtocolError {
    /// The text for the client. It may repeat a byte that the client sent, of any value.
    pub fn message(&self) -> Vec<u8> {
        let text = match self {
            ProtocolError::TooBigInline => "too big inline request",
            ProtocolError::TooBigMultibulkLine => "too big mbulk count string",
            ProtocolError::TooBigBulkLine => "too big bulk count string",
            ProtocolError::InvalidMultibulkLength => "invalid multibulk length",
            ProtocolError::UnauthMultibulkLength => "unauthenticated multibulk length",
            ProtocolError::UnauthBulkLength => "unauthenticated bulk length",
            ProtocolError::ExpectedDollar(got) => {
                return [b"expected '$', got '", &[*got][..], b"'"].concat();
            }
            ProtocolError::InvalidBulkLength => "invalid bulk length",
            ProtocolError::UnbalancedQuotes => "unbalanced quotes in request",
        };
        text.into()
    }
}

impl std::fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.message().escape_ascii())
    }
}

/// The state of a request that is being received.
#[derive(Debug)]
pub struct Scanner {
    /// Bytes of the buffer that are done with.
    position: usize,
    /// Arguments still to come of a multibulk request; 0 between requests.
    args_left: i64,
    /// Length of the bulk whose bytes are awaited, or -1 while its header is.
    bulk_len: i64,
    /// The last argument of a request came in on its own: the request is complete.
    complete: bool,
}

enum Line {
    Number(i64),
    Bad,
    Partial,
    TooLong,
}

impl Default for Scanner {
    fn default() -> Scanner {
        Scanner::new()
    }
}

impl Scanner {
    pub fn new() -> Scanner {
        Scanner { position: 0, args_left: 0, bulk_len: -1, complete: false }
    }

    /// How far the buffer is consumed.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Whether a request has begun and is not complete.
    pub fn is_mid_request(&self) -> bool {
        self.args_left > 0
    }

    /// Arguments that were announced and have not arrived (CLIENT LIST's `multi-mem` and debugging).
    pub fn args_left(&self) -> i64 {
        self.args_left
    }

    /// Tells that the next `bytes` are a complete request, which need not be looked at.
    pub fn skip(&mut self, bytes: usize) {
        debug_assert!(!self.is_mid_request());
        self.position += bytes;
    }

    /// Tells that the first `bytes` of the buffer were dropped.
    pub fn shift(&mut self, bytes: usize) {
        self.position -= bytes;
    }

    /// Looks for the next request in `buf` from where the last call stopped. Arguments are appended to
    /// `spans`, which must still hold those of a request that was incomplete. Inline requests whose words are
    /// quoted are unquoted into `large`.
    #[inline]
    pub fn scan(
        &mut self,
        buf: &[u8],
        limits: Limits,
        spans: &mut Vec<Span>,
        large: &mut Vec<Bytes>,
    ) -> Found {
        if std::mem::take(&mut self.complete) {
            return Found::Request;
        }
        if self.args_left == 0 {
            match buf.get(self.position) {
                None => return Found::Incomplete,
                Some(b'*') => {}
                Some(_) => return self.scan_inline(buf, spans, large),
            }
            let count = match self.number(buf, self.position + 1) {
                (Line::Number(n), next) if n <= i32::MAX as i64 => {
                    if n > UNAUTH_MAX_ARGS && !limits.authenticated {
                        return Found::Broken(ProtocolError::UnauthMultibulkLength);
                    }
                    self.position = next;
                    n
                }
                (Line::Partial, _) => return Found::Incomplete,
                (Line::TooLong, _) => return Found::Broken(ProtocolError::TooBigMultibulkLine),
                _ => return Found::Broken(ProtocolError::InvalidMultibulkLength),
            };
            if count <= 0 {
                return Found::Request;
            }
            self.args_left = count;
            self.bulk_len = -1;
        }
        let mut position = self.position;
        let mut bulk_len = self.bulk_len;
        let found = loop {
            if bulk_len < 0 {
                match self.bulk_header(buf, position, limits) {
                    Ok((len, next)) => (bulk_len, position) = (len, next),
                    Err(found) => break found,
                }
            }
            let len = bulk_len as usize;
            if buf.len() - position < len + 2 {
                break if len >= LARGE_ARG_FROM_BYTES { Found::Large(len + 2) } else { Found::Incomplete };
            }
            // Redis does not check the two bytes behind a bulk either; nor may we, to stay compatible.
            spans.push(Span::Buffered { start: position as u32, len: len as u32 });
            position += len + 2;
            bulk_len = -1;
            self.args_left -= 1;
            if self.args_left == 0 {
                break Found::Request;
            }
        };
        self.position = position;
        self.bulk_len = bulk_len;
        found
    }

    /// Reads the `$` line at `position`: the length it announces, and where the bytes begin.
    #[inline(always)]
    fn bulk_header(&self, buf: &[u8], position: usize, limits: Limits) -> Result<(i64, usize), Found> {
        match buf.get(position) {
            None => return Err(Found::Incomplete),
            Some(b'$') => {}
            Some(&other) => {
                // Redis waits for the whole line before it looks at its first byte.
                return Err(match self.number(buf, position) {
                    (Line::Partial, _) => Found::Incomplete,
                    (Line::TooLong, _) => Found::Broken(ProtocolError::TooBigBulkLine),
                    _ => Found::Broken(ProtocolError::ExpectedDollar(other)),
                });
            }
        }
        match self.number(buf, position + 1) {
            (Line::Number(n), next) if (0..=limits.max_bulk_bytes).contains(&n) => {
                if n > UNAUTH_MAX_BULK_BYTES && !limits.authenticated {
                    return Err(Found::Broken(ProtocolError::UnauthBulkLength));
                }
                Ok((n, next))
            }
            (Line::Partial, _) => Err(Found::Incomplete),
            (Line::TooLong, _) => Err(Found::Broken(ProtocolError::TooBigBulkLine)),
            _ => Err(Found::Broken(ProtocolError::InvalidBulkLength)),
        }
    }

    /// Takes the bytes of a large argument (terminator included) that were received on their own.
    pub fn large_received(&mut self, mut data: Vec<u8>, spans: &mut Vec<Span>, large: &mut Vec<Bytes>) {
        data.truncate(self.bulk_len as usize);
        spans.push(Span::Large(large.len() as u32));
        large.push(data.into());
        self.bulk_len = -1;
        self.args_left -= 1;
        self.complete = self.args_left == 0;
    }

    /// Parses the integer line at `start`; on success also returns the position behind its line end.
    #[inline(always)]
    fn number(&self, buf: &[u8], start: usize) -> (Line, usize) {
        // The usual case: one or two digits and the line end, all here.
        if let Some(&[first, second, third, _]) = buf.get(start..).and_then(<[u8]>::first_chunk) {
            let (high, low) = (first.wrapping_sub(b'0'), second.wrapping_sub(b'0'));
            if second == b'\r' && high <= 9 {
                return (Line::Number(high as i64), start + 3);
            }
            if third == b'\r' && (1..=9).contains(&high) && low <= 9 {
                return (Line::Number(high as i64 * 10 + low as i64), start + 4);
            }
        }
        self.number_long(buf, start)
    }

    #[inline(never)]
    fn number_long(&self, buf: &[u8], start: usize) -> (Line, usize) {
        let mut value: i64 = 0;
        let mut at = start;
        while let Some(&b) = buf.get(at) {
            let digit = b.wrapping_sub(b'0');
            if digit > 9 || at - start >= 9 {
                break;
            }
            value = value * 10 + digit as i64;
            at += 1;
        }
        if at > start && buf.len() >= at + 2 && buf[at] == b'\r' && (at - start == 1 || buf[start] != b'0') {
            return (Line::Number(value), at + 2);
        }
        self.number_slow(buf, start)
    }

    #[cold]
    fn number_slow(&self, buf: &[u8], start: usize) -> (Line, usize) {
        let rest = &buf[start..];
        let Some(end) = memchr::memchr(b'\r', rest) else {
            return (if rest.len() > MAX_LINE_BYTES { Line::TooLong } else { Line::Partial }, 0);
        };
        if rest.len() < end + 2 {
            return (Line::Partial, 0);
        }
        match crate::types::number::parse_i64(&rest[..end]) {
            Some(n) => (Line::Number(n), start + end + 2),
            None => (Line::Bad, 0),
        }
    }

    fn scan_inline(&mut self, buf: &[u8], spans: &mut Vec<Span>, large: &mut Vec<Bytes>) -> Found {
        let rest = &buf[self.position..];
        let Some(newline) = memchr::memchr(b'\n', rest) else {
            let broken = rest.len() > MAX_LINE_BYTES;
            return if broken { Found::Broken(ProtocolError::TooBigInline) } else { Found::Incomplete };
        };
        let line = rest[..newline].strip_suffix(b"\r").unwrap_or(&rest[..newline]);
        let Some(words) = inline::split(line) else {
            return Found::Broken(ProtocolError::UnbalancedQuotes);
        };
        for word in words {
            spans.push(Span::Large(large.len() as u32));
            large.push(word.into());
        }
        self.position += newline + 1;
        Found::Request
    }
}
