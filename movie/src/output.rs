// SPDX-License-Identifier: MIT OR Apache-2.0
//! The movie that a command writes.

use anyhow::{Context, Result, bail};
use gstmjpegfile::movie::FrameWriter;
use std::fs::File;
use std::io::{BufWriter, Seek, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// A movie that is written to a temporary file and gets its name when it is complete, or never; or
/// one that is written to standard output.
pub struct Output {
    /// As messages name it.
    shown: String,
    target: Option<Target>,
    writer: FrameWriter<BufWriter<Box<dyn Write>>>,
}

struct Target {
    path: PathBuf,
    file: NamedTempFile<File>,
}

impl Output {
    /// Creates the temporary file next to `path`, or next to the file to which `path` links. An
    /// existing file is an error unless `force` is set; `input` and what is not a file are never
    /// replaced. `-` is standard output.
    pub fn create(path: &Path, input: &Path, force: bool) -> Result<Self> {
        if path == Path::new("-") {
            let writer = buffered(std::io::stdout());
            return Ok(Self { shown: "standard output".to_owned(), target: None, writer });
        }
        let shown = path.display();
        if let (Ok(input), Ok(out)) = (input.canonicalize(), path.canonicalize())
            && input == out
        {
            bail!("{shown} is the input and is never overwritten: name another output file");
        }
        if path.is_dir() {
            bail!("{shown} is a folder: name an output file");
        }
        if path.exists() && !path.is_file() {
            bail!("{shown} is not a regular file: name an output file, or - for standard output");
        }
        if path.exists() && !force {
            bail!("{shown} exists already: name another output file, or add --force to replace it");
        }
        let path = follow_links(path)?;
        let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let context = || format!("cannot create a file in the folder {}", folder.display());
        let file = tempfile::Builder::new()
            .make_in(folder, |path| File::create_new(path))
            .with_context(context)?;
        let writer = buffered(file.as_file().try_clone().with_context(context)?);
        Ok(Self { shown: shown.to_string(), target: Some(Target { path, file }), writer })
    }

    /// The output as messages name it.
    pub fn shown(&self) -> String {
        self.shown.clone()
    }

    /// Whether [`Self::restart`] works.
    pub fn can_restart(&self) -> bool {
        self.target.is_some()
    }

    /// Removes all frames from the movie. Standard output keeps them.
    pub fn restart(&mut self) -> Result<()> {
        let Some(target) = &self.target else { return Ok(()) };
        let mut file = target.file.as_file().try_clone().with_context(|| self.cannot_write())?;
        // What is still buffered is not written.
        let old = std::mem::replace(&mut self.writer, buffered(std::io::sink()));
        let _ = old.into_inner().into_parts();
        file.set_len(0).and_then(|()| file.rewind()).with_context(|| self.cannot_write())?;
        self.writer = buffered(file);
        Ok(())
    }

    /// Appends a frame.
    pub fn write_frame(&mut self, jpeg: &[u8]) -> Result<()> {
        self.writer.write_frame(jpeg).with_context(|| self.cannot_write())
    }

    /// Renames the complete movie to its final name.
    pub fn finish(self) -> Result<()> {
        let context = self.cannot_write();
        self.writer.into_inner().flush().with_context(|| context.clone())?;
        if let Some(Target { path, file }) = self.target {
            file.persist(&path).map_err(|error| error.error).context(context)?;
        }
        Ok(())
    }

    fn cannot_write(&self) -> String {
        format!("cannot write {}", self.shown)
    }
}

fn buffered(out: impl Write + 'static) -> FrameWriter<BufWriter<Box<dyn Write>>> {
    FrameWriter::new(BufWriter::with_capacity(1 << 20, Box::new(out)))
}

/// The file to which symbolic links lead, which need not exist.
fn follow_links(path: &Path) -> Result<PathBuf> {
    // As many as Linux follows.
    const MAX_LINKS: usize = 40;
    let mut target = path.to_owned();
    for _ in 0..MAX_LINKS {
        let Ok(link) = std::fs::read_link(&target) else { return Ok(target) };
        target = target.parent().unwrap_or(Path::new("")).join(link);
    }
    bail!("{} is a symbolic link that leads to itself: name an output file", path.display());
}
