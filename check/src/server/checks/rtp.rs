// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks of the first packets and of RTP headers.

use super::{
    Outcome, SAME_NUMBER, ServerCheck, actual_reply, excerpt, first_play, ms, not_run,
    packet_excerpt, play, required, resumed_play, sent_request,
};
use crate::check::Failure;
use crate::profile::{Fragments, Marker, TimestampRule};
use crate::server::evidence::ServerEvidence;
use crate::server::stream::{Stream, StreamPacket};
use gstmjpegfile::rtp::{PAYLOAD_TYPE_JPEG, RtpHeader, VIDEO_CLOCK_RATE};
use std::ops::Range;

/// Where headers are written.
const HEADER: &str = "the function that writes the RTP header (RtpPacket.encode in the Python skeleton, \
                      the constructor of RTPpacket in the Java one)";

pub(super) fn checks() -> Vec<ServerCheck> {
    vec![
        ServerCheck::of_all(
            "play-reply",
            "PLAY is answered 200",
            "lab: PLAY leads from READY to PLAYING; OK_200",
            play_reply,
        ),
        ServerCheck::of_all(
            "rtp-port",
            "RTP packets go to the port that SETUP stated",
            "lab: client_port in the Transport header is where the client listens",
            rtp_port,
        ),
        ServerCheck::of_all(
            "play-starts",
            "the first packet comes soon after PLAY",
            "lab: PLAY starts the thread that sends frames",
            play_starts,
        ),
        ServerCheck::of_all(
            "rtp-version",
            "V is 2",
            "RFC 3550 section 5.1: version (V), 2 bits: 2",
            rtp_version,
        ),
        ServerCheck::of_all(
            "rtp-padding",
            "P is 0",
            "RFC 3550 section 5.1: P says that padding ends the payload; the lab has none",
            |it| bit(it, ("P", 0x20), |header| header.padding),
        ),
        ServerCheck::of_all(
            "rtp-extension",
            "X is 0",
            "RFC 3550 section 5.1: X says that an extension follows the header; the lab has none",
            |it| bit(it, ("X", 0x10), |header| header.extension),
        ),
        ServerCheck::of_all(
            "rtp-csrc-count",
            "CC is 0",
            "RFC 3550 section 5.1: CC counts the contributing sources after the header; the lab has none",
            |it| bit(it, ("CC", 0x0f), |header| header.csrc_count != 0),
        ),
        ServerCheck::of_all(
            "rtp-marker",
            "the marker bit is as the profile says",
            "lab: the textbook's code never sets it; RFC 3551 section 4.2: set in the last packet of a frame",
            marker,
        ),
        ServerCheck::of_all(
            "rtp-payload-type",
            "PT is 26",
            "RFC 3551 table 5: payload type 26 is JPEG",
            payload_type,
        ),
        ServerCheck::of_all(
            "rtp-byte-order",
            "the sequence number has its high byte first",
            "RFC 3550 section 4: integers are in network byte order",
            byte_order,
        ),
        ServerCheck::of_all(
            "rtp-sequence-start",
            "the first sequence number is that of the first frame",
            "lab: the sequence number is the frame's number, from 1; clients never show frame 0",
            sequence_start,
        ),
        ServerCheck::of_all(
            "rtp-sequence-step",
            "sequence numbers rise by one",
            "RFC 3550 section 5.1: the sequence number increments by one for each packet",
            sequence_step,
        ),
        ServerCheck::of_all(
            "rtp-timestamp",
            "timestamps move as the profile says",
            "RFC 3550 section 5.1: the timestamp is the sampling instant, of a clock that increments linearly",
            timestamp,
        ),
        ServerCheck::of_all(
            "rtp-ssrc",
            "all packets of a session have the same SSRC",
            "RFC 3550 section 5.1: the SSRC identifies the source",
            ssrc,
        ),
    ]
}

fn play_reply(evidence: &ServerEvidence) -> Outcome {
    let exchange = play(evidence)?;
    let answer = sent_request(exchange.play.as_ref(), "PLAY")?;
    if answer.is_ok() {
        return Ok(());
    }
    let mistake = "PLAY sends no reply, or sends it only in another state";
    let look = "PLAY in READY: the state that SETUP sets, and the call that replies";
    let failure = Failure::new("status 200", actual_reply(answer), mistake, look);
    Err(failure.with(excerpt(exchange.recording, answer, "")).into())
}

fn rtp_port(evidence: &ServerEvidence) -> Outcome {
    let exchange = play(evidence)?;
    sent_request(exchange.play.as_ref(), "PLAY")?;
    let recording = required(evidence.recording(exchange.recording))?;
    if recording.packets.iter().any(|packet| packet.port == 0) {
        return Ok(());
    }
    let expected = format!("packets at port {}, which SETUP stated", exchange.port);
    let Some(number) = recording.packets.iter().position(|packet| packet.port > 0) else {
        let mistake = "the sender's thread is not started or ends with an exception, or it sends to another \
                       address or port";
        let look = "PLAY: the start of the thread, and the address and port of sendto; the server's output";
        return Err(Failure::new(expected, "no packet", mistake, look).into());
    };
    let at = recording.packets.get(number).map_or(0, |packet| packet.port - 1);
    let other = exchange.other_ports.get(at).copied().unwrap_or_default();
    let actual = format!("packets at port {other}");
    let mistake = "the port is fixed instead of that of the request";
    let look = "where SETUP reads the port: the last word of line 3";
    let excerpt = packet_excerpt(evidence, exchange.recording, number, 0..0);
    Err(Failure::new(expected, actual, mistake, look).with(excerpt).into())
}

fn play_starts(evidence: &ServerEvidence) -> Outcome {
    let exchange = play(evidence)?;
    let answer = sent_request(exchange.play.as_ref(), "PLAY")?;
    let recording = required(evidence.recording(exchange.recording))?;
    let first = recording.packets.iter().find(|it| it.port == 0 && it.at >= answer.sent_at);
    let Some(packet) = first else { return Err(not_run("no RTP packet arrived")) };
    let limit = evidence.profile.time.first_packet + exchange.stall;
    if packet.at.saturating_sub(answer.read_at()) <= limit {
        return Ok(());
    }
    let expected = format!("a packet within {}", ms(evidence.profile.time.first_packet));
    let actual = format!("the first packet after {}", ms(packet.at.saturating_sub(answer.sent_at)));
    let mistake = "the sender waits before its first frame";
    let look = "the loop that sends frames, and what PLAY does before it starts that loop";
    Err(Failure::new(expected, actual, mistake, look).into())
}

/// A failure with the header of a packet.
fn header_failure(
    evidence: &ServerEvidence,
    packet: &StreamPacket,
    bytes: Range<usize>,
    (expected, actual, mistake): (String, String, String),
) -> Outcome {
    let recording = evidence.play.as_ref().map_or(0, |it| it.recording);
    let excerpt = packet_excerpt(evidence, recording, packet.number, bytes);
    Err(Failure::new(expected, actual, mistake, HEADER).with(excerpt).into())
}

fn rtp_version(evidence: &ServerEvidence) -> Outcome {
    let exchange = play(evidence)?;
    let (_, stream) = match first_play(evidence) {
        Ok(found) => found,
        Err(verdict) => return short_datagrams(evidence, exchange.recording).and(Err(verdict)),
    };
    let Some(packet) = stream.packets.iter().find(|it| it.header.version != 2) else {
        return Ok(());
    };
    let version = packet.header.version;
    let actual = format!("V = {version}");
    let mistake = if packet.header.version == 0 {
        "V is not in the upper two bits of the first byte: version << 6"
    } else {
        "the first byte is put together wrongly: V has the upper two bits, version << 6"
    };
    let texts =
        ("V = 2: the first byte is 80 if P, X and CC are 0".to_owned(), actual, mistake.to_owned());
    header_failure(evidence, packet, 0..1, texts)
}

/// A failure if datagrams arrived that are too short for a header.
fn short_datagrams(evidence: &ServerEvidence, recording: usize) -> Outcome {
    let packets = required(evidence.recording(recording))?.packets.iter().enumerate();
    let Some((number, packet)) = packets.into_iter().find(|(_, it)| it.port == 0) else {
        return Ok(());
    };
    let actual = format!("a datagram of {} bytes", packet.length);
    let mistake = "the frame or the header is missing from the datagram";
    let excerpt = packet_excerpt(evidence, recording, number, 0..packet.length);
    Err(Failure::new("an RTP header of 12 bytes", actual, mistake, HEADER).with(excerpt).into())
}

fn bit(
    evidence: &ServerEvidence,
    (name, mask): (&str, u8),
    is_set: fn(&RtpHeader) -> bool,
) -> Outcome {
    let (_, stream) = first_play(evidence)?;
    let Some(packet) = stream.packets.iter().find(|it| is_set(&it.header)) else { return Ok(()) };
    let byte = packet.packet.bytes.first().copied().unwrap_or_default();
    let texts = (
        format!("{name} = 0"),
        format!("the first byte is {byte:02x}: {name} is not 0"),
        format!(
            "{name} is written into the wrong bits, or with a value other than 0: it has the bits {mask:#04x} \
             of the first byte"
        ),
    );
    header_failure(evidence, packet, 0..1, texts)
}

fn marker(evidence: &ServerEvidence) -> Outcome {
    let (_, stream) = first_play(evidence)?;
    if evidence.profile.lab.marker == Marker::Same {
        let first = stream.packets.first().map(|it| it.header.marker);
        let other = stream.packets.iter().find(|it| Some(it.header.marker) != first);
        let Some(packet) = other else { return Ok(()) };
        let texts = (
            "the same M in all packets".to_owned(),
            format!("M changes to {}", u8::from(packet.header.marker)),
            "M gets a bit of another field: M is the upper bit of the second byte, marker << 7"
                .to_owned(),
        );
        return header_failure(evidence, packet, 1..2, texts);
    }
    for frame in &stream.frames {
        let last = frame.first + frame.packets - 1;
        for at in frame.first..=last {
            let Some(packet) = stream.packets.get(at) else { continue };
            if packet.header.marker != (at == last) {
                let which = if at == last { "the last packet" } else { "an earlier packet" };
                let texts = (
                    "M = 1 in the last packet of each frame, and only there".to_owned(),
                    format!("M = {} in {which} of a frame", u8::from(packet.header.marker)),
                    "M is the upper bit of the second byte, marker << 7; it says that the frame is \
                     complete"
                        .to_owned(),
                );
                return header_failure(evidence, packet, 1..2, texts);
            }
        }
    }
    Ok(())
}

fn payload_type(evidence: &ServerEvidence) -> Outcome {
    let (_, stream) = first_play(evidence)?;
    let wrong = stream.packets.iter().find(|it| it.header.payload_type != PAYLOAD_TYPE_JPEG);
    let Some(packet) = wrong else { return Ok(()) };
    let texts = (
        "PT = 26: the second byte is 1a, or 9a with M".to_owned(),
        format!("PT = {}", packet.header.payload_type),
        "PT is not in the lower seven bits of the second byte, or is not 26".to_owned(),
    );
    header_failure(evidence, packet, 1..2, texts)
}

fn byte_order(evidence: &ServerEvidence) -> Outcome {
    let (_, stream) = first_play(evidence)?;
    let Some(packet) = stream.packets.first().filter(|_| stream.low_byte_first) else {
        return Ok(());
    };
    let number = packet.header.sequence_number;
    let texts = (
        format!("the bytes {:02x} {:02x} for {}", 0, number.swap_bytes(), number.swap_bytes()),
        format!("the bytes {:02x} {:02x}, which are {number}", number >> 8, number & 0xff),
        "the low byte is written first: byte 2 is seqnum >> 8, byte 3 is seqnum & 255".to_owned(),
    );
    header_failure(evidence, packet, 2..4, texts)
}

fn sequence_start(evidence: &ServerEvidence) -> Outcome {
    let (_, stream) = first_play(evidence)?;
    let want = evidence.profile.lab.first_sequence_number;
    let Some(packet) = stream.packets.first() else { return Ok(()) };
    let number = stream.number(0);
    if number == want {
        return Ok(());
    }
    if stream.only_number().is_some() {
        return Err(not_run(SAME_NUMBER));
    }
    let mistake = match number {
        0 => "the number is taken before it is increased: the first frame is number 1",
        _ => {
            "the number does not start with the movie, or has another value than the frame's number"
        }
    };
    let texts = (format!("sequence number {want}"), format!("{number}"), mistake.to_owned());
    header_failure(evidence, packet, 2..4, texts)
}

/// A step between the sequence numbers of two packets that is wrong.
fn wrong_step(stream: &Stream) -> Option<(usize, u16, u16)> {
    let starts: Vec<usize> = stream.frames.iter().map(|frame| frame.first).collect();
    (1..stream.packets.len()).find_map(|at| {
        let (before, number) = (stream.number(at - 1), stream.number(at));
        let in_frame = stream.fragments.is_some() && !starts.contains(&at);
        let starts_frame = stream.packets.get(at)?.packet.payload().starts_with(&[0xff, 0xd8]);
        let same = stream.fragments == Some(Fragments::SameSeq) && in_frame && !starts_frame;
        let want = if same { before } else { before.wrapping_add(1) };
        (number != want).then_some((at, before, number))
    })
}

fn sequence_step(evidence: &ServerEvidence) -> Outcome {
    let (exchange, stream) = first_play(evidence)?;
    if stream.packets.len() < 2 {
        return Err(not_run("only one packet arrived"));
    }
    let Some((at, before, number)) = wrong_step(&stream) else { return Ok(()) };
    if evidence.recording(exchange.recording).is_some_and(|it| it.dropped > 0) {
        return Err(not_run("this machine was too busy to receive all packets: run it again"));
    }
    let Some(packet) = stream.packets.get(at) else { return Ok(()) };
    if let Some(only) = stream.only_number() {
        let mistake = match only {
            0 => "the number is not written into the header, or not increased",
            _ => "the number is not increased, or bytes 2 and 3 have another value than it",
        };
        let expected = "a number that is greater by one in each packet".to_owned();
        let texts = (expected, format!("{only} in all packets"), mistake.to_owned());
        return header_failure(evidence, packet, 2..4, texts);
    }
    let (expected, mistake) = if number == before {
        (before.wrapping_add(1), "the number is not increased, or a packet is sent twice")
    } else if number.wrapping_sub(before) == 2 {
        (
            before.wrapping_add(1),
            "the number is increased twice for a frame, or a frame is not sent",
        )
    } else {
        (
            before.wrapping_add(1),
            "the number is not a count of the packets, or packets are not sent",
        )
    };
    let texts = (format!("{expected} after {before}"), format!("{number}"), mistake.to_owned());
    header_failure(evidence, packet, 2..4, texts)
}

/// The timestamps of the frames, with the number of each one's first packet.
fn timestamps(stream: &Stream) -> Vec<(usize, u32)> {
    stream.frames.iter().map(|it| (it.first, it.header.timestamp.ticks())).collect()
}

fn timestamp(evidence: &ServerEvidence) -> Outcome {
    let (_, stream) = first_play(evidence)?;
    let all = timestamps(&stream);
    let steps: Vec<(usize, u32)> = all
        .windows(2)
        .filter_map(|pair| match pair {
            [(_, a), (at, b)] => Some((*at, b.wrapping_sub(*a))),
            _ => None,
        })
        .collect();
    let (Some((_, first)), true) = (steps.first().copied(), steps.len() > 10) else {
        return Err(not_run("too few frames arrived"));
    };
    // Rounding makes steps differ by one.
    let off = |step: u32| step.abs_diff(first) > 1;
    // A packet that is not sent makes a step longer: another check says so.
    let is_multiple = |step: u32| first > 0 && step.is_multiple_of(first) && step / first < 5;
    let odd = steps.iter().find(|(_, step)| off(*step) && !is_multiple(*step));
    if first > 1 && odd.is_none() {
        return Ok(());
    }
    let moved: u64 = steps.iter().map(|(_, step)| u64::from(*step)).sum();
    let back = steps.iter().find(|(_, step)| *step > u32::MAX / 2);
    let clock = evidence.profile.lab.timestamp == TimestampRule::Clock;
    if clock && moved > 0 && back.is_none() {
        return Ok(());
    }
    let per_frame = VIDEO_CLOCK_RATE / evidence.profile.lab.frame_rate.max(1);
    let also = if clock { ", or with the time of day" } else { "" };
    let expected = format!(
        "a timestamp that rises by a constant from frame to frame, such as {per_frame}{also}"
    );
    let (at, actual, mistake) = match (odd, back) {
        _ if moved == 0 => (
            0,
            format!("{} in all packets", all.first().map_or(0, |it| it.1)),
            "the timestamp is fixed: it is the time of the frame, not of the start",
        ),
        (_, Some((at, step))) => (
            *at,
            format!("a step of {}", i64::from(*step) - (1 << 32)),
            "the timestamp goes back: it is random, or its bytes are in the wrong order",
        ),
        (Some((at, step)), None) => (
            *at,
            format!("a step of {step} after one of {first}"),
            "the timestamp counts another clock, such as whole seconds, instead of frames",
        ),
        (None, None) => (0, format!("steps of {first}"), "the timestamp hardly moves"),
    };
    let Some(packet) = stream.packets.get(at) else { return Ok(()) };
    header_failure(evidence, packet, 4..8, (expected, actual, mistake.to_owned()))
}

fn ssrc(evidence: &ServerEvidence) -> Outcome {
    let (_, stream) = first_play(evidence)?;
    let resumed = resumed_play(evidence).map(|(_, stream)| stream).unwrap_or_default();
    let Some(first) = stream.packets.first().map(|it| it.header.ssrc) else { return Ok(()) };
    let mut all = stream.packets.iter().chain(&resumed.packets);
    let Some(packet) = all.find(|it| it.header.ssrc != first) else { return Ok(()) };
    let texts = (
        format!("SSRC {first:08x}, as in the first packet"),
        format!("{:08x}", packet.header.ssrc),
        "a new random number is made for each packet or each PLAY".to_owned(),
    );
    header_failure(evidence, packet, 8..12, texts)
}
