// SPDX-License-Identifier: MIT OR Apache-2.0
//! The check of the statistics that a client prints or shows.

use super::{Outcome, not_run, request, required};
use crate::check::{Check, Failure};
use crate::client::evidence::ClientEvidence;
use crate::client::scenarios::{LOSS_FRAMES, LOST};
use regex_lite::Regex;

/// The fraction by which a rate may be off: clients measure different times.
const TOLERANCE: f64 = 0.3;

/// By how many points a percentage may be off: of all packets, or of those that arrived.
const POINTS: f64 = 2.0;

pub(super) fn checks() -> Vec<Check<ClientEvidence>> {
    vec![Check {
        id: "client-statistics",
        title: "the statistics that the client prints or shows are right",
        basis: "lab, extension: the client measures loss, frame rate and data rate; RFC 3550 section 6.4",
        applies: |profile| {
            let client = &profile.client;
            [
                &client.prints_lost,
                &client.prints_loss_percent,
                &client.prints_frame_rate,
                &client.prints_data_rate,
            ]
            .iter()
            .any(|text| !text.is_empty())
        },
        evaluate: statistics,
    }]
}

/// The last number that an expression finds.
fn find(expression: &str, texts: &str) -> Option<f64> {
    let expression = Regex::new(expression).ok()?;
    let last = expression.captures_iter(texts).last()?;
    last.get(1)?.as_str().trim().replace(',', "").parse().ok()
}

#[allow(clippy::cast_precision_loss, reason = "small counts")]
fn statistics(evidence: &ClientEvidence) -> Outcome {
    let run = required(evidence.loss.as_ref())?;
    request(run, "play")?;
    if super::network::loss(evidence).is_err() {
        return Err(not_run("the movie does not go on after a loss"));
    }
    let client = &evidence.profile.client;
    let lab = &evidence.profile.lab;
    let lost = LOST.len() as f64;
    let seconds = lab.period().as_secs_f64() * LOSS_FRAMES as f64;
    let (_, bytes) = run.sent_packets;
    let rows = [
        ("lost packets", &client.prints_lost, lost, 0.0, "LOST"),
        (
            "percent of packets lost",
            &client.prints_loss_percent,
            100.0 * lost / LOSS_FRAMES as f64,
            POINTS,
            "LOST",
        ),
        (
            "frames per second",
            &client.prints_frame_rate,
            f64::from(lab.frame_rate),
            TOLERANCE,
            "RATE",
        ),
        ("bytes per second", &client.prints_data_rate, bytes as f64 / seconds, TOLERANCE, "RATE"),
    ];
    for (what, expression, want, tolerance, kind) in rows {
        if expression.is_empty() {
            continue;
        }
        let off = if kind == "RATE" { want * tolerance } else { tolerance };
        let look =
            "where the client counts packets: the numbers that are missing between two packets";
        let expected = if off == 0.0 {
            format!("{want:.0} {what}")
        } else {
            format!("{want:.1} {what}, at most {off:.1} more or less")
        };
        let Some(have) = find(expression, &run.texts) else {
            if run.texts.trim().is_empty() {
                return Err(not_run(format!("nothing was printed or shown: no {what}")));
            }
            let mistake =
                "the text is another one than the profile's expression, or is not printed";
            let actual = "no such text in the client's output and window";
            return Err(Failure::new(expected, actual, mistake, look).into());
        };
        if (have - want).abs() > off + f64::EPSILON {
            let mistake = match kind {
                "LOST" => {
                    "a gap of several packets is counted as one, late or first packets are counted, or \
                           the count is off by one"
                }
                _ => "the time is measured from another start, or in another unit",
            };
            return Err(Failure::new(expected, format!("{have}"), mistake, look).into());
        }
    }
    Ok(())
}
