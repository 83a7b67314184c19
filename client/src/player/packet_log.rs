// SPDX-License-Identifier: MIT OR Apache-2.0
//! The last packets of a session, each with what is known about it. The memory is limited.

use super::packet_bytes::{PacketBytes, Slot};
use super::protocol_log::Direction;
use gstmjpegfile::rtp::{PacketOrder, RtpHeader};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// RTP packets that are kept; older ones are removed.
const MAX_PACKETS: usize = 100_000;

/// RTCP packets that are kept.
const MAX_RTCP: usize = 2000;

/// Rows of the ladder that are kept.
const MAX_ROWS: usize = 2000;

/// What the sequence number of a packet says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The next one.
    Next,
    /// This many packets are missing before it.
    AfterGap(u64),
    /// It arrived after a packet with a higher number.
    Late,
    /// It had arrived before.
    Repeated,
    /// The reply to PLAY, which is awaited, decides.
    Undecided,
    /// It belongs to the position before a seek, and is not played.
    OldPosition,
    /// Another fragment with the number of the previous one, as some lab servers send them.
    Fragment,
    /// Not counted: from before the first expected one, or from another numbering.
    Foreign,
}

impl From<PacketOrder> for Order {
    fn from(order: PacketOrder) -> Self {
        match order {
            PacketOrder::Next => Self::Next,
            PacketOrder::AfterGap(count) => Self::AfterGap(count),
            PacketOrder::Late => Self::Late,
            PacketOrder::Repeated => Self::Repeated,
            PacketOrder::Foreign => Self::Foreign,
        }
    }
}

impl Order {
    /// What the column "Status" says; empty for a packet in order.
    pub fn status(self) -> String {
        match self {
            Self::Next | Self::Fragment => String::new(),
            Self::AfterGap(count) => format!("{count} lost before"),
            Self::Late => "late".to_owned(),
            Self::Repeated => "repeated".to_owned(),
            Self::Undecided => "undecided".to_owned(),
            Self::OldPosition => "old position".to_owned(),
            Self::Foreign => "not counted".to_owned(),
        }
    }

    /// A sentence that explains the status; empty for a packet in order.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Next | Self::Fragment => "",
            Self::AfterGap(_) => {
                "The numbers before this one were left out. Their packets are lost, unless they come \
                 later."
            }
            Self::Late => "It arrived after a packet with a higher number. It is not lost.",
            Self::Repeated => "A packet with this number had arrived before.",
            Self::Undecided => {
                "It arrived before the reply to PLAY, which says whether it belongs to the new position."
            }
            Self::OldPosition => {
                "The server sent it before the seek. It is neither played nor counted."
            }
            Self::Foreign => {
                "Its number is far from the last one, or from before the first one: it is not counted."
            }
        }
    }

    /// Whether packets were lost, late or repeated.
    pub fn is_problem(self) -> bool {
        matches!(self, Self::AfterGap(_) | Self::Late | Self::Repeated | Self::Foreign)
    }
}

/// What is known about an RTP packet when it has arrived.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Analysis {
    /// Its header.
    pub header: RtpHeader,
    /// Bytes after the header.
    pub payload_len: usize,
    /// Time since the previous packet.
    pub since_previous: Option<Duration>,
    /// Inter-arrival jitter, this packet included (RFC 3550 section 6.4.1).
    pub jitter: Duration,
    /// Whether it is the first one of a frame to arrive.
    pub starts_frame: bool,
    /// What its sequence number says.
    pub order: Order,
}

/// An RTP packet.
#[derive(Debug, Clone, Copy)]
pub struct RtpRecord {
    /// Arrival, since the source was opened.
    pub at: Duration,
    /// What is known about it.
    pub analysis: Analysis,
    slot: Slot,
}

/// An RTCP packet; several may be in one.
#[derive(Debug, Clone)]
pub struct RtcpRecord {
    /// When it was sent or arrived, since the source was opened.
    pub at: Duration,
    /// Whether it was sent or received.
    pub direction: Direction,
    /// Its bytes.
    pub bytes: Arc<[u8]>,
}

/// RTP packets between two messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bundle {
    /// Arrival of the first one, since the source was opened.
    pub start: Duration,
    /// Arrival of the last one.
    pub end: Duration,
    /// Sequence numbers of the first and the last one.
    pub numbers: (u16, u16),
    /// Number of packets.
    pub packets: u64,
    /// Number of frames that start in it.
    pub frames: u64,
    /// Bytes, headers included.
    pub bytes: u64,
    /// Packets that are missing.
    pub lost: u64,
    /// Packets that arrived after a later one.
    pub late: u64,
    /// Packets that had arrived before.
    pub repeated: u64,
    /// Packets of the position before a seek.
    pub dropped: u64,
    /// Number of the first record.
    first: u64,
}

impl Bundle {
    fn count(&mut self, order: Order) {
        match order {
            Order::AfterGap(count) => self.lost += count,
            Order::Late => {
                self.late += 1;
                self.lost = self.lost.saturating_sub(1);
            }
            Order::Repeated => self.repeated += 1,
            Order::OldPosition => self.dropped += 1,
            Order::Next | Order::Undecided | Order::Fragment | Order::Foreign => {}
        }
    }
}

/// A row of the ladder.
#[derive(Debug, Clone)]
pub enum Row {
    /// The entry of the protocol log with this number.
    Message {
        /// Its number.
        number: usize,
        /// Whether it is a request to start playing.
        plays: bool,
    },
    /// RTP packets.
    Packets(Bundle),
    /// An RTCP packet.
    Rtcp(RtcpRecord),
}

/// The packets of a source, across its sessions.
#[derive(Debug, Default, Clone)]
pub struct PacketLog {
    records_packets: bool,
    records: VecDeque<RtpRecord>,
    /// Records that were removed.
    removed: u64,
    /// Numbers of the records with problems.
    problems: VecDeque<u64>,
    /// Numbers of the records whose order is undecided.
    undecided: Vec<u64>,
    rtcp: VecDeque<RtcpRecord>,
    rows: VecDeque<Row>,
    /// Rows that were removed.
    removed_rows: u64,
    bytes: PacketBytes,
}

impl PacketLog {
    /// Starts to record packets. Without this only messages make rows.
    pub(super) fn start(&mut self) {
        if !self.records_packets {
            self.records_packets = true;
            // The system gives the memory when it is first used.
            self.records = VecDeque::with_capacity(MAX_PACKETS);
        }
    }

    /// Adds an RTP packet.
    pub(super) fn push_rtp(&mut self, at: Duration, analysis: Analysis, packet: &[u8]) {
        if !self.records_packets {
            return;
        }
        if self.records.len() == MAX_PACKETS {
            self.records.pop_front();
            self.removed += 1;
            while self.problems.front().is_some_and(|first| *first < self.removed) {
                self.problems.pop_front();
            }
        }
        let number = self.removed + self.records.len() as u64;
        let slot = self.bytes.push(packet);
        self.records.push_back(RtpRecord { at, analysis, slot });
        if analysis.order == Order::Undecided {
            self.undecided.push(number);
        } else if analysis.order.is_problem() {
            self.problems.push_back(number);
        }
        let sequence_number = analysis.header.sequence_number;
        let is_old = analysis.order == Order::OldPosition;
        if is_old && let Some(bundle) = self.bundle_at(at) {
            // It had arrived before the messages that said so.
            bundle.packets += 1;
            bundle.bytes += packet.len() as u64;
            bundle.dropped += 1;
            bundle.end = bundle.end.max(at);
            return;
        }
        if !matches!(self.rows.back(), Some(Row::Packets(_))) {
            self.push_row(Row::Packets(Bundle {
                start: at,
                end: at,
                numbers: (sequence_number, sequence_number),
                packets: 0,
                frames: 0,
                bytes: 0,
                lost: 0,
                late: 0,
                repeated: 0,
                dropped: 0,
                first: number,
            }));
        }
        if let Some(Row::Packets(bundle)) = self.rows.back_mut() {
            bundle.end = at;
            bundle.packets += 1;
            bundle.frames += u64::from(analysis.starts_frame);
            bundle.bytes += packet.len() as u64;
            if !matches!(analysis.order, Order::Late | Order::Repeated | Order::OldPosition) {
                bundle.numbers.1 = sequence_number;
            }
            bundle.count(analysis.order);
        }
    }

    /// The last bundle that had started at this time.
    fn bundle_at(&mut self, at: Duration) -> Option<&mut Bundle> {
        self.rows.iter_mut().rev().find_map(|row| match row {
            Row::Packets(bundle) if bundle.start <= at => Some(bundle),
            _ => None,
        })
    }

    /// Sets the orders of the packets that were undecided.
    pub(super) fn decide(&mut self, orders: &[Order]) {
        for (number, order) in std::mem::take(&mut self.undecided).into_iter().zip(orders) {
            let index = number.checked_sub(self.removed).and_then(|it| usize::try_from(it).ok());
            let Some(record) = index.and_then(|index| self.records.get_mut(index)) else {
                continue;
            };
            record.analysis.order = *order;
            if order.is_problem() {
                self.problems.push_back(number);
            }
            let bundles = self.rows.iter_mut().rev().filter_map(|row| match row {
                Row::Packets(bundle) => Some(bundle),
                _ => None,
            });
            if let Some(bundle) = bundles.into_iter().find(|it| it.first <= number) {
                bundle.count(*order);
            }
        }
    }

    /// Adds an RTCP packet.
    pub(super) fn push_rtcp(&mut self, at: Duration, direction: Direction, packet: &[u8]) {
        if !self.records_packets {
            return;
        }
        if self.rtcp.len() == MAX_RTCP {
            self.rtcp.pop_front();
        }
        let record = RtcpRecord { at, direction, bytes: packet.into() };
        self.rtcp.push_back(record.clone());
        self.push_row(Row::Rtcp(record));
    }

    /// Adds an entry of the protocol log.
    pub(super) fn push_message(&mut self, number: usize, plays: bool, is_reply: bool) {
        self.push_row(Row::Message { number, plays });
        // The first packets may be read before the reply to PLAY, which was sent before them.
        let mut last = self.rows.iter_mut().rev();
        if is_reply
            && let (Some(reply), Some(packets), Some(Row::Message { plays: true, .. })) =
                (last.next(), last.next(), last.next())
            && matches!(packets, Row::Packets(_))
        {
            std::mem::swap(reply, packets);
        }
    }

    fn push_row(&mut self, row: Row) {
        if self.rows.len() == MAX_ROWS {
            self.rows.pop_front();
            self.removed_rows += 1;
        }
        self.rows.push_back(row);
    }

    /// Number of the first RTP packet that is kept, and number of the next one that will arrive.
    pub fn numbers(&self) -> std::ops::Range<u64> {
        self.removed..self.removed + self.records.len() as u64
    }

    /// The RTP packet with this number.
    pub fn record(&self, number: u64) -> Option<&RtpRecord> {
        self.records.get(usize::try_from(number.checked_sub(self.removed)?).ok()?)
    }

    /// All RTP packets that are kept, oldest first, with their numbers.
    pub fn records(&self) -> impl ExactSizeIterator<Item = (u64, &RtpRecord)> {
        let removed = self.removed;
        self.records.iter().enumerate().map(move |(at, record)| (removed + at as u64, record))
    }

    /// Numbers of the packets that were lost, late or repeated.
    pub fn problems(&self) -> &VecDeque<u64> {
        &self.problems
    }

    /// All RTCP packets that are kept, oldest first.
    pub fn rtcp(&self) -> impl ExactSizeIterator<Item = &RtcpRecord> {
        self.rtcp.iter()
    }

    /// The rows of the ladder, with their numbers.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = (u64, &Row)> {
        let removed = self.removed_rows;
        self.rows.iter().enumerate().map(move |(at, row)| (removed + at as u64, row))
    }

    /// The bytes of a packet; `None` if they have been removed.
    pub fn bytes(&self, record: &RtpRecord) -> Option<&[u8]> {
        self.bytes.get(record.slot)
    }
}

#[cfg(test)]
mod tests {
    use super::super::packet_bytes::{CHUNK, MAX_CHUNKS};
    use super::*;
    use gstmjpegfile::rtp::Timestamp;

    fn analysis(number: u16, order: Order) -> Analysis {
        Analysis {
            header: RtpHeader::jpeg(number, Timestamp::default(), 7, true),
            payload_len: 3,
            since_previous: None,
            jitter: Duration::ZERO,
            starts_frame: true,
            order,
        }
    }

    fn bundles(log: &PacketLog) -> Vec<(u64, u64, u64, (u16, u16))> {
        let rows = log.rows().filter_map(|(_, row)| match row {
            Row::Packets(it) => Some((it.packets, it.lost, it.late, it.numbers)),
            _ => None,
        });
        rows.collect()
    }

    #[test]
    fn packets_between_two_messages_are_one_row() {
        let mut log = PacketLog::default();
        log.push_rtp(Duration::ZERO, analysis(1, Order::Next), b"ignored");
        log.start();
        log.push_message(0, true, false);
        for (number, order) in [(5, Order::Undecided), (8, Order::Undecided)] {
            log.push_rtp(Duration::ZERO, analysis(number, order), b"abc");
        }
        log.decide(&[Order::Next, Order::AfterGap(2)]);
        log.push_message(1, false, true);
        for (number, order) in [(7, Order::Late), (8, Order::Repeated), (9, Order::Next)] {
            log.push_rtp(Duration::ZERO, analysis(number, order), b"abc");
        }
        // The reply comes before the packets, which go on.
        let kinds: Vec<&str> = log
            .rows()
            .map(|(_, row)| match row {
                Row::Message { .. } => "message",
                Row::Packets(_) => "packets",
                Row::Rtcp(_) => "rtcp",
            })
            .collect();
        assert_eq!(kinds, ["message", "message", "packets"]);
        assert_eq!(bundles(&log), [(5, 1, 1, (5, 9))]);
        log.push_rtcp(Duration::ZERO, Direction::Sent, &[1]);
        log.push_rtp(Duration::ZERO, analysis(10, Order::Next), b"abc");
        assert_eq!(bundles(&log), [(5, 1, 1, (5, 9)), (1, 0, 0, (10, 10))]);
        assert_eq!(log.problems().iter().copied().collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(log.numbers(), 0..6);
    }

    #[test]
    fn packets_of_the_old_position_belong_to_the_row_in_which_they_arrived() {
        let ms = Duration::from_millis;
        let mut log = PacketLog::default();
        log.start();
        log.push_rtp(ms(1), analysis(1, Order::Next), b"abc");
        log.push_message(0, true, false);
        log.push_message(1, false, true);
        // The filter holds it until the reply to PLAY is there.
        log.push_rtp(ms(2), analysis(2, Order::OldPosition), b"abc");
        log.push_rtp(ms(9), analysis(5, Order::Next), b"abc");
        let rows: Vec<(u64, u64)> = log
            .rows()
            .filter_map(|(_, row)| match row {
                Row::Packets(it) => Some((it.packets, it.dropped)),
                _ => None,
            })
            .collect();
        assert_eq!(rows, [(2, 1), (1, 0)]);
    }

    #[test]
    fn the_oldest_packets_are_removed() {
        let mut log = PacketLog::default();
        log.start();
        let packet = vec![7; 1400];
        let mut copy = None;
        let count = 150_000_u64;
        for number in 0..count {
            let order = if number % 10 == 0 { Order::AfterGap(1) } else { Order::Next };
            log.push_rtp(Duration::ZERO, analysis(0, order), &packet);
            if number == 1000 {
                copy = Some(log.clone());
            }
        }
        assert_eq!(log.numbers(), 50_000..count);
        assert_eq!(log.problems().front(), Some(&50_000));
        let kept = log.records().filter(|(_, it)| log.bytes(it).is_some()).count();
        let most = MAX_CHUNKS * CHUNK / packet.len();
        assert!((most - CHUNK / packet.len()..=most).contains(&kept), "{kept}");
        let (_, last) = log.records().last().expect("there are packets");
        assert_eq!(log.bytes(last), Some(&packet[..]));
        // A copy keeps its bytes.
        let copy = copy.expect("it was made");
        assert!(copy.records().all(|(_, it)| copy.bytes(it) == Some(&packet[..])));
        for number in 0..MAX_ROWS + 10 {
            log.push_message(number, false, false);
        }
        assert_eq!(log.rows().len(), MAX_ROWS);
    }
}
