// SPDX-License-Identifier: MIT OR Apache-2.0
//! Splits the bytes of a connection into requests. Most lab clients do not end a request with a blank
//! line, so that a pause ends it too. The caller reports pauses; this code reads no clocks.

use super::{Method, Request, RequestError};

/// The longest request, in bytes.
pub const MAX_REQUEST: usize = 4 * 1024;

/// Why a connection must be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FramerError {
    /// A request is longer than [`MAX_REQUEST`].
    #[error("the request is longer than {MAX_REQUEST} bytes")]
    TooLong,
    /// A request contains a byte that is not text.
    #[error("the request contains byte {0:02x}, which is not text")]
    NotText(u8),
}

/// How long no byte has been received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pause {
    /// More bytes may follow at once.
    #[default]
    None,
    /// Long enough that a request which lacks nothing has ended.
    Short,
    /// Long enough that a request which lacks a sequence number or a port has ended too. A client
    /// may send the lines of a request one by one, and the second one only when the first one has
    /// been acknowledged.
    Long,
}

/// Splits the bytes of a connection into requests.
#[derive(Debug, Clone, Default)]
pub struct Framer {
    buffer: String,
}

impl Framer {
    /// Adds received bytes.
    ///
    /// # Errors
    /// See [`FramerError`]. The connection must be closed then.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), FramerError> {
        // Names of movies can have any encoding, but no encoding has control bytes.
        let control = |byte: &u8| *byte < 0x20 && !matches!(byte, b'\r' | b'\n' | b'\t');
        if let Some(byte) = bytes.iter().copied().find(|byte| control(byte) || *byte == 0x7f) {
            return Err(FramerError::NotText(byte));
        }
        self.buffer.push_str(&String::from_utf8_lossy(bytes));
        if self.buffer.len() > MAX_REQUEST {
            return Err(FramerError::TooLong);
        }
        Ok(())
    }

    /// Whether a part of a request has been received, so that the rest must follow within a time limit.
    pub fn has_begun(&self) -> bool {
        !self.buffer.trim_start_matches(['\r', '\n']).is_empty()
    }

    /// Takes the next complete request. It ends with a blank line, or before a line that starts with a
    /// method. A pause ends it too; see [`Pause`].
    pub fn next_request(&mut self, pause: Pause) -> Option<String> {
        // Line ends between requests are ignored.
        let start = self.buffer.len() - self.buffer.trim_start_matches(['\r', '\n']).len();
        self.buffer.drain(..start);
        let end = self.end()?.or_else(|| {
            let ended = match pause {
                Pause::None => false,
                Pause::Short => !lacks_lines(&self.buffer),
                Pause::Long => true,
            };
            ended.then_some(self.buffer.len())
        })?;
        Some(self.buffer.drain(..end).collect())
    }

    /// The end of the request, if a blank line or a method after it shows the end; `None` without a
    /// request.
    #[allow(clippy::option_option, reason = "no request, unknown end, known end")]
    fn end(&self) -> Option<Option<usize>> {
        if self.buffer.is_empty() {
            return None;
        }
        let mut at = 0;
        for (number, line) in self.buffer.split_inclusive('\n').enumerate() {
            let text = line.trim_end_matches(['\r', '\n']);
            if number > 0 && line.ends_with('\n') && text.is_empty() {
                return Some(Some(at + line.len()));
            }
            // A word is complete only if another byte follows it.
            let word = line.split_ascii_whitespace().next().unwrap_or_default();
            let starts = line.starts_with(word) && line.len() > word.len();
            if number > 0 && starts && Method::of(word).is_some() {
                return Some(Some(at));
            }
            at += line.len();
        }
        Some(None)
    }
}

/// Whether a text lacks something that further lines may contain.
fn lacks_lines(text: &str) -> bool {
    let Err((error, _, cseq)) = Request::parse(text) else { return false };
    match error {
        RequestError::SequenceNumber | RequestError::NoPort => true,
        RequestError::Method => cseq.is_none(),
        RequestError::File | RequestError::Port => false,
    }
}
