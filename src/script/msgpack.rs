//! The library `cmsgpack`: values in MessagePack form (<https://msgpack.org>), as Redis's version writes and reads
//! them: numbers in the shortest form, tables with keys 1 to n as arrays and all others as maps, and nil in the
//! place of tables that are nested too deeply.

use super::lua::{self, Function, GLOBALS, Kind, Outcome, Raise, Stack, function};
use std::ffi::c_int;

/// Tables within tables beyond this are written as nil, so that a table that holds itself comes to an end.
const MAX_NESTING: u32 = 16;

pub fn open(stack: Stack) {
    let functions: [(&str, Function); 4] = [
        ("pack", function!(pack)),
        ("unpack", function!(|stack| unpack(stack, 0, 0))),
        ("unpack_one", function!(unpack_one)),
        ("unpack_limit", function!(unpack_limit)),
    ];
    stack.new_table(0, functions.len() + 4);
    for (name, function) in functions {
        stack.push_function(function, 0);
        stack.set_field(-2, name);
    }
    for (name, text) in [
        ("_NAME", "cmsgpack"),
        ("_VERSION", "lua-cmsgpack 0.4.0"),
        ("_COPYRIGHT", "Copyright (C) 2012, Redis Ltd."),
        ("_DESCRIPTION", "MessagePack C implementation for Lua"),
    ] {
        stack.push_bytes(text);
        stack.set_field(-2, name);
    }
    stack.set_field(GLOBALS, "cmsgpack");
}

fn pack(stack: Stack) -> Outcome {
    let count = stack.top();
    if count == 0 {
        return Err(stack.arg_error(0, "MessagePack pack needs input."));
    }
    if !stack.has_room(count) {
        return Err(stack.arg_error(0, "Too many arguments for MessagePack pack."));
    }
    let mut out = Vec::new();
    for arg in 1..=count {
        stack.need_room(1, "in function mp_check")?;
        stack.push_copy(arg);
        write(stack, &mut out, 0)?;
    }
    stack.push_bytes(out);
    Ok(1)
}

/// Writes the value on top of the stack, and takes it.
fn write(stack: Stack, out: &mut Vec<u8>, level: u32) -> Result<(), Raise> {
    match stack.kind(-1) {
        Kind::String => {
            let bytes = stack.bytes(-1).unwrap_or_default();
            let len = bytes.len();
            match len {
                0..32 => out.push(0xa0 | len as u8),
                32..=0xff => out.extend([0xd9, len as u8]),
                0x100..=0xffff => {
                    out.push(0xda);
                    out.extend((len as u16).to_be_bytes());
                }
                _ => {
                    out.push(0xdb);
                    out.extend((len as u32).to_be_bytes());
                }
            }
            out.extend_from_slice(bytes);
        }
        Kind::Boolean => out.push(if stack.to_boolean(-1) { 0xc3 } else { 0xc2 }),
        Kind::Number => write_number(out, stack.to_number(-1)),
        Kind::Table if level < MAX_NESTING => {
            stack.need_room(3, "in function mp_encode_lua_table_as_map")?;
            match array_length(stack) {
                Some(length) => write_array(stack, out, level, length)?,
                None => write_map(stack, out, level)?,
            }
        }
        _ => out.push(0xc0),
    }
    stack.pop(1);
    Ok(())
}

fn write_number(out: &mut Vec<u8>, value: f64) {
    let n = lua::integer(value);
    if n as f64 == value {
        return write_integer(out, n);
    }
    if (value as f32) as f64 == value {
        out.push(0xca);
        out.extend((value as f32).to_be_bytes());
    } else {
        out.push(0xcb);
        out.extend(value.to_be_bytes());
    }
}

fn write_integer(out: &mut Vec<u8>, n: i64) {
    match n {
        0..=127 => out.push(n as u8),
        128..=0xff => out.extend([0xcc, n as u8]),
        0x100..=0xffff => {
            out.push(0xcd);
            out.extend((n as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(0xce);
            out.extend((n as u32).to_be_bytes());
        }
        0x1_0000_0000.. => {
            out.push(0xcf);
            out.extend(n.to_be_bytes());
        }
        -32..0 => out.push(n as u8),
        -128..-32 => out.extend([0xd0, n as u8]),
        -32_768..-128 => {
            out.push(0xd1);
            out.extend((n as i16).to_be_bytes());
        }
        -2_147_483_648..-32_768 => {
            out.push(0xd2);
            out.extend((n as i32).to_be_bytes());
        }
        _ => {
            out.push(0xd3);
            out.extend(n.to_be_bytes());
        }
    }
}

/// The number of items of the table on top, if its keys are just the numbers from 1 to n.
fn array_length(stack: Stack) -> Option<usize> {
    let (mut count, mut largest) = (0_u64, 0.0);
    stack.push_nil();
    while stack.next(-2) {
        stack.pop(1);
        let key = stack.to_number(-1);
        let is_index =
            stack.kind(-1) == Kind::Number && key > 0.0 && key <= i32::MAX as f64 && key.trunc() == key;
        if !is_index {
            stack.pop(1);
            return None;
        }
        largest = f64::max(largest, key);
        count += 1;
    }
    (largest == count as f64).then_some(count as usize)
}

fn write_array(stack: Stack, out: &mut Vec<u8>, level: u32, length: usize) -> Result<(), Raise> {
    write_length(out, length, 0x90, 0xdc);
    for n in 1..=length {
        stack.raw_get_at(-1, n as c_int);
        write(stack, out, level + 1)?;
    }
    Ok(())
}

fn write_map(stack: Stack, out: &mut Vec<u8>, level: u32) -> Result<(), Raise> {
    let mut pairs = 0;
    stack.push_nil();
    while stack.next(-2) {
        stack.pop(1);
        pairs += 1;
    }
    write_length(out, pairs, 0x80, 0xde);
    stack.push_nil();
    while stack.next(-2) {
        stack.push_copy(-2);
        write(stack, out, level + 1)?;
        write(stack, out, level + 1)?;
    }
    Ok(())
}

/// The header of an array or map: one byte up to 15, or else 16 or 32 bits behind `long` or the byte after it.
fn write_length(out: &mut Vec<u8>, length: usize, short: u8, long: u8) {
    match length {
        0..=15 => out.push(short | length as u8),
        16..=0xffff => {
            out.push(long);
            out.extend((length as u16).to_be_bytes());
        }
        _ => {
            out.push(long + 1);
            out.extend((length as u32).to_be_bytes());
        }
    }
}

/// What is wrong with packed bytes.
enum Bad {
    Short,
    Format,
    Raised,
}

impl From<Raise> for Bad {
    fn from(_: Raise) -> Bad {
        Bad::Raised
    }
}

struct Reader<'a> {
    stack: Stack,
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Bad> {
        let (taken, left) = self.left.split_at_checked(len).ok_or(Bad::Short)?;
        self.left = left;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Bad> {
        let (taken, left) = self.left.split_first_chunk::<N>().ok_or(Bad::Short)?;
        self.left = left;
        Ok(*taken)
    }

    fn u16(&mut self) -> Result<usize, Bad> {
        self.array().map(|bytes| u16::from_be_bytes(bytes) as usize)
    }

    fn u32(&mut self) -> Result<usize, Bad> {
        self.array().map(|bytes| u32::from_be_bytes(bytes) as usize)
    }

    fn number(&self, n: impl Into<f64>) {
        self.stack.push_number(n.into());
    }

    fn string(&mut self, len: usize) -> Result<(), Bad> {
        let bytes = self.take(len)?;
        self.stack.push_bytes(bytes);
        Ok(())
    }

    /// Pushes the next value.
    fn value(&mut self) -> Result<(), Bad> {
        if self.left.is_empty() {
            return Err(Bad::Short);
        }
        self.stack.need_room(1, "too many return values at once; use unpack_one or unpack_limit instead.")?;
        match self.array::<1>()?[0] {
            n @ 0x00..=0x7f => self.number(n),
            head @ 0x80..=0x8f => self.map((head & 0xf) as usize)?,
            head @ 0x90..=0x9f => self.items((head & 0xf) as usize)?,
            head @ 0xa0..=0xbf => self.string((head & 0x1f) as usize)?,
            0xc0 => self.stack.push_nil(),
            0xc2 => self.stack.push_boolean(false),
            0xc3 => self.stack.push_boolean(true),
            0xca => {
                let n = f32::from_be_bytes(self.array()?);
                self.number(n);
            }
            0xcb => {
                let n = f64::from_be_bytes(self.array()?);
                self.number(n);
            }
            0xcc => {
                let n = u8::from_be_bytes(self.array()?);
                self.number(n);
            }
            0xcd => {
                let n = u16::from_be_bytes(self.array()?);
                self.number(n);
            }
            0xce => {
                let n = u32::from_be_bytes(self.array()?);
                self.number(n);
            }
            // Numbers of 64 bits pass through a signed type, whatever they say they are.
            0xcf | 0xd3 => {
                let n = i64::from_be_bytes(self.array()?);
                self.number(n as f64);
            }
            0xd0 => {
                let n = i8::from_be_bytes(self.array()?);
                self.number(n);
            }
            0xd1 => {
                let n = i16::from_be_bytes(self.array()?);
                self.number(n);
            }
            0xd2 => {
                let n = i32::from_be_bytes(self.array()?);
                self.number(n);
            }
            0xd9 => {
                let len = self.array::<1>()?[0] as usize;
                self.string(len)?;
            }
            0xda => {
                let len = self.u16()?;
                self.string(len)?;
            }
            0xdb => {
                let len = self.u32()?;
                self.string(len)?;
            }
            0xdc => {
                let len = self.u16()?;
                self.items(len)?;
            }
            0xdd => {
                let len = self.u32()?;
                self.items(len)?;
            }
            0xde => {
                let len = self.u16()?;
                self.map(len)?;
            }
            0xdf => {
                let len = self.u32()?;
                self.map(len)?;
            }
            n @ 0xe0..=0xff => self.number(n as i8),
            _ => return Err(Bad::Format),
        }
        Ok(())
    }

    /// The announced length allocates nothing: only what is there becomes part of the table.
    fn items(&mut self, len: usize) -> Result<(), Bad> {
        self.stack.new_table(0, 0);
        self.stack.need_room(1, "in function mp_decode_to_lua_array")?;
        for n in 1..=len {
            self.stack.push_number(n as f64);
            self.value()?;
            self.stack.raw_set(-3);
        }
        Ok(())
    }

    fn map(&mut self, len: usize) -> Result<(), Bad> {
        self.stack.new_table(0, 0);
        for _ in 0..len {
            self.value()?;
            self.value()?;
            match self.stack.kind(-2) {
                Kind::Nil => return Err(self.stack.plain_error("table index is nil").into()),
                Kind::Number if self.stack.to_number(-2).is_nan() => {
                    return Err(self.stack.plain_error("table index is NaN").into());
                }
                _ => self.stack.raw_set(-3),
            }
        }
        Ok(())
    }
}

fn unpack_one(stack: Stack) -> Outcome {
    let offset = stack.check_integer_or(2, 0)?;
    stack.set_top(1);
    unpack(stack, 1, offset)
}

fn unpack_limit(stack: Stack) -> Outcome {
    let limit = stack.check_integer(2)?;
    let offset = stack.check_integer_or(3, 0)?;
    stack.set_top(1);
    unpack(stack, limit, offset)
}

/// Pushes up to `limit` values from `offset` on (all if both are 0), and before them where the next one begins,
/// or -1 at the end, unless all were asked for.
fn unpack(stack: Stack, limit: i64, offset: i64) -> Outcome {
    let bytes = stack.check_bytes(1)?;
    let len = bytes.len();
    let Some(left) = usize::try_from(offset).ok().filter(|_| limit >= 0).map(|offset| bytes.get(offset..))
    else {
        let (offset, len) = (offset as i32, len as i32);
        return Err(stack
            .error(format_args!("Invalid request to unpack with offset of {offset} and limit of {len}.")));
    };
    let Some(left) = left else {
        let (offset, len) = (offset as i32, len as i32);
        return Err(stack.error(format_args!("Start offset {offset} greater than input length {len}.")));
    };
    let all = limit == 0 && offset == 0;
    let limit = if all { i32::MAX as i64 } else { limit };
    let mut reader = Reader { stack, left };
    let mut count = 0;
    while !reader.left.is_empty() && (count as i64) < limit {
        match reader.value() {
            Ok(()) => count += 1,
            Err(Bad::Short) => return Err(stack.error("Missing bytes in input.")),
            Err(Bad::Format) => return Err(stack.error("Bad data format in input.")),
            Err(Bad::Raised) => return Err(Raise),
        }
    }
    if all {
        return Ok(count);
    }
    stack.need_room(1, "in function mp_unpack_full")?;
    let next = if reader.left.is_empty() { -1.0 } else { (len - reader.left.len()) as f64 };
    stack.push_number(next);
    stack.insert(2);
    Ok(count + 1)
}
