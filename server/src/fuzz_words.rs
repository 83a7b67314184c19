// SPDX-License-Identifier: MIT OR Apache-2.0
//! Builds inputs for fuzz targets that contain words of a language: random bytes hardly ever do.

/// Replaces each byte that is an index into `words` by the word, and keeps the others.
pub(crate) fn expand(input: &[u8], words: &[&[u8]]) -> Vec<u8> {
    let expand_byte = |byte: &u8| match words.get(usize::from(*byte)) {
        Some(word) => word.to_vec(),
        None => vec![*byte],
    };
    input.iter().flat_map(expand_byte).collect()
}
