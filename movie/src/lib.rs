// SPDX-License-Identifier: MIT OR Apache-2.0
//! The program `mjpeg-movie`, which makes, describes, checks and repairs movies, and extracts their frames.
#![forbid(unsafe_code)]

mod check;
mod cli;
mod extract;
mod info;
mod make;
mod output;
mod repair;
mod walk;

use anyhow::Context;
use clap::{CommandFactory, Parser};
use cli::{Arguments, Command};
use mjpeg_program::log::{Log, say};
use std::process::ExitCode;

/// The definition of the command line, of which manual pages and completions are made.
pub fn command_line() -> clap::Command {
    Arguments::command()
}

/// Does what the arguments of the process state. Exits the process if they are wrong, or ask for help.
pub fn run() -> ExitCode {
    let command = Arguments::parse().command;
    // If the system has no thread left for standard error, no error can be printed either.
    let Ok(_log) = Log::plain() else { return ExitCode::FAILURE };
    let done = match command {
        Command::Make(arguments) => make::run(&arguments),
        Command::Info(arguments) => info::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Repair(arguments) => repair::run(&arguments),
        Command::Extract(arguments) => extract::run(&arguments),
    };
    done.unwrap_or_else(|error| {
        say(&format!("mjpeg-movie: {}", with_causes(&error)));
        ExitCode::FAILURE
    })
}

/// The error and its causes, each once: some errors repeat their cause in their own text.
fn with_causes(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.ends_with(&cause) {
            text += ": ";
            text += &cause;
        }
    }
    text
}

/// Prints a line on standard output.
fn print_line(text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    writeln!(std::io::stdout().lock(), "{text}").context("cannot write to standard output")
}

/// A number and its noun, in the plural unless the number is 1.
fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use gstmjpegfile::movie::FrameWriter;
    use std::io;

    /// A writer on a full disk.
    struct Full;

    impl io::Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::other("no space"))
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn each_cause_of_an_error_is_printed_once() {
        let error = FrameWriter::new(Full).write_frame(&[0xff, 0xd8]).unwrap_err();
        let text = with_causes(&anyhow::Error::from(error).context("cannot write x"));
        assert!(text.starts_with("cannot write x: "), "{text}");
        assert_eq!(text.matches("no space").count(), 1, "{text}");
        let error = anyhow::Error::from(io::Error::other("b")).context("a");
        assert_eq!(with_causes(&error), "a: b");
    }

    #[test]
    fn one_is_singular() {
        let texts = [0, 1, 2].map(|count| counted(count, "frame"));
        assert_eq!(texts, ["0 frames", "1 frame", "2 frames"]);
    }
}
