//! The `nuthatch` binary: reads the command line, starts the log, runs the server.

use nuthatch::config::cli::{self, Invocation};
use nuthatch::{observe, server};

fn main() {
    let code = match cli::parse(std::env::args_os().skip(1)) {
        Ok(Invocation::Version(text) | Invocation::Help(text)) => {
            print!("{text}");
            0
        }
        Ok(Invocation::Run { config, file, warnings }) => {
            if let Err(error) = observe::log::start(config.loglevel(), &config.logfile()) {
                eprintln!("Cannot open the log: {error}");
                std::process::exit(1);
            }
            for warning in warnings {
                tracing::warn!("{warning}");
            }
            server::run(config, file)
        }
        Err(error) => {
            eprint!("{error}");
            1
        }
    };
    std::process::exit(code);
}
