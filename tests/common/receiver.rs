//! What a connection does with the scanner, for tests of the scanner alone.

use bytes::Bytes;
use nuthatch::resp::scan::{Found, LARGE_ARG_FROM_BYTES, Limits, ProtocolError, Request, Scanner, Span};

/// The arguments of one request.
pub type Args = Vec<Vec<u8>>;

/// How the bytes end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// At the end of a request or within one.
    Open,
    Broken,
}

/// What a connection does with a scanner: receives the pieces in turn, takes each complete request, drops what
/// is done with.
pub struct Receiver {
    scanner: Scanner,
    limits: Limits,
    buf: Vec<u8>,
    pub spans: Vec<Span>,
    pub large: Vec<Bytes>,
    /// A large argument on its way, and its size.
    pub receiving: Option<(Vec<u8>, usize)>,
    requests: Vec<Args>,
    pub broken: Option<ProtocolError>,
}

impl Receiver {
    pub fn new(limits: Limits) -> Receiver {
        Receiver {
            scanner: Scanner::new(),
            limits,
            buf: Vec::new(),
            spans: Vec::new(),
            large: Vec::new(),
            receiving: None,
            requests: Vec::new(),
            broken: None,
        }
    }

    pub fn receive(&mut self, mut piece: &[u8]) {
        if let Some((data, total)) = &mut self.receiving {
            let missing = piece.len().min(*total - data.len());
            data.extend_from_slice(&piece[..missing]);
            piece = &piece[missing..];
            if data.len() < *total {
                return;
            }
            let (data, _) = self.receiving.take().unwrap();
            self.scanner.large_received(data, &mut self.spans, &mut self.large);
        }
        self.buf.extend_from_slice(piece);
        while self.broken.is_none() {
            match self.scanner.scan(&self.buf, self.limits, &mut self.spans, &mut self.large) {
                Found::Request => {
                    let request = Request::new(&self.buf, &self.large, &self.spans);
                    self.requests.push(request.iter().map(<[u8]>::to_vec).collect());
                    self.spans.clear();
                    self.large.clear();
                    let done = self.scanner.position();
                    self.buf.drain(..done);
                    self.scanner.shift(done);
                }
                Found::Incomplete => return,
                Found::Large(total) => {
                    assert!(total > LARGE_ARG_FROM_BYTES);
                    let data = self.buf.split_off(self.scanner.position());
                    assert!(data.len() < total, "a large argument that is here needs no buffer of its own");
                    self.receiving = Some((data, total));
                    return;
                }
                Found::Broken(error) => self.broken = Some(error),
            }
        }
    }

    /// All requests, and how the bytes end.
    pub fn finish(self) -> (Vec<Args>, End) {
        (self.requests, if self.broken.is_some() { End::Broken } else { End::Open })
    }
}

/// What all bytes at once give.
pub fn scan_whole(bytes: &[u8], limits: Limits) -> (Vec<Args>, End) {
    let mut receiver = Receiver::new(limits);
    receiver.receive(bytes);
    receiver.finish()
}

/// The same, received in pieces that end at `cuts`, which ascend.
pub fn scan_cut(bytes: &[u8], cuts: &[usize], limits: Limits) -> (Vec<Args>, End) {
    let mut receiver = Receiver::new(limits);
    let mut from = 0;
    for &cut in cuts.iter().chain([&bytes.len()]) {
        receiver.receive(&bytes[from..cut]);
        from = cut;
    }
    receiver.finish()
}
