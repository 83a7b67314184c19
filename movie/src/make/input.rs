// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a movie is made of.

use super::{cut, folder, picture};
use crate::counted;
use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;

/// Names of skipped files that are listed; further ones are only counted.
const MAX_LISTED: usize = 5;

/// What a movie is made of.
#[derive(Debug)]
pub enum Input {
    Stdin,
    Uri(String),
    /// A video, as a file or another thing that can be opened.
    File {
        path: PathBuf,
        uri: String,
        is_gif: bool,
    },
    /// The pictures of a folder, or one picture.
    Pictures {
        path: PathBuf,
        files: Vec<PathBuf>,
        /// Names of the folder's files that are not pictures.
        others: Vec<String>,
    },
}

impl Input {
    /// Finds out what `input` is.
    pub fn of(input: &OsStr) -> Result<Self> {
        if input == "-" {
            return Ok(Self::Stdin);
        }
        if let Some(text) = input.to_str()
            && text.contains("://")
        {
            return Ok(Self::Uri(text.to_owned()));
        }
        if input.is_empty() {
            bail!("INPUT is empty: name a file, a URI or a folder");
        }
        let path = PathBuf::from(input);
        if path.is_dir() {
            let (files, others) = folder::list_pictures(&path)?;
            return Ok(Self::Pictures { path, files, others });
        }
        if path.is_file() && picture::is_single_picture(&path)? {
            return Ok(Self::Pictures { files: vec![path.clone()], path, others: Vec::new() });
        }
        let cannot_open = || format!("cannot open {}", path.display());
        let absolute = path.canonicalize().with_context(cannot_open)?;
        let uri = gst::glib::filename_to_uri(absolute, None).with_context(cannot_open)?.into();
        let is_gif = path.is_file() && picture::first_bytes(&path)?.starts_with(b"GIF8");
        Ok(Self::File { path, uri, is_gif })
    }

    /// Whether the input can be read a second time.
    pub fn can_restart(&self) -> bool {
        match self {
            Self::Stdin | Self::Uri(_) => false,
            Self::File { path, .. } => path.is_file(),
            Self::Pictures { .. } => true,
        }
    }

    /// Lists the files that are not pictures; `None` if there are none.
    pub fn skipped(&self) -> Option<String> {
        let Self::Pictures { others, .. } = self else { return None };
        let more = others.len().saturating_sub(MAX_LISTED);
        let listed: Vec<&str> = others.iter().take(MAX_LISTED).map(String::as_str).collect();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let verb = if others.len() == 1 { "is not a picture" } else { "are not pictures" };
        let files = counted(others.len() as u64, "file");
        (!others.is_empty()).then(|| format!("{files} skipped: {}{more} {verb}", listed.join(", ")))
    }

    /// Says that the end of a video is missing; `None` if it is not known to be.
    pub fn cut(&self) -> Option<String> {
        let Self::File { path, .. } = self else { return None };
        let stated = cut::stated_length(path)?;
        let length = path.metadata().ok()?.len();
        (length < stated).then(|| {
            format!(
                "{} is cut: it has {length} of {stated} bytes; the movie ends where it does",
                path.display()
            )
        })
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdin => f.write_str("standard input"),
            Self::Uri(uri) => f.write_str(uri),
            Self::File { path, .. } | Self::Pictures { path, .. } => {
                write!(f, "{}", path.display())
            }
        }
    }
}
