//! Counts complete replies in a stream of bytes, without looking into them.
//!
//! A state machine that can stop and go on at any byte, so a reply may arrive in as many pieces as the network likes
//! and nothing is ever copied. Pushes are counted apart. It knows RESP2 and RESP3 and trusts the server: this is no parser for untrusted bytes.

/// Where the counter stands between two pieces of the stream.
#[derive(Debug, Clone, Copy)]
pub struct ReplyCounter {
    /// Elements still to come until the reply under way is complete; aggregates add their children.
    open: u64,
    /// Type byte of the header line under way, 0 between elements.
    kind: u8,
    /// The number in that line, as far as it has been read.
    number: u64,
    /// Whether that number has a minus sign, which means null.
    negative: bool,
    /// Bytes of a bulk string, its line end included, still to be skipped.
    skip: u64,
    /// Error replies seen so far, also those within arrays.
    errors: u64,
    /// Whether what is under way is a push, which answers nothing, and how many of those were complete.
    is_push: bool,
    pushes: u64,
}

impl Default for ReplyCounter {
    fn default() -> Self {
        Self { open: 1, kind: 0, number: 0, negative: false, skip: 0, errors: 0, is_push: false, pushes: 0 }
    }
}

impl ReplyCounter {
    /// Error replies seen since the start.
    pub fn errors(&self) -> u64 {
        self.errors
    }

    /// Pushes seen since the start.
    pub fn pushes(&self) -> u64 {
        self.pushes
    }

    /// Takes the next piece of the stream; returns how many replies became complete in it.
    pub fn feed(&mut self, bytes: &[u8]) -> u64 {
        let mut complete = 0;
        let mut at = 0;
        while at < bytes.len() {
            if self.skip > 0 {
                let step = self.skip.min((bytes.len() - at) as u64);
                self.skip -= step;
                at += step as usize;
                if self.skip == 0 {
                    complete += self.element_done(0);
                }
                continue;
            }
            if self.kind == 0 {
                self.kind = bytes[at];
                self.errors += u64::from(matches!(self.kind, b'-' | b'!'));
                self.is_push |= self.kind == b'>';
                self.number = 0;
                self.negative = false;
                at += 1;
            }
            if matches!(self.kind, b'$' | b'*' | b'%' | b'~' | b'>' | b'=' | b'!' | b'|') {
                let Some(end) = self.read_number(&bytes[at..]) else { break };
                at += end;
                complete += self.header_done();
            } else {
                // A status, error, integer or other simple line: only its end matters.
                let Some(end) = bytes[at..].iter().position(|&byte| byte == b'\n') else { break };
                at += end + 1;
                self.kind = 0;
                complete += self.element_done(0);
            }
        }
        complete
    }

    /// Reads on in a header's number; returns the offset behind its line end, or `None` if that is still to come.
    fn read_number(&mut self, bytes: &[u8]) -> Option<usize> {
        for (at, &byte) in bytes.iter().enumerate() {
            match byte {
                b'0'..=b'9' => {
                    self.number = self.number.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'))
                }
                b'-' => self.negative = true,
                b'\n' => return Some(at + 1),
                _ => {}
            }
        }
        None
    }

    /// A header with a number is complete: a bulk string's bytes or an aggregate's children follow.
    fn header_done(&mut self) -> u64 {
        let kind = std::mem::take(&mut self.kind);
        match kind {
            _ if self.negative => self.element_done(0),
            b'$' | b'=' | b'!' => {
                self.skip = self.number + 2;
                0
            }
            b'%' => self.element_done(2 * self.number),
            // An attribute is followed by the element it belongs to.
            b'|' => self.element_done(2 * self.number + 1),
            _ => self.element_done(self.number),
        }
    }

    /// One element is complete and `children` more are to come; returns 1 if that completes the reply.
    fn element_done(&mut self, children: u64) -> u64 {
        self.open = self.open - 1 + children;
        if self.open > 0 {
            return 0;
        }
        self.open = 1;
        let is_push = std::mem::take(&mut self.is_push);
        self.pushes += u64::from(is_push);
        u64::from(!is_push)
    }
}
