// SPDX-License-Identifier: MIT OR Apache-2.0
//! The checks of a client. Each evaluates the evidence by itself; if what it needs did not happen, it could
//! not run, and another check says why.

mod ending;
mod network;
mod pictures;
mod replies;
mod requests;
mod states;
mod statistics;

use super::evidence::{ClientEvidence, Name, Run, Step, Visibility};
use super::requests::Received;
use crate::check::{Check, Excerpt, Outcome, Pointer, Verdict, not_run};
use gstmjpegfile::lab::Method;

type ClientCheck = Check<ClientEvidence>;

/// All checks of a client, in the order of reports.
pub fn checks() -> Vec<ClientCheck> {
    let mut all = Vec::new();
    all.extend(requests::checks());
    all.extend(states::checks());
    all.extend(replies::checks());
    all.extend(pictures::checks());
    all.extend(network::checks());
    all.extend(ending::checks());
    all.extend(statistics::checks());
    all
}

/// A run, if it took place and the client could be driven.
fn required(run: Option<&Run>) -> Result<&Run, Verdict> {
    let run = run.ok_or_else(|| not_run("this run of the client did not take place"))?;
    match &run.not_ready {
        Some(reason) => Err(not_run(reason.clone())),
        None => Ok(run),
    }
}

/// The run that watches the movie.
fn play(evidence: &ClientEvidence) -> Result<&Run, Verdict> {
    required(evidence.play.as_ref())
}

/// A step, if it was done.
fn step(run: &Run, name: Name) -> Result<&Step, Verdict> {
    let step = run.step(name);
    let step = step.ok_or_else(|| not_run("what comes before it did not happen"))?;
    match &step.error {
        Some(error) => Err(not_run(error.clone())),
        None => Ok(step),
    }
}

/// The request of a step, if it was sent.
fn request(run: &Run, name: Name) -> Result<&Received, Verdict> {
    let step = step(run, name)?;
    let method = step.action.describe().replace(" is pressed", "").to_uppercase();
    run.request_of(name).ok_or_else(|| not_run(format!("{method} was not sent")))
}

/// Whether pictures are seen; the check does not count if not.
fn seen(run: &Run) -> Outcome {
    let reason = "what the client shows is not seen: use --press or --press=window";
    if run.visibility == Visibility::None {
        Err(Verdict::Skipped { reason: reason.to_owned() })
    } else {
        Ok(())
    }
}

/// A request as bytes that prove something.
fn excerpt(run: &Run, request: &Received, marked: &str) -> Excerpt {
    let whole = 0..request.text.len();
    let found = if marked.is_empty() { None } else { request.text.find(marked) };
    let marked = found.map_or(whole, |at| at..at + marked.len());
    let pointer = Pointer::Entry(run.recording, request.entry);
    Excerpt::new(request.named(), pointer, request.text.as_bytes(), marked)
}

/// The requests of a run, as they are named in sentences.
fn words(requests: &[&Received]) -> String {
    requests.iter().map(|it| it.named()).collect::<Vec<_>>().join(", ")
}

/// The methods of the lab.
const METHODS: [Method; 4] = [Method::Setup, Method::Play, Method::Pause, Method::Teardown];
