//! Commands on the connection itself: greeting, authentication, database, name, replies, and the table of
//! all connections.

mod auth;
mod client;
mod hello;
mod ping;
mod select;

use super::spec::Command;

pub const COMMANDS: &[Command] = &[
    auth::AUTH,
    client::CLIENT,
    ping::ECHO,
    hello::HELLO,
    ping::PING,
    select::QUIT,
    select::RESET,
    select::SELECT,
];
