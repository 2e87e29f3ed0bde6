//! The file that holds the process id while the server runs, for supervisors.

use crate::observe::process;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// The file, removed when this is dropped.
pub struct Pidfile(PathBuf);

impl Pidfile {
    /// Writes the file. An empty path asks for none; failure is logged and no reason not to serve.
    pub fn write(path: &[u8]) -> Option<Pidfile> {
        if path.is_empty() {
            return None;
        }
        let path = PathBuf::from(OsStr::from_bytes(path));
        match std::fs::write(&path, format!("{}\n", std::process::id())) {
            Ok(()) => Some(Pidfile(path)),
            Err(error) => {
                tracing::warn!("Failed to write PID file: {}", process::error_text(&error));
                None
            }
        }
    }
}

impl Drop for Pidfile {
    fn drop(&mut self) {
        // Somebody may have removed it already.
        let _ = std::fs::remove_file(&self.0);
    }
}
