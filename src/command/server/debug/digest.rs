//! DEBUG DIGEST and DIGEST-VALUE: signatures of data, the same as Redis's for the same data.
//!
//! Redis's scheme (`debug.c`): a digest takes in an ordered piece of data by `SHA1(digest xor SHA1(data))`, an
//! unordered one by `digest xor SHA1(data)`. A value is its type and its contents, and the fact that it
//! expires; a key-value pair is the key, then the value; a data set takes in each database's number, then its
//! pairs in any order.

use super::with_key;
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::hash::value::HashRef;
use crate::command::list;
use crate::command::set::value::SetRef;
use crate::command::sorted_set::value::SortedSetRef;
use crate::keyspace::view::Mode;
use crate::keyspace::{Entry, Object};
use crate::types::number;
use crate::types::stream::{Id, Stream};
use sha1::{Digest as _, Sha1};

/// The numbers of the types in Redis.
const TYPE_STRING: u32 = 0;
const TYPE_LIST: u32 = 1;
const TYPE_SET: u32 = 2;
const TYPE_SORTED_SET: u32 = 3;
const TYPE_HASH: u32 = 4;
const TYPE_STREAM: u32 = 6;

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

    fn mix_value(&mut self, entry: &Entry, now_ms: i64) {
        if let Some(value) = entry.string() {
            self.mix(&TYPE_STRING.to_be_bytes());
            value.with(|bytes| self.mix(bytes));
        } else if let Ok(list) = list::value::list(entry) {
            self.mix(&TYPE_LIST.to_be_bytes());
            list.each(|element| element.with(|bytes| self.mix(bytes)));
        }
        if let Ok(hash) = HashRef::of(entry, now_ms) {
            self.mix(&TYPE_HASH.to_be_bytes());
            hash.each(|name, value, deadline| {
                let mut field = Digest::default();
                name.with(|name| field.mix(name));
                value.with(|value| field.mix(value));
                if deadline.is_some() {
                    field.add(b"!!hexpire!!");
                }
                self.add(&field.0);
            });
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
        if let Some(Object::Stream(stream)) = entry.object() {
            self.mix_stream(stream);
        }
        if entry.deadline().is_some() {
            self.add(b"!!expire!!");
        }
    }

    fn mix_stream(&mut self, stream: &Stream) {
        self.mix(&TYPE_STREAM.to_be_bytes());
        for entry in stream.entries.range(Id::MIN..=Id::MAX) {
            self.mix(format!("{}.{}", entry.id.ms, entry.id.seq).as_bytes());
            for (name, value) in entry.fields {
                name.with(|bytes| self.mix(bytes));
                value.with(|bytes| self.mix(bytes));
            }
        }
    }

    fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

pub fn dataset(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let (keyspace, now_ms) = (call.keys.keyspace(), call.keys.now_ms);
    let databases = keyspace.databases();
    let mut view = keyspace.lock_databases(call.session.db, now_ms, 0..databases, Mode::Shared);
    let mut digest = Digest::default();
    for db in 0..databases {
        let mut numbered = false;
        view.each_entry(db, |entry| {
            if !std::mem::replace(&mut numbered, true) {
                digest.mix(&(db as u32).to_be_bytes());
            }
            let mut pair = Digest::default();
            pair.mix(entry.key());
            pair.mix_value(entry, now_ms);
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
                digest.mix_value(entry, view.now_ms);
            }
            digest
        });
        call.out.simple(&digest.hex());
    }
    Ok(())
}
