//! The `nuthatch` binary: reads the command line, starts the log, runs the server.

use nuthatch::command::table;
use nuthatch::config::Config;
use nuthatch::config::cli::{self, Invocation};
use nuthatch::config::file::ConfigError;
use nuthatch::persist::tools;
use nuthatch::state::apply::log_level;
use nuthatch::{observe, server};

/// Gives commands the names that the configuration has for them.
fn rename_commands(config: &Config) -> Result<(), ConfigError> {
    let lines = config.rename_command();
    let pairs: Vec<(&[u8], &[u8])> = lines.iter().map(|line| (line[0].as_ref(), line[1].as_ref())).collect();
    table::rename(&pairs).map_err(|(index, reason)| {
        let (old, new) = pairs[index];
        let line = format!(">>> 'rename-command {} \"{}\"'\n", old.escape_ascii(), new.escape_ascii());
        ConfigError::Whole(format!("{line}{reason}").into())
    })
}

fn main() {
    let mut args = std::env::args_os();
    let program = args.next().unwrap_or_default().to_string_lossy().into_owned();
    let args: Vec<_> = args.collect();
    if let Some(code) = tools::run(&program, &args) {
        std::process::exit(code);
    }
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
            if let Err(error) = rename_commands(&config) {
                eprintln!("{error}");
                std::process::exit(1);
            }
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
            observe::crash::end_process_on_panic();
            observe::process::survive_file_size_limit();
            for warning in warnings {
                tracing::warn!("{warning}");
            }
            server::run(*config, file, log, program)
        }
        Err(error) => {
            eprintln!("{error}");
            1
        }
    };
    std::process::exit(code);
}
