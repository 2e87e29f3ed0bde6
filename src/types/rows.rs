//! Rows of one to three items in one piece of memory: the form of small sets, sorted sets and hashes, whose rows are
//! a member; a member and its score; a name and its value, or with its deadline too.
//!
//! They are read from the first to the last and never backwards, so nothing stands behind an item, unlike in
//! [`packed`](super::packed). And what the rows have in common is not said in each of them:
//!
//! ```text
//!           ┌──────────────────┬────────────────────────────────┬───────┬┄
//! uniform   │ a mark a column  │ row 0: the columns' bare bytes │ row 1 │
//!           └──────────────────┴────────────────────────────────┴───────┴┄
//!           ┌──────────────────┬───────────────────────────────────┬───────┬┄
//! free      │ number of rows   │ row 0: mark, bytes, mark, bytes … │ row 1 │
//!           └──────────────────┴───────────────────────────────────┴───────┴┄
//! ```
//!
//! The rows of most collections are alike: names of one length, values of one length, scores of one width. As long as
//! the items of a column are strings of one length (63 bytes at most), or integers of up to 8, 16, 24, 32 or 64 bits,
//! a *mark* says so once, at the beginning. Five fields of 17 bytes with values of 16 take 167 bytes so, against 187
//! as a listpack, and a row is found by its number. A row that is different makes the columns of integers wider, or
//! the sequence a free one, whichever is smaller. In a free one each item has its mark, that of listpack; it remains
//! one until it is empty. The number of rows is one byte below [`UNKNOWN_COUNT`], above which they are counted;
//! marks are all above it, which tells the forms apart.
//!
//! A row is named by its *offset*. Offsets stay valid until the sequence changes. `columns`, the items of a row, is
//! always the same for one sequence, but for the empty one, which is that of all. Functions do not trust the bytes:
//! what is damaged ends the walk.

use super::packed::{
    self, Buffer, INT_13, INT_16, INT_24, INT_32, INT_64, Item, MAX_STRING_6_BYTES, STRING_6,
};
use smallvec::SmallVec;

/// The count of rows that does not fit its byte and is found out by walking.
const UNKNOWN_COUNT: u8 = 0x7F;

/// The mark of an integer of one byte, which free sequences do not have.
const INT_8: u8 = 0xF5;

/// The most items that a row has.
pub const MAX_COLUMNS: usize = 3;

/// A mark for each column.
type Marks = SmallVec<[u8; MAX_COLUMNS]>;

/// A sequence without rows.
pub const EMPTY: [u8; 1] = [0];

/// An empty sequence.
pub fn new() -> Vec<u8> {
    EMPTY.to_vec()
}

/// The mark that an item has in a uniform sequence, if it can stand in one.
#[inline]
fn mark(item: Item<'_>) -> Option<u8> {
    match item {
        Item::Text(text) if text.len() <= MAX_STRING_6_BYTES => Some(STRING_6 | text.len() as u8),
        Item::Text(_) => None,
        Item::Int(-0x80..=0x7F) => Some(INT_8),
        Item::Int(-0x8000..=0x7FFF) => Some(INT_16),
        Item::Int(-0x80_0000..=0x7F_FFFF) => Some(INT_24),
        Item::Int(-0x8000_0000..=0x7FFF_FFFF) => Some(INT_32),
        Item::Int(_) => Some(INT_64),
    }
}

/// Whether an item can stand in a column with this mark.
#[inline]
fn suits(item: Item<'_>, column: u8) -> bool {
    let Some(own) = mark(item) else { return false };
    own == column || own > INT_13 && column > INT_13 && bare_bytes(own) < bare_bytes(column)
}

/// The mark of a column in which items of both can stand.
fn common(a: u8, b: u8) -> Option<u8> {
    match (a > INT_13, b > INT_13) {
        (true, true) => Some(if bare_bytes(a) < bare_bytes(b) { b } else { a }),
        _ => (a == b).then_some(a),
    }
}

/// How many bytes an item with this mark takes in a uniform sequence.
#[inline]
fn bare_bytes(mark: u8) -> usize {
    match mark {
        STRING_6..INT_13 => (mark - STRING_6) as usize,
        INT_8 => 1,
        INT_16 => 2,
        INT_24 => 3,
        INT_32 => 4,
        _ => 8,
    }
}

/// The item of this mark whose bytes these are.
#[inline]
fn bare_item(mark: u8, bytes: &[u8]) -> Item<'_> {
    if mark < INT_13 {
        return Item::Text(bytes);
    }
    let mut extended = [0; 8];
    extended[8 - bytes.len()..].copy_from_slice(bytes);
    // The sign is that of the highest byte.
    Item::Int(i64::from_le_bytes(extended) >> (64 - 8 * bytes.len()))
}

/// Calls `f` with the bytes that an item takes in a uniform sequence.
#[inline]
fn with_bare<R>(item: Item<'_>, mark: u8, f: impl FnOnce(&[u8]) -> R) -> R {
    match item {
        Item::Text(text) => f(text),
        Item::Int(n) => f(&n.to_le_bytes()[..bare_bytes(mark)]),
    }
}

/// The marks of a uniform sequence.
#[inline]
fn marks(bytes: &[u8], columns: usize) -> Option<&[u8]> {
    if *bytes.first()? < STRING_6 { None } else { bytes.get(..columns) }
}

/// Bytes of a row of a uniform sequence; never 0.
#[inline]
fn stride(marks: &[u8]) -> usize {
    marks.iter().map(|mark| bare_bytes(*mark)).sum::<usize>().max(1)
}

/// The offset of the first row.
#[inline]
pub fn start(bytes: &[u8], columns: usize) -> usize {
    marks(bytes, columns).map_or(EMPTY.len(), <[u8]>::len)
}

/// The item of a column, and the offset behind it: that of the next column, or of the next row. `at` is where it
/// begins; `None` at the end, or where the bytes are damaged.
#[inline]
pub fn item(bytes: &[u8], column: usize, at: usize) -> Option<(Item<'_>, usize)> {
    if *bytes.first()? < STRING_6 {
        let (item, len) = packed::body(bytes, at)?;
        return Some((item, at + len));
    }
    if column == 0 && at >= bytes.len() {
        return None;
    }
    let mark = *bytes.get(column)?;
    let next = at + bare_bytes(mark);
    Some((bare_item(mark, bytes.get(at..next)?), next))
}

/// The offset behind the row at `at`, if there is one.
#[inline]
pub fn next(bytes: &[u8], columns: usize, at: usize) -> Option<usize> {
    if let Some(marks) = marks(bytes, columns) {
        return Some(at + stride(marks)).filter(|next| *next <= bytes.len());
    }
    (0..columns).try_fold(at, |at, _| packed::body(bytes, at).map(|(_, len)| at + len))
}

/// The offsets of all rows.
#[inline]
pub fn offsets(bytes: &[u8], columns: usize) -> impl Iterator<Item = usize> {
    let mut at = start(bytes, columns);
    std::iter::from_fn(move || {
        let next = next(bytes, columns, at)?;
        Some(std::mem::replace(&mut at, next))
    })
}

/// All items, row by row.
#[inline]
pub fn items(bytes: &[u8], columns: usize) -> impl Iterator<Item = Item<'_>> + Clone {
    let (mut at, mut column) = (start(bytes, columns), 0);
    let mut row_at = 0;
    std::iter::from_fn(move || {
        if column == 0 {
            // A row without any bytes would be the last for ever.
            if at == row_at {
                return None;
            }
            row_at = at;
        }
        let (item, next) = item(bytes, column, at)?;
        at = next;
        column = if column + 1 == columns { 0 } else { column + 1 };
        Some(item)
    })
}

/// Number of rows.
#[inline]
pub fn len(bytes: &[u8], columns: usize) -> usize {
    if let Some(marks) = marks(bytes, columns) {
        return (bytes.len() - columns) / stride(marks);
    }
    match bytes.first() {
        Some(&UNKNOWN_COUNT) => offsets(bytes, columns).count(),
        Some(&count) => count.into(),
        None => 0,
    }
}

/// The offset of row number `index`.
#[inline]
pub fn nth(bytes: &[u8], columns: usize, index: usize) -> Option<usize> {
    match marks(bytes, columns) {
        Some(marks) => {
            let at = index.checked_mul(stride(marks))?.checked_add(columns)?;
            (at < bytes.len()).then_some(at)
        }
        None => offsets(bytes, columns).nth(index),
    }
}

/// Number and offset of the row whose first item equals `wanted`.
#[inline]
pub fn position(bytes: &[u8], columns: usize, wanted: Item<'_>) -> Option<(usize, usize)> {
    if let Some(marks) = marks(bytes, columns) {
        return find_uniform(bytes, marks, wanted);
    }
    match wanted {
        Item::Text(text @ [.., last]) if text.len() <= MAX_STRING_6_BYTES => {
            find_text(bytes, columns, text, *last)
        }
        _ => offsets(bytes, columns)
            .enumerate()
            .find(|(_, at)| packed::body(bytes, *at).is_some_and(|(item, _)| item == wanted)),
    }
}

/// The offset of the row whose first item equals `wanted`.
#[inline]
pub fn find(bytes: &[u8], columns: usize, wanted: Item<'_>) -> Option<usize> {
    position(bytes, columns, wanted).map(|(_, at)| at)
}

fn find_uniform(bytes: &[u8], marks: &[u8], wanted: Item<'_>) -> Option<(usize, usize)> {
    if !suits(wanted, marks[0]) {
        return None;
    }
    let stride = stride(marks);
    let mut rows = bytes[marks.len()..].chunks_exact(stride);
    let row = with_bare(wanted, marks[0], |wanted| match wanted.split_last() {
        // Members of one collection often differ in their last bytes only. (The first byte of an integer is its lowest.)
        Some((last, others)) if marks[0] < INT_13 => {
            rows.position(|row| row[others.len()] == *last && row[..others.len()] == *others)
        }
        _ => rows.position(|row| row[..wanted.len()] == *wanted),
    })?;
    Some((row, marks.len() + row * stride))
}

/// Finds a short text in a free sequence; `last` is its last byte.
fn find_text(bytes: &[u8], columns: usize, text: &[u8], last: u8) -> Option<(usize, usize)> {
    let mark = STRING_6 | text.len() as u8;
    let (mut row, mut at) = (0, EMPTY.len());
    loop {
        if *bytes.get(at)? == mark
            && let Some(candidate) = bytes.get(at + 1..at + 1 + text.len())
            && candidate[text.len() - 1] == last
            && candidate == text
        {
            return Some((row, at));
        }
        for _ in 0..columns {
            at = match *bytes.get(at)? {
                // The two commonest kinds: an integer and a string of which one byte says all.
                0..STRING_6 => at + 1,
                mark @ STRING_6..INT_13 => at + 1 + (mark - STRING_6) as usize,
                _ => at + packed::body(bytes, at)?.1,
            };
        }
        row += 1;
    }
}

/// Whether all items of these rows can stand in columns with these marks.
#[inline]
fn suit(marks: &[u8], items: &[Item<'_>]) -> bool {
    items.chunks(marks.len()).all(|row| row.iter().zip(marks).all(|(item, mark)| suits(*item, *mark)))
}

fn write_bare<'a>(marks: &[u8], items: impl Iterator<Item = Item<'a>>, mut out: &mut [u8]) {
    for (item, mark) in items.zip(marks.iter().cycle()) {
        let (place, rest) = out.split_at_mut(bare_bytes(*mark));
        with_bare(item, *mark, |bare| place.copy_from_slice(bare));
        out = rest;
    }
}

fn free_bytes(items: &[Item<'_>]) -> usize {
    items.iter().map(|item| item.body_bytes()).sum()
}

fn write_free(items: &[Item<'_>], mut out: &mut [u8]) {
    for item in items {
        let written = item.write_body(out);
        out = &mut out[written..];
    }
}

fn set_count(buffer: &mut impl Buffer, count: usize) {
    buffer.overwrite(0, &[count.min(UNKNOWN_COUNT.into()) as u8]);
}

/// Inserts rows before the one at `at` (the length of the bytes is the end). `items` has `columns` items a row.
#[inline]
pub fn insert(buffer: &mut impl Buffer, columns: usize, mut at: usize, items: &[Item<'_>]) {
    debug_assert!(items.len().is_multiple_of(columns));
    let bytes = buffer.bytes();
    if let Some(marks) = marks(bytes, columns)
        && bytes.len() > columns
    {
        if !suit(marks, items) {
            let row = (at - columns) / stride(marks);
            adapt(buffer, columns, items.iter().copied().enumerate().map(|(n, item)| (n % columns, item)));
            at = nth(buffer.bytes(), columns, row).unwrap_or(buffer.bytes().len());
        }
        if let Some(marks) = self::marks(buffer.bytes(), columns) {
            let marks: Marks = marks.into();
            let rows = items.len() / columns * stride(&marks);
            let items = items.iter().copied();
            return buffer.splice_with(at, 0, rows, |out| write_bare(&marks, items, out));
        }
    }
    match len(buffer.bytes(), columns) {
        0 => begin(buffer, columns, items),
        count => {
            buffer.splice_with(at, 0, free_bytes(items), |out| write_free(items, out));
            set_count(buffer, count + items.len() / columns);
        }
    }
}

/// Replaces a sequence without rows by these, uniform if they are alike.
fn begin(buffer: &mut impl Buffer, columns: usize, items: &[Item<'_>]) {
    let (old, rows) = (buffer.bytes().len(), items.len() / columns);
    let first: Option<Marks> = items.iter().take(columns).map(|item| mark(*item)).collect();
    match first {
        // Rows without any bytes could not be counted.
        Some(marks) if marks.iter().any(|mark| bare_bytes(*mark) > 0) && suit(&marks, items) => {
            buffer.splice_with(0, old, columns + rows * stride(&marks), |out| {
                out[..columns].copy_from_slice(&marks);
                write_bare(&marks, items.iter().copied(), &mut out[columns..]);
            });
        }
        _ => {
            buffer.splice_with(0, old, EMPTY.len() + free_bytes(items), |out| {
                write_free(items, &mut out[EMPTY.len()..]);
            });
            set_count(buffer, rows);
        }
    }
}

/// Appends rows.
#[inline]
pub fn push(buffer: &mut impl Buffer, columns: usize, items: &[Item<'_>]) {
    insert(buffer, columns, buffer.bytes().len(), items);
}

/// Gives a uniform sequence the form in which these items, each with its column, can stand too: columns for wider
/// integers, or the free form, if no columns suit all or if it is smaller.
#[cold]
fn adapt<'a>(buffer: &mut impl Buffer, columns: usize, added: impl Iterator<Item = (usize, Item<'a>)>) {
    let bytes = buffer.bytes();
    let all: Vec<Item<'_>> = items(bytes, columns).collect();
    let rows = all.len() / columns;
    let mut wider: Option<Marks> = marks(bytes, columns).map(Marks::from);
    for (column, item) in added {
        wider = wider.zip(mark(item)).and_then(|(mut marks, mark)| {
            marks[column] = common(marks[column], mark)?;
            Some(marks)
        });
    }
    let free = free_bytes(&all);
    let mut made: SmallVec<[u8; 512]> = SmallVec::new();
    match wider.filter(|marks| rows * stride(marks) <= free) {
        Some(marks) => {
            made.resize(columns + rows * stride(&marks), 0);
            made[..columns].copy_from_slice(&marks);
            write_bare(&marks, all.iter().copied(), &mut made[columns..]);
        }
        None => {
            made.resize(EMPTY.len() + free, 0);
            made[0] = rows.min(UNKNOWN_COUNT.into()) as u8;
            write_free(&all, &mut made[EMPTY.len()..]);
        }
    }
    buffer.splice(0, bytes.len(), &made);
}

/// Puts another item into a column of the row at `at`.
#[inline]
pub fn replace(buffer: &mut impl Buffer, columns: usize, mut at: usize, column: usize, new: Item<'_>) {
    let bytes = buffer.bytes();
    if let Some(marks) = marks(bytes, columns) {
        if !suits(new, marks[column]) {
            let row = (at - columns) / stride(marks);
            adapt(buffer, columns, std::iter::once((column, new)));
            at = nth(buffer.bytes(), columns, row).unwrap_or(buffer.bytes().len());
        }
        if let Some(marks) = self::marks(buffer.bytes(), columns) {
            let begins = at + marks[..column].iter().map(|mark| bare_bytes(*mark)).sum::<usize>();
            return with_bare(new, marks[column], |bare| buffer.overwrite(begins, bare));
        }
    }
    let bytes = buffer.bytes();
    let place = (0..column).try_fold(at, |at, _| packed::body(bytes, at).map(|(_, len)| at + len));
    if let Some(at) = place
        && let Some((_, old)) = packed::body(bytes, at)
    {
        buffer.splice_with(at, old, new.body_bytes(), |out| {
            new.write_body(out);
        });
    }
}

/// Removes `count` rows from the one at `at` on, or as many as there are.
#[inline]
pub fn remove(buffer: &mut impl Buffer, columns: usize, at: usize, count: usize) {
    let bytes = buffer.bytes();
    if let Some(marks) = marks(bytes, columns) {
        let removed = count.saturating_mul(stride(marks)).min(bytes.len() - at);
        return buffer.splice(at, removed, &[]);
    }
    let before = len(bytes, columns);
    let (mut end, mut removed) = (at, 0);
    while removed < count
        && let Some(next) = next(bytes, columns, end)
    {
        end = next;
        removed += 1;
    }
    buffer.splice(at, end - at, &[]);
    set_count(buffer, before - removed);
}

/// Whether the bytes are rows from one end to the other.
pub fn validate(bytes: &[u8], columns: usize) -> bool {
    let (mut end, mut rows) = (start(bytes, columns), 0);
    while let Some(behind) = next(bytes, columns, end) {
        (end, rows) = (behind, rows + 1);
    }
    let is_head_right = match marks(bytes, columns) {
        Some(marks) => {
            let is_mark = |mark: &u8| matches!(*mark, STRING_6..INT_13 | INT_16..=INT_8);
            marks.iter().all(is_mark) && marks.iter().any(|mark| bare_bytes(*mark) > 0)
        }
        None => bytes.first().is_some_and(|count| usize::from(*count) == rows.min(UNKNOWN_COUNT.into())),
    };
    end == bytes.len() && is_head_right
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(bytes: &[u8], columns: usize) -> Vec<Vec<Vec<u8>>> {
        let all: Vec<Vec<u8>> = items(bytes, columns).map(Item::to_vec).collect();
        all.chunks(columns).map(<[Vec<u8>]>::to_vec).collect()
    }

    /// Texts that often have one form, and sometimes any.
    fn text() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            6 => (0_i64..100).prop_map(|n| n.to_string().into_bytes()),
            6 => proptest::collection::vec(any::<u8>(), 5..6),
            1 => (-300_i64..40_000).prop_map(|n| n.to_string().into_bytes()),
            1 => (0_u32..64).prop_map(|bits| (i64::MIN >> bits).to_string().into_bytes()),
            1 => proptest::collection::vec(any::<u8>(), 0..80),
            1 => (0_usize..6000).prop_map(|len| vec![b'x'; len]),
        ]
    }

    #[test]
    fn sizes_are_as_drawn() {
        let mut fields = new();
        for n in 0..5 {
            let name = format!("field-{n:011}");
            push(&mut fields, 2, &[Item::of(name.as_bytes()), Item::Text(&[b'v'; 16])]);
        }
        assert_eq!((fields.len(), len(&fields, 2)), (2 + 5 * 33, 5));
        let mut scores = new();
        for n in 1..=3 {
            push(&mut scores, 2, &[Item::Text(&[b'0' + n; 17]), Item::Int(n.into())]);
        }
        assert_eq!(scores.len(), 2 + 3 * 18);
        replace(&mut scores, 2, 2, 1, Item::Int(1000));
        assert_eq!(scores.len(), 2 + 3 * 19);
        replace(&mut scores, 2, 2, 1, Item::Int(1 << 40));
        assert_eq!(scores.len(), 1 + 3 * (1 + 17) + 9 + 2);
    }

    #[test]
    fn integers_of_every_width_stand_bare() {
        for bits in 0..64 {
            for n in [i64::MIN >> bits, i64::MAX >> bits] {
                let mut bytes = new();
                push(&mut bytes, 1, &[Item::Int(n)]);
                assert!(marks(&bytes, 1).is_some());
                assert_eq!(items(&bytes, 1).collect::<Vec<_>>(), [Item::Int(n)]);
                assert_eq!(find(&bytes, 1, Item::Int(n)), Some(1));
                assert_eq!(find(&bytes, 1, Item::Int(n ^ 1)), None);
            }
        }
    }

    #[test]
    fn many_rows_are_counted() {
        let mut bytes = new();
        push(&mut bytes, 1, &[Item::Text(b"first")]);
        for n in 1..400 {
            push(&mut bytes, 1, &[Item::Int(n)]);
            assert_eq!(len(&bytes, 1), n as usize + 1);
        }
        for n in (0..400).rev() {
            remove(&mut bytes, 1, EMPTY.len(), 1);
            assert_eq!(len(&bytes, 1), n);
        }
        assert_eq!(bytes, EMPTY);
    }

    proptest! {
        #[test]
        fn edits_agree_with_a_vector(
            columns in 1..=MAX_COLUMNS,
            steps in proptest::collection::vec(
                (0_u8..6, any::<prop::sample::Index>(), proptest::array::uniform3(text())), 1..60),
        ) {
            let (mut bytes, mut model) = (new(), Vec::<Vec<Vec<u8>>>::new());
            for (step, index, row) in steps {
                let row = row[..columns].to_vec();
                let row_items: Vec<Item<'_>> = row.iter().map(|text| Item::of(text)).collect();
                let at = index.index(model.len() + 1);
                let offset = nth(&bytes, columns, at).unwrap_or(bytes.len());
                match step {
                    0 | 1 => {
                        insert(&mut bytes, columns, offset, &row_items);
                        model.insert(at, row.clone());
                    }
                    2 if at < model.len() => {
                        let column = row[0].len() % columns;
                        replace(&mut bytes, columns, offset, column, row_items[column]);
                        model[at][column] = row[column].clone();
                    }
                    3 => {
                        let count = row[0].len();
                        remove(&mut bytes, columns, offset, count);
                        model.drain(at..(at + count).min(model.len()));
                    }
                    _ => {
                        let found = find(&bytes, columns, row_items[0]);
                        let expected = model.iter().position(|other| other[0] == row[0]);
                        prop_assert_eq!(found, expected.and_then(|at| nth(&bytes, columns, at)));
                        push(&mut bytes, columns, &row_items);
                        model.push(row.clone());
                    }
                }
                prop_assert!(validate(&bytes, columns), "{bytes:?}");
                prop_assert_eq!(len(&bytes, columns), model.len());
                prop_assert_eq!(texts(&bytes, columns), model.clone());
            }
        }

        #[test]
        fn damaged_bytes_do_no_harm(
            columns in 1..=MAX_COLUMNS,
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            at in 0_usize..220,
        ) {
            let _ = (validate(&bytes, columns), len(&bytes, columns), nth(&bytes, columns, at));
            let _ = (item(&bytes, columns - 1, at), items(&bytes, columns).count());
            for wanted in [Item::Int(1), Item::Text(b"abc"), Item::Text(b"")] {
                find(&bytes, columns, wanted);
            }
        }
    }
}
