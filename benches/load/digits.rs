//! Writing numbers as a fixed amount of decimal digits, three at a time from a table.
//!
//! This is all the work a prepared request costs again before it is sent a second time, so it decides how light the
//! generator is: a few nanoseconds a key, against a few hundred that a server spends on the request.

/// Every number of three digits, as text (padded to four bytes so that an entry is one aligned load).
static TRIPLES: [[u8; 4]; 1000] = triples();

const fn triples() -> [[u8; 4]; 1000] {
    let mut table = [[0; 4]; 1000];
    let mut number = 0;
    while number < 1000 {
        let (hundreds, tens, ones) = (number / 100, number / 10 % 10, number % 10);
        table[number] = [b'0' + hundreds as u8, b'0' + tens as u8, b'0' + ones as u8, 0];
        number += 1;
    }
    table
}

/// Fills `text`, whose length is a multiple of three, with the lowest digits of `number`.
pub fn write(text: &mut [u8], mut number: u64) {
    for triple in text.chunks_exact_mut(3).rev() {
        triple.copy_from_slice(&TRIPLES[(number % 1000) as usize][..3]);
        number /= 1000;
    }
}

/// The amount of triples that numbers below `bound` need.
pub fn triples_below(bound: u64) -> usize {
    let mut triples = 1;
    let mut reach = 1000_u64;
    while reach < bound {
        triples += 1;
        reach = reach.saturating_mul(1000);
    }
    triples
}
