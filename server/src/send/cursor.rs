// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds the next frame of a movie in its file. A looping movie starts again at its end, and then a
//! changed file replaces the old one. If frames are overwritten in place, the new ones are used immediately.

use gstmjpegfile::movie::FrameLocation;
use gstmjpegfile::movie_file::{Lookup, MovieFile};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// How long a stream relies on another stream's check of the same file: a system call for each stream
/// would cost more than everything else that is done for a frame.
const CHANGE_AGE: Duration = Duration::from_millis(25);

/// The index of the frames of a movie.
pub(crate) trait Index: Sized {
    /// Looks up the position of a frame; [`Lookup::Cancelled`] if it is not indexed yet.
    fn look_up(&self, frame: u64) -> Lookup;

    /// Whether frames that the movie had when it was opened have been overwritten in its file. One
    /// of them is at `location`.
    fn is_overwritten(&self, location: FrameLocation) -> bool;

    /// The movie as it is now, if its file has changed since it was opened.
    fn if_changed(&self) -> Option<Self>;
}

impl Index for Arc<MovieFile> {
    fn look_up(&self, frame: u64) -> Lookup {
        self.frame(frame, &AtomicBool::new(false), Some(Duration::ZERO))
    }

    fn is_overwritten(&self, location: FrameLocation) -> bool {
        MovieFile::is_overwritten(self, location, CHANGE_AGE)
    }

    fn if_changed(&self) -> Option<Self> {
        MovieFile::reopen_if_changed(self).ok().flatten()
    }
}

/// What [`Cursor::look_up`] finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// The number of the frame in the file, and its position.
    Frame(u64, FrameLocation),
    /// The frame is not indexed yet.
    NotIndexed,
    /// The movie has no such frame, and does not loop.
    End,
}

/// Maps frame numbers that count on over all passes of a looping movie to frames of its file.
#[derive(Debug)]
pub(crate) struct Cursor<M = Arc<MovieFile>> {
    movie: M,
    looping: bool,
    /// The number of frames in the passes before this one.
    passed: u64,
}

impl<M: Index> Cursor<M> {
    /// A cursor in the first pass of a movie.
    pub fn new(movie: M, looping: bool) -> Self {
        Self { movie, looping, passed: 0 }
    }

    /// The movie that this pass plays.
    pub fn movie(&self) -> &M {
        &self.movie
    }

    /// Counts frames from the first pass again.
    pub fn rewind(&mut self) {
        self.passed = 0;
    }

    /// Opens the file again if its frames have been overwritten, and continues with its new content.
    /// `frame` is the next frame; its number stays. Returns whether the file was opened again.
    pub fn follow_overwritten(&mut self, frame: u64) -> bool {
        let within = frame.saturating_sub(self.passed);
        if let Lookup::Frame(location) = self.movie.look_up(within)
            && self.movie.is_overwritten(location)
            && let Some(changed) = self.movie.if_changed()
        {
            self.movie = changed;
            return true;
        }
        false
    }

    /// Looks up a frame by a number that counts on over all passes.
    pub fn look_up(&mut self, frame: u64) -> Next {
        let within = frame.saturating_sub(self.passed);
        match self.movie.look_up(within) {
            Lookup::Frame(location) => Next::Frame(within, location),
            Lookup::Cancelled => Next::NotIndexed,
            Lookup::End(frames) if frames > 0 && self.looping => {
                self.passed += within - within % frames;
                // Frames that were appended are not seen before the next pass.
                if let Some(changed) = self.movie.if_changed() {
                    self.movie = changed;
                }
                let within = within % frames;
                match self.movie.look_up(within) {
                    Lookup::Frame(location) => Next::Frame(within, location),
                    Lookup::Cancelled => Next::NotIndexed,
                    // The changed movie is shorter and has no such frame: the next pass starts.
                    Lookup::End(0) => Next::End,
                    Lookup::End(_) => {
                        self.passed += within;
                        match self.movie.look_up(0) {
                            Lookup::Frame(location) => Next::Frame(0, location),
                            Lookup::Cancelled => Next::NotIndexed,
                            Lookup::End(_) => Next::End,
                        }
                    }
                }
            }
            Lookup::End(_) => Next::End,
        }
    }

    /// The last frame of the movie, if the whole movie is indexed.
    pub fn last(&self) -> Option<(u64, FrameLocation)> {
        let Lookup::End(frames @ 1..) = self.movie.look_up(u64::MAX) else { return None };
        match self.movie.look_up(frames - 1) {
            Lookup::Frame(location) => Some((frames - 1, location)),
            Lookup::End(_) | Lookup::Cancelled => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;

    /// A movie whose frames all have its version as their offset, so that a test sees which version
    /// a frame is from.
    #[derive(Debug, Clone)]
    struct File {
        frames: u64,
        indexed: u64,
        version: u64,
        /// The movie that `if_changed` returns once.
        changed: Rc<RefCell<Option<File>>>,
        overwritten: bool,
    }

    fn file(version: u64, frames: u64) -> File {
        File { frames, indexed: frames, version, changed: Rc::default(), overwritten: false }
    }

    impl Index for File {
        fn look_up(&self, frame: u64) -> Lookup {
            if frame < self.indexed {
                Lookup::Frame(FrameLocation { offset: self.version, length: 1 })
            } else if self.indexed < self.frames {
                Lookup::Cancelled
            } else {
                Lookup::End(self.frames)
            }
        }

        fn is_overwritten(&self, _: FrameLocation) -> bool {
            self.overwritten
        }

        fn if_changed(&self) -> Option<Self> {
            self.changed.borrow_mut().take()
        }
    }

    /// The number of a frame in its file and the version of the file.
    fn next(cursor: &mut Cursor<File>, frame: u64) -> Result<(u64, u64), Next> {
        match cursor.look_up(frame) {
            Next::Frame(number, location) => Ok((number, location.offset)),
            other => Err(other),
        }
    }

    #[test]
    fn a_movie_ends_or_loops() {
        let rows = [
            (false, 0, Ok((0, 1))),
            (false, 2, Ok((2, 1))),
            (false, 3, Err(Next::End)),
            (true, 3, Ok((0, 1))),
            (true, 4, Ok((1, 1))),
            (true, 3_000_000_001, Ok((1, 1))),
        ];
        for (looping, frame, want) in rows {
            let mut cursor = Cursor::new(file(1, 3), looping);
            assert_eq!(next(&mut cursor, frame), want, "looping {looping}, frame {frame}");
        }
        for looping in [false, true] {
            assert_eq!(next(&mut Cursor::new(file(1, 0), looping), 0), Err(Next::End));
        }
    }

    #[test]
    fn frames_are_found_once_they_are_indexed() {
        let mut cursor = Cursor::new(File { indexed: 2, ..file(1, 5) }, true);
        assert_eq!(next(&mut cursor, 1), Ok((1, 1)));
        assert_eq!(next(&mut cursor, 2), Err(Next::NotIndexed));
        assert_eq!(cursor.last(), None);
        cursor.movie.indexed = 5;
        assert_eq!(next(&mut cursor, 2), Ok((2, 1)));
        assert_eq!(cursor.last(), Some((4, FrameLocation { offset: 1, length: 1 })));
    }

    #[test]
    fn a_changed_file_is_used_from_the_next_pass_on() {
        // The number of frames in the changed file; number in the file and version of each frame.
        let rows = [
            (5, vec![(0, 1), (1, 1), (2, 1), (0, 2), (1, 2), (2, 2), (3, 2), (4, 2), (0, 2)]),
            (3, vec![(0, 1), (1, 1), (2, 1), (0, 2), (1, 2), (2, 2), (0, 2)]),
            (1, vec![(0, 1), (1, 1), (2, 1), (0, 2), (0, 2), (0, 2)]),
        ];
        for (frames, want) in rows {
            let mut cursor = Cursor::new(file(1, 3), true);
            cursor.movie.changed.replace(Some(file(2, frames)));
            let numbers = 0..u64::try_from(want.len()).unwrap();
            let got: Vec<_> = numbers.map(|number| next(&mut cursor, number).unwrap()).collect();
            assert_eq!(got, want, "{frames}");
        }
        // The file has become empty.
        let mut cursor = Cursor::new(file(1, 3), true);
        cursor.movie.changed.replace(Some(file(2, 0)));
        assert_eq!(next(&mut cursor, 3), Err(Next::End));
    }

    #[test]
    fn a_position_past_the_end_of_a_shorter_file_is_its_first_frame() {
        let mut cursor = Cursor::new(file(1, 10), true);
        cursor.movie.changed.replace(Some(file(2, 4)));
        assert_eq!(next(&mut cursor, 17), Ok((0, 2)));
        assert_eq!(next(&mut cursor, 18), Ok((1, 2)));
        cursor.rewind();
        assert_eq!(next(&mut cursor, 3), Ok((3, 2)));
    }
    #[test]
    fn a_file_whose_frames_are_overwritten_is_used_at_once() {
        // The number of frames in the file as it is now, and what follows frame 3 of a pass of 6.
        let rows = [
            (true, 6, vec![Ok((4, 2)), Ok((5, 2)), Ok((0, 2))]),
            (true, 5, vec![Ok((4, 2)), Ok((0, 2)), Ok((1, 2))]),
            (true, 2, vec![Ok((0, 2)), Ok((1, 2)), Ok((0, 2))]),
            (true, 0, vec![Err(Next::End); 3]),
            (false, 5, vec![Ok((4, 2)), Err(Next::End), Err(Next::End)]),
            (false, 2, vec![Err(Next::End); 3]),
        ];
        for (looping, frames, want) in rows {
            let mut cursor = Cursor::new(file(1, 6), looping);
            assert_eq!(next(&mut cursor, 3), Ok((3, 1)));
            cursor.movie.changed.replace(Some(file(2, frames)));
            assert!(!cursor.follow_overwritten(4), "only appended");
            cursor.movie.overwritten = true;
            assert!(cursor.follow_overwritten(4), "{frames}");
            let got: Vec<_> = (4..7).map(|number| next(&mut cursor, number)).collect();
            assert_eq!(got, want, "looping {looping}, {frames} frames");
            assert!(!cursor.follow_overwritten(7), "{frames}");
        }
    }
}
