//! Rewriting the log: a new base from a snapshot, beside which the log goes on in a new increment.
//!
//! First the increment is made and stands in the manifest, still empty. At the cut of the snapshot the stream is cut,
//! too, and goes on in it. When the base is complete and has its name, one change of the manifest replaces all that was
//! before. Whenever the process ends, the manifest says what is to be loaded. If the rewriting fails, the increments
//! stay as they are, one more than before.
//!
//! A log that is being turned on has no base until then, so its increment has a temporary name, and no manifest
//! mentions it.

use super::commands::CommandSaver;
use super::files::{self, Folder};
use super::writer::Target;
use super::{Aof, Phase, Running};
use crate::keyspace::snapshot::{Cut, Sink, Snapshot};
use crate::keyspace::unix_ms;
use crate::memory;
use crate::observe::process::error_text;
use crate::persist::rdb::file::NewFile;
use crate::persist::rdb::save::{Facts, Options, Saver};
use crate::state::Server;
use crate::state::append_only::Rewriting;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// The new base on its way to its file.
enum Base {
    Snapshot(Arc<Saver>),
    Commands(Arc<CommandSaver>),
}

impl Base {
    /// `temporary` is its name until it is complete.
    fn create(server: &Server, temporary: PathBuf, is_snapshot: bool) -> io::Result<Base> {
        let in_steps = server.config.aof_rewrite_incremental_fsync();
        if is_snapshot {
            let options = Options::of(&server.config, true);
            let file = NewFile::create(temporary, server.config.rdbchecksum(), in_steps)?;
            Ok(Base::Snapshot(Saver::new(file, options)))
        } else {
            let delay = Duration::from_micros(server.config.rdb_key_save_delay().max(0) as u64);
            Ok(Base::Commands(CommandSaver::new(NewFile::create(temporary, false, in_steps)?, delay)))
        }
    }

    fn sink(&self) -> Arc<dyn Sink> {
        match self {
            Base::Snapshot(saver) => saver.clone(),
            Base::Commands(saver) => saver.clone(),
        }
    }

    fn begin(&self, server: &Server, cut: &Cut) {
        match self {
            Base::Snapshot(saver) => saver.begin(cut, &Facts::of(server)),
            Base::Commands(saver) => saver.begin(cut, server.config.aof_timestamp_enabled()),
        }
    }

    fn finish(&self, name: &Path) -> io::Result<u64> {
        match self {
            Base::Snapshot(saver) => saver.finish(name),
            Base::Commands(saver) => saver.finish(name),
        }
    }
}

fn temporary_base() -> PathBuf {
    format!("temp-rewriteaof-bg-{}.aof", std::process::id()).into()
}

/// The base of a log of no data.
pub fn write_empty_base(server: &Server, folder: &Folder, name: &str) -> io::Result<()> {
    let is_snapshot = server.config.aof_use_rdb_preamble();
    let base = Base::create(server, temporary_base(), is_snapshot)?;
    base.begin(server, &Cut { at_ms: unix_ms(), databases: Vec::new() });
    base.finish(&folder.file(name)).map(|_| ())
}

/// Begins to rewrite the log, on a thread of its own.
pub fn begin(aof: &Arc<Aof>) -> Rewriting {
    {
        let mut running = aof.running.lock();
        if running.is_some() {
            return Rewriting::InProgress;
        }
        *running = Some(Running { started: Instant::now(), control: None, cancelled: false });
    }
    aof.is_scheduled.store(false, Ordering::Relaxed);
    aof.rewrites.fetch_add(1, Ordering::Relaxed);
    let (own, is_snapshot) = (aof.clone(), aof.server.config.aof_use_rdb_preamble());
    let spawned = std::thread::Builder::new().name("aof-rewrite".into()).spawn(move || {
        run(&own, is_snapshot);
        memory::publish();
    });
    match spawned {
        Ok(_) => Rewriting::Started,
        Err(error) => {
            tracing::warn!("Can't rewrite append only file in background: {error}");
            *aof.running.lock() = None;
            Rewriting::Failed
        }
    }
}

/// How a rewriting has ended.
enum Ended {
    Done,
    Cancelled,
    /// Another snapshot is in the way.
    Later,
    Failed,
}

fn run(aof: &Aof, is_snapshot: bool) {
    let started = Instant::now();
    tracing::info!("Background append only file rewriting started by pid {}", std::process::id());
    match rewrite(aof, is_snapshot) {
        Ended::Done => {
            aof.note_rewrite(true, started.elapsed());
            tracing::info!("Background AOF rewrite finished successfully");
        }
        Ended::Later => aof.is_scheduled.store(true, Ordering::Relaxed),
        Ended::Cancelled => {
            tracing::info!("Background AOF rewrite was cancelled");
        }
        Ended::Failed => {
            tracing::warn!("Background AOF rewrite terminated with error");
            aof.note_rewrite(false, started.elapsed());
        }
    }
    *aof.running.lock() = None;
}

/// Makes the increment in which the log goes on from the cut.
fn new_increment(aof: &Aof) -> Option<(Phase, Target)> {
    let files = &mut *aof.files.lock();
    let folder = &files.folder;
    let mut manifest = files.manifest.clone();
    let name = match files.phase {
        Phase::Off => return None,
        Phase::Beginning => {
            // An earlier one may still be written to.
            files::remove(&folder.file(&folder.temporary_increment()));
            folder.temporary_increment()
        }
        Phase::On => manifest.add_increment(folder.prefix()),
    };
    let file = match folder.append_to(&name, true) {
        Ok(file) => Arc::new(file),
        Err(error) => {
            tracing::warn!("Can't open the append-only file {name}: {}", error_text(&error));
            return None;
        }
    };
    if files.phase == Phase::On && folder.write_manifest(&manifest).is_err() {
        files::remove(&folder.file(&name));
        return None;
    }
    files.manifest = manifest;
    tracing::info!("Creating AOF incr file {name} on background rewrite");
    Some((files.phase, Target { file, bytes: 0 }))
}

fn rewrite(aof: &Aof, is_snapshot: bool) -> Ended {
    let server = &*aof.server;
    let keyspace = &server.keyspace;
    let Some((phase, target)) = new_increment(aof) else {
        return if aof.is_rewriting_cancelled() { Ended::Cancelled } else { Ended::Failed };
    };
    let base = match Base::create(server, temporary_base(), is_snapshot) {
        Ok(base) => base,
        Err(error) => {
            let error = error_text(&error);
            tracing::warn!("Opening the temp file for AOF rewrite in rewriteAppendOnlyFile(): {error}");
            return Ended::Failed;
        }
    };
    let at_cut = |cut: &Cut| {
        if aof.is_rewriting_cancelled() {
            return;
        }
        let effects = keyspace.effects();
        let position = if phase == Phase::Beginning { effects.open_log() } else { effects.log().cut() };
        aof.push_switch(position, Some(target));
        base.begin(server, cut);
    };
    let Ok(snapshot) = Snapshot::begin(keyspace, base.sink(), at_cut) else { return Ended::Later };
    if let Some(running) = &mut *aof.running.lock() {
        running.control = Some(snapshot.control());
        if running.cancelled {
            snapshot.control().cancel();
        }
    }
    let is_whole = snapshot.run(keyspace, std::thread::yield_now);
    // After an error of writing this says which.
    match install(aof, &base, is_snapshot, phase, is_whole) {
        Ok(true) => Ended::Done,
        Ok(false) => Ended::Cancelled,
        Err(error) => {
            tracing::warn!("Write error writing append only file on disk: {}", error_text(&error));
            Ended::Failed
        }
    }
}

/// The base is complete: from now on it is what is loaded, with the increment behind it. False if it was given up.
fn install(aof: &Aof, base: &Base, is_snapshot: bool, phase: Phase, is_whole: bool) -> io::Result<bool> {
    let files = &mut *aof.files.lock();
    if aof.is_rewriting_cancelled() {
        return Ok(false);
    }
    let folder = &files.folder;
    let mut manifest = files.manifest.clone();
    let name = manifest.add_base(folder.prefix(), is_snapshot);
    base.finish(&folder.file(&name))?;
    if !is_whole {
        files::remove(&folder.file(&name));
        return Err(io::Error::other("the snapshot was not finished"));
    }
    let temporary = temporary_base();
    let temporary = temporary.display();
    tracing::info!("Successfully created the temporary AOF base file {temporary}");
    tracing::info!("Background AOF rewrite terminated with success");
    tracing::info!("Successfully renamed the temporary AOF base file {temporary} into {name}");
    if phase == Phase::Beginning {
        let (from, to) = (folder.temporary_increment(), manifest.add_increment(folder.prefix()));
        std::fs::rename(folder.file(&from), folder.file(&to))?;
        tracing::info!("Successfully renamed the temporary AOF incr file {from} into {to}");
    }
    manifest.retire_increments(1);
    folder.write_manifest(&manifest)?;
    files.manifest = manifest;
    files.phase = Phase::On;
    folder.remove_history(&mut files.manifest, &aof.server.config);
    let bytes = folder.total_size(&files.manifest);
    aof.current_bytes.store(bytes, Ordering::Relaxed);
    aof.base_bytes.store(bytes, Ordering::Relaxed);
    Ok(true)
}
