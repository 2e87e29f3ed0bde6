//! The library `struct`: numbers and strings as the bytes of C structures
//! (<http://www.inf.puc-rio.br/~roberto/struct/>). A format says byte order, alignment and the types of fields.

use super::lua::{self, Function, GLOBALS, Outcome, Raise, Stack, function};
use std::ffi::c_int;

/// The longest integer, bytes.
const MAX_INTEGER_BYTES: usize = 32;

/// Alignment if `!` stands alone: that of a double.
const MAX_ALIGN_BYTES: usize = 8;

pub fn open(stack: Stack) {
    let functions: [(&str, Function); 3] =
        [("pack", function!(pack)), ("unpack", function!(unpack)), ("size", function!(size))];
    stack.new_table(0, functions.len());
    for (name, function) in functions {
        stack.push_function(function, 0);
        stack.set_field(-2, name);
    }
    stack.set_field(GLOBALS, "struct");
}

/// A format with a reading position, and what it has said so far of order and alignment.
struct Format<'a> {
    stack: Stack,
    rest: &'a [u8],
    is_little: bool,
    align: usize,
}

impl<'a> Format<'a> {
    /// The format in the first argument.
    fn new(stack: Stack) -> Result<Format<'a>, Raise> {
        stack.check_bytes(1)?;
        let rest = stack.text(1).unwrap_or_default();
        Ok(Format { stack, rest, is_little: cfg!(target_endian = "little"), align: 1 })
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// The decimal number that comes next.
    fn number(&mut self, default: usize) -> Result<usize, Raise> {
        if !self.rest.first().is_some_and(u8::is_ascii_digit) {
            return Ok(default);
        }
        let mut number: i32 = 0;
        while let Some(digit) = self.rest.first().filter(|byte| byte.is_ascii_digit()) {
            let next = number.checked_mul(10).and_then(|n| n.checked_add((digit - b'0') as i32));
            number = next.ok_or_else(|| self.stack.error("integral size overflow"))?;
            self.rest = &self.rest[1..];
        }
        Ok(number as usize)
    }

    /// Bytes that an option's value takes.
    fn size(&mut self, option: u8) -> Result<usize, Raise> {
        match option {
            b'B' | b'b' | b'x' => Ok(1),
            b'H' | b'h' => Ok(2),
            b'L' | b'l' | b'T' | b'd' => Ok(8),
            b'f' => Ok(4),
            b'c' => self.number(1),
            b'i' | b'I' => {
                let size = self.number(4)?;
                if size > MAX_INTEGER_BYTES {
                    return Err(self.stack.error(format_args!(
                        "integral size {size} is larger than limit of {MAX_INTEGER_BYTES}"
                    )));
                }
                Ok(size)
            }
            _ => Ok(0),
        }
    }

    /// Bytes to fill in before a value of this size at this position.
    fn padding(&self, position: usize, option: u8, size: usize) -> usize {
        if size == 0 || option == b'c' {
            return 0;
        }
        let size = size.min(self.align);
        size.wrapping_sub(position & (size - 1)) & (size - 1)
    }

    /// An option that has no value.
    fn control(&mut self, option: u8) -> Result<(), Raise> {
        match option {
            b' ' => {}
            b'>' => self.is_little = false,
            b'<' => self.is_little = true,
            b'!' => {
                let align = self.number(MAX_ALIGN_BYTES)?;
                if !align.is_power_of_two() {
                    return Err(self.stack.error(format_args!("alignment {align} is not a power of 2")));
                }
                self.align = align;
            }
            _ => {
                let option = option.escape_ascii();
                return Err(self.stack.arg_error(1, format_args!("invalid format option '{option}'")));
            }
        }
        Ok(())
    }

    /// The bytes, which are in little order, in the order of the format.
    fn put(&self, out: &mut Vec<u8>, little: &[u8]) {
        if self.is_little {
            out.extend_from_slice(little);
        } else {
            out.extend(little.iter().rev());
        }
    }

    /// The bytes of a field in little order.
    fn get<const N: usize>(&self, field: &[u8]) -> [u8; N] {
        let mut bytes = [0; N];
        for (to, from) in bytes.iter_mut().zip(field) {
            *to = *from;
        }
        if !self.is_little {
            bytes[..field.len()].reverse();
        }
        bytes
    }
}

fn pack(stack: Stack) -> Outcome {
    let mut format = Format::new(stack)?;
    let mut out = Vec::new();
    let mut arg: c_int = 2;
    // What is missing is told to be nil.
    stack.push_nil();
    // What precedes a variable string counts without it, as in the original.
    let mut total = 0_usize;
    while let Some(option) = format.next() {
        let mut size = format.size(option)?;
        let padding = format.padding(total, option, size);
        total += padding;
        out.resize(out.len() + padding, 0);
        match option {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                let value = stack.check_number(arg)?;
                arg += 1;
                let value = if value < 0.0 { lua::integer(value) as u64 } else { value as u64 };
                let mut bytes = [0; MAX_INTEGER_BYTES];
                bytes[..8].copy_from_slice(&value.to_le_bytes());
                format.put(&mut out, &bytes[..size]);
            }
            b'x' => out.push(0),
            b'f' => {
                let value = stack.check_number(arg)? as f32;
                arg += 1;
                format.put(&mut out, &value.to_le_bytes());
            }
            b'd' => {
                let value = stack.check_number(arg)?;
                arg += 1;
                format.put(&mut out, &value.to_le_bytes());
            }
            b'c' | b's' => {
                let bytes = stack.check_bytes(arg)?;
                arg += 1;
                if size == 0 {
                    size = bytes.len();
                }
                if bytes.len() < size {
                    return Err(stack.arg_error(arg, "string too short"));
                }
                out.extend_from_slice(&bytes[..size]);
                if option == b's' {
                    out.push(0);
                    size += 1;
                }
            }
            _ => format.control(option)?,
        }
        total += size;
    }
    stack.push_bytes(out);
    Ok(1)
}

/// An integer of up to 32 bytes, of which the lowest eight count.
fn integer(format: &Format<'_>, field: &[u8], is_signed: bool) -> f64 {
    let bytes: [u8; MAX_INTEGER_BYTES] = format.get(field);
    let mut value = u64::from_le_bytes(*bytes.first_chunk().expect("the field has room for eight bytes"));
    if !is_signed {
        return value as f64;
    }
    // Of more than eight bytes, the sign is that of the lowest eight.
    let sign = u64::MAX.wrapping_shl((field.len() as u32 * 8).wrapping_sub(1));
    if value & sign != 0 {
        value |= sign;
    }
    value as i64 as f64
}

fn unpack(stack: Stack) -> Outcome {
    let mut format = Format::new(stack)?;
    let data = stack.check_bytes(2)?;
    let Some(mut at) = (stack.check_integer_or(3, 1)? as usize).checked_sub(1) else {
        return Err(stack.arg_error(3, "offset must be 1 or greater"));
    };
    let field = |at: usize, size: usize| {
        let field = at.checked_add(size).and_then(|end| data.get(at..end));
        field.ok_or_else(|| stack.arg_error(2, "data string too short"))
    };
    let mut results = 0;
    while let Some(option) = format.next() {
        let mut size = format.size(option)?;
        at = at.wrapping_add(format.padding(at, option, size));
        let mut bytes = field(at, size)?;
        stack.need_room(2, "too many results")?;
        match option {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                stack.push_number(integer(&format, bytes, option.is_ascii_lowercase()));
                results += 1;
            }
            b'x' => {}
            b'f' => {
                stack.push_number(f32::from_le_bytes(format.get(bytes)) as f64);
                results += 1;
            }
            b'd' => {
                stack.push_number(f64::from_le_bytes(format.get(bytes)));
                results += 1;
            }
            b'c' => {
                if size == 0 {
                    if results == 0 || !stack.is_number(-1) {
                        return Err(stack.error("format 'c0' needs a previous size"));
                    }
                    size = stack.to_integer(-1) as usize;
                    stack.pop(1);
                    results -= 1;
                    bytes = field(at, size)?;
                }
                stack.push_bytes(bytes);
                results += 1;
            }
            b's' => {
                let Some(len) = memchr::memchr(0, &data[at..]) else {
                    return Err(stack.error("unfinished string in data"));
                };
                size = len + 1;
                stack.push_bytes(&data[at..at + len]);
                results += 1;
            }
            _ => format.control(option)?,
        }
        at = at.wrapping_add(size);
    }
    stack.push_number((at as i64).wrapping_add(1) as f64);
    Ok(results + 1)
}

fn size(stack: Stack) -> Outcome {
    let mut format = Format::new(stack)?;
    let mut total = 0_usize;
    while let Some(option) = format.next() {
        let size = format.size(option)?;
        total = total.wrapping_add(format.padding(total, option, size));
        match option {
            b's' => return Err(stack.arg_error(1, "option 's' has no fixed size")),
            b'c' if size == 0 => return Err(stack.arg_error(1, "option 'c0' has no fixed size")),
            _ => {}
        }
        if !option.is_ascii_alphanumeric() {
            format.control(option)?;
        }
        total = total.wrapping_add(size);
    }
    stack.push_number(total as i64 as f64);
    Ok(1)
}
