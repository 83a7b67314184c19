// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks of the frames: their bytes, their order, their times, their fragments.

use super::{Outcome, ServerCheck, first_play, not_run, packet_excerpt};
use crate::check::{Check, Failure};
use crate::movie::Match;
use crate::profile::{Fragments, Profile};
use crate::server::evidence::ServerEvidence;
use crate::server::stream::Stream;
use std::time::Duration;

/// The fewest frames by which a frame rate can be measured.
const LEAST_MEASURED: usize = 20;

/// The number of payloads that are not frames after which only whole frames are searched.
const MAX_UNKNOWN: usize = 50;

pub(super) fn checks() -> Vec<ServerCheck> {
    let fragmented = |profile: &Profile| profile.lab.fragments != Fragments::Off;
    vec![
        ServerCheck::of_all(
            "payload",
            "each payload is exactly a frame of the movie",
            "lab: the payload is the JPEG as it is in the file, without the five digits before it",
            payload,
        ),
        ServerCheck::of_all(
            "frame-order",
            "the frames come in the order of the movie, from the first one",
            "lab: the sequence number is the number of the frame",
            frame_order,
        ),
        ServerCheck::of_all(
            "frame-rate",
            "frames are sent at the frame rate of the lab",
            "lab: the server sends a frame every 50 ms, 20 in a second",
            frame_rate,
        ),
        Check {
            id: "fragment-size",
            title: "no payload is longer than the profile allows",
            basis: "lab (HD): frames are cut so that a packet fits the network's MTU",
            applies: fragmented,
            evaluate: fragment_size,
        },
        Check {
            id: "fragment-numbers",
            title: "the fragments of a frame are numbered as the profile says",
            basis: "lab (HD): F1 has one sequence number for each frame, F2 one for each packet",
            applies: fragmented,
            evaluate: fragment_numbers,
        },
    ]
}

fn payload(evidence: &ServerEvidence) -> Outcome {
    let (exchange, stream) = first_play(evidence)?;
    if stream.frames.is_empty() {
        return Err(not_run("no whole frame arrived"));
    }
    let mut near = 0;
    for frame in &stream.frames {
        let whole = (frame.first..frame.first + frame.packets)
            .all(|at| stream.packets.get(at).is_some_and(|it| it.packet.is_whole()));
        if !whole {
            // Only the header of later packets is kept.
            break;
        }
        let found = evidence.movie.identify(&frame.payload, near);
        let length = frame.payload.len();
        let size = |number: usize| evidence.movie.frame(number).len();
        let (number, actual, mistake, marked) = match found {
            Match::Frame(number) => {
                near = number + 1;
                continue;
            }
            Match::WithDigits(number) => (
                number,
                format!("frame {} after its five digits", number + 1),
                "the length digits are sent too: they are read from the file before the frame",
                12..17,
            ),
            Match::AfterBytes(bytes, number) => (
                number,
                format!("frame {} after {bytes} other bytes", number + 1),
                "the server writes a header of its own before the frame",
                12..12 + bytes,
            ),
            Match::Start(number) => (
                number,
                format!("the first {length} bytes of frame {}", number + 1),
                "the frame is cut: a buffer or a length is too small",
                12..12 + length,
            ),
            Match::WithMore(number) => (
                number,
                format!("frame {}, then {} more bytes", number + 1, length - size(number)),
                "bytes of an earlier frame, or of a buffer, are sent after the frame",
                12..12 + length,
            ),
            Match::Unknown => (
                near.min(evidence.movie.frames.len().saturating_sub(1)),
                format!("{length} bytes that are no frame of the movie"),
                "the frame is changed, encoded as text, or read from the wrong position of the file",
                12..12 + length,
            ),
        };
        let expected = format!("the {} bytes of frame {}", size(number), number + 1);
        let look =
            "where a frame is read from the file (VideoStream.nextFrame), and put after the header";
        let recorded = stream.recorded(frame);
        let excerpt = packet_excerpt(evidence, exchange.recording, recorded, marked);
        return Err(Failure::new(expected, actual, mistake, look).with(excerpt).into());
    }
    Ok(())
}

/// The frames of a stream that are frames of a movie: which one, and which frame of the stream.
pub(super) fn movie_frames(evidence: &ServerEvidence, stream: &Stream) -> Vec<(usize, usize)> {
    frames_of(&evidence.movie, stream)
}

/// The frames of a stream that are frames of a movie: which one, from 0, and which frame of the stream. A
/// frame with bytes before or after it counts: another check reports that.
pub(super) fn frames_of(movie: &crate::movie::Movie, stream: &Stream) -> Vec<(usize, usize)> {
    let mut near = 0;
    let mut unknown = 0;
    let mut found = Vec::new();
    for (at, frame) in stream.frames.iter().enumerate() {
        // A payload that is not a frame is compared with all frames, which takes long.
        let identified = if unknown < MAX_UNKNOWN {
            movie.identify(&frame.payload, near)
        } else {
            movie.find(&frame.payload, near).map_or(Match::Unknown, Match::Frame)
        };
        let number = match identified {
            Match::Frame(number)
            | Match::Start(number)
            | Match::WithDigits(number)
            | Match::AfterBytes(_, number)
            | Match::WithMore(number) => number,
            Match::Unknown => {
                unknown += 1;
                continue;
            }
        };
        near = number + 1;
        found.push((number, at));
    }
    found
}

fn frame_order(evidence: &ServerEvidence) -> Outcome {
    let (exchange, stream) = first_play(evidence)?;
    let frames = movie_frames(evidence, &stream);
    let (Some(&(first, at)), true) = (frames.first(), frames.len() > 1) else {
        return Err(not_run("no frames of the movie arrived"));
    };
    let look = "the loop that sends frames: one nextFrame for each packet, none left out";
    let failure = |at: usize, expected: String, actual: String, mistake: &str| {
        let recorded = stream.frames.get(at).map_or(0, |frame| stream.recorded(frame));
        let excerpt = packet_excerpt(evidence, exchange.recording, recorded, 2..4);
        Err(Failure::new(expected, actual, mistake, look).with(excerpt).into())
    };
    if first != 0 {
        let actual = format!("frame {} first", first + 1);
        let mistake = "frames are read and not sent before the first packet";
        return failure(at, "frame 1 first".to_owned(), actual, mistake);
    }
    for pair in frames.windows(2) {
        let [(before, earlier), (number, later)] = pair else { continue };
        let index = |at: &usize| stream.frames.get(*at).map_or(0, |frame| frame.first);
        let step = stream.number(index(later)).wrapping_sub(stream.number(index(earlier)));
        let moved = number.checked_sub(*before);
        // If numbers are left out with their frames, the sequence numbers are at fault.
        if moved == Some(1) || moved == Some(usize::from(step)) && stream.fragments.is_none() {
            continue;
        }
        let expected = format!("frame {} after frame {}", before + 2, before + 1);
        let actual = format!("frame {}", number + 1);
        let mistake = match moved {
            None | Some(0) => "a frame is sent again, or the movie starts again",
            Some(_) => "frames are read from the file and not sent",
        };
        return failure(*later, expected, actual, mistake);
    }
    Ok(())
}

/// The middle of the times between frames, and their mean.
fn gaps(stream: &Stream) -> Option<(Duration, Duration)> {
    let times: Vec<Duration> = stream.frames.iter().map(|frame| frame.at).collect();
    let gap = |pair: &[Duration]| pair.last()?.checked_sub(*pair.first()?);
    let mut gaps: Vec<Duration> = times.windows(2).filter_map(gap).collect();
    let count = u32::try_from(gaps.len()).ok()?;
    let mean = times.last()?.checked_sub(*times.first()?)?.checked_div(count)?;
    gaps.sort_unstable();
    Some((*gaps.get(gaps.len() / 2)?, mean))
}

fn rate_of(period: Duration) -> f64 {
    1.0 / period.as_secs_f64().max(1e-6)
}

/// A machine that is busy delays single frames. A server that waits from frame to frame sends fewer frames
/// then, but the time between most of them stays the same; one that keeps to a clock has some short and
/// some long times, and the mean stays the same. So it is enough if one of the two is right.
fn frame_rate(evidence: &ServerEvidence) -> Outcome {
    let (_, stream) = first_play(evidence)?;
    let lab = &evidence.profile.lab;
    let count = stream.frames.len();
    let Some((middle, mean)) = gaps(&stream).filter(|_| count >= LEAST_MEASURED) else {
        return Err(not_run(format!("only {count} frames arrived; {LEAST_MEASURED} are needed")));
    };
    let want = f64::from(lab.frame_rate);
    let tolerance = want * f64::from(lab.frame_rate_tolerance) / 100.0;
    let fits = |period: Duration| (rate_of(period) - want).abs() <= tolerance;
    if fits(middle) || fits(mean) {
        return Ok(());
    }
    let expected = format!("{want} frames a second, {} % more or less", lab.frame_rate_tolerance);
    let actual = format!(
        "{:.1} frames a second: most come {} ms after the one before",
        rate_of(mean),
        middle.as_millis()
    );
    let mistake = if rate_of(middle) > want {
        "the wait between frames is missing or too short, or several threads send"
    } else {
        "the wait between frames is too long, or reading and sending take long"
    };
    let look = "the wait in the loop that sends frames: 0.05 s for 20 frames a second";
    Err(Failure::new(expected, actual, mistake, look).into())
}

fn fragment_size(evidence: &ServerEvidence) -> Outcome {
    let (exchange, stream) = first_play(evidence)?;
    let limit = evidence.profile.lab.max_payload;
    let length = |at: usize| stream.packets.get(at).map_or(0, |it| it.packet.length - 12);
    let Some(at) = (0..stream.packets.len()).find(|at| length(*at) > limit) else {
        return Ok(());
    };
    let recorded = stream.packets.get(at).map_or(0, |packet| packet.number);
    let excerpt = packet_excerpt(evidence, exchange.recording, recorded, 0..0);
    let expected = format!("payloads of at most {limit} bytes");
    let actual = format!("a payload of {} bytes", length(at));
    let mistake = "frames are not cut, or into too large parts";
    let look = "where a frame is cut into fragments";
    Err(Failure::new(expected, actual, mistake, look).with(excerpt).into())
}

fn fragment_numbers(evidence: &ServerEvidence) -> Outcome {
    let (exchange, stream) = first_play(evidence)?;
    let want = evidence.profile.lab.fragments;
    let Some(found) = stream.fragments else {
        return Err(not_run("no frame arrived in several packets"));
    };
    if found == want {
        return Ok(());
    }
    let text = |form: Fragments| match form {
        Fragments::NextSeq => "each packet has the next sequence number",
        _ => "all packets of a frame have one sequence number",
    };
    let mistake = match want {
        Fragments::SameSeq => "the number is increased for each packet instead of each frame",
        _ => "the number is increased for each frame instead of each packet",
    };
    let look = "where the sequence number is increased";
    let second = stream.frames.iter().find(|frame| frame.packets > 1).map_or(0, |it| it.first + 1);
    let recorded = stream.packets.get(second).map_or(0, |packet| packet.number);
    let excerpt = packet_excerpt(evidence, exchange.recording, recorded, 2..4);
    Err(Failure::new(text(want), text(found), mistake, look).with(excerpt).into())
}
