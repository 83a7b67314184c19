// SPDX-License-Identifier: MIT OR Apache-2.0
//! Movies that are being copied into a served folder. They are served once they are complete: the size
//! has not changed for a while, and the last record is whole.

use gstmjpegfile::movie_file::MovieFile;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// The size and the time of modification must not change for this long.
pub const SETTLE_TIME: Duration = Duration::from_millis(500);

/// How long the check of the last record may take.
const INDEX_LIMIT: Duration = Duration::from_mins(1);

/// The size and the time of modification of a file, by which a change is detected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileStamp {
    length: u64,
    modified: Option<SystemTime>,
}

/// A file that was not complete when it was last looked at.
#[derive(Debug, Clone, Copy)]
struct Arrival {
    stamp: FileStamp,
    since: Instant,
    /// The file does not change any more, but its last record is not whole.
    is_cut_off: bool,
    /// It was there in the present search.
    seen: bool,
}

/// The files that are not complete yet.
#[derive(Debug, Clone, Default)]
pub struct Arrivals {
    files: BTreeMap<PathBuf, Arrival>,
    /// What has been logged about files that cannot be served, so that it is logged once.
    logged: BTreeSet<String>,
}

impl Arrivals {
    /// Looks at a new file. Returns whether it is complete; if it is not, it must be looked at again
    /// later.
    pub fn is_complete(&mut self, path: &Path) -> bool {
        self.look_at(path, Instant::now())
    }

    fn look_at(&mut self, path: &Path, now: Instant) -> bool {
        let Ok(metadata) = path.metadata() else { return false };
        let stamp = FileStamp { length: metadata.len(), modified: metadata.modified().ok() };
        let new = Arrival { stamp, since: now, is_cut_off: false, seen: true };
        let arrival = self.files.entry(path.to_owned()).or_insert(new);
        arrival.seen = true;
        if arrival.stamp != stamp {
            *arrival = new;
        }
        if arrival.is_cut_off || now.saturating_duration_since(arrival.since) < SETTLE_TIME {
            return false;
        }
        match ends_with_whole_record(path) {
            Some(true) => {
                self.files.remove(path);
                true
            }
            Some(false) => {
                arrival.is_cut_off = true;
                let path = path.display();
                tracing::info!(%path, "new movie is not served yet: its last record is not whole");
                false
            }
            None => false,
        }
    }

    /// The files that are not complete yet.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.files.keys()
    }

    /// Whether a file must be looked at again, even if nothing reports a change.
    pub fn must_look_again(&self) -> bool {
        self.files.values().any(|arrival| !arrival.is_cut_off)
    }

    /// Forgets the files that were not seen since the last call.
    pub fn forget_unseen(&mut self) {
        self.files.retain(|_, arrival| std::mem::replace(&mut arrival.seen, false));
    }

    /// Logs a problem, unless it has been logged before.
    pub fn warn_once(&mut self, problem: String) {
        if self.logged.len() < 1000 && !self.logged.contains(&problem) {
            tracing::warn!("skipped: {problem}");
            self.logged.insert(problem);
        }
    }
}

/// Whether a movie has a frame, and nothing after its last one. `None` if that is not known within
/// [`INDEX_LIMIT`].
fn ends_with_whole_record(path: &Path) -> Option<bool> {
    let Ok(movie) = MovieFile::open(path) else { return Some(false) };
    let frames = movie.wait_total(INDEX_LIMIT)?;
    let mut spans = (0..).map_while(|which| movie.bad_span(which, frames));
    Some(frames > 0 && !spans.any(|(before, _)| before == frames))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_complete_once_it_has_not_changed_and_ends_with_a_record() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("movie.mjpeg");
        let record = b"00006\xff\xd8ab\xff\xd9";
        let mut arrivals = Arrivals::default();
        let start = Instant::now();
        let rest = &record[5..];
        // Milliseconds, bytes that the file has then, whether it is complete, and must be looked at.
        let rows: [(u64, Vec<u8>, bool, bool); 8] = [
            (0, Vec::new(), false, true),
            (100, record.to_vec(), false, true),
            (599, record.to_vec(), false, true),
            (600, [&record[..], &record[..5]].concat(), false, true),
            (1100, [&record[..], &record[..5]].concat(), false, false),
            (1200, [&record[..], &record[..5]].concat(), false, false),
            (1300, [&record[..], &record[..5], rest].concat(), false, true),
            (1800, [&record[..], &record[..5], rest].concat(), true, false),
        ];
        let mut before = None;
        for (number, (time, bytes, complete, again)) in rows.into_iter().enumerate() {
            if before.as_ref() != Some(&bytes) {
                std::fs::write(&path, &bytes).unwrap();
            }
            let now = start + Duration::from_millis(time);
            assert_eq!(arrivals.look_at(&path, now), complete, "row {number}");
            assert_eq!(arrivals.must_look_again(), again, "row {number}");
            before = Some(bytes);
        }
        // A file that has gone is forgotten after the next search.
        std::fs::write(&path, b"x").unwrap();
        assert!(!arrivals.is_complete(&path) && arrivals.must_look_again());
        arrivals.forget_unseen();
        assert!(arrivals.must_look_again());
        arrivals.forget_unseen();
        assert!(!arrivals.must_look_again());
    }
}
