// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the reply to PLAY says about the packets that follow it: RTP-Info, Range, Scale and Speed (RFC
//! 2326 sections 12.33, 12.29, 12.34 and 12.35).

use gstmjpegfile::rtp::{RtpHeader, Timestamp, VIDEO_CLOCK_RATE};

/// The headers of a reply to PLAY.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct PlayReply {
    /// Sequence number of the first packet.
    pub sequence_number: Option<u16>,
    /// The timestamp of the position in `start`.
    pub rtptime: Option<Timestamp>,
    /// The position in the movie at which it plays, in seconds.
    pub start: Option<f64>,
    /// Seconds of the movie in a second of RTP time: Scale times Speed. RFC 2326 does not say what Speed
    /// does to RTP time; GStreamer's servers and ours count the time of delivery.
    pub rate: f64,
}

impl PlayReply {
    /// Reads the headers of a reply. `control` is the video stream's control URL in the SDP; it
    /// chooses the stream if RTP-Info has more than one.
    pub fn parse(reply: &str, control: Option<&str>) -> Self {
        let header = |name: &str| {
            reply.lines().skip(1).take_while(|line| !line.is_empty()).find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
            })
        };
        let streams: Vec<&str> =
            header("RTP-Info").map_or(Vec::new(), |it| it.split(',').collect());
        let field = |stream: &str, name: &str| {
            stream.split(';').find_map(|part| {
                let (key, value) = part.split_once('=')?;
                key.trim().eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        let is_video = |stream: &&&str| {
            let url = field(stream, "url").unwrap_or_default();
            control.is_some_and(|control| url.trim_matches('"').ends_with(control))
        };
        let video = streams.iter().find(is_video).or_else(|| streams.first());
        let number = |name: &str| video.and_then(|stream| field(stream, name));
        let rate = |name| {
            let value: Option<f64> = header(name).and_then(|it| it.parse().ok());
            value.filter(|rate| rate.is_finite() && *rate != 0.0).unwrap_or(1.0)
        };
        Self {
            sequence_number: number("seq").and_then(|it| it.parse().ok()),
            rtptime: number("rtptime").and_then(|it| it.parse().ok()).map(Timestamp::from_ticks),
            start: header("Range").and_then(npt_start),
            rate: rate("Scale") * rate("Speed"),
        }
    }
}

/// The start of a range in normal play time: `npt=12.5-`, `npt=0:01:02.5-20`.
fn npt_start(range: &str) -> Option<f64> {
    let (unit, positions) = range.split_once('=')?;
    let (start, _) = positions.split_once('-')?;
    if !unit.trim().eq_ignore_ascii_case("npt") {
        return None;
    }
    let mut seconds = 0.0;
    for part in start.trim().split(':') {
        let value = part.parse::<f64>().ok().filter(|it| it.is_finite() && *it >= 0.0)?;
        seconds = seconds * 60.0 + value;
    }
    Some(seconds)
}

/// The control URL of the first video stream in the SDP of a reply to DESCRIBE.
pub(super) fn video_control(reply: &str) -> Option<&str> {
    let mut lines = reply.lines().skip_while(|line| !line.starts_with("m=video"));
    lines.next()?;
    lines
        .take_while(|line| !line.starts_with("m="))
        .find_map(|line| line.strip_prefix("a=control:"))
}

/// Between two packets timestamps differ by at most a minute. A larger step is another count, such as
/// that of another sender (RFC 3550 section 8.2), of which the reply says nothing.
const MAX_STEP: u32 = 60 * VIDEO_CLOCK_RATE;

/// The packets since one reply to PLAY.
#[derive(Debug, Clone, Copy)]
struct Run {
    reply: PlayReply,
    /// The last packet's timestamp, and the ticks from `rtptime` to it.
    last: Option<(Timestamp, i64)>,
}

impl Run {
    fn new(reply: PlayReply) -> Self {
        Self { reply, last: reply.rtptime.map(|rtptime| (rtptime, 0)) }
    }

    fn position(&mut self, timestamp: Timestamp) -> Option<gst::ClockTime> {
        let (last, ticks) = self.last?;
        // Timestamps wrap, so their difference is a signed number.
        let step = timestamp.ticks_since(last).cast_signed();
        if step.unsigned_abs() > MAX_STEP {
            self.last = None;
            return None;
        }
        let ticks = ticks + i64::from(step);
        self.last = Some((timestamp, ticks));
        // The ticks of 3000 years are below 2^53.
        #[allow(clippy::cast_precision_loss)]
        let time = ticks as f64 / f64::from(VIDEO_CLOCK_RATE);
        let position = (self.reply.start? + time * self.reply.rate).max(0.0);
        std::time::Duration::try_from_secs_f64(position).ok()?.try_into().ok()
    }
}

/// Computes the positions in the movie of the packets of one stream.
#[derive(Debug, Default)]
pub(super) struct PacketPositions {
    current: Option<Run>,
    /// The run before, until a packet of the current one arrives.
    previous: Option<Run>,
}

impl PacketPositions {
    /// Notes the reply to PLAY.
    pub fn replied(&mut self, reply: PlayReply) {
        self.previous = self.current.replace(Run::new(reply));
    }

    /// The position of a packet, in the order of their sequence numbers; `None` if the server has not
    /// stated it.
    pub fn of(&mut self, header: &RtpHeader) -> Option<gst::ClockTime> {
        let current = self.current.as_mut()?;
        let first = current.reply.sequence_number;
        let is_older = first.is_some_and(|it| header.sequence_number.wrapping_sub(it) >= 1 << 15);
        match &mut self.previous {
            Some(previous) if is_older => previous.position(header.timestamp),
            previous => {
                *previous = None;
                current.position(header.timestamp)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headers_of_a_reply_are_read() {
        let reply = |sequence_number, rtptime: Option<u32>, start, rate| PlayReply {
            sequence_number,
            rtptime: rtptime.map(Timestamp::from_ticks),
            start,
            rate,
        };
        let rows = [
            (
                "RTP-Info: url=rtsp://h/m/stream=0;seq=17;rtptime=3\r\nRange: npt=5.25-20\r\n",
                reply(Some(17), Some(3), Some(5.25), 1.0),
            ),
            (
                "rtp-info: url=a;rtptime=3;seq=5,url=rtsp://h/m/v;seq=9\r\nScale: -2.0\r\n",
                reply(Some(9), None, None, -2.0),
            ),
            (
                "RTP-Info: url=rtsp://h/m\r\nRange: NPT = 0:01:02.5 - \r\n",
                reply(None, None, Some(62.5), 1.0),
            ),
            ("RTP-Info: url=a;seq=70000;rtptime=-1\r\nScale: 0\r\n", reply(None, None, None, 1.0)),
            ("Range: npt=now-\r\nScale: NaN\r\n", reply(None, None, None, 1.0)),
            ("Scale: -1.0\r\nSpeed: 2.0\r\n", reply(None, None, None, -2.0)),
            ("Range: clock=19961108T142300Z-\r\n", reply(None, None, None, 1.0)),
            ("\r\nRTP-Info: seq=1\r\n", reply(None, None, None, 1.0)),
        ];
        for (headers, want) in rows {
            let text = format!("RTSP/1.0 200 OK\r\n{headers}");
            assert_eq!(PlayReply::parse(&text, Some("v")), want, "{headers}");
        }
    }

    #[test]
    fn the_video_stream_is_found_in_sdp() {
        let rows = [
            (
                "v=0\r\na=control:*\r\nm=audio 0\r\na=control:a\r\nm=video 0\r\na=x:y\r\na=control:v\r\n",
                Some("v"),
            ),
            ("m=video 0 RTP/AVP 26\r\nm=audio 0\r\na=control:a\r\n", None),
            ("a=control:*\r\n", None),
        ];
        for (sdp, want) in rows {
            assert_eq!(video_control(sdp), want, "{sdp}");
        }
    }

    #[test]
    fn positions_follow_the_timestamps_at_each_scale() {
        let header = |sequence_number, timestamp| {
            RtpHeader::jpeg(sequence_number, Timestamp::from_ticks(timestamp), 0, true)
        };
        let reply = |sequence_number, rtptime, start, rate| PlayReply {
            sequence_number: Some(sequence_number),
            rtptime: Some(Timestamp::from_ticks(rtptime)),
            start: Some(start),
            rate,
        };
        let mut positions = PacketPositions::default();
        let at = |positions: &mut PacketPositions, number, timestamp| {
            positions.of(&header(number, timestamp)).map(gst::ClockTime::mseconds)
        };
        assert_eq!(at(&mut positions, 1, 0), None);
        positions.replied(reply(10, u32::MAX - 44_999, 5.0, 1.0));
        assert_eq!(at(&mut positions, 10, u32::MAX - 44_999), Some(5000));
        assert_eq!(at(&mut positions, 11, 45_000), Some(6000), "over the wrap");
        positions.replied(reply(20, 1000, 1.0, -4.0));
        assert_eq!(at(&mut positions, 12, 90_000), Some(6500), "sent before the second PLAY");
        assert_eq!(at(&mut positions, 20, 1000), Some(1000));
        assert_eq!(at(&mut positions, 21, 1000 + 9000), Some(600));
        assert_eq!(at(&mut positions, 22, 1000 + 90_000), Some(0), "not before the start");
        // Half of all numbers later.
        assert_eq!(at(&mut positions, 40_000, 1000), Some(1000));
        assert_eq!(at(&mut positions, 40_001, 90_000_000), None, "another count");
        assert_eq!(at(&mut positions, 40_002, 90_004_500), None);
        positions.replied(PlayReply { start: None, ..reply(7, 0, 0.0, 1.0) });
        assert_eq!(at(&mut positions, 7, 0), None);
    }
}
