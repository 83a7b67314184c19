// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks of a movie that does not exist, of two clients, of the end of the movie, and of a client that
//! disappears.

use super::frames::frames_of;
use super::{
    FOREVER, Outcome, ServerCheck, actual_reply, excerpt, ms, not_run, packet_excerpt, play,
    required, sent_request,
};
use crate::check::{Failure, Verdict};
use crate::server::evidence::{DisconnectExchange, EndExchange, ServerEvidence};
use crate::server::exchange::RequestOutcome;
use crate::server::stream::Stream;

/// The fewest frames that each of two clients receives.
const FRAMES_OF_TWO: usize = 5;

/// The number of late packets that are not counted.
const LATE_PACKETS: usize = 2;

pub(super) fn checks() -> Vec<ServerCheck> {
    vec![
        ServerCheck::of_all(
            "movie-missing",
            "SETUP of a movie that does not exist is answered 404",
            "lab: FILE_NOT_FOUND_404; RFC 2326 section 11: 404 Not Found",
            movie_missing,
        ),
        ServerCheck::of_all(
            "survives-missing",
            "the server serves the next client after that",
            "lab: a client's mistakes concern that client only",
            survives_missing,
        ),
        ServerCheck::of_all(
            "two-clients",
            "two clients receive their own streams at once",
            "lab: the server has a thread for each client, with its own movie, port and session",
            two_clients,
        ),
        ServerCheck::of_all(
            "end-stops",
            "the last frame of the movie comes, and nothing after it",
            "lab: at the end of the file there is no frame to send",
            end_stops,
        ),
        ServerCheck::of_all(
            "teardown-after-end",
            "the session can be ended after the end of the movie",
            "lab: TEARDOWN is answered in each state",
            teardown_after_end,
        ),
        ServerCheck::of_all(
            "disconnect-stops",
            "packets stop when the client's connection closes",
            "lab: a session lasts as long as its connection",
            disconnect_stops,
        ),
        ServerCheck::of_all(
            "survives-disconnect",
            "the server serves the next client after one has disappeared",
            "lab: the server accepts clients until it is stopped",
            survives_disconnect,
        ),
    ]
}

/// Whether SETUP works at all; without it, nothing can be said here.
fn setup_works(evidence: &ServerEvidence) -> Outcome {
    let works = play(evidence)?.setup.is_ok();
    if works { Ok(()) } else { Err(not_run("SETUP does not work")) }
}

fn movie_missing(evidence: &ServerEvidence) -> Outcome {
    setup_works(evidence)?;
    let missing = required(evidence.missing.as_ref())?;
    if missing.setup.code() == Some(404) {
        return Ok(());
    }
    let mistake = if missing.setup.is_ok() {
        "the reply for the missing file is followed, or replaced, by 200: after the error, the rest of \
         SETUP is still carried out"
    } else {
        "the error is printed, but not sent, or the exception ends the thread of the client"
    };
    let look = "SETUP: what happens when the file cannot be opened (except IOError), and replyRtsp for \
                FILE_NOT_FOUND_404";
    let failure = Failure::new("status 404", actual_reply(&missing.setup), mistake, look);
    Err(failure.with(excerpt(missing.recording, &missing.setup, "")).into())
}

/// Fails if a new client is not served.
fn next_is_served(
    recording: usize,
    next: Option<&RequestOutcome>,
    (mistake, look): (&str, &str),
) -> Outcome {
    let expected = "SETUP of a new client is answered 200";
    match next {
        Some(setup) if setup.is_ok() => Ok(()),
        Some(setup) => {
            let failure = Failure::new(expected, actual_reply(setup), mistake, look);
            Err(failure.with(excerpt(recording, setup, "")).into())
        }
        None => Err(Failure::new(expected, "the connection was refused", mistake, look).into()),
    }
}

fn survives_missing(evidence: &ServerEvidence) -> Outcome {
    setup_works(evidence)?;
    let missing = required(evidence.missing.as_ref())?;
    let words = (
        "an exception for the missing file ends the whole program",
        "SETUP: what happens when the file cannot be opened",
    );
    next_is_served(missing.recording, missing.after.as_ref(), words)
}

fn two_clients(evidence: &ServerEvidence) -> Outcome {
    let exchange = play(evidence)?;
    let recording = required(evidence.recording(exchange.recording))?;
    if !recording.packets.iter().any(|packet| packet.port == 0) {
        return Err(not_run("one client alone receives no packet"));
    }
    let two = required(evidence.two.as_ref())?;
    let [Some(_), _] = &two.clients else {
        return Err(not_run("the server accepts no connection any more"));
    };
    let recording = required(evidence.recording(two.recording))?;
    let look = "what is stored for each client (clientInfo), and what is stored once for all; the loop that \
                accepts connections";
    for (number, client) in two.clients.iter().enumerate() {
        let who = if number == 0 { "the first client" } else { "the second client" };
        let Some((setup, answer)) = client else {
            let mistake = "the server accepts the second client only when the first one has gone";
            let actual = format!("the connection of {who} was refused");
            return Err(Failure::new("two connections", actual, mistake, look).into());
        };
        if !setup.is_ok() {
            let mistake = "the server reads the requests of one client at a time";
            let actual = format!("{who}: {}", actual_reply(setup));
            let failure = Failure::new("SETUP of both is answered 200", actual, mistake, look);
            return Err(failure.with(excerpt(two.recording, setup, "")).into());
        }
        let start = answer.as_ref().map_or(FOREVER, |answer| answer.sent_at);
        let stream = Stream::new(recording, number, (start, FOREVER), &evidence.profile.lab);
        let frames = frames_of(&evidence.movie, &stream);
        let mistake = "the second client takes the port, the movie or the sender of the first one";
        if frames.len() < FRAMES_OF_TWO {
            let expected = format!("at least {FRAMES_OF_TWO} frames for each client");
            let actual = format!("{who} received {} frames", frames.len());
            return Err(Failure::new(expected, actual, mistake, look).into());
        }
        // A frame that comes too early in the movie was sent to both; another check reports a wrong order.
        let first = frames.first().map_or(0, |(frame, _)| *frame);
        let again = frames.iter().skip(1).position(|(frame, _)| *frame <= first);
        let wrong = if first > FRAMES_OF_TWO { Some(0) } else { again.map(|at| at + 1) };
        if let Some(&(frame, at)) = wrong.and_then(|at| frames.get(at)) {
            let recorded = stream.frames.get(at).map_or(0, |it| stream.recorded(it));
            let excerpt = packet_excerpt(evidence, two.recording, recorded, 2..4);
            let actual = format!("{who} received frame {}", frame + 1);
            let expected = "the frames of the movie in order, from the first one";
            return Err(Failure::new(expected, actual, mistake, look).with(excerpt).into());
        }
    }
    Ok(())
}

fn end(evidence: &ServerEvidence) -> Result<(&EndExchange, Stream<'_>), Verdict> {
    setup_works(evidence)?;
    if let Some(reason) = &evidence.no_end {
        return Err(Verdict::Skipped { reason: reason.clone() });
    }
    let end = required(evidence.end.as_ref())?;
    if !end.setup.is_ok() {
        return Err(not_run("SETUP of the movie whose end is checked does not work"));
    }
    let start = sent_request(end.play.as_ref(), "PLAY")?.sent_at;
    let recording = required(evidence.recording(end.recording))?;
    let stream = Stream::new(recording, 0, (start, FOREVER), &evidence.profile.lab);
    if stream.packets.is_empty() {
        return Err(not_run("no RTP packet arrived"));
    }
    Ok((end, stream))
}

fn end_stops(evidence: &ServerEvidence) -> Outcome {
    let (end, stream) = end(evidence)?;
    let count = end.movie.frames.len();
    let frames = frames_of(&end.movie, &stream);
    let look = "the loop that sends frames: it ends when nextFrame returns nothing";
    let last = frames.iter().map(|(frame, _)| frame + 1).max().unwrap_or(0);
    let expected = format!("{count} frames, and then nothing");
    // Other checks are for missing frames in the middle.
    let at_last = frames.iter().position(|(frame, _)| frame + 1 == last).unwrap_or(0);
    let after = frames.get(at_last).map_or(0, |(_, at)| at + 1);
    let more = stream.frames.get(after..).unwrap_or_default();
    if last < count {
        if !end.silent && more.is_empty() {
            let reason = format!("frame {last} of {count} arrived, and the movie still played");
            return Err(not_run(reason));
        }
        let actual = format!("frame {last} is the last one");
        let mistake = "the sender ends before the end of the file";
        return Err(Failure::new(expected, actual, mistake, look).into());
    }
    let Some(frame) = more.first() else { return Ok(()) };
    let actual = format!("{} more packets after the last frame", more.len());
    let mistake = if frames.iter().any(|(_, at)| *at == after) {
        "the movie starts again by itself, or the last frame is sent again and again"
    } else {
        "packets without a frame are sent when the file has ended"
    };
    let excerpt = packet_excerpt(evidence, end.recording, stream.recorded(frame), 2..4);
    Err(Failure::new(expected, actual, mistake, look).with(excerpt).into())
}

fn teardown_after_end(evidence: &ServerEvidence) -> Outcome {
    let (end, _) = end(evidence)?;
    let teardown = sent_request(end.teardown.as_ref(), "TEARDOWN")?;
    if teardown.is_ok() {
        return Ok(());
    }
    let mistake = "an exception at the end of the file ends the client's thread or the program";
    let look = "nextFrame at the end of the file: the five digits are missing, and int() fails";
    let failure = Failure::new("TEARDOWN is answered 200", actual_reply(teardown), mistake, look);
    Err(failure.with(excerpt(end.recording, teardown, "")).into())
}

fn disconnect(evidence: &ServerEvidence) -> Result<&DisconnectExchange, Verdict> {
    setup_works(evidence)?;
    required(evidence.disconnect.as_ref())
}

fn disconnect_stops(evidence: &ServerEvidence) -> Outcome {
    let disconnect = disconnect(evidence)?;
    let recording = required(evidence.recording(disconnect.recording))?;
    let Some(closed) = disconnect.closed_at.filter(|_| !recording.packets.is_empty()) else {
        return Err(not_run("no RTP packet arrived before the client disappeared"));
    };
    let limit = evidence.profile.time.disconnect;
    let silent_from =
        closed + limit + evidence.play.as_ref().map_or_else(Default::default, |it| it.stall);
    let numbers = recording.packets.iter().enumerate();
    let is_late = |at| at >= silent_from && at < disconnect.watched_until;
    let late: Vec<usize> = numbers
        .filter(|(_, it)| it.port == 0 && is_late(it.at))
        .map(|(number, _)| number)
        .collect();
    let Some(first) = late.first().filter(|_| late.len() > LATE_PACKETS) else { return Ok(()) };
    let expected = format!("no packet later than {} after the connection has closed", ms(limit));
    let actual = format!("{} packets", late.len());
    let mistake =
        "recv returns no bytes when the client is gone, and the loop that reads requests goes on";
    let look =
        "the loop that reads requests: if recv returns b'', stop the sender and end the thread";
    let excerpt = packet_excerpt(evidence, disconnect.recording, *first, 2..4);
    Err(Failure::new(expected, actual, mistake, look).with(excerpt).into())
}

fn survives_disconnect(evidence: &ServerEvidence) -> Outcome {
    let disconnect = disconnect(evidence)?;
    let words = (
        "the error of the closed connection ends the whole program",
        "what happens when recv or send fails for one client",
    );
    next_is_served(disconnect.recording, disconnect.next.as_ref(), words)
}
