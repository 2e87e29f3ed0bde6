//! Nuthatch: an in-memory cache server that speaks the Redis protocol.
pub mod observe;
pub mod types;
