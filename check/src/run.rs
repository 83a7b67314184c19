// SPDX-License-Identifier: MIT OR Apache-2.0
//! Carries out a command: reads the profile and the movie, starts the program, grades it, writes reports.

use crate::check::Check;
use crate::cli::{Client, Outputs, Server};
use crate::movie::Movie;
use crate::net::ReservedPort;
use crate::output;
use crate::process::{CommandLine, LaunchOptions, Program};
use crate::profile::{self, Profile};
use crate::report::Report;
use crate::server::{Job, LEAST_FRAMES};
use anyhow::{Context, Result, bail};
use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

/// Grades a server. Returns whether every counted check passed.
///
/// # Errors
/// If the usage is wrong: the profile, the movie, the command line, or a file that cannot be written.
pub fn server(arguments: &Server) -> Result<bool> {
    let mut profile = profile::load(&arguments.outputs.profile)?;
    profile.time.total += Duration::from_secs(arguments.start.extra_time.into());
    if arguments.outputs.list_checks {
        print(&list(&crate::server::checks(), &profile))?;
        return Ok(true);
    }
    let movie = Movie::read(arguments.movie.as_deref().unwrap_or(Path::new("")))?;
    if movie.frames.len() < LEAST_FRAMES {
        let (name, frames) = (&movie.name, movie.frames.len());
        bail!("{name} has {frames} frames: the checks need at least {LEAST_FRAMES}");
    }
    let other = arguments.short_movie.as_deref().map(Movie::read).transpose()?;
    let (port, _reserved) = match arguments.port {
        Some(port) => (port, None),
        None => {
            let reserved = ReservedPort::tcp(&arguments.host)
                .with_context(|| format!("cannot find a free port at {}", arguments.host))?;
            (reserved.port, Some(reserved))
        }
    };
    let address = address(&arguments.host, port)?;
    let mut job = Job {
        address,
        movie: &movie,
        other: other.as_ref(),
        profile: &profile,
        thorough: arguments.thorough,
        program: None,
        not_started: None,
    };
    let mut report;
    if let Some(command) = &arguments.run {
        let text = port.to_string();
        let values = [("host", &*arguments.host), ("port", &*text), ("movie", &*movie.name)];
        let line = CommandLine::parse(command, &values).context("--run")?;
        let folder = arguments.dir.as_ref();
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            bail!("--dir: {} is not a folder", folder.display());
        }
        let mut output = None;
        let launch_options = LaunchOptions::default().within(&arguments.start.wrapper);
        match Program::start_in(&line, folder, &launch_options) {
            Ok(program) => {
                let program = RefCell::new(program);
                job.program = Some(&program);
                report = crate::server::grade(&job);
                output = Some(program.into_inner().end());
            }
            Err(error) => {
                let error = anyhow::Error::from(error);
                job.not_started = Some(format!("{error:#}"));
                report = crate::server::grade(&job);
            }
        }
        if let Some(ended) = output.as_ref().and_then(|output| output.ended.as_ref()) {
            report.notes.push(format!("the program ended by itself, with {ended}"));
        }
        report.output = output;
        let has_movie = folder.is_none_or(|folder| folder.join(&movie.name).is_file());
        if !has_movie {
            let name = &movie.name;
            report.notes.push(format!("the folder of the program has no file {name}"));
        }
    } else {
        report = crate::server::grade(&job);
    }
    write(&report, &arguments.outputs)?;
    Ok(report.has_passed())
}

/// Grades a client. Returns whether every counted check passed.
///
/// # Errors
/// If the usage is wrong, or this machine lacks what it takes.
pub fn client(arguments: &Client) -> Result<bool> {
    let mut profile = profile::load(&arguments.outputs.profile)?;
    profile.client.total += Duration::from_secs(arguments.start.extra_time.into());
    if arguments.outputs.list_checks {
        print(&list(&crate::client::checks(), &profile))?;
        return Ok(true);
    }
    let command = arguments.run.clone().unwrap_or_default();
    let names = ["host", "port", "rtp_port", "movie"].map(|name| (name, "0"));
    CommandLine::parse(&command, &names).context("--run")?;
    let folder = arguments.dir.as_ref();
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        bail!("--dir: {} is not a folder", folder.display());
    }
    let job = crate::client::Job {
        command,
        folder,
        movie: arguments.movie.clone(),
        profile: &profile,
        press: arguments.press.map(|how| how.unwrap_or(profile.client.press)),
        wrapper: &arguments.start.wrapper,
        stand_in_folder: arguments.stand_in_folder.as_deref(),
    };
    let report = crate::client::grade(&job)?;
    write(&report, &arguments.outputs)?;
    Ok(report.has_passed())
}

fn address(host: &str, port: u16) -> Result<SocketAddr> {
    let unknown = || format!("--host: no address of {host}");
    let mut addresses = (host, port).to_socket_addrs().with_context(unknown)?;
    addresses.next().with_context(unknown)
}

/// The checks of a profile, with their points.
fn list<E>(checks: &[Check<E>], profile: &Profile) -> String {
    let mut out = format!("{}: {}\n\n", profile.name, profile.title);
    let mut total = 0;
    for check in checks.iter().filter(|check| (check.applies)(profile)) {
        let points = profile.points.get(check.id).copied().unwrap_or(0);
        total += points;
        // Writing to a String does not fail.
        let _ = writeln!(out, "{points:>5}  {:20}  {}", check.id, check.title);
        let _ = writeln!(out, "{:29}{}", "", check.basis);
    }
    let _ = writeln!(out, "\n{total:>5}  points");
    out
}

/// Writes the report to standard output, and to the files that were named.
fn write(report: &Report, outputs: &Outputs) -> Result<()> {
    let files = [
        (&outputs.junit, output::junit as fn(&Report) -> String),
        (&outputs.gradescope, output::gradescope),
        (&outputs.prairielearn, output::prairielearn),
        (&outputs.html, output::html),
    ];
    for (path, text) in files {
        let Some(path) = path else { continue };
        let context = || format!("cannot write {}", path.display());
        std::fs::write(path, text(report)).with_context(context)?;
    }
    if outputs.json {
        return print(&output::json(report));
    }
    let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let style = if colours { output::Style::Colours } else { output::Style::Plain };
    print(&output::table(report, style))
}

fn print(text: &str) -> Result<()> {
    std::io::stdout().lock().write_all(text.as_bytes()).context("cannot write to standard output")
}
