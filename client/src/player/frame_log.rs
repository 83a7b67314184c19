// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes a line for each frame that arrives, as comma-separated values (RFC 4180).

use gstmjpegfile::rtp::RtpHeader;
use std::io::{self, Write};
use std::time::Instant;

/// The frame whose packets are arriving.
#[derive(Debug)]
struct Arriving {
    first: RtpHeader,
    arrival: Instant,
    last: u16,
    packets: u64,
    bytes: u64,
}

/// The log of one session.
#[derive(Debug)]
pub(super) struct FrameLog<W: Write> {
    out: W,
    started: Instant,
    frame: Option<Arriving>,
    frames: u64,
}

impl<W: Write> FrameLog<W> {
    /// Writes the names of the columns.
    pub fn start(mut out: W) -> io::Result<Self> {
        out.write_all(
            b"frame,arrival_seconds,first_sequence_number,last_sequence_number,packets,\
              rtp_timestamp,payload_bytes\r\n",
        )?;
        Ok(Self { out, started: Instant::now(), frame: None, frames: 0 })
    }

    /// Adds a packet. A frame ends with the marker bit, or before a packet with another timestamp.
    pub fn push(&mut self, header: &RtpHeader, payload_len: usize, now: Instant) -> io::Result<()> {
        if self.frame.as_ref().is_some_and(|it| it.first.timestamp != header.timestamp) {
            self.write_frame()?;
        }
        let frame = self.frame.get_or_insert(Arriving {
            first: *header,
            arrival: now,
            last: header.sequence_number,
            packets: 0,
            bytes: 0,
        });
        frame.last = header.sequence_number;
        frame.packets += 1;
        frame.bytes += payload_len as u64;
        if header.marker {
            self.write_frame()?;
        }
        Ok(())
    }

    fn write_frame(&mut self) -> io::Result<()> {
        let Some(frame) = self.frame.take() else { return Ok(()) };
        self.frames += 1;
        write!(
            self.out,
            "{},{:.6},{},{},{},{},{}\r\n",
            self.frames,
            (frame.arrival - self.started).as_secs_f64(),
            frame.first.sequence_number,
            frame.last,
            frame.packets,
            frame.first.timestamp,
            frame.bytes
        )
    }

    /// Writes what is left.
    pub fn finish(mut self) -> io::Result<W> {
        self.write_frame()?;
        self.out.flush()?;
        Ok(self.out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gstmjpegfile::rtp::Timestamp;
    use std::time::Duration;

    #[test]
    fn each_frame_has_a_line() {
        let mut log = FrameLog::start(Vec::new()).unwrap();
        let start = log.started;
        // Two packets with a marker, a frame whose marker is lost, and one without a marker at the end.
        let packets = [
            (65_535, 0, false, 1000, 0),
            (0, 0, true, 500, 2),
            (1, 4500, false, 1000, 50),
            (3, 9000, true, 700, 100),
            (4, 13_500, false, 8, 150),
        ];
        for (number, timestamp, marker, len, at) in packets {
            let header = RtpHeader::jpeg(number, Timestamp::from_ticks(timestamp), 1, marker);
            log.push(&header, len, start + Duration::from_millis(at)).unwrap();
        }
        let text = String::from_utf8(log.finish().unwrap()).unwrap();
        let want = "frame,arrival_seconds,first_sequence_number,last_sequence_number,packets,\
                    rtp_timestamp,payload_bytes\r\n\
                    1,0.000000,65535,0,2,0,1500\r\n\
                    2,0.050000,1,1,1,4500,1000\r\n\
                    3,0.100000,3,3,1,9000,700\r\n\
                    4,0.150000,4,4,1,13500,8\r\n";
        assert_eq!(text, want);
    }
}
