// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads a movie from start to end.

use anyhow::{Context, Result, bail};
use gstmjpegfile::movie::{BadSpan, HEAD_LEN, MovieBytes, MovieForm, MovieWalker, Step};
use indicatif::{ProgressBar, ProgressStyle};
use std::cell::{Ref, RefCell};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes that are read at once.
const WINDOW: usize = 4 * 1024 * 1024;

/// A regular file, read through a window.
pub struct Source {
    path: PathBuf,
    file: File,
    length: u64,
    window: RefCell<Window>,
}

#[derive(Default)]
struct Window {
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    fn get(&self, offset: u64, length: usize) -> Option<&[u8]> {
        let at = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        self.bytes.get(at..at.checked_add(length)?)
    }
}

impl Source {
    /// Opens a regular file. Anything else is refused first: opening a pipe would wait for its writer.
    pub fn open(path: &Path) -> Result<Self> {
        let shown = path.display();
        let cannot_open = || format!("cannot open {shown}");
        let metadata = std::fs::metadata(path).with_context(cannot_open)?;
        if metadata.is_dir() {
            bail!("{shown} is a folder: name a movie file");
        }
        if !metadata.is_file() {
            bail!("{shown} is not a regular file: save what it delivers to a file first");
        }
        let file = File::open(path).with_context(cannot_open)?;
        let length = metadata.len();
        Ok(Self { path: path.to_owned(), file, length, window: RefCell::default() })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn length(&self) -> u64 {
        self.length
    }

    /// Bytes at an offset; fewer at the end of the file.
    pub fn bytes(&self, offset: u64, length: usize) -> Result<Ref<'_, [u8]>> {
        self.window(offset, length).with_context(|| self.cannot_read())
    }

    /// The form of the movie.
    pub fn form(&self) -> Result<MovieForm> {
        Ok(MovieForm::of(&self.bytes(0, HEAD_LEN)?))
    }

    /// A walker at the start of the movie.
    pub fn walker(&self) -> Result<MovieWalker> {
        Ok(MovieWalker::new(self.form()?))
    }

    /// Takes the next step through the movie's frames.
    pub fn step(&self, walker: &mut MovieWalker) -> Result<Step> {
        walker.step(self).with_context(|| self.cannot_read())
    }

    /// The message of an error in reading the file.
    pub fn cannot_read(&self) -> String {
        format!("cannot read {}", self.path.display())
    }

    /// Bytes at an offset, from the window, which is read anew if it does not contain them.
    fn window(&self, offset: u64, length: usize) -> io::Result<Ref<'_, [u8]>> {
        let left = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let length = length.min(left);
        if self.window.borrow().get(offset, length).is_none() {
            self.fill(offset, length.max(WINDOW).min(left))?;
        }
        let window = self.window.borrow();
        let have = window.bytes.len().saturating_sub(
            usize::try_from(offset.saturating_sub(window.start)).unwrap_or(usize::MAX),
        );
        // The file may have shrunk.
        Ok(Ref::map(window, |window| window.get(offset, length.min(have)).unwrap_or_default()))
    }

    fn fill(&self, offset: u64, length: usize) -> io::Result<()> {
        let mut window = self.window.borrow_mut();
        window.start = offset;
        window.bytes.resize(length, 0);
        let mut have = 0;
        while have < length {
            let missing = window.bytes.get_mut(have..).unwrap_or_default();
            match self.file.read_at(missing, offset + have as u64) {
                Ok(0) => break,
                Ok(count) => have += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        window.bytes.truncate(have);
        Ok(())
    }
}

impl MovieBytes for Source {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = self.window(offset, buf.len())?;
        let have = bytes.len();
        if let Some(start) = buf.get_mut(..have) {
            start.copy_from_slice(&bytes);
        }
        Ok(have)
    }

    fn end(&self) -> u64 {
        self.length
    }

    fn is_whole(&self) -> bool {
        true
    }
}

/// A part of a movie.
pub enum Item<'a> {
    /// The image of a frame; `offset` is where the image starts, after the record's length if there is
    /// one.
    Frame { offset: u64, jpeg: &'a [u8] },
    /// Bytes that belong to no frame.
    Bad(BadSpan),
}

/// Calls `visit` with each part of a movie in turn, and shows a progress bar on a terminal.
pub fn walk(source: &Source, mut visit: impl FnMut(Item) -> Result<()>) -> Result<()> {
    let bar = progress_bar(source.length(), "{bytes}/{total_bytes} {bytes_per_sec}");
    let mut walker = source.walker()?;
    let mut shown = 0;
    loop {
        match source.step(&mut walker)? {
            Step::Frame { offset, length } => {
                let jpeg = source.bytes(offset, length as usize)?;
                visit(Item::Frame { offset, jpeg: &jpeg })?;
            }
            Step::Bad(span) => visit(Item::Bad(span))?,
            Step::Searching => {}
            Step::NeedMore | Step::End => break,
        }
        if walker.offset() - shown > WINDOW as u64 {
            shown = walker.offset();
            bar.set_position(shown);
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// A progress bar that ends with `details` and the remaining time; hidden if standard error is not a
/// terminal.
pub fn progress_bar(length: u64, details: &str) -> ProgressBar {
    let bar = ProgressBar::new(length);
    let style = format!("{{bar:40}} {{percent}} % {details}, {{eta}} left");
    if let Ok(style) = ProgressStyle::with_template(&style) {
        bar.set_style(style);
    }
    bar
}
