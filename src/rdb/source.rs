//! Where serialised bytes come from, and what is wrong with them.

use std::fmt;

/// What is allocated before the bytes that shall fill it have been seen.
const CHUNK_BYTES: usize = 1 << 20;

/// What is wrong where there is no more, though there should be.
pub const TOO_SHORT: &str = "the data ends too early";

/// Bytes that are not what they should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Corrupt {
    /// Offset in the source, bytes.
    pub at: u64,
    pub what: &'static str,
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at offset {}", self.what, self.at)
    }
}

impl std::error::Error for Corrupt {}

/// A stream of bytes.
pub trait Source {
    /// Fills `out`, or finds that there is not as much left.
    fn fill(&mut self, out: &mut [u8]) -> Result<(), Corrupt>;

    /// Offset of the next byte.
    fn position(&self) -> u64;

    /// The error that something before this position is wrong.
    fn corrupt(&self, what: &'static str) -> Corrupt {
        Corrupt { at: self.position(), what }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Corrupt>
    where
        Self: Sized,
    {
        let mut out = [0; N];
        self.fill(&mut out)?;
        Ok(out)
    }

    fn byte(&mut self) -> Result<u8, Corrupt>
    where
        Self: Sized,
    {
        Ok(self.array::<1>()?[0])
    }

    /// Passes the next `len` bytes.
    fn pass(&mut self, len: u64) -> Result<(), Corrupt>
    where
        Self: Sized,
    {
        self.bytes(len).map(drop)
    }

    /// The next `len` bytes. Memory grows with what arrives, whatever `len` says.
    fn bytes(&mut self, len: u64) -> Result<Vec<u8>, Corrupt>
    where
        Self: Sized,
    {
        let len = usize::try_from(len).map_err(|_| self.corrupt("a length beyond all memory"))?;
        let mut out = Vec::new();
        while out.len() < len {
            let from = out.len();
            let step = (len - from).min(CHUNK_BYTES.max(from));
            out.resize(from + step, 0);
            self.fill(&mut out[from..])?;
        }
        Ok(out)
    }
}

/// Bytes in memory.
#[derive(Clone)]
pub struct Slice<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Slice<'a> {
    pub fn new(bytes: &'a [u8]) -> Slice<'a> {
        Slice { bytes, at: 0 }
    }

    /// From this offset on.
    pub fn from(bytes: &'a [u8], at: usize) -> Slice<'a> {
        Slice { bytes, at }
    }

    pub fn is_done(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// The next `len` bytes in place.
    #[inline]
    pub fn part(&mut self, len: u64) -> Result<&'a [u8], Corrupt> {
        let left = &self.bytes[self.at..];
        let part =
            usize::try_from(len).ok().and_then(|len| left.get(..len)).ok_or(self.corrupt(TOO_SHORT))?;
        self.at += part.len();
        Ok(part)
    }
}

impl Source for Slice<'_> {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), Corrupt> {
        out.copy_from_slice(self.part(out.len() as u64)?);
        Ok(())
    }

    fn position(&self) -> u64 {
        self.at as u64
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, Corrupt> {
        let byte = *self.bytes.get(self.at).ok_or(self.corrupt(TOO_SHORT))?;
        self.at += 1;
        Ok(byte)
    }

    #[inline]
    fn pass(&mut self, len: u64) -> Result<(), Corrupt> {
        self.part(len).map(drop)
    }

    fn bytes(&mut self, len: u64) -> Result<Vec<u8>, Corrupt> {
        self.part(len).map(<[u8]>::to_vec)
    }
}
