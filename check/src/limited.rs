// SPDX-License-Identifier: MIT OR Apache-2.0
//! Starts a program with limits: this process sets them for itself, and becomes the program. A sandbox runs
//! this program again for it, since limits on the number of processes count in the sandbox only.

use clap::Parser;
use mjpeg_program::log::printable;
use rlimit::Resource;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// The first argument that asks for it.
pub const NAME: &str = "run-limited";

/// What `Arguments::probe` prints.
pub const WORKS: &str = "the sandbox works";

/// The exit code of a program that cannot be started, as of shells.
const CANNOT_START: u8 = 127;

/// The arguments. Users do not write them.
#[derive(Debug, Parser)]
#[command(name = NAME)]
pub struct Arguments {
    /// Become this user and the group of the same number.
    #[arg(long)]
    uid: Option<u32>,
    /// Copy the files of this folder into the current one.
    #[arg(long)]
    copy: Option<PathBuf>,
    /// Seconds that a process may compute.
    #[arg(long)]
    seconds: Option<u64>,
    /// The size of a file that it writes, in bytes.
    #[arg(long)]
    file: Option<u64>,
    /// The memory of a process that it may write, in bytes.
    #[arg(long)]
    memory: Option<u64>,
    /// The number of processes and threads of its user.
    #[arg(long)]
    tasks: Option<u64>,
    /// Start nothing, but report whether the loopback network works.
    #[arg(long)]
    probe: bool,
    /// The program and its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

/// The arguments of this process, if they ask for a program with limits.
pub fn arguments() -> Option<Vec<OsString>> {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    (words.first()? == NAME).then_some(words)
}

/// Sets the limits and becomes the program. Returns only if that fails.
pub fn run(words: Vec<OsString>) -> ExitCode {
    let done = Arguments::try_parse_from(words).map_err(io::Error::other).and_then(|it| start(&it));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let text = printable(&format!("mjpeg-lab-check: {error}\n"));
            let _ = io::stderr().write_all(text.as_bytes());
            ExitCode::from(CANNOT_START)
        }
    }
}

fn start(arguments: &Arguments) -> io::Result<()> {
    if let Some(from) = &arguments.copy {
        copy(from, Path::new("."))?;
    }
    let limits = [
        (Resource::CORE, Some(0)),
        (Resource::CPU, arguments.seconds),
        (Resource::FSIZE, arguments.file),
        (Resource::DATA, arguments.memory),
        (Resource::NPROC, arguments.tasks),
    ];
    for (resource, limit) in limits {
        if let Some(limit) = limit {
            let (_, hard) = resource.get()?;
            let limit = limit.min(hard);
            resource.set(limit, limit)?;
        }
    }
    if arguments.probe && arguments.uid.is_none() {
        return probe();
    }
    let mut words = arguments.words.clone();
    if arguments.probe {
        // Only then: without /proc, as in some containers, this program cannot find itself.
        let own = std::env::current_exe()?.into_os_string();
        words = vec![own, NAME.into(), "--probe".into()];
    }
    let Some((program, rest)) = words.split_first() else {
        return Err(io::Error::other("no program is named"));
    };
    let mut command = Command::new(program);
    command.args(rest);
    if let Some(uid) = arguments.uid {
        // The standard library takes away all other groups.
        command.uid(uid).gid(uid);
    }
    let error = command.exec();
    let program = program.to_string_lossy();
    Err(io::Error::new(error.kind(), format!("cannot start {program}: {error}")))
}

/// Copies the files and folders of a folder, which has no links.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir(&target)?;
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Exchanges bytes over the loopback network.
fn probe() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    client.write_all(WORKS.as_bytes())?;
    drop(client);
    let mut text = String::new();
    listener.accept()?.0.take(WORKS.len() as u64).read_to_string(&mut text)?;
    io::stdout().write_all(text.as_bytes())
}
