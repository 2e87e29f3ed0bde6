use super::*;

fn text(entry: &Entry) -> Vec<u8> {
    entry.string().expect("a string").with(<[u8]>::to_vec)
}

#[test]
fn sizes_are_as_drawn() {
    let key = [b'k'; 16];
    let entry = |value, deadline| Entry::new(&key, value, deadline, Access(0));
    assert_eq!(entry(Value::Bytes(&[b'v'; 16]), None).heap_bytes(), 40);
    assert_eq!(entry(Value::Bytes(&[b'v'; 16]), Some(5)).heap_bytes(), 48);
    assert_eq!(entry(Value::Int(7), None).heap_bytes(), 32);
    assert_eq!(entry(Value::Bytes(&[b'v'; 1000]), None).heap_bytes(), 1024);
}

#[test]
fn every_shape_survives_every_change() {
    for key_len in [0, 1, 16, 255, 256, 70_000] {
        for value_len in [0, 1, 255, 256, MAX_INLINE_BYTES, MAX_INLINE_BYTES + 1, 100_000] {
            let key: Vec<u8> = (0..key_len).map(|i| i as u8).collect();
            let value: Vec<u8> = (0..value_len).map(|i| (i * 7) as u8).collect();
            let mut entry = Entry::new(&key, Value::Bytes(&value), None, Access(9));
            for deadline in [Some(1), Some(i64::MAX), None, None, Some(-5), None] {
                entry.set_deadline(deadline);
                assert_eq!(entry.deadline(), deadline);
                assert_eq!((entry.key(), text(&entry)), (key.as_slice(), value.clone()));
            }
            assert_eq!(entry.access(), Access(9));
            entry.set_deadline(Some(77));
            let copy = entry.copied(b"copy", Access(1));
            let entry = entry.renamed(b"other");
            assert_eq!(
                (entry.key(), text(&entry), entry.deadline()),
                (&b"other"[..], value.clone(), Some(77))
            );
            assert_eq!((copy.key(), text(&copy), copy.deadline()), (&b"copy"[..], value, Some(77)));
        }
    }
}

#[test]
fn writing_into_a_string_is_like_writing_into_a_vector() {
    for start in [0, 1, 44, 250, MAX_INLINE_BYTES - 3, MAX_INLINE_BYTES, 50_000] {
        let mut expected: Vec<u8> = (0..start).map(|i| i as u8).collect();
        let mut entry = Entry::new(b"key", Value::Bytes(&expected), Some(3), Access(8));
        for (offset, len) in [(0, 1), (start, 3), (start + 5, 2), (2, 300), (start + 16_000, 2_000), (17, 4)]
        {
            let data: Vec<u8> = (0..len).map(|i| (i * 3) as u8).collect();
            expected.resize(expected.len().max(offset + len), 0);
            expected[offset..offset + len].copy_from_slice(&data);
            entry.write_at(offset, &data);
            assert_eq!(text(&entry), expected);
            assert_eq!((entry.key(), entry.deadline(), entry.access()), (&b"key"[..], Some(3), Access(8)));
        }
    }
    let mut number = Entry::new(b"key", Value::Int(-15), None, Access(0));
    assert_eq!(number.encoding_name(), "int");
    number.write_at(3, b"0");
    assert_eq!((text(&number), number.encoding_name()), (b"-150".to_vec(), "raw"));
}

#[test]
fn a_long_string_that_a_reply_shares_is_not_changed_under_it() {
    let mut entry = Entry::new(b"key", Value::Bytes(&[7; 20_000]), None, Access(0));
    let Some(StringRef::Shared(bytes)) = entry.string() else { panic!("long strings are shared") };
    let reply = bytes.clone();
    entry.write_at(0, b"x");
    assert_eq!((reply[0], text(&entry)[0]), (7, b'x'));
}

#[test]
fn editing_in_place() {
    for start in [0, 5, MAX_INLINE_BYTES, MAX_INLINE_BYTES + 1, 50_000] {
        for len in [0, 3, 20_000, 60_000] {
            let mut expected = vec![7; start];
            let mut entry = Entry::new(b"key", Value::Bytes(&expected), Some(3), Access(8));
            expected.resize(start.max(len), 0);
            if let Some(last) = expected.last_mut() {
                *last = 9;
            }
            let seen = entry.edit(len, |bytes| {
                if let Some(last) = bytes.last_mut() {
                    *last = 9;
                }
                bytes.len()
            });
            assert_eq!((seen, text(&entry)), (expected.len(), expected));
            assert_eq!((entry.key(), entry.deadline(), entry.is_raw()), (&b"key"[..], Some(3), true));
        }
    }
    let mut long = Entry::new(b"key", Value::Bytes(&[7; 50_000]), None, Access(0));
    let address = |entry: &Entry| entry.string().unwrap().with(<[u8]>::as_ptr);
    let before = address(&long);
    long.edit(50_000, |bytes| bytes[49_999] = 1);
    assert_eq!(address(&long), before, "a long string is not copied for one byte");
    let Some(StringRef::Shared(bytes)) = long.string() else { panic!("long strings are shared") };
    let reply = bytes.clone();
    long.edit(0, |bytes| bytes[0] = 1);
    assert_eq!((reply[0], text(&long)[0]), (7, 1), "but for a reply that is on its way");
    for value in [Value::Int(-15), Value::Bytes(b"abc"), Value::Bytes(&[1; 20_000])] {
        let mut entry = Entry::new(b"key", value, Some(1), Access(0));
        for len in [2, 300, 1, 30_000, 4] {
            entry.rewrite(&vec![b'x'; len]);
            assert_eq!((text(&entry), entry.deadline()), (vec![b'x'; len], Some(1)));
            assert_eq!(entry.encoding_name(), "raw");
        }
    }
}

#[test]
fn appending_to_a_long_string_seldom_moves_it() {
    let mut entry = Entry::new(b"key", Value::Bytes(&[7; 20_000]), None, Access(0));
    let address = |entry: &Entry| entry.string().unwrap().with(<[u8]>::as_ptr);
    let mut moves = 0;
    for n in 0..200_000 {
        let before = address(&entry);
        entry.write_at(20_000 + n, b"x");
        moves += (address(&entry) != before) as u32;
    }
    assert!(moves <= 10, "{moves} moves");
}

#[test]
fn inline_strings_resize_and_overwrite_in_place() {
    let mut entry = Entry::new(b"key", Value::Bytes(b"abc"), Some(4), Access(0));
    entry.resize_inline(300);
    assert_eq!(&text(&entry)[..4], b"abc\0");
    assert_eq!(text(&entry).len(), 300);
    entry.resize_inline(2);
    assert_eq!((text(&entry), entry.deadline(), entry.key()), (b"ab".to_vec(), Some(4), &b"key"[..]));
    assert!(entry.overwrite(&Value::Bytes(b"xy")));
    assert!(!entry.overwrite(&Value::Bytes(b"xyz")));
    entry.resize_inline(8);
    assert!(entry.overwrite(&Value::Int(-3)));
    assert_eq!(text(&entry), b"-3");
    let mut large = Entry::new(b"key", Value::Bytes(&[1; 20_000]), None, Access(0));
    assert!(!large.overwrite(&Value::Bytes(b"12345678")));
    assert_eq!(text(&large).len(), 20_000);
}
