//! Commands on the server as a whole: its commands, configuration, statistics, memory, end.

mod command;
mod config;
mod debug;
mod info;
mod latency;
mod lolwut;
mod memory;
mod module;
mod monitor;
mod save;
mod shutdown;
mod slowlog;
mod time;

use super::spec::Command;

pub const COMMANDS: &[Command] = &[
    command::COMMAND,
    config::CONFIG,
    debug::DEBUG,
    info::INFO,
    latency::LATENCY,
    lolwut::LOLWUT,
    memory::MEMORY,
    module::MODULE,
    monitor::MONITOR,
    time::ROLE,
    save::BGREWRITEAOF,
    save::BGSAVE,
    save::LASTSAVE,
    save::SAVE,
    shutdown::SHUTDOWN,
    slowlog::SLOWLOG,
    time::TIME,
];
