// SPDX-License-Identifier: MIT OR Apache-2.0
//! Grades the submissions, some at once. Each has a grader of its own, a child process, so that what ends
//! one ends no other.

use super::progress::Progress;
use super::sandbox::Sandbox;
use super::submissions::{Submission, hex};
use super::verdict::{REPORT, Verdict, of_report};
use super::watch::Watch;
use crate::cli::Class;
use crate::movie::Movie;
use crate::profile::Profile;
use mjpeg_program::log::printable;
use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

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

/// Time between two looks at a grader.
const POLL: Duration = Duration::from_millis(20);

/// What all graders of a class share.
pub struct Plan<'a> {
    /// The arguments.
    pub arguments: &'a Class,
    /// What the course asks for.
    pub profile: &'a Profile,
    /// The movies.
    pub movies: Vec<Movie>,
    /// The files of the movies.
    pub movie_files: Vec<PathBuf>,
    /// What separates the programs.
    pub sandbox: &'a Sandbox,
    /// A temporary folder for copies.
    pub temporary: &'a Path,
    /// The number of submissions that are graded at once.
    pub jobs: u16,
    /// The hash of all that verdicts depend on besides the submission.
    pub hash: [u8; 32],
    /// Whether to stop.
    pub stop: &'a AtomicBool,
}

/// Grades submissions. Gives a verdict for each one that was graded before the run was stopped.
pub fn grade_all(
    plan: &Plan,
    submissions: &[Submission],
    watch: &Watch,
    progress: &Progress,
) -> Vec<Option<Verdict>> {
    let verdicts: Mutex<Vec<Option<Verdict>>> = Mutex::new(vec![None; submissions.len()]);
    let next = AtomicUsize::new(0);
    let work = |job: u16| {
        while !plan.stop.load(Ordering::SeqCst) {
            let number = next.fetch_add(1, Ordering::SeqCst);
            let Some(submission) = submissions.get(number) else { return };
            progress.started(&submission.name);
            let verdict = plan.grade(submission, job, watch);
            progress.ended(&submission.name, verdict.as_ref());
            let mut verdicts = verdicts.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(slot) = verdicts.get_mut(number) {
                *slot = verdict.map(|(verdict, _)| verdict);
            }
        }
    };
    let work = &work;
    std::thread::scope(|scope| {
        for job in 0..plan.jobs {
            scope.spawn(move || work(job));
        }
    });
    verdicts.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// How a grader ended.
enum Ended {
    /// By itself, with this exit code, if any, what it printed, and its errors.
    Exit(Option<i32>, Vec<u8>, String),
    /// The run was stopped.
    Stopped,
    /// It took too long.
    Late(Duration),
}

impl Plan<'_> {
    /// Grades a submission; `None` if the run was stopped meanwhile. Also gives whether the verdict is an
    /// earlier one.
    fn grade(&self, submission: &Submission, job: u16, watch: &Watch) -> Option<(Verdict, bool)> {
        let name = &submission.name;
        let not_graded = |problem: String| Some((Verdict::not_graded(name, problem), false));
        let results = self.arguments.out.join(name);
        if let Err(error) = fs::create_dir_all(&results) {
            return not_graded(format!("cannot make {}: {error}", results.display()));
        }
        let copy = match self.copy(submission, job) {
            Ok(copy) => copy,
            Err(error) => {
                // There may be a report of an earlier submission.
                let _ = fs::remove_file(results.join(REPORT));
                let verdict = Verdict::not_graded(name, printable(&format!("{error:#}")));
                let _ = verdict.write(&results);
                return Some((verdict, false));
            }
        };
        if self.arguments.resume
            && let Some(verdict) = Verdict::read(&results, &copy.key)
        {
            return Some((verdict, true));
        }
        let started = Instant::now();
        let ended = self.run(&copy, &results, job, watch);
        let (ended, mut notes) = match ended {
            Ok(ended) => ended,
            Err(error) => return not_graded(format!("cannot start the grader: {error}")),
        };
        let mut verdict = match ended {
            Ended::Stopped => return None,
            Ended::Late(limit) => Verdict::not_graded(name, format!("no verdict within {limit:?}")),
            Ended::Exit(Some(0 | 1), report, _) => {
                match of_report(&report, name, copy.key.clone()) {
                    Ok(verdict) => verdict,
                    Err(error) => {
                        Verdict::not_graded(name, format!("the grader's report: {error}"))
                    }
                }
            }
            Ended::Exit(code, _, errors) => {
                let code = code.map_or("a signal".to_owned(), |code| format!("exit code {code}"));
                Verdict::not_graded(name, format!("the grader ended with {code}: {errors}"))
            }
        };
        verdict.notes.append(&mut notes);
        verdict.notes.extend(copy.notes);
        verdict.seconds = started.elapsed().as_secs_f64();
        if let Err(error) = verdict.write(&results) {
            verdict.notes.push(format!("{error:#}"));
        }
        Some((verdict, false))
    }

    /// Copies a submission and the movies.
    fn copy(&self, submission: &Submission, job: u16) -> anyhow::Result<Copy> {
        let base = tempfile::Builder::new().prefix("copy-").tempdir_in(self.temporary)?;
        let unpacked = base.path().join("submission");
        fs::create_dir(&unpacked)?;
        let copied = submission.copy(&unpacked)?;
        // Students choose the names above the program; this one is ours.
        let folder = base.path().join("program");
        fs::rename(&copied.folder, &folder)?;
        let mut bytes = copied.bytes;
        for (movie, file) in self.movies.iter().zip(&self.movie_files) {
            let target = folder.join(&movie.name);
            if target.is_dir() {
                fs::remove_dir_all(&target)?;
            }
            bytes += fs::copy(file, target)?;
        }
        self.sandbox.give(base.path(), job)?;
        let mut hasher = Sha256::new();
        hasher.update(self.hash);
        hasher.update(copied.hash);
        let key = hex(&hasher.finalize());
        Ok(Copy { _base: base, folder, bytes, key, notes: copied.notes })
    }

    /// Starts a grader and waits for its end.
    fn run(
        &self,
        copy: &Copy,
        results: &Path,
        job: u16,
        watch: &Watch,
    ) -> io::Result<(Ended, Vec<String>)> {
        let mut words = self.sandbox.grader();
        words.push(std::env::current_exe()?.into());
        words.extend(["server", "--json", "--run"].map(OsString::from));
        words.push(OsString::from(&self.arguments.run));
        words.extend(["--profile".into(), OsString::from(&self.arguments.profile)]);
        let files = ["--movie", "--short-movie"].into_iter().zip(&self.movie_files);
        for (option, path) in files {
            words.extend([option.into(), path.into()]);
        }
        words.extend(["--dir".into(), OsString::from(&copy.folder)]);
        words.extend(["--html".into(), results.join(REPORT).into()]);
        words.push(format!("--extra-time={EXTRA}").into());
        if self.arguments.thorough {
            words.push("--thorough".into());
        }
        for word in self.sandbox.wrapper(job, &copy.folder, copy.bytes) {
            words.push(format!("--wrapper={word}").into());
        }
        let (program, rest) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut command = Command::new(program);
        command.args(rest).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // The terminal's Ctrl-C is for us.
        command.process_group(0);
        let mut child = command.spawn()?;
        watch.add(child.id(), self.sandbox.kind, &copy.folder);
        let ended = self.wait(&mut child);
        let notes = watch.end(child.id());
        // It has been killed, or has ended.
        let _ = child.kill();
        let _ = child.wait();
        Ok((ended?, notes))
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
        let frames = self.movies.iter().map(|movie| movie.frames.len()).max().unwrap_or(0);
        let movie = self.profile.lab.period() * u32::try_from(frames).unwrap_or(u32::MAX) * 2;
        let whole = if self.arguments.thorough { movie } else { Duration::ZERO };
        let extra = Duration::from_secs(EXTRA.into());
        let limit = self.profile.time.total + extra + whole + MARGIN;
        let started = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if self.stop.load(Ordering::SeqCst) {
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

/// A copy of a submission with the movies. It is removed when dropped.
struct Copy {
    /// The folder that is removed.
    _base: tempfile::TempDir,
    folder: PathBuf,
    bytes: u64,
    key: String,
    notes: Vec<String>,
}
