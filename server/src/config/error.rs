// SPDX-License-Identifier: MIT OR Apache-2.0
//! What can be wrong with the configuration file.

use super::FilePosition;
use std::io;
use std::path::PathBuf;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}", path.display())]
    Unreadable {
        /// The path of the file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The path is not that of a file.
    #[error("the configuration {} is {found}; it must be a regular file", path.display())]
    NotRegular {
        /// The path.
        path: PathBuf,
        /// What the path is.
        found: &'static str,
    },
    /// The file is too long.
    #[error("the configuration {} has over {limit} bytes, which is the maximum", path.display())]
    TooLong {
        /// The path of the file.
        path: PathBuf,
        /// The maximum length in bytes.
        limit: u64,
    },
    /// Something in the file is not valid. One line for each problem, in the order of the file.
    #[error("{}", lines(.0))]
    File(Vec<FileError>),
}

fn lines(errors: &[FileError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// A problem in the configuration file, and its position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{position}: {problem}")]
pub struct FileError {
    /// The position.
    pub position: FilePosition,
    /// The problem.
    pub problem: Problem,
}

/// A problem in the configuration file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
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
        /// The table, such as `in [defaults]`.
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
    /// A key needs another one.
    #[error("{key}: found a value, but {needed} has none; one needs the other")]
    Alone {
        /// The name of the key.
        key: &'static str,
        /// The name of the other one.
        needed: &'static str,
    },
    /// A `[[mount]]` has no path.
    #[error("found a [[mount]] without a path; it must have one: path = \"FILE OR FOLDER\"")]
    NoPath,
    /// A `[[user]]` lacks something.
    #[error("found a [[user]] without {0}")]
    IncompleteUser(&'static str),
    /// Two `[[user]]` have one name.
    #[error("name: found \"{name}\", which is the name of the [[user]] in line {first} too")]
    SameUser {
        /// The name.
        name: String,
        /// The line of the first user.
        first: usize,
    },
    /// No `[[user]]` is one that a rule is for.
    #[error("users: found \"{0}\", but there is no such [[user]]; `user add` adds one")]
    NoSuchUser(String),
    /// Two `[[mount]]` have one name.
    #[error(
        "name: found \"{name}\", which is the name of the [[mount]] in line {first} too; \
         each must have a name of its own"
    )]
    SameName {
        /// The name.
        name: String,
        /// The line of the first mount.
        first: usize,
    },
}
