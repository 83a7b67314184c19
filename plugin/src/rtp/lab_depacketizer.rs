// SPDX-License-Identifier: MIT OR Apache-2.0
//! Frames from what lab servers send: one JPEG a packet, or one of the fragment forms in use.

use super::reorder_buffer::{BufferedPacket, PacketCounts, ReorderBuffer};
use super::{HeaderError, RtpHeader, Timestamp};
use crate::jpeg::{Header, ImageEnd, first_image_end};
use crate::movie::{EOI, PREFIX_LEN, SOI};

/// The most bytes that are gathered for one frame; more is given up.
pub const MAX_REASSEMBLED: usize = 4 * 1024 * 1024;

/// Bytes of the headers of their own that servers put before the JPEG or a fragment of it.
const OWN_HEADERS: [usize; 2] = [6, 8];

/// The payload type of parity packets, which hold no picture.
const PARITY: u8 = 127;

/// A frame that has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedFrame {
    /// From SOI on.
    pub jpeg: Vec<u8>,
    /// Whether its end has come: EOI, or the packet with the marker.
    pub whole: bool,
    /// Of its first packet; in the lab the frame's number, from 1.
    pub sequence_number: u16,
    /// Of its first packet, as the server wrote it.
    pub timestamp: Timestamp,
    /// What [`LabDepacketizer::push`] was told of its first packet.
    pub arrival: u64,
}

/// What is known of the frame that is being gathered.
#[derive(Debug)]
struct PartialFrame {
    first: RtpHeader,
    arrival: u64,
    last: u16,
    /// Bytes before each fragment that are not the JPEG's.
    own_header: usize,
    /// Whether all fragments have one sequence number, once there are two.
    same_number: Option<bool>,
    jpeg: Vec<u8>,
}

impl PartialFrame {
    fn into_frame(self, whole: bool) -> ReceivedFrame {
        ReceivedFrame {
            jpeg: self.jpeg,
            whole,
            sequence_number: self.first.sequence_number,
            timestamp: self.first.timestamp,
            arrival: self.arrival,
        }
    }
}

/// Gathers frames from packets.
#[derive(Debug, Default)]
pub struct LabDepacketizer {
    order: ReorderBuffer,
    partial: Option<PartialFrame>,
    /// The server sends fragments.
    fragments: bool,
}

impl LabDepacketizer {
    /// Takes in one datagram; gives the frames that are whole now. `arrival` is given back with
    /// the frame, as the caller's own time.
    ///
    /// # Errors
    /// If it is no RTP packet.
    pub fn push(&mut self, packet: &[u8], arrival: u64) -> Result<Vec<ReceivedFrame>, HeaderError> {
        let (header, _) = RtpHeader::parse(packet)?;
        if header.payload_type == PARITY {
            return Ok(Vec::new());
        }
        let number = header.sequence_number;
        let due = self.order.push(BufferedPacket { number, arrival, bytes: packet.to_vec() });
        Ok(due.into_iter().flat_map(|packet| self.accept_in_order(&packet)).collect())
    }

    /// A packet in its turn.
    fn accept_in_order(&mut self, packet: &BufferedPacket) -> Vec<ReceivedFrame> {
        let Ok((header, payload)) = RtpHeader::parse(&packet.bytes) else { return Vec::new() };
        let Some(own_header) = image_start(payload) else {
            return self.continue_frame(header, payload).into_iter().collect();
        };
        let mut frames: Vec<_> = self.unfinished().into_iter().collect();
        let image = payload.get(own_header..).unwrap_or_default();
        let end = image_end(image);
        let partial = PartialFrame {
            first: header,
            arrival: packet.arrival,
            last: header.sequence_number,
            own_header: if own_header == PREFIX_LEN { 0 } else { own_header },
            same_number: None,
            jpeg: image.get(..end.unwrap_or(image.len())).unwrap_or_default().to_vec(),
        };
        if end.is_some() || header.marker {
            frames.push(partial.into_frame(true));
        } else {
            self.partial = Some(partial);
        }
        frames
    }

    /// The frame that is gathered, behind which no end has come. Where no fragments are sent it
    /// is whole, and lacks EOI in the file too.
    fn unfinished(&mut self) -> Option<ReceivedFrame> {
        let whole = !self.fragments;
        self.partial.take().map(|partial| partial.into_frame(whole))
    }

    /// A packet without an image's begin: the next fragment of the frame that is gathered.
    fn continue_frame(&mut self, header: RtpHeader, payload: &[u8]) -> Option<ReceivedFrame> {
        let mut partial = self.partial.take()?;
        let same_number = header.sequence_number == partial.last;
        let other_form = partial.same_number.is_some_and(|it| it != same_number);
        if header.timestamp != partial.first.timestamp || other_form {
            // The begin of the next frame was lost.
            return Some(partial.into_frame(false));
        }
        let fragment = payload.get(partial.own_header..).unwrap_or_default();
        if partial.jpeg.len() + fragment.len() > MAX_REASSEMBLED {
            return None;
        }
        self.fragments = true;
        partial.jpeg.extend_from_slice(fragment);
        partial.last = header.sequence_number;
        partial.same_number = Some(same_number);
        // Fragments are cut anywhere, so that EOI may lie on both sides of a cut.
        if header.marker || partial.jpeg.ends_with(&EOI) {
            return Some(partial.into_frame(true));
        }
        self.partial = Some(partial);
        None
    }

    /// What waits for packets that have not come, as far as it has: at the end of the stream, or
    /// when none has come for the time of some frames.
    pub fn flush(&mut self) -> Vec<ReceivedFrame> {
        let due = self.order.flush();
        let mut frames: Vec<_> =
            due.iter().flat_map(|packet| self.accept_in_order(packet)).collect();
        frames.extend(self.unfinished());
        frames
    }

    /// What has become of the packets, since the begin.
    pub fn counts(&self) -> PacketCounts {
        self.order.counts()
    }

    /// Counts afresh, as at each PLAY: servers begin again, or go on, as they like.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

/// How many bytes stand before the image, if one begins in this payload: none, the movie's five
/// digits, or a header of the server's own.
fn image_start(payload: &[u8]) -> Option<usize> {
    let begins = |at: usize| payload.get(at..).is_some_and(|rest| rest.starts_with(&SOI));
    if begins(0) {
        return Some(0);
    }
    let digits = payload.get(..PREFIX_LEN).is_some_and(|it| it.iter().all(u8::is_ascii_digit));
    if digits && begins(PREFIX_LEN) {
        return Some(PREFIX_LEN);
    }
    OWN_HEADERS.into_iter().find(|length| begins(*length))
}

/// Where the first image of these bytes ends, if it does.
fn image_end(image: &[u8]) -> Option<usize> {
    match Header::parse(image).map(|header| first_image_end(image, header.scan_data)) {
        Ok(Ok(ImageEnd::Eoi(end))) => Some(end),
        Ok(Ok(ImageEnd::Missing)) => None,
        // Not an image that can be read; the decoder will say so. What ends like one is one.
        Ok(Err(_)) | Err(_) => image.ends_with(&EOI).then_some(image.len()),
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A stand-in for a JPEG that no header can be read of.
    fn image(number: u8) -> Vec<u8> {
        [&SOI[..], &[number; 60], &EOI].concat()
    }

    fn packet(change: impl FnOnce(&mut RtpHeader), payload: &[u8]) -> Vec<u8> {
        let mut header = RtpHeader::jpeg(1, Timestamp::default(), 0, false);
        change(&mut header);
        [&header.to_bytes()[..], payload].concat()
    }

    /// All frames of packets, with what is left at the end.
    fn receive(packets: &[Vec<u8>]) -> (Vec<(u16, Vec<u8>)>, u64) {
        let mut depacketizer = LabDepacketizer::default();
        let mut frames = Vec::new();
        for packet in packets {
            frames.extend(depacketizer.push(packet, 0).unwrap());
        }
        frames.extend(depacketizer.flush());
        let frames = frames.into_iter().map(|it| (it.sequence_number, it.jpeg)).collect();
        (frames, depacketizer.counts().lost)
    }

    #[test]
    fn every_form_that_servers_use_gives_the_frames() {
        let (one, two) = (image(1), image(2));
        let both = vec![(1, one.clone()), (2, two.clone())];
        let plain = |number: u16, payload: &[u8]| packet(|h| h.sequence_number = number, payload);
        let own = |length: usize, payload: &[u8]| [&vec![9; length], payload].concat();
        let part = |number: u16, timestamp: u32, marker: bool, payload: &[u8]| {
            let set = |h: &mut RtpHeader| {
                (h.sequence_number, h.marker) = (number, marker);
                h.timestamp = Timestamp::from_ticks(timestamp);
            };
            packet(set, payload)
        };
        let rows: Vec<(&str, Vec<Vec<u8>>)> = vec![
            ("one a packet", vec![plain(1, &one), plain(2, &two)]),
            (
                "version 0",
                vec![
                    packet(|h| h.version = 0, &one),
                    packet(|h| (h.version, h.sequence_number) = (0, 2), &two),
                ],
            ),
            (
                "five digits before it",
                vec![plain(1, &own_digits(&one)), plain(2, &own_digits(&two))],
            ),
            ("a header of six bytes", vec![plain(1, &own(6, &one)), plain(2, &own(6, &two))]),
            ("a header of eight bytes", vec![plain(1, &own(8, &one)), plain(2, &own(8, &two))]),
            (
                "parity between",
                vec![plain(1, &one), packet(|h| h.payload_type = 127, &two), plain(2, &two)],
            ),
            (
                "fragments of one number",
                vec![
                    part(1, 0, false, &one[..20]),
                    part(1, 0, false, &one[20..50]),
                    part(1, 0, true, &one[50..]),
                    part(2, 0, false, &two[..30]),
                    part(2, 0, false, &two[30..]),
                ],
            ),
            (
                "the same without a marker, cut inside EOI",
                vec![
                    part(1, 0, false, &one[..20]),
                    part(1, 0, false, &one[20..63]),
                    part(1, 0, false, &one[63..]),
                    plain(2, &two),
                ],
            ),
            (
                "fragments of six-byte headers",
                vec![
                    part(1, 0, false, &own(6, &one[..20])),
                    part(1, 0, true, &own(6, &one[20..])),
                    plain(2, &two),
                ],
            ),
        ];
        for (name, packets) in rows {
            assert_eq!(receive(&packets), (both.clone(), 0), "{name}");
        }
        // Numbers that rise with each fragment: the frame has its first one's.
        let packets = [
            part(1, 0, false, &one[..20]),
            part(2, 0, false, &one[20..40]),
            part(3, 0, true, &one[40..]),
            part(4, 9, true, &two),
        ];
        assert_eq!(receive(&packets), (vec![(1, one.clone()), (4, two.clone())], 0));
        // Two images in one packet: the first, where its header can be read.
        let unreadable = receive(&[plain(1, &[&one[..], &two].concat())]);
        assert_eq!(unreadable.0, [(1, [&one[..], &two].concat())]);
    }

    fn own_digits(image: &[u8]) -> Vec<u8> {
        [format!("{:05}", image.len()).as_bytes(), image].concat()
    }

    #[test]
    fn what_is_lost_is_counted_and_costs_itself_only() {
        let plain = |number: u16| packet(|h| h.sequence_number = number, &image(1));
        let ticks = Timestamp::from_ticks;
        // A fragment whose begin is missing, between two whole frames.
        let one = image(1);
        let middle = packet(|h| (h.sequence_number, h.timestamp) = (2, ticks(5)), &one[20..]);
        let last = packet(|h| (h.sequence_number, h.timestamp) = (3, ticks(6)), &one);
        let (frames, _) = receive(&[plain(1), middle, last]);
        assert_eq!(frames.iter().map(|frame| frame.0).collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn what_never_ends_is_given_up() {
        let mut depacketizer = LabDepacketizer::default();
        depacketizer.push(&packet(|_| {}, &SOI), 0).unwrap();
        for number in 0..100 {
            let fragment = packet(|_| {}, &vec![number; 60_000]);
            assert!(depacketizer.push(&fragment, 0).unwrap().is_empty());
            let held = depacketizer.partial.as_ref().map_or(0, |partial| partial.jpeg.len());
            assert!(held <= MAX_REASSEMBLED);
        }
        assert_eq!(depacketizer.flush(), []);
    }

    proptest! {
        #[test]
        fn any_datagrams_are_taken_without_a_panic(
            datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..20),
        ) {
            let mut depacketizer = LabDepacketizer::default();
            for datagram in datagrams {
                let _ = depacketizer.push(&datagram, 0);
            }
            depacketizer.flush();
        }
    }
}
