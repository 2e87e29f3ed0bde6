//! Values that are made as a whole, before the key gets them.

use super::entry::{Kind, Object, Value};
use crate::types::number;
use bytes::Bytes;

/// A value that borrows nothing.
#[derive(Debug)]
pub enum NewValue {
    String(Bytes),
    /// A collection in one piece.
    Packed(Kind, Vec<u8>),
    /// A collection of its own, of this kind.
    Object(Kind, Object),
}

impl NewValue {
    /// Calls `f` with what an entry is to hold.
    pub fn store<R>(self, f: impl FnOnce(Value<'_>) -> R) -> R {
        match self {
            NewValue::String(bytes) => match number::parse_i64(&bytes) {
                Some(n) => f(Value::Int(n)),
                None => f(Value::Shared(bytes)),
            },
            NewValue::Packed(kind, bytes) => f(Value::Packed(kind, &bytes)),
            NewValue::Object(kind, object) => f(Value::Object(kind, object)),
        }
    }
}
