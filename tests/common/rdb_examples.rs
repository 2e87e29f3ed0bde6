//! Values in every encoding that Redis ever wrote, made here byte by byte, each with its contents.

#![allow(dead_code, reason = "not every test program reads values by itself")]

use nuthatch::rdb::Corrupt;
use nuthatch::rdb::listpack;
use nuthatch::rdb::source::{Slice, Source};
use nuthatch::rdb::value::{Sink, kind, read};
use nuthatch::rdb::write::Writer;
use nuthatch::types::number;
use nuthatch::types::packed::Item;
use nuthatch::types::stream::Stream;
use std::collections::{BTreeMap, BTreeSet};

/// A deadline that is far from over, and one that is over, Unix milliseconds.
pub const LATE_MS: i64 = 4_000_000_000_000;
pub const PAST_MS: i64 = 1_000;

/// What is in a value, however it is kept.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Contents {
    #[default]
    Nothing,
    String(Vec<u8>),
    List(Vec<Vec<u8>>),
    Set(BTreeSet<Vec<u8>>),
    Hash(BTreeMap<Vec<u8>, (Vec<u8>, Option<i64>)>),
    /// Scores as their bits; a negative zero is a zero.
    SortedSet(BTreeMap<Vec<u8>, u64>),
    /// As it is written.
    Stream(Vec<u8>),
}

impl Contents {
    /// Reads a value: its kind, and its bytes up to the end.
    pub fn of(bytes: &[u8]) -> Result<Contents, Corrupt> {
        let (mut contents, mut source) = (Contents::default(), Slice::new(bytes));
        let kind = source.byte()?;
        read(kind, &mut source, &mut contents)?;
        if source.is_done() { Ok(contents) } else { Err(source.corrupt("more")) }
    }

    pub fn of_list(items: &[&str]) -> Contents {
        Contents::List(items.iter().map(|item| item.as_bytes().to_vec()).collect())
    }

    pub fn of_set(members: &[&str]) -> Contents {
        Contents::Set(members.iter().map(|member| member.as_bytes().to_vec()).collect())
    }

    pub fn of_hash(fields: &[(&str, &str, Option<i64>)]) -> Contents {
        let field = |(name, value, deadline): &(&str, &str, Option<i64>)| {
            (name.as_bytes().to_vec(), (value.as_bytes().to_vec(), *deadline))
        };
        Contents::Hash(fields.iter().map(field).collect())
    }

    pub fn of_sorted_set(members: &[(&str, f64)]) -> Contents {
        let member = |(name, score): &(&str, f64)| (name.as_bytes().to_vec(), score.to_bits());
        Contents::SortedSet(members.iter().map(member).collect())
    }
}

impl Sink for Contents {
    fn string(&mut self, value: Vec<u8>) {
        *self = Contents::String(value);
    }

    fn item(&mut self, item: &[u8]) {
        if !matches!(self, Contents::List(_)) {
            *self = Contents::List(Vec::new());
        }
        if let Contents::List(items) = self {
            items.push(item.to_vec());
        }
    }

    fn several_blocks(&mut self) {}

    fn member(&mut self, member: &[u8]) -> bool {
        if !matches!(self, Contents::Set(_)) {
            *self = Contents::Set(BTreeSet::new());
        }
        match self {
            Contents::Set(members) => members.insert(member.to_vec()),
            _ => false,
        }
    }

    fn scored(&mut self, member: &[u8], score: f64) -> bool {
        if !matches!(self, Contents::SortedSet(_)) {
            *self = Contents::SortedSet(BTreeMap::new());
        }
        let score = (score + 0.0).to_bits();
        match self {
            Contents::SortedSet(members) => members.insert(member.to_vec(), score).is_none(),
            _ => false,
        }
    }

    fn field(&mut self, field: &[u8], value: &[u8], deadline_ms: Option<i64>) -> bool {
        if !matches!(self, Contents::Hash(_)) {
            *self = Contents::Hash(BTreeMap::new());
        }
        let value = (value.to_vec(), deadline_ms);
        match self {
            Contents::Hash(fields) => fields.insert(field.to_vec(), value).is_none(),
            _ => false,
        }
    }

    fn stream(&mut self, stream: Stream) {
        let mut writer = Writer { out: Vec::new(), compress: false };
        nuthatch::rdb::stream::write_part(&mut writer, &stream, 0, usize::MAX);
        *self = Contents::Stream(writer.out);
    }
}

/// Writes what comes behind a kind.
fn body(kind: u8, compress: bool, write: impl FnOnce(&mut Writer<Vec<u8>>)) -> Vec<u8> {
    let mut writer = Writer { out: vec![kind], compress };
    write(&mut writer);
    writer.out
}

fn blob(kind: u8, blob: &[u8]) -> Vec<u8> {
    body(kind, false, |writer| writer.string(blob))
}

/// A listpack of these texts, integers where they are some.
pub fn listpack(texts: &[&str]) -> Vec<u8> {
    let mut items = Vec::new();
    texts.iter().for_each(|text| Item::of(text.as_bytes()).encode(&mut items));
    listpack::from_items(&items, texts.len())
}

/// A ziplist of these texts, integers where they are some.
pub fn ziplist(texts: &[&str]) -> Vec<u8> {
    let (mut items, mut before, mut last) = (Vec::new(), 0, 0);
    for text in texts {
        last = items.len();
        if before < 254 {
            items.push(before as u8);
        } else {
            items.push(254);
            items.extend_from_slice(&(before as u32).to_le_bytes());
        }
        let integer = number::parse_i64(text.as_bytes());
        match (integer, text.len()) {
            (Some(n @ 0..=12), _) => items.push(0xF1 + n as u8),
            (Some(n @ -0x80..=0x7F), _) => items.extend_from_slice(&[0xFE, n as u8]),
            (Some(n), _) => {
                let (mark, width) = match n {
                    -0x8000..=0x7FFF => (0xC0, 2),
                    -0x80_0000..=0x7F_FFFF => (0xF0, 3),
                    -0x8000_0000..=0x7FFF_FFFF => (0xD0, 4),
                    _ => (0xE0, 8),
                };
                items.push(mark);
                items.extend_from_slice(&n.to_le_bytes()[..width]);
            }
            (_, len @ 0..64) => items.push(len as u8),
            (_, len @ 64..0x4000) => items.extend_from_slice(&[0x40 | (len >> 8) as u8, len as u8]),
            (_, len) => {
                items.push(0x80);
                items.extend_from_slice(&(len as u32).to_be_bytes());
            }
        }
        if integer.is_none() {
            items.extend_from_slice(text.as_bytes());
        }
        before = items.len() - last;
    }
    let total = 10 + items.len() + 1;
    let header = [(total as u32).to_le_bytes(), (10 + last as u32).to_le_bytes()].concat();
    [&header, (texts.len() as u16).to_le_bytes().as_slice(), &items, &[0xFF]].concat()
}

/// A zipmap of these fields and values in turns; values have a byte to spare.
fn zipmap(texts: &[&str]) -> Vec<u8> {
    let mut map = vec![(texts.len() / 2) as u8];
    for (at, text) in texts.iter().enumerate() {
        if text.len() < 254 {
            map.push(text.len() as u8);
        } else {
            map.push(254);
            map.extend_from_slice(&(text.len() as u32).to_le_bytes());
        }
        let spare: &[u8] = if at % 2 == 1 { &[1] } else { &[] };
        map.extend_from_slice(spare);
        map.extend_from_slice(text.as_bytes());
        map.extend_from_slice(if spare.is_empty() { &[] } else { b"?" });
    }
    map.push(0xFF);
    map
}

fn intset(width: usize, members: &[i64]) -> Vec<u8> {
    let mut set = [(width as u32).to_le_bytes(), (members.len() as u32).to_le_bytes()].concat();
    members.iter().for_each(|n| set.extend_from_slice(&n.to_le_bytes()[..width]));
    set
}

/// A stream of three entries in two blocks, one deleted, with two groups, in one of its three encodings.
pub fn stream(kind: u8, compress: bool) -> Vec<u8> {
    body(kind, compress, |writer| {
        let id = |ms: u64, seq: u64| [ms.to_be_bytes(), seq.to_be_bytes()].concat();
        let version = [kind::STREAM, kind::STREAM_2, kind::STREAM_3].iter().position(|k| *k == kind);
        writer.length(2);
        writer.string(&id(1000, 5));
        let first = ["1", "1", "1", "name", "0", "2", "0", "0", "x", "4", "3", "1", "-5", "y", "4"];
        writer.string(&listpack(&first));
        writer.string(&id(2000, 0));
        let second = ["1", "0", "2", "a", "b", "0", "0", "0", "0", "1", "other", "value", "6"];
        writer.string(&listpack(&second));
        writer.length(2);
        [2000, 0].into_iter().for_each(|n| writer.length(n));
        if version > Some(0) {
            // First ID, highest deleted one, entries ever added.
            [1000, 5, 1001, 0, 3].into_iter().for_each(|n| writer.length(n));
        }
        writer.length(2);
        writer.string(b"empty");
        [0, 0].into_iter().for_each(|n| writer.length(n));
        if version > Some(0) {
            writer.length(u64::MAX);
        }
        [0, 0].into_iter().for_each(|n| writer.length(n));
        writer.string(b"group");
        [2000, 0].into_iter().for_each(|n| writer.length(n));
        if version > Some(0) {
            writer.length(3);
        }
        writer.length(2);
        for (id, count) in [(id(1000, 5), 1), (id(2000, 0), 70)] {
            writer.out.extend_from_slice(&id);
            writer.millis(LATE_MS);
            writer.length(count);
        }
        writer.length(2);
        for (name, ids) in [("alice", [id(2000, 0)]), ("bob", [id(1000, 5)])] {
            writer.string(name.as_bytes());
            writer.millis(LATE_MS);
            if version > Some(1) {
                writer.millis(if name == "bob" { -1 } else { LATE_MS });
            }
            writer.length(1);
            ids.iter().for_each(|id| writer.out.extend_from_slice(id));
        }
    })
}

/// Kinds with their bodies, and what is in them; of a stream that is left to other tests.
pub fn examples() -> Vec<(Vec<u8>, Option<Contents>)> {
    let long = "long text ".repeat(40);
    let longest = "longer than a block ".repeat(900);
    let texts =
        ["one", "-1", "12", "13", "127", "-128", "1000", "100000", "-70000", "5000000000", "", "007", &long];
    let list = Some(Contents::of_list(&texts));
    let pairs = [("one", "1", None), ("2", "two", None), ("", &long, None), ("3000000000", "-9", None)];
    let in_turns: Vec<&str> = pairs.iter().flat_map(|(name, value, _)| [*name, *value]).collect();
    let hash = Some(Contents::of_hash(&pairs));
    let scores = [("a", 1.0), ("b", -2.5), ("7", f64::INFINITY), ("low", f64::NEG_INFINITY), ("c", 1e300)];
    let score_texts = ["1", "-2.5", "inf", "-inf", "1e+300"];
    let scored: Vec<&str> =
        scores.iter().zip(score_texts).flat_map(|((member, _), score)| [*member, score]).collect();
    let sorted_set = Some(Contents::of_sorted_set(&scores));
    let members = ["1", "two", "-300000", "x"];
    let set = Some(Contents::of_set(&members));
    let timed = [
        ("a", "1", Some(LATE_MS)),
        ("b", "2", None),
        ("c", "3", Some(LATE_MS + 5)),
        ("d", "", Some(PAST_MS)),
    ];
    let timed_hash = Some(Contents::of_hash(&timed));
    let timed_texts: Vec<String> = timed
        .iter()
        .flat_map(|(name, value, deadline)| {
            [(*name).to_owned(), (*value).to_owned(), deadline.unwrap_or(0).to_string()]
        })
        .collect();
    let timed_texts: Vec<&str> = timed_texts.iter().map(String::as_str).collect();
    let strings = |kind: u8, texts: &[&str]| {
        body(kind, true, |writer| texts.iter().for_each(|text| writer.string(text.as_bytes())))
    };
    let counted = |kind: u8, count: usize, texts: &[&str]| {
        let mut bytes = body(kind, false, |writer| writer.length(count as u64));
        bytes.extend_from_slice(&strings(kind, texts)[1..]);
        bytes
    };
    let timed_table = |kind: u8, from_ms: i64| {
        body(kind, false, |writer| {
            if kind == kind::HASH_DEADLINES {
                writer.millis(from_ms);
            }
            writer.length(timed.len() as u64);
            for (name, value, deadline) in timed {
                writer.length(deadline.map_or(0, |deadline| match kind {
                    kind::HASH_DEADLINES => (deadline - from_ms + 1) as u64,
                    _ => deadline as u64,
                }));
                writer.string(name.as_bytes());
                writer.string(value.as_bytes());
            }
        })
    };
    let quicklist_2 = body(kind::LIST_QUICKLIST_2, true, |writer| {
        writer.length(3);
        writer.length(2);
        writer.string(&listpack(&["1", "a"]));
        writer.length(1);
        writer.string(longest.as_bytes());
        writer.length(2);
        writer.string(&listpack(&["b"]));
    });
    let quicklist = body(kind::LIST_QUICKLIST, true, |writer| {
        writer.length(2);
        writer.string(&ziplist(&texts));
        writer.string(&ziplist(&["end"]));
    });
    let text_scores = body(kind::SORTED_SET_TEXT, false, |writer| {
        writer.length(4);
        writer.string(b"a");
        writer.out.extend_from_slice(&[254]);
        writer.string(b"b");
        writer.out.extend_from_slice(&[255]);
        writer.string(b"c");
        writer.out.extend_from_slice(b"\x041.25");
        writer.string(b"d");
        writer.out.extend_from_slice(b"\x02-3");
    });
    let double_scores = body(kind::SORTED_SET, false, |writer| {
        writer.length(scores.len() as u64);
        for (member, score) in scores {
            writer.string(member.as_bytes());
            writer.double(score);
        }
    });
    let mut with_end = texts.to_vec();
    with_end.push("end");
    vec![
        (strings(kind::STRING, &["text"]), Some(Contents::String(b"text".to_vec()))),
        (strings(kind::STRING, &["-1234"]), Some(Contents::String(b"-1234".to_vec()))),
        (strings(kind::STRING, &[&long]), Some(Contents::String(long.clone().into_bytes()))),
        (counted(kind::LIST, texts.len(), &texts), list.clone()),
        (blob(kind::LIST_ZIPLIST, &ziplist(&texts)), list),
        (quicklist, Some(Contents::of_list(&with_end))),
        (quicklist_2, Some(Contents::of_list(&["1", "a", &longest, "b"]))),
        (counted(kind::SET, members.len(), &members), set.clone()),
        (blob(kind::SET_LISTPACK, &listpack(&members)), set),
        (blob(kind::SET_INTSET, &intset(2, &[-5, 1, 300])), Some(Contents::of_set(&["-5", "1", "300"]))),
        (blob(kind::SET_INTSET, &intset(4, &[-70000, 1])), Some(Contents::of_set(&["-70000", "1"]))),
        (
            blob(kind::SET_INTSET, &intset(8, &[1, 5_000_000_000])),
            Some(Contents::of_set(&["1", "5000000000"])),
        ),
        (counted(kind::HASH, pairs.len(), &in_turns), hash.clone()),
        (blob(kind::HASH_ZIPMAP, &zipmap(&in_turns)), hash.clone()),
        (blob(kind::HASH_ZIPLIST, &ziplist(&in_turns)), hash.clone()),
        (blob(kind::HASH_LISTPACK, &listpack(&in_turns)), hash),
        (timed_table(kind::HASH_DEADLINES, PAST_MS), timed_hash.clone()),
        (timed_table(kind::HASH_DEADLINES_EARLY, 0), timed_hash.clone()),
        (
            body(kind::HASH_LISTPACK_DEADLINES, false, |writer| {
                writer.millis(PAST_MS);
                writer.string(&listpack(&timed_texts));
            }),
            timed_hash.clone(),
        ),
        (blob(kind::HASH_LISTPACK_DEADLINES_EARLY, &listpack(&timed_texts)), timed_hash),
        (
            text_scores,
            Some(Contents::of_sorted_set(&[
                ("a", f64::INFINITY),
                ("b", f64::NEG_INFINITY),
                ("c", 1.25),
                ("d", -3.0),
            ])),
        ),
        (double_scores, sorted_set.clone()),
        (blob(kind::SORTED_SET_ZIPLIST, &ziplist(&scored)), sorted_set.clone()),
        (blob(kind::SORTED_SET_LISTPACK, &listpack(&scored)), sorted_set),
        (stream(kind::STREAM, false), None),
        (stream(kind::STREAM_2, false), None),
        (stream(kind::STREAM_3, true), None),
    ]
}
