// SPDX-License-Identifier: MIT OR Apache-2.0
//! `mjpeg-lab-check`: grades programs of the course lab.
#![forbid(unsafe_code)]

use clap::Parser;
use mjpeg_lab_check::cli::{Arguments, Command};
use mjpeg_lab_check::{class, limited, process, run};
use mjpeg_program::log::{Log, say};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

/// Wrong usage.
const USAGE: u8 = 2;

/// Ended by Ctrl-C.
const INTERRUPTED: u8 = 130;

/// Ctrl-C ends the programs, and then this process.
static IS_INTERRUPTED: AtomicBool = AtomicBool::new(false);

fn main() -> ExitCode {
    if let Some(words) = limited::arguments() {
        return limited::run(words);
    }
    let arguments = Arguments::parse();
    // If the system has no thread left for standard error, no error can be printed either.
    let Ok(_log) = Log::plain() else { return ExitCode::FAILURE };
    process::adopt_orphans();
    let ended = ctrlc::set_handler(|| {
        if class::interrupt() {
            return;
        }
        IS_INTERRUPTED.store(true, Ordering::SeqCst);
        process::end_all();
        std::process::exit(INTERRUPTED.into());
    });
    if let Err(error) = ended {
        say(&format!("mjpeg-lab-check: Ctrl-C will not end the graded program: {error}"));
    }
    let done = match &arguments.command {
        Command::Server(server) => run::server(server),
        Command::Class(class) => class::run(class),
        Command::Client(client) => run::client(client),
    };
    // The program may have been seen to end because of Ctrl-C, whose exit code this process has then.
    while IS_INTERRUPTED.load(Ordering::SeqCst) {
        std::thread::park();
    }
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) if error.is::<class::Interrupted>() => {
            say(&format!("mjpeg-lab-check: {error}"));
            ExitCode::from(INTERRUPTED)
        }
        Err(error) => {
            say(&format!("mjpeg-lab-check: {error:#}"));
            ExitCode::from(USAGE)
        }
    }
}
