//! What a script can reach: the libraries it may use, and tables that it cannot change.
//!
//! Scripts of all clients share an interpreter, so nothing that one leaves behind may reach another. Redis
//! marks tables as read-only in its own copy of Lua. Here the table that a script gets is an empty stand-in:
//! its metatable looks fields up in the real table and refuses to set any. The functions that would look past a
//! metatable (`rawset`, `rawget`, `next`, `pairs`, `getmetatable`, `setmetatable`, `table.insert`) are told
//! which tables are stand-ins, and behave as Redis's do for a read-only table. No function hands out a real
//! table.
//!
//! Of Lua's own functions, those are missing that read files, write to the terminal or load compiled code, and
//! `newproxy`, `getfenv` and `setfenv`, which newer versions of Redis have withdrawn because scripts could get
//! at each other through them.

use super::engine::Shared;
use super::lua::{
    ALL, GLOBALS, Kind, MAX_CHUNK_BYTES, Outcome, Raise, Stack, Status, function, guarded, handler, upvalue,
};
use super::{api, bit, json, msgpack, packing};
use std::ffi::c_int;

/// Redis's text for an attempt to set a field of a table of the server's.
const READ_ONLY: &str = "Attempt to modify a readonly table";

/// Lua's functions that scripts must not have.
const REMOVED: [&str; 6] = ["dofile", "loadfile", "print", "newproxy", "getfenv", "setfenv"];

/// A pattern with more repetitions than this is refused: matching takes a step of recursion for each.
const MAX_PATTERN_REPEATS: usize = 4096;

/// `string.rep` makes at most this: the default of `proto-max-bulk-len`.
const MAX_REPEATED_BYTES: usize = 512 << 20;

/// What an interpreter is for: a script of EVAL sees some functions that functions do not, and its globals
/// KEYS and ARGV.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    Eval,
    Functions,
}

/// Fills a new interpreter with what scripts may use, and locks it.
pub fn build(stack: Stack, shared: &Shared, purpose: Purpose) {
    stack.new_table(0, 0);
    shared.stand_ins.set(stack.keep());
    stack.new_table(0, 0);
    shared.shown_metatables.set(stack.keep());

    for name in REMOVED {
        stack.push_nil();
        stack.set_field(GLOBALS, name);
    }
    replace_builtins(stack);
    restrict_libraries(stack);
    bit::open(stack);
    json::open(stack);
    msgpack::open(stack);
    packing::open(stack);
    api::open(stack, purpose);
    stack.push_function(function!(api::error_handler), 0);
    shared.error_handler.set(stack.keep());
    if purpose == Purpose::Eval {
        for name in ["__redis__err__handler", "__server__err__handler"] {
            stack.kept(shared.error_handler.get());
            stack.set_field(GLOBALS, name);
        }
    }
    lock_globals(stack, shared);
    if purpose == Purpose::Functions {
        api::library_globals(stack, shared);
    }
    debug_assert_eq!(stack.top(), 0);
}

/// Puts `function` in the place of a field of the table on top; the old one is its first own value.
fn wrap(stack: Stack, name: &str, function: super::lua::Function) {
    stack.field(-1, name);
    stack.push_function(function, 1);
    stack.set_field(-2, name);
}

fn replace_builtins(stack: Stack) {
    stack.push_copy(GLOBALS);
    wrap(stack, "rawset", guarded!(refuse_stand_in));
    wrap(stack, "rawget", guarded!(look_behind));
    wrap(stack, "next", guarded!(look_behind));
    stack.field(-1, "next");
    stack.push_function(function!(pairs), 1);
    stack.set_field(-2, "pairs");
    wrap(stack, "setmetatable", guarded!(checked_setmetatable));
    wrap(stack, "unpack", guarded!(checked_unpack));
    for (name, function) in [
        ("getmetatable", function!(getmetatable)),
        ("pcall", function!(pcall)),
        ("xpcall", function!(xpcall)),
        ("load", function!(load)),
        ("loadstring", function!(loadstring)),
    ] {
        stack.push_function(function, 0);
        stack.set_field(-2, name);
    }
    stack.pop(1);
}

fn restrict_libraries(stack: Stack) {
    stack.field(GLOBALS, "table");
    wrap(stack, "insert", guarded!(refuse_stand_in));
    wrap(stack, "foreach", guarded!(look_behind));
    stack.pop(1);
    stack.field(GLOBALS, "string");
    for name in ["match", "gmatch", "gfind", "gsub"] {
        wrap(stack, name, guarded!(checked_pattern));
    }
    wrap(stack, "find", guarded!(checked_find));
    wrap(stack, "rep", guarded!(checked_rep));
    stack.pop(1);
    // Of the system's functions, only the clock.
    stack.field(GLOBALS, "os");
    stack.new_table(0, 1);
    stack.field(-2, "clock");
    stack.set_field(-2, "clock");
    stack.set_field(GLOBALS, "os");
    stack.pop(1);
    api::open_random(stack);
}

/// Replaces every table that globals lead to by a stand-in, and the globals themselves.
fn lock_globals(stack: Stack, shared: &Shared) {
    stack.push_copy(GLOBALS);
    let globals = stack.top();
    let mut names: Vec<Vec<u8>> = Vec::new();
    stack.push_nil();
    while stack.next(globals) {
        if stack.kind(-1) == Kind::Table
            && stack.address(-1) != stack.address(globals)
            && let Some(name) = stack.bytes(-2)
        {
            names.push(name.to_vec());
        }
        stack.pop(1);
    }
    names.sort();
    for name in &names {
        // `server` and `redis` are one table, and stay one.
        stack.push_bytes(name);
        stack.raw_get(globals);
        if stack.kind(-1) == Kind::Table && !is_stand_in(stack, -1) {
            let real = stack.address(-1);
            stand_in(stack, shared);
            for other in &names {
                stack.push_bytes(other);
                stack.raw_get(globals);
                let same = stack.address(-1) == real;
                stack.pop(1);
                if same {
                    stack.push_bytes(other);
                    stack.push_copy(-2);
                    stack.raw_set(globals);
                }
            }
        }
        stack.pop(1);
    }
    show_string_metatable(stack, shared, globals);

    refuse_missing(stack);
    stack.push_copy(globals);
    stand_in(stack, shared);
    let shown = stack.top();
    // What `getmetatable(_G)` shows is the real metatable, behind a stand-in of its own.
    stack.kept(shared.shown_metatables.get());
    stack.push_copy(shown);
    stack.metatable(globals);
    stand_in(stack, shared);
    stack.raw_set(-3);
    stack.pop(1);
    stack.push_copy(shown);
    stack.set_field(globals, "_G");
    stack.push_copy(globals);
    shared.globals.set(stack.keep());
    stack.push_copy(shown);
    stack.replace(GLOBALS);
    stack.set_top(globals - 1);
}

/// All strings have one metatable, through which their methods are found. Scripts are shown a stand-in of a copy
/// whose `__index` is the stand-in of `string` (CVE-2025-46818).
fn show_string_metatable(stack: Stack, shared: &Shared, globals: c_int) {
    stack.kept(shared.shown_metatables.get());
    stack.push_bytes("");
    stack.metatable(-1);
    stack.remove(-2);
    stack.new_table(0, 1);
    stack.field(globals, "string");
    stack.set_field(-2, "__index");
    stand_in(stack, shared);
    stack.raw_set(-3);
    stack.pop(1);
}

/// Replaces the table on top by a stand-in of it.
pub fn stand_in(stack: Stack, shared: &Shared) {
    stack.new_table(0, 0);
    stack.new_table(0, 2);
    stack.push_copy(-3);
    stack.set_field(-2, "__index");
    stack.push_function(function!(refuse_field), 0);
    stack.set_field(-2, "__newindex");
    stack.set_metatable(-2);
    stack.kept(shared.stand_ins.get());
    stack.push_copy(-2);
    stack.push_copy(-4);
    stack.raw_set(-3);
    stack.pop(1);
    stack.remove(-2);
}

/// Gives the real table on top a metatable that raises an error for a field that it does not have.
pub fn refuse_missing(stack: Stack) {
    stack.new_table(0, 1);
    stack.push_function(function!(missing_field), 0);
    stack.set_field(-2, "__index");
    stack.set_metatable(-2);
}

/// Pushes the real table behind a stand-in; false, and nothing, if it is none.
fn real_table(stack: Stack, index: c_int) -> bool {
    // Hardly any table of a script has a metatable.
    if stack.kind(index) != Kind::Table || !stack.metatable(index) {
        return false;
    }
    stack.pop(1);
    let index = if index < 0 { stack.top() + 1 + index } else { index };
    let shared = Shared::of(stack);
    stack.kept(shared.stand_ins.get());
    stack.push_copy(index);
    stack.raw_get(-2);
    stack.remove(-2);
    let found = stack.kind(-1) == Kind::Table;
    if !found {
        stack.pop(1);
    }
    found
}

fn is_stand_in(stack: Stack, index: c_int) -> bool {
    let found = real_table(stack, index);
    if found {
        stack.pop(1);
    }
    found
}

fn refuse_field(stack: Stack) -> Outcome {
    Err(stack.error(READ_ONLY))
}

fn missing_field(stack: Stack) -> Outcome {
    if stack.top() != 2 {
        return Err(stack.error("Wrong number of arguments to luaProtectedTableError"));
    }
    match stack.text(2) {
        Some(name) => Err(stack.error_bytes(
            &[b"Script attempted to access nonexistent global variable '", name, b"'"].concat(),
        )),
        None => Err(stack.error("Second argument to luaProtectedTableError must be a string or number")),
    }
}

fn refuse_stand_in(stack: Stack) -> Result<(), Raise> {
    if is_stand_in(stack, 1) { Err(stack.plain_error(READ_ONLY)) } else { Ok(()) }
}

/// The guarded function reads the real table in the place of its stand-in.
fn look_behind(stack: Stack) -> Result<(), Raise> {
    if real_table(stack, 1) {
        stack.replace(1);
    }
    Ok(())
}

fn pairs(stack: Stack) -> Outcome {
    stack.check_table(1)?;
    stack.push_copy(upvalue(1));
    stack.push_copy(1);
    stack.push_nil();
    Ok(3)
}

/// `getmetatable`: what is shown in the place of a metatable of the server's, or else what Lua's own says.
fn getmetatable(stack: Stack) -> Outcome {
    stack.check_any(1)?;
    let shared = Shared::of(stack);
    let is_string = stack.kind(1) == Kind::String;
    if is_string || is_stand_in(stack, 1) {
        stack.kept(shared.shown_metatables.get());
        if is_string {
            stack.metatable(1);
        } else {
            stack.push_copy(1);
        }
        stack.raw_get(-2);
        return Ok(1);
    }
    if !stack.metatable(1) {
        stack.push_nil();
        return Ok(1);
    }
    stack.field(-1, "__metatable");
    if stack.kind(-1) == Kind::Nil {
        stack.pop(1);
    }
    Ok(1)
}

fn checked_setmetatable(stack: Stack) -> Result<(), Raise> {
    // Lua's own function complains about another second argument.
    if matches!(stack.kind(2), Kind::Nil | Kind::Table) && is_stand_in(stack, 1) {
        return Err(stack.plain_error(READ_ONLY));
    }
    Ok(())
}

/// The count of results must not overflow (CVE-2025-46817).
fn checked_unpack(stack: Stack) -> Result<(), Raise> {
    stack.check_table(1)?;
    let first = stack.check_integer_or(2, 1)? as i32;
    let last =
        if stack.is_nil_or_none(3) { stack.length(1) as i64 as i32 } else { stack.check_integer(3)? as i32 };
    let count = i64::from(last) - i64::from(first) + 1;
    if count > 0 && i32::try_from(count).map_or(true, |count| !stack.has_room(count)) {
        return Err(stack.error("too many results to unpack"));
    }
    Ok(())
}

fn checked_find(stack: Stack) -> Result<(), Raise> {
    // Nothing is matched in a plain search.
    if stack.to_boolean(4) { Ok(()) } else { checked_pattern(stack) }
}

/// A string that no reply could hold is not worth waiting for.
fn checked_rep(stack: Stack) -> Result<(), Raise> {
    let len = stack.bytes(1).map_or(0, <[u8]>::len);
    if stack.is_number(2) && stack.to_number(2) * len as f64 > MAX_REPEATED_BYTES as f64 {
        return Err(stack.error("resulting string too large"));
    }
    Ok(())
}

/// Lua 5.1 does not limit its recursion in patterns.
fn checked_pattern(stack: Stack) -> Result<(), Raise> {
    let Some(pattern) = stack.bytes(2) else { return Ok(()) };
    if pattern.len() > MAX_PATTERN_REPEATS
        && pattern.iter().filter(|byte| b"*+-?".contains(byte)).count() > MAX_PATTERN_REPEATS
    {
        return Err(stack.error("pattern too complex"));
    }
    Ok(())
}

/// `pcall`, which gives the message of an error that the server raised, in the place of its table, as scripts
/// expect that were written before Redis 7.
fn pcall(stack: Stack) -> Outcome {
    stack.check_any(1)?;
    let args = stack.top() - 1;
    stack.push_boolean(true);
    stack.insert(1);
    match stack.protected_call(args, ALL, 0) {
        Status::Ok => Ok(stack.top()),
        Status::Failed => {
            stack.remove(1);
            if stack.kind(-1) == Kind::Table {
                stack.field(-1, "err");
                if stack.is_string(-1) {
                    stack.replace(-2);
                } else {
                    stack.pop(1);
                }
            }
            stack.push_boolean(false);
            stack.insert(1);
            Ok(stack.top())
        }
    }
}

/// `xpcall`, which does not ask the script's handler about the error that ends a run: it could go on for ever there.
fn xpcall(stack: Stack) -> Outcome {
    stack.check_any(2)?;
    stack.set_top(2);
    stack.push_function(handler!(|stack| Shared::of(stack).is_ending()), 1);
    stack.insert(1);
    let is_ok = stack.protected_call(0, ALL, 1) == Status::Ok;
    stack.push_boolean(is_ok);
    stack.replace(1);
    Ok(stack.top())
}

/// Leaves the compiled chunk, or nil and a message.
fn compile(stack: Stack, chunk: &[u8], name: &[u8]) -> Outcome {
    let end = memchr::memchr(0, name).unwrap_or(name.len());
    let name = std::ffi::CString::new(&name[..end]).unwrap_or_default();
    match stack.load(chunk, &name) {
        Status::Ok => Ok(1),
        Status::Failed => {
            stack.push_nil();
            stack.insert(-2);
            Ok(2)
        }
    }
}

fn loadstring(stack: Stack) -> Outcome {
    let chunk = stack.check_bytes(1)?;
    let name = if stack.is_nil_or_none(2) { chunk } else { stack.check_bytes(2)? };
    compile(stack, chunk, name)
}

/// `load`: the pieces are all asked for first, since nothing of a script may run while Lua parses.
fn load(stack: Stack) -> Outcome {
    if stack.kind(1) != Kind::Function {
        return Err(stack.arg_error(1, format_args!("function expected, got {}", stack.kind(1).name())));
    }
    let name = if stack.is_nil_or_none(2) { b"=(load)".as_slice() } else { stack.check_bytes(2)? };
    let mut chunk = Vec::new();
    loop {
        stack.push_copy(1);
        if stack.protected_call(0, 1, 0) == Status::Failed {
            stack.push_nil();
            stack.insert(-2);
            return Ok(2);
        }
        let is_end = match stack.bytes(-1) {
            _ if stack.kind(-1) == Kind::Nil => true,
            Some(piece) => {
                chunk.extend_from_slice(piece);
                piece.is_empty()
            }
            None => {
                stack.push_nil();
                stack.push_bytes("reader function must return a string");
                return Ok(2);
            }
        };
        stack.pop(1);
        if is_end || chunk.len() > MAX_CHUNK_BYTES {
            return compile(stack, &chunk, name);
        }
    }
}
