// SPDX-License-Identifier: MIT OR Apache-2.0
//! `mjpeg-movie`: makes, describes, checks and repairs movies, and extracts their frames.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    mjpeg_movie::run()
}
