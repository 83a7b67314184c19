// SPDX-License-Identifier: MIT OR Apache-2.0
//! Opened movie files, each with one frame index that all its readers share.
//!
//! Reads are positioned (`pread`), not a memory map: a file that shrinks under a map kills the
//! process with SIGBUS, a read returns short.

mod opened;
mod registry;

pub use opened::{Lookup, MovieFile, OpenError};
