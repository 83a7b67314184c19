// SPDX-License-Identifier: MIT OR Apache-2.0
//! The frames in the recorded packets.

use crate::profile::{Fragments, Lab};
use crate::recording::{Packet, Recording};
use gstmjpegfile::movie::{EOI, SOI};
use gstmjpegfile::rtp::RtpHeader;
use std::borrow::Cow;
use std::time::Duration;

/// The fewest frames with one sequence number that show that it does not change.
const MANY: usize = 3;

/// A packet with its header.
#[derive(Debug, Clone, Copy)]
pub struct StreamPacket<'a> {
    /// The number of the packet in the recording.
    pub number: usize,
    /// The packet.
    pub packet: &'a Packet,
    /// Its header.
    pub header: RtpHeader,
}

/// A frame that was received.
#[derive(Debug, Clone)]
pub struct StreamFrame<'a> {
    /// The first of its packets, counted in the stream.
    pub first: usize,
    /// The number of its packets.
    pub packets: usize,
    /// When the first one arrived.
    pub at: Duration,
    /// The header of the first one.
    pub header: RtpHeader,
    /// The image.
    pub payload: Cow<'a, [u8]>,
}

/// The packets of one play of one client.
#[derive(Debug, Clone, Default)]
pub struct Stream<'a> {
    /// The packets, in the order of their arrival.
    pub packets: Vec<StreamPacket<'a>>,
    /// Datagrams that are too short for an RTP header: their numbers in the recording.
    pub short: Vec<usize>,
    /// The frames. If they come in fragments, the last one may be incomplete, and is left out.
    pub frames: Vec<StreamFrame<'a>>,
    /// Whether the sequence numbers have their low byte first.
    pub low_byte_first: bool,
    /// How frames are sent.
    pub fragments: Option<Fragments>,
}

impl<'a> Stream<'a> {
    /// The packets at a port in a part of a recording, from and to a time.
    pub fn new(
        recording: &'a Recording,
        port: usize,
        (from, to): (Duration, Duration),
        lab: &Lab,
    ) -> Self {
        let mut stream = Self::default();
        for (number, packet) in recording.packets.iter().enumerate() {
            if packet.port != port || packet.at < from || packet.at >= to {
                continue;
            }
            match packet.header() {
                Some(header) => stream.packets.push(StreamPacket { number, packet, header }),
                None => stream.short.push(number),
            }
        }
        stream.low_byte_first = has_low_byte_first(&stream.packets);
        stream.group(lab);
        stream
    }

    /// The sequence number of a packet of the stream, as it is meant.
    pub fn number(&self, packet: usize) -> u16 {
        let number = self.packets.get(packet).map_or(0, |it| it.header.sequence_number);
        if self.low_byte_first { number.swap_bytes() } else { number }
    }

    /// The number of a frame's first packet in the recording.
    pub fn recorded(&self, frame: &StreamFrame) -> usize {
        self.packets.get(frame.first).map_or(0, |packet| packet.number)
    }

    /// The sequence number that all frames have, if they have the same one. Frames that are sent twice
    /// cannot be distinguished by it.
    pub fn only_number(&self) -> Option<u16> {
        let mut numbers = self.frames.iter().map(|frame| self.number(frame.first));
        let first = numbers.next()?;
        (numbers.all(|number| number == first) && self.frames.len() >= MANY).then_some(first)
    }

    fn group(&mut self, lab: &Lab) {
        let fragmented = lab.fragments != Fragments::Off;
        let mut groups: Vec<(usize, usize)> = Vec::new();
        for (at, packet) in self.packets.iter().enumerate() {
            let continues = fragmented && !packet.packet.payload().starts_with(&SOI);
            match groups.last_mut().filter(|_| continues) {
                Some((_, end)) => *end = at + 1,
                None => groups.push((at, at + 1)),
            }
        }
        if fragmented {
            self.fragments = self.form_of(&groups);
        }
        let frame = |(first, end): (usize, usize)| {
            let packets = self.packets.get(first..end)?;
            let head = packets.first()?;
            let payload = match packets {
                [one] => Cow::Borrowed(one.packet.payload()),
                many => many.iter().flat_map(|it| it.packet.payload()).copied().collect(),
            };
            let (at, header) = (head.packet.at, head.header);
            Some(StreamFrame { first, packets: end - first, at, header, payload })
        };
        self.frames = groups.into_iter().filter_map(frame).collect();
        if fragmented && self.frames.last().is_some_and(|frame| !frame.payload.ends_with(&EOI)) {
            self.frames.pop();
        }
    }

    /// How the frames of these groups of packets are sent; `None` if no frame has two packets.
    fn form_of(&self, groups: &[(usize, usize)]) -> Option<Fragments> {
        let (first, _) = groups.iter().find(|(first, end)| end - first > 1)?;
        let same = self.number(*first) == self.number(first + 1);
        Some(if same { Fragments::SameSeq } else { Fragments::NextSeq })
    }
}

/// Whether the sequence numbers count by one only if their bytes are swapped.
fn has_low_byte_first(packets: &[StreamPacket]) -> bool {
    let steps = |read: fn(u16) -> u16| {
        let numbers: Vec<u16> = packets.iter().map(|it| read(it.header.sequence_number)).collect();
        let by_one = |pair: &&[u16]| matches!(pair, [a, b] if b.wrapping_sub(*a) == 1);
        numbers.windows(2).filter(by_one).count()
    };
    let (swapped, plain) = (steps(u16::swap_bytes), steps(|number| number));
    packets.len() > 2 && swapped > packets.len() / 2 && swapped > plain
}
