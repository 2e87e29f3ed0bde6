//! DEBUG DIGEST and DIGEST-VALUE: signatures of data, the same as Redis's for the same data.
//!
//! Redis's scheme (`debug.c`): a digest takes in an ordered piece of data by `SHA1(digest xor SHA1(data))`, an
//! unordered one by `digest xor SHA1(data)`. A value is its type and its contents, and the fact that it
//! expires; a key-value pair is the key, then the value; a data set takes in each database's number, then its
//! pairs in any order.

use super::with_key;
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::set::value::SetRef;
use crate::command::sorted_set::value::SortedSetRef;
use crate::keyspace::Entry;
use crate::keyspace::view::Mode;
use crate::types::number;
use sha1::{Digest as _, Sha1};

/// The number of the type "string" in Redis.
const TYPE_STRING: u32 = 0;
/// The number of the type "set".
const TYPE_SET: u32 = 2;
/// The number of the type "zset".
const TYPE_SORTED_SET: u32 = 3;

#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Digest([u8; 20]);

impl Digest {
    /// Takes in a piece of data whose place does not matter.
    fn add(&mut self, data: &[u8]) {
        let hash: [u8; 20] = Sha1::digest(data).into();
        self.0.iter_mut().zip(hash).for_each(|(byte, other)| *byte ^= other);
    }

    /// Takes in the next piece of data.
    fn mix(&mut self, data: &[u8]) {
        self.add(data);
        self.0 = Sha1::digest(self.0).into();
    }

    fn mix_value(&mut self, entry: &Entry) {
        if let Some(value) = entry.string() {
            self.mix(&TYPE_STRING.to_be_bytes());
            value.with(|bytes| self.mix(bytes));
        }
        if let Ok(set) = SetRef::of(entry) {
            self.mix(&TYPE_SET.to_be_bytes());
            set.each(|member| member.with(|bytes| self.add(bytes)));
        }
        if let Ok(set) = SortedSetRef::of(entry) {
            self.mix(&TYPE_SORTED_SET.to_be_bytes());
            let mut text = Vec::new();
            for (member, score) in set.all() {
                text.clear();
                number::write_f64_17(&mut text, score.get());
                let mut pair = Digest::default();
                member.with(|member| pair.mix(member));
                pair.mix(&text);
                self.add(&pair.0);
            }
        }
        if entry.deadline().is_some() {
            self.add(b"!!expire!!");
        }
    }

    fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

pub fn dataset(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let keyspace = call.keys.keyspace();
    let databases = keyspace.databases();
    let mut view = keyspace.lock_databases(call.session.db, call.keys.now_ms, 0..databases, Mode::Shared);
    let mut digest = Digest::default();
    for db in 0..databases {
        let mut numbered = false;
        view.each_entry(db, |entry| {
            if !std::mem::replace(&mut numbered, true) {
                digest.mix(&(db as u32).to_be_bytes());
            }
            let mut pair = Digest::default();
            pair.mix(entry.key());
            pair.mix_value(entry);
            digest.add(&pair.0);
        });
    }
    view.finish();
    call.out.simple(&digest.hex());
    Ok(())
}

pub fn values(call: &mut Call<'_, '_>) -> Result<(), Error> {
    call.out.array(call.args.left());
    for key in call.args.rest() {
        let digest = with_key(call, key, Mode::Shared, |view| {
            let mut digest = Digest::default();
            if let Some(entry) = view.peek(key) {
                digest.mix_value(entry);
            }
            digest
        });
        call.out.simple(&digest.hex());
    }
    Ok(())
}
