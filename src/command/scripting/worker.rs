//! The interpreters of one worker, and what they have compiled.
//!
//! Each thread that runs commands has them for itself. A script is compiled when this worker first runs it, a
//! library is loaded when this worker first calls one of its functions.

use super::run::key_places;
use crate::command::errors::Error;
use crate::resp::reply::Reply;
use crate::resp::scan::Request;
use crate::script::library::{Library, Registered};
use crate::script::store::{Digest, SHA1_DIGITS, Script, parse_digest};
use crate::script::{Caller, Failure, Interpreter, Purpose, Refusal, Verdict};
use crate::state::Server;
use bytes::Bytes;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::c_int;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Compiled scripts that others have forgotten are given up when there are this many.
const MAX_COMPILED: usize = 1024;

/// Texts whose SHA1 is remembered, so that it need not be found out for each EVAL.
const MAX_TEXTS: usize = 1024;

/// A longer text is not kept for that.
const MAX_TEXT_BYTES: usize = 64 * 1024;

/// FUNCTION LOAD may take this long (Redis's figure).
pub const LOAD_TIMEOUT: Duration = Duration::from_millis(500);

/// A script as this worker has it.
pub struct Compiled {
    pub script: Arc<Script>,
    /// Its number in the interpreter.
    pub function: c_int,
}

/// See the module's head.
#[derive(Default)]
pub struct Worker {
    eval: Option<Interpreter>,
    /// [`crate::script::store::Scripts::generation`] when the interpreter was made.
    generation: u64,
    /// Shared within the worker, so that a run costs no counting that all workers see.
    compiled: HashMap<Digest, Rc<Compiled>, ahash::RandomState>,
    /// The script that was asked for last by its SHA1, as that was written: pipelines repeat scripts.
    last: Option<([u8; SHA1_DIGITS], Rc<Compiled>)>,
    texts: HashMap<Bytes, Digest, ahash::RandomState>,
    functions: Option<Interpreter>,
    functions_generation: u64,
    /// By the library's number: functions with their numbers in the interpreter.
    loaded: HashMap<u64, Vec<Registered>, ahash::RandomState>,
}

thread_local! {
    static WORKER: RefCell<Worker> = RefCell::default();
}

impl Worker {
    /// The interpreters of this thread.
    pub fn with<T>(f: impl FnOnce(&mut Worker) -> T) -> T {
        WORKER.with_borrow_mut(f)
    }

    /// The interpreter for this purpose.
    pub fn interpreter(&mut self, purpose: Purpose) -> &mut Interpreter {
        let interpreter = match purpose {
            Purpose::Eval => &mut self.eval,
            Purpose::Functions => &mut self.functions,
        };
        interpreter.get_or_insert_with(|| Interpreter::new(purpose))
    }

    /// The script that an EVAL brings along, compiled.
    pub fn script(&mut self, server: &Server, body: &[u8]) -> Result<Rc<Compiled>, Error> {
        self.refresh(server);
        if let Some(digest) = self.texts.get(body)
            && let Some(compiled) = self.compiled.get(digest)
            && !compiled.script.is_forgotten()
        {
            return Ok(compiled.clone());
        }
        let compiled = self.add_script(server, body, false)?;
        let script = &compiled.script;
        if body.len() <= MAX_TEXT_BYTES {
            if self.texts.len() >= MAX_TEXTS {
                self.texts.clear();
            }
            self.texts.insert(script.body.clone(), script.digest);
        }
        Ok(compiled)
    }

    /// Lets everybody know a script, and compiles it here. If it was `loaded`, it stays.
    pub fn add_script(&mut self, server: &Server, body: &[u8], loaded: bool) -> Result<Rc<Compiled>, Error> {
        self.refresh(server);
        let scripts = &server.scripting.scripts;
        let script = scripts.prepare(body, &key_places);
        let script = script.map_err(|message| Error::Echo([b"ERR ", message.as_slice()].concat()))?;
        let digest = script.digest;
        let function = match self.compiled.get(&digest) {
            Some(compiled) => compiled.function,
            None => self.compile(&script)?,
        };
        Ok(self.keep(Compiled { script: scripts.add(script, loaded), function }))
    }

    /// The script with this SHA1, compiled.
    pub fn known_script(&mut self, server: &Server, sha1: &[u8]) -> Result<Rc<Compiled>, Error> {
        self.refresh(server);
        if let Some((last, compiled)) = &self.last
            && last == sha1
            && !compiled.script.is_forgotten()
        {
            return Ok(compiled.clone());
        }
        let digest = parse_digest(sha1).ok_or(Error::NoScript)?;
        if let Some(compiled) = self.compiled.get(&digest)
            && !compiled.script.is_forgotten()
        {
            self.last = sha1.try_into().ok().map(|sha1| (sha1, compiled.clone()));
            return Ok(compiled.clone());
        }
        let script = server.scripting.scripts.find(&digest).ok_or(Error::NoScript)?;
        let function = match self.compiled.get(&digest) {
            Some(compiled) => compiled.function,
            None => self.compile(&script)?,
        };
        Ok(self.keep(Compiled { script, function }))
    }

    fn keep(&mut self, compiled: Compiled) -> Rc<Compiled> {
        let compiled = Rc::new(compiled);
        self.compiled.insert(compiled.script.digest, compiled.clone());
        compiled
    }

    /// The script with this SHA1, if this worker has compiled it.
    pub fn compiled(&self, sha1: &[u8]) -> Option<&Script> {
        match &self.last {
            Some((last, compiled)) if last == sha1 => Some(&compiled.script),
            _ => self.by_digest(&parse_digest(sha1)?),
        }
    }

    /// The script of this text, if this worker has compiled it.
    pub fn compiled_text(&self, body: &[u8]) -> Option<&Script> {
        self.by_digest(self.texts.get(body)?)
    }

    fn by_digest(&self, digest: &Digest) -> Option<&Script> {
        self.compiled.get(digest).map(|compiled| &*compiled.script)
    }

    fn compile(&mut self, script: &Script) -> Result<c_int, Error> {
        self.give_up_forgotten();
        let interpreter = self.interpreter(Purpose::Eval);
        interpreter.compile(script.code(), c"@user_script").map_err(|message| {
            Error::Echo([b"ERR Error compiling script (new function): ", message.as_slice()].concat())
        })
    }

    /// Starts with a new interpreter if all scripts were forgotten.
    fn refresh(&mut self, server: &Server) {
        let generation = server.scripting.scripts.generation();
        if generation != self.generation {
            self.generation = generation;
            self.compiled.clear();
            self.last = None;
            self.texts.clear();
            self.eval = None;
        }
    }

    fn give_up_forgotten(&mut self) {
        if self.compiled.len() < MAX_COMPILED {
            return;
        }
        let interpreter = self.eval.get_or_insert_with(|| Interpreter::new(Purpose::Eval));
        self.last = None;
        self.compiled.retain(|_, compiled| {
            let keep = !compiled.script.is_forgotten();
            if !keep {
                interpreter.forget(compiled.function);
            }
            keep
        });
    }

    /// The number of a library's function in this worker's interpreter.
    pub fn callback(&mut self, server: &Server, library: &Arc<Library>, name: &[u8]) -> Result<c_int, Error> {
        self.refresh_functions(server);
        if !self.loaded.contains_key(&library.id) {
            let functions = self.load(library)?;
            self.loaded.insert(library.id, functions);
        }
        let functions = self.loaded.get(&library.id);
        let found = functions.and_then(|functions| functions.iter().find(|function| function.name == name));
        found.map(|function| function.callback).ok_or(Error::line("ERR Function not found"))
    }

    /// Runs the code of a library.
    fn load(&mut self, library: &Library) -> Result<Vec<Registered>, Error> {
        let interpreter = self.interpreter(Purpose::Functions);
        let loaded = interpreter.load_library(library.code(), Some(LOAD_TIMEOUT), &mut NoCommands);
        loaded.map_err(|message| Error::Echo([b"ERR ", message.as_slice()].concat()))
    }

    /// Runs the code of a new library, which becomes the functions that it registers. Call
    /// [`Worker::keep_library`] if it is added, [`Worker::give_up_library`] if not.
    pub fn load_new(&mut self, library: &mut Library) -> Result<(), Error> {
        let functions = self.load(library)?;
        if functions.is_empty() {
            return Err(Error::line("ERR No functions registered"));
        }
        library.functions = functions
            .iter()
            .map(|function| crate::script::library::Function {
                name: function.name.clone(),
                description: function.description.clone(),
                flags: function.flags,
            })
            .collect();
        self.loaded.insert(library.id, functions);
        Ok(())
    }

    /// Gives up what was loaded of a library.
    pub fn give_up_library(&mut self, id: u64) {
        let Some(functions) = self.loaded.remove(&id) else { return };
        let interpreter = self.interpreter(Purpose::Functions);
        for function in functions {
            interpreter.forget(function.callback);
        }
    }

    /// Gives up libraries that are not there any more.
    pub fn refresh_functions(&mut self, server: &Server) {
        let generation = server.scripting.functions.generation();
        if generation == self.functions_generation {
            return;
        }
        self.functions_generation = generation;
        let current = server.scripting.functions.current();
        let alive = |id: u64| current.iter().any(|library| library.id == id);
        let gone: Vec<u64> = self.loaded.keys().copied().filter(|id| !alive(*id)).collect();
        gone.into_iter().for_each(|id| self.give_up_library(id));
        if self.loaded.is_empty() {
            self.functions = None;
        }
    }
}

/// A library that is being loaded cannot call commands.
struct NoCommands;

impl Caller for NoCommands {
    fn call(&mut self, _: Request<'_>, _: &mut Reply) -> Result<(), Refusal> {
        Err(Refusal::Error(b"No command can be called while a library is loaded".into()))
    }

    fn may_run(&mut self, _: Request<'_>) -> Option<bool> {
        Some(false)
    }

    fn set_replication(&mut self, _: bool, _: bool) {}

    fn check(&mut self) -> Verdict {
        Verdict::GoOn
    }

    fn failed(&mut self, _: &Failure) {}
}
