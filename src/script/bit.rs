//! The library `bit`: operations on the low 32 bits of numbers, as LuaJIT's BitOp defines them
//! (<https://bitop.luajit.org/semantics.html>).

use super::lua::{Function, GLOBALS, Outcome, Raise, Stack, function};
use std::ffi::c_int;

/// Adding it moves the integer part of a double into the low bits of its mantissa: 2^52 + 2^51.
const TO_INTEGER: f64 = 6_755_399_441_055_744.0;

/// Digits of a 32-bit number.
const HEX_DIGITS: i32 = 8;

pub fn open(stack: Stack) {
    let functions: [(&str, Function); 12] = [
        ("tobit", function!(|stack| result(stack, bits(stack, 1)?))),
        ("bnot", function!(|stack| result(stack, !bits(stack, 1)?))),
        ("band", function!(|stack| fold(stack, |a, b| a & b))),
        ("bor", function!(|stack| fold(stack, |a, b| a | b))),
        ("bxor", function!(|stack| fold(stack, |a, b| a ^ b))),
        ("lshift", function!(|stack| shift(stack, |a, n| a << n))),
        ("rshift", function!(|stack| shift(stack, |a, n| a >> n))),
        ("arshift", function!(|stack| shift(stack, |a, n| (a as i32 >> n) as u32))),
        ("rol", function!(|stack| shift(stack, u32::rotate_left))),
        ("ror", function!(|stack| shift(stack, u32::rotate_right))),
        ("bswap", function!(|stack| result(stack, bits(stack, 1)?.swap_bytes()))),
        ("tohex", function!(to_hex)),
    ];
    stack.new_table(0, functions.len());
    for (name, function) in functions {
        stack.push_function(function, 0);
        stack.set_field(-2, name);
    }
    stack.set_field(GLOBALS, "bit");
}

/// Argument `arg`, modulo 2^32.
fn bits(stack: Stack, arg: c_int) -> Result<u32, Raise> {
    Ok((stack.check_number(arg)? + TO_INTEGER).to_bits() as u32)
}

/// Results are signed.
fn result(stack: Stack, bits: u32) -> Outcome {
    stack.push_number(bits as i32 as f64);
    Ok(1)
}

fn fold(stack: Stack, f: fn(u32, u32) -> u32) -> Outcome {
    let mut folded = bits(stack, 1)?;
    for arg in (2..=stack.top()).rev() {
        folded = f(folded, bits(stack, arg)?);
    }
    result(stack, folded)
}

/// Of the distance, only five bits count.
fn shift(stack: Stack, f: fn(u32, u32) -> u32) -> Outcome {
    let (value, distance) = (bits(stack, 1)?, bits(stack, 2)? & 31);
    result(stack, f(value, distance))
}

/// As many digits as asked for, the lowest ones; in upper case if the number of digits is negative.
fn to_hex(stack: Stack) -> Outcome {
    let value = bits(stack, 1)?;
    let wanted = if stack.top() < 2 { HEX_DIGITS } else { bits(stack, 2)? as i32 };
    let count = wanted.unsigned_abs().min(HEX_DIGITS as u32) as usize;
    let digits = if wanted < 0 { format!("{value:08X}") } else { format!("{value:08x}") };
    stack.push_bytes(&digits[HEX_DIGITS as usize - count..]);
    Ok(1)
}
