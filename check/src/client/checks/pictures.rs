// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks of the RTP port and of what the client shows.

use super::{ClientCheck, Outcome, excerpt, not_run, play, request, seen, step};
use crate::check::{Excerpt, Failure, Pointer, Verdict};
use crate::client::evidence::{ClientEvidence, Run, Visibility};
use crate::client::picture::{PictureKind, Shown};
use crate::movie::Match;
use gstmjpegfile::lab::Method;
use std::collections::BTreeSet;
use std::time::Duration;

/// The fewest different frames that are shown, if pictures are seen now and then.
const FEW: usize = 2;

/// The part of the frames that are shown at least, as a divisor: a slow program leaves some out.
const PART: usize = 2;

/// How long frames that were on their way are shown after PAUSE.
const ON_THE_WAY: Duration = Duration::from_millis(500);

pub(super) fn checks() -> Vec<ClientCheck> {
    vec![
        ClientCheck::of_all(
            "client-rtp-port",
            "the RTP port is open after SETUP",
            "lab: openRtpPort binds the UDP port of the command line when SETUP is answered 200",
            rtp_port,
        ),
        ClientCheck::of_all(
            "client-frames",
            "the frames of the movie are shown",
            "lab: each packet's payload, after 12 bytes of RTP header, is a JPEG image",
            frames,
        ),
        ClientCheck::of_all(
            "client-pause-picture",
            "PAUSE keeps the last picture",
            "lab: PAUSE stops the movie, and the picture stays",
            pause_picture,
        ),
        ClientCheck::of_all(
            "client-resume",
            "PLAY after PAUSE goes on without a new SETUP",
            "lab: PAUSE leads to READY, in which PLAY is allowed",
            resume,
        ),
    ]
}

fn rtp_port(evidence: &ClientEvidence) -> Outcome {
    let run = play(evidence)?;
    request(run, "setup")?;
    if run.times.contains_key("port-open") {
        return Ok(());
    }
    // A client that opens the port it has stated has stated the wrong one: another check says so.
    if !run.all_frames().is_empty() {
        return Err(not_run("the client has opened the other port that it stated"));
    }
    let expected = format!("UDP port {} is open", run.rtp_port);
    let mistake = "openRtpPort is not called, or binds another port, or another address than ''";
    let look = "openRtpPort, and the line of parseRtspReply that calls it after SETUP";
    Err(Failure::new(expected, "no program has opened it", mistake, look).into())
}

/// The run, if its port is open and PLAY was sent.
fn playing(evidence: &ClientEvidence) -> Result<&Run, Verdict> {
    let run = play(evidence)?;
    request(run, "play")?;
    seen(run)?;
    if !run.times.contains_key("port-open") && run.all_frames().is_empty() {
        return Err(not_run("the RTP port is not open"));
    }
    Ok(run)
}

/// A picture that is not a frame, in words: what it is, and the likely mistake.
fn describe(shown: &Shown) -> (String, &'static str) {
    match shown.kind {
        PictureKind::Frame(frame) => (format!("frame {}", frame + 1), ""),
        PictureKind::Blank => (
            "the picture disappeared".to_owned(),
            "the PhotoImage is not kept, for example in label.image, and Python deletes it",
        ),
        PictureKind::OtherColour(_) => (
            "a picture with other colours".to_owned(),
            "red and blue are exchanged, or the picture is decoded wrongly",
        ),
        PictureKind::Wrong(found) => match found {
            Match::AfterBytes(12, frame) => (
                format!("12 bytes before frame {}", frame + 1),
                "the RTP header is shown too: the payload starts after 12 bytes",
            ),
            Match::AfterBytes(bytes, frame) => (
                format!("{bytes} bytes before frame {}", frame + 1),
                "the payload starts after the 12 bytes of the header",
            ),
            Match::Start(frame) => (
                format!("only the start of frame {}", frame + 1),
                "the packet is cut: the receive buffer is too short, or a fragment is taken for a frame",
            ),
            Match::WithMore(frame) => (
                format!("frame {} and more bytes", frame + 1),
                "the file has bytes of an earlier frame, or two frames are put together",
            ),
            _ => (
                format!("{} bytes that are no frame", shown.length),
                "the header's length is wrong, or other bytes than the payload are shown",
            ),
        },
    }
}

/// The bytes of a picture that is not a frame. They are not in the recording: the packet before it is.
fn picture_excerpt(run: &Run, shown: &Shown) -> Option<Excerpt> {
    if shown.bytes.is_empty() {
        return None;
    }
    let pointer = Pointer::Packet(run.recording, usize::MAX);
    let mut excerpt = Excerpt::new("the picture's file", pointer, &shown.bytes, 0..12);
    excerpt.length = shown.length;
    Some(excerpt)
}

fn frames(evidence: &ClientEvidence) -> Outcome {
    let run = playing(evidence)?;
    let look = "listenRtp, RtpPacket.decode and getPayload, writeFrame, updateMovie";
    let start = request(run, "play")?.at;
    let end = run.step("pause").map_or(Duration::MAX, |it| it.at);
    let sent: BTreeSet<usize> =
        run.sent.iter().filter(|it| it.at >= start && it.at < end).map(|it| it.frame).collect();
    let in_part = |it: &&Shown| it.at >= start && it.at < end;
    // A picture that disappears when the next one comes is not seen by anybody.
    let wrong =
        run.shown.iter().filter(in_part).find(|it| !matches!(it.kind, PictureKind::Frame(_)));
    if let Some(shown) = wrong {
        let (actual, mistake) = describe(shown);
        let failure = Failure::new("exactly the frames of the movie", actual, mistake, look);
        return Err(failure.with(picture_excerpt(run, shown)).into());
    }
    let shown: BTreeSet<usize> =
        run.frames(start, end).into_iter().map(|(_, frame)| frame).collect();
    let least = if run.visibility == Visibility::All { sent.len() / PART } else { FEW };
    if shown.len() < least.max(1) {
        let actual = format!("{} of {} frames were shown", shown.len(), sent.len());
        let mistake = match shown.len() {
            0 => {
                "packets are not read, the thread that reads them has ended, or the picture is not put \
                  into the window"
            }
            1 => {
                "only the first packet is read: the loop of listenRtp ends, or the number of the last \
                  frame is wrong"
            }
            _ => "frames are left out: a wait in listenRtp, or packets are dropped",
        };
        let expected = format!("at least {} different frames", least.max(1));
        return Err(Failure::new(expected, actual, mistake, look).into());
    }
    Ok(())
}

/// Whether frames are shown at all: another check says why not.
fn shows(evidence: &ClientEvidence) -> Outcome {
    match frames(evidence) {
        Err(Verdict::Failed(_)) => Err(not_run("the frames are not shown as they should be")),
        outcome => outcome,
    }
}

fn pause_picture(evidence: &ClientEvidence) -> Outcome {
    let run = playing(evidence)?;
    shows(evidence)?;
    let pause = request(run, "pause")?.at;
    let end = run.times.get("paused").copied().ok_or_else(|| not_run("PAUSE was not observed"))?;
    let look = "pauseMovie: it sends PAUSE, and leaves the label as it is";
    let pressed = run.step("pause").map_or(pause, |it| it.at);
    let in_pause = |it: &&Shown| it.at >= pressed && it.at < end;
    for shown in run.shown.iter().filter(in_pause) {
        match shown.kind {
            PictureKind::Frame(_) if shown.at < pause + ON_THE_WAY + run.stall => {}
            PictureKind::Frame(frame) => {
                let mistake = "frames are kept and shown later";
                let actual = format!(
                    "frame {} was shown {} ms after PAUSE",
                    frame + 1,
                    shown.at.saturating_sub(pause).as_millis()
                );
                return Err(Failure::new("the last picture stays", actual, mistake, look).into());
            }
            _ => {
                let mistake = "PAUSE removes the picture, or shows another one";
                let (actual, _) = describe(shown);
                return Err(Failure::new("the last picture stays", actual, mistake, look).into());
            }
        }
    }
    Ok(())
}

fn resume(evidence: &ClientEvidence) -> Outcome {
    let run = play(evidence)?;
    request(run, "pause")?;
    let step = step(run, "resume")?;
    let end = run.step("teardown").map_or(Duration::MAX, |it| it.at);
    let in_part = |at: Duration| at >= step.at && at < end;
    let setup = run.requests.iter().find(|it| it.method == Some(Method::Setup) && in_part(it.at));
    if let Some(setup) = setup {
        let mistake = "PLAY starts a new session, or PAUSE ends the old one";
        let look = "playMovie in READY, and pauseMovie";
        let failure = Failure::new("PLAY only", setup.named(), mistake, look);
        return Err(failure.with(excerpt(run, setup, "SETUP")).into());
    }
    let look = "playMovie: a new thread for listenRtp, and a new event, for each PLAY";
    if run.request_of("resume").is_none() {
        let mistake = "the state is not READY after PAUSE's reply, or the button works once only";
        let expected = format!("PLAY within {} ms", step.limit.as_millis());
        return Err(Failure::new(expected, "no request", mistake, look).into());
    }
    if run.visibility == Visibility::None {
        return Ok(());
    }
    shows(evidence)?;
    let frames = run.frames(step.at, end);
    let is_new = |frame: usize| run.sent.iter().any(|it| it.frame == frame && it.at >= step.at);
    if !frames.iter().any(|(_, frame)| is_new(*frame)) {
        let mistake = "packets are no longer read after PAUSE: the thread has ended, or the event is still set";
        return Err(Failure::new("new frames after PLAY", "none", mistake, look).into());
    }
    Ok(())
}
