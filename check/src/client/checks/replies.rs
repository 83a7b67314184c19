// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks of what the client does with replies: late ones, and errors.

use super::{ClientCheck, METHODS, Outcome, excerpt, not_run, required, step, words};
use crate::check::Failure;
use crate::client::evidence::{ClientEvidence, Run, Visibility};
use crate::client::requests::Received;
use gstmjpegfile::lab::Method;
use std::time::Duration;

pub(super) fn checks() -> Vec<ClientCheck> {
    vec![
        ClientCheck::of_all(
            "client-waits-for-reply",
            "the state changes with the reply, not with the button",
            "lab: the client changes its state when the reply with 200 arrives",
            waits,
        ),
        ClientCheck::of_all(
            "client-late-reply",
            "replies that take 300 ms are used",
            "lab: TCP delivers a reply whenever the server sends it",
            late,
        ),
        ClientCheck::of_all(
            "client-not-found",
            "after 404 for SETUP the state stays INIT",
            "lab: FILE_NOT_FOUND_404; RFC 2326 section 11.3.3: no state changes after an error",
            not_found,
        ),
        ClientCheck::of_all(
            "client-server-error",
            "after 500 for PLAY the state is not PLAYING",
            "lab: CON_ERR_500; RFC 2326 section A.1: no state changes after an error. The client may also end",
            server_error,
        ),
    ]
}

fn sent_setup(run: &Run) -> Outcome {
    step(run, "setup")?;
    match run.request_of("setup") {
        Some(_) => Ok(()),
        None => Err(not_run("SETUP was not sent")),
    }
}

/// PLAY that was sent before SETUP was answered, and when that was.
fn early_play(evidence: &ClientEvidence) -> Option<(&Received, Duration)> {
    let run = evidence.late.as_ref()?;
    let replied = run.times.get("setup-replied").copied()?;
    let is_early = |it: &&Received| it.method == Some(Method::Play) && it.at < replied;
    Some((run.requests.iter().find(is_early)?, replied))
}

fn waits(evidence: &ClientEvidence) -> Outcome {
    let run = required(evidence.late.as_ref())?;
    sent_setup(run)?;
    step(run, "early-play")?;
    let early = early_play(evidence);
    // In INIT the button sends PLAY in any case: another check says so.
    let in_init = evidence
        .states
        .as_ref()
        .is_some_and(|it| !it.requests_in("play-in-init", &[Method::Play]).is_empty());
    match early {
        None => Ok(()),
        Some(_) if in_init => Err(not_run("Play sends PLAY in INIT")),
        Some((play, replied)) => {
            let before = replied.saturating_sub(play.at).as_millis();
            let actual = format!("PLAY {before} ms before the reply to SETUP");
            let mistake =
                "the button sets the state to READY, or the client does not look at the reply";
            let look = "parseRtspReply sets self.state, and nothing else does";
            let failure = Failure::new("no PLAY before SETUP is answered", actual, mistake, look);
            Err(failure.with(excerpt(run, play, "PLAY")).into())
        }
    }
}

/// Another check reports a client that does not wait for replies.
fn not_early(evidence: &ClientEvidence) -> Outcome {
    match early_play(evidence) {
        Some(_) => Err(not_run("the client does not wait for replies")),
        None => Ok(()),
    }
}

fn late(evidence: &ClientEvidence) -> Outcome {
    let run = required(evidence.late.as_ref())?;
    sent_setup(run)?;
    not_early(evidence)?;
    let look =
        "recvRtspReply: recv waits until a reply arrives; no short time limit on this socket";
    let setups: Vec<_> =
        run.requests.iter().filter(|it| it.method == Some(Method::Setup)).skip(1).collect();
    if let Some(again) = setups.first() {
        let mistake = "a request is sent again when its reply takes a while";
        let failure = Failure::new("one SETUP", "a second one", mistake, look);
        return Err(failure.with(excerpt(run, again, "SETUP")).into());
    }
    let mistake =
        "the client stops waiting for the reply after a short time, and its state does not change";
    if !run.requests.iter().any(|it| it.method == Some(Method::Play)) {
        let plays = evidence.play.as_ref().is_some_and(|it| it.request_of("play").is_some());
        if !plays {
            return Err(not_run("Play does not send PLAY"));
        }
        let expected = "PLAY after the reply to SETUP, which took 300 ms";
        return Err(Failure::new(expected, "no PLAY", mistake, look).into());
    }
    let pauses = evidence.play.as_ref().is_some_and(|it| it.request_of("pause").is_some());
    if pauses
        && run.step("pause").is_some_and(|it| it.error.is_none())
        && run.request_of("pause").is_none()
    {
        let expected = "PAUSE after the reply to PLAY, which took 300 ms";
        return Err(Failure::new(expected, "no PAUSE", mistake, look).into());
    }
    let shows = |run: &Run| !run.all_frames().is_empty();
    if run.visibility != Visibility::None
        && !shows(run)
        && evidence.play.as_ref().is_some_and(shows)
    {
        let mistake = "the RTP port is opened, or packets are read, only if replies come at once";
        return Err(Failure::new("frames after PLAY", "none", mistake, look).into());
    }
    Ok(())
}

fn not_found(evidence: &ClientEvidence) -> Outcome {
    let run = required(evidence.not_found.as_ref())?;
    sent_setup(run)?;
    step(run, "play")?;
    not_early(evidence)?;
    let in_init = evidence
        .states
        .as_ref()
        .is_some_and(|it| !it.requests_in("play-in-init", &[Method::Play]).is_empty());
    if in_init {
        return Err(not_run("Play sends PLAY in INIT"));
    }
    let refused = run.times.get("refused").copied().unwrap_or_default();
    let is_after = |it: &&Received| {
        it.at >= refused && matches!(it.method, Some(Method::Play | Method::Pause))
    };
    let Some(first) = run.requests.iter().find(is_after) else { return Ok(()) };
    let mistake = "the status code of the reply is not tested: any reply leads to READY";
    let look = "parseRtspReply: if int(lines[0].split(' ')[1]) == 200";
    let failure = Failure::new("no PLAY after 404", first.named(), mistake, look);
    Err(failure.with(excerpt(run, first, first.word().as_str())).into())
}

fn server_error(evidence: &ClientEvidence) -> Outcome {
    let run = required(evidence.server_error.as_ref())?;
    sent_setup(run)?;
    step(run, "pause")?;
    let look = "parseRtspReply: if int(lines[0].split(' ')[1]) == 200";
    let in_ready = evidence
        .states
        .as_ref()
        .is_some_and(|it| !it.requests_in("pause-in-ready", &[Method::Pause]).is_empty());
    if in_ready {
        return Err(not_run("Pause sends PAUSE in READY"));
    }
    let sent = run.requests_in("pause", &METHODS);
    if let Some(first) = sent.first() {
        let mistake = "the status code of the reply is not tested: any reply leads to PLAYING";
        let failure = Failure::new("no PAUSE after 500", words(&sent), mistake, look);
        return Err(failure.with(excerpt(run, first, first.word().as_str())).into());
    }
    Ok(())
}
