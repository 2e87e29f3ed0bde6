//! What scripts find in the tables `redis` and `server`, and the server's `math.random`.

use super::convert::{error_value, push_counted_error, push_error, push_reply};
use super::engine::{Refusal, Shared};
use super::library::{self, FunctionFlags, Registered};
use super::lua::{Function, GLOBALS, Kind, Outcome, Raise, Stack, function};
use super::sandbox::{self, Purpose};
use crate::REDIS_VERSION;
use crate::resp::reply::Proto;
use crate::resp::scan::Span;
use crate::types::number;
use bytes::Bytes;
use sha1::{Digest, Sha1};
use std::sync::atomic::{AtomicU64, Ordering};

/// An argument of at least this size is copied into a buffer that the command can keep.
const LARGE_ARG_FROM_BYTES: usize = 16 * 1024;

/// How important a message is, as scripts number it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    Debug,
    Verbose,
    Notice,
    Warning,
}

/// Where effects of a script's commands go; bits as scripts give them.
const REPLICATE_AOF: i64 = 1;
const REPLICATE_REPLICAS: i64 = 2;

/// Creates the tables `redis` and `server`, which are one.
pub fn open(stack: Stack, purpose: Purpose) {
    stack.new_table(0, 32);
    let functions: [(&str, Function); 9] = [
        ("call", function!(|stack| command(stack, true))),
        ("pcall", function!(|stack| command(stack, false))),
        ("setresp", function!(set_protocol)),
        ("sha1hex", function!(sha1_hex)),
        ("error_reply", function!(error_reply)),
        ("status_reply", function!(status_reply)),
        ("set_repl", function!(set_replication)),
        ("acl_check_cmd", function!(may_run)),
        ("log", function!(log)),
    ];
    for (name, function) in functions {
        stack.push_function(function, 0);
        stack.set_field(-2, name);
    }
    if purpose == Purpose::Eval {
        let functions: [(&str, Function); 3] = [
            ("breakpoint", function!(no_breakpoint)),
            ("debug", function!(|_| Ok(0))),
            ("replicate_commands", function!(replicate_commands)),
        ];
        for (name, function) in functions {
            stack.push_function(function, 0);
            stack.set_field(-2, name);
        }
    }
    let replication =
        [("NONE", 0), ("AOF", REPLICATE_AOF), ("SLAVE", REPLICATE_REPLICAS), ("REPLICA", REPLICATE_REPLICAS)];
    for (name, bits) in replication.into_iter().chain([("ALL", REPLICATE_AOF | REPLICATE_REPLICAS)]) {
        stack.push_number(bits as f64);
        stack.set_field(-2, &format!("REPL_{name}"));
    }
    constants(stack);
    stack.push_copy(-1);
    stack.set_field(GLOBALS, "redis");
    stack.set_field(GLOBALS, "server");
}

/// Fields of the table on top that are there while a library is loaded as well.
fn constants(stack: Stack) {
    for (level, name) in ["DEBUG", "VERBOSE", "NOTICE", "WARNING"].iter().enumerate() {
        stack.push_number(level as f64);
        stack.set_field(-2, &format!("LOG_{name}"));
    }
    stack.push_bytes(REDIS_VERSION);
    stack.set_field(-2, "REDIS_VERSION");
    // One byte for each part.
    let number = REDIS_VERSION.split('.').fold(0_u32, |number, part| number << 8 | part.parse().unwrap_or(0));
    stack.push_number(number as f64);
    stack.set_field(-2, "REDIS_VERSION_NUM");
}

/// Makes and keeps what a library finds in the place of globals while it is loaded.
pub fn library_globals(stack: Stack, shared: &Shared) {
    stack.new_table(0, 2);
    stack.new_table(0, 8);
    stack.push_function(function!(register_function), 0);
    stack.set_field(-2, "register_function");
    stack.push_function(function!(log), 0);
    stack.set_field(-2, "log");
    constants(stack);
    sandbox::refuse_missing(stack);
    sandbox::stand_in(stack, shared);
    stack.push_copy(-1);
    stack.set_field(-3, "redis");
    stack.set_field(-2, "server");
    sandbox::refuse_missing(stack);
    shared.library_globals.set(stack.keep());
}

/// Puts the server's generator of random numbers in the place of the C library's.
pub fn open_random(stack: Stack) {
    stack.field(GLOBALS, "math");
    stack.push_function(function!(random), 0);
    stack.set_field(-2, "random");
    stack.push_function(function!(random_seed), 0);
    stack.set_field(-2, "randomseed");
    stack.pop(1);
}

/// Raises an error value of the server's, with this text.
fn raise(stack: Stack, text: &str) -> Raise {
    push_error(stack, text.as_bytes());
    Raise
}

/// The arguments of the running function as those of a command. Without any, or if one is neither string nor
/// number, pushes an error value.
fn arguments(stack: Stack, shared: &Shared) -> Result<Box<super::engine::Scratch>, Raise> {
    let count = stack.top();
    if count == 0 {
        return Err(raise(stack, "Please specify at least one argument for this redis lib call"));
    }
    let mut scratch = shared.scratch.take().unwrap_or_default();
    scratch.clear();
    for index in 1..=count {
        let start = scratch.args.len();
        match stack.kind(index) {
            Kind::Number => {
                let value = stack.to_number(index);
                match number::exact_integer(value) {
                    Some(n) => number::write_i64(&mut scratch.args, n),
                    None => number::write_f64(&mut scratch.args, value),
                }
            }
            Kind::String => {
                let bytes = stack.bytes(index).unwrap_or_default();
                if bytes.len() >= LARGE_ARG_FROM_BYTES {
                    let number = scratch.large.len() as u32;
                    scratch.large.push(Bytes::copy_from_slice(bytes));
                    scratch.spans.push(Span::Large(number));
                    continue;
                }
                scratch.args.extend_from_slice(bytes);
            }
            _ => {
                shared.scratch.set(Some(scratch));
                return Err(raise(stack, "Lua redis lib command arguments must be strings or integers"));
            }
        }
        let len = (scratch.args.len() - start) as u32;
        scratch.spans.push(Span::Buffered { start: start as u32, len });
    }
    stack.set_top(0);
    Ok(scratch)
}

/// `redis.call` and `redis.pcall`, which returns an error and does not raise it.
fn command(stack: Stack, raises: bool) -> Outcome {
    let shared = Shared::of(stack);
    let result = arguments(stack, shared);
    let mut scratch = match result {
        Ok(scratch) => scratch,
        Err(Raise) if raises => return Err(Raise),
        Err(Raise) => return Ok(1),
    };
    let run = shared.run();
    if let Some(verdict) = &run.ending {
        push_error(stack, verdict.message().as_bytes());
        shared.scratch.set(Some(scratch));
        return Err(Raise);
    }
    scratch.reply.set_proto(run.proto);
    let super::engine::Scratch { args, large, spans, reply } = &mut *scratch;
    let request = crate::resp::scan::Request::new(args, large, spans);
    let is_error = match run.caller.call(request, reply) {
        Ok(()) => push_reply(stack, &scratch.reply),
        Err(Refusal::Error(line)) => {
            push_counted_error(stack, &line);
            true
        }
        Err(Refusal::Abandon) => {
            shared.end(stack, super::engine::Ending::Abandoned);
            push_error(stack, super::engine::Ending::Abandoned.message().as_bytes());
            shared.scratch.set(Some(scratch));
            return Err(Raise);
        }
    };
    shared.scratch.set(Some(scratch));
    if is_error && raises { Err(Raise) } else { Ok(1) }
}

fn set_protocol(stack: Stack) -> Outcome {
    if stack.top() != 1 {
        return Err(raise(stack, "redis.setresp() requires one argument."));
    }
    let proto = match stack.to_integer(1) {
        2 => Proto::Resp2,
        3 => Proto::Resp3,
        _ => return Err(raise(stack, "RESP version must be 2 or 3.")),
    };
    Shared::of(stack).run().proto = proto;
    Ok(0)
}

/// The hexadecimal digits of a SHA1, as scripts are named by.
pub fn sha1_digits(bytes: &[u8]) -> String {
    Sha1::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sha1_hex(stack: Stack) -> Outcome {
    if stack.top() != 1 {
        return Err(raise(stack, "wrong number of arguments"));
    }
    let digits = sha1_digits(stack.bytes(1).unwrap_or_default());
    stack.push_bytes(digits);
    Ok(1)
}

fn error_reply(stack: Stack) -> Outcome {
    if stack.top() != 1 || stack.kind(1) != Kind::String {
        push_error(stack, b"wrong number or type of arguments");
        return Ok(1);
    }
    let text = stack.text(1).unwrap_or_default();
    if text.first() == Some(&b'-') {
        push_error(stack, text);
    } else {
        push_error(stack, &[b"-", text].concat());
    }
    Ok(1)
}

fn status_reply(stack: Stack) -> Outcome {
    if stack.top() != 1 || stack.kind(1) != Kind::String {
        push_error(stack, b"wrong number or type of arguments");
        return Ok(1);
    }
    stack.new_table(0, 1);
    stack.push_copy(1);
    stack.set_field(-2, "ok");
    Ok(1)
}

fn set_replication(stack: Stack) -> Outcome {
    if stack.top() != 1 {
        return Err(raise(stack, "redis.set_repl() requires one argument."));
    }
    let targets = stack.to_integer(1);
    if targets & !(REPLICATE_AOF | REPLICATE_REPLICAS) != 0 {
        return Err(raise(
            stack,
            "Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.",
        ));
    }
    let run = Shared::of(stack).run();
    run.caller.set_replication(targets & REPLICATE_AOF != 0, targets & REPLICATE_REPLICAS != 0);
    Ok(0)
}

fn may_run(stack: Stack) -> Outcome {
    let shared = Shared::of(stack);
    let scratch = arguments(stack, shared)?;
    let allowed = shared.run().caller.may_run(scratch.request());
    shared.scratch.set(Some(scratch));
    match allowed {
        Some(allowed) => {
            stack.push_boolean(allowed);
            Ok(1)
        }
        None => Err(raise(stack, "Invalid command passed to redis.acl_check_cmd()")),
    }
}

fn log(stack: Stack) -> Outcome {
    let count = stack.top();
    if count < 2 {
        return Err(raise(stack, "redis.log() requires two arguments or more."));
    }
    if !stack.is_number(1) {
        return Err(raise(stack, "First argument must be a number (log level)."));
    }
    let level = match stack.to_integer(1) as i32 {
        0 => Level::Debug,
        1 => Level::Verbose,
        2 => Level::Notice,
        3 => Level::Warning,
        _ => return Err(raise(stack, "Invalid log level.")),
    };
    let mut message = Vec::new();
    for index in 2..=count {
        if let Some(part) = stack.bytes(index) {
            if index > 2 {
                message.push(b' ');
            }
            message.extend_from_slice(part);
        }
    }
    super::engine::log(level, &message);
    Ok(0)
}

/// There is no debugger to stop in.
fn no_breakpoint(stack: Stack) -> Outcome {
    stack.push_boolean(false);
    Ok(1)
}

/// Effects are always what is replicated.
fn replicate_commands(stack: Stack) -> Outcome {
    stack.push_boolean(true);
    Ok(1)
}

/// Makes an error value of any error and notes where it was raised: what `__redis__err__handler` does.
pub fn error_handler(stack: Stack) -> Outcome {
    stack.set_top(1);
    let place = match stack.frame(1) {
        Some(frame) if frame.is_native => stack.frame(2),
        frame => frame,
    };
    if stack.kind(1) != Kind::Table {
        let message = match stack.kind(1) {
            Kind::Boolean if stack.to_boolean(1) => b"true".to_vec(),
            Kind::Boolean => b"false".to_vec(),
            kind @ (Kind::Nil | Kind::None) => kind.name().into(),
            kind => match stack.bytes(1) {
                Some(text) => text.to_vec(),
                None => format!("{}: {:p}", kind.name(), stack.address(1)).into_bytes(),
            },
        };
        stack.new_table(0, 3);
        stack.push_bytes([b"ERR ".as_slice(), &message].concat());
        stack.set_field(-2, "err");
        stack.replace(1);
    }
    if let Some(place) = place {
        stack.push_bytes(place.source);
        stack.set_field(1, "source");
        stack.push_number(place.line as f64);
        stack.set_field(1, "line");
    }
    Ok(1)
}

/// The state of the generator, which all interpreters share: 48 bits, as Redis starts it. A sequence is the
/// same after every start, but no two scripts get the same part of it.
static RANDOM: AtomicU64 = AtomicU64::new(0x1234_ABCD_330E);

/// The largest number that [`next_random`] returns.
const RANDOM_MAX: u32 = i32::MAX as u32;

/// The next 31 bits of the generator of `lrand48`.
fn next_random() -> u32 {
    let step = |state: u64| (state.wrapping_mul(0x5_DEEC_E66D) + 0xB) & 0xFFFF_FFFF_FFFF;
    let before = RANDOM.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |state| Some(step(state)));
    let (Ok(before) | Err(before)) = before;
    (step(before) >> 17) as u32
}

fn random(stack: Stack) -> Outcome {
    let fraction = (next_random() % RANDOM_MAX) as f64 / RANDOM_MAX as f64;
    let value = match stack.top() {
        0 => fraction,
        1 => {
            let high = stack.check_integer(1)? as i32;
            if high < 1 {
                return Err(stack.arg_error(1, "interval is empty"));
            }
            (fraction * high as f64).floor() + 1.0
        }
        2 => {
            let (low, high) = (stack.check_integer(1)? as i32, stack.check_integer(2)? as i32);
            if low > high {
                return Err(stack.arg_error(2, "interval is empty"));
            }
            let width = high.wrapping_sub(low).wrapping_add(1);
            (fraction * width as f64).floor() + low as f64
        }
        _ => return Err(stack.error("wrong number of arguments")),
    };
    stack.push_number(value);
    Ok(1)
}

fn random_seed(stack: Stack) -> Outcome {
    let seed = stack.check_integer(1)? as u32;
    RANDOM.store((seed as u64) << 16 | 0x330E, Ordering::Relaxed);
    Ok(0)
}

/// `redis.register_function`, of which there are two forms: name and function, or a table of named arguments.
fn register_function(stack: Stack) -> Outcome {
    let shared = Shared::of(stack);
    if shared.run().loading.is_none() {
        return Err(raise(stack, "redis.register_function can only be called on FUNCTION LOAD command"));
    }
    let result = match stack.top() {
        1 => named_arguments(stack),
        2 => positional_arguments(stack),
        _ => Err("wrong number of arguments to redis.register_function".to_owned()),
    };
    let registered = result.map_err(|text| raise(stack, &text))?;
    let Some(loading) = &mut shared.run().loading else { return Ok(0) };
    let refused = if !library::is_valid_name(&registered.name) {
        library::INVALID_NAME
    } else if loading.functions.iter().any(|other| other.name == registered.name) {
        "Function already exists in the library"
    } else {
        loading.functions.push(registered);
        return Ok(0);
    };
    stack.forget(registered.callback);
    Err(raise(stack, refused))
}

fn positional_arguments(stack: Stack) -> Result<Registered, String> {
    let name = stack.bytes(1).ok_or("first argument to redis.register_function must be a string")?;
    if stack.kind(2) != Kind::Function {
        return Err("second argument to redis.register_function must be a function".to_owned());
    }
    let name = name.to_vec();
    stack.push_copy(2);
    Ok(Registered { name, description: None, flags: FunctionFlags::empty(), callback: stack.keep() })
}

fn named_arguments(stack: Stack) -> Result<Registered, String> {
    if stack.kind(1) != Kind::Table {
        return Err(
            "calling redis.register_function with a single argument is only applicable to Lua table \
                    (representing named arguments)."
                .to_owned(),
        );
    }
    let (mut name, mut description, mut flags) = (None, None, FunctionFlags::empty());
    let mut has_callback = false;
    // The callback stays on the stack, at 2.
    stack.push_nil();
    stack.push_nil();
    while stack.next(1) {
        if stack.kind(-2) != Kind::String {
            return Err("named argument key given to redis.register_function is not a string".to_owned());
        }
        let key = stack.bytes(-2).unwrap_or_default().to_ascii_lowercase();
        match key.as_slice() {
            b"function_name" => {
                let text = stack.bytes(-1);
                let text =
                    text.ok_or("function_name argument given to redis.register_function must be a string")?;
                name = Some(text.to_vec());
            }
            b"description" => {
                let text = stack.bytes(-1);
                let text =
                    text.ok_or("description argument given to redis.register_function must be a string")?;
                description = Some(text.to_vec());
            }
            b"callback" => {
                if stack.kind(-1) != Kind::Function {
                    return Err(
                        "callback argument given to redis.register_function must be a function".to_owned()
                    );
                }
                has_callback = true;
                stack.push_copy(-1);
                stack.replace(2);
            }
            b"flags" => {
                if stack.kind(-1) != Kind::Table {
                    return Err("flags argument to redis.register_function must be a table representing \
                                function flags"
                        .to_owned());
                }
                flags = read_flags(stack)?;
            }
            _ => return Err("unknown argument given to redis.register_function".to_owned()),
        }
        stack.pop(1);
    }
    let name = name.ok_or("redis.register_function must get a function name argument")?;
    if !has_callback {
        return Err("redis.register_function must get a callback argument".to_owned());
    }
    stack.push_copy(2);
    Ok(Registered { name, description, flags, callback: stack.keep() })
}

/// The flags in the table on top.
fn read_flags(stack: Stack) -> Result<FunctionFlags, String> {
    let mut flags = FunctionFlags::empty();
    for n in 1.. {
        stack.raw_get_at(-1, n);
        let flag = match stack.kind(-1) {
            Kind::Nil => None,
            _ => Some(stack.bytes(-1).and_then(FunctionFlags::named).ok_or("unknown flag given")?),
        };
        stack.pop(1);
        match flag {
            Some(flag) => flags |= flag,
            None => break,
        }
    }
    Ok(flags)
}

/// The line of the error value on top of the stack, for messages of the loader.
pub fn error_line(stack: Stack) -> Vec<u8> {
    error_value(stack).failure.line
}
