//! An interpreter, and one run of a script or function in it.
//!
//! Each worker has an interpreter of its own for scripts and one for functions, made when they are first used.
//! A run calls commands through its [`Caller`]; it knows nothing of what that locks or where it comes from.

use super::api::{self, Level};
use super::convert::{Failure, Writer, error_value, push_error};
use super::library::Registered;
use super::lua::{self, GLOBALS, Owned, Raise, Stack, Status, hook};
use super::sandbox::{self, Purpose};
use crate::resp::reply::{Proto, Reply};
use crate::resp::scan::{Request, Span};
use bytes::Bytes;
use std::cell::Cell;
use std::ffi::c_int;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

/// After this many instructions a run asks whether it is to go on (Redis's figure).
const INSTRUCTIONS_PER_CHECK: c_int = 100_000;

/// After this many runs the collector is given a part of its work outside of a run, and how much, kB (Redis's
/// figures).
const RUNS_PER_COLLECTION: u32 = 50;
const COLLECTED_KB: c_int = 50;

/// A worker's buffers for the commands of scripts keep at most this much memory.
const KEEP_SCRATCH_BYTES: usize = 64 * 1024;

/// Of an error value that is no table, a reply repeats at most this much (Redis's figure).
const MAX_PLAIN_ERROR_BYTES: usize = 100;

/// Why a command of a script was not run.
#[derive(Debug)]
pub enum Refusal {
    /// The script gets this error: a line that begins with `-` and its code, or a text of code `ERR`.
    Error(Vec<u8>),
    /// The run cannot go on, and is given up: whoever started it knows why.
    Abandon,
}

/// What a run is told when it asks whether to go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    GoOn,
    Kill,
}

/// What a script or function calls for its effects.
pub trait Caller {
    /// Runs a command and writes its reply, in the protocol that the reply buffer is set to.
    ///
    /// # Errors
    /// If the command was not run.
    fn call(&mut self, request: Request<'_>, reply: &mut Reply) -> Result<(), Refusal>;

    /// Whether the user may run a command; `None` if there is no such command.
    fn may_run(&mut self, request: Request<'_>) -> Option<bool>;

    /// Where effects of the commands that follow go: to the log, to replicas.
    fn set_replication(&mut self, log: bool, replicas: bool);

    /// Called now and then while the script runs.
    fn check(&mut self) -> Verdict;

    /// An error that a script made up stands within its result.
    fn failed(&mut self, failure: &Failure);
}

/// How a run is made to end before its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    Killed(Purpose),
    Abandoned,
    /// FUNCTION LOAD took too long.
    TimedOut,
}

impl Ending {
    /// The text of the error that ends the run.
    pub fn message(self) -> &'static str {
        match self {
            Ending::Killed(Purpose::Eval) => "Script killed by user with SCRIPT KILL.",
            Ending::Killed(Purpose::Functions) => "Script killed by user with FUNCTION KILL.",
            Ending::Abandoned => "Script abandoned",
            Ending::TimedOut => "FUNCTION LOAD timeout",
        }
    }
}

/// What a library registers while it is loaded.
pub struct Loading {
    pub functions: Vec<Registered>,
    /// No end: `None`.
    until: Option<Instant>,
}

/// The run that an interpreter is busy with.
pub struct Run<'a> {
    pub caller: &'a mut dyn Caller,
    /// As the script chose with `setresp`.
    pub proto: Proto,
    pub loading: Option<Loading>,
    /// Set when the run has to end: no command is run any more, and no `pcall` of the script lasts.
    pub ending: Option<Ending>,
    purpose: Purpose,
}

/// Buffers for the commands of scripts.
#[derive(Default)]
pub struct Scratch {
    pub args: Vec<u8>,
    pub spans: Vec<Span>,
    pub large: Vec<Bytes>,
    pub reply: Reply,
}

impl Scratch {
    pub fn clear(&mut self) {
        self.args.clear();
        self.args.shrink_to(KEEP_SCRATCH_BYTES);
        self.spans.clear();
        self.large.clear();
        self.reply.clear(KEEP_SCRATCH_BYTES);
    }

    pub fn request(&self) -> Request<'_> {
        Request::new(&self.args, &self.large, &self.spans)
    }
}

/// What the functions of an interpreter share: the argument of its allocator.
#[derive(Default)]
pub struct Shared {
    run: Cell<Option<NonNull<Run<'static>>>>,
    main: Cell<Option<Stack>>,
    pub scratch: Cell<Option<Box<Scratch>>>,
    // Numbers of values in the registry:
    /// Table of stand-ins to the real tables behind them.
    pub stand_ins: Cell<c_int>,
    /// Table of values to what `getmetatable` shows of them.
    pub shown_metatables: Cell<c_int>,
    /// The real table of globals.
    pub globals: Cell<c_int>,
    pub library_globals: Cell<c_int>,
    pub error_handler: Cell<c_int>,
}

impl Shared {
    pub fn of<'a>(stack: Stack) -> &'a Shared {
        // SAFETY: every interpreter is made by `Interpreter::new` with its `Shared`, which it outlives.
        unsafe { &*stack.own_data().cast::<Shared>() }
    }

    /// The run. Functions of ours use it for a few steps at a time, in which no other of them can run.
    ///
    /// # Panics
    /// If there is none: code of scripts runs in runs only.
    #[allow(
        clippy::mut_from_ref,
        reason = "the reference is to what the cell points at, not to a part of self"
    )]
    pub fn run<'a>(&self) -> &'a mut Run<'a> {
        let run = self.run.get().expect("code of a script runs in a run");
        // SAFETY: the pointer is set while the run that it points to is borrowed for nothing else (see
        // `Interpreter::enter`). What it points to lives longer than any function that is called in the run.
        unsafe { run.cast::<Run<'a>>().as_mut() }
    }

    /// Whether the run has to end.
    pub fn is_ending(&self) -> bool {
        self.run.get().is_some() && self.run().ending.is_some()
    }

    /// Makes the run end as soon as the script's next line begins, whatever it catches.
    pub fn end(&self, stack: Stack, ending: Ending) {
        self.run().ending = Some(ending);
        stack.hook_lines(hook!(check));
        if let Some(main) = self.main.get() {
            main.hook_lines(hook!(check));
        }
    }
}

/// Called while a script runs.
fn check(stack: Stack) -> Result<(), Raise> {
    let shared = Shared::of(stack);
    let run = shared.run();
    let ending = match (run.ending, &run.loading) {
        (Some(ending), _) => ending,
        (None, Some(Loading { until: Some(until), .. })) if Instant::now() > *until => Ending::TimedOut,
        (None, Some(_)) => return Ok(()),
        (None, None) => match run.caller.check() {
            Verdict::GoOn => return Ok(()),
            Verdict::Kill => Ending::Killed(run.purpose),
        },
    };
    if run.ending.is_none() {
        tracing::info!("{}", ending.message());
        shared.end(stack, ending);
    }
    push_error(stack, ending.message().as_bytes());
    Err(Raise)
}

/// Writes a message of a script into the server's log.
pub fn log(level: Level, message: &[u8]) {
    let message = String::from_utf8_lossy(message);
    match level {
        Level::Debug => tracing::trace!("{message}"),
        Level::Verbose => tracing::debug!("{message}"),
        Level::Notice => tracing::info!("{message}"),
        Level::Warning => tracing::warn!("{message}"),
    }
}

/// How a run ended.
#[derive(Debug)]
pub enum End {
    /// The result is written.
    Done,
    Failed(Failure),
    /// Its caller wanted it to be given up.
    Abandoned,
}

/// What to run, and with what.
pub struct Arguments<'a> {
    /// As errors name it: the SHA1 of a script, or a function's name.
    pub name: &'a str,
    /// The number of the compiled function.
    pub function: c_int,
    pub keys: Request<'a>,
    pub args: Request<'a>,
}

/// An interpreter of Lua 5.1, for the thread that made it.
pub struct Interpreter {
    /// Closed before what its functions share is gone.
    lua: Owned,
    shared: Box<Shared>,
    purpose: Purpose,
    runs: u32,
}

impl Interpreter {
    pub fn new(purpose: Purpose) -> Interpreter {
        let shared = Box::new(Shared::default());
        let lua = Owned::new((&raw const *shared).cast_mut().cast());
        lua.open_libraries();
        sandbox::build(lua.stack(), &shared, purpose);
        shared.main.set(Some(lua.stack()));
        lua.stack().hook_instructions(hook!(check), INSTRUCTIONS_PER_CHECK);
        Interpreter { lua, shared, purpose, runs: 0 }
    }

    /// Memory of the interpreter, bytes.
    pub fn used_bytes(&self) -> usize {
        self.lua.stack().used_bytes()
    }

    /// Compiles a script. Returns its number for [`Arguments::function`].
    ///
    /// # Errors
    /// Lua's message.
    pub fn compile(&mut self, chunk: &[u8], name: &std::ffi::CStr) -> Result<c_int, Vec<u8>> {
        let stack = self.lua.stack();
        match stack.load(chunk, name) {
            Status::Ok => Ok(stack.keep()),
            Status::Failed => {
                let message = stack.bytes(-1).unwrap_or_default().to_vec();
                stack.pop(1);
                Err(message)
            }
        }
    }

    /// Gives up a compiled script.
    pub fn forget(&mut self, function: c_int) {
        self.lua.stack().forget(function);
    }

    /// Collects all garbage.
    pub fn collect(&mut self) {
        self.lua.stack().collect();
    }

    /// Has a function run with the run that it belongs to in place.
    fn enter(&mut self, run: &mut Run<'_>, f: impl FnOnce(Stack) -> Status) -> Status {
        let pointer = NonNull::from(&mut *run).cast::<Run<'static>>();
        self.shared.run.set(Some(pointer));
        let status = f(self.lua.stack());
        self.shared.run.set(None);
        if run.ending.is_some() {
            self.lua.stack().hook_instructions(hook!(check), INSTRUCTIONS_PER_CHECK);
        }
        status
    }

    /// Runs a compiled script or function, and writes its result to `out`.
    pub fn run(&mut self, what: &Arguments<'_>, caller: &mut dyn Caller, out: &mut Reply) -> End {
        let (purpose, shared) = (self.purpose, &raw const *self.shared);
        // SAFETY: the box outlives this call, and is not changed by anything but its cells.
        let shared = unsafe { &*shared };
        let mut run = Run { caller, proto: Proto::Resp2, loading: None, ending: None, purpose };
        let status = self.enter(&mut run, |stack| {
            stack.kept(shared.error_handler.get());
            stack.kept(what.function);
            push_list(stack, what.keys);
            push_list(stack, what.args);
            if purpose == Purpose::Functions {
                return stack.protected_call(2, 1, 1);
            }
            stack.kept(shared.globals.get());
            stack.insert(3);
            stack.set_field(3, "ARGV");
            stack.set_field(3, "KEYS");
            stack.pop(1);
            stack.protected_call(0, 1, 1)
        });
        let stack = self.lua.stack();
        let end = match (status, run.ending) {
            (_, Some(Ending::Abandoned)) => End::Abandoned,
            (Status::Failed, _) => End::Failed(failure(stack, what.name)),
            (Status::Ok, _) => {
                let Run { caller, proto, .. } = run;
                let mut failed = |failure: &Failure| caller.failed(failure);
                match (Writer { stack, out, proto, failed: &mut failed, is_too_deep: false }).result() {
                    Ok(()) => End::Done,
                    Err(failure) => End::Failed(failure),
                }
            }
        };
        stack.set_top(0);
        self.runs += 1;
        if self.runs == RUNS_PER_COLLECTION {
            self.runs = 0;
            stack.collect_step(COLLECTED_KB);
        }
        end
    }

    /// Runs the code of a library, and returns the functions that it registers. It may take `timeout`, if
    /// there is one.
    ///
    /// # Errors
    /// The message for whoever loads it.
    pub fn load_library(
        &mut self,
        code: &[u8],
        timeout: Option<Duration>,
        caller: &mut dyn Caller,
    ) -> Result<Vec<Registered>, Vec<u8>> {
        let function = self
            .compile(code, c"@user_function")
            .map_err(|message| [b"Error compiling function: ", message.as_slice()].concat())?;
        let stack = self.lua.stack();
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let loading = Some(Loading { functions: Vec::new(), until });
        let mut run = Run { caller, proto: Proto::Resp2, loading, ending: None, purpose: self.purpose };
        self.show_globals(self.shared.library_globals.get());
        let status = self.enter(&mut run, |stack| {
            stack.kept(function);
            stack.protected_call(0, 0, 0)
        });
        self.show_globals(self.shared.globals.get());
        let functions = run.loading.take().map(|loading| loading.functions).unwrap_or_default();
        let result = match status {
            Status::Ok => Ok(functions),
            Status::Failed => {
                for registered in functions {
                    stack.forget(registered.callback);
                }
                Err([b"Error registering functions: ", api::error_line(stack).as_slice()].concat())
            }
        };
        stack.forget(function);
        stack.set_top(0);
        result
    }

    /// What stands behind the stand-in of the globals.
    fn show_globals(&self, kept: c_int) {
        let stack = self.lua.stack();
        stack.metatable(GLOBALS);
        stack.kept(kept);
        stack.set_field(-2, "__index");
        stack.pop(1);
    }
}

/// A table of the arguments.
fn push_list(stack: Stack, list: Request<'_>) {
    stack.new_table(list.len(), 0);
    for (n, item) in list.iter().enumerate() {
        stack.push_bytes(item);
        stack.raw_set_at(-2, n as c_int + 1);
    }
}

/// The error on top of the stack as the client is told of it.
fn failure(stack: Stack, name: &str) -> Failure {
    if stack.kind(-1) != lua::Kind::Table {
        let message = stack.text(-1).unwrap_or(b"execution failure");
        let message = &message[..message.len().min(MAX_PLAIN_ERROR_BYTES)];
        let line = [b"ERR Error running script ", name.as_bytes(), b", ", message].concat();
        return Failure { line, is_counted: false };
    }
    let error = error_value(stack);
    let mut failure = error.failure;
    if let (Some(source), Some(line)) = (error.source, error.line) {
        failure.line = [
            failure.line.as_slice(),
            b" script: ",
            name.as_bytes(),
            b", on ",
            source.as_slice(),
            b":",
            line.as_slice(),
            b".",
        ]
        .concat();
    }
    failure
}
