//! The longest common subsequence of two strings, for the `LCS` command.
//!
//! The textbook table of dynamic programming: row `i`, column `j` hold the length for the first `i` bytes of one
//! string and the first `j` of the other. Where several subsequences are longest, and in how many runs one is
//! found, depends on how ties are broken on the way back through the table; replies show it, so this follows
//! Redis: from the ends of both strings backwards, a common byte is always taken, else the step is in the first
//! string only if that keeps strictly more.
//!
//! The length alone needs but one row; the way back needs the whole table, whose size [`needed_bytes`] tells
//! before anything is allocated. Whether that is too much is for the caller to say.

/// A run of equal bytes: `a_start..=a_end` in the first string and `b_start..=b_end` in the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    pub a_start: usize,
    pub a_end: usize,
    pub b_start: usize,
    pub b_end: usize,
}

impl Match {
    /// Bytes of the run. Not zero.
    #[expect(clippy::len_without_is_empty, reason = "a match is never empty")]
    pub fn len(&self) -> usize {
        self.a_end - self.a_start + 1
    }
}

/// A longest common subsequence.
#[derive(Debug, PartialEq, Eq)]
pub struct Lcs {
    pub bytes: Vec<u8>,
    /// Its runs, from the end of the strings to their start.
    pub matches: Vec<Match>,
}

/// Bytes that the table for two strings of these lengths takes; saturated.
pub fn needed_bytes(a_len: usize, b_len: usize) -> usize {
    a_len.saturating_add(1).saturating_mul(b_len.saturating_add(1)).saturating_mul(size_of::<u32>())
}

/// The length of the longest common subsequence, in memory for one row of the table.
pub fn length(a: &[u8], b: &[u8]) -> usize {
    let (long, short) = if a.len() >= b.len() { (a, b) } else { (b, a) };
    let mut row = vec![0u32; short.len() + 1];
    for &byte in long {
        // The value up and to the left, which the row has just lost.
        let mut diagonal = 0;
        for (j, &other) in short.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = if byte == other { diagonal + 1 } else { above.max(row[j]) };
            diagonal = above;
        }
    }
    row[short.len()] as usize
}

/// The subsequence itself and where it is found. Allocates [`needed_bytes`]; `None` if there is no such memory or
/// a string is too long for 32-bit lengths.
pub fn find(a: &[u8], b: &[u8]) -> Option<Lcs> {
    if a.len().max(b.len()) >= u32::MAX as usize {
        return None;
    }
    let width = b.len() + 1;
    let cells = width.checked_mul(a.len() + 1)?;
    let mut table: Vec<u32> = Vec::new();
    table.try_reserve_exact(cells).ok()?;
    table.resize(cells, 0);
    for (i, &byte) in a.iter().enumerate() {
        let (above, row) = table[i * width..(i + 2) * width].split_at_mut(width);
        for (j, &other) in b.iter().enumerate() {
            row[j + 1] = if byte == other { above[j] + 1 } else { above[j + 1].max(row[j]) };
        }
    }

    let mut found = Lcs { bytes: Vec::with_capacity(table[cells - 1] as usize), matches: Vec::new() };
    let (mut i, mut j) = (a.len(), b.len());
    while i > 0 && j > 0 {
        if a[i - 1] == b[j - 1] {
            i -= 1;
            j -= 1;
            found.bytes.push(a[i]);
            match found.matches.last_mut() {
                Some(run) if run.a_start == i + 1 && run.b_start == j + 1 => {
                    (run.a_start, run.b_start) = (i, j);
                }
                _ => found.matches.push(Match { a_start: i, a_end: i, b_start: j, b_end: j }),
            }
        } else if table[(i - 1) * width + j] > table[i * width + j - 1] {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    found.bytes.reverse();
    Some(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn runs(a: &str, b: &str) -> Vec<((usize, usize), (usize, usize))> {
        let found = find(a.as_bytes(), b.as_bytes()).unwrap();
        found.matches.iter().map(|m| ((m.a_start, m.a_end), (m.b_start, m.b_end))).collect()
    }

    #[test]
    fn the_example_of_the_documentation() {
        let found = find(b"ohmytext", b"mynewtext").unwrap();
        assert_eq!(found.bytes, b"mytext");
        assert_eq!(runs("ohmytext", "mynewtext"), [((4, 7), (5, 8)), ((2, 3), (0, 1))]);
        assert_eq!(found.matches[0].len(), 4);
        assert_eq!(length(b"ohmytext", b"mynewtext"), 6);
    }

    #[test]
    fn nothing_in_common() {
        for (a, b) in [("", ""), ("", "abc"), ("abc", ""), ("abc", "xyz")] {
            let found = find(a.as_bytes(), b.as_bytes()).unwrap();
            assert_eq!((found.bytes.len(), found.matches.len()), (0, 0));
            assert_eq!(length(a.as_bytes(), b.as_bytes()), 0);
        }
    }

    #[test]
    fn table_size() {
        assert_eq!(needed_bytes(0, 0), 4);
        assert_eq!(needed_bytes(9, 99), 4000);
        assert_eq!(needed_bytes(usize::MAX, 2), usize::MAX);
    }

    /// The definition, without a table.
    fn obvious(a: &[u8], b: &[u8]) -> usize {
        match (a, b) {
            ([], _) | (_, []) => 0,
            ([x, a_rest @ ..], [y, b_rest @ ..]) if x == y => 1 + obvious(a_rest, b_rest),
            ([_, a_rest @ ..], [_, b_rest @ ..]) => obvious(a_rest, b).max(obvious(a, b_rest)),
        }
    }

    fn is_subsequence(of: &[u8], part: &[u8]) -> bool {
        let mut rest = of.iter();
        part.iter().all(|byte| rest.any(|b| b == byte))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]
        #[test]
        fn is_longest_and_its_runs_spell_it(a in "[ab\\x00]{0,10}", b in "[ab\\x00c]{0,10}") {
            let (a, b) = (a.as_bytes(), b.as_bytes());
            let found = find(a, b).unwrap();
            prop_assert_eq!(found.bytes.len(), obvious(a, b));
            prop_assert_eq!(length(a, b), found.bytes.len());
            prop_assert!(is_subsequence(a, &found.bytes) && is_subsequence(b, &found.bytes));
            let mut spelt = Vec::new();
            for run in found.matches.iter().rev() {
                prop_assert_eq!(&a[run.a_start..=run.a_end], &b[run.b_start..=run.b_end]);
                spelt.extend_from_slice(&a[run.a_start..=run.a_end]);
            }
            prop_assert_eq!(spelt, found.bytes);
        }
    }
}
