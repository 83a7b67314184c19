// SPDX-License-Identifier: MIT OR Apache-2.0
//! Grades the servers and the clients of a class.
//!
//! - `submissions.rs`, `archive.rs`: finds and copies submissions.
//! - `sandbox.rs`: what separates the programs from the machine, each other and their verdicts.
//! - `jobs.rs`: the submissions, some at once; `grader.rs`: a grader for each program.
//! - `watch.rs`: what the programs take of the machine.
//! - `missing.rs`: the file that the command names is not in the submission.
//! - `verdict.rs`: the verdict of a submission, which a resumed run keeps.
//! - `groups.rs`, `summary.rs`: the summary; `progress.rs`: how far the run is.

mod archive;
mod grader;
mod groups;
mod jobs;
mod missing;
mod progress;
mod sandbox;
mod submissions;
mod summary;
mod verdict;
mod watch;

use crate::cli::{Class, Role};
use crate::movie::Movie;
use crate::process::CommandLine;
use crate::profile::{self, Press, Profile};
use crate::server::LEAST_FRAMES;
use anyhow::{Context, Result, bail};
use jobs::Plan;
use mjpeg_program::log::{printable, say};
use progress::Progress;
use sandbox::{Kind, Sandbox};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use verdict::Verdict;

/// The commands that start a server and a client, unless others are stated.
const SERVER: &str = "python3 Server.py {port}";
const CLIENT: &str = "python3 ClientLauncher.py {host} {port} {rtp_port} {movie}";

/// Whether a class is being graded.
static RUNS: AtomicBool = AtomicBool::new(false);

/// Whether to stop.
static STOP: AtomicBool = AtomicBool::new(false);

/// The run was stopped by Ctrl-C; what was done is kept.
#[derive(Debug, thiserror::Error)]
#[error("stopped after {done} of {all} submissions: --resume goes on")]
pub struct Interrupted {
    /// Submissions with a verdict.
    done: usize,
    /// All submissions.
    all: usize,
}

/// Asks a class that is being graded to stop. Returns whether there is one that was not asked before.
pub fn interrupt() -> bool {
    RUNS.load(Ordering::SeqCst) && !STOP.swap(true, Ordering::SeqCst)
}

/// Grades a class. Returns whether every submission passed.
///
/// # Errors
/// If the usage is wrong, a file cannot be written, or the run was stopped ([`Interrupted`]).
pub fn run(arguments: &Class) -> Result<bool> {
    let profile = profile::load(&arguments.profile)?;
    let commands = commands(arguments, &profile)?;
    let (movies, movie_files) = movies(arguments)?;
    let movie = arguments.movie.as_deref().and_then(Path::file_name);
    let movie = movie.map_or("movie.Mjpeg".into(), |name| name.to_string_lossy().into_owned());
    let shown = arguments.folder.display();
    let (submissions, others) =
        submissions::find(&arguments.folder).with_context(|| format!("cannot read {shown}"))?;
    if submissions.is_empty() {
        bail!("{shown} has no folder and no zip file");
    }
    prepare(&arguments.out, arguments.resume)?;
    let temporary = tempfile::Builder::new()
        .prefix("mjpeg-lab-check-")
        .tempdir()
        .context("a temporary folder")?;
    let (sandbox, reason) =
        Sandbox::choose(arguments.sandbox, &arguments.readable, temporary.path())?;
    let mut notes = Vec::new();
    if !others.is_empty() {
        let names = printable(&others.join(", "));
        notes.push(format!("left out, as neither a folder nor a zip file: {names}"));
    }
    let jobs = if sandbox.kind == Kind::Limits { 1 } else { arguments.jobs };
    notes.extend(limits_note(sandbox.kind, reason.as_deref(), arguments.jobs));
    for note in &notes {
        say(&format!("mjpeg-lab-check: {note}"));
    }
    let mut hasher = Sha256::new();
    hasher.update(format!("{profile:?}\n{commands:?}\n{movie}\n{:?}\n", sandbox.kind));
    hasher.update(format!("{}\n{:?}\n", arguments.thorough, arguments.readable));
    hasher.update(env!("CARGO_PKG_VERSION"));
    for movie in &movies {
        hasher.update(format!("\n{}\n", movie.name));
        movie.frames.iter().for_each(|frame| hasher.update(frame));
    }
    let plan = Plan {
        arguments,
        profile: &profile,
        commands: &commands,
        movie,
        movies,
        movie_files,
        sandbox: &sandbox,
        temporary: temporary.path(),
        jobs: jobs.min(u16::try_from(submissions.len()).unwrap_or(u16::MAX)),
        hash: hasher.finalize().into(),
        stop: &STOP,
    };
    RUNS.store(true, Ordering::SeqCst);
    let watch = watch::Watch::start().context("no thread is left")?;
    let progress = Progress::new(submissions.len());
    let verdicts = jobs::grade_all(&plan, &submissions, &watch, &progress);
    progress.finish();
    let verdicts: Vec<Verdict> = verdicts.into_iter().flatten().collect();
    let heading = summary::Heading {
        folder: printable(&shown.to_string()),
        profile: format!("{}: {}", profile.name, profile.title),
        submissions: submissions.len(),
        roles: arguments.grade.roles(),
        notes: &notes,
    };
    finish(&arguments.out, &verdicts, &heading)
}

/// The commands of the programs that are graded.
///
/// # Errors
/// If options do not fit what is graded, or a command is wrong.
fn commands(arguments: &Class, profile: &Profile) -> Result<Vec<(Role, String)>> {
    let roles = arguments.grade.roles();
    let (server, client) = (roles.contains(&Role::Server), roles.contains(&Role::Client));
    let unused = [
        ("--run", !server && arguments.run.is_some(), "servers"),
        ("--short-movie", !server && arguments.short_movie.is_some(), "servers"),
        ("--thorough", !server && arguments.thorough, "servers"),
        ("--run-client", !client && arguments.run_client.is_some(), "clients"),
    ];
    if let Some((option, _, whose)) = unused.iter().find(|(_, is_unused, _)| *is_unused) {
        bail!("{option} is for {whose}, and --grade asks for none");
    }
    if server && arguments.movie.is_none() {
        bail!("--movie is missing: servers are graded with a movie");
    }
    if client && profile.client.press != Press::StandIn {
        bail!(
            "the profile {} does not press the buttons of clients by the stand-in for tkinter, and class \
             does nothing else: set press = \"stand-in\" in [client], or grade clients one by one",
            profile.name
        );
    }
    let names = ["host", "port", "rtp_port", "movie"];
    let all = [
        (Role::Server, "--run", &arguments.run, SERVER, &["host", "port", "movie"][..]),
        (Role::Client, "--run-client", &arguments.run_client, CLIENT, &names[..]),
    ];
    let mut commands = Vec::new();
    for (role, option, stated, default, names) in all {
        if roles.contains(&role) {
            let command = stated.clone().unwrap_or(default.to_owned());
            let values: Vec<(&str, &str)> = names.iter().map(|name| (*name, "0")).collect();
            CommandLine::parse(&command, &values).context(option)?;
            commands.push((role, command));
        }
    }
    Ok(commands)
}

/// The movies of servers, and their files.
fn movies(arguments: &Class) -> Result<(Vec<Movie>, Vec<PathBuf>)> {
    let (mut movies, mut files) = (Vec::new(), Vec::new());
    if !arguments.grade.roles().contains(&Role::Server) {
        return Ok((movies, files));
    }
    let paths = [arguments.movie.as_ref(), arguments.short_movie.as_ref()];
    for path in paths.into_iter().flatten() {
        movies.push(Movie::read(path)?);
        files.push(path.canonicalize().with_context(|| path.display().to_string())?);
    }
    if let Some(movie) = movies.first().filter(|movie| movie.frames.len() < LEAST_FRAMES) {
        let (name, frames) = (&movie.name, movie.frames.len());
        bail!("{name} has {frames} frames: the checks need at least {LEAST_FRAMES}");
    }
    if movies.windows(2).any(|pair| matches!(pair, [a, b] if a.name == b.name)) {
        bail!("--movie and --short-movie have the same file name");
    }
    Ok((movies, files))
}

/// Why there are only limits, and what that means.
fn limits_note(kind: Kind, reason: Option<&str>, jobs: u16) -> Option<String> {
    if kind == Kind::Bubblewrap {
        return None;
    }
    let why = reason.map_or("as asked for".to_owned(), |reason| {
        format!("bubblewrap does not work here ({reason})")
    });
    let one = if jobs > 1 { ", one after another, since they share the network" } else { "" };
    let user = if rustix::process::geteuid().is_root() { "another user" } else { "you" };
    Some(format!(
        "no sandbox, {why}: programs run as {user}, in process groups with limits{one}. They can read and \
         write files of this machine, and use its network"
    ))
}

/// Makes the folder of results. An earlier run's is only taken to go on.
fn prepare(out: &Path, resume: bool) -> Result<()> {
    let shown = out.display();
    std::fs::create_dir_all(out).with_context(|| format!("cannot make {shown}"))?;
    let mut entries = out.read_dir().with_context(|| format!("cannot read {shown}"))?;
    if !resume && entries.next().is_some() {
        bail!("{shown} is not empty: --resume goes on with it, or name another folder by --out");
    }
    Ok(())
}

/// Writes the summary. Returns whether every submission passed.
fn finish(out: &Path, verdicts: &[Verdict], heading: &summary::Heading) -> Result<bool> {
    let files: [(&str, String); 2] = [
        (summary::CSV, summary::csv(verdicts, heading)),
        (summary::PAGE, summary::page(verdicts, heading)),
    ];
    for (name, text) in files {
        let path: PathBuf = out.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let (done, all) = (verdicts.len(), heading.submissions);
    let passed = verdicts.iter().filter(|verdict| verdict.has_passed()).count();
    let text = format!(
        "{passed} of {all} submissions passed every check; {} has the summary\n",
        out.join(summary::PAGE).display()
    );
    std::io::stdout()
        .lock()
        .write_all(printable(&text).as_bytes())
        .context("cannot write to standard output")?;
    if done < all {
        return Err(Interrupted { done, all }.into());
    }
    Ok(passed == all)
}
