//! Collections that are kept in one piece, inside their entry or, if they are long, behind it.

use super::{Entry, MAX_INLINE_BYTES, Object, Value};
use crate::types::packed::{self, Buffer};

impl Entry {
    /// The bytes of a collection that is kept in one piece.
    pub fn packed(&self) -> Option<&[u8]> {
        if !self.kind().is_packed() {
            return None;
        }
        match self.object() {
            None => Some(self.payload(self.shape())),
            Some(Object::Packed(bytes)) => Some(bytes),
            Some(_) => None,
        }
    }
}

/// A collection that is kept in one piece; anything else counts as empty, and must not be changed in this way.
impl Buffer for Entry {
    fn bytes(&self) -> &[u8] {
        self.packed().unwrap_or_default()
    }

    fn splice(&mut self, at: usize, removed: usize, inserted: &[u8]) {
        self.splice_with(at, removed, inserted.len(), |place| place.copy_from_slice(inserted));
    }

    fn splice_with(&mut self, at: usize, removed: usize, len: usize, write: impl FnOnce(&mut [u8])) {
        let kind = self.kind();
        assert!(kind.is_packed(), "a packed value");
        if let Some(object) = self.object_mut() {
            let Object::Packed(bytes) = object else { unreachable!("a packed value is kept as bytes") };
            return write(packed::open(bytes, at, removed, len));
        }
        let old_len = self.shape().payload_len;
        assert!(at + removed <= old_len, "bytes within the value");
        let new_len = old_len - removed + len;
        if new_len > MAX_INLINE_BYTES {
            let mut bytes = Vec::with_capacity(new_len * 2);
            let old = self.payload(self.shape());
            bytes.extend_from_slice(&old[..at]);
            bytes.resize(at + len, 0);
            write(&mut bytes[at..]);
            bytes.extend_from_slice(&old[at + removed..]);
            self.set_value(Value::Object(kind, Object::Packed(bytes)));
            return;
        }
        if new_len > old_len {
            self.resize_inline(new_len);
        }
        let bytes = self.payload_mut();
        if len != removed {
            bytes.copy_within(at + removed..old_len, at + len);
        }
        write(&mut bytes[at..at + len]);
        if new_len < old_len {
            self.resize_inline(new_len);
        }
    }

    fn overwrite(&mut self, at: usize, bytes: &[u8]) {
        assert!(self.kind().is_packed(), "a packed value");
        let all = match self.object_mut() {
            Some(Object::Packed(all)) => all,
            Some(_) => unreachable!("a packed value is kept as bytes"),
            None => self.payload_mut(),
        };
        all[at..at + bytes.len()].copy_from_slice(bytes);
    }
}
