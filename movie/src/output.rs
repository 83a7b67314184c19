// SPDX-License-Identifier: MIT OR Apache-2.0
//! The movie that a command writes.

use anyhow::{Context, Result, bail};
use gstmjpegfile::movie::FrameWriter;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// A movie that is written to a temporary file and gets its name when it is complete, or never.
pub struct Output {
    path: PathBuf,
    file: NamedTempFile<File>,
    writer: FrameWriter<BufWriter<File>>,
}

impl Output {
    /// Creates the temporary file next to `path`. An existing `path` is an error unless `force` is
    /// set; `input` is never replaced.
    pub fn create(path: &Path, input: &Path, force: bool) -> Result<Self> {
        let shown = path.display();
        if let (Ok(input), Ok(out)) = (input.canonicalize(), path.canonicalize())
            && input == out
        {
            bail!("{shown} is the input and is never overwritten: name another output file");
        }
        if path.is_dir() {
            bail!("{shown} is a folder: name an output file");
        }
        if path.exists() && !force {
            bail!("{shown} exists already: name another output file, or add --force to replace it");
        }
        let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let context = || format!("cannot create a file in the folder {}", folder.display());
        let file = tempfile::Builder::new()
            .make_in(folder, |path| File::create_new(path))
            .with_context(context)?;
        let out = file.as_file().try_clone().with_context(context)?;
        let writer = FrameWriter::new(BufWriter::with_capacity(1 << 20, out));
        Ok(Self { path: path.to_owned(), file, writer })
    }

    /// Appends a frame.
    pub fn write_frame(&mut self, jpeg: &[u8]) -> Result<()> {
        self.writer.write_frame(jpeg).with_context(|| self.cannot_write())
    }

    /// Gives the complete movie its name.
    pub fn finish(self) -> Result<()> {
        let context = self.cannot_write();
        self.writer.into_inner().flush().with_context(|| context.clone())?;
        self.file.persist(&self.path).map_err(|error| error.error).context(context)?;
        Ok(())
    }

    fn cannot_write(&self) -> String {
        format!("cannot write {}", self.path.display())
    }
}
