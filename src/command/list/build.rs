//! A list that is made as a whole, element by element, in the form that its size demands.

use super::value::{MAX_SHORT_BYTES, Sizes};
use crate::keyspace::{Kind, NewValue, Object};
use crate::types::list::items::Items;
use crate::types::list::{End, List};
use crate::types::packed::Item;

/// A list that is no key's value yet.
pub struct NewList {
    sizes: Sizes,
    form: Form,
}

enum Form {
    /// As many items as one listpack admits.
    Packed {
        items: Vec<u8>,
        count: usize,
    },
    Divided(List),
}

impl NewList {
    pub fn new(sizes: Sizes) -> NewList {
        NewList { sizes, form: Form::Packed { items: Vec::new(), count: 0 } }
    }

    /// Adds an element behind the others.
    pub fn add(&mut self, element: &[u8]) {
        if let Form::Packed { items, count } = &mut self.form {
            let item = Item::of(element);
            if self.sizes.admits(items.len() + item.encoded_bytes(), *count + 1) {
                item.encode(items);
                *count += 1;
                return;
            }
            self.divide();
        }
        if let Form::Divided(list) = &mut self.form {
            list.push(End::Tail, element.into());
        }
    }

    /// From now on the list is one that is kept in several blocks, however small it is.
    pub fn divide(&mut self) {
        if let Form::Packed { items, count } = &self.form {
            self.form =
                Form::Divided(List::new(Items { bytes: items, count: *count }, Some(self.sizes.block())));
        }
    }

    pub fn finish(self) -> NewValue {
        match self.form {
            Form::Packed { items, count } => {
                let items = Items { bytes: &items, count };
                if items.bytes.len() <= MAX_SHORT_BYTES {
                    NewValue::Packed(Kind::PackedList, items.to_sequence())
                } else {
                    NewValue::Object(Kind::List, Object::List(List::new(items, None)))
                }
            }
            Form::Divided(list) => NewValue::Object(Kind::List, Object::List(list)),
        }
    }
}
