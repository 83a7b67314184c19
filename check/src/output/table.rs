// SPDX-License-Identifier: MIT OR Apache-2.0
//! A report as a table for a terminal.

use super::{details_text, summary, word};
use crate::check::Verdict;
use crate::report::Report;
use mjpeg_program::log::printable;
use std::fmt::Write;

/// Whether a table has colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Escape sequences for a terminal.
    Colours,
    /// Text only.
    Plain,
}

/// The last lines of the program's output that are shown.
const OUTPUT_LINES: usize = 12;

fn coloured(text: &str, verdict: &Verdict, style: Style) -> String {
    let colour = match verdict {
        Verdict::Passed => 32,
        Verdict::Failed(_) => 31,
        Verdict::NotRun { .. } => 33,
        Verdict::Skipped { .. } => 2,
    };
    match style {
        Style::Colours => format!("\x1b[{colour}m{text}\x1b[0m"),
        Style::Plain => text.to_owned(),
    }
}

/// Writes a report as a table: one line for each check, and what a failure needs.
pub fn table(report: &Report, style: Style) -> String {
    let mut out = String::new();
    let (subject, movie) = (printable(&report.subject), printable(&report.movie));
    let profile = printable(&report.profile);
    // Writing to a String does not fail.
    let _ = writeln!(out, "{subject}, {movie}, profile {profile}\n");
    let width = report.results.iter().map(|result| result.id.len()).max().unwrap_or(0);
    for result in &report.results {
        let verdict = format!("{:8}", word(&result.verdict));
        let verdict = coloured(&verdict, &result.verdict, style);
        let points = match (result.is_counted(), result.points) {
            (true, points) => format!("{}/{points}", result.earned()),
            (false, _) => "-".to_owned(),
        };
        let _ = writeln!(out, "{verdict} {points:>5}  {:width$}  {}", result.id, result.title);
        for line in details_text(result).lines() {
            let _ = writeln!(out, "    {line}");
        }
        if matches!(result.verdict, Verdict::Failed(_)) {
            out.push('\n');
        }
    }
    let _ = writeln!(out, "\n{}", summary(report));
    for note in &report.notes {
        let _ = writeln!(out, "note: {}", printable(note));
    }
    if let Some(output) = report.output.as_ref().filter(|_| !report.has_passed()) {
        program_output(&mut out, output);
    }
    out
}

fn program_output(out: &mut String, output: &crate::process::ProgramOutput) {
    let lines: Vec<&str> = output.text.lines().collect();
    let shown = lines.get(lines.len().saturating_sub(OUTPUT_LINES)..).unwrap_or_default();
    let ended = match &output.ended {
        Some(ended) => format!(", which ended with {ended}"),
        None => String::new(),
    };
    let what = if lines.is_empty() { "no output" } else { "the last output" };
    let _ = writeln!(out, "\n{what} of {}{ended}", output.command);
    for line in shown {
        let _ = writeln!(out, "    {}", printable(line));
    }
}
