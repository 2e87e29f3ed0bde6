//! Runs the commands that a script calls, inside the view of the command that runs the script.

use super::run::Errand;
use crate::command::args::Args;
use crate::command::call::{Call, Origin};
use crate::command::dispatch::{Resolved, resolve};
use crate::command::errors::Error;
use crate::command::inside;
use crate::command::meter::Meter;
use crate::command::spec::{Flags, Scope};
use crate::command::table::Entry;
use crate::keyspace::View;
use crate::resp::reply::Reply;
use crate::resp::scan::Request;
use crate::script::{Caller, Failure, Refusal, Verdict};
use crate::state::scripting::SlowRun;
use crate::state::{Server, Session};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A slow script looks at the other clients of its worker this often.
const ATTEND_EVERY: Duration = Duration::from_millis(5);

/// See the module's head.
pub struct ScriptCaller<'c, 'k> {
    pub keys: &'c mut View<'k>,
    pub session: &'c mut Session,
    pub server: &'c Server,
    /// The command that runs the script.
    pub entry: &'static Entry,
    pub meter: &'c mut Meter<'k>,
    pub request: Request<'c>,
    pub errand: &'c Errand<'c>,
    pub is_read_only: bool,
    /// There was too little memory when the script began, and it does not say that it can do without.
    pub is_out_of_memory: bool,
    /// As long as nothing is written, the run can be given up and started again in a view that may grow.
    pub may_start_again: bool,
    pub has_written: bool,
    pub slow: Option<Arc<SlowRun>>,
    pub started: Instant,
    /// When others on this worker were last looked at.
    pub attended: Instant,
}

impl<'k> ScriptCaller<'_, 'k> {
    /// This run as a command inside of which others run.
    fn inner<'b>(&'b mut self, out: &'b mut Reply) -> Call<'b, 'k> {
        Call {
            args: Args::new(self.request, self.entry.first_arg()),
            keys: &mut *self.keys,
            out,
            session: &mut *self.session,
            server: self.server,
            entry: self.entry,
            origin: Origin::Script,
            meter: &mut *self.meter,
        }
    }

    /// The run is over.
    pub fn end(&mut self) {
        if let Some(slow) = self.slow.take() {
            self.server.scripting.remove_slow(&slow);
        }
    }

    /// Everything that can refuse a command of a script, in Redis's order.
    fn gate(
        &self,
        entry: Option<&'static Entry>,
        request: Request<'_>,
    ) -> Result<&'static Entry, &'static str> {
        let entry = entry.ok_or("Unknown Redis command called from script")?;
        let flags = entry.spec.flags;
        if !entry.spec.accepts(request.len()) || entry.spec.handler.is_none() {
            return Err("Wrong number of args calling Redis command from script");
        }
        if flags.contains(Flags::NOSCRIPT) && !self.may_debug(entry) {
            return Err("This Redis command is not allowed from script");
        }
        if self.is_read_only && flags.intersects(Flags::WRITES) {
            return Err("Write commands are not allowed from read-only scripts.");
        }
        if self.is_out_of_memory && !self.has_written && flags.contains(Flags::DENYOOM) {
            return Err("-OOM command not allowed when used memory > 'maxmemory'.");
        }
        Ok(entry)
    }

    /// Whether the command is DEBUG, and tests have allowed it in scripts.
    #[cold]
    fn may_debug(&self, entry: &Entry) -> bool {
        entry.spec.name == "debug" && self.server.switches.debug_in_scripts.load(Ordering::Relaxed)
    }

    /// Sees to it that the view holds what the command needs. False if it does not and cannot.
    fn cover(&mut self, entry: &'static Entry, request: Request<'_>, reply: &mut Reply) -> bool {
        match (entry.spec.scope, entry.single_key) {
            (Scope::Nothing | Scope::Select, _) => return true,
            (_, Some(at)) => {
                let hash = self.server.keyspace.hash(request.get(at));
                if self.keys.covers(self.session.db, hash, inside::mode(entry)) {
                    return true;
                }
            }
            _ => {}
        }
        self.inner(reply).cover(entry, request)
    }
}

impl Caller for ScriptCaller<'_, '_> {
    fn call(&mut self, request: Request<'_>, reply: &mut Reply) -> Result<(), Refusal> {
        let found = match resolve(request) {
            Resolved::Command(entry) => Some(entry),
            Resolved::UnknownSubcommand(_) | Resolved::UnknownCommand | Resolved::Empty => None,
        };
        let entry = match self.gate(found, request) {
            Ok(entry) => entry,
            Err(text) => {
                if let Some(entry) = found {
                    self.meter.counters.commands[entry.id].rejected.add(1);
                }
                let line = text.strip_prefix('-').map_or_else(|| format!("ERR {text}"), str::to_owned);
                self.meter.count_error(&Error::Other(line.into()));
                return Err(Refusal::Error(text.into()));
            }
        };
        let writes = entry.spec.flags.intersects(Flags::WRITES);
        if self.may_start_again && writes || !self.cover(entry, request, reply) {
            if self.may_start_again {
                return Err(Refusal::Abandon);
            }
            return Err(Refusal::Error(b"Script attempted to access keys that it did not declare".into()));
        }
        if entry.spec.flags.contains(Flags::WRITE) {
            self.has_written = true;
            if let Some(slow) = &self.slow {
                slow.has_written.store(true, Ordering::Relaxed);
            }
        }
        self.inner(reply).run_inside(entry, request, Origin::Script);
        Ok(())
    }

    fn may_run(&mut self, request: Request<'_>) -> Option<bool> {
        matches!(resolve(request), Resolved::Command(_)).then_some(true)
    }

    fn set_replication(&mut self, _log: bool, _replicas: bool) {
        // Nothing is logged or replicated yet.
    }

    fn check(&mut self) -> Verdict {
        let Some(slow) = &self.slow else {
            let limit = self.server.config.busy_reply_threshold();
            if limit > 0 && self.started.elapsed() >= Duration::from_millis(limit) {
                self.becomes_slow();
            }
            return Verdict::GoOn;
        };
        if self.attended.elapsed() >= ATTEND_EVERY {
            self.server.scripting.attend(self.server, self.meter.worker(), self.session.client.id);
            self.attended = Instant::now();
        }
        if slow.is_killed.load(Ordering::Relaxed) { Verdict::Kill } else { Verdict::GoOn }
    }

    fn failed(&mut self, failure: &Failure) {
        self.meter.count_error(&Error::Echo(failure.line.clone()));
    }
}

impl ScriptCaller<'_, '_> {
    #[cold]
    fn becomes_slow(&mut self) {
        tracing::warn!(
            "Slow script detected: still in execution after {} milliseconds. You can try killing the script using \
             the {} command. Script name is: {}.",
            self.started.elapsed().as_millis(),
            match self.errand.purpose {
                crate::script::Purpose::Eval => "SCRIPT KILL",
                crate::script::Purpose::Functions => "FUNCTION KILL",
            },
            self.errand.name
        );
        let slow = Arc::new(SlowRun {
            purpose: self.errand.purpose,
            name: self.errand.name.to_owned(),
            command: self.entry.loggable(self.request).map(<[u8]>::to_vec).collect(),
            started: self.started,
            has_written: AtomicBool::new(self.has_written),
            is_killed: AtomicBool::new(false),
        });
        self.server.scripting.add_slow(slow.clone());
        self.slow = Some(slow);
    }
}
