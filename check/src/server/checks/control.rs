// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks of PAUSE, of PLAY after it, and of TEARDOWN.

use super::frames::movie_frames;
use super::{
    FOREVER, Outcome, SAME_NUMBER, ServerCheck, actual_reply, excerpt, first_play, ms, not_run,
    packet_excerpt, play, required, resumed_play, sent_request, stream,
};
use crate::check::Failure;
use crate::server::evidence::ServerEvidence;
use crate::server::exchange::RequestOutcome;
use std::time::Duration;

/// The number of late packets that are not counted: a busy machine may have had them on their way.
const LATE_PACKETS: usize = 2;

pub(super) fn checks() -> Vec<ServerCheck> {
    vec![
        ServerCheck::of_all(
            "pause-reply",
            "PAUSE is answered 200",
            "lab: PAUSE leads from PLAYING to READY; OK_200",
            pause_reply,
        ),
        ServerCheck::of_all(
            "pause-stops",
            "no packet comes after PAUSE",
            "lab: PAUSE stops the sender; RFC 2326 section 10.6: the stream is halted",
            pause_stops,
        ),
        ServerCheck::of_all(
            "resume-frame",
            "PLAY after PAUSE goes on with the next frame",
            "lab: PAUSE keeps the position; RFC 2326 section 10.6: resumes at the pause point",
            resume_frame,
        ),
        ServerCheck::of_all(
            "resume-sequence",
            "sequence numbers go on after PAUSE",
            "RFC 3550 section 5.1: the number increments by one for each packet of the stream",
            resume_sequence,
        ),
        ServerCheck::of_all(
            "teardown-reply",
            "TEARDOWN is answered 200",
            "lab: TEARDOWN ends the session; OK_200",
            teardown_reply,
        ),
        ServerCheck::of_all(
            "teardown-stops",
            "no packet comes after TEARDOWN",
            "lab: TEARDOWN stops the sender and closes its socket; RFC 2326 section 10.7",
            teardown_stops,
        ),
        ServerCheck::of_all(
            "teardown-again",
            "after TEARDOWN the movie plays from its start for the same port",
            "lab: a new session starts with the first frame",
            teardown_again,
        ),
    ]
}

fn is_answered(recording: usize, answer: &RequestOutcome, mistake: &str, look: &str) -> Outcome {
    if answer.is_ok() {
        return Ok(());
    }
    let failure = Failure::new("status 200", actual_reply(answer), mistake, look);
    Err(failure.with(excerpt(recording, answer, "")).into())
}

fn pause_reply(evidence: &ServerEvidence) -> Outcome {
    let play = play(evidence)?;
    let mistake = "PAUSE sends no reply, or the state is not PLAYING after PLAY";
    let look = "PAUSE in PLAYING: the state that PLAY sets, and the call that replies";
    is_answered(play.recording, sent_request(play.pause.as_ref(), "PAUSE")?, mistake, look)
}

fn teardown_reply(evidence: &ServerEvidence) -> Outcome {
    let play = play(evidence)?;
    let mistake = "TEARDOWN closes the connection or fails before it replies";
    let look = "TEARDOWN: the reply comes before sockets are closed";
    is_answered(play.recording, sent_request(play.teardown.as_ref(), "TEARDOWN")?, mistake, look)
}

/// Fails if packets come after a request has been answered.
fn stops(
    evidence: &ServerEvidence,
    answer: &RequestOutcome,
    until: Duration,
    (mistake, look): (&str, &str),
) -> Outcome {
    let play = play(evidence)?;
    let recording = required(evidence.recording(play.recording))?;
    let limit = evidence.profile.time.stop;
    let silent_from = answer.read_at() + limit + play.stall;
    let late = |at: Duration| at >= silent_from && at < until;
    let numbers = recording.packets.iter().enumerate();
    let late: Vec<usize> =
        numbers.filter(|(_, it)| it.port == 0 && late(it.at)).map(|(number, _)| number).collect();
    if late.len() <= LATE_PACKETS {
        return Ok(());
    }
    let last = late.last().and_then(|number| recording.packets.get(*number));
    let last = last.map_or(Duration::ZERO, |it| it.at.saturating_sub(answer.read_at()));
    let expected = format!("no packet later than {} after the reply", ms(limit));
    let actual = format!("{} packets, the last one after {}", late.len(), ms(last));
    let excerpt =
        packet_excerpt(evidence, play.recording, late.first().copied().unwrap_or(0), 2..4);
    Err(Failure::new(expected, actual, mistake, look).with(excerpt).into())
}

fn pause_stops(evidence: &ServerEvidence) -> Outcome {
    first_play(evidence)?;
    let play = play(evidence)?;
    let pause = sent_request(play.pause.as_ref(), "PAUSE")?;
    let until = play.resume.as_ref().map_or(FOREVER, |resume| resume.sent_at);
    let words = (
        "the sender is not told to stop, or looks for it only after a long wait",
        "PAUSE: the event that ends the loop that sends frames (clientInfo['event'].set())",
    );
    stops(evidence, pause, until, words)
}

fn teardown_stops(evidence: &ServerEvidence) -> Outcome {
    first_play(evidence)?;
    let play = play(evidence)?;
    let teardown = sent_request(play.teardown.as_ref(), "TEARDOWN")?;
    let words = (
        "the sender is not told to stop, and goes on after the session has ended",
        "TEARDOWN: the event that ends the loop that sends frames, and the RTP socket",
    );
    stops(evidence, teardown, play.silent_until, words)
}

fn resume_frame(evidence: &ServerEvidence) -> Outcome {
    let exchange = play(evidence)?;
    let start = sent_request(exchange.play.as_ref(), "PLAY")?.sent_at;
    let resume = sent_request(exchange.resume.as_ref(), "PLAY after PAUSE")?.sent_at;
    let (_, before) = stream(evidence, exchange, (start, resume))?;
    let Some(&(last, _)) = movie_frames(evidence, &before).last() else {
        return Err(not_run("no frames of the movie arrived before PAUSE"));
    };
    let look = "PLAY: the movie is opened in SETUP, and not again";
    let expected = format!("frame {} after frame {}", last + 2, last + 1);
    let Ok((_, after)) = resumed_play(evidence) else {
        let mistake = "the second PLAY starts no sender, such as when its event is still set";
        let look = "PLAY: what it starts, and the event that ended the sender before";
        return Err(Failure::new(expected, "no packet", mistake, look).into());
    };
    let Some(&(first, at)) = movie_frames(evidence, &after).first() else {
        return Err(not_run("no frames of the movie arrived after PAUSE"));
    };
    // The search for equal frames starts at the first one.
    let payload = after.frames.get(at).map(|frame| frame.payload.clone()).unwrap_or_default();
    let first = evidence.movie.find(&payload, last + 1).unwrap_or(first);
    if first == last + 1 {
        return Ok(());
    }
    let mistake = if first == 0 {
        "the movie is opened again by PLAY, so that it starts again"
    } else if first > last {
        "frames are read while nothing is sent: the position moves during the pause"
    } else {
        "the position is lost"
    };
    let recorded = after.frames.get(at).map_or(0, |frame| after.recorded(frame));
    let excerpt = packet_excerpt(evidence, exchange.recording, recorded, 2..4);
    let actual = format!("frame {}", first + 1);
    Err(Failure::new(expected, actual, mistake, look).with(excerpt).into())
}

fn resume_sequence(evidence: &ServerEvidence) -> Outcome {
    let (exchange, first) = first_play(evidence)?;
    if first.only_number().is_some() {
        return Err(not_run(SAME_NUMBER));
    }
    let start = sent_request(exchange.play.as_ref(), "PLAY")?.sent_at;
    let resume = sent_request(exchange.resume.as_ref(), "PLAY after PAUSE")?.sent_at;
    let (_, before) = stream(evidence, exchange, (start, resume))?;
    let (_, mut after) = resumed_play(evidence)?;
    after.low_byte_first = first.low_byte_first;
    let last = before.packets.len().saturating_sub(1);
    let steps: Vec<u16> = (1..first.packets.len())
        .map(|at| first.number(at).wrapping_sub(first.number(at - 1)))
        .collect();
    // Another check is for the step itself.
    let usual = steps.iter().copied().find(|step| *step > 0).unwrap_or(1);
    let mut last_number = before.packets.get(last).map_or(0, |it| it.header.sequence_number);
    if first.low_byte_first {
        last_number = last_number.swap_bytes();
    }
    let number = after.number(0);
    let step = number.wrapping_sub(last_number);
    if step == 1 || step == usual {
        return Ok(());
    }
    let recorded = after.packets.first().map_or(0, |packet| packet.number);
    let excerpt = packet_excerpt(evidence, exchange.recording, recorded, 2..4);
    let expected = format!("sequence number {} after {last_number}", last_number.wrapping_add(1));
    let mistake = "the number is reset by PLAY, or counts during the pause";
    let look = "where the sequence number is kept: it belongs to the session";
    Err(Failure::new(expected, number.to_string(), mistake, look).with(excerpt).into())
}

fn teardown_again(evidence: &ServerEvidence) -> Outcome {
    let (exchange, first) = first_play(evidence)?;
    sent_request(exchange.teardown.as_ref(), "TEARDOWN")?;
    let expected = "a new client is served";
    let look = "TEARDOWN: it ends one session, not the program, and leaves nothing of it";
    let Some(setup) = &exchange.again_setup else {
        let mistake = "the program ends, or no longer accepts, after TEARDOWN";
        return Err(Failure::new(expected, "the connection was refused", mistake, look).into());
    };
    if !setup.is_ok() {
        let mistake = "the server no longer answers after TEARDOWN";
        let failure = Failure::new(expected, actual_reply(setup), mistake, look);
        return Err(failure.with(excerpt(exchange.recording, setup, "")).into());
    }
    let again = sent_request(exchange.again_play.as_ref(), "PLAY")?;
    let Ok((_, stream)) = stream(evidence, exchange, (again.sent_at, FOREVER)) else {
        let mistake =
            "the second session sends no packets: its sender or its socket is the old one's";
        return Err(Failure::new("packets", "no packet", mistake, look).into());
    };
    let frames = movie_frames(evidence, &stream);
    let first_frame = movie_frames(evidence, &first).first().map_or(0, |(number, _)| *number);
    let Some(&(number, at)) = frames.first() else {
        return Err(not_run("no frames of the movie arrived"));
    };
    if number == first_frame {
        return Ok(());
    }
    let recorded = stream.frames.get(at).map_or(0, |frame| stream.recorded(frame));
    let excerpt = packet_excerpt(evidence, exchange.recording, recorded, 2..4);
    let expected = format!("frame {} first, as in the first session", first_frame + 1);
    let mistake = "the sessions share one opened movie, or the old sender still sends";
    let actual = format!("frame {}", number + 1);
    Err(Failure::new(expected, actual, mistake, look).with(excerpt).into())
}
