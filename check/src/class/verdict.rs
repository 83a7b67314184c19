// SPDX-License-Identifier: MIT OR Apache-2.0
//! The verdict of a submission, as it is kept in its folder of results.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The file of a verdict.
pub const FILE: &str = "verdict.json";

/// The page of a submission.
pub const REPORT: &str = "report.html";

/// The largest file of a verdict in bytes.
const MAX_FILE: u64 = 1024 * 1024;

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckVerdict {
    /// The name of the check.
    pub id: String,
    /// What a correct program does.
    pub title: String,
    /// `passed`, `failed`, `not run` or `skipped`.
    pub verdict: String,
    /// Whether it counts.
    pub counted: bool,
    /// The bytes that are wrong, as hexadecimal digits.
    pub wrong_bytes: Option<String>,
}

/// What grading a submission brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grades {
    /// Whether every counted check passed.
    pub passed: bool,
    /// The points that it gets.
    pub earned: u64,
    /// The points in all.
    pub points: u64,
    /// The counts in words.
    pub summary: String,
    /// The checks in their order.
    pub checks: Vec<CheckVerdict>,
}

/// The verdict of a submission.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The name of the submission.
    pub name: String,
    /// The hash of what it depends on: the submission, the profile, the movies, the command.
    pub key: String,
    /// The grades; `None` if the submission could not be graded.
    pub grades: Option<Grades>,
    /// Why it could not be graded.
    pub problem: Option<String>,
    /// What the reader should know.
    pub notes: Vec<String>,
    /// How long it took.
    pub seconds: f64,
}

impl Verdict {
    /// A verdict of a submission that could not be graded.
    pub fn not_graded(name: &str, problem: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            key: String::new(),
            grades: None,
            problem: Some(problem.into()),
            notes: Vec::new(),
            seconds: 0.0,
        }
    }

    /// Whether every counted check passed.
    pub fn has_passed(&self) -> bool {
        self.grades.as_ref().is_some_and(|grades| grades.passed)
    }

    /// The counted checks that did not pass.
    pub fn not_passed(&self) -> impl Iterator<Item = &CheckVerdict> {
        let checks = self.grades.iter().flat_map(|grades| &grades.checks);
        checks.filter(|it| it.counted && matches!(it.verdict.as_str(), "failed" | "not run"))
    }

    /// The counted checks that failed.
    pub fn failed(&self) -> impl Iterator<Item = &CheckVerdict> {
        self.not_passed().filter(|check| check.verdict == "failed")
    }

    /// Reads the verdict in a folder of results; `None` if it is missing, damaged or of something else.
    pub fn read(folder: &Path, key: &str) -> Option<Self> {
        let path = folder.join(FILE);
        if std::fs::metadata(&path).ok()?.len() > MAX_FILE || !folder.join(REPORT).is_file() {
            return None;
        }
        let verdict: Self = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
        (verdict.key == key && verdict.grades.is_some()).then_some(verdict)
    }

    /// Writes the verdict into a folder of results. It is complete or missing, also if this process is
    /// ended meanwhile.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(FILE);
        let context = || format!("cannot write {}", path.display());
        let part = folder.join("verdict.json.part");
        let text = serde_json::to_string_pretty(self).with_context(context)?;
        std::fs::write(&part, text + "\n").with_context(context)?;
        std::fs::rename(&part, &path).with_context(context)
    }
}

/// The report that a grader prints.
#[derive(Deserialize)]
struct Printed {
    passed: bool,
    earned: u64,
    points: u64,
    summary: String,
    checks: Vec<PrintedCheck>,
    notes: Vec<String>,
    seconds: f64,
}

#[derive(Deserialize)]
struct PrintedCheck {
    id: String,
    title: String,
    verdict: String,
    counted: bool,
    excerpt: Option<PrintedExcerpt>,
}

#[derive(Deserialize)]
struct PrintedExcerpt {
    bytes: String,
    marked: (usize, usize),
}

/// The verdict that a grader's JSON object states.
///
/// # Errors
/// If it is not such an object.
pub fn of_report(json: &[u8], name: &str, key: String) -> Result<Verdict, serde_json::Error> {
    let printed: Printed = serde_json::from_slice(json)?;
    let wrong = |excerpt: PrintedExcerpt| {
        let (start, end) = excerpt.marked;
        let bytes = excerpt.bytes.split(' ').skip(start).take(end.saturating_sub(start));
        bytes.collect::<Vec<_>>().join(" ")
    };
    let checks = printed.checks.into_iter().map(|check| CheckVerdict {
        id: check.id,
        title: check.title,
        verdict: check.verdict,
        counted: check.counted,
        wrong_bytes: check.excerpt.map(wrong).filter(|bytes| !bytes.is_empty()),
    });
    Ok(Verdict {
        name: name.to_owned(),
        key,
        grades: Some(Grades {
            passed: printed.passed,
            earned: printed.earned,
            points: printed.points,
            summary: printed.summary,
            checks: checks.collect(),
        }),
        problem: None,
        notes: printed.notes,
        seconds: printed.seconds,
    })
}
