// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks of what the client does if packets are lost, late, repeated, or none.

use super::{ClientCheck, Outcome, not_run, request, required, seen};
use crate::check::{Excerpt, Failure, Pointer, Verdict};
use crate::client::evidence::{ClientEvidence, Run, Visibility};
use crate::client::scenarios::{BEFORE_GARBAGE, LAST, LATE, LOST, REPEATED};

pub(super) fn checks() -> Vec<ClientCheck> {
    vec![
        ClientCheck::of_all(
            "client-loss",
            "after lost packets the movie goes on",
            "RFC 3550 section 6.4.1: packets are lost; lab: UDP does not repeat them",
            loss,
        ),
        ClientCheck::of_all(
            "client-reorder",
            "a frame that is late is not shown after a newer one",
            "lab: a frame is shown if its number is above that of the last one",
            reorder,
        ),
        ClientCheck::of_all(
            "client-duplicate",
            "after repeated packets the movie goes on",
            "RFC 3550 section 6.4.1: packets may be duplicated by the network",
            |it| goes_on(it, Part::Repeated),
        ),
        ClientCheck::of_all(
            "client-garbage",
            "datagrams that are no RTP packet do no harm",
            "RFC 3550 appendix A.1: a packet is validated before it is used",
            |it| goes_on(it, Part::Garbage),
        ),
    ]
}

/// The run, if frames were shown before anything happened to them. What is seen does not count otherwise.
fn run<'a>(
    evidence: &'a ClientEvidence,
    run: Option<&'a Run>,
    before: usize,
) -> Result<&'a Run, Verdict> {
    let run = required(run)?;
    request(run, "play")?;
    if run.visibility == Visibility::None {
        return Ok(run);
    }
    // Another check reports wrong frames.
    let _ = evidence;
    if !run.all_frames().iter().any(|frame| *frame < before) {
        return Err(not_run("no frame was shown before"));
    }
    Ok(run)
}

/// Whether the client still answers its buttons, if nothing is seen.
fn is_alive(evidence: &ClientEvidence, run: &Run, what: &str) -> Outcome {
    let pauses = evidence.play.as_ref().is_some_and(|it| it.request_of("pause").is_some());
    if !pauses || run.request_of("pause").is_some() {
        return Ok(());
    }
    let actual = match &run.ended {
        Some((_, how)) => format!("the program ended with {how}"),
        None => "no PAUSE when Pause was pressed".to_owned(),
    };
    let look = "listenRtp: what an exception there ends";
    Err(Failure::new(format!("the client works after {what}"), actual, "it ends, or hangs", look)
        .into())
}

pub(super) fn loss(evidence: &ClientEvidence) -> Outcome {
    let [first, _, last] = LOST;
    let run = run(evidence, evidence.loss.as_ref(), first)?;
    if run.visibility == Visibility::None {
        return is_alive(evidence, run, "lost packets");
    }
    let frames = run.all_frames();
    let after: Vec<usize> = frames.iter().copied().filter(|frame| *frame > last).collect();
    if after.len() >= 2 {
        return Ok(());
    }
    let newest = frames.iter().max().map_or(0, |frame| frame + 1);
    let actual = format!("frame {newest} is the last one that was shown");
    let mistake = "the client waits for the frame that is missing: it shows only the one with the next number";
    let look = "listenRtp: if currFrameNbr > self.frameNbr";
    let expected = format!("frames after {}, which was lost", last + 1);
    Err(Failure::new(expected, actual, mistake, look).with(packet(run, last + 1)).into())
}

/// The packet with a frame.
fn packet(run: &Run, frame: usize) -> Option<Excerpt> {
    let at = run.sent.iter().position(|it| it.frame == frame)?;
    let sequence = u16::try_from(frame + 1).unwrap_or(0).to_be_bytes();
    let bytes = [0x80, 0x9a, sequence[0], sequence[1]];
    let of = format!("RTP packet with sequence number {}, the first bytes", frame + 1);
    Some(Excerpt::new(of, Pointer::Packet(run.recording, at), &bytes, 2..4))
}

fn reorder(evidence: &ClientEvidence) -> Outcome {
    let (late, early) = LATE;
    let run = run(evidence, evidence.disorder.as_ref(), late)?;
    seen(run)?;
    let frames = run.all_frames();
    let Some(newer) = frames.iter().position(|frame| *frame == early) else {
        return Err(not_run(format!("frame {}, which came early, was not shown", early + 1)));
    };
    let after = frames.get(newer + 1..).unwrap_or_default();
    let Some(old) = after.iter().find(|frame| **frame < early) else { return Ok(()) };
    let actual = format!("frame {} after frame {}", old + 1, early + 1);
    let mistake = "the number of the frame is not compared with that of the last one";
    let look = "listenRtp: if currFrameNbr > self.frameNbr";
    let expected =
        format!("frame {} is left out, since frame {} is shown already", late + 1, early + 1);
    Err(Failure::new(expected, actual, mistake, look).with(packet(run, late)).into())
}

#[derive(Clone, Copy)]
enum Part {
    Repeated,
    Garbage,
}

fn goes_on(evidence: &ClientEvidence, part: Part) -> Outcome {
    let (before, from, to, what, mistake) = match part {
        Part::Repeated => (
            REPEATED + 1,
            REPEATED + 1,
            BEFORE_GARBAGE,
            "repeated packets",
            "a number that comes again ends the loop that reads packets",
        ),
        Part::Garbage => (
            BEFORE_GARBAGE + 1,
            BEFORE_GARBAGE + 1,
            LAST,
            "datagrams that are too short",
            "an exception in decode, or an empty datagram, ends the thread that reads packets",
        ),
    };
    let run = run(evidence, evidence.disorder.as_ref(), LATE.0)?;
    if run.visibility == Visibility::None {
        return match part {
            Part::Repeated => seen(run),
            Part::Garbage => is_alive(evidence, run, what),
        };
    }
    let frames = run.all_frames();
    // Another check reports what stopped the pictures before.
    let since = if matches!(part, Part::Repeated) { LATE.1 } else { REPEATED + 1 };
    if !frames.iter().any(|frame| (since..before).contains(frame)) {
        return Err(not_run("no frame was shown right before"));
    }
    if frames.iter().any(|frame| (from..=to).contains(frame)) {
        return Ok(());
    }
    let newest = frames.iter().max().map_or(0, |frame| frame + 1);
    let look = "listenRtp: what ends its loop, and try around decode";
    let expected = format!("frames after {what}");
    let actual = format!("frame {newest} is the last one that was shown");
    Err(Failure::new(expected, actual, mistake, look).into())
}
