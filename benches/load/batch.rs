//! Prepared requests whose numbers are refreshed in place.
//!
//! A batch is built once: `pipeline` copies of one request in wire format, and the places of the digits in it. Before
//! every sending only those digits are drawn anew. The alternative, megabytes of different requests sent in turn,
//! streams them through the caches that the server needs, and repeats the same few hundred thousand keys, which
//! makes the server's working set smaller than it claims; this way every key of every request is freshly random and
//! the buffers of all connections together stay within the second-level cache.

use crate::digits;

/// Digits of a key number.
const NUMBER_DIGITS: usize = 12;
/// An instant in Unix ms begins with this digit from 2001 to 2033 and has twelve more. It stands in the request for
/// good, because servers refuse integers with zeroes in front.
const INSTANT_PREFIX: &str = "1";
/// The instants that can be written so.
pub const INSTANTS_MS: std::ops::Range<u64> = 1_000_000_000_000..2_000_000_000_000;

/// What a place in the request is filled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Random,
    Sequence,
    Spread,
}

/// One place of digits in the bytes of a batch.
#[derive(Debug, Clone, Copy)]
struct Patch {
    mark: Mark,
    start: u32,
    end: u32,
}

/// Where the numbers of a batch come from. Every thread has its own.
#[derive(Debug)]
pub struct Numbers {
    state: u64,
    keys: u64,
    next: u64,
    spread_from: u64,
    spread_ms: u64,
}

impl Numbers {
    /// `seed` makes the sequences of threads and runs differ.
    pub fn new(seed: u64, keys: u64, spread_from: u64, spread_ms: u64) -> Self {
        Self { state: seed, keys, next: 0, spread_from, spread_ms }
    }

    /// An even random number below `bound`: wyrand (Wang Yi, public domain), one multiplication a step, scaled by a
    /// second one instead of a division.
    fn below(&mut self, bound: u64) -> u64 {
        self.state = self.state.wrapping_add(0xa076_1d64_78bd_642f);
        let product = u128::from(self.state) * u128::from(self.state ^ 0xe703_7ed1_a0b4_28db);
        let random = (product >> 64) as u64 ^ product as u64;
        ((u128::from(random) * u128::from(bound)) >> 64) as u64
    }

    fn draw(&mut self, mark: Mark) -> u64 {
        match mark {
            Mark::Random => self.below(self.keys),
            Mark::Spread => self.spread_from + self.below(self.spread_ms),
            Mark::Sequence => {
                self.next += 1;
                self.next - 1
            }
        }
    }
}

/// The requests that one connection sends at once.
#[derive(Debug, Clone)]
pub struct Batch {
    bytes: Vec<u8>,
    patches: Vec<Patch>,
    request_len: usize,
    replies: usize,
}

/// The word of a template between requests that are always sent together.
const NEXT_REQUEST: &str = ";";

impl Batch {
    /// `pipeline` copies of the request that `template` (see the usage text) describes, or of the requests, if it has
    /// several. Numbers stay below `keys`; digits that this leaves at zero are never touched again.
    pub fn new(template: &str, pipeline: usize, keys: u64, value_size: usize) -> Self {
        let value = "x".repeat(value_size);
        let mut request = Vec::new();
        let mut patches = Vec::new();
        let words: Vec<&str> = template.split_whitespace().collect();
        let requests = words.split(|word| *word == NEXT_REQUEST);
        let replies = requests.clone().count();
        for words in requests {
            request.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
            for word in words {
                let (argument, marks) = expand(&word.replace("__value__", &value), keys);
                request.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
                let base = request.len() as u32;
                patches.extend(marks.iter().map(|patch| patch.moved(base)));
                request.extend_from_slice(argument.as_bytes());
                request.extend_from_slice(b"\r\n");
            }
        }
        let request_len = request.len();
        let all = (0..pipeline)
            .flat_map(|copy| patches.iter().map(move |patch| patch.moved((copy * request_len) as u32)))
            .collect();
        Self { bytes: request.repeat(pipeline), patches: all, request_len, replies }
    }

    /// Draws the numbers of the first `requests` requests anew.
    pub fn refresh(&mut self, requests: usize, numbers: &mut Numbers) {
        let per_request = self.patches.len() / (self.bytes.len() / self.request_len);
        for patch in &self.patches[..requests * per_request] {
            digits::write(
                &mut self.bytes[patch.start as usize..patch.end as usize],
                numbers.draw(patch.mark),
            );
        }
    }

    /// How many replies one copy of the template has.
    pub fn replies(&self) -> usize {
        self.replies
    }

    /// The first `requests` requests in wire format.
    pub fn requests(&self, requests: usize) -> &[u8] {
        &self.bytes[..requests * self.request_len]
    }
}

impl Patch {
    fn moved(self, by: u32) -> Self {
        Self { start: self.start + by, end: self.end + by, ..self }
    }
}

/// Replaces the marks of a word by zeroes and tells which of them are to be filled.
fn expand(word: &str, keys: u64) -> (String, Vec<Patch>) {
    const MARKS: [(&str, Mark); 3] =
        [("__rand__", Mark::Random), ("__seq__", Mark::Sequence), ("__spread__", Mark::Spread)];
    let mut argument = String::new();
    let mut patches = Vec::new();
    let mut rest = word;
    while let Some((position, name, mark)) = MARKS
        .iter()
        .filter_map(|&(name, mark)| rest.find(name).map(|at| (at, name, mark)))
        .min_by_key(|found| found.0)
    {
        argument.push_str(&rest[..position]);
        rest = &rest[position + name.len()..];
        let live = match mark {
            Mark::Random => NUMBER_DIGITS.min(3 * digits::triples_below(keys)),
            Mark::Sequence => NUMBER_DIGITS,
            Mark::Spread => {
                argument.push_str(INSTANT_PREFIX);
                NUMBER_DIGITS
            }
        };
        argument.push_str(&"0".repeat(NUMBER_DIGITS));
        let end = argument.len() as u32;
        patches.push(Patch { mark, start: end - live as u32, end });
    }
    argument.push_str(rest);
    (argument, patches)
}
