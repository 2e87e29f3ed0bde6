//! Bytes in double quotes, the way Redis shows them to people: MONITOR's lines, and the files that are written for
//! them.

/// Appends `byte` as it stands between double quotes.
pub fn push_byte(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'\\' | b'"' => out.extend_from_slice(&[b'\\', byte]),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        0x07 => out.extend_from_slice(b"\\a"),
        0x08 => out.extend_from_slice(b"\\b"),
        b' '..=b'~' => out.push(byte),
        _ => {
            let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
            out.extend_from_slice(&[b'\\', b'x', digits[0], digits[1]]);
        }
    }
}

/// Appends `text` in double quotes.
pub fn push(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    text.iter().for_each(|byte| push_byte(out, *byte));
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_not_plain_is_escaped() {
        let mut out = Vec::new();
        super::push(&mut out, b"a \"b\\\r\n\t\x07\x08\x00\x7f\xff${x}");
        assert_eq!(out, br#""a \"b\\\r\n\t\a\b\x00\x7f\xff${x}""#);
    }
}
