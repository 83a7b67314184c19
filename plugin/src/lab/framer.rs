// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where one request ends and the next begins: lab clients mostly send no blank line, so that
//! silence is part of the protocol. The caller tells of it; nothing in here asks a clock.

use super::{Method, Request};

/// The longest request, in bytes.
pub const MAX_REQUEST: usize = 4 * 1024;

/// Why a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FramerError {
    /// It sends more than [`MAX_REQUEST`] bytes without an end.
    #[error("a request of more than {MAX_REQUEST} bytes")]
    TooLong,
    /// It sends bytes that are no text.
    #[error("byte {0:02x}, which is no text")]
    NoText(u8),
}

/// Cuts what a connection sends into requests.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: String,
}

impl Framer {
    /// Takes in bytes.
    ///
    /// # Errors
    /// See [`FramerError`]; the connection is of no more use then.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), FramerError> {
        // Names of movies may be in any encoding; control bytes are in none.
        let control = |byte: &u8| *byte < 0x20 && !matches!(byte, b'\r' | b'\n' | b'\t');
        if let Some(byte) = bytes.iter().copied().find(|byte| control(byte) || *byte == 0x7f) {
            return Err(FramerError::NoText(byte));
        }
        self.buffer.push_str(&String::from_utf8_lossy(bytes));
        if self.buffer.len() > MAX_REQUEST {
            return Err(FramerError::TooLong);
        }
        Ok(())
    }

    /// Whether a request has begun, which must be complete within a time.
    pub fn has_begun(&self) -> bool {
        !self.buffer.trim_start_matches(['\r', '\n']).is_empty()
    }

    /// The next request, if it is complete: at a blank line; before a line that begins with a
    /// method; or as it is, if `quiet` says that no byte has come for a while and it makes a
    /// request.
    pub fn next_request(&mut self, quiet: bool) -> Option<String> {
        // Between requests, line ends mean nothing.
        let begin = self.buffer.len() - self.buffer.trim_start_matches(['\r', '\n']).len();
        self.buffer.drain(..begin);
        let end = self.end()?.or_else(|| {
            let whole = quiet && Request::parse(&self.buffer).is_ok();
            whole.then_some(self.buffer.len())
        })?;
        Some(self.buffer.drain(..end).collect())
    }

    /// Where the request ends by what follows it; `None` without a request.
    #[allow(clippy::option_option, reason = "no request, no end, an end")]
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
            // A word is whole only when something follows it.
            let word = line.split_ascii_whitespace().next().unwrap_or_default();
            let begins = line.starts_with(word) && line.len() > word.len();
            if number > 0 && begins && Method::of(word).is_some() {
                return Some(Some(at));
            }
            at += line.len();
        }
        Some(None)
    }
}
