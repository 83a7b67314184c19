// SPDX-License-Identifier: MIT OR Apache-2.0
//! A folder of pictures, in the order of their names.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// The files of a folder in the order of people: numbers by their value.
pub fn of_folder(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if path.is_file() && !hidden {
            files.push(path);
        }
    }
    if files.is_empty() {
        bail!("no file in {}", folder.display());
    }
    files.sort_by_cached_key(|path| {
        path.file_name().map(|name| key(&name.to_string_lossy())).unwrap_or_default()
    });
    Ok(files)
}

/// Text and numbers in turn.
fn key(name: &str) -> Vec<(String, u64)> {
    let mut parts = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let text = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (before, behind) = rest.split_at(text);
        let digits = behind.find(|c: char| !c.is_ascii_digit()).unwrap_or(behind.len());
        let (number, next) = behind.split_at(digits);
        parts.push((before.to_owned(), number.parse().unwrap_or(u64::MAX)));
        rest = next;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_ordered_by_their_value() {
        let mut names = ["b1.png", "a10.png", "a9.png", "a.png", "a010b2.png"];
        names.sort_by_cached_key(|name| key(name));
        assert_eq!(names, ["a9.png", "a10.png", "a010b2.png", "a.png", "b1.png"]);
    }
}
