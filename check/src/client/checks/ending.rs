// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks of the end: TEARDOWN, and the closed window.

use super::{ClientCheck, Outcome, not_run, play, request, required, step};
use crate::check::Failure;
use crate::client::evidence::{ClientEvidence, Run};
use gstmjpegfile::lab::Method;

pub(super) fn checks() -> Vec<ClientCheck> {
    vec![
        ClientCheck::of_all(
            "client-teardown-control",
            "TEARDOWN closes the control connection",
            "lab: recvRtspReply closes the RTSP socket when TEARDOWN is answered",
            control,
        ),
        ClientCheck::of_all(
            "client-teardown-port",
            "TEARDOWN closes the RTP port",
            "lab: listenRtp closes the RTP socket when TEARDOWN is answered",
            port,
        ),
        ClientCheck::of_all(
            "client-close",
            "closing the window sends TEARDOWN",
            "lab: the handler of WM_DELETE_WINDOW ends the session",
            close,
        ),
        ClientCheck::of_all(
            "client-ends",
            "the program ends when its window is closed",
            "lab: no thread is left over when the user has gone",
            ends,
        ),
    ]
}

fn seconds(evidence: &ClientEvidence) -> String {
    format!("within {} ms after the reply to TEARDOWN", evidence.profile.client.end.as_millis())
}

fn control(evidence: &ClientEvidence) -> Outcome {
    let run = play(evidence)?;
    request(run, "teardown")?;
    if run.times.contains_key("control-closed") {
        return Ok(());
    }
    let mistake = "the RTSP socket is not closed after TEARDOWN";
    let look = "recvRtspReply: shutdown and close if self.requestSent == self.TEARDOWN";
    let expected = format!("the TCP connection is closed {}", seconds(evidence));
    Err(Failure::new(expected, "it is open", mistake, look).into())
}

fn port(evidence: &ClientEvidence) -> Outcome {
    let run = play(evidence)?;
    request(run, "teardown")?;
    if !run.times.contains_key("port-open") {
        return Err(not_run("the RTP port was never open"));
    }
    if run.times.contains_key("port-closed") {
        return Ok(());
    }
    let mistake =
        "the RTP socket is not closed after TEARDOWN: the next SETUP with this port fails";
    let look = "listenRtp: close the socket if self.teardownAcked == 1, also after PAUSE";
    let expected = format!("UDP port {} is closed {}", run.rtp_port, seconds(evidence));
    Err(Failure::new(expected, "it is open", mistake, look).into())
}

fn close(evidence: &ClientEvidence) -> Outcome {
    let run = required(evidence.close.as_ref())?;
    let step = step(run, "close")?;
    if run.request_of("close").is_some() {
        return Ok(());
    }
    let lacks = |run: Option<&Run>, name| {
        run.is_some_and(|it| it.step(name).is_some() && it.request_of(name).is_none())
    };
    if lacks(evidence.play.as_ref(), "teardown") {
        return Err(not_run("Teardown does not send TEARDOWN"));
    }
    if lacks(evidence.states.as_ref(), "teardown-in-ready") {
        return Err(not_run("TEARDOWN is not sent in READY"));
    }
    let sent = run.requests_in("close", &[Method::Setup, Method::Play, Method::Pause]);
    let actual = match (sent.first(), &run.ended) {
        (Some(request), _) => format!("only {}", request.named()),
        (None, Some((_, how))) => format!("no request; the program ended with {how}"),
        (None, None) => "no request".to_owned(),
    };
    let mistake =
        "the window has no handler for WM_DELETE_WINDOW, or the handler does not send TEARDOWN";
    let look = "handler, and master.protocol(\"WM_DELETE_WINDOW\", self.handler)";
    let expected = format!("TEARDOWN within {} ms", step.limit.as_millis());
    Err(Failure::new(expected, actual, mistake, look).into())
}

fn ends(evidence: &ClientEvidence) -> Outcome {
    let run = required(evidence.close.as_ref())?;
    step(run, "close")?;
    if run.ended.is_some() {
        return Ok(());
    }
    if run.request_of("close").is_none() {
        return Err(not_run("TEARDOWN was not sent when the window was closed"));
    }
    let limit = evidence.profile.client.end;
    let mistake =
        "a thread is still running: it reads from a socket for ever, or its loop has no end";
    let look =
        "the ends of listenRtp and recvRtspReply; close sockets, or make the threads daemons";
    let expected =
        format!("the program has ended {} ms after its window was closed", limit.as_millis());
    Err(Failure::new(expected, "it runs", mistake, look).into())
}
