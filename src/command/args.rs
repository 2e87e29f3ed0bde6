//! The arguments of one request, and the cursor with which every handler parses them.
//!
//! No handler looks at raw positions twice or words an argument error itself. Knows the bytes of a request
//! and the errors; nothing of sockets or data.

use super::errors::Error;
use crate::resp::scan::{Request, Span};
use crate::types::number;
use bytes::Bytes;

/// A request's arguments with a reading position. Argument 0 is the command's name; of a subcommand,
/// argument 1 is its own.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    request: Request<'a>,
    next: usize,
}

impl<'a> Args<'a> {
    /// Starts behind the name (1) or behind the names of container and subcommand (2).
    pub fn new(request: Request<'a>, first: usize) -> Args<'a> {
        Args { request, next: first }
    }

    /// The number of arguments, names included.
    pub fn count(&self) -> usize {
        self.request.len()
    }

    /// Argument `index` of the whole request.
    ///
    /// # Panics
    /// If there are not that many: the arity check has established that there are.
    #[inline]
    pub fn get(&self, index: usize) -> &'a [u8] {
        self.request.get(index)
    }

    /// How many arguments are left.
    #[inline]
    pub fn left(&self) -> usize {
        self.request.len() - self.next
    }

    /// The position of the next argument in the whole request.
    pub fn position(&self) -> usize {
        self.next
    }

    pub fn seek(&mut self, position: usize) {
        self.next = position.min(self.request.len());
    }

    #[inline]
    pub fn is_done(&self) -> bool {
        self.next == self.request.len()
    }

    /// The next argument without consuming it.
    pub fn peek(&self) -> Option<&'a [u8]> {
        (!self.is_done()).then(|| self.request.get(self.next))
    }

    /// Consumes the next argument; a missing one is a syntax error.
    #[inline]
    pub fn take(&mut self) -> Result<&'a [u8], Error> {
        if self.is_done() {
            return Err(Error::Syntax);
        }
        self.next += 1;
        Ok(self.request.get(self.next - 1))
    }

    /// Consumes the next argument as a value to be kept: shares the receive buffer if it is a large one that
    /// was received on its own, copies otherwise.
    pub fn next_bytes(&mut self) -> Result<Bytes, Error> {
        self.take()?;
        Ok(match self.request.span(self.next - 1) {
            Span::Large(_) => self.request.large(self.next - 1).clone(),
            Span::Buffered { .. } => Bytes::copy_from_slice(self.request.get(self.next - 1)),
        })
    }

    /// Consumes the next argument if it is `word` (in any case).
    #[inline]
    pub fn skip_word(&mut self, word: &str) -> bool {
        let matched = self.peek().is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()));
        self.next += matched as usize;
        matched
    }

    /// Consumes a 64-bit integer in Redis's strict form.
    pub fn next_i64(&mut self) -> Result<i64, Error> {
        number::parse_i64(self.take()?).ok_or(Error::NotInteger)
    }

    /// Consumes an integer of C's type `int`, as Redis takes for the number of a database.
    pub fn next_i32(&mut self) -> Result<i32, Error> {
        i32::try_from(self.next_i64()?).map_err(|_| Error::NotInt32)
    }

    /// Consumes an integer within `range`; `error` outside of it.
    pub fn next_i64_in(&mut self, range: std::ops::RangeInclusive<i64>, error: Error) -> Result<i64, Error> {
        let n = self.next_i64()?;
        if range.contains(&n) { Ok(n) } else { Err(error) }
    }

    /// Consumes a floating point number.
    pub fn next_f64(&mut self) -> Result<f64, Error> {
        number::parse_f64(self.take()?).ok_or(Error::NotFloat)
    }

    /// A syntax error if anything is left.
    pub fn finish(&self) -> Result<(), Error> {
        if self.is_done() { Ok(()) } else { Err(Error::Syntax) }
    }

    /// The whole request.
    pub fn request(&self) -> Request<'a> {
        self.request
    }

    /// The arguments that are left.
    pub fn rest(self) -> impl ExactSizeIterator<Item = &'a [u8]> + Clone {
        let request = self.request;
        (self.next..request.len()).map(move |i| request.get(i))
    }
}
