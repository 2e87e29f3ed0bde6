//! Values between Redis's protocol and Lua, both ways, as Redis converts them.
//!
//! Replies of commands are read from their wire form, RESP2 or RESP3; it is this server's own and is trusted to be
//! well-formed. Results of scripts are written through the reply writer.

use super::lua::{Kind, Stack};
use crate::resp::reply::{Part, Proto, Reply};
use crate::types::number;
use std::ffi::c_int;

/// Stack places that one level of a result's conversion needs.
const ROOM_PER_LEVEL: c_int = 6;

/// Pushes the error value that stands for an error: a table with the line in `err`. A line that begins with `-`
/// begins with its code, any other gets the code `ERR`.
pub fn push_error(stack: Stack, line: &[u8]) {
    let end = memchr::memchr(0, line).unwrap_or(line.len());
    let line = &line[..end];
    let (code, message) = match line.strip_prefix(b"-") {
        None => (b"ERR".as_slice(), line),
        Some(rest) => match memchr::memchr(b' ', rest) {
            None => (b"ERR".as_slice(), rest),
            Some(space) => (&rest[..space], &rest[space + 1..]),
        },
    };
    let is_break = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let start = message.iter().position(|byte| !is_break(byte)).unwrap_or(message.len());
    let end = message.iter().rposition(|byte| !is_break(byte)).map_or(start, |last| last + 1);
    stack.new_table(0, 1);
    stack.push_bytes([code, b" ", &message[start..end]].concat());
    stack.set_field(-2, "err");
}

/// As [`push_error`], for an error that the statistics know of already.
pub fn push_counted_error(stack: Stack, line: &[u8]) {
    push_error(stack, line);
    stack.push_boolean(true);
    stack.set_field(-2, "ignore_error_stats_update");
}

/// Pushes the Lua value of a command's reply. True if it is an error.
pub fn push_reply(stack: Stack, reply: &Reply) -> bool {
    if let Some(wire) = reply.plain() {
        push_wire(stack, wire);
        return wire.first() == Some(&b'-');
    }
    let mut parts = reply.parts();
    // A single large value is pushed from where it lies.
    if let (Some(Part::Copied(header)), Some(Part::Chunk(value)), Some(Part::Copied(b"\r\n")), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
        && header.first() == Some(&b'$')
    {
        stack.push_bytes(value);
        return false;
    }
    let mut wire = Vec::with_capacity(reply.len());
    for part in reply.parts() {
        match part {
            Part::Copied(bytes) => wire.extend_from_slice(bytes),
            Part::Chunk(bytes) => wire.extend_from_slice(bytes),
        }
    }
    push_wire(stack, &wire);
    wire.first() == Some(&b'-')
}

fn push_wire(stack: Stack, wire: &[u8]) {
    Parser { stack, wire, at: 0 }.value();
}

struct Parser<'a> {
    stack: Stack,
    wire: &'a [u8],
    at: usize,
}

impl<'a> Parser<'a> {
    /// The rest of the line, whose end is passed.
    fn line(&mut self) -> &'a [u8] {
        let rest = &self.wire[self.at..];
        let end = memchr::memchr(b'\r', rest).expect("a line of a reply has an end");
        self.at += end + 2;
        &rest[..end]
    }

    fn length(&mut self) -> i64 {
        number::parse_i64(self.line()).expect("a length of a reply is a number")
    }

    /// As many bytes as the length says, and the line end behind them.
    fn bulk(&mut self, length: i64) -> &'a [u8] {
        let start = self.at;
        self.at += length as usize + 2;
        &self.wire[start..start + length as usize]
    }

    /// Pushes the next value.
    fn value(&mut self) {
        let stack = self.stack;
        // Replies are not nested deeply; their own server made them.
        assert!(stack.has_room(ROOM_PER_LEVEL), "no room on the Lua stack for a reply");
        let kind = self.wire[self.at];
        self.at += 1;
        match kind {
            b'$' => match self.length() {
                -1 => stack.push_boolean(false),
                length => stack.push_bytes(self.bulk(length)),
            },
            b':' => stack.push_number(self.length() as f64),
            b'+' => self.tagged("ok"),
            b'-' => {
                let line = self.line();
                push_counted_error(stack, &[b"-", line].concat());
            }
            b'*' => match self.length() {
                -1 => stack.push_boolean(false),
                length => self.array(length),
            },
            b'%' => {
                let length = self.length();
                stack.new_table(0, 1);
                stack.new_table(0, length as usize);
                for _ in 0..length {
                    self.value();
                    self.value();
                    self.set_pair();
                }
                stack.set_field(-2, "map");
            }
            b'~' => {
                let length = self.length();
                stack.new_table(0, 1);
                stack.new_table(0, length as usize);
                for _ in 0..length {
                    self.value();
                    stack.push_boolean(true);
                    self.set_pair();
                }
                stack.set_field(-2, "set");
            }
            b'_' => {
                self.line();
                stack.push_nil();
            }
            b'#' => stack.push_boolean(self.line() == b"t"),
            b',' => {
                let text = self.line();
                let value = match text {
                    b"inf" => f64::INFINITY,
                    b"-inf" => f64::NEG_INFINITY,
                    text => number::parse_f64(text).unwrap_or(f64::NAN),
                };
                stack.new_table(0, 1);
                stack.push_number(value);
                stack.set_field(-2, "double");
            }
            b'(' => self.tagged("big_number"),
            b'=' => {
                let length = self.length();
                let text = self.bulk(length);
                stack.new_table(0, 1);
                stack.new_table(0, 2);
                stack.push_bytes(&text[4..]);
                stack.set_field(-2, "string");
                stack.push_bytes(&text[..3]);
                stack.set_field(-2, "format");
                stack.set_field(-2, "verbatim_string");
            }
            b'|' => {
                // Attributes are not shown to scripts.
                for _ in 0..2 * self.length() {
                    self.value();
                    stack.pop(1);
                }
                self.value();
            }
            kind => unreachable!("no reply begins with {kind:?}"),
        }
    }

    /// A table with the rest of the line in one field.
    fn tagged(&mut self, field: &str) {
        let text = self.line();
        self.stack.new_table(0, 1);
        self.stack.push_bytes(text);
        self.stack.set_field(-2, field);
    }

    fn array(&mut self, length: i64) {
        self.stack.new_table(length as usize, 0);
        for n in 1..=length {
            self.value();
            self.stack.raw_set_at(-2, n as c_int);
        }
    }

    /// Takes key and value from the top; a key that a table cannot have is left out.
    fn set_pair(&self) {
        if self.stack.kind(-2) == Kind::Nil { self.stack.pop(2) } else { self.stack.raw_set(-3) }
    }
}

/// An error that a script ended with.
#[derive(Debug)]
pub struct Failure {
    /// Without the `-`.
    pub line: Vec<u8>,
    /// Whether the statistics know of it already, since a command gave it.
    pub is_counted: bool,
}

/// What is said of an error value: its fields if it is a table.
pub struct ErrorValue {
    pub failure: Failure,
    pub source: Option<Vec<u8>>,
    pub line: Option<Vec<u8>>,
}

/// Reads an error value from the top of the stack, where it stays.
pub fn error_value(stack: Stack) -> ErrorValue {
    if stack.kind(-1) != Kind::Table {
        let message = stack.text(-1).unwrap_or(b"unknown error");
        let failure = Failure { line: [b"ERR ", message].concat(), is_counted: false };
        return ErrorValue { failure, source: None, line: None };
    }
    let text = |name: &str| {
        stack.field(-1, name);
        let text = stack.text(-1).map(<[u8]>::to_vec);
        stack.pop(1);
        text
    };
    let line = text("err").unwrap_or_else(|| b"ERR unknown error".to_vec());
    let (source, at) = (text("source"), text("line"));
    stack.field(-1, "ignore_error_stats_update");
    let is_counted = stack.to_boolean(-1);
    stack.pop(1);
    ErrorValue { failure: Failure { line, is_counted }, source, line: at }
}

/// Writes results of scripts as replies.
pub struct Writer<'a> {
    pub stack: Stack,
    pub out: &'a mut Reply,
    /// The protocol that the script chose with `setresp`, which decides about booleans.
    pub proto: Proto,
    /// Told of errors within a result.
    pub failed: &'a mut dyn FnMut(&Failure),
    /// Something was nested too deeply: nothing is walked into any more, since a table can hold itself many times.
    pub is_too_deep: bool,
}

impl Writer<'_> {
    /// Writes the value on top of the stack, and takes it. An error is not written but returned.
    pub fn result(&mut self) -> Result<(), Failure> {
        match self.error() {
            Some(failure) => {
                self.stack.pop(1);
                Err(failure)
            }
            None => {
                self.value();
                Ok(())
            }
        }
    }

    /// The error that the value on top stands for.
    fn error(&self) -> Option<Failure> {
        if self.stack.kind(-1) != Kind::Table || !self.stack.has_room(ROOM_PER_LEVEL) {
            return None;
        }
        self.stack.field(-1, "err");
        let is_error = self.stack.kind(-1) == Kind::String;
        self.stack.pop(1);
        is_error.then(|| error_value(self.stack).failure)
    }

    /// Writes the value on top of the stack, and takes it.
    fn value(&mut self) {
        let stack = self.stack;
        if self.is_too_deep || !stack.has_room(ROOM_PER_LEVEL) {
            self.is_too_deep = true;
            let failure = Failure { line: b"ERR reached lua stack limit".to_vec(), is_counted: false };
            self.out.error(&failure.line);
            (self.failed)(&failure);
            stack.pop(1);
            return;
        }
        match stack.kind(-1) {
            Kind::String => self.out.bulk(stack.bytes(-1).unwrap_or_default()),
            Kind::Boolean if self.proto == Proto::Resp3 => self.out.boolean(stack.to_boolean(-1)),
            Kind::Boolean if stack.to_boolean(-1) => self.out.integer(1),
            Kind::Number => self.out.integer(stack.to_integer(-1)),
            Kind::Table => self.table(),
            _ => self.out.null(),
        }
        stack.pop(1);
    }

    /// Pushes a field of the table on top if it is of this kind.
    fn field_of(&self, name: &str, kind: Kind) -> bool {
        self.stack.field(-1, name);
        let found = self.stack.kind(-1) == kind;
        if !found {
            self.stack.pop(1);
        }
        found
    }

    /// Writes the table on top, which stays.
    fn table(&mut self) {
        let stack = self.stack;
        if let Some(failure) = self.error() {
            self.out.error(&failure.line);
            if !failure.is_counted {
                (self.failed)(&failure);
            }
        } else if self.field_of("ok", Kind::String) {
            let text = without_breaks(stack.text(-1).unwrap_or_default());
            self.out.raw(b"+");
            self.out.raw(&text);
            self.out.raw(b"\r\n");
            stack.pop(1);
        } else if self.field_of("double", Kind::Number) {
            self.out.double(stack.to_number(-1));
            stack.pop(1);
        } else if self.field_of("big_number", Kind::String) {
            self.out.big_number(&without_breaks(stack.bytes(-1).unwrap_or_default()));
            stack.pop(1);
        } else if !(self.verbatim() || self.map() || self.set()) {
            self.array();
        }
    }

    /// Writes the table in the field `map` of the one on top, if there is one.
    fn map(&mut self) -> bool {
        if !self.field_of("map", Kind::Table) {
            return false;
        }
        let (place, top) = (self.out.deferred(), self.stack.top());
        let mut pairs = 0;
        self.stack.push_nil();
        while !self.is_too_deep && self.stack.next(-2) {
            self.stack.push_copy(-2);
            self.value();
            self.value();
            pairs += 1;
        }
        self.out.finish_map(place, pairs);
        self.stack.set_top(top - 1);
        true
    }

    /// Writes the keys of the table in the field `set` of the one on top, if there is one.
    fn set(&mut self) -> bool {
        if !self.field_of("set", Kind::Table) {
            return false;
        }
        let (place, top) = (self.out.deferred(), self.stack.top());
        let mut members = 0;
        self.stack.push_nil();
        while !self.is_too_deep && self.stack.next(-2) {
            self.stack.pop(1);
            self.stack.push_copy(-1);
            self.value();
            members += 1;
        }
        self.out.finish_set(place, members);
        self.stack.set_top(top - 1);
        true
    }

    /// Writes the table on top as text with a format, if it is one.
    fn verbatim(&mut self) -> bool {
        let stack = self.stack;
        if !self.field_of("verbatim_string", Kind::Table) {
            return false;
        }
        stack.field(-1, "format");
        stack.field(-2, "string");
        let is_text = stack.kind(-2) == Kind::String && stack.kind(-1) == Kind::String;
        if is_text {
            // As many letters as there are, of three.
            let mut format = [b' '; 3];
            for (to, from) in format.iter_mut().zip(stack.text(-2).unwrap_or_default()) {
                *to = if from.is_ascii_graphic() { *from } else { b' ' };
            }
            let format = std::str::from_utf8(&format).unwrap_or("txt");
            self.out.verbatim(format, stack.bytes(-1).unwrap_or_default());
        }
        stack.pop(3);
        is_text
    }

    /// Writes the items from 1 on, up to the first that is nil.
    fn array(&mut self) {
        let place = self.out.deferred();
        let mut items = 0;
        loop {
            self.stack.raw_get_at(-1, items + 1);
            if self.is_too_deep || self.stack.kind(-1) == Kind::Nil {
                self.stack.pop(1);
                break;
            }
            self.value();
            items += 1;
        }
        self.out.finish_array(place, items as usize);
    }
}

fn without_breaks(text: &[u8]) -> Vec<u8> {
    text.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }).collect()
}
