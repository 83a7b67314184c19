// SPDX-License-Identifier: MIT OR Apache-2.0
//! A folder of pictures, in the order of their names.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// Lists the files of a folder, sorted by name; numbers in names are compared by value.
pub fn list_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let cannot_read = || format!("cannot read the folder {}", folder.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(cannot_read)? {
        let path = entry.with_context(cannot_read)?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if path.is_file() && !hidden {
            files.push(path);
        }
    }
    if files.is_empty() {
        bail!("the folder {} contains no file", folder.display());
    }
    files.sort_by_cached_key(|path| {
        path.file_name().map(|name| sort_key(&name.to_string_lossy())).unwrap_or_default()
    });
    Ok(files)
}

/// The name as pairs of text and the number after it.
fn sort_key(name: &str) -> Vec<(String, u64)> {
    let mut parts = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let text = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (text, after) = rest.split_at(text);
        let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        let (number, next) = after.split_at(digits);
        parts.push((text.to_owned(), number.parse().unwrap_or(u64::MAX)));
        rest = next;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_are_compared_by_value() {
        let mut names = ["b1.png", "a10.png", "a9.png", "a.png", "a010b2.png"];
        names.sort_by_cached_key(|name| sort_key(name));
        assert_eq!(names, ["a9.png", "a10.png", "a010b2.png", "a.png", "b1.png"]);
    }
}
