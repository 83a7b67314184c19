// SPDX-License-Identifier: MIT OR Apache-2.0
//! The verdict of a submission, as it is kept in its folder of results.

use crate::cli::Role;
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

/// Result of grading a submission, or one of its programs.
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

/// Result of grading a program of a submission.
#[derive(Debug, Clone, PartialEq)]
pub struct Graded {
    /// The program.
    pub role: Role,
    /// The grades, or why it could not be graded.
    pub grades: Result<Grades, String>,
    /// What the reader should know.
    pub notes: Vec<String>,
}

/// The points of a program of a submission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramPoints {
    /// The program.
    pub program: Role,
    /// The points that it gets.
    pub earned: u64,
    /// The points in all; `None` if it could not be graded.
    pub points: Option<u64>,
}

impl ProgramPoints {
    /// The points in words.
    pub fn words(&self) -> String {
        match self.points {
            Some(points) => format!("{} of {points}", self.earned),
            None => "not graded".to_owned(),
        }
    }
}

impl Grades {
    /// Adds the grades of another program.
    fn add(&mut self, other: Self) {
        self.passed &= other.passed;
        self.earned += other.earned;
        self.points += other.points;
        self.summary = format!("{}; {}", self.summary, other.summary);
        self.checks.extend(other.checks);
    }
}

/// The verdict of a submission.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The name of the submission.
    pub name: String,
    /// The hash of what it depends on: the submission, the profile, the movies, the command.
    pub key: String,
    /// The grades of all its programs together; `None` if none could be graded.
    pub grades: Option<Grades>,
    /// The points of each of its programs.
    pub programs: Vec<ProgramPoints>,
    /// Why it, or one of its programs, could not be graded.
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
            programs: Vec::new(),
            problem: Some(problem.into()),
            notes: Vec::new(),
            seconds: 0.0,
        }
    }

    /// The verdict of a submission whose programs were graded. The names of their checks differ.
    pub fn of_programs(name: &str, key: String, graded: Vec<Graded>) -> Self {
        let several = graded.len() > 1;
        let named = |role: Role, text: String| {
            if several { format!("{}: {text}", role.name()) } else { text }
        };
        let mut verdict = Self { key, problem: None, ..Self::not_graded(name, "") };
        let mut problems = Vec::new();
        for Graded { role, grades, notes } in graded {
            verdict.notes.extend(notes.into_iter().map(|note| named(role, note)));
            let (earned, points) = match grades {
                Ok(grades) => {
                    let points = (grades.earned, Some(grades.points));
                    match &mut verdict.grades {
                        Some(all) => all.add(grades),
                        None => verdict.grades = Some(grades),
                    }
                    points
                }
                Err(problem) => {
                    problems.push(named(role, problem));
                    (0, None)
                }
            };
            verdict.programs.push(ProgramPoints { program: role, earned, points });
        }
        if !problems.is_empty() {
            verdict.problem = Some(problems.join("; "));
        }
        verdict
    }

    /// Whether every counted check passed.
    pub fn has_passed(&self) -> bool {
        self.problem.is_none() && self.grades.as_ref().is_some_and(|grades| grades.passed)
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
        let is_complete = verdict.grades.is_some() && verdict.problem.is_none();
        (verdict.key == key && is_complete).then_some(verdict)
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

/// The grades and notes that a grader's JSON object states.
///
/// # Errors
/// If it is not such an object.
pub fn of_report(json: &[u8]) -> Result<(Grades, Vec<String>), serde_json::Error> {
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
    let grades = Grades {
        passed: printed.passed,
        earned: printed.earned,
        points: printed.points,
        summary: printed.summary,
        checks: checks.collect(),
    };
    Ok((grades, printed.notes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grades(id: &str, passed: bool, earned: u64) -> Grades {
        let check = CheckVerdict {
            id: id.to_owned(),
            title: String::new(),
            verdict: if passed { "passed" } else { "failed" }.to_owned(),
            counted: true,
            wrong_bytes: None,
        };
        let summary = format!("{earned} of 10 points");
        Grades { passed, earned, points: 10, summary, checks: vec![check] }
    }

    fn graded(role: Role, grades: Result<Grades, &str>) -> Graded {
        let notes = vec!["a note".to_owned()];
        Graded { role, grades: grades.map_err(str::to_owned), notes }
    }

    /// What is compared of a verdict: points, programs, checks, problem, notes, and whether it passed.
    fn parts(graded: Vec<Graded>) -> String {
        let verdict = Verdict::of_programs("ann", String::new(), graded);
        let programs: Vec<String> = verdict.programs.iter().map(ProgramPoints::words).collect();
        let text = verdict.grades.as_ref().map_or("none".to_owned(), |it| {
            let ids: Vec<&str> = it.checks.iter().map(|check| check.id.as_str()).collect();
            format!("{}/{} {} [{}]", it.earned, it.points, it.summary, ids.join(" "))
        });
        let (problem, notes) = (verdict.problem.clone(), verdict.notes.join(", "));
        format!("{text} ({}) {problem:?} {notes}: {}", programs.join(", "), verdict.has_passed())
    }

    #[test]
    fn the_points_of_programs_are_added() {
        use Role::{Client, Server};
        let good = || grades("cseq", true, 10);
        let rows = [
            (
                vec![graded(Server, Ok(good()))],
                "10/10 10 of 10 points [cseq] (10 of 10) None a note: true",
            ),
            (
                vec![
                    graded(Server, Ok(good())),
                    graded(Client, Ok(grades("client-cseq", false, 7))),
                ],
                "17/20 10 of 10 points; 7 of 10 points [cseq client-cseq] (10 of 10, 7 of 10) None \
                 server: a note, client: a note: false",
            ),
            (
                vec![graded(Server, Ok(good())), graded(Client, Err("too late"))],
                "10/10 10 of 10 points [cseq] (10 of 10, not graded) Some(\"client: too late\") \
                 server: a note, client: a note: false",
            ),
            (
                vec![graded(Client, Err("too late"))],
                "none (not graded) Some(\"too late\") a note: false",
            ),
        ];
        for (graded, want) in rows {
            assert_eq!(parts(graded), want);
        }
    }
}
