// SPDX-License-Identifier: MIT OR Apache-2.0
//! One opened movie.

use super::registry::{self, FileKey};
use crate::border;
use crate::movie::{
    BadSpan, FrameIndex, FrameLocation, LikelyFormat, MovieBytes, RecordWalker, Step,
};
use rustix::io::{ReadWriteFlags, preadv2};
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, IoSliceMut};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant, SystemTime};

/// How long opening a movie may index it before a thread takes over. Most movies are done.
const INDEX_AT_OPEN: Duration = Duration::from_millis(5);

/// What is found is published after this many steps, or this time if that is earlier: the lock
/// costs more than a step when a reader holds it, and a cold disk takes long for one.
const STEPS_AT_ONCE: usize = 512;
const PUBLISH_AFTER: Duration = Duration::from_millis(1);

/// Frames that [`MovieFile::known_from`] gives at once.
const MAX_RUN: usize = 64;

/// Why a movie was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The operating system refused.
    #[error("cannot open {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// A folder, FIFO, socket or device.
    #[error("{} is not a regular file", path.display())]
    NotRegular {
        /// The file.
        path: PathBuf,
    },
}

/// What [`MovieFile::frame`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// The frame lies there.
    Frame(FrameLocation),
    /// The movie has only this many frames.
    End(u64),
    /// The caller's `cancelled` was set, or the deadline has passed.
    Cancelled,
}

/// A movie file as it was when it was opened: bytes that it grows by are not part of it.
#[derive(Debug)]
pub struct MovieFile {
    /// Of the file by path, size and time of modification, as a number.
    identity: u64,
    bytes: FileBytes,
    index: RwLock<SharedIndex>,
    /// Pairs with `grown`; holds nothing, since the index has its own lock.
    waiting: Mutex<()>,
    grown: Condvar,
}

#[derive(Debug)]
struct FileBytes {
    /// `None` while nobody reads: see [`MovieFile::close`].
    file: RwLock<Option<File>>,
    path: PathBuf,
    length: u64,
    modified: Option<SystemTime>,
}

impl FileBytes {
    fn new(file: File, path: &Path, metadata: &Metadata) -> Self {
        let (length, modified) = (metadata.len(), metadata.modified().ok());
        Self { file: RwLock::new(Some(file)), path: path.to_owned(), length, modified }
    }

    /// Whether a file is as this one was when it was opened.
    fn is_same(&self, metadata: &Metadata) -> bool {
        metadata.is_file()
            && metadata.len() == self.length
            && metadata.modified().ok() == self.modified
    }

    /// Reads from the file, which is opened again if it was closed.
    fn with<T>(&self, read: impl FnOnce(&File) -> io::Result<T>) -> io::Result<T> {
        if let Some(file) = &*self.file.read().unwrap_or_else(PoisonError::into_inner) {
            return read(file);
        }
        let mut file = self.file.write().unwrap_or_else(PoisonError::into_inner);
        if file.is_none() {
            let again = open_regular(&self.path)?;
            if !self.is_same(&again.metadata()?) {
                return Err(io::Error::new(io::ErrorKind::NotFound, "another file has its place"));
            }
            *file = Some(again);
        }
        match &*file {
            Some(file) => read(file),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// Opens a file for reading; a FIFO does not wait for its writer.
fn open_regular(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)
}

/// Where indexing is, and what it has found since it was last published.
#[derive(Debug, Default)]
struct IndexingState {
    walker: RecordWalker,
    steps: Vec<Step>,
}

#[derive(Debug, Default)]
struct SharedIndex {
    frames: FrameIndex,
    complete: bool,
    failed: Option<io::ErrorKind>,
}

/// Reads until `buf` is full or the file ends.
fn read_whole(
    offset: u64,
    buf: &mut [u8],
    read: impl Fn(&mut [u8], u64) -> io::Result<usize>,
) -> io::Result<usize> {
    let mut have = 0;
    while let Some(rest) = buf.get_mut(have..).filter(|rest| !rest.is_empty()) {
        match read(rest, offset + have as u64) {
            Ok(0) => break,
            Ok(count) => have += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(have)
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
    /// Opens a movie, or gives the one that is open already if the file is the same: path,
    /// size and time of modification.
    ///
    /// # Errors
    /// If the file cannot be opened or is no regular file. A FIFO does not hang.
    pub fn open(path: &Path) -> Result<Arc<Self>, OpenError> {
        let refused = |source| OpenError::Io { path: path.to_owned(), source };
        let regular = |metadata: &std::fs::Metadata| {
            let error = OpenError::NotRegular { path: path.to_owned() };
            metadata.is_file().then_some(()).ok_or(error)
        };
        // Opening a device can do things; opening a FIFO waits for its writer.
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

    /// Whether the file at its path is still the one that was opened, by size and time of
    /// modification.
    pub fn is_current(&self) -> bool {
        std::fs::metadata(&self.bytes.path).is_ok_and(|metadata| self.bytes.is_same(&metadata))
    }

    /// Closes the file and keeps the index. The next read opens it again, and fails if another file
    /// has its place by then: for movies that nobody reads at the moment.
    pub fn close(&self) {
        *self.bytes.file.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The same file read anew if it has been written to since it was opened: another movie, with an
    /// identity of its own. A file that has taken this one's place is not looked at.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn reopen_if_changed(&self) -> io::Result<Option<Arc<Self>>> {
        let (metadata, file) = self.bytes.with(|file| Ok((file.metadata()?, file.try_clone()?)))?;
        if self.bytes.is_same(&metadata) {
            return Ok(None);
        }
        let path = &self.bytes.path;
        // A file that was removed meanwhile has the path that it was opened by.
        let full = path.canonicalize().unwrap_or_else(|_| path.clone());
        let identity = FileKey::new(full, &metadata)?.identity();
        Ok(Some(Self::index(identity, FileBytes::new(file, path, &metadata))))
    }

    /// Starts to index: the first part here, the rest, if there is one, in a thread.
    fn index(identity: u64, bytes: FileBytes) -> Arc<Self> {
        let movie = Arc::new(Self {
            identity,
            bytes,
            index: RwLock::default(),
            waiting: Mutex::default(),
            grown: Condvar::new(),
        });
        let mut walk = IndexingState::default();
        let end = Instant::now() + INDEX_AT_OPEN;
        while movie.advance(&mut walk) {
            if Instant::now() < end {
                continue;
            }
            movie.index_in_thread(move |movie| movie.advance(&mut walk));
            break;
        }
        movie
    }

    /// Calls `advance` in a thread until it gives false, or the last reader has gone.
    fn index_in_thread(self: &Arc<Self>, mut advance: impl FnMut(&Self) -> bool + Send + 'static) {
        let weak = Arc::downgrade(self);
        let index = move || {
            while let Some(movie) = weak.upgrade() {
                match border::caught(|| advance(&movie)) {
                    Some(true) => {}
                    Some(false) => return,
                    // Readers wait for an index that does not grow any more.
                    None => return movie.finish(Some(io::ErrorKind::Other)),
                }
            }
        };
        let thread = std::thread::Builder::new().name("mjpeg-index".to_owned());
        if thread.spawn(index).is_err() {
            // No thread to be had: what is indexed is what there is.
            self.finish(Some(io::ErrorKind::OutOfMemory));
        }
    }

    /// Indexes a little more; false when there is no more.
    fn advance(&self, walk: &mut IndexingState) -> bool {
        let publish = Instant::now() + PUBLISH_AFTER;
        let end = loop {
            match walk.walker.step(&self.bytes) {
                Ok(Step::End | Step::NeedMore) => break Some(None),
                Ok(step) => walk.steps.push(step),
                Err(error) => break Some(Some(error.kind())),
            }
            if walk.steps.len() >= STEPS_AT_ONCE || Instant::now() >= publish {
                break None;
            }
        };
        {
            let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
            for step in walk.steps.drain(..) {
                index.frames.record(step);
            }
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

    /// Makes every waiting [`Self::frame`] look at its `cancelled` again.
    pub fn wake(&self) {
        drop(self.waiting.lock());
        self.grown.notify_all();
    }

    /// A name for the file as it was when it was opened: another one if it was replaced since.
    pub fn identity(&self) -> String {
        format!("{:016x}", self.identity)
    }

    /// The number behind [`Self::identity`].
    pub fn number(&self) -> u64 {
        self.identity
    }

    /// The path that it was opened with.
    pub fn path(&self) -> &Path {
        &self.bytes.path
    }

    /// Frames found so far.
    pub fn frames(&self) -> u64 {
        self.read_index().frames.frames()
    }

    /// The number of all frames, once it is known.
    pub fn total_frames(&self) -> Option<u64> {
        let index = self.read_index();
        index.complete.then(|| index.frames.frames())
    }

    /// Bad records and the bytes passed over with them, found so far.
    pub fn bad(&self) -> (u64, u64) {
        let index = self.read_index();
        (index.frames.bad_records(), index.frames.bad_bytes())
    }

    /// The error that ended the index early, if one did.
    pub fn failure(&self) -> Option<io::ErrorKind> {
        self.read_index().failed
    }

    /// The bad span number `which`, if it was found and stands before `frame` or an earlier
    /// one; with the number of the frame that it stands before.
    pub fn bad_span(&self, which: usize, frame: u64) -> Option<(u64, BadSpan)> {
        let index = self.read_index();
        index.frames.bad_spans().get(which).copied().filter(|(before, _)| *before <= frame)
    }

    /// A bad span in words: what, where, how much; `before` is the frame that it stands before.
    pub fn describe_bad_span(&self, before: u64, span: &BadSpan) -> String {
        let records = match span.records {
            1 => String::new(),
            several => format!(" ({several} records)"),
        };
        format!(
            "{}: bad record before frame {} at byte {}: {}; {} bytes passed over{records}",
            self.path().display(),
            before + 1,
            span.offset,
            span.first,
            span.bytes,
        )
    }

    /// Where `frame` lies; waits for the index to reach it, until `cancelled` is set (and
    /// [`Self::wake`] called) or `limit` is over.
    pub fn frame(&self, frame: u64, cancelled: &AtomicBool, limit: Option<Duration>) -> Lookup {
        let look = |index: &SharedIndex| match index.frames.get(frame) {
            Some(location) => Some(Lookup::Frame(location)),
            None if index.complete => Some(Lookup::End(index.frames.frames())),
            None => None,
        };
        self.wait(look, cancelled, limit).unwrap_or(Lookup::Cancelled)
    }

    /// Puts where the frames from `frame` on lie into `run`, as far as they are known and no bad
    /// span numbered `spans` or higher stands before them; at most 64. Does not wait.
    pub fn known_from(&self, frame: u64, spans: usize, run: &mut Vec<FrameLocation>) {
        run.clear();
        let index = self.read_index();
        let bad = index.frames.bad_spans().get(spans).map_or(u64::MAX, |(before, _)| *before);
        let frames = (frame..bad).take(MAX_RUN);
        run.extend(frames.map_while(|frame| index.frames.get(frame)));
    }

    /// The number of all frames; waits for it at most `limit`.
    pub fn wait_total(&self, limit: Duration) -> Option<u64> {
        let look = |index: &SharedIndex| index.complete.then(|| index.frames.frames());
        self.wait(look, &AtomicBool::new(false), Some(limit))
    }

    fn wait<T>(
        &self,
        look: impl Fn(&SharedIndex) -> Option<T>,
        cancelled: &AtomicBool,
        limit: Option<Duration>,
    ) -> Option<T> {
        if let Some(found) = look(&self.read_index()) {
            return Some(found);
        }
        let end = limit.map(|limit| Instant::now() + limit);
        let mut guard = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(found) = look(&self.read_index()) {
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

    /// Reads a frame's bytes into `buf`, which has its length; false if the file has shrunk.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn read(&self, location: FrameLocation, buf: &mut [u8]) -> io::Result<bool> {
        Ok(self.read_span(location.offset, buf)? == buf.len())
    }

    /// Like [`read`](Self::read) where the bytes are in memory; never waits for a disk whose file
    /// system can say so (`RWF_NOWAIT` of preadv2(2)).
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if it would have to wait, otherwise what the
    /// operating system says.
    pub fn read_at_once(&self, location: FrameLocation, buf: &mut [u8]) -> io::Result<bool> {
        let whole = buf.len();
        let have = read_whole(location.offset, buf, |rest, offset| {
            let rest = &mut [IoSliceMut::new(rest)];
            self.bytes.with(|file| Ok(preadv2(file, rest, offset, ReadWriteFlags::NOWAIT)?))
        });
        match have {
            Ok(have) => Ok(have == whole),
            // Network file systems, mostly.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => self.read(location, buf),
            Err(error) => Err(error),
        }
    }

    /// Reads the bytes from `offset` on into `buf`; gives how many there are.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn read_span(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        read_whole(offset, buf, |rest, offset| self.bytes.read_at(rest, offset))
    }

    /// What the file probably is if it is no movie, told from its first bytes.
    pub fn likely_format(&self) -> Option<LikelyFormat> {
        let mut head = [0; 16];
        let have = self.bytes.read_at(&mut head, 0).unwrap_or(0);
        LikelyFormat::of(head.get(..have).unwrap_or_default())
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
        let movie = Arc::new(MovieFile {
            identity: 0,
            bytes: FileBytes::new(file.reopen().unwrap(), file.path(), &metadata),
            index: RwLock::default(),
            waiting: Mutex::default(),
            grown: Condvar::new(),
        });
        let mut rounds = 0;
        movie.index_in_thread(move |movie| {
            rounds += 1;
            // What readers share is locked meanwhile.
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
    fn a_read_at_once_gives_the_bytes_or_says_that_it_would_wait() {
        // A movie of one frame that is no JPEG; it is not looked at here.
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let frame: Vec<u8> = (0..90_000_u32).map(|at| at.to_be_bytes()[3]).collect();
        file.write_all(b"90000").unwrap();
        file.write_all(&frame).unwrap();
        file.as_file().sync_all().unwrap();
        let movie = MovieFile::open(file.path()).unwrap();
        let location = FrameLocation { offset: 5, length: 90_000 };
        let mut buf = vec![0; 90_000];
        // Out of memory, where the file system does that.
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
    fn a_closed_movie_is_opened_again_by_a_read_unless_it_has_been_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("movie");
        std::fs::write(&path, b"00004abcd").unwrap();
        let movie = MovieFile::open(&path).unwrap();
        let location = FrameLocation { offset: 5, length: 4 };
        let mut buf = [0; 4];
        movie.close();
        assert!(movie.is_current() && movie.read(location, &mut buf).unwrap());
        assert_eq!(&buf, b"abcd");
        // An open file is read on, a closed one is not.
        std::fs::remove_file(&path).unwrap();
        assert!(!movie.is_current() && movie.read(location, &mut buf).unwrap());
        movie.close();
        assert_eq!(movie.read(location, &mut buf).unwrap_err().kind(), io::ErrorKind::NotFound);
        std::fs::write(&path, b"00005abcde").unwrap();
        assert_eq!(movie.read(location, &mut buf).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
