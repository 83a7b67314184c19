// SPDX-License-Identifier: MIT OR Apache-2.0
//! A report as one JSON object.

use super::{json_text, summary};
use crate::check::Verdict;
use crate::recording::{Event, Recording};
use crate::report::Report;
use serde_json::{Value, json};

/// Writes a report as one JSON object: verdicts, and all messages that were exchanged.
pub fn json(report: &Report) -> String {
    let totals = report.totals();
    let checks: Vec<Value> = report
        .results
        .iter()
        .map(|result| {
            let mut check = json!({
                "id": result.id,
                "title": result.title,
                "basis": result.basis,
                "points": result.points,
                "earned": result.earned(),
                "counted": result.is_counted(),
                "verdict": super::word(&result.verdict),
            });
            let more = match &result.verdict {
                Verdict::Passed => json!({}),
                Verdict::NotRun { reason } | Verdict::Skipped { reason } => {
                    json!({ "reason": reason })
                }
                Verdict::Failed(failure) => json!({
                    "expected": failure.expected,
                    "actual": failure.actual,
                    "mistake": failure.mistake,
                    "look_at": failure.look_at,
                    "excerpt": failure.excerpt.as_ref().map(|excerpt| json!({
                        "of": excerpt.of,
                        "length": excerpt.length,
                        "bytes": hex(&excerpt.bytes),
                        "marked": [excerpt.marked.start, excerpt.marked.end],
                    })),
                }),
            };
            if let (Value::Object(check), Value::Object(more)) = (&mut check, more) {
                check.extend(more);
            }
            check
        })
        .collect();
    json_text(&json!({
        "subject": report.subject,
        "movie": report.movie,
        "profile": report.profile,
        "passed": report.has_passed(),
        "summary": summary(report),
        "points": totals.points,
        "earned": totals.earned,
        "checks": checks,
        "exchanges": report.recordings.iter().map(exchange).collect::<Vec<_>>(),
        "notes": report.notes,
        "program": report.output,
        "seconds": report.took.as_secs_f64(),
    }))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

fn exchange(recording: &Recording) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let entries = recording.entries.iter().map(|entry| {
        let (event, text) = match &entry.event {
            Event::Connected => ("connected", None),
            Event::Request { bytes, .. } => ("request", Some(text(bytes))),
            Event::Reply { bytes, .. } => ("reply", Some(text(bytes))),
            Event::Silence { .. } => ("silence", None),
            Event::ClosedHere => ("closed by the check", None),
            Event::ClosedThere => ("closed by the program", None),
            Event::Action(text) => ("action", Some(text.clone())),
        };
        json!({
            "seconds": entry.at.as_secs_f64(),
            "connection": entry.connection,
            "event": event,
            "text": text,
        })
    });
    json!({
        "title": recording.title,
        "entries": entries.collect::<Vec<_>>(),
        "packets": recording.packets.len(),
        "packets_not_kept": recording.discarded,
        "packets_dropped_here": recording.dropped,
    })
}
