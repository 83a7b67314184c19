// SPDX-License-Identifier: MIT OR Apache-2.0
//! An exchange as a ladder diagram: messages as arrows between two lines, packets as bands.

use super::escaped;
use crate::recording::{Event, Packet, Recording};
use std::fmt::Write;
use std::time::Duration;

/// The width of the drawing.
const WIDTH: usize = 900;

/// Where the two lines are.
const LEFT: usize = 110;
const RIGHT: usize = 790;

/// The height of a rung.
const RUNG: usize = 30;

/// The longest label in characters.
const LABEL: usize = 72;

/// The most rungs that are drawn.
const MAX_RUNGS: usize = 400;

/// A rung of the ladder.
pub(super) enum Rung<'a> {
    /// A message or an event, with its number in the recording.
    Entry(usize, Duration, &'a Event),
    /// Packets between two entries: the number of the first one, and all.
    Packets(usize, Vec<&'a Packet>),
}

/// The rungs of an exchange, in the order of their times.
pub(super) fn rungs(recording: &Recording) -> Vec<Rung<'_>> {
    let mut rungs = Vec::new();
    let mut packets = recording.packets.iter().enumerate().peekable();
    for (number, entry) in recording.entries.iter().enumerate() {
        let mut band: Option<(usize, Vec<&Packet>)> = None;
        while let Some((at, packet)) = packets.next_if(|(_, packet)| packet.at <= entry.at) {
            band.get_or_insert_with(|| (at, Vec::new())).1.push(packet);
        }
        rungs.extend(band.map(|(at, band)| Rung::Packets(at, band)));
        rungs.push(Rung::Entry(number, entry.at, &entry.event));
    }
    let rest: Vec<(usize, &Packet)> = packets.collect();
    if let Some((first, _)) = rest.first() {
        rungs.push(Rung::Packets(*first, rest.iter().map(|(_, packet)| *packet).collect()));
    }
    rungs.truncate(MAX_RUNGS);
    rungs
}

/// What a band of packets is.
pub(super) fn band_label(packets: &[&Packet]) -> String {
    let numbers: Vec<u16> =
        packets.iter().filter_map(|it| it.header()).map(|it| it.sequence_number).collect();
    let count = packets.len();
    let noun = if count == 1 { "packet" } else { "packets" };
    match (numbers.first(), numbers.last()) {
        (Some(first), Some(last)) => {
            format!("RTP: {count} {noun}, sequence numbers {first} to {last}")
        }
        _ => format!("{count} {noun} without an RTP header"),
    }
}

fn first_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.lines().next().unwrap_or_default().chars().take(LABEL).collect()
}

/// Draws an exchange. `marked` are the entries and packets that prove failures.
pub(super) fn ladder(recording: &Recording, marked: &Marked, peer: &str) -> String {
    let rungs = rungs(recording);
    let height = (rungs.len() + 2) * RUNG;
    let mut out = format!(
        "<svg class=\"ladder\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">\n",
        escaped(recording.title)
    );
    // Writing to a String does not fail.
    // Requests go from left to right: the client is on the left.
    let (left, right) = if peer == "client" { (peer, "lab check") } else { ("lab check", peer) };
    for (x, name) in [(LEFT, left), (RIGHT, right)] {
        let _ = writeln!(
            out,
            "<text x=\"{x}\" y=\"18\" class=\"end\" text-anchor=\"middle\">{}</text><line stroke=\"#8c8c88\" x1=\"{x}\" y1=\"24\" x2=\"{x}\" y2=\"{height}\"/>",
            escaped(name)
        );
    }
    for (at, rung) in rungs.iter().enumerate() {
        let y = (at + 2) * RUNG;
        let time = match rung {
            Rung::Entry(_, time, _) => *time,
            Rung::Packets(_, packets) => packets.first().map_or(Duration::ZERO, |it| it.at),
        };
        let _ = write!(
            out,
            "<text x=\"4\" y=\"{}\" class=\"time\">{:.3} s</text>",
            y + 4,
            time.as_secs_f64()
        );
        match rung {
            Rung::Packets(first, packets) => {
                let bad = marked.has_packet(*first..*first + packets.len());
                let (class, fill) = if bad { ("band bad", "#f7d4d0") } else { ("band", "#dbe8f5") };
                let _ = write!(
                    out,
                    "<rect x=\"{LEFT}\" y=\"{}\" width=\"{}\" height=\"20\" class=\"{class}\" fill=\"{fill}\"/>",
                    y - 14,
                    RIGHT - LEFT
                );
                label(&mut out, y, &band_label(packets));
            }
            Rung::Entry(number, _, event) => {
                entry(&mut out, y, marked.entries.contains(number), event);
            }
        }
        out.push('\n');
    }
    out.push_str("</svg>\n");
    out
}

fn label(out: &mut String, y: usize, text: &str) {
    let x = usize::midpoint(LEFT, RIGHT);
    let _ = write!(
        out,
        "<text x=\"{x}\" y=\"{y}\" class=\"label\" text-anchor=\"middle\">{}</text>",
        escaped(text)
    );
}

fn entry(out: &mut String, y: usize, bad: bool, event: &Event) {
    let (from, to, text) = match event {
        Event::Request { bytes, .. } => (LEFT, RIGHT, first_line(bytes)),
        Event::Reply { bytes, .. } => (RIGHT, LEFT, first_line(bytes)),
        Event::Silence { to: (method, cseq), waited } => {
            let text = format!(
                "no reply to {} (CSeq {cseq}) in {:.1} s",
                method.word(),
                waited.as_secs_f64()
            );
            return label(out, y, &text);
        }
        Event::Connected => return label(out, y, "connected"),
        Event::ClosedHere => return label(out, y, "connection closed by the check"),
        Event::ClosedThere => return label(out, y, "connection closed by the program"),
        Event::Action(text) => return label(out, y, text),
    };
    let (class, colour) = if bad { (" class=\"bad\"", "#b3261e") } else { ("", "#1f4e8c") };
    let tip = if to > from { to - 8 } else { to + 8 };
    let y2 = y + 6;
    let _ = write!(
        out,
        "<g{class} stroke=\"{colour}\" fill=\"{colour}\"><line x1=\"{from}\" y1=\"{y2}\" x2=\"{to}\" y2=\"{y2}\" class=\"arrow\"/>\
         <path d=\"M{to} {y2} L{tip} {} L{tip} {} Z\" class=\"arrow\"/></g>",
        y2 - 4,
        y2 + 4
    );
    label(out, y, &text);
}

/// The messages and packets of an exchange that prove failures.
#[derive(Debug, Default)]
pub(super) struct Marked {
    pub entries: Vec<usize>,
    pub packets: Vec<usize>,
}

impl Marked {
    /// Whether a packet of a range proves a failure.
    pub fn has_packet(&self, range: std::ops::Range<usize>) -> bool {
        self.packets.iter().any(|packet| range.contains(packet))
    }
}
