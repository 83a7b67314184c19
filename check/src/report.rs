// SPDX-License-Identifier: MIT OR Apache-2.0
//! The result of a run.

use crate::check::{Check, Verdict};
use crate::process::ProgramOutput;
use crate::profile::Profile;
use crate::recording::Recording;
use std::time::Duration;

/// The result of one check.
#[derive(Debug, Clone)]
pub struct CheckResult {
    /// Name of the check.
    pub id: &'static str,
    /// What a correct program does.
    pub title: &'static str,
    /// The basis of the check.
    pub basis: &'static str,
    /// The points for passing. A check without points is shown, but does not count.
    pub points: u32,
    /// What was found.
    pub verdict: Verdict,
}

impl CheckResult {
    /// The points that the program gets.
    pub fn earned(&self) -> u32 {
        if self.verdict == Verdict::Passed { self.points } else { 0 }
    }

    /// Whether the check counts.
    pub fn is_counted(&self) -> bool {
        self.points > 0 && !matches!(self.verdict, Verdict::Skipped { .. })
    }
}

/// The result of a run.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// What was graded, such as `server 127.0.0.1:8554`.
    pub subject: String,
    /// The movie, with its number of frames.
    pub movie: String,
    /// The name of the profile.
    pub profile: String,
    /// The checks in their order.
    pub results: Vec<CheckResult>,
    /// What was exchanged.
    pub recordings: Vec<Recording>,
    /// What the program printed, if we started it.
    pub output: Option<ProgramOutput>,
    /// What the reader should know about the run, such as that the machine was busy.
    pub notes: Vec<String>,
    /// How long the run took.
    pub took: Duration,
}

/// The counts of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Counted checks that passed.
    pub passed: usize,
    /// Counted checks that failed.
    pub failed: usize,
    /// Counted checks that could not run.
    pub not_run: usize,
    /// Points that the program gets.
    pub earned: u32,
    /// Points in all.
    pub points: u32,
}

impl Report {
    /// Evaluates the evidence by all checks that the profile asks for.
    pub fn evaluate<E>(&mut self, checks: &[Check<E>], evidence: &E, profile: &Profile) {
        for check in checks.iter().filter(|check| (check.applies)(profile)) {
            let points = profile.points.get(check.id).copied().unwrap_or(0);
            self.results.push(CheckResult {
                id: check.id,
                title: check.title,
                basis: check.basis,
                points,
                verdict: check.verdict(evidence),
            });
        }
    }

    /// The counts.
    pub fn totals(&self) -> Totals {
        let counted = || self.results.iter().filter(|result| result.is_counted());
        let count = |test: fn(&Verdict) -> bool| counted().filter(|it| test(&it.verdict)).count();
        Totals {
            passed: count(|it| matches!(it, Verdict::Passed)),
            failed: count(|it| matches!(it, Verdict::Failed(_))),
            not_run: count(|it| matches!(it, Verdict::NotRun { .. })),
            earned: self.results.iter().map(CheckResult::earned).sum(),
            points: counted().map(|result| result.points).sum(),
        }
    }

    /// Whether every counted check passed.
    pub fn has_passed(&self) -> bool {
        let totals = self.totals();
        totals.passed > 0 && totals.failed == 0 && totals.not_run == 0
    }
}
