//! Configuration: the table of directives, the language of redis.conf, the command line, and the live values.
//!
//! * [`directives`] is the table: name, type, default, mutability, effect and summary of every directive.
//! * [`parse`] splits lines into arguments; `value` reads arguments as values of a directive's kind.
//! * [`file`] reads configuration files, [`cli`] the command line.
//! * [`Config`] holds the values, with a typed accessor for each; [`Config::get`] and [`Config::set_many`] are
//!   CONFIG GET and CONFIG SET, [`Config::rewrite`] is CONFIG REWRITE.
//!
//! Of other modules, it only uses algorithms of `types`. It changes nothing outside itself: whoever sets a directive applies it.
//! In particular it does not change the working directory; relative paths in a file are resolved against the
//! `dir` set above them, as if it had.

mod check;
pub mod choice;
pub mod cli;
pub mod directive;
pub mod directives;
pub mod file;
mod number;
pub mod parse;
mod rewrite;
mod store;
pub mod value;

pub use directive::{Directive, Effect, flag, lookup};
pub use directives::{DIRECTIVES, Id};
pub use store::{Caller, Change, Config, SetError};
