// SPDX-License-Identifier: MIT OR Apache-2.0
//! A report in JUnit's XML, which most build servers show.

use super::{details_text, escaped, summary};
use crate::check::Verdict;
use crate::report::Report;
use std::fmt::Write;

/// Writes a report as JUnit XML. A counted check that could not run is an error, one that does not count
/// is skipped.
pub fn junit(report: &Report) -> String {
    let totals = report.totals();
    let (name, time) = (escaped(&report.subject), report.took.as_secs_f64());
    let skipped = report.results.iter().filter(|result| !result.is_counted()).count();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    // Writing to a String does not fail.
    let _ = writeln!(
        out,
        "  <testsuite name=\"{name}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{skipped}\" time=\"{time:.3}\">",
        report.results.len(),
        totals.failed,
        totals.not_run
    );
    for result in &report.results {
        let (id, title) = (escaped(result.id), escaped(result.title));
        let _ = write!(
            out,
            "    <testcase classname=\"mjpeg-lab-check.{}\" name=\"{id}: {title}\"",
            escaped(&report.profile)
        );
        let text = escaped(&details_text(result));
        let _ = match &result.verdict {
            Verdict::Passed => writeln!(out, "/>"),
            verdict if !result.is_counted() => {
                let reason = match verdict {
                    Verdict::Skipped { reason } | Verdict::NotRun { reason } => reason.as_str(),
                    _ => "without points",
                };
                writeln!(
                    out,
                    ">\n      <skipped message=\"{}\"/>\n    </testcase>",
                    escaped(reason)
                )
            }
            Verdict::Failed(failure) => {
                let message =
                    escaped(&format!("expected: {}; actual: {}", failure.expected, failure.actual));
                writeln!(
                    out,
                    ">\n      <failure message=\"{message}\">{text}</failure>\n    </testcase>"
                )
            }
            Verdict::NotRun { reason } | Verdict::Skipped { reason } => writeln!(
                out,
                ">\n      <error message=\"could not run: {}\"/>\n    </testcase>",
                escaped(reason)
            ),
        };
    }
    let _ = writeln!(out, "    <system-out>{}</system-out>", escaped(&summary(report)));
    out.push_str("  </testsuite>\n</testsuites>\n");
    out
}
