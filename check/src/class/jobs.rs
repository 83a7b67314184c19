// SPDX-License-Identifier: MIT OR Apache-2.0
//! Grades the submissions, some at once. Each has its own grader, a child process, so that a problem that
//! ends one grader does not end the others.

use super::grader::{Ended, Grader};
use super::missing;
use super::progress::Progress;
use super::sandbox::Sandbox;
use super::submissions::{Submission, hex};
use super::verdict::{Graded, REPORT, Verdict, of_report};
use super::watch::Watch;
use crate::cli::{Class, Role};
use crate::movie::Movie;
use crate::output;
use crate::profile::Profile;
use mjpeg_program::log::printable;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// What all graders of a class share.
pub struct Plan<'a> {
    /// The arguments.
    pub arguments: &'a Class,
    /// What the course asks for.
    pub profile: &'a Profile,
    /// The commands that start the programs which are graded, in their order.
    pub commands: &'a [(Role, String)],
    /// The name of the movie in requests.
    pub movie: String,
    /// The movies of servers.
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

/// Grades submissions. Returns a verdict for each one that was graded before the run was stopped.
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

impl Plan<'_> {
    /// Grades a submission; `None` if the run was stopped meanwhile. Also returns whether the verdict is an
    /// earlier one.
    fn grade(&self, submission: &Submission, job: u16, watch: &Watch) -> Option<(Verdict, bool)> {
        let name = &submission.name;
        let results = self.arguments.out.join(name);
        if let Err(error) = fs::create_dir_all(&results) {
            let problem = format!("cannot make {}: {error}", results.display());
            return Some((Verdict::not_graded(name, problem), false));
        }
        let started = Instant::now();
        let (mut graded, mut pages, mut key) = (Vec::new(), Vec::new(), String::new());
        let mut notes = Vec::new();
        for (role, command) in self.commands {
            let copy = match self.copy(submission, *role, job) {
                Ok(copy) => copy,
                Err(error) => {
                    // There may be a report of an earlier submission.
                    let _ = fs::remove_file(results.join(REPORT));
                    let verdict = Verdict::not_graded(name, printable(&format!("{error:#}")));
                    let _ = verdict.write(&results);
                    return Some((verdict, false));
                }
            };
            if graded.is_empty()
                && self.arguments.resume
                && let Some(verdict) = Verdict::read(&results, &copy.key)
            {
                return Some((verdict, true));
            }
            let grader = Grader { plan: self, role: *role, command, copy: &copy, job, watch };
            let missing = missing::note(command, &copy.folder);
            let (mut part, page) = grade_program(&grader)?;
            part.notes.extend(missing);
            graded.push(part);
            pages.extend(page);
            notes.clone_from(&copy.notes);
            key.clone_from(&copy.key);
        }
        let mut verdict = Verdict::of_programs(name, key, graded);
        verdict.notes.append(&mut notes);
        verdict.seconds = started.elapsed().as_secs_f64();
        let written = write_page(&results, &verdict, &pages).and_then(|()| verdict.write(&results));
        if let Err(error) = written {
            verdict.notes.push(format!("{error:#}"));
        }
        Some((verdict, false))
    }

    /// Copies a submission, and the movies for a server.
    fn copy(&self, submission: &Submission, role: Role, job: u16) -> anyhow::Result<Copy> {
        let base = tempfile::Builder::new().prefix("copy-").tempdir_in(self.temporary)?;
        let unpacked = base.path().join("submission");
        fs::create_dir(&unpacked)?;
        let copied = submission.copy(&unpacked)?;
        // Students choose the names above the program; this one is ours.
        let folder = base.path().join("program");
        fs::rename(&copied.folder, &folder)?;
        let mut bytes = copied.bytes;
        let movies = if role == Role::Server { &self.movies[..] } else { &[] };
        for (movie, file) in movies.iter().zip(&self.movie_files) {
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
}

/// Grades a program; `None` if the run was stopped meanwhile. Also returns the page of its report.
fn grade_program(grader: &Grader) -> Option<(Graded, Option<String>)> {
    let role = grader.role;
    let failed = |problem, notes| Some((Graded { role, grades: Err(problem), notes }, None));
    let done = match grader.run() {
        Ok(done) => done,
        Err(error) => {
            return failed(format!("cannot start the grader: {error:#}"), Vec::new());
        }
    };
    let notes = done.notes;
    match done.ended {
        Ended::Stopped => None,
        Ended::Late(limit) => failed(format!("no verdict within {limit:?}"), notes),
        Ended::Exit(Some(0 | 1), report, _) => match of_report(&report) {
            Ok((grades, more)) => {
                let notes = [more, notes].concat();
                Some((Graded { role, grades: Ok(grades), notes }, done.page))
            }
            Err(error) => failed(format!("the grader's report: {error}"), notes),
        },
        Ended::Exit(code, _, errors) => {
            let code = code.map_or("a signal".to_owned(), |code| format!("exit code {code}"));
            failed(format!("the grader ended with {code}: {errors}"), notes)
        }
    }
}

/// Writes the page of a submission: that of its program, or those of its programs with the points of all.
fn write_page(results: &Path, verdict: &Verdict, pages: &[String]) -> anyhow::Result<()> {
    use anyhow::Context as _;
    let path = results.join(REPORT);
    let text = match (pages, verdict.programs.as_slice()) {
        ([], _) => {
            // There may be a report of an earlier submission.
            let _ = fs::remove_file(path);
            return Ok(());
        }
        ([page], [_]) => page.clone(),
        _ => {
            let words = |it: &super::verdict::ProgramPoints| {
                format!("{} {}", it.program.name(), it.words())
            };
            let programs: Vec<String> = verdict.programs.iter().map(words).collect();
            let (earned, points) =
                verdict.grades.as_ref().map_or((0, 0), |it| (it.earned, it.points));
            let mut paragraphs =
                vec![format!("{earned} of {points} points: {}", programs.join(", "))];
            paragraphs.extend(verdict.problem.clone());
            output::joined(&format!("Lab check: {}", verdict.name), &paragraphs, pages)
        }
    };
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// A copy of a submission with the movies. It is removed when dropped.
pub struct Copy {
    /// The folder that is removed.
    _base: tempfile::TempDir,
    /// The folder of the program.
    pub folder: PathBuf,
    /// The bytes in it.
    pub bytes: u64,
    /// The hash of all that its verdict depends on.
    key: String,
    /// What was left out.
    notes: Vec<String>,
}
