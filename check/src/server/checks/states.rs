// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks of requests in states that do not allow them. The lab lets a server ignore or refuse such a
//! request; it must do no harm.

use super::frames::movie_frames;
use super::{Outcome, ServerCheck, actual_reply, excerpt, not_run, required, sent_request};
use crate::check::{Failure, Verdict};
use crate::server::evidence::{ServerEvidence, StateExchange};
use crate::server::exchange::{NoReply, RequestOutcome};
use crate::server::stream::{Stream, StreamFrame};

pub(super) fn checks() -> Vec<ServerCheck> {
    vec![
        ServerCheck::of_all(
            "play-in-init",
            "PLAY before SETUP is ignored or refused",
            "lab: PLAY is allowed in READY only; RFC 2326 section 7.1.1: 455",
            play_in_init,
        ),
        ServerCheck::of_all(
            "pause-in-ready",
            "PAUSE before PLAY does no harm",
            "lab: PAUSE leads from PLAYING to READY, and does nothing in READY",
            pause_in_ready,
        ),
        ServerCheck::of_all(
            "setup-twice",
            "a second SETUP of the same movie keeps the session",
            "lab: SETUP is allowed in INIT only; a user may press the button twice",
            setup_twice,
        ),
        ServerCheck::of_all(
            "play-twice",
            "a second PLAY starts no second stream",
            "lab: PLAY is allowed in READY only; a user may press the button twice",
            play_twice,
        ),
        ServerCheck::of_all(
            "teardown-in-ready",
            "TEARDOWN before PLAY is answered 200",
            "lab: TEARDOWN ends the session in each state",
            teardown_in_ready,
        ),
        ServerCheck::of_all(
            "survives-states",
            "the server serves a new client after all that",
            "lab: a client's mistakes concern that client only",
            lives,
        ),
    ]
}

fn states(evidence: &ServerEvidence) -> Result<&StateExchange, Verdict> {
    let states = required(evidence.states.as_ref())?;
    let play = super::play(evidence)?;
    if !play.setup.is_ok() {
        return Err(not_run("SETUP does not work"));
    }
    Ok(states)
}

/// A failure if a request that was not allowed ended the connection: the next one got no 200.
fn survived(
    recording: usize,
    request: &RequestOutcome,
    next: &RequestOutcome,
    words: (&str, &str, &str),
) -> Outcome {
    let (what, mistake, look) = words;
    if next.is_ok() {
        return Ok(());
    }
    let closed =
        request.no_reply == Some(NoReply::Closed) || next.no_reply == Some(NoReply::Closed);
    let actual = if closed {
        "the server closed the connection".to_owned()
    } else {
        format!("{}: {}", next.method.word(), actual_reply(next))
    };
    let expected = format!("{} after it is answered 200", next.method.word());
    let failure = Failure::new(format!("{what}, and {expected}"), actual, mistake, look);
    Err(failure.with(excerpt(recording, next, "")).into())
}

fn play_in_init(evidence: &ServerEvidence) -> Outcome {
    let states = states(evidence)?;
    let request = &states.play_in_init;
    let look = "the test of the state at the start of PLAY: if self.state == self.READY";
    if request.is_ok() {
        let expected = "no reply, or an error such as 455";
        let mistake = "the state is not tested, or is READY from the start";
        let failure = Failure::new(expected, actual_reply(request), mistake, look);
        return Err(failure.with(excerpt(states.recording, request, "200")).into());
    }
    let setup = sent_request(states.setup.as_ref(), "SETUP")?;
    let mistake = "PLAY uses what only SETUP makes, such as the client's port, and the thread of the \
                   connection ends with an exception";
    survived(states.recording, request, setup, ("no harm", mistake, look))
}

fn pause_in_ready(evidence: &ServerEvidence) -> Outcome {
    let states = states(evidence)?;
    let request = sent_request(states.pause_in_ready.as_ref(), "PAUSE")?;
    let play = sent_request(states.play.as_ref(), "PLAY")?;
    let look = "the test of the state at the start of PAUSE: if self.state == self.PLAYING";
    let mistake = "PAUSE uses what only PLAY makes, such as the event that stops the sender, or leads \
                   to another state";
    if request.no_reply == Some(NoReply::Closed) {
        let expected = "the connection stays open";
        let actual = NoReply::Closed.describe();
        return Err(Failure::new(expected, actual, mistake, look).into());
    }
    if states.setup_again.as_ref().is_some_and(|it| it.no_reply == Some(NoReply::Closed)) {
        return Err(not_run("the second SETUP ended the connection"));
    }
    // Another check is for the reply to PLAY.
    if states.played {
        return Ok(());
    }
    survived(states.recording, request, play, ("no harm", mistake, look))
}

fn setup_twice(evidence: &ServerEvidence) -> Outcome {
    let states = states(evidence)?;
    let setup = sent_request(states.setup.as_ref(), "SETUP")?;
    let again = sent_request(states.setup_again.as_ref(), "the second SETUP")?;
    let session = |answer: &RequestOutcome| answer.reply.as_ref()?.fields()?.session;
    let look = "the test of the state at the start of SETUP: if self.state == self.INIT";
    if again.no_reply == Some(NoReply::Closed) {
        if states.pause_in_ready.as_ref().is_some_and(|it| it.no_reply == Some(NoReply::Closed)) {
            return Err(not_run("PAUSE ended the connection"));
        }
        let mistake = "the second SETUP opens again what is open, and the thread ends";
        let actual = NoReply::Closed.describe();
        return Err(Failure::new("the connection stays open", actual, mistake, look).into());
    }
    let (Some(first), Some(second)) = (session(setup), session(again)) else { return Ok(()) };
    if again.is_ok() && first != second {
        let mistake = "the second SETUP makes a new session, and the client keeps the old number";
        let expected = format!("no reply, an error, or session {first}");
        let failure = Failure::new(expected, format!("session {second:?}"), mistake, look);
        return Err(failure.with(excerpt(states.recording, again, &second)).into());
    }
    Ok(())
}

fn play_twice(evidence: &ServerEvidence) -> Outcome {
    let states = states(evidence)?;
    let play = sent_request(states.play.as_ref(), "PLAY")?;
    let again = sent_request(states.play_again.as_ref(), "the second PLAY")?;
    if !states.played {
        return Err(not_run("no RTP packet arrived before it"));
    }
    let look = "the test of the state at the start of PLAY: if self.state == self.READY";
    if again.no_reply == Some(NoReply::Closed) {
        let mistake = "the second PLAY ends the thread of the connection";
        let actual = NoReply::Closed.describe();
        return Err(Failure::new("the connection stays open", actual, mistake, look).into());
    }
    let recording = required(evidence.recording(states.recording))?;
    let part = (play.sent_at, states.watched_until);
    let stream = Stream::new(recording, 0, part, &evidence.profile.lab);
    // A frame that is sent again, or out of order, comes from a second sender, or a new start.
    let (what, numbers) = numbers(evidence, &stream);
    let mut last: Option<u16> = None;
    for (frame, number) in numbers {
        if let Some(before) = last.filter(|_| frame.at > again.sent_at) {
            let ahead = number.wrapping_sub(before);
            if ahead == 0 || ahead > u16::MAX / 2 {
                let actual = format!("{what} {number} after {before}");
                let mistake = "the second PLAY starts a second sender, or starts the movie again";
                let expected = "the same stream goes on";
                let excerpt =
                    super::packet_excerpt(evidence, states.recording, stream.recorded(frame), 2..4);
                return Err(Failure::new(expected, actual, mistake, look).with(excerpt).into());
            }
        }
        last = Some(number);
    }
    Ok(())
}

/// The frames of a stream, each with a number, and the name of that number: the sequence number, or if all
/// frames have the same one, the number in the movie.
fn numbers<'a>(
    evidence: &ServerEvidence,
    stream: &'a Stream<'a>,
) -> (&'static str, Vec<(&'a StreamFrame<'a>, u16)>) {
    if stream.only_number().is_none() {
        let number = |frame: &'a StreamFrame<'a>| (frame, stream.number(frame.first));
        return ("sequence number", stream.frames.iter().map(number).collect());
    }
    let in_movie = movie_frames(evidence, stream).into_iter();
    let number = |(frame, at): (usize, usize)| {
        Some((stream.frames.get(at)?, u16::try_from(frame + 1).ok()?))
    };
    ("frame", in_movie.filter_map(number).collect())
}

fn teardown_in_ready(evidence: &ServerEvidence) -> Outcome {
    let states = states(evidence)?;
    let teardown = sent_request(states.early_teardown.as_ref(), "TEARDOWN in READY")?;
    if teardown.is_ok() {
        return Ok(());
    }
    let mistake = "TEARDOWN uses what only PLAY makes: the event that stops the sender, or the RTP \
                   socket; without them the thread ends with an exception before the reply";
    let look = "TEARDOWN: test whether the movie has been played before it is stopped";
    let failure = Failure::new("status 200", actual_reply(teardown), mistake, look);
    Err(failure.with(excerpt(states.recording, teardown, "")).into())
}

fn lives(evidence: &ServerEvidence) -> Outcome {
    let states = states(evidence)?;
    let mistake = "the whole program ends, or no longer accepts, after a client's mistake";
    let look = "the loop that accepts connections, and what an exception in a client's thread ends";
    match &states.setup_after {
        Some(setup) if setup.is_ok() => Ok(()),
        Some(setup) => {
            let failure = Failure::new("SETUP is answered 200", actual_reply(setup), mistake, look);
            Err(failure.with(excerpt(states.recording, setup, "")).into())
        }
        None => {
            let actual = "the connection was refused";
            Err(Failure::new("a new connection is accepted", actual, mistake, look).into())
        }
    }
}
