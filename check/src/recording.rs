// SPDX-License-Identifier: MIT OR Apache-2.0
//! What was exchanged with the program: messages and packets with their times.

use gstmjpegfile::lab::Method;
use gstmjpegfile::rtp::{FIXED_LEN, RtpHeader};
use std::time::Duration;

/// One exchange.
#[derive(Debug, Clone, Default)]
pub struct Recording {
    /// What it is for, as a heading.
    pub title: &'static str,
    /// Messages and events in the order of their times.
    pub entries: Vec<Entry>,
    /// Packets in the order of their times.
    pub packets: Vec<Packet>,
    /// The number of packets that arrived after the limit was reached, and were not kept.
    pub discarded: u64,
    /// The number of packets that the kernel dropped since our buffer was full.
    pub dropped: u32,
}

/// A message or an event of a control connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When it happened, from the start of the run.
    pub at: Duration,
    /// The number of the connection in the exchange, from 0.
    pub connection: usize,
    /// What happened.
    pub event: Event,
}

/// What happened on a control connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The connection was made.
    Connected,
    /// A request of the client.
    Request {
        /// Its method.
        method: Method,
        /// Its sequence number.
        cseq: u64,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// A reply of the server.
    Reply {
        /// The request that it answers.
        to: Option<(Method, u64)>,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// Nothing arrived.
    Silence {
        /// The request that got no reply.
        to: (Method, u64),
        /// How long was waited.
        waited: Duration,
    },
    /// We closed the connection.
    ClosedHere,
    /// The program closed the connection, or it was reset.
    ClosedThere,
    /// A button was pressed, or something else happened that is not a message: in words.
    Action(String),
}

/// A datagram that arrived, or, if a client is graded, one that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// When the kernel received it, from the start of the run.
    pub at: Duration,
    /// The number of the receiving port in the exchange, from 0.
    pub port: usize,
    /// Its bytes; of later packets of a long exchange only the header.
    pub bytes: Vec<u8>,
    /// The number of its bytes.
    pub length: usize,
}

impl Packet {
    /// The fixed part of the RTP header, bit by bit: also if P, X or CC announce what does not follow.
    pub fn header(&self) -> Option<RtpHeader> {
        let mut fixed: [u8; FIXED_LEN] = *self.bytes.first_chunk()?;
        let flags = fixed.first().copied()?;
        *fixed.first_mut()? = flags & 0xc0;
        let (header, _) = RtpHeader::parse(&fixed).ok()?;
        Some(RtpHeader {
            padding: flags & 0x20 != 0,
            extension: flags & 0x10 != 0,
            csrc_count: flags & 0x0f,
            ..header
        })
    }

    /// The bytes after the fixed header. What P, X and CC announce is not taken away: a server that sets
    /// them wrongly sends the frame there.
    pub fn payload(&self) -> &[u8] {
        self.bytes.get(FIXED_LEN..).unwrap_or_default()
    }

    /// Whether all bytes were kept.
    pub fn is_whole(&self) -> bool {
        self.bytes.len() == self.length
    }
}
