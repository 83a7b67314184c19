// SPDX-License-Identifier: MIT OR Apache-2.0
//! A report as Gradescope's `results.json`.

use super::{details_text, json_text, summary};
use crate::check::Verdict;
use crate::report::Report;
use mjpeg_program::log::printable;
use serde_json::{Value, json};

/// Writes a report as Gradescope reads it from `/autograder/results/results.json`.
pub fn gradescope(report: &Report) -> String {
    let tests: Vec<Value> = report
        .results
        .iter()
        .map(|result| {
            let points = if result.is_counted() { result.points } else { 0 };
            let mut test = json!({
                "number": result.id,
                "name": result.title,
                "score": result.earned(),
                "max_score": points,
                "output": details_text(result),
                "output_format": "text",
                "visibility": "visible",
            });
            // Without points, Gradescope shows the status that is stated.
            let status = match result.verdict {
                Verdict::Passed => Some("passed"),
                Verdict::Failed(_) | Verdict::NotRun { .. } => Some("failed"),
                Verdict::Skipped { .. } => None,
            };
            if let (Some(status), Value::Object(test)) = (status, &mut test) {
                test.insert("status".to_owned(), json!(status));
            }
            test
        })
        .collect();
    let notes: Vec<String> = report.notes.iter().map(|note| printable(note)).collect();
    let printed = report.output.as_ref().filter(|it| !it.text.is_empty());
    let printed = printed.map(|it| format!("\nOutput of {}:\n{}", it.command, printable(&it.text)));
    let output = [vec![summary(report)], notes, printed.into_iter().collect()].concat().join("\n");
    json_text(&json!({
        "score": report.totals().earned,
        "execution_time": report.took.as_secs_f64(),
        "output": output,
        "output_format": "text",
        "visibility": "visible",
        "tests": tests,
    }))
}
