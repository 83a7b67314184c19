// SPDX-License-Identifier: MIT OR Apache-2.0
//! Filters the packets of a server before rtspsrc's rtpbin gets them.
//!
//! rtpbin 1.22 makes a new pad for each SSRC, which nothing downstream of rtspsrc is linked to. So a
//! sender that changes its SSRC (RFC 3550 section 8.2) would not be seen any more. Here all its
//! packets get the first SSRC. Sequence numbers and timestamps stay: the jitter buffer accepts a jump.
//!
//! rtpjpegdepay 1.22 collects the fragments of a frame without a limit. Here a frame that does not end
//! ends the session.

use super::statistics::Collector;
use super::{Borders, lock};
use gst::prelude::*;
use gstmjpegfile::rtp::{PAYLOAD_TYPE_JPEG, RtpHeader, Timestamp};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The longest frame in bytes. RTP/JPEG states the offset of a fragment in 24 bits.
const MAX_FRAME: usize = 1 << 24;

/// For this long after a change of the SSRC, packets with the old one are late.
const LATE: Duration = Duration::from_secs(1);

/// Offset of the SSRC in RTP, and of the sender's SSRC in RTCP.
const RTP_SSRC: usize = 8;
const RTCP_SSRC: usize = 4;

/// What to do with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Keep,
    Drop,
    /// Replace the SSRC.
    Rewrite(u32),
    /// The frame is too long. The first time, the session ends.
    TooLong {
        first: bool,
    },
}

/// The sender of a stream.
#[derive(Debug, Clone, Copy)]
struct Sender {
    /// The SSRC by which rtpbin knows it.
    known: u32,
    /// The SSRC of its packets.
    actual: u32,
    /// Its previous SSRC, and when it changed.
    previous: Option<(u32, Instant)>,
}

/// The filter for one stream.
#[derive(Debug, Default)]
struct StreamFilter {
    sender: Option<Sender>,
    /// Another SSRC, and the sequence number of its next packet.
    candidate: Option<(u32, u16)>,
    /// Bytes of the frame that has not ended, and its timestamp.
    unfinished: (usize, Timestamp),
    reported: bool,
}

impl StreamFilter {
    fn rtp(&mut self, packet: &[u8], now: Instant) -> Action {
        let Ok((header, payload)) = RtpHeader::parse(packet) else { return Action::Keep };
        let ssrc = header.ssrc;
        let new = Sender { known: ssrc, actual: ssrc, previous: None };
        let sender = self.sender.get_or_insert(new);
        if ssrc == sender.actual {
            self.candidate = None;
        } else {
            let late = |(previous, since): (u32, Instant)| previous == ssrc && now < since + LATE;
            if sender.previous.is_some_and(late) {
                return Action::Drop;
            }
            // Two packets in sequence are a source (RFC 3550 appendix A.1); one may be a stray.
            let next = (ssrc, header.sequence_number.wrapping_add(1));
            if self.candidate.replace(next) != Some((ssrc, header.sequence_number)) {
                return Action::Drop;
            }
            tracing::info!("the sender changed its SSRC from {:08x} to {ssrc:08x}", sender.actual);
            self.candidate = None;
            sender.previous = Some((sender.actual, now));
            sender.actual = ssrc;
        }
        let known = sender.known;
        // Other formats may have no marker, but a timestamp for each frame.
        let (bytes, timestamp) = self.unfinished;
        let starts = header.payload_type != PAYLOAD_TYPE_JPEG && header.timestamp != timestamp;
        let bytes = if starts { 0 } else { bytes } + payload.len();
        self.unfinished = (if header.marker { 0 } else { bytes }, header.timestamp);
        if bytes > MAX_FRAME {
            return Action::TooLong { first: !std::mem::replace(&mut self.reported, true) };
        }
        if ssrc == known { Action::Keep } else { Action::Rewrite(known) }
    }

    fn rtcp(&self, packet: &[u8]) -> Action {
        let (Some(sender), Some(ssrc)) = (self.sender, ssrc_at(packet, RTCP_SSRC)) else {
            return Action::Keep;
        };
        if ssrc != sender.actual {
            // Such as BYE of the old SSRC, which would end the stream.
            Action::Drop
        } else if ssrc == sender.known {
            Action::Keep
        } else {
            Action::Rewrite(sender.known)
        }
    }
}

fn ssrc_at(packet: &[u8], at: usize) -> Option<u32> {
    packet.get(at..)?.first_chunk().copied().map(u32::from_be_bytes)
}

fn write_ssrc(packet: &mut [u8], at: usize, ssrc: u32) {
    if let Some(bytes) = packet.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *bytes = ssrc.to_be_bytes();
    }
}

/// Replaces the SSRC in all RTCP packets of a datagram: a report, a description and BYE have it at the
/// same offset.
fn write_rtcp_ssrc(mut packets: &mut [u8], ssrc: u32) {
    while let Some(&[_, _, high, low]) = packets.first_chunk() {
        let length = 4 * (1 + usize::from(u16::from_be_bytes([high, low])));
        let (packet, rest) = packets.split_at_mut(length.min(packets.len()));
        write_ssrc(packet, RTCP_SSRC, ssrc);
        packets = rest;
    }
}

/// Filters the packets that an rtpbin will get. Call this before it has pads.
pub(super) fn watch(manager: &gst::Element, borders: &Borders, collector: &Arc<Collector>) {
    let filters: Mutex<HashMap<String, Arc<Mutex<StreamFilter>>>> = Mutex::default();
    let (signal_borders, collector) = (borders.clone(), collector.clone());
    borders.on_signal(manager, "pad-added", "rtp-pad-added", move |values| {
        let manager = values.first()?.get::<gst::Element>().ok()?;
        let pad = values.get(1)?.get::<gst::Pad>().ok()?;
        let name = pad.name();
        let (session, is_rtp) = match name.strip_prefix("recv_rtp_sink_") {
            Some(session) => (session, true),
            None => (name.strip_prefix("recv_rtcp_sink_")?, false),
        };
        let filter = lock(&filters).entry(session.to_owned()).or_default().clone();
        let (manager, weak, collector) = (manager.downgrade(), pad.downgrade(), collector.clone());
        signal_borders.filter_pad(&pad, gst::PadProbeType::BUFFER, "rtp-filter", move |info| {
            // rtspsrc 1.22 pushes no lists.
            let Some(gst::PadProbeData::Buffer(buffer)) = &mut info.data else { return true };
            // Packets of its connection come from a pad of no element, datagrams from a udpsrc.
            let peer = weak.upgrade().and_then(|pad| pad.peer());
            if peer.is_some_and(|peer| peer.parent().is_none()) {
                collector.count_interleaved(buffer.size());
            }
            filter_buffer(&filter, buffer, is_rtp, &manager)
        });
        None
    });
}

/// Filters one packet; false if it is dropped.
fn filter_buffer(
    filter: &Mutex<StreamFilter>,
    buffer: &mut gst::Buffer,
    is_rtp: bool,
    manager: &glib::WeakRef<gst::Element>,
) -> bool {
    let action = match buffer.map_readable() {
        Ok(packet) if is_rtp => lock(filter).rtp(&packet, Instant::now()),
        Ok(packet) => lock(filter).rtcp(&packet),
        Err(_) => Action::Keep,
    };
    match action {
        Action::Keep => true,
        Action::Drop => false,
        Action::Rewrite(ssrc) => {
            if let Ok(mut packet) = buffer.make_mut().map_writable() {
                if is_rtp {
                    write_ssrc(&mut packet, RTP_SSRC, ssrc);
                } else {
                    write_rtcp_ssrc(&mut packet, ssrc);
                }
            }
            true
        }
        Action::TooLong { first } => {
            if let Some(manager) = manager.upgrade().filter(|_| first) {
                let limit = MAX_FRAME >> 20;
                gst::element_error!(
                    manager,
                    gst::StreamError::Demux,
                    ("the server sends a frame without an end, of more than {limit} MiB")
                );
            }
            false
        }
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    const OLD: u32 = 7;
    const NEW: u32 = 9;

    fn packet(ssrc: u32, number: u16, marker: bool) -> Vec<u8> {
        let header = RtpHeader::jpeg(number, Timestamp::default(), ssrc, marker);
        [&header.to_bytes()[..], &[0; 1000]].concat()
    }

    #[test]
    fn a_changed_ssrc_is_replaced_from_its_second_packet_on() {
        let start = Instant::now();
        // SSRC, sequence number, milliseconds, and what is done with the packet.
        let rows = [
            (OLD, 1, 0, Action::Keep),
            (NEW, 50, 1, Action::Drop),
            (OLD, 2, 2, Action::Keep),
            (NEW, 51, 3, Action::Drop),
            (NEW, 53, 4, Action::Drop),
            (NEW, 54, 5, Action::Rewrite(OLD)),
            (OLD, 3, 6, Action::Drop),
            (OLD, 4, 7, Action::Drop),
            (NEW, 55, 8, Action::Rewrite(OLD)),
            (OLD, 5, 1500, Action::Drop),
            (OLD, 6, 1501, Action::Keep),
        ];
        let mut filter = StreamFilter::default();
        for (ssrc, number, at, want) in rows {
            let now = start + Duration::from_millis(at);
            assert_eq!(filter.rtp(&packet(ssrc, number, true), now), want, "{number} at {at}");
        }
        assert_eq!(filter.rtp(b"no packet", start), Action::Keep);
    }

    #[test]
    fn rtcp_follows_the_ssrc_of_rtp() {
        let mut filter = StreamFilter::default();
        let report = |ssrc: u32| {
            let (head, bye) = ([0x80, 200, 0, 2], [0x81, 203, 0, 1]);
            let ssrc = ssrc.to_be_bytes();
            [&head[..], &ssrc, &[1; 4], &bye, &ssrc].concat()
        };
        assert_eq!(filter.rtcp(&report(NEW)), Action::Keep, "before RTP");
        let now = Instant::now();
        filter.rtp(&packet(OLD, 1, true), now);
        assert_eq!(filter.rtcp(&report(OLD)), Action::Keep);
        assert_eq!(filter.rtcp(&report(NEW)), Action::Drop);
        for number in [1, 2] {
            filter.rtp(&packet(NEW, number, true), now);
        }
        assert_eq!(filter.rtcp(&report(OLD)), Action::Drop);
        assert_eq!(filter.rtcp(&report(NEW)), Action::Rewrite(OLD));
        assert_eq!(filter.rtcp(&[0; 7]), Action::Keep);
        let mut bytes = report(NEW);
        write_rtcp_ssrc(&mut bytes, OLD);
        assert_eq!(bytes, report(OLD));
        let mut cut = report(NEW)[..14].to_vec();
        write_rtcp_ssrc(&mut cut, OLD);
        assert_eq!(cut, report(OLD)[..14]);
    }

    #[test]
    fn a_frame_without_an_end_is_too_long() {
        let now = Instant::now();
        let mut filter = StreamFilter::default();
        let whole = MAX_FRAME / 1000;
        for _ in 0..2 {
            for _ in 0..whole - 1 {
                assert_eq!(filter.rtp(&packet(OLD, 1, false), now), Action::Keep);
            }
            assert_eq!(filter.rtp(&packet(OLD, 1, true), now), Action::Keep);
        }
        for _ in 0..whole {
            assert_eq!(filter.rtp(&packet(OLD, 1, false), now), Action::Keep);
        }
        for first in [true, false, false] {
            assert_eq!(filter.rtp(&packet(OLD, 1, false), now), Action::TooLong { first });
        }
    }
}
