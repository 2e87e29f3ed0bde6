//! HyperLogLog: how many different elements were seen, to within 0.81% (one standard error), in 12 KB or less.
//!
//! Flajolet et al., "HyperLogLog: the analysis of a near-optimal cardinality estimation algorithm" (2007), with
//! 64-bit hashes, 2^14 registers and the estimator of Ertl, "New cardinality estimation algorithms for HyperLogLog
//! sketches" (arXiv:1702.01284), which needs neither tables nor a correction for small numbers. An element's hash
//! chooses a register by its lowest 14 bits; the *rank* of the rest is the position of its lowest one, counted from
//! 1; a register holds the highest rank that it was given.
//!
//! A sketch is a string, and its bytes are a file format: Redis's, which clients read with GET, move to other
//! servers and write back. So the same additions in the same order make the same bytes here as there, and a string
//! that anybody has written may claim to be a sketch: whatever the bytes are, nothing here panics or grows
//! without bound, and a function that meets what cannot be answers [`Corrupt`].
//!
//! ```text
//! offset  0       4           5          8                    16
//!         ┌───────┬───────────┬──────────┬────────────────────┬───────────
//!         │ HYLL  │ encoding  │ not used │ cardinality (LE),  │ registers
//!         │       │ 0 or 1    │          │ top bit: is stale  │
//!         └───────┴───────────┴──────────┴────────────────────┴───────────
//! ```
//!
//! *Dense* (0): registers of six bits each, packed from the lowest bit on, 12,288 bytes. *Sparse* (1): runs of equal
//! registers, in order, that cover all of them; it is what a sketch begins as:
//!
//! ```text
//! 00llllll            ZERO   l + 1 registers (1 to 64) are 0
//! 01llllll llllllll   XZERO  l + 1 registers (1 to 16384) are 0, the high bits first
//! 1vvvvvll            VAL    l + 1 registers (1 to 4) are v + 1 (1 to 32)
//! ```
//!
//! Raising a register splits the run it is in, and then joins equal neighbours around it. A sketch becomes dense when
//! a rank is too high for VAL, or when a split would make it longer than the limit (`hll-sparse-max-bytes`).

use super::wide;
use std::fmt;
use std::ops::Range;

const MAGIC: &[u8; 4] = b"HYLL";
const ENCODING_AT: usize = 4;
const CARDINALITY: Range<usize> = 8..16;
const HEADER_BYTES: usize = 16;
/// In the last byte of the cardinality: it is not that of the registers any more.
const STALE: u8 = 0x80;

const REGISTER_BITS: usize = 14;
/// The number of registers.
pub const REGISTERS: usize = 1 << REGISTER_BITS;
/// The bits of a hash that make the rank.
const RANK_BITS: usize = 64 - REGISTER_BITS;
/// Registers are six bits wide.
const MAX_REGISTER: u8 = 63;
/// The length of every dense sketch.
const DENSE_BYTES: usize = HEADER_BYTES + REGISTERS * 6 / 8;

/// The highest rank that a sparse sketch can hold.
const MAX_SPARSE_RANK: u8 = 32;
const MAX_VAL_RUN: usize = 4;
const MAX_ZERO_RUN: usize = 64;
/// Runs that are looked at for neighbours to join, from the one before a changed register on.
const JOIN_RUNS: usize = 5;

/// The seed of the hash in every Redis: sketches would not be compatible with another one.
const HASH_SEED: u64 = 0xadc8_3b19;

/// The bytes pass for a sketch at first sight, but are none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Corrupt;

/// How the registers are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Encoding {
    Dense,
    Sparse,
}

/// How the registers of a string are kept; `None` if it is no sketch: too short, another magic or encoding, or
/// not of the one length that a dense one has.
pub fn encoding(bytes: &[u8]) -> Option<Encoding> {
    if bytes.len() < HEADER_BYTES || !bytes.starts_with(MAGIC) {
        return None;
    }
    match bytes[ENCODING_AT] {
        0 if bytes.len() == DENSE_BYTES => Some(Encoding::Dense),
        1 => Some(Encoding::Sparse),
        _ => None,
    }
}

/// A sketch that has seen nothing: sparse, one run of zeros.
pub fn empty() -> Vec<u8> {
    let mut bytes = vec![0; HEADER_BYTES];
    bytes[..MAGIC.len()].copy_from_slice(MAGIC);
    bytes[ENCODING_AT] = 1;
    push_run(&mut bytes, 0, REGISTERS);
    bytes
}

/// The cardinality that was noted, unless registers have changed since. `bytes` is a sketch.
pub fn noted_cardinality(bytes: &[u8]) -> Option<u64> {
    let cardinality = bytes[CARDINALITY].try_into().map(u64::from_le_bytes).expect("eight bytes");
    (cardinality >> 63 == 0).then_some(cardinality)
}

/// Notes the cardinality of a sketch.
pub fn note_cardinality(bytes: &mut [u8], cardinality: u64) {
    bytes[CARDINALITY].copy_from_slice(&cardinality.to_le_bytes());
}

/// States that a noted cardinality does not hold any more.
pub fn mark_stale(bytes: &mut [u8]) {
    bytes[CARDINALITY.end - 1] |= STALE;
}

/// MurmurHash64A by Austin Appleby, which is in the public domain.
fn murmur(data: &[u8], seed: u64) -> u64 {
    const M: u64 = 0xc6a4_a793_5bd1_e995;
    const R: u32 = 47;
    let mut hash = seed ^ (data.len() as u64).wrapping_mul(M);
    let words = data.chunks_exact(8);
    let rest = words.remainder();
    for word in words {
        let mut word = u64::from_le_bytes(word.try_into().expect("eight bytes")).wrapping_mul(M);
        word ^= word >> R;
        hash = (hash ^ word.wrapping_mul(M)).wrapping_mul(M);
    }
    if !rest.is_empty() {
        let word = rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        hash = (hash ^ word).wrapping_mul(M);
    }
    hash ^= hash >> R;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> R
}

/// The register of an element, and its rank there.
pub fn place(element: &[u8]) -> (usize, u8) {
    let hash = murmur(element, HASH_SEED);
    let rest = hash >> REGISTER_BITS | 1 << RANK_BITS;
    (hash as usize % REGISTERS, rest.trailing_zeros() as u8 + 1)
}

/// Raises a register to a rank, unless it is as high already. Says whether the sketch changed; it may be dense
/// then. `max_sparse_bytes` is how long a sparse sketch may become, its header included.
///
/// # Errors
/// A sparse sketch does not cover its registers, as far as that was noticed. It is not changed.
///
/// # Panics
/// If the bytes are no sketch ([`encoding`]).
pub fn raise(
    bytes: &mut Vec<u8>,
    register: usize,
    rank: u8,
    max_sparse_bytes: usize,
) -> Result<bool, Corrupt> {
    match encoding(bytes).expect("a sketch") {
        Encoding::Dense => Ok(raise_dense(bytes, register, rank)),
        Encoding::Sparse => raise_sparse(bytes, register, rank, max_sparse_bytes),
    }
}

/// [`raise`] for a sketch that is known to be dense.
pub fn raise_dense(bytes: &mut [u8], register: usize, rank: u8) -> bool {
    let registers = &mut bytes[HEADER_BYTES..];
    if dense_register(registers, register) >= rank {
        return false;
    }
    set_dense_register(registers, register, rank);
    true
}

/// The first byte of a register in the dense form, and its lowest bit there.
fn dense_place(register: usize) -> (usize, usize) {
    (register * 6 / 8, register * 6 % 8)
}

fn dense_register(registers: &[u8], register: usize) -> u8 {
    let (at, shift) = dense_place(register);
    let next = registers.get(at + 1).copied().unwrap_or(0);
    (u16::from_le_bytes([registers[at], next]) >> shift) as u8 & MAX_REGISTER
}

fn set_dense_register(registers: &mut [u8], register: usize, value: u8) {
    let (at, shift) = dense_place(register);
    let (mask, value) = (u16::from(MAX_REGISTER) << shift, u16::from(value) << shift);
    let ([mask, next_mask], [value, next_value]) = (mask.to_le_bytes(), value.to_le_bytes());
    registers[at] = registers[at] & !mask | value;
    // The last register does not reach into another byte.
    if next_mask != 0 {
        registers[at + 1] = registers[at + 1] & !next_mask | next_value;
    }
}

/// A run of the sparse form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Run {
    /// Of each of its registers.
    value: u8,
    registers: usize,
    /// The length of the opcode.
    bytes: usize,
}

/// The run whose opcode is at `at`; `None` behind the end, and for an opcode that is cut off.
fn run_at(bytes: &[u8], at: usize) -> Option<Run> {
    let opcode = *bytes.get(at)?;
    let low = usize::from(opcode & 0x3f);
    Some(match opcode >> 6 {
        0 => Run { value: 0, registers: low + 1, bytes: 1 },
        1 => Run { value: 0, registers: (low << 8 | usize::from(*bytes.get(at + 1)?)) + 1, bytes: 2 },
        _ => Run { value: (opcode >> 2 & 0x1f) + 1, registers: usize::from(opcode & 3) + 1, bytes: 1 },
    })
}

/// The opcode VAL.
fn val(value: u8, registers: usize) -> u8 {
    0x80 | (value - 1) << 2 | (registers - 1) as u8
}

/// Appends the opcode of a run, if it has registers. A run of values has at most [`MAX_VAL_RUN`].
fn push_run(out: &mut Vec<u8>, value: u8, registers: usize) {
    match registers {
        0 => {}
        _ if value > 0 => out.push(val(value, registers)),
        1..=MAX_ZERO_RUN => out.push((registers - 1) as u8),
        _ => out.extend(((registers as u16 - 1) | 0x4000).to_be_bytes()),
    }
}

fn raise_sparse(
    bytes: &mut Vec<u8>,
    register: usize,
    rank: u8,
    max_sparse_bytes: usize,
) -> Result<bool, Corrupt> {
    if rank > MAX_SPARSE_RANK {
        return raise_promoted(bytes, register, rank);
    }
    let (mut at, mut first, mut previous) = (HEADER_BYTES, 0, HEADER_BYTES);
    let run = loop {
        let run = run_at(bytes, at).ok_or(Corrupt)?;
        if register < first + run.registers {
            break run;
        }
        previous = at;
        at += run.bytes;
        first += run.registers;
    };
    if run.value >= rank {
        return Ok(false);
    }
    if run.registers == 1 && run.bytes == 1 {
        bytes[at] = val(rank, 1);
    } else {
        let mut split = Vec::with_capacity(5);
        push_run(&mut split, run.value, register - first);
        push_run(&mut split, rank, 1);
        push_run(&mut split, run.value, first + run.registers - 1 - register);
        if split.len() > run.bytes && bytes.len() + split.len() - run.bytes > max_sparse_bytes {
            return raise_promoted(bytes, register, rank);
        }
        bytes.splice(at..at + run.bytes, split);
    }
    join_runs(bytes, previous);
    mark_stale(bytes);
    Ok(true)
}

/// Raises a register, which has to be lower, of a sketch that becomes dense.
fn raise_promoted(bytes: &mut Vec<u8>, register: usize, rank: u8) -> Result<bool, Corrupt> {
    *bytes = to_dense(bytes)?;
    Ok(raise_dense(bytes, register, rank))
}

/// Joins equal runs of values from `at` on, where one opcode can hold both.
fn join_runs(bytes: &mut Vec<u8>, mut at: usize) {
    for _ in 0..JOIN_RUNS {
        let Some(run) = run_at(bytes, at) else { return };
        let next = run_at(bytes, at + run.bytes);
        match next {
            Some(next)
                if run.value > 0
                    && next.value == run.value
                    && run.registers + next.registers <= MAX_VAL_RUN =>
            {
                bytes[at] = val(run.value, run.registers + next.registers);
                bytes.remove(at + 1);
            }
            _ => at += run.bytes,
        }
    }
}

/// Calls `visit` with the registers and the value of each run of a sparse sketch.
fn each_run(bytes: &[u8], mut visit: impl FnMut(Range<usize>, u8)) -> Result<(), Corrupt> {
    let (mut at, mut first) = (HEADER_BYTES, 0);
    while at < bytes.len() {
        let run = run_at(bytes, at).ok_or(Corrupt)?;
        let end = first + run.registers;
        if end > REGISTERS {
            return Err(Corrupt);
        }
        visit(first..end, run.value);
        at += run.bytes;
        first = end;
    }
    if first == REGISTERS { Ok(()) } else { Err(Corrupt) }
}

/// The sketch in its dense form, with the cardinality that was noted.
///
/// # Errors
/// It is sparse and does not cover its registers.
pub fn to_dense(bytes: &[u8]) -> Result<Vec<u8>, Corrupt> {
    if encoding(bytes) == Some(Encoding::Dense) {
        return Ok(bytes.to_vec());
    }
    let mut dense = vec![0; DENSE_BYTES];
    dense[..HEADER_BYTES].copy_from_slice(&bytes[..HEADER_BYTES]);
    dense[ENCODING_AT] = 0;
    let registers = &mut dense[HEADER_BYTES..];
    each_run(bytes, |run, value| {
        if value > 0 {
            run.for_each(|register| set_dense_register(registers, register, value));
        }
    })?;
    Ok(dense)
}

/// The runs of a sparse sketch in words, as PFDEBUG DECODE shows them, as far as there are any.
pub fn describe(bytes: &[u8]) -> String {
    let mut words = Vec::new();
    let mut at = HEADER_BYTES;
    while let Some(run) = run_at(bytes, at) {
        words.push(match run {
            Run { value: 0, registers, bytes: 1 } => format!("z:{registers}"),
            Run { value: 0, registers, .. } => format!("Z:{registers}"),
            Run { value, registers, .. } => format!("v:{value},{registers}"),
        });
        at += run.bytes;
    }
    if let Some(cut_off) = bytes.get(at) {
        // Redis takes the zero behind its strings for the second byte.
        words.push(format!("Z:{}", (usize::from(cut_off & 0x3f) << 8) + 1));
    }
    words.join(" ")
}

/// Whether there are vectors that make merging faster.
pub fn has_vectors() -> bool {
    wide::has_wide_vectors()
}

/// All registers, a byte each: what sketches are merged in.
pub struct Registers {
    values: Box<[u8; REGISTERS]>,
    vectors: bool,
}

impl Registers {
    /// All zero. `vectors` allows [vectors](has_vectors), which make no difference to results.
    pub fn new(vectors: bool) -> Registers {
        Registers { values: vec![0; REGISTERS].try_into().expect("so many registers"), vectors }
    }

    /// Raises each register to that of a sketch.
    ///
    /// # Errors
    /// The sketch is sparse and does not cover its registers. Some of its registers count nevertheless.
    pub fn merge(&mut self, bytes: &[u8]) -> Result<(), Corrupt> {
        if encoding(bytes) == Some(Encoding::Sparse) {
            return each_run(bytes, |run, value| {
                if value > 0 {
                    self.values[run].iter_mut().for_each(|register| *register = value.max(*register));
                }
            });
        }
        wide::raise_registers(&mut self.values[..], &bytes[HEADER_BYTES..], self.vectors);
        Ok(())
    }

    /// The registers in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = u8> {
        self.values.iter().copied()
    }

    /// Makes these the registers of a dense sketch.
    pub fn write_dense(&self, bytes: &mut [u8]) {
        for (four, packed) in self.values.chunks_exact(4).zip(bytes[HEADER_BYTES..].chunks_exact_mut(3)) {
            let word = four.iter().rev().fold(0, |word: u32, register| word << 6 | u32::from(*register));
            packed.copy_from_slice(&word.to_le_bytes()[..3]);
        }
    }

    /// How many different elements the registers stand for.
    pub fn cardinality(&self) -> u64 {
        // Several at a time: the next of the same value need not wait for the sum of the one before.
        const LANES: usize = 4;
        let mut lanes = [[0; MAX_REGISTER as usize + 1]; LANES];
        for registers in self.values.chunks_exact(LANES) {
            for (lane, register) in lanes.iter_mut().zip(registers) {
                lane[usize::from(register & MAX_REGISTER)] += 1;
            }
        }
        Histogram(std::array::from_fn(|value| lanes.iter().map(|lane| lane[value]).sum())).cardinality()
    }
}

/// How many different elements a sketch has seen.
///
/// # Errors
/// It is sparse and does not cover its registers.
pub fn cardinality(bytes: &[u8]) -> Result<u64, Corrupt> {
    if encoding(bytes) == Some(Encoding::Sparse) {
        let mut histogram = Histogram::default();
        each_run(bytes, |run, value| histogram.0[usize::from(value)] += run.len() as u32)?;
        return Ok(histogram.cardinality());
    }
    let mut registers = Registers::new(true);
    registers.merge(bytes)?;
    Ok(registers.cardinality())
}

/// How many registers have each value.
struct Histogram([u32; MAX_REGISTER as usize + 1]);

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram([0; MAX_REGISTER as usize + 1])
    }
}

impl Histogram {
    /// Ertl's estimate, rounded half away from zero. The steps are in the order in which Redis takes them, since the
    /// last digit depends on it.
    fn cardinality(&self) -> u64 {
        /// 1 / (2 ln 2).
        const ALPHA: f64 = 0.721_347_520_444_481_7;
        let m = REGISTERS as f64;
        let count = |value: usize| f64::from(self.0[value]);
        let mut z = m * tau((m - count(RANK_BITS + 1)) / m);
        for value in (1..=RANK_BITS).rev() {
            z = (z + count(value)) * 0.5;
        }
        z += m * sigma(count(0) / m);
        let estimate = (ALPHA * m * m / z).round();
        // Registers that no additions make can mean infinitely many, of which C's `llroundl` makes this.
        if estimate < i64::MAX as f64 { estimate as u64 } else { i64::MIN as u64 }
    }
}

/// Ertl's σ: x + Σ x^(2^k) · 2^(k-1) over all k from 1 on.
fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        let before = z;
        x *= x;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

/// Ertl's τ: (1 - x - Σ (1 - x^(2^-k))² · 2^-k over all k from 1 on) / 3.
fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        let before = z;
        x = x.sqrt();
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

/// What PFSELFTEST found wrong.
#[derive(Debug)]
pub enum Failure {
    Register { register: usize, expected: u8, found: u8 },
    NotSparse,
    Disagree,
    TooInexact { cardinality: u64, error: u64 },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TESTFAILED ")?;
        match self {
            Failure::Register { register, expected, found } => {
                write!(f, "Register {register} should be {expected} but is {found}")
            }
            Failure::NotSparse => f.write_str("sparse encoding not used"),
            Failure::Disagree => f.write_str("dense/sparse disagree"),
            Failure::TooInexact { cardinality, error } => {
                write!(f, "Too big error. card:{cardinality} abserr:{error}")
            }
        }
    }
}

/// Tests the registers `cycles` times with values from `random`, then the estimates of two sketches, a dense one
/// and one that may be sparse, up to `elements` elements.
///
/// # Errors
/// What went wrong first.
pub fn self_test(
    cycles: usize,
    elements: u64,
    max_sparse_bytes: usize,
    mut random: impl FnMut() -> u64,
) -> Result<(), Failure> {
    let mut dense = to_dense(&empty()).map_err(|Corrupt| Failure::Disagree)?;
    for _ in 0..cycles {
        let mut expected = Registers::new(true);
        for (register, value) in expected.values.iter_mut().enumerate() {
            *value = random() as u8 & MAX_REGISTER;
            set_dense_register(&mut dense[HEADER_BYTES..], register, *value);
        }
        for (register, expected) in expected.iter().enumerate() {
            let found = dense_register(&dense[HEADER_BYTES..], register);
            if found != expected {
                return Err(Failure::Register { register, expected, found });
            }
        }
    }

    dense[HEADER_BYTES..].fill(0);
    let mut either = empty();
    let standard_error = 1.04 / (REGISTERS as f64).sqrt();
    let (seed, mut checkpoint) = (random(), 1);
    for n in 1..=elements {
        let (register, rank) = place(&(n ^ seed).to_le_bytes());
        raise_dense(&mut dense, register, rank);
        raise(&mut either, register, rank, max_sparse_bytes).map_err(|Corrupt| Failure::Disagree)?;
        if n != checkpoint {
            continue;
        }
        if n < max_sparse_bytes as u64 / 2 && encoding(&either) != Some(Encoding::Sparse) {
            return Err(Failure::NotSparse);
        }
        let estimate = cardinality(&dense).map_err(|Corrupt| Failure::Disagree)?;
        if cardinality(&either) != Ok(estimate) {
            return Err(Failure::Disagree);
        }
        let error = estimate.abs_diff(n);
        // Two of ten elements may well share a register.
        let tolerated = if n == 10 { 1 } else { (standard_error * 6.0 * n as f64).ceil() as u64 };
        if error > tolerated {
            return Err(Failure::TooInexact { cardinality: n, error });
        }
        checkpoint *= 10;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{Rng, SeedableRng, rngs::SmallRng};

    const LIMIT: usize = 3000;

    fn add(bytes: &mut Vec<u8>, element: &[u8]) -> bool {
        let (register, rank) = place(element);
        raise(bytes, register, rank, LIMIT).unwrap()
    }

    fn registers(bytes: &[u8]) -> Vec<u8> {
        let mut registers = Registers::new(true);
        registers.merge(bytes).unwrap();
        registers.iter().collect()
    }

    #[test]
    fn a_sketch_begins_with_one_run() {
        let bytes = empty();
        assert_eq!(bytes, b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\0\x7f\xff");
        assert_eq!(describe(&bytes), "Z:16384");
        assert_eq!((noted_cardinality(&bytes), cardinality(&bytes)), (Some(0), Ok(0)));
    }

    #[test]
    fn elements_are_hashed_as_in_redis() {
        let mut bytes = empty();
        for element in [&b""[..], b"a", b"foo", b"hello world", b"exactly16bytes!!"] {
            assert!(add(&mut bytes, element));
        }
        let expected = "Z:2470 v:4,1 Z:3467 v:2,1 Z:1409 v:5,1 Z:2050 v:4,1 Z:3311 v:2,1 Z:3672";
        assert_eq!((describe(&bytes).as_str(), cardinality(&bytes)), (expected, Ok(5)));
    }

    #[test]
    fn runs_split_and_join() {
        let mut bytes = empty();
        for (register, rank, expected) in [
            (100, 3, "Z:100 v:3,1 Z:16283"),
            (101, 3, "Z:100 v:3,2 Z:16282"),
            (99, 3, "Z:99 v:3,3 Z:16282"),
            (100, 2, "Z:99 v:3,3 Z:16282"),
            (100, 5, "Z:99 v:3,1 v:5,1 v:3,1 Z:16282"),
            (100, 32, "Z:99 v:3,1 v:32,1 v:3,1 Z:16282"),
            (0, 1, "v:1,1 Z:98 v:3,1 v:32,1 v:3,1 Z:16282"),
            (16383, 1, "v:1,1 Z:98 v:3,1 v:32,1 v:3,1 Z:16281 v:1,1"),
            (50, 4, "v:1,1 z:49 v:4,1 z:48 v:3,1 v:32,1 v:3,1 Z:16281 v:1,1"),
        ] {
            raise(&mut bytes, register, rank, LIMIT).unwrap();
            assert_eq!(describe(&bytes), expected);
        }
        let before = registers(&bytes);
        assert!(raise(&mut bytes, 7, 33, LIMIT).unwrap());
        assert_eq!(encoding(&bytes), Some(Encoding::Dense));
        let after = registers(&bytes);
        assert_eq!(after[7], 33);
        assert!((0..REGISTERS).all(|register| register == 7 || after[register] == before[register]));
    }

    #[test]
    fn estimates_are_close_in_both_forms() {
        let mut rng = SmallRng::seed_from_u64(5);
        self_test(3, 100_000, LIMIT, || rng.random()).unwrap();
    }

    #[test]
    fn registers_that_nothing_makes_do_no_harm() {
        let mut dense = to_dense(&empty()).unwrap();
        dense[HEADER_BYTES..].fill(0xff);
        assert_eq!(cardinality(&dense), Ok(1 << 63));
        note_cardinality(&mut dense, 1 << 63);
        assert_eq!(noted_cardinality(&dense), None);
    }

    #[test]
    fn what_is_no_sketch() {
        for bytes in [&b""[..], b"HYLL", b"HYLL\x02\0\0\0\0\0\0\0\0\0\0\0", b"XYLL\x01\0\0\0\0\0\0\0\0\0\0\0"]
        {
            assert_eq!(encoding(bytes), None);
        }
        let mut dense = to_dense(&empty()).unwrap();
        dense.push(0);
        assert_eq!(encoding(&dense), None);
    }

    fn all_functions(bytes: &[u8], register: usize, rank: u8) {
        let Some(encoding) = encoding(bytes) else { return };
        let dense = to_dense(bytes);
        let covers = dense.is_ok();
        assert!(covers || encoding == Encoding::Sparse);
        assert_eq!(cardinality(bytes).is_ok(), covers);
        assert_eq!(Registers::new(true).merge(bytes).is_ok(), covers);
        assert!(describe(bytes).len() <= bytes.len() * 10);
        let mut raised = bytes.to_vec();
        if raise(&mut raised, register, rank, LIMIT).is_ok() {
            assert!(raised.len() <= bytes.len().max(DENSE_BYTES) + 3);
        } else {
            assert_eq!(raised, bytes);
        }
        if let Ok(dense) = dense {
            assert_eq!(registers(bytes), registers(&dense));
            assert_eq!(cardinality(bytes), cardinality(&dense));
        }
    }

    fn hostile() -> impl Strategy<Value = Vec<u8>> {
        let opcodes = proptest::collection::vec(any::<u8>(), 0..300);
        let noise = (any::<[u8; 12]>(), opcodes)
            .prop_map(|(header, opcodes)| [MAGIC, &[1][..], &header[1..], &opcodes].concat());
        let damaged = (proptest::collection::vec(any::<u16>(), 0..600), any::<u32>(), any::<u8>()).prop_map(
            |(elements, at, byte)| {
                let mut bytes = empty();
                for element in elements {
                    add(&mut bytes, &element.to_le_bytes());
                }
                let at = at as usize % bytes.len();
                bytes[at] = byte;
                if byte % 3 == 0 {
                    bytes.truncate(at);
                }
                bytes
            },
        );
        prop_oneof![noise, damaged]
    }

    proptest! {
        #[test]
        fn hostile_bytes_do_no_harm(bytes in hostile(), register in 0..REGISTERS, rank in 1..=51_u8) {
            all_functions(&bytes, register, rank);
        }

        #[test]
        fn both_forms_and_plain_registers_agree(
            raises in proptest::collection::vec((0..REGISTERS, 1..=33_u8), 0..1500), near: bool,
        ) {
            let mut expected = vec![0; REGISTERS];
            let (mut bytes, mut dense) = (empty(), to_dense(&empty()).unwrap());
            for (register, rank) in raises {
                // Neighbours of equal value are what runs are made of.
                let (register, rank) = if near { (register % 300, rank % 3 + 1) } else { (register, rank) };
                let changes = expected[register] < rank;
                prop_assert_eq!(raise(&mut bytes, register, rank, LIMIT).unwrap(), changes);
                prop_assert_eq!(raise_dense(&mut dense, register, rank), changes);
                expected[register] = rank.max(expected[register]);
            }
            prop_assert_eq!(&registers(&bytes), &expected);
            prop_assert_eq!(&registers(&dense), &expected);
            prop_assert_eq!(cardinality(&bytes), cardinality(&dense));
            prop_assert!(encoding(&bytes) == Some(Encoding::Dense) || bytes.len() <= LIMIT);
            let mut merged = Registers::new(true);
            merged.merge(&bytes).unwrap();
            let mut written = to_dense(&empty()).unwrap();
            merged.write_dense(&mut written);
            prop_assert_eq!(&written[HEADER_BYTES..], &dense[HEADER_BYTES..]);
            prop_assert_eq!(Ok(merged.cardinality()), cardinality(&dense));
        }
    }
}
