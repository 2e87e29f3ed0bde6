//! Values of keys in the form of [`rdb`](crate::rdb), and back: what DUMP, RESTORE and everything that writes or reads
//! whole data sets have in common.
//!
//! [`save`] chooses the encoding of a value: always one that Redis 7.0 reads, unless fields of a hash have deadlines,
//! which only 7.4 knows. [`load`] takes every encoding there is, and makes the value anew, element by element, in the
//! form that it would have here; so nothing that comes from outside is ever believed to be in order.

pub mod load;
pub mod save;

pub use load::{Limits, Problem, load};
pub use save::Saving;
