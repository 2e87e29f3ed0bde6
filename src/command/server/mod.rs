//! Commands on the server as a whole: its commands, configuration, statistics, memory, end.

mod command;

use super::spec::Command;

pub const COMMANDS: &[Command] = &[command::COMMAND];
