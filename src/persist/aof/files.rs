//! The folder of the log: names, sizes, and changes to it that are there as a whole or not at all.

use super::manifest::{BadManifest, Manifest, Part};
use crate::config::Config;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Where the files of a log are, relative to the process's directory.
#[derive(Clone, Debug)]
pub struct Folder {
    /// `appenddirname`
    path: PathBuf,
    /// `appendfilename`
    prefix: String,
}

/// Why a manifest cannot be had.
#[derive(Debug)]
pub enum ManifestError {
    Bad(BadManifest),
    Io(io::Error),
}

impl Folder {
    pub fn new(path: &[u8], prefix: &[u8]) -> Folder {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Folder { path: text(path).into(), prefix: text(prefix) }
    }

    /// What the names of the log's files begin with: also the name of a log of the older form.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Its own name.
    pub fn name(&self) -> String {
        self.path.display().to_string()
    }

    pub fn exists(&self) -> bool {
        self.path.is_dir()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub fn manifest_name(&self) -> String {
        format!("{}.manifest", self.prefix)
    }

    /// The increment of a log that is not yet complete.
    pub fn temporary_increment(&self) -> String {
        format!("temp-{}.incr", self.prefix)
    }

    /// Makes the folder, unless it is there.
    pub fn create(&self) -> io::Result<()> {
        match fs::DirBuilder::new().mode(0o755).create(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && self.exists() => Ok(()),
            result => result,
        }
    }

    /// Reads the manifest; an empty one if there is none.
    pub fn read_manifest(&self) -> Result<Manifest, ManifestError> {
        match fs::read(self.file(&self.manifest_name())) {
            Ok(text) => Manifest::parse(&text).map_err(ManifestError::Bad),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let (name, folder) = (self.manifest_name(), self.name());
                if self.exists() {
                    tracing::debug!("The AOF manifest file {name} doesn't exist");
                } else {
                    tracing::debug!("The AOF directory {folder} doesn't exist");
                }
                Ok(Manifest::default())
            }
            Err(error) => Err(ManifestError::Io(error)),
        }
    }

    /// Puts a manifest in the place of the one there is.
    pub fn write_manifest(&self, manifest: &Manifest) -> io::Result<()> {
        let name = self.manifest_name();
        let (temporary, last) = (self.file(&format!("temp-{name}")), self.file(&name));
        let written = (|| {
            let options = OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).clone();
            let mut file = options.open(&temporary)?;
            file.write_all(manifest.to_string().as_bytes())?;
            file.sync_all()?;
            fs::rename(&temporary, &last)?;
            self.sync()
        })();
        if let Err(error) = &written {
            tracing::warn!("Error trying to write the AOF manifest file {name}: {error}");
        }
        written
    }

    /// Forces the folder to disk: the names in it are safe then.
    pub fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    /// Opens a file to append to it, and makes it if it is not there.
    pub fn append_to(&self, name: &str, truncate: bool) -> io::Result<File> {
        let file = OpenOptions::new().append(true).create(true).mode(0o644).open(self.file(name))?;
        if truncate {
            file.set_len(0)?;
        }
        Ok(file)
    }

    /// The size of a file, bytes.
    pub fn size(&self, part: &Part) -> io::Result<u64> {
        fs::metadata(self.file(&part.name)).map(|data| data.len())
    }

    /// Sizes of all files together, bytes; what cannot be looked at counts as empty.
    pub fn total_size(&self, manifest: &Manifest) -> u64 {
        manifest.parts().map(|part| self.size(part).unwrap_or(0)).sum()
    }

    /// Deletes the files that are history, which the manifest then forgets; not if `aof-disable-auto-gc` says so.
    pub fn remove_history(&self, manifest: &mut Manifest, config: &Config) {
        if manifest.history.is_empty() || config.aof_disable_auto_gc() {
            return;
        }
        for part in manifest.history.drain(..) {
            tracing::info!("Removing the history file {} in the background", part.name);
            remove(&self.file(&part.name));
        }
        // If this fails the history stays in the file, and is deleted next time.
        let _ = self.write_manifest(manifest);
    }
}

/// Deletes a file, if it is there. Nothing depends on it.
pub fn remove(path: &Path) {
    let _ = fs::remove_file(path);
}
