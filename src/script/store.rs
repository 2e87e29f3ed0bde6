//! The scripts that all workers know, by the SHA1 of their text.
//!
//! A script that came with EVAL is forgotten when many others have been used since; one that was loaded stays. What
//! a worker has compiled is its own matter: it asks here once for each script, and looks at [`Scripts::generation`]
//! to learn that all were forgotten.

use super::flags::{self, FunctionFlags};
use super::proof::{self, FindPlaces};
use bytes::Bytes;
use parking_lot::RwLock;
use sha1::{Digest as _, Sha1};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Scripts of EVAL that are remembered (Redis's figure).
const MAX_EVAL_SCRIPTS: usize = 500;

/// Memory of a script beside its text, in the table: an estimate, bytes.
const SCRIPT_OVERHEAD_BYTES: usize = 160;

/// The number of the last use of a script that was not used yet.
const NEVER: u64 = u64::MAX;

/// Length of a SHA1 in hexadecimal digits.
pub const SHA1_DIGITS: usize = 40;

/// A SHA1.
pub type Digest = [u8; 20];

/// A script that was compiled at least once.
pub struct Script {
    pub digest: Digest,
    /// The SHA1 in hexadecimal digits: the name in error messages.
    pub name: String,
    pub body: Bytes,
    /// Where the code begins.
    pub code_at: usize,
    /// What it says of itself; `None` without a first line that does.
    pub flags: Option<FunctionFlags>,
    /// Its text shows that it touches no keys but those that it declares.
    pub keeps_to_declared: bool,
    /// It was found to touch others, or to write while that is not known of it.
    pub wanders: AtomicBool,
    /// SCRIPT LOAD: it stays.
    is_loaded: AtomicBool,
    /// The number of its last use.
    used: AtomicU64,
    forgotten: AtomicBool,
}

impl Script {
    /// Whether it is not to be found any more.
    pub fn is_forgotten(&self) -> bool {
        self.forgotten.load(Ordering::Relaxed)
    }

    /// What Lua is to compile.
    pub fn code(&self) -> &[u8] {
        &self.body[self.code_at..]
    }
}

/// The SHA1 of a text.
pub fn digest(body: &[u8]) -> Digest {
    Sha1::digest(body).into()
}

/// Reads hexadecimal digits.
pub fn parse_digest(text: &[u8]) -> Option<Digest> {
    if text.len() != SHA1_DIGITS {
        return None;
    }
    let mut digest = [0; 20];
    for (byte, pair) in digest.iter_mut().zip(text.chunks_exact(2)) {
        let digit = |at: usize| (pair[at] as char).to_digit(16);
        *byte = (digit(0)? << 4 | digit(1)?) as u8;
    }
    Some(digest)
}

/// See the module's head.
#[derive(Default)]
pub struct Scripts {
    known: RwLock<HashMap<Digest, Arc<Script>>>,
    generation: AtomicU64,
    /// Counts changes of the script that was used last.
    uses: AtomicU64,
    bytes: AtomicUsize,
    evicted: AtomicU64,
}

impl Scripts {
    /// Changes when all scripts are forgotten.
    #[inline]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub fn find(&self, digest: &Digest) -> Option<Arc<Script>> {
        self.known.read().get(digest).cloned()
    }

    /// Makes a script of a text, which is not known to the others yet. `places` finds the keys of commands.
    ///
    /// # Errors
    /// What is wrong with its first line.
    pub fn prepare(&self, body: &[u8], places: FindPlaces<'_>) -> Result<Script, Vec<u8>> {
        let (flags, code_at) = flags::of_script(body)?;
        let digest = digest(body);
        Ok(Script {
            digest,
            name: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            body: Bytes::copy_from_slice(body),
            code_at,
            flags,
            keeps_to_declared: proof::keeps_to_declared(&body[code_at..], places),
            wanders: AtomicBool::new(false),
            is_loaded: AtomicBool::new(false),
            used: AtomicU64::new(NEVER),
            forgotten: AtomicBool::new(false),
        })
    }

    /// Lets all workers know a script, and keeps it if it was `loaded`. If another worker was faster, the script is
    /// its.
    pub fn add(&self, script: Script, loaded: bool) -> Arc<Script> {
        let mut known = self.known.write();
        let script = match known.get(&script.digest) {
            Some(script) => script.clone(),
            None => {
                if !loaded {
                    self.make_room(&mut known);
                }
                self.bytes.fetch_add(script.body.len() + SCRIPT_OVERHEAD_BYTES, Ordering::Relaxed);
                let script = Arc::new(script);
                known.insert(script.digest, script.clone());
                script
            }
        };
        if loaded {
            script.is_loaded.store(true, Ordering::Relaxed);
        }
        script
    }

    fn make_room(&self, known: &mut HashMap<Digest, Arc<Script>>) {
        let is_loaded = |script: &Script| script.is_loaded.load(Ordering::Relaxed);
        while known.values().filter(|script| !is_loaded(script)).count() >= MAX_EVAL_SCRIPTS {
            let of_eval = known.values().filter(|script| !is_loaded(script));
            let Some(oldest) = of_eval.min_by_key(|script| script.used.load(Ordering::Relaxed)) else {
                return;
            };
            let digest = oldest.digest;
            if let Some(script) = known.remove(&digest) {
                script.forgotten.store(true, Ordering::Relaxed);
                self.bytes.fetch_sub(script.body.len() + SCRIPT_OVERHEAD_BYTES, Ordering::Relaxed);
            }
            self.evicted.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Notes that a script was used, if it may have to make room. Costs nothing but a look while it is always the same
    /// one.
    #[inline]
    pub fn touch(&self, script: &Script) {
        if script.is_loaded.load(Ordering::Relaxed) {
            return;
        }
        if script.used.load(Ordering::Relaxed) != self.uses.load(Ordering::Relaxed) {
            let now = self.uses.fetch_add(1, Ordering::Relaxed) + 1;
            script.used.store(now, Ordering::Relaxed);
        }
    }

    /// Forgets all.
    pub fn flush(&self) {
        let mut known = self.known.write();
        known.clear();
        self.bytes.store(0, Ordering::Relaxed);
        self.generation.fetch_add(1, Ordering::Release);
    }

    pub fn len(&self) -> usize {
        self.known.read().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory of the texts and of what is known of them.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Scripts of EVAL that had to make room for others.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// CONFIG RESETSTAT.
    pub fn reset_evicted(&self) {
        self.evicted.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(scripts: &Scripts, body: &str, loaded: bool) -> Arc<Script> {
        let script = scripts.add(scripts.prepare(body.as_bytes(), &|_, _| None).unwrap(), loaded);
        scripts.touch(&script);
        script
    }

    #[test]
    fn the_least_recently_used_script_of_eval_makes_room() {
        let scripts = Scripts::default();
        let loaded = add(&scripts, "return 'loaded'", true);
        let first = add(&scripts, "return 0", false);
        let second = add(&scripts, "return 1", false);
        for n in 2..MAX_EVAL_SCRIPTS {
            add(&scripts, &format!("return {n}"), false);
        }
        scripts.touch(&first);
        add(&scripts, "return 'one more'", false);
        assert!(second.is_forgotten() && !first.is_forgotten() && !loaded.is_forgotten());
        assert!(scripts.find(&second.digest).is_none() && scripts.find(&loaded.digest).is_some());
        assert_eq!((scripts.evicted(), scripts.len()), (1, MAX_EVAL_SCRIPTS + 1));
    }

    #[test]
    fn digests() {
        let digest = digest(b"return 1");
        let text = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";
        assert_eq!(parse_digest(text.as_bytes()), Some(digest));
        assert_eq!(parse_digest(text.to_uppercase().as_bytes()), Some(digest));
        assert_eq!(parse_digest(b"e0"), None);
        assert_eq!(parse_digest(&[b'g'; 40]), None);
    }
}
