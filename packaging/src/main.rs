// SPDX-License-Identifier: MIT OR Apache-2.0
//! `mjpeg-rtsp-packaging`: writes the files of the package that are made from the programs and their
//! sources: manual pages, completions for shells, the configuration, the licences of the crates.
#![forbid(unsafe_code)]
#![allow(clippy::print_stderr, reason = "the program has no other output")]

mod configuration;
mod licenses;
mod manual;

use anyhow::{Context, Result};
use clap::{CommandFactory, Parser};
use clap_complete::Shell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Write the files of the package that are made from the programs and their sources
#[derive(Debug, Parser)]
struct Arguments {
    /// The folder to write to; files that are there are replaced
    folder: PathBuf,
}

fn main() -> ExitCode {
    match write_all(&Arguments::parse().folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mjpeg-rtsp-packaging: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The command lines of the programs that the package has.
fn programs() -> [clap::Command; 4] {
    [
        mjpeg_rtsp_server::cli::Arguments::command(),
        mjpeg_rtsp_client::cli::Arguments::command(),
        mjpeg_movie::command_line(),
        mjpeg_lab_check::cli::Arguments::command(),
    ]
}

fn write_all(folder: &Path) -> Result<()> {
    for program in programs() {
        for (name, page) in manual::pages(program.clone())? {
            write(&folder.join("man").join(name), &page)?;
        }
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let file = completion_file(shell, program.get_name());
            write(&folder.join(file), completion(shell, &program)?.as_bytes())?;
        }
    }
    write(&folder.join("server.toml"), configuration::text().as_bytes())?;
    write(&folder.join("licenses-of-crates"), licenses::text()?.as_bytes())
}

/// The name of a file of completions, which each shell prescribes.
fn completion_file(shell: Shell, program: &str) -> String {
    match shell {
        Shell::Zsh => format!("{shell}/_{program}"),
        Shell::Fish => format!("{shell}/{program}.fish"),
        _ => format!("{shell}/{program}"),
    }
}

fn completion(shell: Shell, program: &clap::Command) -> Result<String> {
    let (mut command, name) = (program.clone(), program.get_name());
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    let script = String::from_utf8(script).context("a completion is not UTF-8")?;
    // clap_complete 4.6.11 writes the name of a program with a hyphen in two ways, so that bash offers
    // nothing after a subcommand.
    let [wrong, right] =
        ["__subcmd__", "__"].map(|hyphen| name.replace('-', hyphen) + "__subcmd__");
    Ok(if shell == Shell::Bash { script.replace(&wrong, &right) } else { script })
}

/// Writes a file, and makes its folder.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let context = || format!("cannot write {}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(context)?;
    }
    std::fs::write(path, bytes).with_context(context)
}
