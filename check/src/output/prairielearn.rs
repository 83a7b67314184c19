// SPDX-License-Identifier: MIT OR Apache-2.0
//! A report as PrairieLearn's external grader writes it.

use super::{details_text, json_text, summary, word};
use crate::report::Report;
use mjpeg_program::log::printable;
use serde_json::{Value, json};

/// Writes a report as PrairieLearn reads it from `/grade/results/results.json`.
pub fn prairielearn(report: &Report) -> String {
    let totals = report.totals();
    let score = match totals.points {
        0 => 0.0,
        points => f64::from(totals.earned) / f64::from(points),
    };
    let tests: Vec<Value> = report
        .results
        .iter()
        .map(|result| {
            json!({
                "name": result.id,
                "description": result.title,
                "points": result.earned(),
                "max_points": if result.is_counted() { result.points } else { 0 },
                "message": word(&result.verdict),
                "output": details_text(result),
            })
        })
        .collect();
    let output = report.output.as_ref().map_or(String::new(), |it| printable(&it.text));
    json_text(&json!({
        "gradable": true,
        "score": score,
        "message": summary(report),
        "output": output,
        "tests": tests,
    }))
}
