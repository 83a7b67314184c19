// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks of buttons in states that do not allow them, and of the states after replies.

use super::{ClientCheck, METHODS, Outcome, excerpt, not_run, required, step, words};
use crate::check::{Failure, Verdict};
use crate::client::evidence::{ClientEvidence, Name, Run};
use gstmjpegfile::lab::Method;

pub(super) fn checks() -> Vec<ClientCheck> {
    vec![
        ClientCheck::of_all(
            "client-init",
            "before SETUP, Play and Pause send nothing",
            "lab: in INIT only SETUP is allowed",
            |it| nothing(it, &["play-in-init", "pause-in-init"], "INIT"),
        ),
        ClientCheck::of_all(
            "client-ready",
            "in READY, Setup and Pause send nothing",
            "lab: in READY only PLAY and TEARDOWN are allowed",
            |it| nothing(it, &["setup-in-ready", "pause-in-ready", "pause-again"], "READY"),
        ),
        ClientCheck::of_all(
            "client-playing",
            "in PLAYING, Setup and Play send nothing",
            "lab: in PLAYING only PAUSE and TEARDOWN are allowed",
            |it| nothing(it, &["setup-in-playing", "play-in-playing"], "PLAYING"),
        ),
        ClientCheck::of_all(
            "client-teardown-ready",
            "Teardown sends TEARDOWN in READY too",
            "lab: TEARDOWN is allowed in READY and PLAYING",
            teardown_in_ready,
        ),
    ]
}

fn states(evidence: &ClientEvidence) -> Result<&Run, Verdict> {
    required(evidence.states.as_ref())
}

fn nothing(evidence: &ClientEvidence, names: &[Name], state: &str) -> Outcome {
    let run = states(evidence)?;
    let mut any = None;
    for name in names {
        let step = match step(run, name) {
            Ok(step) => step,
            Err(verdict) => {
                any = any.or(Some(verdict));
                continue;
            }
        };
        let sent = run.requests_in(name, &METHODS);
        let Some(first) = sent.first() else { continue };
        let look = "the test of the state at the start of the button's function, such as \
                    if self.state == self.READY";
        let mistake = if state == "INIT" || run.request_of("setup").is_some() {
            "the state is not tested before the request is sent"
        } else {
            "the state is not what it should be"
        };
        let actual = format!("{} after {}", words(&sent), step.action.describe());
        let failure = Failure::new(format!("no request in {state}"), actual, mistake, look);
        return Err(failure.with(excerpt(run, first, first.word().as_str())).into());
    }
    any.map_or(Ok(()), Err)
}

fn teardown_in_ready(evidence: &ClientEvidence) -> Outcome {
    let run = states(evidence)?;
    let step = step(run, "teardown-in-ready")?;
    if run.request_of("teardown-in-ready").is_some() {
        return Ok(());
    }
    // Another check is for TEARDOWN in general.
    if evidence
        .play
        .as_ref()
        .is_some_and(|it| it.step("teardown").is_some() && it.request_of("teardown").is_none())
    {
        return Err(not_run("Teardown does not send TEARDOWN in PLAYING"));
    }
    let sent = run.requests_in("teardown-in-ready", &[Method::Setup, Method::Play, Method::Pause]);
    let actual = if sent.is_empty() { "no request".to_owned() } else { words(&sent) };
    let mistake = "TEARDOWN is sent in PLAYING only";
    let look = "sendRtspRequest: TEARDOWN if the state is not INIT";
    let expected = format!("TEARDOWN within {} ms", step.limit.as_millis());
    Err(Failure::new(expected, actual, mistake, look).into())
}
