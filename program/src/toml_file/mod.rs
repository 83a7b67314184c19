// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files in TOML that people write: configurations and profiles. Each key is one row of a list, and each
//! error states file, line, column, what was found, what is allowed, and what was probably meant.
//!
//! - `key.rs`: a key of a table.
//! - `value.rs`: how values are read, written and described.
//! - `table.rs`: reads tables, and collects the problems of a file.
//! - `error.rs`: the problems.

mod error;
mod key;
mod table;
mod value;

pub use error::{FileError, FilePosition, FileProblem, ReadError};
pub use key::{Key, boolean, choice, duration, key, number};
pub use table::{Problems, TableKeys, parse};
pub use toml::Spanned;
pub use toml::de::{DeTable, DeValue};
pub use value::{
    DURATION, choices, describe, quoted, read_choice, read_duration, read_number, shown,
    write_choice, write_duration,
};

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// The longest file in bytes.
pub const MAX_LENGTH: u64 = 1024 * 1024;

/// Reads the bytes of a file. Waits for no other process: a FIFO is refused. `what` is what errors call the
/// file, such as `the configuration`.
///
/// # Errors
/// If the path is not that of a regular file of at most [`MAX_LENGTH`] bytes, or it cannot be read.
pub fn read(path: &Path, what: &'static str) -> Result<Vec<u8>, ReadError> {
    let unreadable = |source| ReadError::Unreadable { what, path: path.to_owned(), source };
    let mut options = File::options();
    let file = options.read(true).custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits()).open(path);
    let file = file.map_err(unreadable)?;
    let kind = file.metadata().map_err(unreadable)?.file_type();
    let found = match kind {
        _ if kind.is_file() => None,
        _ if kind.is_dir() => Some("a folder"),
        _ if kind.is_fifo() => Some("a FIFO"),
        _ => Some("a device"),
    };
    if let Some(found) = found {
        return Err(ReadError::NotRegular { what, path: path.to_owned(), found });
    }
    let mut bytes = Vec::new();
    file.take(MAX_LENGTH + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_LENGTH {
        return Err(ReadError::TooLong { what, path: path.to_owned(), limit: MAX_LENGTH });
    }
    Ok(bytes)
}
