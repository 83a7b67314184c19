// SPDX-License-Identifier: MIT OR Apache-2.0
//! A movie from its begin to its end, at the speed of reading it.

use anyhow::{Context, Result, bail};
use gstmjpegfile::movie::{BadSpan, MovieBytes, RecordWalker, Step};
use indicatif::{ProgressBar, ProgressStyle};
use std::cell::{Ref, RefCell};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes that are read at once.
const WINDOW: usize = 4 * 1024 * 1024;

/// A regular file, read through a window.
pub struct Source {
    file: File,
    length: u64,
    window: RefCell<Window>,
}

#[derive(Default)]
struct Window {
    begin: u64,
    bytes: Vec<u8>,
}

impl Window {
    fn get(&self, offset: u64, length: usize) -> Option<&[u8]> {
        let at = usize::try_from(offset.checked_sub(self.begin)?).ok()?;
        self.bytes.get(at..at.checked_add(length)?)
    }
}

impl Source {
    /// Opens a regular file; opening a pipe would wait for its writer.
    pub fn open(path: &Path) -> Result<Self> {
        let metadata = std::fs::metadata(path).with_context(|| path.display().to_string())?;
        if !metadata.is_file() {
            bail!("{} is not a regular file", path.display());
        }
        let file = File::open(path).with_context(|| path.display().to_string())?;
        Ok(Self { file, length: metadata.len(), window: RefCell::default() })
    }

    pub fn length(&self) -> u64 {
        self.length
    }

    /// Bytes at an offset, without copying where the window holds them; fewer at the file's end.
    pub fn bytes(&self, offset: u64, length: usize) -> io::Result<Ref<'_, [u8]>> {
        let left = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let length = length.min(left);
        if self.window.borrow().get(offset, length).is_none() {
            self.fill(offset, length.max(WINDOW).min(left))?;
        }
        let window = self.window.borrow();
        let have = window.bytes.len().saturating_sub(
            usize::try_from(offset.saturating_sub(window.begin)).unwrap_or(usize::MAX),
        );
        // The file may have shrunk.
        Ok(Ref::map(window, |window| window.get(offset, length.min(have)).unwrap_or_default()))
    }

    fn fill(&self, offset: u64, length: usize) -> io::Result<()> {
        let mut window = self.window.borrow_mut();
        window.begin = offset;
        window.bytes.resize(length, 0);
        let mut have = 0;
        while have < length {
            let place = window.bytes.get_mut(have..).unwrap_or_default();
            match self.file.read_at(place, offset + have as u64) {
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
        let bytes = self.bytes(offset, buf.len())?;
        let have = bytes.len();
        if let Some(place) = buf.get_mut(..have) {
            place.copy_from_slice(&bytes);
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

/// What is met on the way.
pub enum Item<'a> {
    /// A record's image; `offset` is the image's, behind the length.
    Frame { offset: u64, jpeg: &'a [u8] },
    /// Bytes that are no record.
    Bad(BadSpan),
}

/// Goes through a movie, with a bar on a terminal.
pub fn walk(source: &Source, mut visit: impl FnMut(Item) -> Result<()>) -> Result<()> {
    let bar = bar(source.length(), "{bytes}/{total_bytes} {bytes_per_sec}");
    let mut walker = RecordWalker::new();
    let mut told = 0;
    loop {
        match walker.step(source)? {
            Step::Frame { offset, length } => {
                let jpeg = source.bytes(offset, length as usize)?;
                visit(Item::Frame { offset, jpeg: &jpeg })?;
            }
            Step::Bad(span) => visit(Item::Bad(span))?,
            Step::Searching => {}
            Step::NeedMore | Step::End => break,
        }
        if walker.offset() - told > WINDOW as u64 {
            told = walker.offset();
            bar.set_position(told);
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// A progress bar with the time that is left; hidden where standard error is no terminal.
pub fn bar(length: u64, what: &str) -> ProgressBar {
    let bar = ProgressBar::new(length);
    let style = format!("{{bar:40}} {{percent}} % {what}, {{eta}} left");
    if let Ok(style) = ProgressStyle::with_template(&style) {
        bar.set_style(style);
    }
    bar
}
