//! The number of nodes of a radix tree, without the tree.
//!
//! Redis keeps the blocks of a stream in a compressed radix tree and tells its size (XINFO STREAM). Keys of one
//! length have a tree of a form that only depends on them: every key ends in a leaf; where keys part there is
//! a node with the next byte of each; a chain of bytes between those is one more node. All this can be told
//! from how many bytes each key has in common with the one before it.

/// Bytes of a key.
const KEY_BYTES: usize = 16;

/// The number of nodes of the tree of these keys, which ascend. The root is always there.
pub fn nodes(keys: impl Iterator<Item = [u8; KEY_BYTES]>) -> usize {
    // The depths of the partings above the last key.
    let mut partings: Vec<usize> = Vec::new();
    let mut last: Option<[u8; KEY_BYTES]> = None;
    let mut nodes = 0;
    // A node at `depth`, and the chain that leads to it from the parting above it.
    let mut close = |depth: usize, above: Option<usize>| {
        let chain = match above {
            Some(above) => depth - above > 1,
            None => depth > 0,
        };
        nodes += 1 + chain as usize;
    };
    for key in keys {
        let Some(before) = last.replace(key) else { continue };
        let shared = before.iter().zip(&key).take_while(|(a, b)| a == b).count();
        let above = partings.last().map_or(shared, |parting| shared.max(*parting));
        close(KEY_BYTES, Some(above));
        while let Some(depth) = partings.pop_if(|depth| *depth > shared) {
            close(depth, Some(partings.last().map_or(shared, |parting| shared.max(*parting))));
        }
        if partings.last() != Some(&shared) {
            partings.push(shared);
        }
    }
    if last.is_none() {
        return 1;
    }
    close(KEY_BYTES, partings.last().copied());
    while let Some(depth) = partings.pop() {
        close(depth, partings.last().copied());
    }
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(texts: &[&[u8; KEY_BYTES]]) -> usize {
        nodes(texts.iter().map(|text| **text))
    }

    /// The tree, built: the number of nodes below one whose keys share the first `depth` bytes.
    fn built(keys: &[[u8; KEY_BYTES]], depth: usize) -> usize {
        let [first, .., last] = keys else { return 1 + (depth < KEY_BYTES) as usize };
        let shared = first.iter().zip(last).take_while(|(a, b)| a == b).count();
        let children: usize =
            keys.chunk_by(|a, b| a[shared] == b[shared]).map(|child| built(child, shared + 1)).sum();
        1 + (shared > depth) as usize + children
    }

    #[test]
    fn small_trees() {
        assert_eq!(count(&[]), 1);
        assert_eq!(count(&[b"abcdefghijklmnop"]), 2);
        // A chain, a parting, and a leaf for each.
        assert_eq!(count(&[b"abcdefghijklmnop", b"abcdefghijklmnoq"]), 4);
        // A parting at the root with two chains.
        assert_eq!(count(&[b"abcdefghijklmnop", b"bbcdefghijklmnop"]), 5);
    }

    proptest::proptest! {
        #[test]
        fn agrees_with_a_tree(keys in proptest::collection::btree_set(proptest::array::uniform16(0_u8..3), 0..60)) {
            let keys: Vec<[u8; KEY_BYTES]> = keys.into_iter().collect();
            let expected = if keys.is_empty() { 1 } else { built(&keys, 0) };
            proptest::prop_assert_eq!(nodes(keys.into_iter()), expected);
        }
    }
}
