//! A file that is there as a whole or not at all: written under another name, forced to disk, and only then given its
//! own, with the directory forced to disk, too.

use crate::rdb::payload::CHECKSUM;
use crc::{Digest, Table};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What is written between two requests to the system to begin with the writing (Redis's `REDIS_AUTOSYNC_BYTES`).
const SYNC_EVERY_BYTES: u64 = 4 << 20;

/// A file that is being written.
pub struct NewFile {
    file: File,
    /// The name until it is complete.
    temporary: PathBuf,
    digest: Option<Digest<'static, u64, Table<16>>>,
    bytes: u64,
    synced_bytes: u64,
    sync_in_steps: bool,
    is_complete: bool,
}

impl NewFile {
    /// Begins a file under a temporary name. With `checksum` the CRC-64 of its bytes is kept; with `sync_in_steps` they
    /// are sent on their way to the disk while it grows.
    pub fn create(temporary: PathBuf, checksum: bool, sync_in_steps: bool) -> io::Result<NewFile> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&temporary)?;
        let digest = checksum.then(|| CHECKSUM.digest());
        Ok(NewFile { file, temporary, digest, bytes: 0, synced_bytes: 0, sync_in_steps, is_complete: false })
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        if let Some(digest) = &mut self.digest {
            digest.update(bytes);
        }
        self.bytes += bytes.len() as u64;
        if self.sync_in_steps && self.bytes - self.synced_bytes >= SYNC_EVERY_BYTES {
            self.begin_sync();
        }
        Ok(())
    }

    /// Lets the system begin to write what is not on disk yet. Waits for what was begun before.
    fn begin_sync(&mut self) {
        let (from, len) =
            (self.synced_bytes as libc::off64_t, (self.bytes - self.synced_bytes) as libc::off64_t);
        let descriptor = self.file.as_raw_fd();
        // A failure shows when the file is forced to disk at its end.
        // SAFETY: plain system calls on a descriptor that this owns.
        unsafe {
            if from > 0 {
                let wait = libc::SYNC_FILE_RANGE_WAIT_BEFORE
                    | libc::SYNC_FILE_RANGE_WRITE
                    | libc::SYNC_FILE_RANGE_WAIT_AFTER;
                libc::sync_file_range(descriptor, 0, from, wait);
            }
            libc::sync_file_range(descriptor, from, len, libc::SYNC_FILE_RANGE_WRITE);
        }
        self.synced_bytes = self.bytes;
    }

    /// Bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The checksum of all bytes written so far; 0 if none is kept.
    pub fn checksum(&self) -> u64 {
        self.digest.clone().map_or(0, |digest| digest.finalize())
    }

    /// Forces the file to disk and gives it its name.
    pub fn complete(mut self, name: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        std::fs::rename(&self.temporary, name)?;
        self.is_complete = true;
        sync_directory_of(name)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_complete {
            // Nobody else knows the name; a file that stays is only in the way.
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

/// Forces the directory that a file is in to disk: its name is safe then.
pub fn sync_directory_of(name: &Path) -> io::Result<()> {
    let directory = name.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_there_as_a_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let (temporary, name) = (directory.path().join("temp-1.rdb"), directory.path().join("dump.rdb"));
        std::fs::write(&name, "old").unwrap();
        let mut file = NewFile::create(temporary.clone(), true, true).unwrap();
        for _ in 0..10 {
            file.write(&vec![1; 1 << 20]).unwrap();
        }
        assert_eq!(std::fs::read(&name).unwrap(), b"old");
        drop(file);
        assert!(!temporary.exists());
        let mut file = NewFile::create(temporary.clone(), true, false).unwrap();
        file.write(b"12345").unwrap();
        file.write(b"6789").unwrap();
        assert_eq!((file.bytes(), file.checksum()), (9, 0xe9c6_d914_c4b8_d9ca));
        file.complete(&name).unwrap();
        assert_eq!(std::fs::read(&name).unwrap(), b"123456789");
        assert!(!temporary.exists());
    }
}
