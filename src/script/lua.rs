//! The surface over Lua's C interface that the rest of this folder works with.
//!
//! Functions of ours are plain Rust functions from a [`Stack`] to a number of results, or to [`Raise`], an
//! error value that they have left on top of the stack. The entry point that [`function!`](super::function)
//! makes of one lets it return first, with all its destructors run, and only then calls `lua_error`, which
//! jumps over the frames of C.
//!
//! What this module relies on:
//! - Indices are valid: positive ones up to the top, or negative ones down from it. Callers make sure of it;
//!   they are all in this folder, and every function knows its own stack.
//! - Only functions that cannot run code of a script are offered (raw access to tables), so nothing raises an
//!   error below a Rust frame, but for lack of memory. The allocator of an interpreter reports that to Lua only
//!   for blocks of [`LARGE_BLOCK_BYTES`] and more, which values of such a size ask for. A jump over our frames
//!   then leaks what they own and nothing else: no lock and no borrow is held in them.
//! - Bytes of a Lua string stay where they are while the value is on the stack.

use mlua_sys as ffi;
use std::alloc::{self, Layout};
use std::cell::Cell;
use std::ffi::{CStr, c_int, c_void};
use std::ptr::NonNull;

/// If there is no memory for a block of this size, a script gets an error; for a smaller one, the process ends,
/// as it does everywhere else.
const LARGE_BLOCK_BYTES: usize = 1 << 20;

/// A chunk of more than this is refused. Lua's lexer counts some things in 32 bits (CVE-2025-46819).
pub const MAX_CHUNK_BYTES: usize = 512 << 20;

/// What every block of an interpreter is aligned to, bytes: what Lua's own types want.
const ALIGN_BYTES: usize = 8;

/// What freed memory is filled with in builds with debug assertions: as a pointer it leads nowhere.
const FREED: u8 = 0xDD;

/// An error was raised; its value is on top of the stack.
#[derive(Debug)]
pub struct Raise;

/// What a function of ours results in: the number of its results on top of the stack.
pub type Outcome = Result<c_int, Raise>;

pub use ffi::lua_State as State;

/// The type of a function as Lua knows it.
pub type Function = ffi::lua_CFunction;

/// The type of a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    None,
    Nil,
    Boolean,
    LightUserdata,
    Number,
    String,
    Table,
    Function,
    Userdata,
    Thread,
}

impl Kind {
    /// As Lua's `type` names it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::None => "no value",
            Kind::Nil => "nil",
            Kind::Boolean => "boolean",
            Kind::LightUserdata | Kind::Userdata => "userdata",
            Kind::Number => "number",
            Kind::String => "string",
            Kind::Table => "table",
            Kind::Function => "function",
            Kind::Thread => "thread",
        }
    }
}

/// How code ended that ran protected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    Ok,
    /// The error value is on top of the stack.
    Failed,
}

/// The registry, as an index.
pub const REGISTRY: c_int = ffi::LUA_REGISTRYINDEX;

/// The table of globals of the running thread, as an index.
pub const GLOBALS: c_int = ffi::LUA_GLOBALSINDEX;

/// All results of a call.
pub const ALL: c_int = ffi::LUA_MULTRET;

/// The index of a closure's n-th own value, from 1.
pub fn upvalue(n: c_int) -> c_int {
    ffi::lua_upvalueindex(n)
}

/// A Lua thread and its stack.
#[derive(Clone, Copy)]
pub struct Stack(NonNull<State>);

/// Makes a function that Lua can call of one from [`Stack`] to [`Outcome`].
#[macro_export]
#[doc(hidden)]
macro_rules! script_function {
    ($body:expr) => {{
        unsafe extern "C-unwind" fn entry(state: *mut $crate::script::lua::State) -> std::ffi::c_int {
            // SAFETY: Lua calls this with the state of the running thread.
            let stack = unsafe { $crate::script::lua::Stack::of(state) };
            let body: fn($crate::script::lua::Stack) -> $crate::script::lua::Outcome = $body;
            match body(stack) {
                Ok(results) => results,
                // SAFETY: the body has returned, so there is nothing in this frame to be destroyed.
                Err($crate::script::lua::Raise) => unsafe { stack.jump() },
            }
        }
        entry as $crate::script::lua::Function
    }};
}
pub use crate::script_function as function;

impl Stack {
    /// # Safety
    /// The state is a live one, and its interpreter belongs to this thread of the process.
    pub unsafe fn of(state: *mut State) -> Stack {
        Stack(unsafe { NonNull::new_unchecked(state) })
    }

    #[inline(always)]
    fn l(self) -> *mut State {
        self.0.as_ptr()
    }

    /// Leaves the running function with the error value on top of the stack.
    ///
    /// # Safety
    /// No frame between this one and the one that Lua called has anything to be destroyed.
    pub unsafe fn jump(self) -> ! {
        unsafe { ffi::lua_error(self.l()) }
    }

    /// The allocator's argument: the interpreter's own data.
    pub fn own_data(self) -> *mut c_void {
        let mut data = std::ptr::null_mut();
        // SAFETY: `data` takes the pointer.
        unsafe { ffi::lua_getallocf(self.l(), &mut data) };
        data
    }

    pub fn top(self) -> c_int {
        // SAFETY: see the module's head, as for all that follow.
        unsafe { ffi::lua_gettop(self.l()) }
    }

    pub fn set_top(self, top: c_int) {
        unsafe { ffi::lua_settop(self.l(), top) }
    }

    pub fn pop(self, n: c_int) {
        unsafe { ffi::lua_pop(self.l(), n) }
    }

    /// Makes sure that `n` more values fit; false if the stack may not grow that far.
    pub fn has_room(self, n: c_int) -> bool {
        unsafe { ffi::lua_checkstack(self.l(), n) != 0 }
    }

    /// [`Stack::has_room`], or the error with this text that Lua's own libraries raise.
    pub fn need_room(self, n: c_int, message: &str) -> Result<(), Raise> {
        if self.has_room(n) { Ok(()) } else { Err(self.error(format_args!("stack overflow ({message})"))) }
    }

    pub fn push_copy(self, index: c_int) {
        unsafe { ffi::lua_pushvalue(self.l(), index) }
    }

    pub fn insert(self, index: c_int) {
        unsafe { ffi::lua_insert(self.l(), index) }
    }

    pub fn remove(self, index: c_int) {
        unsafe { ffi::lua_remove(self.l(), index) }
    }

    pub fn replace(self, index: c_int) {
        unsafe { ffi::lua_replace(self.l(), index) }
    }

    pub fn kind(self, index: c_int) -> Kind {
        match unsafe { ffi::lua_type(self.l(), index) } {
            ffi::LUA_TNIL => Kind::Nil,
            ffi::LUA_TBOOLEAN => Kind::Boolean,
            ffi::LUA_TLIGHTUSERDATA => Kind::LightUserdata,
            ffi::LUA_TNUMBER => Kind::Number,
            ffi::LUA_TSTRING => Kind::String,
            ffi::LUA_TTABLE => Kind::Table,
            ffi::LUA_TFUNCTION => Kind::Function,
            ffi::LUA_TUSERDATA => Kind::Userdata,
            ffi::LUA_TTHREAD => Kind::Thread,
            _ => Kind::None,
        }
    }

    pub fn is_nil_or_none(self, index: c_int) -> bool {
        matches!(self.kind(index), Kind::Nil | Kind::None)
    }

    /// A number, or a string that reads as one.
    pub fn is_number(self, index: c_int) -> bool {
        unsafe { ffi::lua_isnumber(self.l(), index) != 0 }
    }

    /// A string or a number.
    pub fn is_string(self, index: c_int) -> bool {
        unsafe { ffi::lua_isstring(self.l(), index) != 0 }
    }

    pub fn to_boolean(self, index: c_int) -> bool {
        unsafe { ffi::lua_toboolean(self.l(), index) != 0 }
    }

    /// The number, also one that a string reads as; 0 of anything else.
    pub fn to_number(self, index: c_int) -> f64 {
        unsafe { ffi::lua_tonumber(self.l(), index) }
    }

    pub fn to_integer(self, index: c_int) -> i64 {
        integer(self.to_number(index))
    }

    pub fn to_userdata(self, index: c_int) -> *mut c_void {
        unsafe { ffi::lua_touserdata(self.l(), index) }
    }

    /// The address of a table, function or thread: what tells it from others.
    pub fn address(self, index: c_int) -> *const c_void {
        unsafe { ffi::lua_topointer(self.l(), index) }
    }

    /// The bytes of a string; a number on the stack becomes one. To be used only while the value is on the
    /// stack.
    pub fn bytes<'a>(self, index: c_int) -> Option<&'a [u8]> {
        let mut len = 0;
        let start = unsafe { ffi::lua_tolstring(self.l(), index, &mut len) };
        // SAFETY: Lua's strings are contiguous and do not move.
        (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start.cast(), len) })
    }

    /// As [`Stack::bytes`], up to the first zero byte: what C code takes for a string.
    pub fn text<'a>(self, index: c_int) -> Option<&'a [u8]> {
        self.bytes(index).map(|bytes| memchr::memchr(0, bytes).map_or(bytes, |end| &bytes[..end]))
    }

    pub fn length(self, index: c_int) -> usize {
        unsafe { ffi::lua_objlen(self.l(), index) }
    }

    pub fn push_nil(self) {
        unsafe { ffi::lua_pushnil(self.l()) }
    }

    pub fn push_boolean(self, value: bool) {
        unsafe { ffi::lua_pushboolean(self.l(), value as c_int) }
    }

    pub fn push_number(self, value: f64) {
        unsafe { ffi::lua_pushnumber(self.l(), value) }
    }

    pub fn push_bytes(self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        unsafe { ffi::lua_pushlstring_(self.l(), bytes.as_ptr().cast(), bytes.len()) }
    }

    /// The null pointer, which is `cjson.null`.
    pub fn push_null_pointer(self) {
        unsafe { ffi::lua_pushlightuserdata(self.l(), std::ptr::null_mut()) }
    }

    /// A closure over the `values` on top of the stack.
    pub fn push_function(self, function: Function, values: c_int) {
        unsafe { ffi::lua_pushcclosure(self.l(), function, values) }
    }

    /// A block of memory that lives as long as a script can reach it. `T` has nothing to destroy.
    pub fn push_userdata<T: Copy>(self, value: T) {
        const { assert!(align_of::<T>() <= ALIGN_BYTES) };
        unsafe { ffi::lua_newuserdata(self.l(), size_of::<T>()).cast::<T>().write(value) }
    }

    /// What [`Stack::push_userdata`] has put into the block at this index, for a closure's own value.
    ///
    /// # Panics
    /// If there is no block.
    pub fn userdata<'a, T: Copy>(self, index: c_int) -> &'a Cell<T> {
        let block = self.to_userdata(index);
        assert!(!block.is_null(), "a closure of ours has its own value");
        // SAFETY: own values of closures cannot be reached by scripts, so the block is one of the type that the
        // function's module has pushed; it lives as long as the function that runs.
        unsafe { &*block.cast::<Cell<T>>() }
    }

    /// The function of C at this index.
    pub fn to_function(self, index: c_int) -> Option<Function> {
        unsafe { ffi::lua_tocfunction(self.l(), index) }
    }

    pub fn new_table(self, items: usize, pairs: usize) {
        let hint = |n: usize| c_int::try_from(n).unwrap_or(0);
        unsafe { ffi::lua_createtable(self.l(), hint(items), hint(pairs)) }
    }

    /// Replaces the key on top by its value in the table.
    pub fn raw_get(self, table: c_int) {
        unsafe { ffi::lua_rawget_(self.l(), table) }
    }

    /// Takes key and value from the top. The key is neither nil nor NaN.
    pub fn raw_set(self, table: c_int) {
        unsafe { ffi::lua_rawset(self.l(), table) }
    }

    pub fn raw_get_at(self, table: c_int, n: c_int) {
        unsafe { ffi::lua_rawgeti_(self.l(), table, n) }
    }

    pub fn raw_set_at(self, table: c_int, n: c_int) {
        unsafe { ffi::lua_rawseti_(self.l(), table, n) }
    }

    /// Pushes the value of a field of the table at `table`.
    pub fn field(self, table: c_int, name: &str) {
        let table = self.absolute(table);
        self.push_bytes(name);
        self.raw_get(table);
    }

    /// Takes the value on top as a field of the table at `table`.
    pub fn set_field(self, table: c_int, name: &str) {
        let table = self.absolute(table);
        self.push_bytes(name);
        self.insert(-2);
        self.raw_set(table);
    }

    fn absolute(self, index: c_int) -> c_int {
        if index < 0 && index > REGISTRY { self.top() + 1 + index } else { index }
    }

    /// Replaces the key on top by the next key and its value; false, and nothing, at the end of the table.
    /// The key is one of the table's, or nil for its beginning.
    pub fn next(self, table: c_int) -> bool {
        unsafe { ffi::lua_next(self.l(), table) != 0 }
    }

    /// Pushes the metatable of a value, if it has one.
    pub fn metatable(self, index: c_int) -> bool {
        unsafe { ffi::lua_getmetatable(self.l(), index) != 0 }
    }

    /// Takes the table on top as metatable of a value.
    pub fn set_metatable(self, index: c_int) {
        unsafe { ffi::lua_setmetatable(self.l(), index) };
    }

    /// Keeps the value on top in the registry; its number there.
    pub fn keep(self) -> c_int {
        unsafe { ffi::luaL_ref(self.l(), REGISTRY) }
    }

    /// Gives up a number of [`Stack::keep`].
    pub fn forget(self, kept: c_int) {
        unsafe { ffi::luaL_unref(self.l(), REGISTRY, kept) }
    }

    /// Pushes what was kept under a number.
    pub fn kept(self, number: c_int) {
        self.raw_get_at(REGISTRY, number);
    }

    /// Calls the function below its `args` protected. The handler of errors is at index `handler`, 0 for none.
    pub fn protected_call(self, args: c_int, results: c_int, handler: c_int) -> Status {
        match unsafe { ffi::lua_pcall(self.l(), args, results, handler) } {
            0 => Status::Ok,
            _ => Status::Failed,
        }
    }

    /// Calls the function below its `args`, which may raise an error.
    ///
    /// # Safety
    /// No frame between this one and the one that Lua called has anything to be destroyed.
    pub unsafe fn call(self, args: c_int, results: c_int) {
        unsafe { ffi::lua_call(self.l(), args, results) }
    }

    /// Compiles a chunk: pushes its function, or a message. Code that was compiled before is text that does not
    /// parse. Nothing is collected meanwhile: the parser of Lua 5.1 holds objects that the collector does not
    /// see (CVE-2025-49844).
    pub fn load(self, chunk: &[u8], name: &CStr) -> Status {
        struct Rest<'a>(&'a [u8], bool);
        unsafe extern "C-unwind" fn read(
            _state: *mut State,
            rest: *mut c_void,
            size: *mut usize,
        ) -> *const std::ffi::c_char {
            // SAFETY: `load` passes its `Rest`, and nobody else uses it meanwhile.
            let rest = unsafe { &mut *rest.cast::<Rest<'_>>() };
            // The text begins with a space if it looked like compiled code otherwise, which is told by the
            // first byte.
            let part: &[u8] = if std::mem::take(&mut rest.1) { b" " } else { std::mem::take(&mut rest.0) };
            unsafe { *size = part.len() };
            part.as_ptr().cast()
        }
        if chunk.len() > MAX_CHUNK_BYTES {
            self.push_bytes("chunk is too long");
            return Status::Failed;
        }
        let is_binary = chunk.first() == Some(&ffi::LUA_SIGNATURE[0]);
        let mut rest = Rest(chunk, is_binary);
        unsafe {
            ffi::lua_gc(self.l(), ffi::LUA_GCSTOP, 0);
            let status = ffi::lua_load(self.l(), read, (&raw mut rest).cast(), name.as_ptr());
            ffi::lua_gc(self.l(), ffi::LUA_GCRESTART, 0);
            if status == 0 { Status::Ok } else { Status::Failed }
        }
    }

    /// Bytes that the interpreter uses, as Lua counts them.
    pub fn used_bytes(self) -> usize {
        let (kilobytes, rest) = unsafe {
            (ffi::lua_gc(self.l(), ffi::LUA_GCCOUNT, 0), ffi::lua_gc(self.l(), ffi::LUA_GCCOUNTB, 0))
        };
        kilobytes as usize * 1024 + rest as usize
    }

    /// Does a part of the collector's work.
    pub fn collect_step(self, kilobytes: c_int) {
        unsafe { ffi::lua_gc(self.l(), ffi::LUA_GCSTEP, kilobytes) };
    }

    /// Collects all garbage.
    pub fn collect(self) {
        unsafe { ffi::lua_gc(self.l(), ffi::LUA_GCCOLLECT, 0) };
    }

    /// Has `hook` called after each so many instructions of this thread and those it creates.
    pub fn hook_instructions(self, hook: Hook, instructions: c_int) {
        unsafe { ffi::lua_sethook(self.l(), Some(hook), ffi::LUA_MASKCOUNT, instructions) };
    }

    /// Has `hook` called before each line of this thread and those it creates.
    pub fn hook_lines(self, hook: Hook) {
        unsafe { ffi::lua_sethook(self.l(), Some(hook), ffi::LUA_MASKLINE, 0) };
    }

    /// The function at a level of the running calls, 0 being the one that runs.
    pub fn frame(self, level: c_int) -> Option<Frame> {
        // SAFETY: the record is plain data that the two calls fill; the texts are copied while the function is
        // on the stack of calls.
        unsafe {
            let mut record: ffi::lua_Debug = std::mem::zeroed();
            if ffi::lua_getstack(self.l(), level, &mut record) == 0 {
                return None;
            }
            ffi::lua_getinfo(self.l(), c"nSl".as_ptr(), &mut record);
            let copy = |text: *const std::ffi::c_char| {
                (!text.is_null()).then(|| CStr::from_ptr(text).to_bytes().to_vec())
            };
            Some(Frame {
                is_native: copy(record.what).as_deref() == Some(b"C"),
                is_method: copy(record.namewhat).as_deref() == Some(b"method"),
                name: copy(record.name),
                source: copy(record.source).unwrap_or_default(),
                short_source: CStr::from_ptr(record.short_src.as_ptr()).to_bytes().to_vec(),
                line: record.currentline,
            })
        }
    }

    /// The place of a frame, as messages begin: `user_script:1: `, or nothing if it has no lines.
    fn position(self, level: c_int) -> Vec<u8> {
        match self.frame(level) {
            Some(frame) if frame.line > 0 => {
                [frame.short_source.as_slice(), format!(":{}: ", frame.line).as_bytes()].concat()
            }
            _ => Vec::new(),
        }
    }

    /// Pushes a message that begins with the place of the caller, as Lua's libraries do it.
    pub fn error(self, message: impl std::fmt::Display) -> Raise {
        self.error_bytes(message.to_string().as_bytes())
    }

    /// [`Stack::error`] for messages that need not be text.
    pub fn error_bytes(self, message: &[u8]) -> Raise {
        let message = [self.position(1).as_slice(), message].concat();
        self.make_room_for_error();
        self.push_bytes(message);
        Raise
    }

    /// What lies on a full stack is lost with the error that is going to be raised, so it may be dropped now.
    fn make_room_for_error(self) {
        if !self.has_room(1) {
            self.set_top(1);
        }
    }

    /// Pushes a message that says nothing of its place.
    pub fn plain_error(self, message: &str) -> Raise {
        self.make_room_for_error();
        self.push_bytes(message);
        Raise
    }

    /// A complaint about argument `arg` of the running function.
    pub fn arg_error(self, arg: c_int, message: impl std::fmt::Display) -> Raise {
        let Some(frame) = self.frame(0) else {
            return self.error(format_args!("bad argument #{arg} ({message})"));
        };
        let name = frame.name.unwrap_or_else(|| b"?".to_vec());
        let name = name.escape_ascii();
        if !frame.is_method {
            return self.error(format_args!("bad argument #{arg} to '{name}' ({message})"));
        }
        match arg - 1 {
            0 => self.error(format_args!("calling '{name}' on bad self ({message})")),
            arg => self.error(format_args!("bad argument #{arg} to '{name}' ({message})")),
        }
    }

    fn type_error(self, arg: c_int, expected: &str) -> Raise {
        self.arg_error(arg, format_args!("{expected} expected, got {}", self.kind(arg).name()))
    }

    /// Argument `arg` as a number.
    pub fn check_number(self, arg: c_int) -> Result<f64, Raise> {
        if self.is_number(arg) { Ok(self.to_number(arg)) } else { Err(self.type_error(arg, "number")) }
    }

    /// Argument `arg` as an integer.
    pub fn check_integer(self, arg: c_int) -> Result<i64, Raise> {
        self.check_number(arg).map(integer)
    }

    /// Argument `arg` as an integer; `default` if it is missing or nil.
    pub fn check_integer_or(self, arg: c_int, default: i64) -> Result<i64, Raise> {
        if self.is_nil_or_none(arg) { Ok(default) } else { self.check_integer(arg) }
    }

    /// Argument `arg` as a string; see [`Stack::bytes`].
    pub fn check_bytes<'a>(self, arg: c_int) -> Result<&'a [u8], Raise> {
        self.bytes(arg).ok_or_else(|| self.type_error(arg, "string"))
    }

    /// Complains unless argument `arg` is a table.
    pub fn check_table(self, arg: c_int) -> Result<(), Raise> {
        if self.kind(arg) == Kind::Table { Ok(()) } else { Err(self.type_error(arg, "table")) }
    }

    /// Complains if argument `arg` is missing.
    pub fn check_any(self, arg: c_int) -> Result<(), Raise> {
        if self.kind(arg) == Kind::None { Err(self.arg_error(arg, "value expected")) } else { Ok(()) }
    }
}

/// Makes a function that Lua can call of a check and the function of C that is the closure's first own value: if the
/// check finds nothing wrong, the other runs in its place, on the same stack.
#[macro_export]
#[doc(hidden)]
macro_rules! script_guarded {
    ($check:expr) => {{
        unsafe extern "C-unwind" fn entry(state: *mut $crate::script::lua::State) -> std::ffi::c_int {
            // SAFETY: Lua calls this with the state of the running thread.
            let stack = unsafe { $crate::script::lua::Stack::of(state) };
            let check: fn($crate::script::lua::Stack) -> Result<(), $crate::script::lua::Raise> = $check;
            let guarded = match check(stack) {
                Ok(()) => stack.to_function($crate::script::lua::upvalue(1)),
                Err($crate::script::lua::Raise) => None,
            };
            // SAFETY: the check has returned, so there is nothing in this frame to be destroyed when the other
            // function, or we, jump out of it. The other function is one that Lua may call.
            unsafe {
                match guarded {
                    Some(guarded) => guarded(state),
                    None => stack.jump(),
                }
            }
        }
        entry as $crate::script::lua::Function
    }};
}
pub use crate::script_guarded as guarded;

/// Makes a handler of errors of a condition and the handler that is the closure's first own value: where the
/// condition holds, the error is left as it is, and nothing of a script runs.
#[macro_export]
#[doc(hidden)]
macro_rules! script_handler {
    ($is_left:expr) => {{
        unsafe extern "C-unwind" fn entry(state: *mut $crate::script::lua::State) -> std::ffi::c_int {
            // SAFETY: Lua calls this with the state of the running thread.
            let stack = unsafe { $crate::script::lua::Stack::of(state) };
            let is_left: fn($crate::script::lua::Stack) -> bool = $is_left;
            if !is_left(stack) {
                stack.push_copy($crate::script::lua::upvalue(1));
                stack.insert(1);
                // SAFETY: there is nothing in this frame to be destroyed when the handler jumps out of it.
                unsafe { stack.call(1, 1) };
            }
            1
        }
        entry as $crate::script::lua::Function
    }};
}
pub use crate::script_handler as handler;

/// What is known of a running function.
pub struct Frame {
    pub is_native: bool,
    is_method: bool,
    name: Option<Vec<u8>>,
    /// The chunk's name, with the `@` or `=` that it began with.
    pub source: Vec<u8>,
    short_source: Vec<u8>,
    /// -1 if unknown.
    pub line: c_int,
}

/// A function that Lua calls while it runs a script.
pub type Hook = ffi::lua_Hook;

/// Makes a [`Hook`] of a function that may raise an error.
#[macro_export]
#[doc(hidden)]
macro_rules! script_hook {
    ($body:expr) => {{
        unsafe extern "C-unwind" fn entry(
            state: *mut $crate::script::lua::State,
            _record: *mut mlua_sys::lua_Debug,
        ) {
            // SAFETY: Lua calls this with the state of the running thread.
            let stack = unsafe { $crate::script::lua::Stack::of(state) };
            let body: fn($crate::script::lua::Stack) -> Result<(), $crate::script::lua::Raise> = $body;
            if let Err($crate::script::lua::Raise) = body(stack) {
                // SAFETY: the body has returned, so there is nothing in this frame to be destroyed.
                unsafe { stack.jump() }
            }
        }
        entry as $crate::script::lua::Hook
    }};
}
pub use crate::script_hook as hook;

/// A number without its fraction, as C converts it on the processors that Redis runs on.
pub fn integer(n: f64) -> i64 {
    // 2^63 is exact as a double, 2^63 - 1 is not.
    const LIMIT: f64 = (1_u64 << 63) as f64;
    if (-LIMIT..LIMIT).contains(&n) { n as i64 } else { i64::MIN }
}

/// An interpreter: its main thread, closed when dropped. Belongs to one thread of the process.
pub struct Owned(Stack);

/// The memory of an interpreter comes from the process's allocator, so that it is counted with everything else.
unsafe extern "C" fn allocate(
    _data: *mut c_void,
    block: *mut c_void,
    old_bytes: usize,
    new_bytes: usize,
) -> *mut c_void {
    let layout = |bytes: usize| Layout::from_size_align(bytes, ALIGN_BYTES);
    // SAFETY: Lua passes the size that a block was asked for with, 0 for none, and frees by asking for none.
    unsafe {
        let Ok(old) = layout(old_bytes) else { return std::ptr::null_mut() };
        if new_bytes == 0 {
            if !block.is_null() && old_bytes > 0 {
                if cfg!(debug_assertions) {
                    // Tests shall notice whoever uses what the collector has freed.
                    block.cast::<u8>().write_bytes(FREED, old_bytes);
                }
                alloc::dealloc(block.cast(), old);
            }
            return std::ptr::null_mut();
        }
        let Ok(new) = layout(new_bytes) else { return std::ptr::null_mut() };
        let got = if block.is_null() || old_bytes == 0 {
            alloc::alloc(new)
        } else {
            alloc::realloc(block.cast(), old, new_bytes)
        };
        // Lua counts on a block that becomes smaller.
        if got.is_null() && (new_bytes < LARGE_BLOCK_BYTES || new_bytes <= old_bytes) {
            alloc::handle_alloc_error(new);
        }
        got.cast()
    }
}

impl Owned {
    /// An interpreter without any library. `own_data` is what [`Stack::own_data`] returns.
    pub fn new(own_data: *mut c_void) -> Owned {
        // SAFETY: the allocator keeps Lua's contract.
        let state = unsafe { ffi::lua_newstate(allocate, own_data) };
        let Some(state) = NonNull::new(state) else {
            alloc::handle_alloc_error(Layout::new::<[u8; 1024]>());
        };
        Owned(Stack(state))
    }

    pub fn stack(&self) -> Stack {
        self.0
    }

    /// Opens the libraries of Lua that scripts may use parts of.
    pub fn open_libraries(&self) {
        let libraries: [(&CStr, Function); 5] = [
            (c"", ffi::luaopen_base),
            (c"table", ffi::luaopen_table),
            (c"string", ffi::luaopen_string),
            (c"math", ffi::luaopen_math),
            (c"os", ffi::luaopen_os),
        ];
        for (name, open) in libraries {
            // SAFETY: each function takes its name and raises an error only for lack of memory.
            unsafe {
                ffi::lua_pushcclosure(self.0.l(), open, 0);
                ffi::lua_pushstring_(self.0.l(), name.as_ptr());
                ffi::lua_call(self.0.l(), 1, 0);
            }
        }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: nobody runs in it, and no value in it has a finaliser that could (scripts cannot make one).
        unsafe { ffi::lua_close(self.0.l()) }
    }
}
