// SPDX-License-Identifier: MIT OR Apache-2.0
//! Inspects RTP headers for the students who write lab servers: how a server's packets differ from what
//! the lab asks for.

use super::{PAYLOAD_TYPE_JPEG, RtpHeader};
use std::time::Instant;

/// How packets differ from what the lab or RTP asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// V is not 2.
    #[error("V is {0}, but the lab asks for version 2; the stream is played anyway")]
    Version(u8),
    /// PT is not 26.
    #[error("PT is {0}, but the lab asks for 26, JPEG; the stream is played anyway")]
    PayloadType(u8),
    /// The first sequence number is 0.
    #[error(
        "the first sequence number is 0; the textbook's client never shows frame 0, so count from 1"
    )]
    StartsAtZero,
    /// All packets have the same timestamp.
    #[error(
        "the timestamp never changes; RTP asks for the time of the frame, which increases by 4500 ticks per frame at 20 frames/s"
    )]
    ConstantTimestamp,
    /// Timestamps count seconds.
    #[error(
        "the timestamp counts whole seconds; RTP asks for ticks of a 90 kHz clock, 4500 per frame at 20 frames/s"
    )]
    TimestampInSeconds,
    /// The packets of a stream have different SSRCs.
    #[error("the SSRC changes within the stream; RTP asks for one random value for all packets")]
    SsrcChanges,
}

impl Finding {
    /// Name in messages of elements.
    pub fn name(self) -> &'static str {
        match self {
            Self::Version(_) => "version",
            Self::PayloadType(_) => "payload-type",
            Self::StartsAtZero => "starts-at-zero",
            Self::ConstantTimestamp => "timestamp-constant",
            Self::TimestampInSeconds => "timestamp-in-seconds",
            Self::SsrcChanges => "ssrc-changes",
        }
    }
}

/// Timestamps are checked after this many frames.
const FRAMES_BEFORE_TIMESTAMPS: u32 = 12;

/// Inspects the headers of a stream and reports each finding once.
#[derive(Debug, Default)]
pub struct HeaderAudit {
    first: Option<(RtpHeader, Instant)>,
    last_number: u16,
    frames: u32,
    timestamps_checked: bool,
    ssrc_reported: bool,
}

impl HeaderAudit {
    /// Inspects the header of a packet that arrived at a time; returns the new findings.
    pub fn inspect(&mut self, header: &RtpHeader, at: Instant) -> Vec<Finding> {
        let mut findings = Vec::new();
        let Some((first, start)) = self.first else {
            self.first = Some((*header, at));
            self.last_number = header.sequence_number;
            if header.version != 2 {
                findings.push(Finding::Version(header.version));
            }
            if header.payload_type != PAYLOAD_TYPE_JPEG {
                findings.push(Finding::PayloadType(header.payload_type));
            }
            if header.sequence_number == 0 {
                findings.push(Finding::StartsAtZero);
            }
            return findings;
        };
        if header.ssrc != first.ssrc && !self.ssrc_reported {
            self.ssrc_reported = true;
            findings.push(Finding::SsrcChanges);
        }
        // Fragments of a frame have one timestamp.
        if header.sequence_number != self.last_number {
            self.last_number = header.sequence_number;
            self.frames += 1;
        }
        if self.frames >= FRAMES_BEFORE_TIMESTAMPS && !self.timestamps_checked {
            self.timestamps_checked = true;
            let ticks = u64::from(header.timestamp.ticks_since(first.timestamp));
            let seconds = at.duration_since(start).as_secs();
            // In the first second, a timestamp that counts seconds looks like a constant one.
            self.timestamps_checked = ticks > 0 || seconds >= 2;
            if self.timestamps_checked && ticks == 0 {
                findings.push(Finding::ConstantTimestamp);
            } else if self.timestamps_checked && ticks <= seconds + 1 {
                findings.push(Finding::TimestampInSeconds);
            }
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::super::Timestamp;
    use super::*;
    use std::time::Duration;

    fn header(sequence_number: u16, timestamp: u32) -> RtpHeader {
        RtpHeader::jpeg(sequence_number, Timestamp::from_ticks(timestamp), 0x1234, true)
    }

    /// The findings in 60 frames that arrive every 50 ms.
    fn findings(change: impl Fn(u32, &mut RtpHeader)) -> Vec<Finding> {
        let (mut audit, start) = (HeaderAudit::default(), Instant::now());
        let mut found = Vec::new();
        for frame in 0..60_u16 {
            let mut header = header(frame + 1, u32::from(frame) * 4500);
            change(u32::from(frame), &mut header);
            found.extend(audit.inspect(&header, start + Duration::from_millis(50) * frame.into()));
        }
        found
    }

    #[test]
    fn each_finding_is_reported_once() {
        let ticks = Timestamp::from_ticks;
        assert_eq!(findings(|_, _| ()), []);
        assert_eq!(findings(|_, it| it.version = 0), [Finding::Version(0)]);
        assert_eq!(findings(|_, it| it.payload_type = 0), [Finding::PayloadType(0)]);
        assert_eq!(findings(|_, it| it.sequence_number -= 1), [Finding::StartsAtZero]);
        assert_eq!(findings(|_, it| it.timestamp = ticks(9)), [Finding::ConstantTimestamp]);
        let seconds = |frame, it: &mut RtpHeader| it.timestamp = ticks(1_700_000_000 + frame / 20);
        assert_eq!(findings(seconds), [Finding::TimestampInSeconds]);
        let late =
            |frame, it: &mut RtpHeader| it.timestamp = ticks(1_700_000_000 + (frame + 3) / 20);
        assert_eq!(findings(late), [Finding::TimestampInSeconds]);
        assert_eq!(findings(|frame, it| it.ssrc = frame), [Finding::SsrcChanges]);
    }
}
