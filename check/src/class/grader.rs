// SPDX-License-Identifier: MIT OR Apache-2.0
//! A grader: a child process that grades one program of a submission.

use super::jobs::{Copy, Plan};
use super::sandbox::Sandboxed;
use super::watch::Watch;
use crate::cli::Role;
use crate::clock::{MAX_EXTRA, MAX_TOTAL_GROWTH};
use anyhow::{Context as _, Result};
use mjpeg_program::log::printable;
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The longest report of a grader in bytes.
const MAX_REPORT: u64 = 64 * 1024 * 1024;

/// The longest text of a grader's errors in bytes.
const MAX_ERRORS: u64 = 64 * 1024;

/// The seconds that a run may take besides the profile's limit. A slow program needs nearly all of that, and
/// on a busy machine it would not get to the end.
const EXTRA: u32 = 20;

/// The time that a grader may take besides the limit of its run: to start, to end the program, and to
/// write.
const MARGIN: Duration = Duration::from_mins(1);

/// How long a grader may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(8);

/// Time between two checks of a grader.
const POLL: Duration = Duration::from_millis(20);

/// A grader that is to be started.
#[derive(Clone, Copy)]
pub struct Grader<'a> {
    /// What all graders share.
    pub plan: &'a Plan<'a>,
    /// What it grades.
    pub role: Role,
    /// The command that starts the program.
    pub command: &'a str,
    /// The copy of the submission.
    pub copy: &'a Copy,
    /// The number of its job, from 0.
    pub job: u16,
    /// What watches the program.
    pub watch: &'a Watch,
}

/// Outcome of a grader.
pub struct Done {
    /// How it ended.
    pub ended: Ended,
    /// The page of its report, if it has written one.
    pub page: Option<String>,
    /// A note on the program.
    pub notes: Vec<String>,
}

/// How a grader ended.
pub enum Ended {
    /// By itself, with this exit code, if any, what it printed, and its errors.
    Exit(Option<i32>, Vec<u8>, String),
    /// The run was stopped.
    Stopped,
    /// It took too long.
    Late(Duration),
}

impl Grader<'_> {
    /// Starts the grader and waits for its end.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn run(&self) -> Result<Done> {
        let output = tempfile::Builder::new().prefix("page-").tempdir_in(self.plan.temporary)?;
        let page = output.path().join("report.html");
        let stand_in = (self.role == Role::Client).then(|| self.stand_in_folder()).transpose()?;
        let words = self.words(&page, stand_in.as_ref().map(TempDir::path))?;
        let (program, rest) = words.split_first().context("no grader")?;
        let mut command = Command::new(program);
        command.args(rest).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // The terminal's Ctrl-C is for us.
        command.process_group(0);
        let mut child = command.spawn()?;
        self.watch.add(child.id(), self.plan.sandbox.kind, &self.copy.folder);
        let ended = self.wait(&mut child);
        let notes = self.watch.end(child.id());
        // It has been killed, or has ended.
        let _ = child.kill();
        let _ = child.wait();
        Ok(Done { ended: ended?, page: fs::read_to_string(page).ok(), notes })
    }

    /// A folder for the stand-in for tkinter, which the program may read as another user.
    fn stand_in_folder(&self) -> Result<TempDir> {
        let folder =
            tempfile::Builder::new().prefix("stand-in-").tempdir_in(self.plan.temporary)?;
        fs::set_permissions(folder.path(), Permissions::from_mode(0o711))?;
        Ok(folder)
    }

    /// The grader's command.
    fn words(&self, page: &Path, stand_in: Option<&Path>) -> Result<Vec<OsString>> {
        let (plan, copy) = (self.plan, self.copy);
        let mut words = plan.sandbox.grader();
        words.push(std::env::current_exe()?.into());
        words.extend([self.role.name(), "--json", "--run", self.command].map(OsString::from));
        words.extend(["--profile".into(), OsString::from(&plan.arguments.profile)]);
        match stand_in {
            Some(folder) => {
                words.extend([
                    "--press=stand-in".into(),
                    "--stand-in-folder".into(),
                    folder.into(),
                ]);
                words.extend(["--movie".into(), OsString::from(&plan.movie)]);
            }
            None => {
                let files = ["--movie", "--short-movie"].into_iter().zip(&plan.movie_files);
                for (option, path) in files {
                    words.extend([option.into(), path.into()]);
                }
                words.extend(plan.arguments.thorough.then(|| "--thorough".into()));
            }
        }
        words.extend(["--dir".into(), OsString::from(&copy.folder)]);
        words.extend(["--html".into(), page.into()]);
        words.push(format!("--extra-time={EXTRA}").into());
        let program =
            Sandboxed { job: self.job, copy: &copy.folder, bytes: copy.bytes, shown: stand_in };
        for word in plan.sandbox.wrapper(&program) {
            let mut option = OsString::from("--wrapper=");
            option.push(word);
            words.push(option);
        }
        Ok(words)
    }

    /// The longest time that the grader may take.
    fn limit(&self) -> Duration {
        let plan = self.plan;
        let run = match self.role {
            Role::Client => plan.profile.client.total,
            Role::Server => {
                let frames = plan.movies.iter().map(|movie| movie.frames.len()).max().unwrap_or(0);
                let movie =
                    plan.profile.lab.period() * u32::try_from(frames).unwrap_or(u32::MAX) * 2;
                let whole = if plan.arguments.thorough { movie } else { Duration::ZERO };
                plan.profile.time.total + whole
            }
        };
        run + MAX_TOTAL_GROWTH + MAX_EXTRA + Duration::from_secs(EXTRA.into()) + MARGIN
    }

    /// Reads what a grader prints until it ends.
    fn wait(&self, child: &mut Child) -> io::Result<Ended> {
        let read = |pipe: Option<Box<dyn Read + Send>>, limit: u64| {
            let read = move || {
                let mut bytes = Vec::new();
                if let Some(pipe) = pipe {
                    // What was read before an error is kept.
                    let _ = pipe.take(limit).read_to_end(&mut bytes);
                }
                bytes
            };
            std::thread::Builder::new().name("grader-output".to_owned()).spawn(read)
        };
        let report = read(child.stdout.take().map(|it| Box::new(it) as _), MAX_REPORT)?;
        let errors = read(child.stderr.take().map(|it| Box::new(it) as _), MAX_ERRORS)?;
        let limit = self.limit();
        let started = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if self.plan.stop.load(Ordering::SeqCst) {
                end_group(child);
                return Ok(Ended::Stopped);
            }
            if started.elapsed() > limit {
                end_group(child);
                return Ok(Ended::Late(limit));
            }
            std::thread::sleep(POLL);
        };
        let text = |bytes: Vec<u8>| printable(String::from_utf8_lossy(&bytes).trim());
        let report = report.join().unwrap_or_default();
        let errors = text(errors.join().unwrap_or_default());
        Ok(Ended::Exit(status.code(), report, errors))
    }
}

/// Asks a grader to end with its program, and waits for it.
fn end_group(child: &mut Child) {
    use nix::sys::signal::{Signal, killpg};
    let group = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
    // An error means that it is gone.
    let _ = killpg(group, Signal::SIGTERM);
    let end = Instant::now() + GRACE;
    while matches!(child.try_wait(), Ok(None)) && Instant::now() < end {
        std::thread::sleep(POLL);
    }
}
