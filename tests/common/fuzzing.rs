//! The fuzzer: feeds a function with mutations of examples, for a moment in each run of the tests, or for as long as
//! `NUTHATCH_FUZZ_SECONDS` or `NUTHATCH_FUZZ_RUNS` say, per target. `NUTHATCH_FUZZ_SEED` chooses other inputs.
//!
//! An input whose outcome is of a new kind joins the examples, which leads deeper into a format than chance alone
//! would. A failure shows the input.

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

const DEFAULT_SECONDS: u64 = 2;
/// Longer inputs find little and cost much.
pub const MAX_INPUT_BYTES: usize = 4096;
/// Examples beyond these replace others.
const MAX_EXAMPLES: usize = 2000;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Feeds `target` with mutations of `examples`, into which pieces of `dictionary` are woven. What it returns
/// tells kinds of outcomes apart.
pub fn fuzz<K: Hash>(
    examples: &[&[u8]],
    dictionary: &[&[u8]],
    mut target: impl FnMut(&[u8], &mut SmallRng) -> K,
) {
    let wanted_runs = setting("NUTHATCH_FUZZ_RUNS");
    let seconds = setting("NUTHATCH_FUZZ_SECONDS").unwrap_or(DEFAULT_SECONDS);
    let mut rng = SmallRng::seed_from_u64(setting("NUTHATCH_FUZZ_SEED").unwrap_or(1));
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut examples: Vec<Vec<u8>> = examples.iter().map(|example| example.to_vec()).collect();
    let mut kinds = HashSet::new();
    let mut next = 0;
    let mut runs = 0_u64;
    while wanted_runs.map_or_else(|| Instant::now() < end, |wanted| runs < wanted) {
        let mut input = match examples.get(next) {
            Some(example) => example.clone(),
            None => mutated(&examples, dictionary, &mut rng),
        };
        next += 1;
        input.truncate(MAX_INPUT_BYTES);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let mut hasher = DefaultHasher::new();
            target(&input, &mut rng).hash(&mut hasher);
            hasher.finish()
        }));
        match outcome {
            Ok(kind) if kinds.insert(kind) && next > examples.len() => {
                if examples.len() < MAX_EXAMPLES {
                    examples.push(input);
                    next = examples.len();
                } else {
                    let at = rng.random_range(0..examples.len());
                    examples[at] = input;
                }
            }
            Ok(_) => {}
            Err(panic) => {
                eprintln!("input {runs}: b\"{}\"", input.escape_ascii());
                resume_unwind(panic);
            }
        }
        runs += 1;
    }
    println!("{runs} inputs, {} kinds of outcomes", kinds.len());
    assert!(runs > 100, "hardly anything was tried");
}

fn mutated(examples: &[Vec<u8>], dictionary: &[&[u8]], rng: &mut SmallRng) -> Vec<u8> {
    let mut input = examples.choose(rng).cloned().unwrap_or_default();
    for _ in 0..1 << rng.random_range(0..4) {
        let at = rng.random_range(0..=input.len());
        let some = at..(at + rng.random_range(0..8)).min(input.len());
        match rng.random_range(0..9) {
            0 if at < input.len() => input[at] ^= 1 << rng.random_range(0..8),
            1 if at < input.len() => input[at] = rng.random(),
            2 => input.insert(at, rng.random()),
            3 => drop(input.drain(some)),
            4 => {
                let copy = input[some].to_vec();
                let to = rng.random_range(0..=input.len());
                drop(input.splice(to..to, copy));
            }
            5 => input.truncate(at),
            6 => {
                let other = examples.choose(rng).map_or(&[][..], Vec::as_slice);
                let from = rng.random_range(0..=other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            _ => {
                let piece = dictionary.choose(rng).copied().unwrap_or_default();
                // Over what was there, or between.
                let over = if rng.random() { at..at } else { at..(at + piece.len()).min(input.len()) };
                drop(input.splice(over, piece.iter().copied()));
            }
        }
    }
    input
}

/// Bytes that `f` allocates in all.
pub fn allocated_bytes(f: impl FnOnce()) -> u64 {
    let counter = tikv_jemalloc_ctl::thread::allocatedp::read().expect("jemalloc counts");
    let before = counter.get();
    f();
    counter.get() - before
}
