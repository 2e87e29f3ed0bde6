//! Strings inside entries and behind them: read, overwritten, and written into in place.

use super::{Entry, FLAG_FAR, FLAG_RAW, Kind, MAX_INLINE_BYTES, Object, Shape, StringRef, Value};
use bytes::BytesMut;

impl Entry {
    /// The value if it is a string.
    #[inline]
    pub fn string(&self) -> Option<StringRef<'_>> {
        let header = self.header();
        if header.is_inline_string() {
            return Some(StringRef::Inline(self.payload(self.shape())));
        }
        if header.is(Kind::Int) {
            let mut n = [0; 8];
            n.copy_from_slice(self.payload(self.shape()));
            return Some(StringRef::Int(i64::from_ne_bytes(n)));
        }
        match self.object() {
            Some(Object::String(bytes)) => Some(StringRef::Shared(bytes)),
            _ => None,
        }
    }

    /// Overwrites the value in place if it has the same kind and size class; `false` if it must be rebuilt.
    /// The deadline is not touched.
    pub fn overwrite(&mut self, value: &Value<'_>) -> bool {
        let shape = self.shape();
        let (kind, bytes): (Kind, &[u8]) = match value {
            Value::Int(n) => (Kind::Int, &n.to_ne_bytes()),
            Value::Bytes(bytes) => (Kind::Bytes, bytes),
            Value::Packed(kind, bytes) => (*kind, bytes),
            Value::Shared(_) | Value::Object(..) => return false,
        };
        let same = Shape { payload_len: bytes.len(), ..shape };
        if self.header().has(FLAG_FAR) || same.layout() != shape.layout() {
            return false;
        }
        self.payload_mut().copy_from_slice(bytes);
        let header = self.header_mut();
        header.set_inline(kind);
        header.tag &= !FLAG_RAW;
        true
    }

    /// Marks a string that was modified in place, for OBJECT ENCODING.
    pub fn mark_raw(&mut self) {
        self.header_mut().tag |= FLAG_RAW;
    }

    pub fn is_raw(&self) -> bool {
        self.header().has(FLAG_RAW)
    }

    /// The inline string's bytes, to be changed in place.
    pub fn inline_mut(&mut self) -> Option<&mut [u8]> {
        self.header().is_inline_string().then(|| self.payload_mut())
    }

    /// Writes `data` at `offset` into the string a client sees (the value has to be one), which grows as needed; a gap is filled with
    /// zeros. The string is raw from then on. Growing is amortised: a short one grows within the allocator's
    /// size classes, a long one into room that doubles, unless a reply still shares it and it must be copied.
    pub fn write_at(&mut self, offset: usize, data: &[u8]) {
        let end = offset + data.len();
        self.make_room(end);
        match self.inline_mut() {
            Some(bytes) => bytes[offset..end].copy_from_slice(data),
            None => self.edit_long(|bytes| {
                if offset == bytes.len() {
                    return bytes.extend_from_slice(data);
                }
                if end > bytes.len() {
                    bytes.resize(end, 0);
                }
                bytes[offset..end].copy_from_slice(data);
            }),
        }
        self.mark_raw();
    }

    /// Lets `edit` change the bytes of the string a client sees (the value has to be one), after it has grown with
    /// zeros to `len` bytes if it was shorter. The string is raw from then on. Nothing is copied unless the
    /// entry has to move, or a reply still shares a long string.
    pub fn edit<R>(&mut self, len: usize, edit: impl FnOnce(&mut [u8]) -> R) -> R {
        self.make_room(len);
        self.mark_raw();
        if let Some(bytes) = self.inline_mut() {
            return edit(bytes);
        }
        self.edit_long(|bytes| {
            if bytes.len() < len {
                bytes.resize(len, 0);
            }
            edit(bytes)
        })
    }

    /// Gives a string other bytes, in place if it is short. The string is raw from then on.
    pub fn rewrite(&mut self, bytes: &[u8]) {
        match self.string() {
            Some(StringRef::Inline(_)) if bytes.len() <= MAX_INLINE_BYTES => {
                self.resize_inline(bytes.len());
                self.inline_mut().expect("an inline string").copy_from_slice(bytes);
            }
            _ => self.set_value(Value::Bytes(bytes)),
        }
        self.mark_raw();
    }

    /// Makes an integer or a short string one that can be written to up to `end`: bytes inside the entry, grown
    /// as needed, or bytes outside of it.
    fn make_room(&mut self, end: usize) {
        if let Some(StringRef::Int(n)) = self.string() {
            self.set_value(Value::Bytes(itoa::Buffer::new().format(n).as_bytes()));
        }
        if !self.header().is_inline_string() {
            return;
        }
        let len = self.shape().payload_len;
        if end > MAX_INLINE_BYTES {
            // Zeroed at once: for hundreds of megabytes the system does that page by page as they are used.
            let mut long = BytesMut::zeroed(end);
            long[..len].copy_from_slice(self.payload(self.shape()));
            self.set_value(Value::Object(Kind::Bytes, Object::String(long.freeze())));
        } else if end > len {
            self.resize_inline(end);
        }
    }

    /// Lets `edit` change a string that stands outside of the entry.
    fn edit_long<R>(&mut self, edit: impl FnOnce(&mut BytesMut) -> R) -> R {
        let Some(Object::String(shared)) = self.object_mut() else { unreachable!("a string") };
        let mut bytes =
            std::mem::take(shared).try_into_mut().unwrap_or_else(|shared| BytesMut::from(&*shared));
        let result = edit(&mut bytes);
        *shared = bytes.freeze();
        result
    }
}
