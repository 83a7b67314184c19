// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reassembles frames from the RTP packets of lab servers: one JPEG per packet, or one of several
//! forms of fragments.

use super::reorder_buffer::{BufferedPacket, MAX_DISTANCE, PacketCounts, ReorderBuffer};
use super::{HeaderError, RtpHeader, Timestamp};
use crate::jpeg::{self, Header, ImageEnd};
use crate::movie::{EOI, Nanoseconds, PREFIX_LEN, SOI};

/// The largest frame that is reassembled, in bytes. A larger one is cut off and given as not whole.
pub const MAX_REASSEMBLED: usize = 4 * 1024 * 1024;

/// Lengths of the headers that some servers insert before the JPEG or a fragment of it, in bytes.
const OWN_HEADERS: [usize; 2] = [6, 8];

/// The payload type of parity packets, which contain no picture.
const PARITY: u8 = 127;

/// Distinguishes RTP packets from datagrams that continue a packet: some servers cut a packet into
/// datagrams, and only the first one has the header.
#[derive(Debug, Default, Clone, Copy)]
pub struct PacketDetector {
    /// Header of the last packet.
    last: Option<RtpHeader>,
}

impl PacketDetector {
    /// Whether a datagram with this header and payload is a packet: the first one of a stream, one
    /// in which an image starts, or one whose header continues that of the last packet.
    pub fn is_packet(&mut self, header: &RtpHeader, payload: &[u8]) -> bool {
        let continues = |last: RtpHeader| {
            let near = |a: u16, b: u16| a.wrapping_sub(b) <= MAX_DISTANCE;
            let (number, previous) = (header.sequence_number, last.sequence_number);
            header.version == last.version
                && [last.payload_type, PARITY].contains(&header.payload_type)
                && (header.ssrc == last.ssrc || near(number, previous) || near(previous, number))
        };
        let is_packet = self.last.is_none_or(continues) || image_start(payload).is_some();
        if is_packet && header.payload_type != PARITY {
            self.last = Some(*header);
        }
        is_packet
    }
}

/// A received frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedFrame {
    /// The image, starting with SOI.
    pub jpeg: Vec<u8>,
    /// Whether the end of the image was received: EOI, or a packet with the marker. False also for
    /// an image that was cut off at [`MAX_REASSEMBLED`].
    pub whole: bool,
    /// Sequence number of the first packet; in the lab the number of the frame, from 1.
    pub sequence_number: u16,
    /// Whether the next frame has the next sequence number: false if each fragment has its own.
    pub numbered: bool,
    /// Timestamp of the first packet.
    pub timestamp: Timestamp,
    /// The `arrival` that [`LabDepacketizer::push`] was given for the first packet.
    pub arrival: Option<Nanoseconds>,
}

/// A frame that is being reassembled.
#[derive(Debug)]
struct PartialFrame {
    first: RtpHeader,
    arrival: Option<Nanoseconds>,
    /// The sequence number of the last fragment.
    last: u16,
    /// Length of the server's own header before each fragment, in bytes.
    own_header: usize,
    /// Whether all fragments have the same sequence number; `None` until there are two.
    same_number: Option<bool>,
    jpeg: Vec<u8>,
}

impl PartialFrame {
    fn into_frame(self, whole: bool) -> ReceivedFrame {
        ReceivedFrame {
            jpeg: self.jpeg,
            whole,
            sequence_number: self.first.sequence_number,
            numbered: self.same_number != Some(false),
            timestamp: self.first.timestamp,
            arrival: self.arrival,
        }
    }
}

/// Reassembles frames from packets.
#[derive(Debug, Default)]
pub struct LabDepacketizer {
    reorder_buffer: ReorderBuffer,
    detector: PacketDetector,
    partial: Option<PartialFrame>,
    /// Whether the server sends fragments.
    fragments: bool,
}

impl LabDepacketizer {
    /// Adds a datagram; returns the frames that are complete now, and those that were cut off.
    /// `arrival` is returned with the frame and has no meaning here, so the caller can use any
    /// clock, or none.
    ///
    /// # Errors
    /// If the datagram is not an RTP packet.
    pub fn push(
        &mut self,
        packet: &[u8],
        arrival: Option<Nanoseconds>,
    ) -> Result<Vec<ReceivedFrame>, HeaderError> {
        let (header, payload) = match RtpHeader::parse(packet) {
            // The end of a packet that was cut into datagrams may be short.
            Err(_) if self.partial.is_some() => return Ok(self.continue_packet(packet)),
            parsed => parsed?,
        };
        if !self.detector.is_packet(&header, payload) {
            return Ok(self.continue_packet(packet));
        }
        // A parity packet takes a number of the stream, or has numbers of its own.
        let is_parity = header.payload_type == PARITY;
        if is_parity && !self.reorder_buffer.is_ahead(header.sequence_number) {
            return Ok(Vec::new());
        }
        let number = header.sequence_number;
        let ready =
            self.reorder_buffer.push(BufferedPacket { number, arrival, bytes: packet.to_vec() });
        Ok(ready.into_iter().flat_map(|packet| self.accept_in_order(&packet)).collect())
    }

    /// Adds a packet whose predecessors have been added or are lost.
    fn accept_in_order(&mut self, packet: &BufferedPacket) -> Vec<ReceivedFrame> {
        let Ok((header, payload)) = RtpHeader::parse(&packet.bytes) else { return Vec::new() };
        if header.payload_type == PARITY {
            return Vec::new();
        }
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
        // Without its end, the packet may continue in datagrams without a header.
        if end.is_some() {
            frames.push(partial.into_frame(true));
        } else {
            self.partial = Some(partial);
        }
        frames
    }

    /// Adds a datagram without a header: the next bytes of the current packet.
    fn continue_packet(&mut self, bytes: &[u8]) -> Vec<ReceivedFrame> {
        let Some(mut partial) = self.partial.take() else { return Vec::new() };
        if partial.jpeg.len() + bytes.len() > MAX_REASSEMBLED {
            return vec![partial.into_frame(false)];
        }
        partial.jpeg.extend_from_slice(bytes);
        // EOI may be split between two datagrams.
        if partial.jpeg.ends_with(&EOI) {
            return vec![partial.into_frame(true)];
        }
        self.partial = Some(partial);
        Vec::new()
    }

    /// Takes the frame whose end was not received. It is complete if the server does not send
    /// fragments: then its image lacks EOI.
    fn unfinished(&mut self) -> Option<ReceivedFrame> {
        let whole = !self.fragments;
        self.partial.take().map(|partial| partial.into_frame(whole))
    }

    /// Adds a packet that does not start an image: the next fragment of the current frame.
    fn continue_frame(&mut self, header: RtpHeader, payload: &[u8]) -> Option<ReceivedFrame> {
        let mut partial = self.partial.take()?;
        let same_number = header.sequence_number == partial.last;
        let other_form = partial.same_number.is_some_and(|it| it != same_number);
        if header.timestamp != partial.first.timestamp || other_form {
            // The start of the next frame was lost.
            return Some(partial.into_frame(false));
        }
        let fragment = payload.get(partial.own_header..).unwrap_or_default();
        if partial.jpeg.len() + fragment.len() > MAX_REASSEMBLED {
            return Some(partial.into_frame(false));
        }
        self.fragments = true;
        partial.jpeg.extend_from_slice(fragment);
        partial.last = header.sequence_number;
        partial.same_number = Some(same_number);
        // Frames are cut anywhere, so that EOI may be split between two fragments.
        if header.marker || partial.jpeg.ends_with(&EOI) {
            return Some(partial.into_frame(true));
        }
        self.partial = Some(partial);
        None
    }

    /// Returns the frames that wait for missing packets, and the received part of the current frame.
    /// For the end of the stream, or when no packet has arrived for several frame periods.
    pub fn flush(&mut self) -> Vec<ReceivedFrame> {
        let ready = self.reorder_buffer.flush();
        let mut frames: Vec<_> =
            ready.iter().flat_map(|packet| self.accept_in_order(packet)).collect();
        frames.extend(self.unfinished());
        frames
    }

    /// What happened to the packets since the start.
    pub fn counts(&self) -> PacketCounts {
        self.reorder_buffer.counts()
    }

    /// Forgets all packets and counts, as at each PLAY: some servers restart their sequence numbers
    /// then, others do not.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

/// Offset of the image, if one starts in this payload. Before it there may be the five digits of the
/// movie's length field, or a header of the server's own.
fn image_start(payload: &[u8]) -> Option<usize> {
    let starts = |at: usize| payload.get(at..).is_some_and(|rest| rest.starts_with(&SOI));
    if starts(0) {
        return Some(0);
    }
    let digits = payload.get(..PREFIX_LEN).is_some_and(|it| it.iter().all(u8::is_ascii_digit));
    if digits && starts(PREFIX_LEN) {
        return Some(PREFIX_LEN);
    }
    OWN_HEADERS.into_iter().find(|length| starts(*length))
}

/// Offset of the end of the first image in these bytes, if its end is among them.
fn image_end(image: &[u8]) -> Option<usize> {
    match Header::parse(image).and_then(|header| jpeg::image_end(image, &header)) {
        Ok(ImageEnd::Eoi(end)) => Some(end),
        Ok(ImageEnd::Missing) => None,
        // The decoder will report what is wrong with the image. Its end is still recognised.
        Err(_) => image.ends_with(&EOI).then_some(image.len()),
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A placeholder for a JPEG, without a valid header.
    fn image(number: u8) -> Vec<u8> {
        [&SOI[..], &[number; 60], &EOI].concat()
    }

    fn packet(change: impl FnOnce(&mut RtpHeader), payload: &[u8]) -> Vec<u8> {
        let mut header = RtpHeader::jpeg(1, Timestamp::default(), 0, false);
        change(&mut header);
        [&header.to_bytes()[..], payload].concat()
    }

    /// All frames of these packets, and the number of lost packets.
    fn receive(packets: &[Vec<u8>]) -> (Vec<(u16, Vec<u8>)>, u64) {
        let mut depacketizer = LabDepacketizer::default();
        let mut frames = Vec::new();
        for packet in packets {
            frames.extend(depacketizer.push(packet, None).unwrap());
        }
        frames.extend(depacketizer.flush());
        let frames = frames.into_iter().map(|it| (it.sequence_number, it.jpeg)).collect();
        (frames, depacketizer.counts().lost)
    }

    #[test]
    #[allow(clippy::too_many_lines)]
    fn frames_are_reassembled_from_every_form_that_servers_use() {
        let (one, two) = (image(1), image(2));
        let want = vec![(1, one.clone()), (2, two.clone())];
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
            ("one image per packet", vec![plain(1, &one), plain(2, &two)]),
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
                "parity packets between them",
                vec![plain(1, &one), packet(|h| h.payload_type = 127, &two), plain(2, &two)],
            ),
            (
                "parity packets with numbers of the stream",
                vec![
                    plain(1, &one),
                    packet(|h| (h.payload_type, h.sequence_number) = (127, 2), &two),
                    plain(3, &two),
                ],
            ),
            (
                "parity packets with numbers of their own",
                vec![
                    plain(1, &one),
                    packet(|h| (h.payload_type, h.sequence_number) = (127, 500), &two),
                    plain(2, &two),
                    packet(|h| (h.payload_type, h.sequence_number) = (127, 501), &two),
                ],
            ),
            (
                "packets cut into datagrams, the header in the first only",
                vec![
                    plain(1, &one[..10]),
                    one[10..40].to_vec(),
                    one[40..60].to_vec(),
                    one[60..].to_vec(),
                    part(2, 0, true, &two[..30]),
                    two[30..].to_vec(),
                ],
            ),
            (
                "the same, cut inside EOI",
                vec![
                    plain(1, &one[..10]),
                    one[10..63].to_vec(),
                    one[63..].to_vec(),
                    plain(2, &two),
                ],
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
                "fragments with headers of six bytes",
                vec![
                    part(1, 0, false, &own(6, &one[..20])),
                    part(1, 0, true, &own(6, &one[20..])),
                    plain(2, &two),
                ],
            ),
        ];
        for (name, packets) in rows {
            let (mut frames, lost) = receive(&packets);
            // The parity packet with the number 2 moves the second frame to 3.
            if name == "parity packets with numbers of the stream" {
                frames[1].0 -= 1;
            }
            assert_eq!((frames, lost), (want.clone(), 0), "{name}");
        }
        // Sequence numbers increase with each fragment: the frame has the first one.
        let packets = [
            part(1, 0, false, &one[..20]),
            part(2, 0, false, &one[20..40]),
            part(3, 0, true, &one[40..]),
            part(4, 9, true, &two),
        ];
        assert_eq!(receive(&packets), (vec![(1, one.clone()), (4, two.clone())], 0));
        // The end of the first of two images in a packet is found only if its header is valid.
        let unreadable = receive(&[plain(1, &[&one[..], &two].concat())]);
        assert_eq!(unreadable.0, [(1, [&one[..], &two].concat())]);
    }

    fn own_digits(image: &[u8]) -> Vec<u8> {
        [format!("{:05}", image.len()).as_bytes(), image].concat()
    }

    #[test]
    fn a_fragment_without_its_start_is_skipped() {
        let plain = |number: u16| packet(|h| h.sequence_number = number, &image(1));
        let ticks = Timestamp::from_ticks;
        // A fragment whose start is missing, between two complete frames.
        let one = image(1);
        let middle = packet(|h| (h.sequence_number, h.timestamp) = (2, ticks(5)), &one[20..]);
        let last = packet(|h| (h.sequence_number, h.timestamp) = (3, ticks(6)), &one);
        let (frames, _) = receive(&[plain(1), middle, last]);
        assert_eq!(frames.iter().map(|frame| frame.0).collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn a_frame_without_an_end_is_cut_off_once() {
        const PART: usize = 60_000;
        // Fragments, and datagrams that continue a packet: version 0 and no JPEG.
        type Piece = fn(u8) -> Vec<u8>;
        let rows: [(&str, Piece); 2] = [
            ("fragments", |number| packet(|_| {}, &vec![number; PART])),
            ("datagrams without a header", |_| vec![0; PART]),
        ];
        for (name, part) in rows {
            let mut depacketizer = LabDepacketizer::default();
            let mut frames = depacketizer.push(&packet(|_| {}, &SOI), None).unwrap();
            for number in 0..100 {
                frames.extend(depacketizer.push(&part(number), None).unwrap());
            }
            frames.extend(depacketizer.flush());
            let got: Vec<_> = frames.iter().map(|it| (it.whole, it.jpeg.len())).collect();
            // As many parts as the limit holds after SOI.
            assert_eq!(got, [(false, 2 + MAX_REASSEMBLED / PART * PART)], "{name}");
        }
    }

    #[test]
    fn a_frame_has_the_arrival_of_its_first_packet() {
        let time = |milliseconds: u64| Some(Nanoseconds::new(milliseconds * 1_000_000));
        let one = image(1);
        for arrival in [time(7), None] {
            let mut depacketizer = LabDepacketizer::default();
            depacketizer.push(&packet(|_| {}, &one[..20]), arrival).unwrap();
            let frames = depacketizer.push(&packet(|_| {}, &one[20..]), time(8)).unwrap();
            assert_eq!(frames.iter().map(|frame| frame.arrival).collect::<Vec<_>>(), [arrival]);
        }
    }

    proptest! {
        #[test]
        fn any_datagrams_are_taken_without_a_panic(
            datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..20),
        ) {
            let mut depacketizer = LabDepacketizer::default();
            for datagram in datagrams {
                let _ = depacketizer.push(&datagram, None);
            }
            depacketizer.flush();
        }
    }
}
