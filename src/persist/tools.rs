//! The tools for files: `nuthatch check-rdb FILE` and `nuthatch check-aof FILE`, or the same program under the names
//! `redis-check-rdb` and `redis-check-aof`.

use super::aof;
use super::rdb::check;
use std::ffi::OsString;
use std::path::Path;

/// Runs the tool that the command line asks for, if it asks for one. Returns its exit code.
pub fn run(program: &str, args: &[OsString]) -> Option<i32> {
    let called_as = Path::new(program).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let word = args.first().and_then(|word| word.to_str());
    if called_as.ends_with("-check-rdb") {
        return Some(check_rdb(called_as, args));
    }
    if called_as.ends_with("-check-aof") {
        return Some(aof::check::run(called_as, args));
    }
    match word {
        Some("check-rdb") => Some(check_rdb("nuthatch check-rdb", &args[1..])),
        Some("check-aof") => Some(aof::check::run("nuthatch check-aof", &args[1..])),
        _ => None,
    }
}

fn check_rdb(name: &str, args: &[OsString]) -> i32 {
    match args {
        [word] if word == "-v" || word == "--version" => {
            println!("{name} {}", crate::VERSION);
            0
        }
        [file] => check::run(Path::new(file)),
        _ => {
            eprintln!("Usage: {name} <rdb-file-name>");
            1
        }
    }
}
