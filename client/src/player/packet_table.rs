// SPDX-License-Identifier: MIT OR Apache-2.0
//! The list of packets as text and as comma-separated values (RFC 4180).

use super::packet_log::{Order, PacketLog, RtpRecord};
use std::io::{self, Write};
use std::time::Duration;

/// Milliseconds with three digits after the point.
pub fn milliseconds(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64() * 1000.0)
}

/// The times since the previous packet and of the jitter in milliseconds; empty for a packet that is not
/// played, and for the first one.
pub fn times(record: &RtpRecord) -> (String, String) {
    let analysis = &record.analysis;
    let jitter = match analysis.order {
        Order::OldPosition => String::new(),
        _ => milliseconds(analysis.jitter),
    };
    (analysis.since_previous.map(milliseconds).unwrap_or_default(), jitter)
}

/// Writes a line for each packet, with aligned columns.
pub(super) fn write_text(out: &mut impl Write, packets: &PacketLog) -> io::Result<()> {
    writeln!(
        out,
        "{:>8} {:>12} {:>8} {:>10} {:>10} {:>10} {:>4} {:>7}  status",
        "packet", "arrival s", "sequence", "timestamp", "delta ms", "jitter ms", "mark", "bytes"
    )?;
    for (number, record) in packets.records() {
        let analysis = &record.analysis;
        let (delta, jitter) = times(record);
        let line = format!(
            "{:>8} {:>12.6} {:>8} {:>10} {:>10} {:>10} {:>4} {:>7}  {}",
            number + 1,
            record.at.as_secs_f64(),
            analysis.header.sequence_number,
            analysis.header.timestamp.to_string(),
            delta,
            jitter,
            if analysis.header.marker { "M" } else { "" },
            analysis.payload_len,
            analysis.order.status()
        );
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Writes a line for each packet, after the names of the columns.
pub(super) fn write_csv(out: &mut impl Write, packets: &PacketLog) -> io::Result<()> {
    out.write_all(
        b"packet,arrival_seconds,sequence_number,rtp_timestamp,delta_ms,jitter_ms,marker,\
          payload_type,ssrc,payload_bytes,lost_before,status\r\n",
    )?;
    for (number, record) in packets.records() {
        let analysis = &record.analysis;
        let header = &analysis.header;
        let (delta, jitter) = times(record);
        let lost = match analysis.order {
            Order::AfterGap(count) => count,
            _ => 0,
        };
        write!(
            out,
            "{},{:.6},{},{},{delta},{jitter},{},{},{:08x},{},{lost},{}\r\n",
            number + 1,
            record.at.as_secs_f64(),
            header.sequence_number,
            header.timestamp,
            u8::from(header.marker),
            header.payload_type,
            header.ssrc,
            analysis.payload_len,
            word(analysis.order)
        )?;
    }
    Ok(())
}

/// One word for programs.
fn word(order: Order) -> &'static str {
    match order {
        Order::Next | Order::AfterGap(_) | Order::Fragment => "received",
        Order::Late => "late",
        Order::Repeated => "repeated",
        Order::Undecided => "undecided",
        Order::OldPosition => "dropped",
        Order::Foreign => "not_counted",
    }
}

#[cfg(test)]
mod tests {
    use super::super::packets::PacketTracker;
    use super::*;
    use gstmjpegfile::rtp::{RtpHeader, Timestamp};
    use std::time::Instant;

    /// The packets after these arrivals: milliseconds, sequence number, timestamp, marker.
    fn log(arrivals: &[(u64, u16, u32, bool)]) -> PacketLog {
        let (mut log, mut tracker, start) =
            (PacketLog::default(), PacketTracker::default(), Instant::now());
        log.start();
        for (at, number, ticks, marker) in arrivals {
            let header = RtpHeader::jpeg(*number, Timestamp::from_ticks(*ticks), 7, *marker);
            let packet = [&header.to_bytes()[..], b"xyz"].concat();
            let at = Duration::from_millis(*at);
            let analysis = tracker.push(&packet, start + at).expect("an RTP packet");
            log.push_rtp(at, analysis, &packet);
        }
        log
    }

    const ARRIVALS: [(u64, u16, u32, bool); 8] = [
        (100, 65_533, 0, false),
        (102, 65_534, 0, true),
        // Two are missing; one of them arrives later.
        (150, 1, 4500, false),
        (151, 65_535, 4500, false),
        (152, 2, 4500, true),
        (152, 2, 4500, true),
        // 16 ms later than its timestamp says.
        (218, 3, 9000, true),
        (230, 40_000, 9000, true),
    ];

    #[test]
    fn each_packet_has_a_line_of_text() {
        let mut out = Vec::new();
        write_text(&mut out, &log(&ARRIVALS)).expect("memory");
        let want = "  \
  packet    arrival s sequence  timestamp   delta ms  jitter ms mark   bytes  status
       1     0.100000    65533          0                 0.000            3
       2     0.102000    65534          0      2.000      0.125    M       3
       3     0.150000        1       4500     48.000      0.242            3  2 lost before
       4     0.151000    65535       4500      1.000      0.290            3  late
       5     0.152000        2       4500      1.000      0.334    M       3
       6     0.152000        2       4500      0.000      0.313    M       3  repeated
       7     0.218000        3       9000     66.000      1.294    M       3
       8     0.230000    40000       9000     12.000      1.963    M       3  not counted
";
        assert_eq!(String::from_utf8_lossy(&out), want);
    }

    #[test]
    fn each_packet_has_a_line_of_values() {
        let mut out = Vec::new();
        write_csv(&mut out, &log(&ARRIVALS)).expect("memory");
        let want = "packet,arrival_seconds,sequence_number,rtp_timestamp,delta_ms,jitter_ms,marker,\
                    payload_type,ssrc,payload_bytes,lost_before,status\r\n\
                    1,0.100000,65533,0,,0.000,0,26,00000007,3,0,received\r\n\
                    2,0.102000,65534,0,2.000,0.125,1,26,00000007,3,0,received\r\n\
                    3,0.150000,1,4500,48.000,0.242,0,26,00000007,3,2,received\r\n\
                    4,0.151000,65535,4500,1.000,0.290,0,26,00000007,3,0,late\r\n\
                    5,0.152000,2,4500,1.000,0.334,1,26,00000007,3,0,received\r\n\
                    6,0.152000,2,4500,0.000,0.313,1,26,00000007,3,0,repeated\r\n\
                    7,0.218000,3,9000,66.000,1.294,1,26,00000007,3,0,received\r\n\
                    8,0.230000,40000,9000,12.000,1.963,1,26,00000007,3,0,not_counted\r\n";
        assert_eq!(String::from_utf8_lossy(&out), want);
    }

    #[test]
    fn the_loss_in_the_list_is_the_loss_that_is_counted() {
        let (mut tracker, start) = (PacketTracker::default(), Instant::now());
        let (mut gaps, mut late, mut repeated, mut seed) = (0, 0, 0, 1_u64);
        let mut push = |number: u16| {
            let header = RtpHeader::jpeg(number, Timestamp::default(), 7, true);
            match tracker.push(&header.to_bytes(), start).map(|it| it.order) {
                Some(Order::AfterGap(count)) => gaps += count,
                Some(Order::Late) => late += 1,
                Some(Order::Repeated) => repeated += 1,
                other => assert_eq!(other, Some(Order::Next)),
            }
        };
        push(60_000);
        let mut delayed = None;
        for step in 1..20_000_u16 {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let number = 60_000_u16.wrapping_add(step);
            match seed >> 60 {
                0 => {}
                1 if delayed.is_none() => delayed = Some(number),
                2 => (0..2).for_each(|_| push(number)),
                3 => {
                    push(number);
                    delayed.take().into_iter().for_each(&mut push);
                }
                _ => push(number),
            }
        }
        let counts = tracker.counts();
        assert_eq!((counts.lost, counts.late, counts.repeated), (gaps - late, late, repeated));
        assert!(counts.lost > 1000 && late > 500 && repeated > 1000, "{counts:?}");
    }
}
