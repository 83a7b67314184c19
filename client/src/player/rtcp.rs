// SPDX-License-Identifier: MIT OR Apache-2.0
//! RTCP packets: recorded where they pass rtpbin, and described in words (RFC 3550 section 6).

use super::Borders;
use super::capture::Capture;
use super::protocol_log::Direction;
use gst::prelude::*;
use mjpeg_program::log::printable;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Instant;

/// The most bytes of an RTCP packet that are recorded.
const MAX_LEN: usize = 1500;

/// Ticks of the jitter in a report in one millisecond, for video.
const TICKS_PER_MS: f64 = 90.0;

/// Records the RTCP packets that an rtpbin receives and sends. Call this before it has pads.
pub(super) fn watch(manager: &gst::Element, borders: &Borders, capture: &Arc<Capture>) {
    let (pad_borders, capture) = (borders.clone(), capture.clone());
    borders.on_signal(manager, "pad-added", "rtcp-pad-added", move |values| {
        let pad = values.get(1)?.get::<gst::Pad>().ok()?;
        let direction = if pad.name().starts_with("recv_rtcp_sink_") {
            Direction::Received
        } else if pad.name().starts_with("send_rtcp_src_") {
            Direction::Sent
        } else {
            return None;
        };
        let capture = capture.clone();
        pad_borders.on_pad(&pad, gst::PadProbeType::BUFFER, "rtcp", move |info| {
            if let Some(packet) = info.buffer().and_then(|it| it.map_readable().ok()) {
                let packet = packet.get(..MAX_LEN).unwrap_or(&packet);
                capture.push_rtcp(Instant::now(), direction, packet);
            }
        });
        None
    });
}

/// A sentence for each packet of a compound one.
pub fn describe(mut packets: &[u8]) -> Vec<String> {
    let mut out = Vec::new();
    while let Some((&[flags, kind, high, low], _)) = packets.split_first_chunk() {
        let length = 4 * (1 + usize::from(u16::from_be_bytes([high, low])));
        let (packet, rest) = packets.split_at(length.min(packets.len()));
        let count = usize::from(flags & 31);
        out.push(sentence(kind, count, packet.get(4..).unwrap_or_default()));
        packets = rest;
    }
    if out.is_empty() {
        out.push("RTCP: no packet".to_owned());
    }
    out
}

/// The 32-bit words of a packet.
fn word(body: &[u8], at: usize) -> Option<u32> {
    body.get(4 * at..)?.first_chunk().copied().map(u32::from_be_bytes)
}

fn sentence(kind: u8, count: usize, body: &[u8]) -> String {
    match kind {
        200 => {
            let (Some(timestamp), Some(packets), Some(octets)) =
                (word(body, 3), word(body, 4), word(body, 5))
            else {
                return "SR: too short".to_owned();
            };
            let reports = reports(body.get(24..).unwrap_or_default(), count);
            format!(
                "SR: sender report, {packets} packets and {octets} bytes sent, RTP timestamp \
                 {timestamp}{reports}"
            )
        }
        201 => {
            let reports = reports(body.get(4..).unwrap_or_default(), count);
            let what = if reports.is_empty() { ", nothing received" } else { &reports };
            format!("RR: receiver report{what}")
        }
        202 => {
            let name = cname(body).map_or(String::new(), |name| format!(", name {name}"));
            format!("SDES: source description{name}")
        }
        203 => "BYE: the sender ends its stream".to_owned(),
        204 => "APP: of an application".to_owned(),
        205 => "RTPFB: feedback on packets".to_owned(),
        206 => "PSFB: feedback on pictures".to_owned(),
        207 => "XR: extended report".to_owned(),
        _ => format!("RTCP of the unknown type {kind}"),
    }
}

/// The report blocks (section 6.4.1).
fn reports(body: &[u8], count: usize) -> String {
    let mut out = String::new();
    for block in body.chunks_exact(24).take(count) {
        let (Some(loss), Some(highest), Some(jitter)) =
            (word(block, 1), word(block, 2), word(block, 3))
        else {
            continue;
        };
        let fraction = f64::from(loss >> 24) * 100.0 / 256.0;
        // A signed number of 24 bits: repeated packets count as received.
        let lost = (loss << 8).cast_signed() >> 8;
        let (jitter, highest) = (f64::from(jitter) / TICKS_PER_MS, highest & 0xffff);
        // Writing to a string does not fail.
        let _ = write!(
            out,
            ", {lost} lost in all, {fraction:.1} % since the last report, highest sequence number \
             {highest}, jitter {jitter:.1} ms"
        );
    }
    out
}

/// The item CNAME of the first chunk (section 6.5.1).
fn cname(body: &[u8]) -> Option<String> {
    let mut items = body.get(4..)?;
    while let [kind, len, rest @ ..] = items {
        let (text, rest) = rest.split_at_checked(usize::from(*len))?;
        match kind {
            0 => return None,
            1 => return Some(printable(&String::from_utf8_lossy(text))),
            _ => items = rest,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use gstmjpegfile::rtp::{SenderReport, Timestamp};

    #[test]
    fn packets_are_described() {
        let sender = SenderReport {
            ssrc: 7,
            now: std::time::SystemTime::UNIX_EPOCH,
            timestamp: Timestamp::from_ticks(9000),
            packets: 312,
            octets: 402_312,
        };
        let block = [
            &7_u32.to_be_bytes()[..],
            &0x4000_0003_u32.to_be_bytes(),
            &0x0001_051f_u32.to_be_bytes(),
            &180_u32.to_be_bytes(),
            &[0; 8],
        ]
        .concat();
        let receiver = [&[0x81, 201, 0, 7][..], &9_u32.to_be_bytes(), &block].concat();
        let repeated = [
            &[0x81, 201, 0, 7][..],
            &9_u32.to_be_bytes(),
            &block[..4],
            &[0, 255, 255, 255],
            &block[8..],
        ]
        .concat();
        let sr = "SR: sender report, 312 packets and 402312 bytes sent, RTP timestamp 9000";
        let rows: [(&str, Vec<u8>, &[&str]); 7] = [
            (
                "sender",
                sender.packet("a\u{1b}b", true),
                &[
                    sr,
                    "SDES: source description, name a\\u{1b}b",
                    "BYE: the sender ends its stream",
                ],
            ),
            (
                "receiver",
                receiver.clone(),
                &["RR: receiver report, 3 lost in all, 25.0 % since the last report, highest \
                   sequence number 1311, jitter 2.0 ms"],
            ),
            (
                "more received than sent",
                repeated,
                &["RR: receiver report, -1 lost in all, 0.0 % since the last report, highest \
                   sequence number 1311, jitter 2.0 ms"],
            ),
            (
                "empty receiver",
                vec![0x80, 201, 0, 1, 0, 0, 0, 9],
                &["RR: receiver report, nothing received"],
            ),
            ("cut", receiver[..20].to_vec(), &["RR: receiver report, nothing received"]),
            ("unknown", vec![0x80, 99, 0, 0], &["RTCP of the unknown type 99"]),
            ("none", vec![0x80], &["RTCP: no packet"]),
        ];
        for (name, bytes, want) in rows {
            assert_eq!(describe(&bytes), want, "{name}");
        }
    }
}
