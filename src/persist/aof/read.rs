//! Reads a file of commands: requests in the form of the wire, and annotations (`#TS:…`), one after the other.
//!
//! A request whose end is not there is something else than one that is malformed: the first is what is left when a
//! machine fails, and can be cut off. Nothing is allocated for what is only announced: a length is believed as far as
//! the file is long. Knows nothing of what commands do.

use crate::resp::scan::{Request, Span};
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;

/// Read at once, bytes.
const READ_BYTES: usize = 1 << 20;

/// The line of a length, or an annotation, ends within so many bytes.
const MAX_LINE_BYTES: usize = 1024;

/// More arguments a request cannot have (the limit on the wire).
const MAX_ARGS: usize = i32::MAX as usize;

/// What comes next in a file.
#[derive(Debug)]
pub enum Item {
    /// A request: [`Reader::request`] has its arguments.
    Request,
    /// The text behind `#`, without the end of the line, by its place in the buffer.
    Annotation(Range<usize>),
    End,
}

/// Why there is no next item.
#[derive(Debug)]
pub enum Fault {
    /// The file ends in the middle of it.
    Truncated,
    /// Something else stands there than may stand there.
    Malformed,
    Io(io::Error),
}

/// A file that is read from some place on.
pub struct Reader {
    file: File,
    /// Bytes that the file has behind those in the buffer, as far as is known.
    left: u64,
    buffer: Vec<u8>,
    /// Where in the file the buffer begins.
    base: u64,
    /// Where in the buffer the next item begins.
    at: usize,
    spans: Vec<Span>,
    /// Items that are kept until [`Reader::forget`].
    starts: Vec<Range<usize>>,
    buffered_from: usize,
}

impl Reader {
    /// Reads from `offset` on, where the file stands.
    pub fn new(file: File, offset: u64) -> io::Result<Reader> {
        let left = file.metadata()?.len().saturating_sub(offset);
        Ok(Reader {
            file,
            left,
            buffer: Vec::new(),
            base: offset,
            at: 0,
            spans: Vec::new(),
            starts: Vec::new(),
            buffered_from: 0,
        })
    }

    /// Where in the file the next item begins.
    pub fn offset(&self) -> u64 {
        self.base + self.at as u64
    }

    /// How many requests were read since [`Reader::forget`].
    pub fn requests(&self) -> usize {
        self.starts.len()
    }

    /// A request that was read since [`Reader::forget`].
    pub fn request(&self, index: usize) -> Request<'_> {
        Request::new(&self.buffer, &[], &self.spans[self.starts[index].clone()])
    }

    /// Bytes of the buffer.
    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.buffer[range]
    }

    /// The requests that were read are done with.
    pub fn forget(&mut self) {
        self.spans.clear();
        self.starts.clear();
        self.buffered_from = self.at;
    }

    /// Sees to it that so many bytes are in the buffer from `at` on. What is needed of the buffer stays where it is
    /// until [`Reader::forget`].
    fn need(&mut self, at: usize, bytes: usize) -> Result<(), Fault> {
        let end = at.checked_add(bytes).ok_or(Fault::Malformed)?;
        while self.buffer.len() < end {
            if (end - self.buffer.len()) as u64 > self.left {
                return Err(Fault::Truncated);
            }
            let wanted =
                READ_BYTES.max(end - self.buffer.len()).min(usize::try_from(self.left).unwrap_or(usize::MAX));
            let read =
                (&mut self.file).take(wanted as u64).read_to_end(&mut self.buffer).map_err(Fault::Io)?;
            self.left -= read as u64;
            if read < wanted {
                self.left = 0;
            }
        }
        Ok(())
    }

    /// The line at `at` without its end, which has to be `\r\n`; and where the next one begins.
    fn line(&mut self, at: usize) -> Result<(Range<usize>, usize), Fault> {
        let mut searched = at;
        loop {
            let found = self.buffer[searched..].iter().position(|byte| *byte == b'\n');
            if let Some(end) = found.map(|found| searched + found) {
                let is_line = end > at && self.buffer[end - 1] == b'\r' && end - at <= MAX_LINE_BYTES;
                return if is_line { Ok((at..end - 1, end + 1)) } else { Err(Fault::Malformed) };
            }
            searched = self.buffer.len();
            if searched - at > MAX_LINE_BYTES {
                return Err(Fault::Malformed);
            }
            self.need(searched, 1)?;
        }
    }

    /// A number behind its sign.
    fn number(&mut self, at: usize, sign: u8) -> Result<(usize, usize), Fault> {
        self.need(at, 1)?;
        if self.buffer[at] != sign {
            return Err(Fault::Malformed);
        }
        let (line, next) = self.line(at + 1)?;
        let digits = &self.buffer[line];
        let is_number = (1..=10).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
        let number = is_number.then(|| digits.iter().fold(0, |n, digit| n * 10 + usize::from(digit - b'0')));
        Ok((number.ok_or(Fault::Malformed)?, next))
    }

    /// Reads what comes next.
    ///
    /// # Errors
    /// [`Reader::offset`] still says where the item began.
    pub fn read_next(&mut self) -> Result<Item, Fault> {
        if self.starts.is_empty() && self.at >= READ_BYTES {
            self.buffer.drain(..self.at);
            self.buffer.shrink_to(4 * READ_BYTES);
            self.base += self.at as u64;
            self.at = 0;
            self.buffered_from = 0;
        }
        match self.need(self.at, 1) {
            Err(Fault::Truncated) => return Ok(Item::End),
            other => other?,
        }
        if self.buffer[self.at] == b'#' {
            let (line, next) = self.line(self.at + 1)?;
            self.at = next;
            return Ok(Item::Annotation(line));
        }
        let first = self.spans.len();
        let read = self.read_args();
        match read {
            Ok(next) => {
                self.at = next;
                self.starts.push(first..self.spans.len());
                Ok(Item::Request)
            }
            Err(fault) => {
                self.spans.truncate(first);
                Err(fault)
            }
        }
    }

    fn read_args(&mut self) -> Result<usize, Fault> {
        let (count, mut at) = self.number(self.at, b'*')?;
        if count == 0 || count > MAX_ARGS {
            return Err(Fault::Malformed);
        }
        for _ in 0..count {
            let (len, start) = self.number(at, b'$')?;
            self.need(start, len.checked_add(2).ok_or(Fault::Malformed)?)?;
            at = start + len + 2;
            if &self.buffer[at - 2..at] != b"\r\n" {
                return Err(Fault::Malformed);
            }
            let (start, len) = (u32::try_from(start), u32::try_from(len));
            let (Ok(start), Ok(len)) = (start, len) else { return Err(Fault::Malformed) };
            self.spans.push(Span::Buffered { start, len });
        }
        Ok(at)
    }

    /// Whether so much is in the buffer that the requests should be run and forgotten.
    pub fn is_full(&self) -> bool {
        self.at - self.buffered_from >= READ_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn read(bytes: &[u8]) -> (Vec<String>, Option<Fault>, u64) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        let mut reader = Reader::new(file, 0).unwrap();
        let mut found = Vec::new();
        loop {
            match reader.read_next() {
                Ok(Item::End) => return (found, None, reader.offset()),
                Ok(Item::Annotation(range)) => {
                    found.push(format!("#{}", String::from_utf8_lossy(reader.bytes(range))));
                }
                Ok(Item::Request) => {
                    let request = reader.request(reader.requests() - 1);
                    let words: Vec<_> = request.iter().map(String::from_utf8_lossy).collect();
                    found.push(words.join(" "));
                    if reader.is_full() || found.len() % 3 == 0 {
                        reader.forget();
                    }
                }
                Err(fault) => return (found, Some(fault), reader.offset()),
            }
        }
    }

    #[test]
    fn requests_and_annotations_come_out_in_order() {
        let (found, fault, offset) = read(b"#TS:5\r\n*1\r\n$4\r\nPING\r\n*2\r\n$0\r\n\r\n$2\r\n\r\n\r\n");
        assert_eq!(
            (found.as_slice(), offset),
            (["#TS:5".to_owned(), "PING".into(), " \r\n".into()].as_slice(), 39)
        );
        assert!(fault.is_none());
    }

    #[test]
    fn an_end_in_the_middle_is_told_from_what_is_malformed() {
        let whole = b"#TS:5\r\n*2\r\n$3\r\nDEL\r\n$1\r\na\r\n";
        for end in 0..whole.len() {
            let (found, fault, offset) = read(&whole[..end]);
            match end {
                0 | 7 => assert!(fault.is_none()),
                _ => assert!(matches!(fault, Some(Fault::Truncated)), "{end}: {found:?} {fault:?}"),
            }
            assert_eq!(offset, if end < 7 { 0 } else { 7 });
        }
        for bad in [
            "x",
            "\r\n",
            "*0\r\n",
            "*-1\r\n",
            "*1\n",
            "*1x\r\n",
            "*1\r\n+OK\r\n",
            "*1\r\n$-1\r\n",
            "*1\r\n$1\r\nabc",
            "*99999999999\r\n",
            "*1\r\n$1\r\nab\r\n",
        ] {
            let (_, fault, offset) = read(bad.as_bytes());
            assert!(matches!(fault, Some(Fault::Malformed)), "{bad:?} {fault:?}");
            assert_eq!(offset, 0);
        }
        let (_, fault, _) = read(b"*1\r\n$4294967295\r\nabc");
        assert!(matches!(fault, Some(Fault::Truncated)));
    }

    #[test]
    fn large_arguments_and_long_files_fit() {
        let mut bytes = Vec::new();
        for n in 0..50_000 {
            bytes.extend_from_slice(format!("*2\r\n$3\r\nGET\r\n$6\r\n{n:06}\r\n").as_bytes());
        }
        bytes.extend_from_slice(format!("*1\r\n${}\r\n", 3 << 20).as_bytes());
        bytes.resize(bytes.len() + (3 << 20), b'x');
        bytes.extend_from_slice(b"\r\n");
        let (found, fault, offset) = read(&bytes);
        assert!(fault.is_none());
        assert_eq!((found.len(), offset), (50_001, bytes.len() as u64));
    }
}
