//! What the server tells about itself: latency figures, the slow log and the log file.
//!
//! Nothing here knows of commands or connections; those parts record into these structures and read them back.

pub mod crash;
pub mod histogram;
pub mod latency;
pub mod log;
pub mod process;
pub mod slowlog;
pub mod title;

mod sparkline;
