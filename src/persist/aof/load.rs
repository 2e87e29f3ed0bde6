//! Makes the data from the log's files: the base, a snapshot or commands, and behind it the increments.
//!
//! What is missing at the end of the last file is cut off if `aof-load-truncated` says so, together with a transaction
//! that has no end; everything else that is wrong keeps the server from starting, and nothing is changed.

use super::manifest::Manifest;
use super::read::{Fault, Item, Reader};
use super::{Aof, Phase};
use crate::command::replay::{Replay, Unknown};
use crate::keyspace::fill::Existing;
use crate::keyspace::unix_ms;
use crate::keyspace::view::Mode;
use crate::observe::process::error_text;
use crate::persist::rdb::load::Options;
use crate::persist::rdb::{SIGNATURE, load};
use crate::persist::start;
use crate::state::clients::Transport;
use crate::state::persistence::obstacle;
use crate::state::{Client, Session};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// Requests that are run together.
const REQUESTS_TOGETHER: usize = 1024;

/// The log cannot be loaded; the server's log says why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unloadable;

/// What became of one file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    Loaded,
    Empty,
    /// What was missing at its end was cut off.
    Truncated,
}

impl Aof {
    /// Loads the log. False if there is nothing to load.
    pub fn load(&self) -> Result<bool, Unloadable> {
        let files = &mut *self.files.lock();
        if Path::new(files.folder.prefix()).is_file() {
            self.take_over_single(files)?;
        }
        let manifest = files.manifest.clone();
        if manifest.is_empty() {
            return Ok(false);
        }
        let mut sizes = Vec::new();
        for part in manifest.parts() {
            match files.folder.size(part) {
                Ok(size) => sizes.push(size),
                Err(error) => {
                    let (name, error) = (&part.name, error_text(&error));
                    tracing::warn!("Unable to obtain the AOF file {name} length. stat: {error}");
                    return Err(Unloadable);
                }
            }
        }
        let total: u64 = sizes.iter().sum();
        self.current_bytes.store(total, Relaxed);
        let base = if manifest.base.is_some() { sizes[0] } else { 0 };
        self.base_bytes.store(base, Relaxed);
        if total == 0 {
            return Ok(false);
        }
        let persistence = &self.server.persistence;
        persistence.begin_loading(total, unix_ms() / 1000);
        // What has expired stays, until the log says that it goes.
        self.server.keyspace.expiry().pause_until(i64::MAX);
        let result = self.load_parts(&files.folder, &manifest, &sizes);
        self.server.keyspace.expiry().pause_until(0);
        self.current_bytes.store(files.folder.total_size(&manifest), Relaxed);
        result.map(|()| true)
    }

    /// A log of the older form, one file in the working directory, becomes the base of one of this form.
    fn take_over_single(&self, files: &mut super::Files) -> Result<(), Unloadable> {
        let folder = &files.folder;
        let prefix = folder.prefix();
        let was_interrupted = files.manifest.increments.is_empty()
            && files.manifest.base.as_ref().is_some_and(|base| base.name == prefix)
            && !folder.file(prefix).exists();
        if folder.exists() && !files.manifest.is_empty() && !was_interrupted {
            return Ok(());
        }
        let failed = |what: String, error: &io::Error| {
            tracing::warn!("{what}: {}", error_text(error));
            Unloadable
        };
        let name = folder.name();
        folder.create().map_err(|e| failed(format!("Can't open or create append-only dir {name}"), &e))?;
        let manifest = Manifest::of_single(prefix);
        folder.write_manifest(&manifest).map_err(|_| Unloadable)?;
        std::fs::rename(prefix, folder.file(prefix)).map_err(|e| {
            failed(format!("Error trying to move the old AOF file {prefix} into dir {name}"), &e)
        })?;
        // Until this is on disk the file could be missed in both places.
        let _ = folder.sync();
        tracing::info!(
            "Successfully migrated an old-style AOF file ({prefix}) into the AOF directory ({name})."
        );
        files.manifest = manifest;
        Ok(())
    }

    fn load_parts(
        &self,
        folder: &super::Folder,
        manifest: &Manifest,
        sizes: &[u64],
    ) -> Result<(), Unloadable> {
        let client = Client::new(0, Transport::Unix, String::new(), String::new(), -1, 0);
        let mut replay = Replay::new(&self.server, Session::new(Arc::new(client), true));
        let count = manifest.parts().count();
        let mut before = 0;
        for (at, part) in manifest.parts().enumerate() {
            let is_last = at + 1 == count;
            let started = Instant::now();
            let mut loading = Loading { aof: self, replay: &mut replay, name: &part.name, is_last, before };
            let outcome = loading.run(&folder.file(&part.name), part.name == folder.prefix())?;
            if outcome != Part::Empty {
                let kind = if at == 0 && manifest.base.is_some() { "base" } else { "incr" };
                let took = started.elapsed().as_secs_f64();
                tracing::info!("DB loaded from {kind} file {}: {took:.3} seconds", part.name);
            }
            before += sizes[at];
        }
        if let (errors @ 1.., Some(first)) = replay.errors() {
            let first = String::from_utf8_lossy(first);
            tracing::warn!(
                "{errors} commands of the append only file ended with an error, the first with: {first}"
            );
        }
        Ok(())
    }

    /// DEBUG LOADAOF: empties all databases and loads the log again.
    pub(super) fn reload(&self) -> bool {
        let (persistence, keyspace) = (&self.server.persistence, &self.server.keyspace);
        let is_on = self.files.lock().phase != Phase::Off;
        persistence.set_obstacle(obstacle::LOADING, true);
        {
            let databases = 0..keyspace.databases();
            let mut view = keyspace.lock_databases(0, unix_ms(), databases.clone(), Mode::Exclusive);
            keyspace.effects().close_log();
            let garbage = view.flush(databases);
            view.finish();
            drop(garbage);
        }
        let loaded = self.sync() && self.load().is_ok();
        if is_on {
            keyspace.effects().open_log();
        }
        persistence.end_loading();
        loaded
    }
}

/// One file on its way into the data.
struct Loading<'a, 'r> {
    aof: &'a Aof,
    replay: &'a mut Replay<'r>,
    name: &'a str,
    is_last: bool,
    /// Bytes of the files before this one.
    before: u64,
}

impl Loading<'_, '_> {
    fn run(&mut self, path: &Path, is_single: bool) -> Result<Part, Unloadable> {
        let name = self.name;
        let mut file = File::open(path).map_err(|error| {
            let text = error_text(&error);
            if error.kind() == io::ErrorKind::NotFound {
                tracing::warn!("The append log file {name} doesn't exist: {text}");
            } else {
                tracing::warn!("Fatal error: can't open the append log file {name} for reading: {text}");
            }
            Unloadable
        })?;
        let size = file.metadata().map_err(|error| self.unreadable(&error))?.len();
        if size == 0 {
            return Ok(Part::Empty);
        }
        let mut offset = 0;
        if starts_with_signature(&mut file).map_err(|error| self.unreadable(&error))? {
            offset = self.load_snapshot(&file, size, is_single)?;
        }
        file.seek(SeekFrom::Start(offset)).map_err(|error| self.unreadable(&error))?;
        let reader = Reader::new(file, offset).map_err(|error| self.unreadable(&error))?;
        self.load_commands(reader, path)
    }

    fn unreadable(&self, error: &io::Error) -> Unloadable {
        let (name, error) = (self.name, error_text(error));
        tracing::warn!("Unrecoverable error reading the append only file {name}: {error}");
        Unloadable
    }

    /// Loads the snapshot that a file begins with. Returns where it ends.
    fn load_snapshot(&self, file: &File, size: u64, is_single: bool) -> Result<u64, Unloadable> {
        if is_single {
            tracing::info!("Reading RDB preamble from AOF file...");
        } else {
            tracing::info!("Reading RDB base file on AOF loading...");
        }
        let server = &*self.aof.server;
        // The increments take the keys to be there, expired or not.
        let options = Options { keep_expired: true, ..Options::of(&server.config, unix_ms()) };
        let options = load::Options { existing: Existing::Fault, ..options };
        match start::load_from(server, file, size, options) {
            Ok(loaded) => {
                if is_single {
                    tracing::info!("Reading the remaining AOF tail...");
                }
                Ok(loaded.bytes)
            }
            Err(error) => {
                tracing::warn!("{error}");
                let what = if is_single { "RDB preamble of the AOF file" } else { "RDB base file" };
                tracing::warn!("Error reading the {what} {}, AOF loading aborted", self.name);
                Err(Unloadable)
            }
        }
    }

    fn load_commands(&mut self, mut reader: Reader, path: &Path) -> Result<Part, Unloadable> {
        // Up to where the file is right: before a transaction, until that ends.
        let mut transaction_at = None;
        loop {
            let began_at = reader.offset();
            let item = reader.read_next();
            if let Ok(Item::Request) = item {
                let name = reader.request(reader.requests() - 1).get(0);
                if name.eq_ignore_ascii_case(b"multi") {
                    transaction_at = Some(began_at);
                } else if name.eq_ignore_ascii_case(b"exec") {
                    transaction_at = None;
                }
            }
            let goes_on = matches!(item, Ok(Item::Request | Item::Annotation(_)));
            if !goes_on || reader.requests() >= REQUESTS_TOGETHER || reader.is_full() {
                self.run_requests(&mut reader)?;
            }
            match item {
                Ok(Item::Request | Item::Annotation(_)) => {}
                Ok(Item::End) => match transaction_at {
                    None => return Ok(Part::Loaded),
                    Some(at) => return self.end_is_missing(path, at, true),
                },
                Err(Fault::Truncated) => {
                    let at = transaction_at.unwrap_or(began_at);
                    return self.end_is_missing(path, at, transaction_at.is_some());
                }
                Err(Fault::Malformed) => {
                    tracing::warn!(
                        "Bad file format reading the append only file {} at offset {began_at}: make a backup of your \
                         AOF file, then use ./redis-check-aof --fix <filename.manifest>",
                        self.name
                    );
                    return Err(Unloadable);
                }
                Err(Fault::Io(error)) => return Err(self.unreadable(&error)),
            }
        }
    }

    fn run_requests(&mut self, reader: &mut Reader) -> Result<(), Unloadable> {
        let result = self.replay.run(reader.requests(), |at| reader.request(at));
        if let Err((_, Unknown::Command(name))) = result {
            let name = String::from_utf8_lossy(&name).into_owned();
            tracing::warn!("Unknown command '{name}' reading the append only file {}", self.name);
            return Err(Unloadable);
        }
        reader.forget();
        let loaded = self.before + reader.offset();
        self.aof.server.persistence.loading.loaded_bytes.store(loaded, Relaxed);
        Ok(())
    }

    /// The file is right only up to this offset, behind which its end is missing.
    fn end_is_missing(&mut self, path: &Path, offset: u64, in_transaction: bool) -> Result<Part, Unloadable> {
        let name = self.name;
        if in_transaction {
            tracing::warn!("Revert incomplete MULTI/EXEC transaction in AOF file {name}");
            self.replay.discard();
        }
        if !self.aof.server.config.aof_load_truncated() {
            tracing::warn!(
                "Unexpected end of file reading the append only file {name}. You can: 1) Make a backup of your AOF file, \
                 then use ./redis-check-aof --fix <filename.manifest>. 2) Alternatively you can set the \
                 'aof-load-truncated' configuration option to yes and restart the server."
            );
            return Err(Unloadable);
        }
        if !self.is_last {
            tracing::warn!("Fatal error: the truncated file is not the last file");
            return Err(Unloadable);
        }
        tracing::warn!("!!! Warning: short read while loading the AOF file {name}!!!");
        tracing::warn!("!!! Truncating the AOF {name} at offset {offset} !!!");
        let cut = File::options().write(true).open(path).and_then(|file| {
            file.set_len(offset)?;
            file.sync_all()
        });
        if let Err(error) = cut {
            tracing::warn!("Error truncating the AOF file {name}: {}", error_text(&error));
            return Err(Unloadable);
        }
        tracing::warn!("AOF {name} loaded anyway because aof-load-truncated is enabled");
        Ok(Part::Truncated)
    }
}

fn starts_with_signature(file: &mut File) -> io::Result<bool> {
    let mut begin = Vec::new();
    file.take(SIGNATURE.len() as u64).read_to_end(&mut begin)?;
    file.rewind()?;
    Ok(begin == SIGNATURE)
}
