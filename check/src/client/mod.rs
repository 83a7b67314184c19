// SPDX-License-Identifier: MIT OR Apache-2.0
//! Grades a client of the lab: plays the server, presses the client's buttons, and looks at what it shows.
//!
//! - `scenarios/` carries out runs of the client, each by a `session`, which has a `peer` (the control
//!   connection), a `sender` (RTP) and a `driver` (the buttons).
//! - `checks/` evaluates what was recorded.

mod checks;
pub mod driver;
pub mod evidence;
mod film;
mod peer;
pub mod picture;
pub mod requests;
mod scenarios;
pub mod sender;
mod session;
mod sockets;

pub use checks::checks;
pub use evidence::ClientEvidence;

use crate::clock::{Clock, Deadline, ExtraTime, StallMeter};
use crate::profile::{Press, Profile};
use crate::report::Report;
use anyhow::{Context as _, Result};
use driver::Drivers;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// A client that is to be graded.
pub struct Job<'a> {
    /// The command line, with names in braces.
    pub command: String,
    /// The folder in which it is started.
    pub folder: Option<&'a PathBuf>,
    /// The name of the movie in requests.
    pub movie: String,
    /// What the course asks for.
    pub profile: &'a Profile,
    /// What presses the buttons; `None` is a person.
    pub press: Option<Press>,
    /// The words of a program that starts it, such as a sandbox.
    pub wrapper: &'a [OsString],
    /// An empty folder for the stand-in for tkinter that the sandbox shows to the program; otherwise a
    /// temporary one.
    pub stand_in_folder: Option<&'a Path>,
}

#[cfg(test)]
mod tests;

/// Grades a client.
///
/// # Errors
/// If this machine lacks what it takes, such as Xvfb.
pub fn grade(job: &Job) -> Result<Report> {
    let clock = Clock::start();
    let movie = film::make(&job.movie).context("cannot make the movie")?;
    let drivers = Drivers::new(job.press, job.stand_in_folder)?;
    // A person needs more time.
    let time = match job.press {
        Some(_) => job.profile.client.total,
        None => job.profile.client.total + job.profile.client.hand * 60,
    };
    let context = session::Context {
        job,
        drivers: &drivers,
        movie: &movie,
        clock,
        total: time,
        end: Deadline::after(time),
        growth: std::cell::Cell::default(),
        extra: ExtraTime::default(),
        stalls: StallMeter::start(),
        runs: std::cell::Cell::default(),
        output: std::cell::RefCell::default(),
        notes: std::cell::RefCell::default(),
    };
    let evidence = scenarios::run(&context);
    let mut report = Report {
        subject: format!("client {}", job.command),
        movie: format!("{}, {}", job.movie, drivers.describe()),
        profile: job.profile.name.clone(),
        ..Report::default()
    };
    report.evaluate(&checks(), &evidence, job.profile);
    report.notes.clone_from(&evidence.notes);
    report.output = context.output.take();
    report.recordings = evidence.recordings;
    report.took = clock.now();
    Ok(report)
}
