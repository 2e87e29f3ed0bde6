//! Scripts and functions: Lua 5.1 as Redis offers it to clients.
//!
//! ```text
//! engine    an interpreter and one run in it; the trait through which a run calls commands
//!   ├── sandbox    what a script can reach, and cannot change
//!   ├── api        the tables `redis` and `server`
//!   ├── json, msgpack, packing, bit    the libraries cjson, cmsgpack, struct, bit
//!   ├── convert    values between the protocol and Lua
//!   └── lua        the surface over Lua's C interface
//! store     the scripts that all workers know
//! library   the libraries of functions that all workers know
//! flags     what scripts and libraries say of themselves
//! proof     which scripts touch only the keys that they declare
//! ```
//!
//! Knows nothing of sockets, locks and the keyspace.

mod api;
mod bit;
mod convert;
pub mod engine;
pub mod flags;
mod json;
pub mod library;
mod lua;
mod msgpack;
mod packing;
pub mod proof;
mod sandbox;
pub mod store;
mod token;

pub use api::Level;
pub use convert::Failure;
pub use engine::{Arguments, Caller, End, Interpreter, Refusal, Verdict};
pub use sandbox::Purpose;
