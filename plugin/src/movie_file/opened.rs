// SPDX-License-Identifier: MIT OR Apache-2.0
//! An open movie file.

use super::registry::{self, FileKey};
use crate::border;
use crate::movie::{
    BadSpan, FrameIndex, FrameLocation, HEAD_LEN, MovieBytes, MovieForm, MovieWalker, PREFIX_LEN,
    SOI, Step, read_until_full, why_not_a_movie,
};
use rustix::io::{ReadWriteFlags, preadv2};
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, IoSliceMut};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant, SystemTime};

/// Opening a movie indexes it for this long; then a thread continues. This is enough for most movies, also on a
/// busy machine, where a thread may wait for its turn for most of this time.
const INDEX_AT_OPEN: Duration = Duration::from_millis(20);

/// Indexing publishes its results after this number of steps, or after [`PUBLISH_AFTER`] if that is
/// earlier. Waiting for the lock takes longer than a step, and one step on a slow disk takes long.
const STEPS_AT_ONCE: usize = 512;
/// See [`STEPS_AT_ONCE`].
const PUBLISH_AFTER: Duration = Duration::from_millis(1);

/// The largest number of frames that [`MovieFile::known_from`] returns.
const MAX_RUN: usize = 64;

/// Why a movie was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Opening the file failed.
    #[error("cannot open {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// The path names a folder, FIFO, socket or device.
    #[error("{} is not a regular file", path.display())]
    NotRegular {
        /// The file.
        path: PathBuf,
    },
}

/// Result of [`MovieFile::frame`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// The position of the frame.
    Frame(FrameLocation),
    /// The movie has only this number of frames.
    End(u64),
    /// The caller's `cancelled` was set, or the time limit was reached.
    Cancelled,
}

/// A movie file as it was when it was opened. Bytes that are appended later are not part of it.
#[derive(Debug)]
pub struct MovieFile {
    /// Hash of path, size and modification time.
    identity: u64,
    form: MovieForm,
    bytes: FileBytes,
    index: RwLock<SharedIndex>,
    /// The number of bad spans in `index`. Streams ask for the next one with each frame, and most movies have none.
    bad_spans: AtomicUsize,
    /// Mutex of `grown`. It protects nothing, since the index has its own lock.
    waiting: Mutex<()>,
    grown: Condvar,
}

#[derive(Debug)]
struct FileBytes {
    /// `None` after [`MovieFile::close`], until the next read.
    file: RwLock<Option<File>>,
    path: PathBuf,
    length: u64,
    modified: Option<SystemTime>,
    opened: Instant,
    /// When the file was last found unchanged since it was opened, in nanoseconds after `opened`.
    same_at: AtomicU64,
}

impl FileBytes {
    fn new(file: File, path: &Path, metadata: &Metadata) -> Self {
        let (length, modified) = (metadata.len(), metadata.modified().ok());
        let (file, path) = (RwLock::new(Some(file)), path.to_owned());
        Self { file, path, length, modified, opened: Instant::now(), same_at: AtomicU64::new(0) }
    }

    /// Nanoseconds since the file was opened.
    fn age(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Whether a file has the size and modification time that this one had when it was opened.
    fn is_same(&self, metadata: &Metadata) -> bool {
        metadata.is_file()
            && metadata.len() == self.length
            && metadata.modified().ok() == self.modified
    }

    /// The first bytes of the file, which decide its form. Empty if they cannot be read.
    fn head(&self) -> Vec<u8> {
        let mut head = vec![0; HEAD_LEN];
        let have = self.read_at(&mut head, 0).unwrap_or(0);
        head.truncate(have);
        head
    }

    /// Reads from the file; opens it again if it was closed.
    fn with<T>(&self, read: impl FnOnce(&File) -> io::Result<T>) -> io::Result<T> {
        if let Some(file) = &*self.file.read().unwrap_or_else(PoisonError::into_inner) {
            return read(file);
        }
        let mut file = self.file.write().unwrap_or_else(PoisonError::into_inner);
        if file.is_none() {
            let reopened = open_regular(&self.path)?;
            if !self.is_same(&reopened.metadata()?) {
                return Err(io::Error::new(
                    io::ErrorKind::NotFound,
                    "the file was replaced or changed",
                ));
            }
            *file = Some(reopened);
        }
        match &*file {
            Some(file) => read(file),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// Opens a file for reading. Does not wait for the writer of a FIFO.
fn open_regular(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)
}

/// Progress of indexing, and the results that are not published yet.
#[derive(Debug)]
struct IndexingState {
    walker: MovieWalker,
    steps: Vec<Step>,
}

#[derive(Debug)]
struct SharedIndex {
    frames: FrameIndex,
    complete: bool,
    failed: Option<io::ErrorKind>,
}

impl MovieBytes for FileBytes {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(|file| file.read_at(buf, offset))
    }

    fn end(&self) -> u64 {
        self.length
    }

    fn is_whole(&self) -> bool {
        true
    }
}

impl MovieFile {
    /// Opens a movie. If a file with the same path, size and modification time is open already, the
    /// open movie is returned.
    ///
    /// # Errors
    /// If the file cannot be opened or is not a regular file. Does not wait for the writer of a FIFO.
    pub fn open(path: &Path) -> Result<Arc<Self>, OpenError> {
        let refused = |source| OpenError::Io { path: path.to_owned(), source };
        let regular = |metadata: &std::fs::Metadata| {
            let error = OpenError::NotRegular { path: path.to_owned() };
            metadata.is_file().then_some(()).ok_or(error)
        };
        // Checked before opening too, since opening a device can have side effects.
        regular(&std::fs::metadata(path).map_err(refused)?)?;
        let file = open_regular(path).map_err(refused)?;
        let metadata = file.metadata().map_err(refused)?;
        regular(&metadata)?;
        let full = path.canonicalize().map_err(refused)?;
        let key = FileKey::new(full, &metadata).map_err(refused)?;
        let identity = key.identity();
        let bytes = FileBytes::new(file, path, &metadata);
        Ok(registry::get_or_insert(key, || Self::index(identity, bytes)))
    }

    /// Whether the file at the path still has the size and modification time that it had when it was
    /// opened.
    pub fn is_current(&self) -> bool {
        std::fs::metadata(&self.bytes.path).is_ok_and(|metadata| self.bytes.is_same(&metadata))
    }

    /// Closes the file and keeps the index, for a movie that is not being read. The next read opens
    /// the file again, and fails if it was replaced or changed.
    pub fn close(&self) {
        *self.bytes.file.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The movie as it is now, with a new identity, if the file was changed since it was opened.
    /// Another file that has replaced it at its path is ignored.
    ///
    /// # Errors
    /// The error of the operating system.
    pub fn reopen_if_changed(&self) -> io::Result<Option<Arc<Self>>> {
        let (metadata, file) = self.bytes.with(|file| Ok((file.metadata()?, file.try_clone()?)))?;
        if self.bytes.is_same(&metadata) {
            return Ok(None);
        }
        let path = &self.bytes.path;
        // A file that has been removed keeps the path by which it was opened.
        let full = path.canonicalize().unwrap_or_else(|_| path.clone());
        let key = FileKey::new(full, &metadata)?;
        let identity = key.identity();
        let bytes = FileBytes::new(file, path, &metadata);
        // All viewers of the movie reopen it at about the same time.
        Ok(Some(registry::get_or_insert(key, || Self::index(identity, bytes))))
    }

    /// Whether the frames that the movie had when it was opened have been overwritten in the file.
    /// `frame` is one of them: in a file that has another length now, its first bytes are checked.
    /// Appended frames, and a file that ends before `frame`, do not count. If the file was found
    /// unchanged less than `max_age` ago, it is not checked. Does not wait for the disk.
    pub fn is_overwritten(&self, frame: FrameLocation, max_age: Duration) -> bool {
        let now = self.bytes.age();
        let since = now.saturating_sub(self.bytes.same_at.load(Ordering::Relaxed));
        if u128::from(since) < max_age.as_nanos() {
            return false;
        }
        let changed = self.bytes.with(|file| {
            let metadata = file.metadata()?;
            Ok((!self.bytes.is_same(&metadata)).then_some(metadata.len()))
        });
        match changed {
            Ok(Some(length)) if length == self.bytes.length => true,
            Ok(Some(_)) => {
                let (prefix, before) = match self.form() {
                    MovieForm::Records => (format!("{:05}", frame.length), PREFIX_LEN as u64),
                    MovieForm::Images | MovieForm::Multipart => (String::new(), 0),
                };
                let want = [prefix.as_bytes(), &SOI].concat();
                let mut start = vec![0; want.len()];
                let offset = frame.offset.saturating_sub(before);
                let location = FrameLocation { offset, ..frame };
                matches!(self.read_at_once(location, &mut start), Ok(true)) && start != want
            }
            Ok(None) => {
                self.bytes.same_at.store(now, Ordering::Relaxed);
                false
            }
            Err(_) => false,
        }
    }

    /// Starts to index a movie: the first part immediately, the rest in a thread.
    fn index(identity: u64, bytes: FileBytes) -> Arc<Self> {
        let form = MovieForm::of(&bytes.head());
        let movie = Arc::new(Self::unindexed(identity, form, bytes));
        let mut state = IndexingState { walker: MovieWalker::new(form), steps: Vec::new() };
        let end = Instant::now() + INDEX_AT_OPEN;
        while movie.advance(&mut state) {
            if Instant::now() < end {
                continue;
            }
            movie.index_in_thread(move |movie| movie.advance(&mut state));
            break;
        }
        movie
    }

    fn unindexed(identity: u64, form: MovieForm, bytes: FileBytes) -> Self {
        let frames = FrameIndex::new(form);
        let index = RwLock::new(SharedIndex { frames, complete: false, failed: None });
        let (waiting, grown) = (Mutex::default(), Condvar::new());
        let bad_spans = AtomicUsize::new(0);
        Self { identity, form, bytes, index, bad_spans, waiting, grown }
    }

    /// Calls `advance` in a thread until it returns false or the movie is dropped.
    fn index_in_thread(self: &Arc<Self>, mut advance: impl FnMut(&Self) -> bool + Send + 'static) {
        let weak = Arc::downgrade(self);
        let index = move || {
            while let Some(movie) = weak.upgrade() {
                match border::caught(|| advance(&movie)) {
                    Some(true) => {}
                    Some(false) => return,
                    // After a panic the index does not grow, and readers must not wait for it.
                    None => return movie.finish(Some(io::ErrorKind::Other)),
                }
            }
        };
        let thread = std::thread::Builder::new().name("mjpeg-index".to_owned());
        if thread.spawn(index).is_err() {
            // Without a thread, the frames that are indexed are all that can be read.
            self.finish(Some(io::ErrorKind::OutOfMemory));
        }
    }

    /// Indexes a part of the movie; returns false at its end.
    fn advance(&self, state: &mut IndexingState) -> bool {
        let publish = Instant::now() + PUBLISH_AFTER;
        let end = loop {
            match state.walker.step(&self.bytes) {
                Ok(Step::End | Step::NeedMore) => break Some(None),
                Ok(step) => state.steps.push(step),
                Err(error) => break Some(Some(error.kind())),
            }
            if state.steps.len() >= STEPS_AT_ONCE || Instant::now() >= publish {
                break None;
            }
        };
        {
            let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
            for step in state.steps.drain(..) {
                index.frames.record(step);
            }
            self.bad_spans.store(index.frames.bad_spans().len(), Ordering::Release);
        }
        match end {
            Some(failed) => self.finish(failed),
            None => self.wake(),
        }
        end.is_none()
    }

    fn finish(&self, failed: Option<io::ErrorKind>) {
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        index.complete = true;
        index.failed = failed;
        drop(index);
        self.wake();
    }

    fn read_index(&self) -> RwLockReadGuard<'_, SharedIndex> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes all waiting calls of [`Self::frame`], which then check their `cancelled`.
    pub fn wake(&self) {
        drop(self.waiting.lock());
        self.grown.notify_all();
    }

    /// Names this version of the file: a changed or replaced file has another identity.
    pub fn identity(&self) -> String {
        format!("{:016x}", self.identity)
    }

    /// [`Self::identity`] as a number.
    pub fn number(&self) -> u64 {
        self.identity
    }

    /// How the images are stored in the file.
    pub fn form(&self) -> MovieForm {
        self.form
    }

    /// The path by which the file was opened.
    pub fn path(&self) -> &Path {
        &self.bytes.path
    }

    /// The length of the file in bytes, as it was when the file was opened.
    pub fn length(&self) -> u64 {
        self.bytes.length
    }

    /// The open file. Another file that has replaced it at its path is not opened.
    ///
    /// # Errors
    /// The error of the operating system.
    pub fn file(&self) -> io::Result<File> {
        self.bytes.with(File::try_clone)
    }

    /// The number of frames found so far.
    pub fn frames(&self) -> u64 {
        self.read_index().frames.frames()
    }

    /// The number of all frames; `None` until indexing has finished.
    pub fn total_frames(&self) -> Option<u64> {
        let index = self.read_index();
        index.complete.then(|| index.frames.frames())
    }

    /// The numbers of bad records and of skipped bytes found so far.
    pub fn bad(&self) -> (u64, u64) {
        let index = self.read_index();
        (index.frames.bad_records(), index.frames.bad_bytes())
    }

    /// The error that ended indexing early, if there was one.
    pub fn failure(&self) -> Option<io::ErrorKind> {
        self.read_index().failed
    }

    /// The bad span with index `which`, and the number of the frame that follows it. `None` if it has
    /// not been found or follows `frame`.
    pub fn bad_span(&self, which: usize, frame: u64) -> Option<(u64, BadSpan)> {
        if which >= self.bad_spans.load(Ordering::Acquire) {
            return None;
        }
        let index = self.read_index();
        index.frames.bad_spans().get(which).copied().filter(|(before, _)| *before <= frame)
    }

    /// Message about a bad span; `before` is the number of the frame that follows it.
    pub fn describe_bad_span(&self, before: u64, span: &BadSpan) -> String {
        let records = match (span.records, self.form) {
            (1, _) => String::new(),
            (several, MovieForm::Records) => format!(" ({several} records)"),
            (several, _) => format!(" ({several} images)"),
        };
        format!(
            "{}: {} before frame {} at byte {}: {}; {} bytes skipped{records}",
            self.path().display(),
            span.first.noun(),
            before + 1,
            span.offset,
            span.first,
            span.bytes,
        )
    }

    /// Looks up the position of `frame`. Waits until it is indexed, but at most for `limit`, and only
    /// until `cancelled` is set and [`Self::wake`] is called.
    pub fn frame(&self, frame: u64, cancelled: &AtomicBool, limit: Option<Duration>) -> Lookup {
        let query = |index: &SharedIndex| match index.frames.get(frame) {
            Some(location) => Some(Lookup::Frame(location)),
            None if index.complete => Some(Lookup::End(index.frames.frames())),
            None => None,
        };
        self.wait(query, cancelled, limit).unwrap_or(Lookup::Cancelled)
    }

    /// Writes the positions of consecutive frames, starting with `frame`, to `run`: at most 64, only
    /// indexed ones, and none after the bad span with index `spans`. Does not wait.
    pub fn known_from(&self, frame: u64, spans: usize, run: &mut Vec<FrameLocation>) {
        run.clear();
        let index = self.read_index();
        let bad = index.frames.bad_spans().get(spans).map_or(u64::MAX, |(before, _)| *before);
        let frames = (frame..bad).take(MAX_RUN);
        run.extend(frames.map_while(|frame| index.frames.get(frame)));
    }

    /// The number of all frames. Waits for it, but at most for `limit`.
    pub fn wait_total(&self, limit: Duration) -> Option<u64> {
        let query = |index: &SharedIndex| index.complete.then(|| index.frames.frames());
        self.wait(query, &AtomicBool::new(false), Some(limit))
    }

    fn wait<T>(
        &self,
        query: impl Fn(&SharedIndex) -> Option<T>,
        cancelled: &AtomicBool,
        limit: Option<Duration>,
    ) -> Option<T> {
        if let Some(found) = query(&self.read_index()) {
            return Some(found);
        }
        let end = limit.map(|limit| Instant::now() + limit);
        let mut guard = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(found) = query(&self.read_index()) {
                return Some(found);
            }
            if cancelled.load(Ordering::SeqCst) {
                return None;
            }
            guard = match end.map(|end| end.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => return None,
                Some(left) => {
                    let waited = self.grown.wait_timeout(guard, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.grown.wait(guard).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Reads a frame into `buf`, which must have the frame's length. False if the file has shrunk.
    ///
    /// # Errors
    /// The error of the operating system.
    pub fn read(&self, location: FrameLocation, buf: &mut [u8]) -> io::Result<bool> {
        Ok(self.read_span(location.offset, buf)? == buf.len())
    }

    /// Like [`read`](Self::read), but does not wait for the disk if the file system supports that
    /// (`RWF_NOWAIT` of preadv2(2)).
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if the bytes are not in memory; otherwise the error of
    /// the operating system.
    pub fn read_at_once(&self, location: FrameLocation, buf: &mut [u8]) -> io::Result<bool> {
        let whole = buf.len();
        let have = read_until_full(buf, location.offset, |rest, offset| {
            let rest = &mut [IoSliceMut::new(rest)];
            self.bytes.with(|file| Ok(preadv2(file, rest, offset, ReadWriteFlags::NOWAIT)?))
        });
        match have {
            Ok(have) => Ok(have == whole),
            // Mostly network file systems.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => self.read(location, buf),
            Err(error) => Err(error),
        }
    }

    /// Reads bytes starting at `offset` into `buf`; returns their number, which is smaller than
    /// `buf.len()` only at the end of the file.
    ///
    /// # Errors
    /// The error of the operating system.
    pub fn read_span(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        read_until_full(buf, offset, |rest, offset| self.bytes.read_at(rest, offset))
    }

    /// Why the file is not a movie, if no frame was found in it.
    pub fn why_not_a_movie(&self) -> String {
        why_not_a_movie(&self.bytes.head())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{Advice, fadvise};
    use std::io::Write;

    #[test]
    fn a_panic_in_the_index_thread_ends_the_wait_for_the_index() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let metadata = file.as_file().metadata().unwrap();
        let bytes = FileBytes::new(file.reopen().unwrap(), file.path(), &metadata);
        let movie = Arc::new(MovieFile::unindexed(0, MovieForm::Records, bytes));
        let mut rounds = 0;
        movie.index_in_thread(move |movie| {
            rounds += 1;
            // The panic occurs while the index is locked.
            let _index = movie.index.write();
            assert!(rounds < 3, "on purpose");
            true
        });
        assert_eq!(movie.wait_total(Duration::from_secs(10)), Some(0));
        assert_eq!(movie.failure(), Some(io::ErrorKind::Other));
        let never = AtomicBool::new(false);
        assert_eq!(movie.frame(0, &never, None), Lookup::End(0));
    }

    #[test]
    fn read_at_once_reads_the_bytes_or_reports_that_it_would_block() {
        // A movie of one frame that is not a JPEG; reads do not check that.
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let frame: Vec<u8> = (0..90_000_u32).map(|at| at.to_be_bytes()[3]).collect();
        file.write_all(b"90000").unwrap();
        file.write_all(&frame).unwrap();
        file.as_file().sync_all().unwrap();
        let movie = MovieFile::open(file.path()).unwrap();
        let location = FrameLocation { offset: 5, length: 90_000 };
        let mut buf = vec![0; 90_000];
        // Removes the file from memory, if the file system supports that.
        fadvise(file.as_file(), 0, None, Advice::DontNeed).unwrap();
        match movie.read_at_once(location, &mut buf) {
            Ok(whole) => assert!(whole && buf == frame),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
        buf.fill(0);
        assert!(movie.read(location, &mut buf).unwrap() && buf == frame);
        buf.fill(0);
        assert!(movie.read_at_once(location, &mut buf).unwrap() && buf == frame);
        file.as_file().set_len(50_000).unwrap();
        assert!(!movie.read_at_once(location, &mut buf).unwrap());
    }

    #[test]
    fn a_large_movie_without_lengths_is_indexed_in_the_background() {
        let tables = [&b"\xff\xd8\xff\xdb\0\x43\0"[..], &[1; 64]].concat();
        let header = b"\xff\xc0\0\x0b\x08\0\x08\0\x08\x01\x01\x11\0";
        let scan = b"\xff\xda\0\x08\x01\x01\0\0\x3f\0\x2b\xff\xd9";
        let image = [&tables[..], header, scan].concat();
        // A hole between two images, which takes longer to search than opening may.
        let (hole, length) = (1_u64 << 29, u32::try_from(image.len()).unwrap());
        let file = tempfile::NamedTempFile::new().unwrap();
        let last = u64::from(length) + hole;
        file.as_file().write_all_at(&image, 0).unwrap();
        file.as_file().write_all_at(&image, last).unwrap();
        let movie = MovieFile::open(file.path()).unwrap();
        assert_eq!((movie.form(), movie.total_frames()), (MovieForm::Images, None));
        let never = AtomicBool::new(false);
        let first = FrameLocation { offset: 0, length };
        assert_eq!(movie.frame(0, &never, Some(Duration::ZERO)), Lookup::Frame(first));
        assert_eq!(movie.wait_total(Duration::from_mins(1)), Some(2));
        let second = Lookup::Frame(FrameLocation { offset: last, length });
        assert_eq!(movie.frame(1, &never, None), second);
        assert_eq!(movie.bad(), (1, hole));
    }

    #[test]
    fn frames_that_were_overwritten_are_told_from_frames_that_were_appended() {
        let record = b"00006\xff\xd8ab\xff\xd9";
        let movie_of = |records: usize| record.repeat(records);
        // The bytes of the file after it was written again, and whether its frames are others now.
        let rows = [
            ("appended", movie_of(5), false),
            ("cut after the frame", movie_of(1), false),
            ("cut before the frame", Vec::new(), false),
            ("zeros", vec![0; 33], true),
            ("the same length", movie_of(3), true),
            ("other frames, longer", [b"00004\xff\xd8\xff\xd9", &movie_of(3)[..]].concat(), true),
            ("other frames, shorter", [b"00004\xff\xd8\xff\xd9", &movie_of(1)[..]].concat(), true),
        ];
        for (name, bytes, want) in rows {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(&movie_of(3)).unwrap();
            let movie = MovieFile::open(file.path()).unwrap();
            let Lookup::Frame(frame) = movie.frame(0, &AtomicBool::new(false), None) else {
                panic!("no frame")
            };
            assert!(!movie.is_overwritten(frame, Duration::ZERO), "{name}");
            file.as_file().set_len(0).unwrap();
            std::os::unix::fs::FileExt::write_all_at(file.as_file(), &bytes, 0).unwrap();
            // The clock of a file system may stand still for some milliseconds.
            let later = SystemTime::now() + Duration::from_secs(1);
            file.as_file().set_modified(later).unwrap();
            // The result of another reader's check is used for a time.
            assert!(!movie.is_overwritten(frame, Duration::from_hours(1)), "{name}");
            assert_eq!(movie.is_overwritten(frame, Duration::ZERO), want, "{name}");
        }
    }

    #[test]
    fn a_read_opens_a_closed_movie_again_unless_it_was_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("movie");
        std::fs::write(&path, b"00004abcd").unwrap();
        let movie = MovieFile::open(&path).unwrap();
        let location = FrameLocation { offset: 5, length: 4 };
        let mut buf = [0; 4];
        movie.close();
        assert!(movie.is_current() && movie.read(location, &mut buf).unwrap());
        assert_eq!(&buf, b"abcd");
        // A file that is removed while open can still be read; once closed, it cannot.
        std::fs::remove_file(&path).unwrap();
        assert!(!movie.is_current() && movie.read(location, &mut buf).unwrap());
        movie.close();
        assert_eq!(movie.read(location, &mut buf).unwrap_err().kind(), io::ErrorKind::NotFound);
        std::fs::write(&path, b"00005abcde").unwrap();
        assert_eq!(movie.read(location, &mut buf).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
