// SPDX-License-Identifier: MIT OR Apache-2.0
//! Grades a server.
//!
//! - `exchange.rs`: a client that speaks with the server and records it.
//! - `scenarios/`: what the client does, one exchange after another.
//! - `evidence.rs`: the evidence from the exchanges.
//! - `stream.rs`: the frames in the recorded packets.
//! - `checks/`: the checks, which evaluate the evidence.

mod checks;
mod evidence;
mod exchange;
mod scenarios;
mod stream;

pub use checks::checks;
pub use evidence::{
    DisconnectExchange, EndExchange, ExtensionExchange, MissingMovie, PlayExchange, ServerEvidence,
    StateExchange, TwoClients,
};
pub use exchange::{NoReply, ReceivedReply, RequestOutcome};
pub use stream::{Stream, StreamFrame};

use crate::clock::{Clock, Deadline, ExtraTime, StallMeter};
use crate::movie::Movie;
use crate::process::Program;
use crate::profile::Profile;
use crate::report::Report;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::Duration;

/// The fewest frames of a movie by which a server can be graded.
pub const LEAST_FRAMES: usize = 40;

/// The longest movie that is played to its end without `--thorough`, in frame periods.
pub const SHORT_MOVIE: usize = 60;

/// A server that is to be graded.
pub struct Job<'a> {
    /// Its address.
    pub address: SocketAddr,
    /// The movie that it sends.
    pub movie: &'a Movie,
    /// Another movie that it has: for SWITCH, and short, so that its end comes soon.
    pub other: Option<&'a Movie>,
    /// What the course asks for.
    pub profile: &'a Profile,
    /// Whether the whole movie is played.
    pub thorough: bool,
    /// The program, if we have started it.
    pub program: Option<&'a RefCell<Program>>,
    /// Why the program could not be started.
    pub not_started: Option<String>,
}

impl Job<'_> {
    /// The movie whose end is checked; `None` if all are too long.
    fn movie_to_end(&self) -> Option<&Movie> {
        let short = |movie: &&Movie| movie.frames.len() <= SHORT_MOVIE;
        let any = if self.thorough { Some(self.movie) } else { None };
        self.other.filter(short).or(Some(self.movie).filter(short)).or(any)
    }

    /// The time for the whole run.
    fn total(&self) -> Duration {
        let frames = self.movie_to_end().map_or(0, |movie| movie.frames.len());
        let frames = u32::try_from(frames).unwrap_or(u32::MAX);
        // A server may be slower than it should.
        let to_end = self.profile.lab.period().saturating_mul(frames).saturating_mul(3) / 2;
        let start = if self.program.is_some() { self.profile.time.start } else { Duration::ZERO };
        self.profile.time.total + start + if self.thorough { to_end } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests;

/// Grades a server.
pub fn grade(job: &Job) -> Report {
    let clock = Clock::start();
    let context = exchange::Context {
        job,
        clock,
        end: Deadline::after(job.total()),
        busy: std::cell::Cell::default(),
        extra: ExtraTime::default(),
        stalls: StallMeter::start(),
        misnumbers: std::cell::Cell::new(false),
    };
    let evidence = scenarios::run(&context);
    let mut report = Report {
        subject: format!("server {}", job.address),
        movie: format!("{} ({} frames)", job.movie.name, job.movie.frames.len()),
        profile: job.profile.name.clone(),
        ..Report::default()
    };
    report.evaluate(&checks(), &evidence, job.profile);
    report.notes.clone_from(&evidence.notes);
    report.recordings = evidence.recordings;
    report.took = clock.now();
    report
}
