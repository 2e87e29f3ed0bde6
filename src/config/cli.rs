//! The command line: `nuthatch [file] [--directive value ...] [-]`.
//!
//! A first argument that does not start with `-` is the configuration file. `-` as the first or the last one
//! reads more configuration from standard input. All others are options, each of which becomes a line behind
//! those of the files, so that it overrides them:
//!
//! * `--port 7000` is the line `port 7000`. What follows the name is its arguments, up to the next one with
//!   `--`; the first argument is taken even if it starts with `--`, so that it may.
//! * `"--port 7000"`, in one word, is the same.
//! * `--save` without anything switches snapshots off, as `--save ''` does.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::file::{ConfigError, Loader, process_variable, read_all, read_file};
use super::parse::{Environment, quote_into, split_args};
use super::store::Config;

/// What the command line asks for.
#[derive(Debug)]
pub enum Invocation {
    /// Print the version, and exit.
    Version,
    /// Print [`usage`], and exit.
    Help,
    /// Run the server.
    Run {
        /// All that files, standard input and options set.
        config: Box<Config>,
        /// The configuration file, as an absolute path, for CONFIG REWRITE.
        file: Option<PathBuf>,
        /// What the user should hear before the server starts.
        warnings: Vec<String>,
    },
}

/// Reads the command line (without the program's name), and the files and the standard input it names.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Invocation, ConfigError> {
    parse_with(args, &mut std::io::stdin(), &process_variable)
}

/// [`parse`], with another standard input and another environment.
pub fn parse_with(
    args: impl IntoIterator<Item = OsString>,
    stdin: &mut dyn Read,
    environment: Environment<'_>,
) -> Result<Invocation, ConfigError> {
    let args: Vec<OsString> = args.into_iter().collect();
    let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
    match args.first() {
        Some(&b"-v" | &b"--version") => return Ok(Invocation::Version),
        Some(&b"-h" | &b"--help") => return Ok(Invocation::Help),
        _ => {}
    }
    let (file, args) = match args.split_first() {
        Some((first, rest)) if !first.starts_with(b"-") => {
            (Some(absolute(Path::new(OsStr::from_bytes(first)))), rest)
        }
        _ => (None, args.as_slice()),
    };
    let mut text = match &file {
        Some(path) => read_file(path)?,
        None => Vec::new(),
    };
    // Counted before the file's name was taken off: behind a file, `-` must be the last argument.
    let (options, reads_stdin) = options(args, file.is_none());
    if reads_stdin {
        let more = read_all(stdin).map_err(|error| ConfigError::File(PathBuf::from("-"), error))?;
        text.extend_from_slice(&more);
    }
    let config = Box::new(Config::new());
    let mut loader = Loader::new(&config, environment);
    loader.load(&text, &options)?;
    let warnings = loader.warnings;
    Ok(Invocation::Run { config, file, warnings })
}

/// Makes lines of the options, and tells whether one of them was `-`.
fn options(args: &[&[u8]], may_start_with_stdin: bool) -> (Vec<u8>, bool) {
    let mut lines = Vec::new();
    let mut reads_stdin = false;
    // The last name has its first argument, or got an empty one.
    let mut is_complete = true;
    for (index, &arg) in args.iter().enumerate() {
        let is_last = index + 1 == args.len();
        if arg == b"-" && (is_last || (index == 0 && may_start_with_stdin)) {
            reads_stdin = true;
        } else if let Some(name) = arg.strip_prefix(b"--").filter(|_| is_complete) {
            if !lines.is_empty() {
                lines.push(b'\n');
            }
            lines.extend_from_slice(name);
            lines.push(b' ');
            // A name alone, rather than a name and its value in one word.
            let is_alone = split_args(arg).is_ok_and(|words| words.len() == 1);
            is_complete = !is_alone;
            let next_is_name = args.get(index + 1).is_some_and(|next| next.starts_with(b"--"));
            if is_alone && arg.eq_ignore_ascii_case(b"--save") && (is_last || next_is_name) {
                lines.extend_from_slice(b"\"\"");
                is_complete = true;
            }
        } else {
            quote_into(&mut lines, arg);
            lines.push(b' ');
            is_complete = true;
        }
    }
    (lines, reads_stdin)
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

/// The line that `--version` prints, in the form that tools which start Redis look for.
pub fn version() -> String {
    format!("Nuthatch server v={} bits={}", env!("CARGO_PKG_VERSION"), usize::BITS)
}

/// The text that `--help` prints.
pub fn usage() -> &'static str {
    "\
Usage: nuthatch [/path/to/redis.conf] [--directive value ...] [-]
       nuthatch --version     or -v: print the version
       nuthatch --help        or -h: print this

An in-memory cache server that speaks the Redis protocol. Without arguments it listens on port 6379 of every
address and, until it has a password, serves clients of this machine only.

Where the configuration comes from:
  /path/to/redis.conf   A file of directives, one a line, as Redis reads it. It has to be the first argument.
  --directive value     The same as a line of the file; overrides the file and standard input.
  -                     Read more lines from standard input: the last argument, or the first without a file.

Directives that are needed most, with their defaults:
  --bind '* -::*'       Addresses to listen on; one with - before it may be unavailable.
  --port 6379           TCP port; 0 listens on none.
  --unixsocket ''       Path of a Unix socket.
  --requirepass ''      Password that clients have to give.
  --protected-mode yes  Without a password, refuse clients of other machines.
  --maxclients 10000    Connections at a time.
  --maxmemory 0         Memory above which writes are refused, such as 2gb; 0 is no limit.
  --databases 16        Number of databases.
  --io-threads 0        Worker threads; 0 is one for each core.
  --timeout 0           Seconds after which idle clients are disconnected; 0 is never.
  --loglevel notice     debug, verbose, notice, warning or nothing.
  --logfile ''          File to log to; '' is standard output.
All others: CONFIG GET '*' on a running server, and docs/configuration.md.

SIGTERM, SIGINT and the command SHUTDOWN end the server in order; it then exits with 0. It exits with 1 if the
configuration is wrong or an address cannot be had, and says why.

Examples:
  nuthatch
  nuthatch /etc/nuthatch.conf
  nuthatch --port 7777 --bind 127.0.0.1 ::1
  nuthatch /etc/nuthatch.conf --loglevel verbose
  echo 'maxclients 500' | nuthatch -
"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_with(args: &[&str], stdin: &str) -> Result<(Config, Option<PathBuf>), String> {
        let args = args.iter().map(OsString::from);
        match parse_with(args, &mut stdin.as_bytes(), &|_| None).map_err(|error| error.to_string())? {
            Invocation::Run { config, file, .. } => Ok((*config, file)),
            other => Err(format!("{other:?}")),
        }
    }

    fn shown(args: &[&str], name: &str) -> String {
        let (config, _) = run_with(args, "").unwrap();
        String::from_utf8(config.get(&[name.as_bytes()])[0].1.clone()).unwrap()
    }

    #[test]
    fn special_options() {
        let parse = |arg: &str| parse_with([OsString::from(arg)], &mut std::io::empty(), &|_| None);
        assert!(matches!(parse("-v"), Ok(Invocation::Version)));
        assert!(matches!(parse("--version"), Ok(Invocation::Version)));
        assert!(matches!(parse("-h"), Ok(Invocation::Help)));
        assert!(matches!(parse("--help"), Ok(Invocation::Help)));
    }

    #[test]
    fn options_as_redis_takes_them() {
        let both = |args: &[&str]| (shown(args, "maxmemory"), shown(args, "maxmemory-policy"));
        let want = ("734003200".to_owned(), "volatile-lru".to_owned());
        assert_eq!(both(&["--maxmemory", "700mb", "--maxmemory-policy", "volatile-lru"]), want);
        assert_eq!(both(&["--maxmemory 700mb", "--maxmemory-policy volatile-lru"]), want);
        assert_eq!(both(&["--maxmemory '700mb'", "--maxmemory-policy 'volatile-lru'"]), want);

        let template = ["--proc-title-template", "--my--title--template", "--loglevel", "verbose"];
        assert_eq!(shown(&template, "proc-title-template"), "--my--title--template");
        assert_eq!(shown(&template, "loglevel"), "verbose");
        let template = ["--proc-title-template", "--save", "--save", "", "--loglevel", "verbose"];
        assert_eq!(shown(&template, "proc-title-template"), "--save");
        assert_eq!(shown(&template, "save"), "");

        for args in [
            &["--save", "--loglevel", "verbose"][..],
            &["--loglevel", "verbose", "--save"],
            &["--save", "", "--loglevel", "verbose"],
            &["--loglevel", "verbose", "--save", ""],
        ] {
            assert_eq!((shown(args, "save"), shown(args, "loglevel")), (String::new(), "verbose".into()));
        }
        assert_eq!(shown(&["--save", "900", "1"], "save"), "900 1");
        assert_eq!(shown(&["--save", "900 1", "--save", "60 2"], "save"), "900 1 60 2");
        assert_eq!(shown(&["--bind", "127.0.0.1", "::1"], "bind"), "127.0.0.1 ::1");
        let signals =
            ["--shutdown-on-sigint", "nosave", "force", "now", "--shutdown-on-sigterm", "nosave force"];
        assert_eq!(shown(&signals, "shutdown-on-sigint"), "nosave now force");
        assert_eq!(shown(&signals, "shutdown-on-sigterm"), "nosave force");
        assert_eq!(shown(&["--requirepass", "a ${b} \"c\" \\"], "requirepass"), "a ${b} \"c\" \\");
    }

    #[test]
    fn complaints_show_the_line_made_of_the_options() {
        for (args, line, reason) in [
            (&["--invalid"][..], "invalid", "Bad directive or wrong number of arguments"),
            (&["--port"], "port", "wrong number of arguments"),
            (&["--port", "6380", "--loglevel"], "loglevel", "wrong number of arguments"),
            (&["--port", "6379", "6380"], "port \"6379\" \"6380\"", "wrong number of arguments"),
            (
                &["--port", "--loglevel", "verbose"],
                "port \"--loglevel\" \"verbose\"",
                "wrong number of arguments",
            ),
            (
                &["--port", "--bla", "--loglevel", "x"],
                "port \"--bla\"",
                "argument couldn't be parsed into an integer",
            ),
            (&["--shutdown-on-sigint"], "shutdown-on-sigint", "argument(s) must be one of the following"),
            (
                &["--replicaof", "--127.0.0.1", "--abc"],
                "replicaof \"--127.0.0.1\"",
                "wrong number of arguments",
            ),
        ] {
            let error = run_with(args, "").err().unwrap();
            assert!(error.contains(&format!(">>> '{line}'\n{reason}")), "{error}");
        }
        assert!(run_with(&["--port", "x"], "").err().unwrap().contains("at line 2\n"));
    }

    #[test]
    fn files_then_standard_input_then_options() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.conf");
        let name = path.to_str().unwrap();
        std::fs::write(&path, "port 1\nmaxclients 1\ntimeout 1\n").unwrap();
        let (config, file) = run_with(&[name, "--timeout", "3", "-"], "maxclients 2\ntimeout 2").unwrap();
        assert_eq!((config.port(), config.maxclients(), config.timeout()), (1, 2, 3));
        assert_eq!(file, Some(path.clone()));
        assert_eq!(run_with(&["-", "--port", "2"], "port 3\ntimeout 4").unwrap().0.timeout(), 4);
        assert!(run_with(&[name, "-", "--port", "2"], "").is_err());
        let missing = dir.path().join("b.conf");
        let error = run_with(&[missing.to_str().unwrap()], "").err().unwrap();
        assert!(error.starts_with("Fatal error, can't open config file '"), "{error}");
    }
}
