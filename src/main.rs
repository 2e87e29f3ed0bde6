//! The `nuthatch` binary: reads the command line, starts the log, runs the server.

use nuthatch::config::choice::LogLevel;
use nuthatch::config::cli::{self, Invocation};
use nuthatch::observe::log::Level;
use nuthatch::{observe, server};

fn main() {
    let code = match cli::parse(std::env::args_os().skip(1)) {
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
            let log = match observe::log::start(level(config.loglevel()), &config.logfile()) {
                Ok(log) => log,
                Err(error) => {
                    eprintln!("Can't open the log file: {error}");
                    std::process::exit(1);
                }
            };
            for warning in warnings {
                tracing::warn!("{warning}");
            }
            server::run(*config, file, log)
        }
        Err(error) => {
            eprint!("{error}");
            1
        }
    };
    std::process::exit(code);
}

fn level(level: LogLevel) -> Level {
    match level {
        LogLevel::Debug => Level::Debug,
        LogLevel::Verbose => Level::Verbose,
        LogLevel::Notice => Level::Notice,
        LogLevel::Warning => Level::Warning,
        LogLevel::Nothing => Level::Nothing,
    }
}
