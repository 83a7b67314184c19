// SPDX-License-Identifier: MIT OR Apache-2.0
//! `mjpeg-rtsp-client`: plays an RTSP stream with the lab's four commands.
#![forbid(unsafe_code)]

use clap::Parser;
use mjpeg_rtsp_client::cli::Arguments;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // A system without a thread for the log has no thread for the player either.
    let Ok(_log) = arguments.start_log() else { return ExitCode::FAILURE };
    match mjpeg_rtsp_client::run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
