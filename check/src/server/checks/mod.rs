// SPDX-License-Identifier: MIT OR Apache-2.0
//! The checks of a server. Each evaluates the evidence by itself; if what it needs did not happen, it could
//! not run, and another check says why.

mod control;
mod extensions;
mod frames;
mod replies;
mod rtp;
mod states;
mod viewers;

use super::evidence::{PlayExchange, ServerEvidence};
use super::exchange::{NoReply, ReceivedReply, RequestOutcome};
use super::stream::Stream;
use crate::check::{Check, Excerpt, Outcome, Pointer, Verdict, not_run};
use std::time::Duration;

type ServerCheck = Check<ServerEvidence>;

/// All checks of a server, in the order of reports.
pub fn checks() -> Vec<ServerCheck> {
    let mut all = Vec::new();
    all.extend(replies::checks());
    all.extend(states::checks());
    all.extend(rtp::checks());
    all.extend(frames::checks());
    all.extend(control::checks());
    all.extend(viewers::checks());
    all.extend(extensions::checks());
    all
}

/// Why a check could not run that needs sequence numbers which differ.
const SAME_NUMBER: &str = "all packets have the same sequence number: see rtp-sequence-step";

fn play(evidence: &ServerEvidence) -> Result<&PlayExchange, Verdict> {
    evidence.play.as_ref().ok_or_else(|| not_run("there is no connection"))
}

/// An exchange, if it took place.
fn required<T>(exchange: Option<&T>) -> Result<&T, Verdict> {
    exchange.ok_or_else(|| not_run("the exchange did not take place"))
}

/// A request, if it was sent.
fn sent_request<'a>(
    answer: Option<&'a RequestOutcome>,
    what: &str,
) -> Result<&'a RequestOutcome, Verdict> {
    answer
        .ok_or_else(|| not_run(format!("{what} was not sent, since the requests before it failed")))
}

/// The reply to a request.
fn reply(answer: &RequestOutcome) -> Result<&ReceivedReply, Verdict> {
    answer.reply.as_ref().ok_or_else(|| not_run(format!("{} got no reply", answer.method.word())))
}

/// A name of a request in sentences.
fn named(answer: &RequestOutcome) -> String {
    format!("{} (CSeq {})", answer.method.word(), answer.cseq)
}

/// A reply as bytes that prove something.
fn excerpt(recording: usize, answer: &RequestOutcome, marked: &str) -> Option<Excerpt> {
    let reply = answer.reply.as_ref()?;
    let whole = 0..reply.bytes.len();
    let found = reply.bytes.windows(marked.len().max(1)).position(|it| it == marked.as_bytes());
    let marked = found.map_or(whole, |at| at..at + marked.len());
    let of = format!("reply to {}", named(answer));
    Some(Excerpt::new(of, Pointer::Entry(recording, reply.entry), &reply.bytes, marked))
}

/// A packet as bytes that prove something.
fn packet_excerpt(
    evidence: &ServerEvidence,
    recording: usize,
    number: usize,
    marked: std::ops::Range<usize>,
) -> Option<Excerpt> {
    let packet = evidence.recording(recording)?.packets.get(number)?;
    let of = match packet.header() {
        Some(header) => format!("RTP packet with sequence number {}", header.sequence_number),
        None => "datagram".to_owned(),
    };
    let pointer = Pointer::Packet(recording, number);
    let mut excerpt = Excerpt::new(of, pointer, &packet.bytes, marked);
    excerpt.length = packet.length;
    Some(excerpt)
}

/// A status line, printable, as the server wrote it.
fn first_line(reply: &ReceivedReply) -> String {
    let text = reply.text();
    format!("{:?}", text.lines().next().unwrap_or_default().chars().take(100).collect::<String>())
}

/// The reply in place of 200.
fn actual_reply(answer: &RequestOutcome) -> String {
    match (&answer.reply, answer.no_reply) {
        (Some(reply), _) => format!("the reply starts with {}", first_line(reply)),
        (None, no_reply) => no_reply.unwrap_or(NoReply::Silence).describe().to_owned(),
    }
}

/// Milliseconds in sentences.
fn ms(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

/// Later than everything that is recorded.
const FOREVER: Duration = Duration::MAX;

/// The packets from the first PLAY to PAUSE.
fn first_play(evidence: &ServerEvidence) -> Result<(&PlayExchange, Stream<'_>), Verdict> {
    let play = play(evidence)?;
    let start = sent_request(play.play.as_ref(), "PLAY")?.sent_at;
    let end = play.pause.as_ref().or(play.teardown.as_ref()).map_or(FOREVER, |it| it.sent_at);
    stream(evidence, play, (start, end))
}

/// The packets from the second PLAY to TEARDOWN.
fn resumed_play(evidence: &ServerEvidence) -> Result<(&PlayExchange, Stream<'_>), Verdict> {
    let play = play(evidence)?;
    let start = sent_request(play.resume.as_ref(), "PLAY after PAUSE")?.sent_at;
    let end = play.teardown.as_ref().map_or(FOREVER, |it| it.sent_at);
    stream(evidence, play, (start, end))
}

fn stream<'a>(
    evidence: &'a ServerEvidence,
    play: &'a PlayExchange,
    part: (Duration, Duration),
) -> Result<(&'a PlayExchange, Stream<'a>), Verdict> {
    let recording = required(evidence.recording(play.recording))?;
    let stream = Stream::new(recording, 0, part, &evidence.profile.lab);
    if stream.packets.is_empty() {
        return Err(not_run("no RTP packet arrived"));
    }
    Ok((play, stream))
}
