// SPDX-License-Identifier: MIT OR Apache-2.0
//! The problems that a file can have.

use std::io;
use std::path::PathBuf;

/// A position in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePosition {
    /// The path of the file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

impl std::fmt::Display for FilePosition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

/// Why the bytes of a file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The operating system reported an error.
    #[error("cannot read {what} {}", path.display())]
    Unreadable {
        /// What the file is.
        what: &'static str,
        /// The path of the file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The path is not that of a file.
    #[error("{what} {} is {found}; it must be a regular file", path.display())]
    NotRegular {
        /// What the file is.
        what: &'static str,
        /// The path.
        path: PathBuf,
        /// What the path is.
        found: &'static str,
    },
    /// The file is too long.
    #[error("{what} {} has over {limit} bytes, which is the maximum", path.display())]
    TooLong {
        /// What the file is.
        what: &'static str,
        /// The path of the file.
        path: PathBuf,
        /// The maximum length in bytes.
        limit: u64,
    },
}

/// A problem in a file, and its position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{position}: {problem}")]
pub struct FileError {
    /// The position.
    pub position: FilePosition,
    /// The problem.
    pub problem: FileProblem,
}

/// A problem in a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileProblem {
    /// A byte is not part of UTF-8.
    #[error("found the byte 0x{0:02x}; allowed is text in UTF-8")]
    NotUtf8(u8),
    /// The text is not TOML.
    #[error("not valid TOML: {0}")]
    Syntax(String),
    /// A table has no key of that name.
    #[error("found the key \"{found}\" {place}; allowed are {allowed}{advice}")]
    UnknownKey {
        /// The name of the key.
        found: String,
        /// The table, such as `in [lab]`.
        place: &'static str,
        /// The names of all keys of the table.
        allowed: String,
        /// What was probably meant.
        advice: String,
    },
    /// The value of a key is not allowed.
    #[error("{key}: found {found}; allowed is {allowed}")]
    Value {
        /// The name of the key.
        key: String,
        /// The value.
        found: String,
        /// What the value may be.
        allowed: String,
    },
    /// Another problem, as a sentence.
    #[error("{0}")]
    Other(String),
}
