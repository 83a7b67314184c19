// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes a capture as pcapng (draft-ietf-opsawg-pcapng), which Wireshark opens.
//!
//! The player sees messages and packets, not the system's datagrams. So the IP, UDP and TCP headers are
//! made here, from the addresses and ports that are known. RTSP messages, and interleaved packets, are
//! segments of one TCP connection whose sequence numbers continue.

use super::capture::{Conversation, PacketPath, Snapshot};
use super::packet_log::{Order, RtcpRecord, RtpRecord};
use super::protocol_log::Direction;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, UNIX_EPOCH};

/// Blocks.
const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;

/// LINKTYPE_RAW: packets start with an IPv4 or IPv6 header.
const LINK_TYPE: u16 = 101;

/// Options.
const COMMENT: u16 = 1;
const USER_APPLICATION: u16 = 4;
const FLAGS: u16 = 2;
const TIME_RESOLUTION: u16 = 9;

/// Times are in units of 10^-9 s.
const NANOSECONDS: u8 = 9;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Bytes of a TCP segment. A packet of IPv4 has at most 65 535.
const MAX_SEGMENT: usize = 60_000;

const NOTE: &str = "Messages and packets as the player received and sent them. Passwords are replaced by \
                    ***. The IP, UDP and TCP headers are made from the addresses that are known; TCP \
                    handshakes and acknowledgements are left out.";

/// Writes messages and packets in the order of their times.
pub(super) fn write(out: &mut impl Write, snapshot: &Snapshot) -> io::Result<()> {
    let application = format!("mjpeg-rtsp-client {}", env!("CARGO_PKG_VERSION"));
    let mut options = Vec::new();
    push_option(&mut options, USER_APPLICATION, application.as_bytes());
    push_option(&mut options, COMMENT, NOTE.as_bytes());
    push_option(&mut options, 0, &[]);
    // Version 1.0, of unknown length.
    let head = [&0x1a2b_3c4d_u32.to_le_bytes()[..], &[1, 0, 0, 0], &[0xff; 8]].concat();
    write_block(out, SECTION_HEADER, &[&head, &options])?;
    let mut options = Vec::new();
    push_option(&mut options, TIME_RESOLUTION, &[NANOSECONDS]);
    push_option(&mut options, 0, &[]);
    let head = [&LINK_TYPE.to_le_bytes()[..], &[0; 6]].concat();
    write_block(out, INTERFACE_DESCRIPTION, &[&head, &options])?;

    let since_epoch = snapshot.started_at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut writer = Writer {
        out,
        since_epoch,
        conversation: snapshot.conversation,
        next: [1, 1],
        packet: Vec::new(),
        block: Vec::new(),
    };
    for event in events(snapshot) {
        match event {
            Event::Message(at, direction, text) => writer.message(at, direction, &text)?,
            Event::Rtp(record, bytes) => writer.rtp(record, bytes)?,
            Event::Rtcp(record) => writer.rtcp(record)?,
        }
    }
    Ok(())
}

/// Something to write.
enum Event<'a> {
    Message(Duration, Direction, String),
    Rtp(&'a RtpRecord, &'a [u8]),
    Rtcp(&'a RtcpRecord),
}

impl Event<'_> {
    fn at(&self) -> Duration {
        match self {
            Self::Message(at, ..) => *at,
            Self::Rtp(record, _) => record.at,
            Self::Rtcp(record) => record.at,
        }
    }
}

fn events(snapshot: &Snapshot) -> Vec<Event<'_>> {
    let messages = snapshot.log.entries().filter_map(|(_, entry)| {
        Some(Event::Message(entry.at, entry.direction(), with_true_length(entry.message()?)))
    });
    let packets = &snapshot.packets;
    // Only the oldest packets may lack their bytes.
    let rtp = packets.records().filter_map(|(_, it)| Some(Event::Rtp(it, packets.bytes(it)?)));
    let mut events: Vec<Event> =
        messages.chain(rtp).chain(packets.rtcp().map(Event::Rtcp)).collect();
    // Stable: what has the same time stays in this order.
    events.sort_by_key(Event::at);
    events
}

/// A message whose Content-Length is that of its body, which may have been shortened or escaped.
fn with_true_length(message: &str) -> String {
    let Some((head, body)) = message.split_once("\r\n\r\n") else { return message.to_owned() };
    let lines = head.split("\r\n").map(|line| {
        let name = line.split(':').next().unwrap_or_default();
        if name.eq_ignore_ascii_case("content-length") {
            format!("{name}: {}", body.len())
        } else {
            line.to_owned()
        }
    });
    format!("{}\r\n\r\n{body}", lines.collect::<Vec<_>>().join("\r\n"))
}

struct Writer<'a, W: Write> {
    out: &'a mut W,
    /// Time of the capture's start.
    since_epoch: Duration,
    conversation: Conversation,
    /// TCP sequence numbers of the next byte of the client and of the server.
    next: [u32; 2],
    /// Memory for a packet and for the start of its block.
    packet: Vec<u8>,
    block: Vec<u8>,
}

impl<W: Write> Writer<'_, W> {
    fn message(&mut self, at: Duration, direction: Direction, text: &str) -> io::Result<()> {
        self.segments(at, direction, &[text.as_bytes()], "")
    }

    fn rtp(&mut self, record: &RtpRecord, bytes: &[u8]) -> io::Result<()> {
        let comment = match record.analysis.order {
            Order::Next | Order::Fragment => String::new(),
            order => order.status(),
        };
        match self.conversation.path {
            PacketPath::Interleaved { rtp, .. } => {
                self.interleaved(record.at, Direction::Received, rtp, bytes, &comment)
            }
            PacketPath::Udp { client, server, .. } => {
                let ports = (client.0, server.0);
                self.datagram(record.at, Direction::Received, ports, bytes, &comment)
            }
            PacketPath::Multicast { ports, .. } => {
                self.datagram(record.at, Direction::Received, (ports.0, 0), bytes, &comment)
            }
        }
    }

    fn rtcp(&mut self, record: &RtcpRecord) -> io::Result<()> {
        match self.conversation.path {
            PacketPath::Interleaved { rtcp, .. } => {
                self.interleaved(record.at, record.direction, rtcp, &record.bytes, "")
            }
            PacketPath::Udp { client, server, .. } => {
                let ports = (client.1, server.1);
                self.datagram(record.at, record.direction, ports, &record.bytes, "")
            }
            PacketPath::Multicast { ports, .. } => {
                self.datagram(record.at, record.direction, (ports.1, 0), &record.bytes, "")
            }
        }
    }

    /// Writes a packet in the RTSP connection (RFC 2326 section 10.12).
    fn interleaved(
        &mut self,
        at: Duration,
        direction: Direction,
        channel: u8,
        bytes: &[u8],
        comment: &str,
    ) -> io::Result<()> {
        let Ok(len) = u16::try_from(bytes.len()) else { return Ok(()) };
        let [high, low] = len.to_be_bytes();
        self.segments(at, direction, &[&[b'$', channel, high, low], bytes], comment)
    }

    /// Writes bytes in the TCP connection.
    fn segments(
        &mut self,
        at: Duration,
        direction: Direction,
        parts: &[&[u8]],
        comment: &str,
    ) -> io::Result<()> {
        let data = parts.concat();
        let Conversation { client, server, .. } = self.conversation;
        for data in data.chunks(MAX_SEGMENT) {
            let len = u32::try_from(data.len()).unwrap_or(u32::MAX);
            let [of_client, of_server] = &mut self.next;
            let (from, to, next, acknowledged) = match direction {
                Direction::Received => (server, client, of_server, *of_client),
                _ => (client, server, of_client, *of_server),
            };
            let sequence = *next;
            *next = next.wrapping_add(len);
            let [from_port, to_port] = [from.port(), to.port()].map(u16::to_be_bytes);
            let header = [
                &from_port[..],
                &to_port,
                &sequence.to_be_bytes(),
                &acknowledged.to_be_bytes(),
                // 20 bytes of header; PSH and ACK; the largest window; the checksum; no urgent data.
                &[0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0],
            ]
            .concat();
            self.ip(at, direction, (from.ip(), to.ip()), TCP, (&header, 16), data, comment)?;
        }
        Ok(())
    }

    /// Writes a UDP datagram. `ports` are those of the client and of the server; of a group, its own one and
    /// that of the sender, which is not known.
    fn datagram(
        &mut self,
        at: Duration,
        direction: Direction,
        (client_port, server_port): (u16, u16),
        data: &[u8],
        comment: &str,
    ) -> io::Result<()> {
        let Conversation { client, server, path } = self.conversation;
        let source = match path {
            PacketPath::Udp { source, .. } => source,
            PacketPath::Interleaved { .. } | PacketPath::Multicast { .. } => None,
        };
        // The server may send from another address, of the same family.
        let source = source.filter(|it| it.is_ipv4() == client.is_ipv4()).unwrap_or(server.ip());
        let client = SocketAddr::new(client.ip(), client_port);
        let server = SocketAddr::new(source, server_port);
        let (from, to) = match (path, direction) {
            (PacketPath::Multicast { group, .. }, direction) => {
                let from = if direction == Direction::Received { server } else { client };
                (SocketAddr::new(from.ip(), server_port), SocketAddr::new(group, client_port))
            }
            (_, Direction::Received) => (server, client),
            _ => (client, server),
        };
        let Ok(len) = u16::try_from(data.len() + 8) else { return Ok(()) };
        let [from_port, to_port] = [from.port(), to.port()].map(u16::to_be_bytes);
        let header = [&from_port[..], &to_port, &len.to_be_bytes(), &[0, 0]].concat();
        self.ip(at, direction, (from.ip(), to.ip()), UDP, (&header, 6), data, comment)
    }

    /// Writes an IP packet. `header` is that of the transport protocol, with the offset of its checksum.
    #[allow(clippy::too_many_arguments, reason = "the parts of one packet")]
    fn ip(
        &mut self,
        at: Duration,
        direction: Direction,
        addresses: (IpAddr, IpAddr),
        protocol: u8,
        (header, checksum_at): (&[u8], usize),
        data: &[u8],
        comment: &str,
    ) -> io::Result<()> {
        let Ok(len) = u16::try_from(header.len() + data.len()) else { return Ok(()) };
        let packet = &mut self.packet;
        packet.clear();
        // The sum of the pseudo header (RFC 768, RFC 9293 section 3.1, RFC 8200 section 8.1).
        let mut sum = u64::from(protocol) + u64::from(len);
        match addresses {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let [high, low] = len.saturating_add(20).to_be_bytes();
                let (from, to) = (from.octets(), to.octets());
                // Not fragmented, 64 hops.
                packet.extend([0x45, 0, high, low, 0, 0, 0x40, 0, 64, protocol, 0, 0]);
                packet.extend(from.iter().chain(&to));
                let checksum = !fold(add_words(0, packet));
                put(packet, 10, checksum);
                sum = add_words(add_words(sum, &from), &to);
            }
            (from, to) => {
                let octets = |address: IpAddr| match address {
                    IpAddr::V4(it) => it.to_ipv6_mapped().octets(),
                    IpAddr::V6(it) => it.octets(),
                };
                let ([high, low], from, to) = (len.to_be_bytes(), octets(from), octets(to));
                packet.extend([0x60, 0, 0, 0, high, low, protocol, 64]);
                packet.extend(from.iter().chain(&to));
                sum = add_words(add_words(sum, &from), &to);
            }
        }
        let start = packet.len();
        packet.extend_from_slice(header);
        let checksum = !fold(add_words(add_words(sum, header), data));
        // In UDP, 0 says that there is no checksum.
        put(packet, start + checksum_at, if checksum == 0 { 0xffff } else { checksum });

        let len = u32::try_from(packet.len() + data.len()).unwrap_or(u32::MAX);
        let time = (self.since_epoch + at).as_nanos();
        let [high, low] = [time >> 32, time & 0xffff_ffff].map(|it| u32::try_from(it).unwrap_or(0));
        let block = &mut self.block;
        block.clear();
        // Of the first interface; both lengths are the whole packet's.
        for word in [0, high, low, len, len] {
            block.extend(word.to_le_bytes());
        }
        let mut end = vec![0; len.next_multiple_of(4).wrapping_sub(len) as usize];
        let inbound = if direction == Direction::Received { 1_u32 } else { 2 };
        push_option(&mut end, FLAGS, &inbound.to_le_bytes());
        if !comment.is_empty() {
            push_option(&mut end, COMMENT, comment.as_bytes());
        }
        push_option(&mut end, 0, &[]);
        write_block(self.out, ENHANCED_PACKET, &[block, packet, data, &end])
    }
}

/// Writes a block, whose length stands at both ends.
fn write_block(out: &mut impl Write, kind: u32, parts: &[&[u8]]) -> io::Result<()> {
    let len = 12 + parts.iter().map(|part| part.len()).sum::<usize>();
    let len = u32::try_from(len).map_err(io::Error::other)?.to_le_bytes();
    out.write_all(&kind.to_le_bytes())?;
    out.write_all(&len)?;
    for part in parts {
        out.write_all(part)?;
    }
    out.write_all(&len)
}

/// Appends an option, padded to a multiple of four bytes. The code 0 ends a list.
fn push_option(options: &mut Vec<u8>, code: u16, value: &[u8]) {
    options.extend(code.to_le_bytes());
    options.extend(u16::try_from(value.len()).unwrap_or(0).to_le_bytes());
    options.extend(value);
    let padding = value.len().next_multiple_of(4) - value.len();
    options.extend(&[0; 3][..padding.min(3)]);
}

/// Adds 16-bit words (RFC 1071).
fn add_words(sum: u64, bytes: &[u8]) -> u64 {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let last = rest.first().map_or(0, |byte| u64::from(*byte) << 8);
    pairs.iter().fold(sum + last, |sum, pair| sum + u64::from(u16::from_be_bytes(*pair)))
}

/// Folds a sum into 16 bits.
fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap_or(0)
}

fn put(packet: &mut [u8], at: usize, value: u16) {
    if let Some(bytes) = packet.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *bytes = value.to_be_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_that_of_the_body() {
        let rows = [
            (
                "A\r\nContent-Length: 9\r\nB: c\r\n\r\nxy",
                "A\r\nContent-Length: 2\r\nB: c\r\n\r\nxy",
            ),
            ("A\r\nB: c\r\n\r\n", "A\r\nB: c\r\n\r\n"),
            ("SETUP m RTSP/1.0\nCSeq: 1", "SETUP m RTSP/1.0\nCSeq: 1"),
        ];
        for (message, want) in rows {
            assert_eq!(with_true_length(message), want);
        }
    }

    #[test]
    fn checksums_are_those_of_rfc_1071() {
        // The example of its section 3: an odd byte is the high one of a word.
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(fold(add_words(0, &bytes)), 0xddf2);
        assert_eq!(fold(add_words(0, &[0x12])), 0x1200);
    }

    #[test]
    fn blocks_and_options_are_padded() {
        let mut options = Vec::new();
        push_option(&mut options, COMMENT, b"abcde");
        push_option(&mut options, 0, &[]);
        assert_eq!(options, [1, 0, 5, 0, b'a', b'b', b'c', b'd', b'e', 0, 0, 0, 0, 0, 0, 0]);
        let mut out = Vec::new();
        write_block(&mut out, 6, &[&[1, 2], &[3, 4]]).expect("memory");
        assert_eq!(out, [6, 0, 0, 0, 16, 0, 0, 0, 1, 2, 3, 4, 16, 0, 0, 0]);
    }
}
