//! Nuthatch: an in-memory cache server that speaks the Redis protocol.

pub mod config;
