// SPDX-License-Identifier: MIT OR Apache-2.0
//! `mjpeg-rtsp-server`: serves movies over RTSP.
#![forbid(unsafe_code)]

use clap::Parser;
use mjpeg_rtsp_server::{cli::Arguments, config::Config, run};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // This fails only if the system cannot start another thread, which the server needs too.
    let Ok(_log) = arguments.start_log() else { return ExitCode::FAILURE };
    match Config::resolve(&arguments).and_then(|config| run(&config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
