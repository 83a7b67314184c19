// SPDX-License-Identifier: MIT OR Apache-2.0
//! `mjpeg-movie`: makes, describes, checks, repairs and takes apart movies.
#![forbid(unsafe_code)]

mod check;
mod cli;
mod extract;
mod info;
mod make;
mod pictures;
mod repair;
mod salvage;
mod walk;

use clap::Parser;
use cli::{Arguments, Command};
use mjpeg_program::log::{Log, say};
use std::process::ExitCode;

fn main() -> ExitCode {
    let command = Arguments::parse().command;
    // Without a thread for standard error there is none for anything else.
    let Ok(_log) = Log::plain() else { return ExitCode::FAILURE };
    let done = match command {
        Command::Make(arguments) => make::run(&arguments),
        Command::Info(arguments) => info::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Repair(arguments) => repair::run(&arguments),
        Command::Extract(arguments) => extract::run(&arguments),
    };
    done.unwrap_or_else(|error| {
        say(&format!("mjpeg-movie: {error:#}"));
        ExitCode::FAILURE
    })
}

/// A line of the program's product.
fn product(text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    Ok(writeln!(std::io::stdout().lock(), "{text}")?)
}
