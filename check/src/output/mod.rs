// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes reports. All text that comes from the graded program is escaped here once more.

mod excerpt;
mod gradescope;
mod html;
mod json;
mod junit;
mod ladder;
mod prairielearn;
mod table;
mod timeline;

pub use gradescope::gradescope;
pub use html::{html, joined};
pub use json::json;
pub use junit::junit;
pub use prairielearn::prairielearn;
pub use table::{Style, table};

use crate::check::Verdict;
use crate::report::{CheckResult, Report};
use mjpeg_program::log::printable;
use std::fmt::Write;

/// Text for HTML and XML: printable, and without characters that end an element or an attribute.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in printable(text).chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Not allowed in XML 1.0.
            '\u{fffe}' | '\u{ffff}' => out.extend(char.escape_unicode()),
            char => out.push(char),
        }
    }
    out
}

/// A value as JSON text. Characters that control a terminal or change the direction of text are written
/// as JSON's escapes: they occur in strings only.
fn json_text(value: &serde_json::Value) -> String {
    let mut out = String::new();
    for char in format!("{value:#}\n").chars() {
        let shown = char == '\n' || printable(char.encode_utf8(&mut [0; 4])).chars().eq([char]);
        if shown {
            out.push(char);
        } else {
            // Writing to a String does not fail.
            let _ = write!(out, "\\u{:04x}", u32::from(char));
        }
    }
    out
}

/// The result of a check as lines of text, without its title.
fn details(result: &CheckResult) -> Vec<(&'static str, String)> {
    match &result.verdict {
        Verdict::Passed => Vec::new(),
        Verdict::NotRun { reason } => vec![("could not run", reason.clone())],
        Verdict::Skipped { reason } => vec![("skipped", reason.clone())],
        Verdict::Failed(failure) => {
            let mut lines = vec![
                ("basis", result.basis.to_owned()),
                ("expected", failure.expected.clone()),
                ("actual", failure.actual.clone()),
            ];
            if let Some(excerpt) = &failure.excerpt {
                lines.push(("bytes", excerpt::text(excerpt)));
            }
            lines.push(("likely cause", failure.mistake.clone()));
            lines.push(("look at", failure.look_at.clone()));
            lines
        }
    }
}

/// The width of the names in the lines of [`details`].
const NAME_WIDTH: usize = 13;

/// The result of a check as a text of several lines.
fn details_text(result: &CheckResult) -> String {
    let mut text = String::new();
    for (name, value) in details(result) {
        for (at, line) in value.lines().enumerate() {
            let name = if at == 0 { name } else { "" };
            // Writing to a String does not fail.
            let _ = writeln!(text, "{name:NAME_WIDTH$} {}", printable(line));
        }
    }
    text
}

/// The counts of a report as a sentence.
fn summary(report: &Report) -> String {
    let totals = report.totals();
    let all = totals.passed + totals.failed + totals.not_run;
    format!(
        "{} of {all} checks passed, {} failed, {} could not run: {} of {} points",
        totals.passed, totals.failed, totals.not_run, totals.earned, totals.points
    )
}

/// The result of a check in one or two words.
fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "passed",
        Verdict::Failed(_) => "failed",
        Verdict::NotRun { .. } => "not run",
        Verdict::Skipped { .. } => "skipped",
    }
}
