// SPDX-License-Identifier: MIT OR Apache-2.0
//! A folder of pictures, in the order of their names.

use super::picture::is_picture;
use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Lists the pictures of a folder, sorted by name, and the names of its other files; numbers in names
/// are compared by value. Hidden files are ignored.
pub fn list_pictures(folder: &Path) -> Result<(Vec<PathBuf>, Vec<String>)> {
    let cannot_read = || format!("cannot read the folder {}", folder.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(cannot_read)? {
        let path = entry.with_context(cannot_read)?.path();
        if path.is_file() && !name_of(&path).as_bytes().starts_with(b".") {
            files.push(path);
        }
    }
    files.sort_by_cached_key(|path| sort_key(name_of(path).as_bytes()));
    let (pictures, others): (Vec<_>, Vec<_>) = files.into_iter().partition(|path| is_picture(path));
    if pictures.is_empty() {
        bail!("the folder {} contains no picture", folder.display());
    }
    let others = others.iter().map(|path| name_of(path).display().to_string()).collect();
    Ok((pictures, others))
}

fn name_of(path: &Path) -> &OsStr {
    path.file_name().unwrap_or_default()
}

/// The name as pairs of text and the number after it.
fn sort_key(name: &[u8]) -> Vec<(Vec<u8>, u64)> {
    name.chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit()).fold(
        Vec::new(),
        |mut pairs: Vec<(Vec<u8>, u64)>, part| {
            let number = std::str::from_utf8(part).ok().and_then(|text| text.parse().ok());
            match (pairs.last_mut(), part.first()) {
                (Some((_, after)), Some(b'0'..=b'9')) => *after = number.unwrap_or(u64::MAX),
                (None, Some(b'0'..=b'9')) => pairs.push((Vec::new(), number.unwrap_or(u64::MAX))),
                _ => pairs.push((part.to_owned(), u64::MAX)),
            }
            pairs
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_are_compared_by_value() {
        let mut names = ["b1.png", "a10.png", "a9.png", "a.png", "10.png", "9.png", "a010b2.png"];
        names.sort_by_cached_key(|name| sort_key(name.as_bytes()));
        let want = ["9.png", "10.png", "a9.png", "a10.png", "a010b2.png", "a.png", "b1.png"];
        assert_eq!(names, want);
    }
}
