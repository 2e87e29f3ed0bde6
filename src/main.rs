//! The `nuthatch` binary: reads the command line, starts the log, runs the server.

use nuthatch::config::cli::{self, Invocation};
use nuthatch::state::apply::log_level;
use nuthatch::{observe, server};

fn main() {
    let mut args = std::env::args_os();
    let program = args.next().unwrap_or_default().to_string_lossy().into_owned();
    let args: Vec<_> = args.collect();
    // SAFETY: there is no other thread yet, and the arguments have just been read, once and for all.
    unsafe { observe::title::claim() };
    let code = match cli::parse(args) {
        Ok(Invocation::Version) => {
            println!("{}", cli::version());
            0
        }
        Ok(Invocation::Help) => {
            print!("{}", cli::usage());
            0
        }
        Ok(Invocation::Run { config, file, warnings }) => {
            // From here on relative paths mean those below `dir`.
            if let Err(error) = std::env::set_current_dir(config.directory()) {
                eprintln!("Can't chdir to '{}': {error}", config.directory().display());
                std::process::exit(1);
            }
            let log = match observe::log::start(log_level(config.loglevel()), &config.logfile()) {
                Ok(log) => log,
                Err(error) => {
                    eprintln!("Can't open the log file: {error}");
                    std::process::exit(1);
                }
            };
            for warning in warnings {
                tracing::warn!("{warning}");
            }
            server::run(*config, file, log, program)
        }
        Err(error) => {
            eprint!("{error}");
            1
        }
    };
    std::process::exit(code);
}
