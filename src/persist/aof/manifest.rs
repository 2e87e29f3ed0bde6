//! The manifest: which files the log consists of, in Redis 7's form.
//!
//! ```text
//! file appendonly.aof.2.base.rdb seq 2 type b
//! file appendonly.aof.1.incr.aof seq 1 type h
//! file appendonly.aof.2.incr.aof seq 2 type i
//! ```
//!
//! First the base, a snapshot or commands; then the history, files that are to be deleted; then the increments, which
//! are loaded behind the base in this order. Pairs of words that are not known are passed over.
//!
//! Knows names and texts; nothing of what is in the files.

use crate::config::parse::split_args;
use crate::types::quoting;
use std::fmt;

/// A line of a manifest may have so many bytes (Redis's `MANIFEST_MAX_LINE`).
const MAX_LINE_BYTES: usize = 1024;

/// What a file is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Base,
    History,
    Increment,
}

impl Kind {
    fn letter(self) -> char {
        match self {
            Kind::Base => 'b',
            Kind::History => 'h',
            Kind::Increment => 'i',
        }
    }
}

/// One file of the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    pub name: String,
    pub sequence: i64,
}

/// See the module's head.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Manifest {
    pub base: Option<Part>,
    /// In the order of the file: the latest first.
    pub history: Vec<Part>,
    pub increments: Vec<Part>,
    /// The last numbers that were given out.
    base_sequence: i64,
    increment_sequence: i64,
}

/// What is wrong with a manifest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadManifest {
    /// Number and text of the line at fault.
    pub line: Option<(usize, String)>,
    /// In Redis's words.
    pub reason: &'static str,
}

impl fmt::Display for BadManifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\n*** FATAL AOF MANIFEST FILE ERROR ***\n")?;
        if let Some((number, text)) = &self.line {
            write!(f, "Reading the manifest file, at line {number}\n>>> '{text}'\n")?;
        }
        f.write_str(self.reason)
    }
}

const BAD_FORMAT: &str = "Invalid AOF manifest file format";

impl Manifest {
    /// Reads a manifest.
    pub fn parse(text: &[u8]) -> Result<Manifest, BadManifest> {
        let mut manifest = Manifest::default();
        let mut last_increment = 0;
        if text.is_empty() {
            return Err(BadManifest { line: None, reason: "Found an empty AOF manifest" });
        }
        for (at, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
            if line.starts_with(b"#") {
                continue;
            }
            let shown = String::from_utf8_lossy(line.trim_ascii()).into_owned();
            let bad = |reason| BadManifest { line: Some((at + 1, shown.clone())), reason };
            if line.len() > MAX_LINE_BYTES || !line.ends_with(b"\n") {
                return Err(BadManifest {
                    line: None,
                    reason: "The AOF manifest file contains too long line",
                });
            }
            let (kind, part) = parse_line(line.trim_ascii()).map_err(&bad)?;
            match kind {
                Some(Kind::Base) if manifest.base.is_some() => {
                    return Err(bad("Found duplicate base file information"));
                }
                Some(Kind::Base) => {
                    manifest.base_sequence = part.sequence;
                    manifest.base = Some(part);
                }
                Some(Kind::History) => manifest.history.push(part),
                Some(Kind::Increment) if part.sequence <= last_increment => {
                    return Err(bad("Found a non-monotonic sequence number"));
                }
                Some(Kind::Increment) => {
                    last_increment = part.sequence;
                    manifest.increment_sequence = part.sequence;
                    manifest.increments.push(part);
                }
                None => return Err(bad("Unknown AOF file type")),
            }
        }
        Ok(manifest)
    }

    /// A log of the older form, one file, as the base of a new one.
    pub fn of_single(name: &str) -> Manifest {
        let base = Some(Part { name: name.to_owned(), sequence: 1 });
        Manifest { base, base_sequence: 1, ..Manifest::default() }
    }

    /// Whether there is nothing to load.
    pub fn is_empty(&self) -> bool {
        self.base.is_none() && self.increments.is_empty()
    }

    /// The files to load, in order.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.base.iter().chain(&self.increments)
    }

    /// Takes a new base, of which `prefix` is what the log's names begin with. What was the base becomes history.
    /// Returns its name.
    pub fn add_base(&mut self, prefix: &str, is_snapshot: bool) -> String {
        self.base_sequence += 1;
        let form = if is_snapshot { "rdb" } else { "aof" };
        let name = format!("{prefix}.{}.base.{form}", self.base_sequence);
        let part = Part { name: name.clone(), sequence: self.base_sequence };
        if let Some(old) = self.base.replace(part) {
            self.history.insert(0, old);
        }
        name
    }

    /// Adds an increment. Returns its name.
    pub fn add_increment(&mut self, prefix: &str) -> String {
        self.increment_sequence += 1;
        let name = format!("{prefix}.{}.incr.aof", self.increment_sequence);
        self.increments.push(Part { name: name.clone(), sequence: self.increment_sequence });
        name
    }

    /// Increments but for the last `kept` become history: the base has what is in them.
    pub fn retire_increments(&mut self, kept: usize) {
        let retired = self.increments.len().saturating_sub(kept);
        for part in self.increments.drain(..retired).rev().collect::<Vec<_>>() {
            self.history.insert(0, part);
        }
    }
}

fn parse_line(line: &[u8]) -> Result<(Option<Kind>, Part), &'static str> {
    let words = split_args(line).ok().filter(|words| words.len() >= 6 && words.len().is_multiple_of(2));
    let words = words.ok_or(BAD_FORMAT)?;
    let (mut name, mut sequence, mut kind) = (None, 0, None);
    for pair in words.chunks_exact(2) {
        let (key, value) = (&pair[0], &pair[1]);
        if key.eq_ignore_ascii_case(b"file") {
            if value.contains(&b'/') || value.contains(&b'\\') {
                return Err("File can't be a path, just a filename");
            }
            name = Some(String::from_utf8(value.clone()).map_err(|_| BAD_FORMAT)?);
        } else if key.eq_ignore_ascii_case(b"seq") {
            sequence = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
        } else if key.eq_ignore_ascii_case(b"type") {
            kind = value.first().copied();
        }
    }
    let (Some(name), 1.., Some(letter)) = (name.filter(|name| !name.is_empty()), sequence, kind) else {
        return Err(BAD_FORMAT);
    };
    let kinds = [Kind::Base, Kind::History, Kind::Increment];
    let kind = kinds.into_iter().find(|kind| kind.letter() == char::from(letter));
    Ok((kind, Part { name, sequence }))
}

/// As the file has it.
impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = self.base.iter().map(|part| (Kind::Base, part));
        let history = self.history.iter().map(|part| (Kind::History, part));
        let increments = self.increments.iter().map(|part| (Kind::Increment, part));
        for (kind, Part { name, sequence }) in base.chain(history).chain(increments) {
            let is_plain = name.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'\\".contains(&byte));
            let name = if is_plain {
                name.clone()
            } else {
                let mut quoted = Vec::new();
                quoting::push(&mut quoted, name.as_bytes());
                String::from_utf8_lossy(&quoted).into_owned()
            };
            writeln!(f, "file {name} seq {sequence} type {}", kind.letter())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_comes_back_as_it_was_written() {
        let mut manifest = Manifest::default();
        assert_eq!(manifest.add_base("a b.aof", true), "a b.aof.1.base.rdb");
        assert_eq!(manifest.add_increment("a b.aof"), "a b.aof.1.incr.aof");
        manifest.add_increment("a b.aof");
        manifest.add_increment("a b.aof");
        manifest.add_base("a b.aof", false);
        manifest.retire_increments(1);
        let text = manifest.to_string();
        assert_eq!(
            text,
            "file \"a b.aof.2.base.aof\" seq 2 type b\n\
             file \"a b.aof.1.incr.aof\" seq 1 type h\n\
             file \"a b.aof.2.incr.aof\" seq 2 type h\n\
             file \"a b.aof.1.base.rdb\" seq 1 type h\n\
             file \"a b.aof.3.incr.aof\" seq 3 type i\n"
        );
        assert_eq!(Manifest::parse(text.as_bytes()), Ok(manifest));
    }

    #[test]
    fn what_redis_refuses_is_refused_in_its_words() {
        let line = "file a.1.incr.aof seq 1 type i\n";
        let long = format!("file a.1.base.aof seq 1 type b{}\n", " x y".repeat(300));
        for (text, reason) in [
            ("", "Found an empty AOF manifest"),
            ("\n", BAD_FORMAT),
            ("filx a seq 1 type b\n", BAD_FORMAT),
            ("file a seq 1\n", BAD_FORMAT),
            ("file a seq 1 type i new\n", BAD_FORMAT),
            ("file a seq 0 type i\n", BAD_FORMAT),
            ("file a/b seq 1 type i\n", "File can't be a path, just a filename"),
            ("file a seq 1 type x\n", "Unknown AOF file type"),
            ("file a seq 1 type b\nfile b seq 2 type b\n", "Found duplicate base file information"),
            (&line.repeat(2), "Found a non-monotonic sequence number"),
            (&long, "The AOF manifest file contains too long line"),
            (line.trim_end(), "The AOF manifest file contains too long line"),
        ] {
            assert_eq!(Manifest::parse(text.as_bytes()).unwrap_err().reason, reason, "{text:?}");
        }
        let known = Manifest::parse(b"# a comment\nfile a seq 7 type i startoffset 12\n").unwrap();
        assert_eq!(known.increments, [Part { name: "a".into(), sequence: 7 }]);
    }
}
