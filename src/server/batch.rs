//! A batch: the requests that were found in what a connection has received, prepared together.
//!
//! Nearly all the time of a random request is waiting for memory. So the keys of up to [`MAX_REQUESTS`]
//! requests are hashed and their table buckets asked for while the next request is scanned, then their
//! entries, for large collections also what these lead to, and only then the first request runs.

use crate::command::dispatch::{self, Following, Resolved};
use crate::command::reach::Reach;
use crate::command::scripting;
use crate::command::spec::Scope;
use crate::command::table::Entry;
use crate::keyspace::hash::KeyHash;
use crate::keyspace::shard::Shards;
use crate::keyspace::view::{Hashed, MAX_FETCHED_AHEAD};
use crate::resp::scan::{Found, Limits, Request, Scanner, Span};
use crate::state::Server;
use crate::types::prefetch::{Step, Target};
use bytes::Bytes;
use smallvec::SmallVec;
use std::ops::Range;

/// Requests that are prepared together: enough to hide the latency of memory, few enough that what was
/// fetched first is still in the cache when it is needed.
const MAX_REQUESTS: usize = 64;

/// One prepared request.
pub struct Prepared {
    spans: Range<usize>,
    keys: Range<usize>,
    resolved: Resolved,
    following: Following,
    /// Where the request ends in the buffer.
    end: usize,
}

/// Prepared requests, and the spans of one that is not complete.
#[derive(Default)]
pub struct Batch {
    requests: Vec<Prepared>,
    /// Of all prepared requests in turn, then of the incomplete one.
    spans: Vec<Span>,
    keys: Vec<Hashed>,
    /// How many of the keys were fetched in advance.
    prefetched: usize,
}

/// What of a large collection a command uses.
#[inline]
fn reach(resolved: Resolved) -> Reach {
    let Resolved::Command(entry) = resolved else { return Reach::Nothing };
    entry.reach
}

/// Whether a request runs a script that is known to touch keys that it does not declare.
#[inline]
fn wanders(server: &Server, resolved: Resolved, request: Request<'_>) -> bool {
    let Resolved::Command(entry) = resolved else { return false };
    matches!(entry.spec.scope, Scope::Script) && scripting::may_wander(server, entry, request)
}

impl Batch {
    /// Empties the batch. `partial` are the spans of a request that began before.
    pub fn begin(&mut self, partial: &[Span]) {
        self.requests.clear();
        self.keys.clear();
        self.spans.clear();
        self.spans.extend_from_slice(partial);
    }

    /// Finds and prepares up to `limit` requests. Returns how the scan ended: [`Found::Request`] if the batch
    /// is full.
    pub fn fill(
        &mut self,
        server: &Server,
        db: usize,
        scanner: &mut Scanner,
        buf: &[u8],
        large: &mut Vec<Bytes>,
        limits: Limits,
    ) -> Found {
        let mut first_span = 0;
        let max_requests = if limits.authenticated { MAX_REQUESTS } else { 1 };
        let mut found = Found::Request;
        // Pipelines repeat commands: the name that was looked up last, and the record found.
        let mut last: Option<(&[u8], &'static Entry)> = None;
        // Requests for one hot key are often the same to the byte; where two were, the next one probably is, too.
        let mut same_bytes: Option<usize> = None;
        let mut has_collections = false;
        let mut wandered = false;
        while self.requests.len() < max_requests {
            if let Some(bytes) = same_bytes {
                if self.repeat(buf, bytes) {
                    scanner.skip(bytes);
                    first_span = self.spans.len();
                    continue;
                }
                same_bytes = None;
            }
            let start = scanner.position();
            found = scanner.scan(buf, limits, &mut self.spans, large);
            if found != Found::Request {
                break;
            }
            let request = Request::new(buf, large, &self.spans[first_span..]);
            let name = match self.spans.get(first_span) {
                Some(&Span::Buffered { start, len }) => Some(&buf[start as usize..][..len as usize]),
                _ => None,
            };
            let resolved = match last {
                Some((last_name, entry)) if name == Some(last_name) => Resolved::Command(entry),
                _ => dispatch::resolve(request),
            };
            if let (Some(name), Resolved::Command(entry)) = (name, resolved)
                && entry.parent.is_none()
                && entry.subcommands.is_empty()
            {
                last = Some((name, entry));
            }
            has_collections |= reach(resolved) != Reach::Nothing;
            let first_key = self.keys.len();
            dispatch::hash_keys(server, resolved, request, &mut self.keys);
            if let (Some(before), [.., key_before, key]) = (self.requests.last_mut(), &self.keys[..])
                && key_before.hash.shard == key.hash.shard
                && (before.keys.len(), before.keys.end) == (1, first_key)
                && self.keys.len() == first_key + 1
                && let (Resolved::Command(a), Resolved::Command(b)) = (before.resolved, resolved)
            {
                if a.first_mode() == b.first_mode() {
                    before.following = Following::SameLock;
                }
                let bytes = scanner.position() - start;
                let alike = std::ptr::eq(a, b) && key_before.hash == key.hash && before.end == start;
                if alike && self.spans[first_span..].iter().all(|span| matches!(span, Span::Buffered { .. }))
                {
                    same_bytes = Some(bytes);
                }
            }
            // Scripts that lock as they go use on what the one before has locked.
            let wanders = wanders(server, resolved, request);
            if let Some(before) = self.requests.last_mut().filter(|_| wandered && wanders) {
                before.following = Following::SameLock;
            }
            wandered = wanders;
            self.requests.push(Prepared {
                following: Following::Anything,
                spans: first_span..self.spans.len(),
                keys: first_key..self.keys.len(),
                resolved,
                end: scanner.position(),
            });
            first_span = self.spans.len();
        }
        self.prefetched = 0;
        if self.requests.len() > 1 || self.keys.len() > 1 {
            let shards = server.keyspace.shards(db);
            let fetched = &self.keys[..self.keys.len().min(MAX_FETCHED_AHEAD)];
            // A key that was fetched just now, as in a run of requests for one hot key, is not fetched again: to
            // fetch takes the lock of the shard.
            let repeats = |at: usize| at > 0 && fetched[at].hash == fetched[at - 1].hash;
            for (at, key) in fetched.iter().enumerate() {
                if !repeats(at) {
                    shards.prefetch_bucket(key.hash);
                    self.prefetched += 1;
                }
            }
            for (at, key) in fetched.iter().enumerate() {
                if !repeats(at) {
                    shards.prefetch_entry(key.hash);
                }
            }
            if has_collections {
                self.prefetch_elements(shards, buf, large);
            }
        }
        found
    }

    /// Prepares the next request if it repeats the last one, which has `bytes` bytes, all of them in the buffer, and
    /// one key.
    #[inline]
    fn repeat(&mut self, buf: &[u8], bytes: usize) -> bool {
        let (Some(last), Some(&key)) = (self.requests.last_mut(), self.keys.last()) else { return false };
        let end = last.end + bytes;
        if end > buf.len() || buf[last.end - bytes..last.end] != buf[last.end..end] {
            return false;
        }
        last.following = Following::SameRequest;
        let Prepared { ref spans, resolved, .. } = *last;
        let spans = spans.clone();
        for at in spans.clone() {
            if let Span::Buffered { start, len } = self.spans[at] {
                self.spans.push(Span::Buffered { start: start + bytes as u32, len });
            }
        }
        self.keys.push(key.repeated(bytes));
        let (spans, keys) = (spans.end..self.spans.len(), self.keys.len() - 1..self.keys.len());
        self.requests.push(Prepared { following: Following::Anything, spans, keys, resolved, end });
        true
    }

    /// Asks the processor for the large collections that requests name, then step by step for what they want of them.
    fn prefetch_elements(&self, shards: &Shards, buf: &[u8], large: &[Bytes]) {
        let mut wanted: SmallVec<[(KeyHash, Target<'_>); MAX_REQUESTS]> = SmallVec::new();
        let mut before = None;
        for prepared in self.requests.iter().filter(|prepared| prepared.keys.len() == 1) {
            let Resolved::Command(Entry { single_key: Some(key_at), reach, .. }) = prepared.resolved else {
                continue;
            };
            let request = Request::new(buf, large, &self.spans[prepared.spans.clone()]);
            let Some(target) = reach.target(request, *key_at) else { continue };
            let hash = self.keys[prepared.keys.start].hash;
            let is_large = match before {
                Some((other, is_large)) if other == hash => is_large,
                _ => shards.prefetch_object(hash),
            };
            before = Some((hash, is_large));
            // The first one of a collection need not be fetched again.
            let is_new = target != Target::First || wanted.last() != Some(&(hash, target));
            if is_large && target != Target::Any && is_new {
                wanted.push((hash, target));
            }
        }
        for step in Step::ALL {
            if wanted.iter().all(|(_, target)| !target.takes(step)) {
                break;
            }
            // Those of one collection together, since each look at it takes the lock of its shard.
            for same in wanted.chunk_by(|(a, _), (b, _)| a == b) {
                let targets = same.iter().map(|(_, target)| *target).filter(|target| target.takes(step));
                shards.prefetch_elements(same[0].0, targets, step);
            }
        }
    }

    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// How many keys were fetched from memory in advance.
    pub fn prefetched_keys(&self) -> usize {
        self.prefetched
    }

    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// What is known of the request after number `index`.
    pub fn following(&self, index: usize) -> Following {
        self.requests[index].following
    }

    /// Where request number `index` ends in the buffer.
    pub fn end(&self, index: usize) -> usize {
        self.requests[index].end
    }

    /// The prepared request number `index`, its record, its hashed keys.
    #[inline]
    pub fn get<'a>(
        &'a self,
        index: usize,
        buf: &'a [u8],
        large: &'a [Bytes],
    ) -> (Request<'a>, Resolved, &'a [Hashed]) {
        let prepared = &self.requests[index];
        let request = Request::new(buf, large, &self.spans[prepared.spans.clone()]);
        (request, prepared.resolved, &self.keys[prepared.keys.clone()])
    }

    /// The spans of the request that is not complete.
    pub fn partial(&self) -> &[Span] {
        let complete = self.requests.last().map_or(0, |last| last.spans.end);
        &self.spans[complete..]
    }
}
