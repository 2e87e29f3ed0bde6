//! `nuthatch check-aof`: looks through the files of a log for what is wrong with them, and cuts off what is behind.
