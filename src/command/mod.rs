//! Commands: the declarative table, what a handler gets to work with, and the handlers by group.
//!
//! [`spec`] is the vocabulary of the records, [`table`] the index over all of them, [`dispatch`] runs one
//! request: finds its record, passes the gate, locks its keys, calls the handler. The folders hold the
//! handlers, each below its record; [`serialize`] is what several of them share about values of any type.

pub mod args;
pub mod bitmap;
pub mod blocking;
pub mod call;
pub mod connection;
pub mod derive;
pub mod describe;
pub mod dispatch;
pub mod errors;
pub mod generic;
pub mod geo;
pub mod hash;
pub mod help;
pub mod hyperloglog;
pub mod inside;
pub mod keyspec;
pub mod list;
pub mod meter;
pub mod pubsub;
pub mod reach;
pub mod replay;
pub mod scanning;
pub mod scripting;
pub mod serialize;
pub mod server;
pub mod set;
pub mod sorted_set;
pub mod spec;
pub mod stream;
pub mod string;
pub mod table;
pub mod transaction;
