//! CLIENT: the connection's own settings, and the table of all connections.

mod filter;
mod kill;
mod list;
mod modes;
pub mod names;
mod pause;

use crate::command::help;
use crate::command::spec::{Arg, Command, Flags, Group, Scope};

/// What all subcommands have in common.
const BASE: Command = Command {
    group: Group::Connection,
    arity: 2,
    flags: Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE),
    reply: "OK",
    scope: Scope::Nothing,
    ..Command::NEW
};

/// What the subcommands that reach beyond the own connection have in common.
const ADMIN: Command = Command { flags: BASE.flags.union(Flags::ADMIN), ..BASE };

/// For a setting of each connection, which a cluster's client has to repeat everywhere.
const ON_ALL_NODES: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];

const ON_OR_OFF: &[Arg] = &[Arg::one_of("enabled", &[Arg::word("on", "ON"), Arg::word("off", "OFF")])];

pub const CLIENT: Command = Command {
    name: "client",
    summary: "Contains the commands on connections.",
    since: "2.4.0",
    group: Group::Connection,
    complexity: "Depends on the subcommand.",
    arity: -2,
    help: HELP,
    subcommands: &[
        names::GETNAME,
        help::record(Group::Connection, "5.0.0"),
        names::ID,
        list::INFO,
        kill::KILL,
        list::LIST,
        modes::NO_EVICT,
        modes::NO_TOUCH,
        pause::PAUSE,
        modes::REPLY,
        names::SETINFO,
        names::SETNAME,
        pause::UNBLOCK,
        pause::UNPAUSE,
    ],
    ..Command::NEW
};

const HELP: &[&str] = &[
    "GETNAME",
    "    The name of the current connection.",
    "ID",
    "    The number of the current connection.",
    "INFO",
    "    What CLIENT LIST says of the current connection.",
    "KILL <ip:port>",
    "    Close the connection from <ip:port>.",
    "KILL <option> <value> [<option> <value> [...]]",
    "    Close the connections that fit all options:",
    "    * ADDR (<ip:port>|<unixsocket>:0)",
    "      Made from this address.",
    "    * LADDR (<ip:port>|<unixsocket>:0)",
    "      Made to this address of ours.",
    "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
    "      Of this type.",
    "    * USER <username>",
    "      Authenticated as this user.",
    "    * SKIPME (YES|NO)",
    "      Spare the current connection (default: yes).",
    "    * ID <client-id>",
    "      With this number.",
    "    * MAXAGE <maxage>",
    "      At least this many seconds old.",
    "LIST [options ...]",
    "    Describe all connections, or those that fit the option:",
    "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
    "      Of this type.",
    "    * ID <client-id> [<client-id> ...]",
    "      With these numbers.",
    "NO-EVICT (ON|OFF)",
    "    Whether the current connection is spared when clients are evicted.",
    "NO-TOUCH (ON|OFF)",
    "    Whether the current connection's commands leave access times and frequencies alone.",
    "PAUSE <timeout> [WRITE|ALL]",
    "    Let the commands of all clients, or only those that write, wait for <timeout> milliseconds.",
    "REPLY (ON|OFF|SKIP)",
    "    Whether the current connection gets replies.",
    "SETINFO <option> <value>",
    "    State the client library's LIB-NAME or LIB-VER.",
    "SETNAME <name>",
    "    Name the current connection.",
    "UNBLOCK <clientid> [TIMEOUT|ERROR]",
    "    End the wait of a client that is blocked in a command.",
    "UNPAUSE",
    "    End a pause.",
];
