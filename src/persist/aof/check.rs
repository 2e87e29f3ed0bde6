//! `nuthatch check-aof`: looks through the files of a log for what is wrong with them, and cuts off what is behind it if
//! that is wished.
//!
//! What it prints, and in which cases it stops, is what Redis's `redis-check-aof` prints and does, since people and
//! scripts read it. Commands are not run: a file is right if it consists of requests, and its transactions have an end.

use super::manifest::Manifest;
use crate::observe::process::error_text;
use crate::persist::rdb::{SIGNATURE, check};
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A length stands in a line of so many bytes at most, an annotation in one of so many (Redis's buffers).
const MAX_LENGTH_LINE_BYTES: usize = 127;
const MAX_ANNOTATION_BYTES: usize = 1023;

/// Read at once while a string is passed over.
const PASS_BYTES: u64 = 64 * 1024;

/// Ends the tool with an exit code of 1.
struct Abort;

/// What was found out about one file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Right,
    Empty,
    Truncated,
    TruncatedToTime,
}

/// What to do with a file that is not right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    Report,
    /// Cut off what is behind the last complete request.
    Fix,
    /// Cut off what was logged after this time, Unix seconds.
    TruncateTo(i64),
}

/// Runs the tool with these arguments. Returns the exit code.
pub fn run(name: &str, args: &[OsString]) -> i32 {
    let words: Vec<&str> = args.iter().map(|arg| arg.to_str().unwrap_or_default()).collect();
    let (mode, file) = match words.as_slice() {
        ["-v" | "--version"] => {
            println!("{name} {}", crate::VERSION);
            return 0;
        }
        [_] => (Mode::Report, &args[0]),
        ["--fix", _] => (Mode::Fix, &args[1]),
        ["--truncate-to-timestamp", time, _] => match time.parse() {
            Ok(time) => (Mode::TruncateTo(time), &args[2]),
            Err(_) => {
                println!("Invalid timestamp, aborting...");
                return 1;
            }
        },
        _ => {
            println!("Usage: {name} [--fix|--truncate-to-timestamp $timestamp] <file.manifest|file.aof>");
            return 1;
        }
    };
    let (mut out, mut answers) = (io::stdout().lock(), io::stdin().lock());
    let mut tool = Tool { mode, out: &mut out, answers: &mut answers };
    let result = tool.check(Path::new(file));
    // What cannot be printed helps nobody.
    let _ = out.flush();
    i32::from(result.is_err())
}

struct Tool<'a> {
    mode: Mode,
    out: &'a mut dyn Write,
    /// Where the answer to the question comes from whether to cut.
    answers: &'a mut dyn BufRead,
}

macro_rules! say {
    ($tool:expr, $($text:tt)*) => {{
        // What cannot be printed helps nobody.
        let _ = writeln!($tool.out, $($text)*);
    }};
}

impl Tool<'_> {
    fn check(&mut self, path: &Path) -> Result<(), Abort> {
        let shown = path.display().to_string();
        let text = self.begin_of(path)?;
        if is_manifest(&text) {
            return self.check_parts(path);
        }
        say!(self, "Start checking Old-Style AOF");
        let verdict = self.check_file(&shown, path, true, text.starts_with(SIGNATURE))?;
        self.tell(verdict, "AOF", &shown);
        Ok(())
    }

    /// The first bytes of a file, enough to see what it is.
    fn begin_of(&mut self, path: &Path) -> Result<Vec<u8>, Abort> {
        let read = File::open(path).and_then(|file| {
            let mut begin = Vec::new();
            file.take(PASS_BYTES).read_to_end(&mut begin).map(|_| begin)
        });
        read.map_err(|error| {
            say!(self, "Cannot open file {}: {}", path.display(), error_text(&error));
            Abort
        })
    }

    fn check_parts(&mut self, path: &Path) -> Result<(), Abort> {
        say!(self, "Start checking Multi Part AOF");
        let text = std::fs::read(path).unwrap_or_default();
        let manifest = Manifest::parse(&text).map_err(|bad| {
            say!(self, "{bad}");
            Abort
        })?;
        let folder = path.parent().map_or(PathBuf::from("."), Path::to_path_buf);
        let (mut left, mut is_first_increment) = (manifest.parts().count(), true);
        for (at, part) in manifest.parts().enumerate() {
            left -= 1;
            let file = folder.join(&part.name);
            let is_base = at == 0 && manifest.base.is_some();
            let mut is_snapshot = false;
            if is_base {
                is_snapshot = self.begin_of(&file)?.starts_with(SIGNATURE);
                let form = if is_snapshot { "RDB" } else { "RESP" };
                say!(self, "Start to check BASE AOF ({form} format).");
            } else if std::mem::take(&mut is_first_increment) {
                say!(self, "Start to check INCR files.");
            }
            let verdict = self.check_file(&part.name, &file, left == 0, is_snapshot)?;
            self.tell(verdict, if is_base { "BASE AOF" } else { "INCR AOF" }, &part.name);
        }
        say!(self, "All AOF files and manifest are valid");
        Ok(())
    }

    fn tell(&mut self, verdict: Verdict, kind: &str, name: &str) {
        match (verdict, self.mode) {
            (Verdict::Right, _) => say!(self, "{kind} {name} is valid"),
            (Verdict::Empty, _) => say!(self, "{kind} {name} is empty"),
            (Verdict::TruncatedToTime, Mode::TruncateTo(time)) => {
                say!(self, "Successfully truncated AOF {name} to timestamp {time}");
            }
            (Verdict::Truncated | Verdict::TruncatedToTime, _) => {
                say!(self, "Successfully truncated AOF {name}")
            }
        }
    }

    fn check_file(
        &mut self,
        name: &str,
        path: &Path,
        is_last: bool,
        is_snapshot: bool,
    ) -> Result<Verdict, Abort> {
        let shown = path.display();
        let opened = OpenOptions::new().read(true).write(true).open(path);
        let mut file = opened.map_err(|error| {
            say!(self, "Cannot open file {shown}: {}, aborting...", error_text(&error));
            Abort
        })?;
        let size = file.metadata().map(|data| data.len()).map_err(|_| {
            say!(self, "Cannot stat file: {name}, aborting...");
            Abort
        })?;
        if size == 0 {
            return Ok(Verdict::Empty);
        }
        let mut offset = 0;
        if is_snapshot {
            let mut report = String::new();
            let end = check::check_prefix(&mut file, path, &mut report);
            let _ = write!(self.out, "{report}");
            offset = end.ok_or_else(|| {
                say!(self, "RDB preamble of AOF file is not sane, aborting.");
                Abort
            })?;
            say!(self, "RDB preamble is OK, proceeding with AOF tail...");
        }
        let mut scan = Scan::new(file, offset).map_err(|_| {
            say!(self, "Failed to read from AOF {name}, aborting...");
            Abort
        })?;
        let (mut good, mut open_transactions) = (offset, 0);
        loop {
            if open_transactions == 0 {
                good = scan.offset;
            }
            match scan.peek() {
                None => break,
                Some(b'#') => {
                    let began_at = scan.offset;
                    if let Some(time) = self.annotation(&mut scan, path)?
                        && self.cut_at(time, began_at, path, is_last, &scan)?
                    {
                        return Ok(Verdict::TruncatedToTime);
                    }
                }
                Some(b'*') => {
                    if scan.request(path, &mut open_transactions).is_none() {
                        break;
                    }
                }
                Some(_) => {
                    say!(self, "AOF {name} format error");
                    break;
                }
            }
        }
        if scan.at_end && open_transactions != 0 && scan.error.is_empty() {
            scan.fail("Reached EOF before reading EXEC for MULTI");
        }
        if !scan.error.is_empty() {
            say!(self, "{}", scan.error);
        }
        let rest = size - good;
        if let (Mode::TruncateTo(time), 0) = (self.mode, rest) {
            say!(self, "Truncate nothing in AOF {name} to timestamp {time}");
            return Ok(Verdict::Right);
        }
        say!(
            self,
            "AOF analyzed: filename={name}, size={size}, ok_up_to={good}, ok_up_to_line={}, diff={rest}",
            scan.line
        );
        if rest == 0 {
            return Ok(Verdict::Right);
        }
        if self.mode != Mode::Fix {
            say!(self, "AOF {name} is not valid. Use the --fix option to try fixing it.");
            return Err(Abort);
        }
        if !is_last {
            say!(self, "Failed to truncate AOF {name} because it is not the last file");
            return Err(Abort);
        }
        say!(self, "This will shrink the AOF {name} from {size} bytes, with {rest} bytes, to {good} bytes");
        let _ = write!(self.out, "Continue? [y/N]: ").and_then(|()| self.out.flush());
        let mut answer = String::new();
        let answered = self.answers.read_line(&mut answer);
        if answered.is_err() || !answer.to_ascii_lowercase().starts_with('y') {
            say!(self, "Aborting...");
            return Err(Abort);
        }
        scan.file().set_len(good).map_err(|_| {
            say!(self, "Failed to truncate AOF {name}");
            Abort
        })?;
        Ok(Verdict::Truncated)
    }

    /// Reads an annotation. Returns the time that it tells, if that matters.
    fn annotation(&mut self, scan: &mut Scan, path: &Path) -> Result<Option<i64>, Abort> {
        let Some(text) = scan.line(MAX_ANNOTATION_BYTES) else {
            say!(self, "Failed to read annotations from AOF {}, aborting...", path.display());
            return Err(Abort);
        };
        let Some(time) = text.strip_prefix(b"#TS:") else { return Ok(None) };
        if !matches!(self.mode, Mode::TruncateTo(_)) {
            return Ok(None);
        }
        let time = time.strip_suffix(b"\r\n").and_then(|time| std::str::from_utf8(time).ok()?.parse().ok());
        if time.is_none() {
            say!(self, "Invalid timestamp annotation");
            return Err(Abort);
        }
        Ok(time)
    }

    /// Cuts the file at this offset if what comes there was logged too late.
    fn cut_at(&mut self, time: i64, at: u64, path: &Path, is_last: bool, scan: &Scan) -> Result<bool, Abort> {
        let Mode::TruncateTo(wanted) = self.mode else { return Ok(false) };
        let shown = path.display();
        if time <= wanted {
            return Ok(false);
        }
        if at == 0 {
            say!(self, "AOF {shown} has nothing before timestamp {wanted}, aborting...");
            return Err(Abort);
        }
        if !is_last {
            say!(
                self,
                "Failed to truncate AOF {shown} to timestamp {wanted} to offset {at} because it is not the last file."
            );
            say!(
                self,
                "If you insist, please delete all files after this file according to the manifest file and delete the \
                 corresponding records in manifest file manually. Then re-run redis-check-aof."
            );
            return Err(Abort);
        }
        scan.file().set_len(at).map_err(|_| {
            say!(self, "Failed to truncate AOF {shown} to timestamp {wanted}");
            Abort
        })?;
        Ok(true)
    }
}

/// Whether a text is a manifest's: its first line that is no comment names a file.
fn is_manifest(text: &[u8]) -> bool {
    let line = text.split(|byte| *byte == b'\n').find(|line| !line.starts_with(b"#"));
    line.is_some_and(|line| line.starts_with(b"file"))
}

/// A file that is read request by request.
struct Scan {
    reader: BufReader<File>,
    offset: u64,
    /// Lines seen so far, the one that is read included.
    line: u64,
    /// Where what is read now began: errors name it.
    began_at: u64,
    at_end: bool,
    error: String,
}

impl Scan {
    fn new(mut file: File, offset: u64) -> io::Result<Scan> {
        file.seek(SeekFrom::Start(offset))?;
        let reader = BufReader::with_capacity(PASS_BYTES as usize, file);
        Ok(Scan { reader, offset, line: 1, began_at: offset, at_end: false, error: String::new() })
    }

    fn file(&self) -> &File {
        self.reader.get_ref()
    }

    fn fail(&mut self, what: impl std::fmt::Display) {
        self.error = format!("0x{:16x}: {what}", self.began_at);
    }

    fn peek(&mut self) -> Option<u8> {
        let byte = self.reader.fill_buf().ok().and_then(|buffer| buffer.first().copied());
        self.at_end |= byte.is_none();
        byte
    }

    /// The next line, its end included, as far as it has at most `max_bytes`. `None` at the end of the file.
    fn line(&mut self, max_bytes: usize) -> Option<Vec<u8>> {
        self.began_at = self.offset;
        let mut line = Vec::new();
        let read = (&mut self.reader).take(max_bytes as u64).read_until(b'\n', &mut line);
        self.offset += line.len() as u64;
        self.at_end |= line.last() != Some(&b'\n') && line.len() < max_bytes;
        (read.is_ok() && !line.is_empty()).then_some(line)
    }

    fn newline(&mut self, found: &[u8]) -> Option<()> {
        if !found.starts_with(b"\r\n") {
            let byte = |at| found.get(at).copied().unwrap_or(0);
            self.fail(format_args!("Expected \\r\\n, got: {:02x}{:02x}", byte(0), byte(1)));
            return None;
        }
        self.line += 1;
        Some(())
    }

    /// A number behind `sign`, with its line's end.
    fn number(&mut self, sign: u8) -> Option<i64> {
        let line = self.line(MAX_LENGTH_LINE_BYTES)?;
        if line[0] != sign {
            self.fail(format_args!("Expected prefix '{}', got: '{}'", char::from(sign), char::from(line[0])));
            return None;
        }
        let digits = line[1..].iter().enumerate();
        let end = digits.take_while(|(at, byte)| byte.is_ascii_digit() || *at == 0 && **byte == b'-').count();
        let number = std::str::from_utf8(&line[1..=end]).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
        self.newline(&line[1 + end..])?;
        Some(number)
    }

    /// A string, with its length in front and its end behind. Returns its first bytes.
    fn string(&mut self) -> Option<Vec<u8>> {
        let len = self.number(b'$')?;
        let Some(wanted) = u64::try_from(len).ok().and_then(|len| len.checked_add(2)) else {
            self.fail(format_args!(
                "Expected to read string of {len} bytes, which is not in the suitable range"
            ));
            return None;
        };
        self.began_at = self.offset;
        let (mut begin, mut end, mut read) = (Vec::new(), Vec::new(), 0);
        while read < wanted {
            let mut piece = Vec::new();
            let limit = (wanted - read).min(PASS_BYTES);
            let got = (&mut self.reader).take(limit).read_to_end(&mut piece).unwrap_or(0) as u64;
            if got == 0 {
                self.at_end = true;
                break;
            }
            if read == 0 {
                begin.clone_from(&piece);
            }
            end.extend_from_slice(&piece[piece.len().saturating_sub(2)..]);
            end.drain(..end.len().saturating_sub(2));
            read += got;
        }
        self.offset += read;
        if read < wanted {
            self.fail(format_args!("Expected to read {wanted} bytes, got {read} bytes"));
            return None;
        }
        self.newline(&end)?;
        begin.truncate(usize::try_from(len).unwrap_or(usize::MAX));
        Some(begin)
    }

    /// A request. `open` counts transactions that have begun.
    fn request(&mut self, path: &Path, open: &mut i32) -> Option<()> {
        let count = self.number(b'*')?;
        for at in 0..count {
            let argument = self.string()?;
            if at > 0 {
                continue;
            }
            if argument.eq_ignore_ascii_case(b"multi") {
                *open += 1;
                if *open > 1 {
                    self.fail(format_args!("Unexpected MULTI in AOF {}", path.display()));
                    return None;
                }
            } else if argument.eq_ignore_ascii_case(b"exec") {
                *open -= 1;
                if *open != 0 {
                    self.fail(format_args!("Unexpected EXEC in AOF {}", path.display()));
                    return None;
                }
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the tool on a file with these contents; returns what it prints and what the file has afterwards.
    fn check(mode: Mode, contents: &[u8]) -> (bool, String, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.aof");
        std::fs::write(&path, contents).unwrap();
        let (mut out, mut answers) = (Vec::new(), b"y\n".as_slice());
        let result = Tool { mode, out: &mut out, answers: &mut answers }.check(&path);
        let text = String::from_utf8(out).unwrap().replace(&path.display().to_string(), "FILE");
        (result.is_ok(), text, std::fs::read(&path).unwrap())
    }

    const SET: &[u8] = b"*2\r\n$4\r\nINCR\r\n$1\r\na\r\n";

    #[test]
    fn what_is_right_is_called_valid() {
        let (ok, text, _) = check(Mode::Report, &SET.repeat(3));
        assert!(ok);
        assert_eq!(
            text,
            "Start checking Old-Style AOF\n\
             AOF analyzed: filename=FILE, size=63, ok_up_to=63, ok_up_to_line=16, diff=0\n\
             AOF FILE is valid\n"
        );
        assert!(check(Mode::Report, b"").1.ends_with("AOF FILE is empty\n"));
    }

    #[test]
    fn a_torn_end_is_cut_off_on_request() {
        let torn = [SET, &SET[..9]].concat();
        let (ok, text, _) = check(Mode::Report, &torn);
        assert!(
            !ok && text.contains("0x              1d: Expected to read 6 bytes, got 1 bytes\n"),
            "{text}"
        );
        assert!(text.ends_with("AOF FILE is not valid. Use the --fix option to try fixing it.\n"));
        let (ok, text, left) = check(Mode::Fix, &torn);
        assert!(ok && text.ends_with("Successfully truncated AOF FILE\n"), "{text}");
        assert_eq!(left, SET);
        // Transactions are whole, or are not there.
        let open = [SET, b"*1\r\n$5\r\nMULTI\r\n", SET].concat();
        let (_, text, left) = check(Mode::Fix, &open);
        assert!(text.contains("Reached EOF before reading EXEC for MULTI"), "{text}");
        assert_eq!(left, SET);
    }

    #[test]
    fn what_was_logged_after_a_time_is_cut_off() {
        let log = [b"#TS:10\r\n", SET, b"#TS:12\r\n", SET].concat();
        let (ok, text, left) = check(Mode::TruncateTo(11), &log);
        assert!(ok && text.ends_with("Successfully truncated AOF FILE to timestamp 11\n"), "{text}");
        assert_eq!(left, [b"#TS:10\r\n", SET].concat());
        let (ok, text, left) = check(Mode::TruncateTo(12), &log);
        assert!(ok && text.contains("Truncate nothing in AOF FILE to timestamp 12"), "{text}");
        assert_eq!(left, log);
        assert!(!check(Mode::TruncateTo(9), &log).0);
    }
}
