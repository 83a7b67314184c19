// SPDX-License-Identifier: MIT OR Apache-2.0
//! Frames from what lab servers send: one JPEG a packet, or one of the fragment forms in use.

use super::{HeaderError, RtpHeader};
use crate::jpeg::{Header, ImageEnd, first_image_end};
use crate::movie::{EOI, PREFIX_LEN, SOI};

/// The most bytes that are gathered for one frame; more is given up.
pub const MAX_GATHERED: usize = 4 * 1024 * 1024;

/// Bytes of the headers of their own that servers put before the JPEG or a fragment of it.
const OWN_HEADERS: [usize; 2] = [6, 8];

/// The payload type of parity packets, which hold no picture.
const PARITY: u8 = 127;

/// A frame that has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// From SOI on; cut if fragments of it are missing.
    pub jpeg: Vec<u8>,
    /// Of its first packet; in the lab the frame's number, from 1.
    pub sequence_number: u16,
}

/// What is known of the frame that is being gathered.
#[derive(Debug)]
struct Unit {
    first: RtpHeader,
    last: u16,
    /// Bytes before each fragment that are not the JPEG's.
    own_header: usize,
    /// Whether all fragments have one sequence number, once there are two.
    same_number: Option<bool>,
    jpeg: Vec<u8>,
}

/// Gathers frames from packets.
#[derive(Debug, Default)]
pub struct LabDepacketizer {
    unit: Option<Unit>,
    last: Option<u16>,
    packets: u64,
    lost: u64,
}

impl LabDepacketizer {
    /// Takes in one datagram; gives the frames that are whole now, two at the most.
    ///
    /// # Errors
    /// If it is no RTP packet.
    pub fn push(&mut self, packet: &[u8]) -> Result<Vec<Received>, HeaderError> {
        let (header, payload) = RtpHeader::parse(packet)?;
        let mut frames = Vec::new();
        if header.payload_type == PARITY {
            return Ok(frames);
        }
        self.count(header.sequence_number);
        match image_begin(payload) {
            Some(own_header) => {
                frames.extend(self.flush());
                let image = payload.get(own_header..).unwrap_or_default();
                let end = image_end(image);
                let jpeg = image.get(..end.unwrap_or(image.len())).unwrap_or_default().to_vec();
                let sequence_number = header.sequence_number;
                if end.is_some() || header.marker {
                    frames.push(Received { jpeg, sequence_number });
                } else {
                    let own_header = if own_header == PREFIX_LEN { 0 } else { own_header };
                    let (last, same_number) = (sequence_number, None);
                    self.unit = Some(Unit { first: header, last, own_header, same_number, jpeg });
                }
            }
            None => frames.extend(self.go_on(header, payload)),
        }
        Ok(frames)
    }

    /// A packet without an image's begin: the next fragment of the frame that is gathered.
    fn go_on(&mut self, header: RtpHeader, payload: &[u8]) -> Option<Received> {
        let unit = self.unit.as_mut()?;
        let same_number = header.sequence_number == unit.last;
        let other_form = unit.same_number.is_some_and(|it| it != same_number);
        if header.timestamp != unit.first.timestamp || other_form {
            // The begin of the next frame was lost.
            return self.flush();
        }
        let fragment = payload.get(unit.own_header..).unwrap_or_default();
        if unit.jpeg.len() + fragment.len() > MAX_GATHERED {
            self.unit = None;
            return None;
        }
        unit.jpeg.extend_from_slice(fragment);
        unit.last = header.sequence_number;
        unit.same_number = Some(same_number);
        // Fragments are cut anywhere, so that EOI may lie on both sides of a cut.
        let ends = header.marker || unit.jpeg.ends_with(&EOI);
        if ends { self.flush() } else { None }
    }

    /// The frame that is being gathered, as far as it has come: at the end of the stream.
    pub fn flush(&mut self) -> Option<Received> {
        let unit = self.unit.take()?;
        Some(Received { jpeg: unit.jpeg, sequence_number: unit.first.sequence_number })
    }

    fn count(&mut self, number: u16) {
        self.packets += 1;
        if let Some(last) = self.last.replace(number) {
            let ahead = number.wrapping_sub(last);
            // Behind by less than half of all numbers: it has come late, and was counted as lost.
            if ahead > u16::MAX / 2 {
                self.last = Some(last);
                self.lost = self.lost.saturating_sub(1);
            } else if ahead > 1 {
                // Our server and others go from 65 535 to 1.
                let skipped_zero = u16::from(number < last && number > 0);
                self.lost += u64::from(ahead - 1 - skipped_zero.min(ahead - 1));
            }
        }
    }

    /// Packets that have come, and packets that are missing between them, since the begin.
    pub fn packets(&self) -> (u64, u64) {
        (self.packets, self.lost)
    }

    /// Counts afresh, as at each PLAY: servers begin again, or go on, as they like.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

/// How many bytes stand before the image, if one begins in this payload: none, the movie's five
/// digits, or a header of the server's own.
fn image_begin(payload: &[u8]) -> Option<usize> {
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
        let mut header = RtpHeader {
            version: 2,
            padding: false,
            extension: false,
            csrc_count: 0,
            marker: false,
            payload_type: 26,
            sequence_number: 1,
            timestamp: 0,
            ssrc: 0,
        };
        change(&mut header);
        [&header.to_bytes()[..], payload].concat()
    }

    /// All frames of packets, with what is left at the end.
    fn receive(packets: &[Vec<u8>]) -> (Vec<(u16, Vec<u8>)>, u64) {
        let mut depacketizer = LabDepacketizer::default();
        let mut frames = Vec::new();
        for packet in packets {
            frames.extend(depacketizer.push(packet).unwrap());
        }
        frames.extend(depacketizer.flush());
        let frames = frames.into_iter().map(|it| (it.sequence_number, it.jpeg)).collect();
        (frames, depacketizer.packets().1)
    }

    #[test]
    fn every_form_that_servers_use_gives_the_frames() {
        let (one, two) = (image(1), image(2));
        let both = vec![(1, one.clone()), (2, two.clone())];
        let plain = |number: u16, payload: &[u8]| packet(|h| h.sequence_number = number, payload);
        let own = |length: usize, payload: &[u8]| [&vec![9; length], payload].concat();
        let part = |number: u16, timestamp: u32, marker: bool, payload: &[u8]| {
            let set = |h: &mut RtpHeader| {
                (h.sequence_number, h.timestamp, h.marker) = (number, timestamp, marker);
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
        let lost = |numbers: &[u16]| {
            let packets: Vec<_> = numbers.iter().map(|number| plain(*number)).collect();
            receive(&packets).1
        };
        let rows: &[(&[u16], u64)] = &[
            (&[1, 2, 3], 0),
            (&[1, 4], 2),
            (&[1, 3, 2, 4], 0),
            (&[65_534, 65_535, 1, 2], 0),
            (&[65_534, 65_535, 0, 1], 0),
            (&[65_534, 2], 2),
            (&[5, 5, 5], 0),
            (&[], 0),
        ];
        for (numbers, want) in rows {
            assert_eq!(lost(numbers), *want, "{numbers:?}");
        }
        // A fragment whose begin is missing, between two whole frames.
        let one = image(1);
        let middle = packet(|h| (h.sequence_number, h.timestamp) = (2, 5), &one[20..]);
        let last = packet(|h| (h.sequence_number, h.timestamp) = (3, 6), &one);
        let (frames, _) = receive(&[plain(1), middle, last]);
        assert_eq!(frames.iter().map(|frame| frame.0).collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn what_never_ends_is_given_up() {
        let mut depacketizer = LabDepacketizer::default();
        let fragment = packet(|_| {}, &vec![7; 60_000]);
        depacketizer.push(&packet(|_| {}, &SOI)).unwrap();
        for _ in 0..100 {
            assert!(depacketizer.push(&fragment).unwrap().is_empty());
            let held = depacketizer.unit.as_ref().map_or(0, |unit| unit.jpeg.len());
            assert!(held <= MAX_GATHERED);
        }
        assert_eq!(depacketizer.flush(), None);
    }

    proptest! {
        #[test]
        fn any_datagrams_are_taken_without_a_panic(
            datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..20),
        ) {
            let mut depacketizer = LabDepacketizer::default();
            for datagram in datagrams {
                let _ = depacketizer.push(&datagram);
            }
            depacketizer.flush();
        }
    }
}
