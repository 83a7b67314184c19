// SPDX-License-Identifier: MIT OR Apache-2.0
//! The open movies of the process, so that all readers of a file share one index.

use super::MovieFile;
use std::collections::HashMap;
use std::fs::Metadata;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::SystemTime;

/// Identifies a version of a file by its path, size and modification time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct FileKey {
    path: PathBuf,
    length: u64,
    modified: SystemTime,
}

impl FileKey {
    pub fn new(path: PathBuf, metadata: &Metadata) -> io::Result<Self> {
        Ok(Self { path, length: metadata.len(), modified: metadata.modified()? })
    }

    /// A hash of the key.
    pub fn identity(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}

static OPEN: LazyLock<Mutex<HashMap<FileKey, Weak<MovieFile>>>> = LazyLock::new(Mutex::default);

/// The open movie with this key, or else the result of `open`, which is called without the lock since
/// it reads the file.
pub(super) fn get_or_insert(key: FileKey, open: impl FnOnce() -> Arc<MovieFile>) -> Arc<MovieFile> {
    let lock = || OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(movie) = lock().get(&key).and_then(Weak::upgrade) {
        return movie;
    }
    let movie = open();
    let mut open = lock();
    open.retain(|_, movie| movie.strong_count() > 0);
    let entry = open.entry(key).or_default();
    if let Some(first) = entry.upgrade() {
        return first;
    }
    *entry = Arc::downgrade(&movie);
    movie
}
