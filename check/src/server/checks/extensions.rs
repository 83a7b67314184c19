// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks of the extensions that a profile has.

use super::frames::{frames_of, movie_frames};
use super::{
    FOREVER, Outcome, ServerCheck, actual_reply, excerpt, not_run, packet_excerpt, required,
};
use crate::check::{Check, Failure, Verdict};
use crate::profile::{Extension, Fragments};
use crate::server::evidence::{ExtensionExchange, ServerEvidence};
use crate::server::exchange::RequestOutcome;
use crate::server::scenarios::extensions::SEEK_TO;
use crate::server::stream::Stream;
use gstmjpegfile::lab::Method;

pub(super) fn checks() -> Vec<ServerCheck> {
    vec![
        Check {
            id: "ext-statistics",
            title: "SETUP's reply states the number of frames, TEARDOWN's the number of sent packets",
            basis: "lab (statistics): TotalFrame and TotalSendPacketCount in a fourth line",
            applies: |profile| profile.has(Extension::Statistics),
            evaluate: statistics,
        },
        Check {
            id: "ext-describe",
            title: "DESCRIBE is answered with a description of the stream",
            basis: "lab (DESCRIBE): an SDP with video in RTP, payload type 26; RFC 2326 section 10.2",
            applies: |profile| profile.has(Extension::Describe),
            evaluate: describe,
        },
        Check {
            id: "ext-list",
            title: "LIST is answered with the names of the movies",
            basis: "lab (LIST): the names follow the three lines, one in each line",
            applies: |profile| profile.has(Extension::List),
            evaluate: list,
        },
        Check {
            id: "ext-switch",
            title: "SWITCH opens another movie",
            basis: "lab (SWITCH): PLAY after it sends the frames of the named movie",
            applies: |profile| profile.has(Extension::Switch),
            evaluate: switch,
        },
        Check {
            id: "ext-seek",
            title: "SEEK goes to the position that it states",
            basis: "lab (SEEK): X-Seek is the position in the movie, from 0 to 1",
            applies: |profile| profile.has(Extension::Seek),
            evaluate: seek,
        },
    ]
}

fn exchange(
    evidence: &ServerEvidence,
    extension: Extension,
) -> Result<&ExtensionExchange, Verdict> {
    let found = evidence.extensions.iter().find(|it| it.extension == extension);
    required(found)
}

/// The last answer to a request with this method.
fn answer(exchange: &ExtensionExchange, method: Method) -> Option<&RequestOutcome> {
    exchange.answers.iter().rev().find(|answer| answer.method == method)
}

/// The text of a reply with status 200.
fn ok_text(exchange: &ExtensionExchange, method: Method) -> Result<String, Verdict> {
    let Some(answer) = answer(exchange, method) else {
        return Err(not_run(format!("{} was not sent", method.word())));
    };
    if let Some(reply) = answer.reply.as_ref().filter(|_| answer.is_ok()) {
        return Ok(reply.text());
    }
    let mistake = format!("{} is not known to the server", method.word());
    let look = "where the method of a request is compared with the known ones";
    let failure = Failure::new("status 200", actual_reply(answer), mistake, look);
    Err(failure.with(excerpt(exchange.recording, answer, "")).into())
}

/// The value of a line, after a name in any case and a colon.
fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    let mut values = lines.filter(|(key, _)| key.trim().eq_ignore_ascii_case(name));
    values.next().map(|(_, value)| value.trim())
}

fn packets_of(evidence: &ServerEvidence, recording: usize) -> usize {
    evidence
        .recording(recording)
        .map_or(0, |it| it.packets.iter().filter(|it| it.port == 0).count())
}

fn statistics(evidence: &ServerEvidence) -> Outcome {
    let exchange = exchange(evidence, Extension::Statistics)?;
    let received = packets_of(evidence, exchange.recording);
    let rows = [
        (Method::Setup, "TotalFrame", evidence.movie.frames.len(), "the movie's frames"),
        (Method::Teardown, "TotalSendPacketCount", received, "the packets that were sent"),
    ];
    for (method, name, want, what) in rows {
        let text = ok_text(exchange, method)?;
        let found = value(&text, name);
        if found.and_then(|value| value.parse().ok()) == Some(want) {
            continue;
        }
        let expected = format!("{name}: {want} in the reply to {}", method.word());
        let actual = match found {
            Some(value) => format!("{:?}", value.chars().take(50).collect::<String>()),
            None => format!("no line {name}"),
        };
        let mistake = format!("the count is not that of {what}");
        let look = format!("where the reply to {} gets its fourth line", method.word());
        let answer = answer(exchange, method);
        let excerpt = answer.and_then(|it| excerpt(exchange.recording, it, name));
        return Err(Failure::new(expected, actual, mistake, look).with(excerpt).into());
    }
    Ok(())
}

fn describe(evidence: &ServerEvidence) -> Outcome {
    let exchange = exchange(evidence, Extension::Describe)?;
    let text = ok_text(exchange, Method::Describe)?;
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let is_media = |line: &&str| line.starts_with("m=video ") && line.ends_with(" RTP/AVP 26");
    let rows: [(&str, bool); 3] = [
        ("v=0", lines.contains(&"v=0")),
        ("m=video PORT RTP/AVP 26", lines.iter().any(is_media)),
        ("a=rtpmap:26 JPEG/90000", lines.contains(&"a=rtpmap:26 JPEG/90000")),
    ];
    let Some((missing, _)) = rows.iter().find(|(_, found)| !found) else { return Ok(()) };
    let expected = format!("a line {missing}");
    let actual = format!("{} lines, none of which is that", lines.len());
    let mistake = "the description lacks the line, or has it in another form";
    let look = "where the reply to DESCRIBE is written";
    let answer = answer(exchange, Method::Describe);
    let excerpt = answer.and_then(|it| excerpt(exchange.recording, it, ""));
    Err(Failure::new(expected, actual, mistake, look).with(excerpt).into())
}

fn list(evidence: &ServerEvidence) -> Outcome {
    let exchange = exchange(evidence, Extension::List)?;
    let text = ok_text(exchange, Method::List)?;
    let name = &evidence.movie.name;
    if text.lines().skip(3).any(|line| line.trim() == name) {
        return Ok(());
    }
    let expected = format!("a line {name} after the three lines");
    let actual = format!("{} lines, none of which is that", text.lines().count());
    let mistake = "the names of the movies are missing, or have their folder before them";
    let look = "where the reply to LIST is written";
    let answer = answer(exchange, Method::List);
    let excerpt = answer.and_then(|it| excerpt(exchange.recording, it, ""));
    Err(Failure::new(expected, actual, mistake, look).with(excerpt).into())
}

fn switch(evidence: &ServerEvidence) -> Outcome {
    let Some(other) = &evidence.other else {
        let reason = "--short-movie must name another movie that the server has".to_owned();
        return Err(Verdict::Skipped { reason });
    };
    let exchange = exchange(evidence, Extension::Switch)?;
    ok_text(exchange, Method::Switch)?;
    ok_text(exchange, Method::Play)?;
    let start = answer(exchange, Method::Play).map_or(FOREVER, |it| it.sent_at);
    let recording = required(evidence.recording(exchange.recording))?;
    let stream = Stream::new(recording, 0, (start, FOREVER), &evidence.profile.lab);
    let expected = format!("frames of {}", other.name);
    let look = "SWITCH: it opens the named movie in place of the one before";
    if stream.frames.is_empty() {
        let mistake = "nothing is sent after SWITCH and PLAY";
        return Err(Failure::new(expected, "no frame", mistake, look).into());
    }
    if frames_of(other, &stream).is_empty() {
        let mistake = "the movie before is played on";
        let recorded = stream.frames.first().map_or(0, |frame| stream.recorded(frame));
        let excerpt = packet_excerpt(evidence, exchange.recording, recorded, 0..0);
        let actual = "frames of another movie";
        return Err(Failure::new(expected, actual, mistake, look).with(excerpt).into());
    }
    Ok(())
}

fn seek(evidence: &ServerEvidence) -> Outcome {
    let exchange = exchange(evidence, Extension::Seek)?;
    ok_text(exchange, Method::Seek)?;
    let sent = answer(exchange, Method::Seek).map_or(FOREVER, |it| it.sent_at);
    let recording = required(evidence.recording(exchange.recording))?;
    let stream = Stream::new(recording, 0, (sent, FOREVER), &evidence.profile.lab);
    let frames = movie_frames(evidence, &stream);
    let count = evidence.movie.frames.len();
    // A movie has fewer frames than a float has exact numbers.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let target = (count as f64 * SEEK_TO) as usize;
    let jumped = frames.iter().find(|(frame, _)| frame.abs_diff(target) <= 2);
    if jumped.is_some() {
        return Ok(());
    }
    let expected = format!("frame {}, at {SEEK_TO} of the movie", target + 1);
    let look = "SEEK: the position in the file that the next frame is read from";
    let Some((frame, at)) = frames.last() else {
        let mistake = match evidence.profile.lab.fragments {
            Fragments::Off => "nothing is sent after SEEK",
            _ => "no whole frame is sent after SEEK",
        };
        return Err(Failure::new(expected, "no frame", mistake, look).into());
    };
    let recorded = stream.frames.get(*at).map_or(0, |it| stream.recorded(it));
    let excerpt = packet_excerpt(evidence, exchange.recording, recorded, 2..4);
    let actual = format!("frame {} as the last one", frame + 1);
    let mistake = "the position is not changed, or X-Seek is read as a time or a number of frames";
    Err(Failure::new(expected, actual, mistake, look).with(excerpt).into())
}
