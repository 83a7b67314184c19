// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line.

use crate::profile::Press;
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  mjpeg-lab-check server --port 8554 --movie movie.Mjpeg
  mjpeg-lab-check server --run \"python3 Server.py {port}\" --dir submission/ --movie movie.Mjpeg
  mjpeg-lab-check server --run \"java Server {port}\" --dir sub/ --movie movie.Mjpeg --profile java --html report.html
  mjpeg-lab-check client --run \"python3 ClientLauncher.py {host} {port} {rtp_port} {movie}\" --dir submission/ --press
  mjpeg-lab-check client --run \"java Client {host} {port} {movie}\" --dir sub/ --profile java --press=window
  mjpeg-lab-check server --list-checks --profile my-course.toml
  mjpeg-lab-check class submissions/ --movie movie.Mjpeg --jobs 4 --out results/
  mjpeg-lab-check class submissions/ --grade both --movie movie.Mjpeg --short-movie short.Mjpeg --jobs 4
  mjpeg-lab-check class submissions/ --grade client --run-client \"python3 Main.py {host} {port} {rtp_port} {movie}\"

Exit codes: 0 every counted check passed; 1 one did not, or the program did not start; 2 wrong usage";

/// Grades programs of the networking course's lab: what was expected, what actual, the bytes that prove it,
/// and the likely cause.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
pub struct Arguments {
    /// What is graded.
    #[command(subcommand)]
    pub command: Command,
}

/// What is graded.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Grade a server
    Server(Server),
    /// Grade the servers, the clients or both of a class
    Class(Class),
    /// Grade a client
    Client(Client),
}

/// Grade a server: one that runs, or a program that is started and ended
#[derive(Debug, Args)]
pub struct Server {
    /// Host of the server
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1")]
    pub host: String,

    /// TCP port of the server. With --run, a free one is chosen unless this is stated
    #[arg(long, value_name = "PORT", required_unless_present_any = ["run", "list_checks"], value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,

    /// The movie that the server has. Its file name is the one in requests
    #[arg(long, value_name = "FILE", required_unless_present = "list_checks")]
    pub movie: Option<PathBuf>,

    /// Another movie that the server has: of at most 60 frames, so that its end comes soon. SWITCH asks
    /// for it too
    #[arg(long, value_name = "FILE")]
    pub short_movie: Option<PathBuf>,

    /// Start this program, and end it with all that it has started. {host}, {port} and {movie} are
    /// replaced. No shell is used
    #[arg(long, value_name = "COMMAND")]
    pub run: Option<String>,

    /// The folder in which the program is started
    #[arg(long, value_name = "FOLDER", requires = "run")]
    pub dir: Option<PathBuf>,

    /// Play the whole movie to its end; otherwise only one of at most 60 frames
    #[arg(long)]
    pub thorough: bool,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub start: Start,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub outputs: Outputs,
}

/// Grade a client: start it, play the server, press its buttons or say which one to press
#[derive(Debug, Args)]
pub struct Client {
    /// Start this program, and end it with all that it has started. {host}, {port}, {rtp_port} and {movie}
    /// are replaced. No shell is used
    #[arg(long, value_name = "COMMAND", required_unless_present = "list_checks")]
    pub run: Option<String>,

    /// The folder in which the program is started
    #[arg(long, value_name = "FOLDER")]
    pub dir: Option<PathBuf>,

    /// The movie's name in requests. The movie itself is made by the check
    #[arg(long, value_name = "NAME", default_value = "movie.Mjpeg")]
    pub movie: String,

    /// Press the buttons too, in the profile's way unless this says how. Without it, the check says which
    /// button to press
    #[arg(long, value_name = "HOW", num_args = 0..=1, require_equals = true, value_enum)]
    pub press: Option<Option<Press>>,

    /// Put the stand-in for tkinter into this empty folder, which the sandbox shows to the program
    #[arg(long, value_name = "FOLDER")]
    pub stand_in_folder: Option<PathBuf>,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub start: Start,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub outputs: Outputs,
}

/// How the program is started, and for how long.
#[derive(Debug, Args)]
pub struct Start {
    /// A word of a command that starts the program, such as a sandbox; once for each word
    #[arg(long, value_name = "WORD", requires = "run", allow_hyphen_values = true)]
    pub wrapper: Vec<OsString>,

    /// Seconds by which the run may take longer than the profile says
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub extra_time: u32,
}

/// What a run uses and writes.
#[derive(Debug, Args)]
pub struct Outputs {
    /// What the course asks for: textbook, seed, java, hd, or the path of a file in TOML
    #[arg(long, value_name = "PROFILE", default_value = "textbook")]
    pub profile: String,

    /// List the checks of the profile with their points, and check the profile; grade nothing
    #[arg(long)]
    pub list_checks: bool,

    /// Print one JSON object in place of the table
    #[arg(long)]
    pub json: bool,

    /// Write a report in JUnit's XML
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,

    /// Write a report for Gradescope (/autograder/results/results.json)
    #[arg(long, value_name = "FILE")]
    pub gradescope: Option<PathBuf>,

    /// Write a report for PrairieLearn (/grade/results/results.json)
    #[arg(long, value_name = "FILE")]
    pub prairielearn: Option<PathBuf>,

    /// Write a report as an HTML page, with the exchange and the packets
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// Grade the servers, the clients or both of a class: a folder that has a folder or zip file for each
/// submission
#[derive(Debug, Args)]
pub struct Class {
    /// The folder of the submissions
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,

    /// What is graded of each submission. The points of both are added
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = Grade::Server)]
    pub grade: Grade,

    /// The movie, which is put into each copy of a submission. With --grade client it is not read: its file
    /// name is the one in requests, movie.Mjpeg unless stated
    #[arg(long, value_name = "FILE")]
    pub movie: Option<PathBuf>,

    /// Another movie, of at most 60 frames, so that its end comes soon
    #[arg(long, value_name = "FILE")]
    pub short_movie: Option<PathBuf>,

    /// What the course asks for: textbook, seed, java, hd, or the path of a file in TOML
    #[arg(long, value_name = "PROFILE", default_value = "textbook")]
    pub profile: String,

    /// Start each server so. {host}, {port} and {movie} are replaced. No shell is used [default: python3
    /// Server.py {port}]
    #[arg(long, value_name = "COMMAND")]
    pub run: Option<String>,

    /// Start each client so. {host}, {port}, {rtp_port} and {movie} are replaced. No shell is used [default:
    /// python3 ClientLauncher.py {host} {port} {rtp_port} {movie}]
    #[arg(long, value_name = "COMMAND")]
    pub run_client: Option<String>,

    /// Grade so many submissions at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub jobs: u16,

    /// Write the reports and the summary into this folder
    #[arg(long, value_name = "FOLDER", default_value = "lab-check-results")]
    pub out: PathBuf,

    /// Go on: keep the verdicts that --out has of the same submissions, profile and movies
    #[arg(long)]
    pub resume: bool,

    /// Play the whole movie to its end; otherwise only one of at most 60 frames
    #[arg(long)]
    pub thorough: bool,

    /// What separates the programs from the machine: bubblewrap where it works and limits otherwise, or
    /// always one of them
    #[arg(long, value_name = "KIND", value_enum, default_value_t = SandboxChoice::Auto)]
    pub sandbox: SandboxChoice,

    /// Let the programs read this folder too, such as that of a Java in a home folder; may be repeated
    #[arg(long, value_name = "FOLDER")]
    pub readable: Vec<PathBuf>,
}

/// What is graded of each submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Grade {
    /// Its server.
    Server,
    /// Its client: its buttons are pressed by the stand-in for tkinter.
    Client,
    /// Its server and its client.
    Both,
}

impl Grade {
    /// The programs that are graded, in their order.
    pub fn roles(self) -> &'static [Role] {
        match self {
            Self::Server => &[Role::Server],
            Self::Client => &[Role::Client],
            Self::Both => &[Role::Server, Role::Client],
        }
    }
}

/// Which program of a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The server.
    Server,
    /// The client.
    Client,
}

impl Role {
    /// Its name, which is also that of the command that grades it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }
}

/// What separates graded programs from the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SandboxChoice {
    /// Bubblewrap where it works, limits otherwise.
    Auto,
    /// Bubblewrap, or an error.
    Bubblewrap,
    /// A process group with limits.
    Limits,
}
