// SPDX-License-Identifier: MIT OR Apache-2.0
//! Open movie files. All readers of a file share one frame index.
//!
//! Files are read by positioned reads (`pread`), not mapped into memory: if a mapped file shrinks,
//! SIGBUS kills the process, while a read returns fewer bytes.

mod opened;
mod registry;

pub use opened::{Lookup, MovieFile, OpenError};
