//! The wire: requests in ([`scan`], [`inline`]), replies out ([`reply`]).
//!
//! Knows RESP2 and RESP3 and nothing of commands, connections or data.

pub mod inline;
pub mod reply;
pub mod scan;
