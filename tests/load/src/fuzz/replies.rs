// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads what a server sends on one connection: replies of standard RTSP, the lab's dialect and HTTP,
//! and interleaved packets, which are skipped.

use std::collections::BTreeMap;

/// The longest valid line: `Unsupported` repeats what a request of up to 64 KiB requires.
const MAX_LINE: usize = 65 * 1024;

/// Bytes that belong neither to a reply nor to a packet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the server sent bytes that are neither a reply nor a packet: \"{0}\"")]
pub(crate) struct Unexpected(String);

/// The replies on one connection; bytes may arrive in pieces of any size.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    /// The start of a line or of a packet header.
    pending: Vec<u8>,
    /// Bytes that are missing from the present packet.
    packet_bytes_left: usize,
    /// Number of replies by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Number of interleaved packets.
    pub packets: u64,
    /// The session in the last reply that names one.
    pub session: Option<String>,
    /// CSeq of the replies, in order.
    pub cseqs: Vec<u32>,
}

impl Replies {
    /// Number of replies.
    pub fn count(&self) -> u64 {
        self.statuses.values().sum()
    }

    /// Reads bytes that follow those read before.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), Unexpected> {
        loop {
            if self.packet_bytes_left > 0 {
                let (_, rest) = bytes.split_at(self.packet_bytes_left.min(bytes.len()));
                self.packet_bytes_left -= bytes.len() - rest.len();
                bytes = rest;
            }
            if bytes.is_empty() {
                return Ok(());
            }
            // A packet header has four bytes, a line ends with LF.
            let is_packet = self.pending.first().or(bytes.first()) == Some(&b'$');
            let length = if is_packet {
                (4_usize.saturating_sub(self.pending.len())).min(bytes.len())
            } else {
                bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1)
            };
            let (part, rest) = bytes.split_at(length);
            self.pending.extend_from_slice(part);
            bytes = rest;
            match self.pending.as_slice() {
                &[b'$', _, high, low] => {
                    self.packets += 1;
                    self.packet_bytes_left = usize::from(u16::from_be_bytes([high, low]));
                    self.pending.clear();
                }
                [b'$', ..] => {}
                line if line.ends_with(b"\n") => self.end_line()?,
                line if line.len() > MAX_LINE => return Err(unexpected(line)),
                _ => {}
            }
        }
    }

    fn end_line(&mut self) -> Result<(), Unexpected> {
        let line = std::mem::take(&mut self.pending);
        let text = std::str::from_utf8(&line).map_err(|_| unexpected(&line))?.trim_end();
        if text.chars().any(char::is_control) {
            return Err(unexpected(&line));
        }
        let status = text.strip_prefix("RTSP/1.0 ").or(text.strip_prefix("HTTP/1.0 "));
        if let Some(status) = status.and_then(|text| text.split(' ').next()?.parse().ok()) {
            *self.statuses.entry(status).or_default() += 1;
        }
        match text.split_once(':') {
            Some(("CSeq", value)) => self.cseqs.extend(value.trim().parse::<u32>()),
            Some(("Session", value)) => {
                let id = value.split(';').next().unwrap_or_default().trim();
                // An error reply of the lab's dialect has session 0.
                if id != "0" {
                    self.session = Some(id.to_owned());
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn unexpected(line: &[u8]) -> Unexpected {
    Unexpected(line.get(..100).unwrap_or(line).escape_ascii().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_and_packets_are_read_in_pieces_of_any_size() {
        let bytes = b"RTSP/1.0 200 OK\r\nCSeq: 4\r\nSession: ab;timeout=60\r\n\r\n$\0\0\x03\n$R\
            $\x01\0\0RTSP/1.0 404 Not Found\nCSeq: 5\nSession: 0\nHTTP/1.0 404 Not Found\r\n\r\n";
        for size in 1..=bytes.len() {
            let mut replies = Replies::default();
            for piece in bytes.chunks(size) {
                replies.push(piece).unwrap();
            }
            let want = BTreeMap::from([(200, 1), (404, 2)]);
            assert_eq!((&replies.statuses, replies.packets), (&want, 2), "{size}");
            assert_eq!(replies.cseqs, [4, 5], "{size}");
            assert_eq!(replies.session.as_deref(), Some("ab"), "{size}");
        }
    }

    #[test]
    fn other_bytes_are_an_error() {
        let endless = vec![b'x'; MAX_LINE + 1];
        let shown = "x".repeat(100);
        let rows = [
            (&b"\xff\xd8\n"[..], r"\xff\xd8\n"),
            (b"RTSP/1.0 200 \x01\r\n", r"RTSP/1.0 200 \x01\r\n"),
            (&endless, &shown),
        ];
        for (bytes, shown) in rows {
            let error = Replies::default().push(bytes).map_err(|error| error.to_string());
            let want =
                format!("the server sent bytes that are neither a reply nor a packet: \"{shown}\"");
            assert_eq!(error, Err(want));
        }
    }
}
