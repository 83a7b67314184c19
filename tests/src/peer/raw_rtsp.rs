// SPDX-License-Identifier: MIT OR Apache-2.0
//! RTSP by hand: exact bytes out, status and headers in. Interleaved packets are passed over.

use anyhow::{Context, Result, bail};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// One connection.
pub struct RawRtsp {
    stream: TcpStream,
    held: Vec<u8>,
    /// Interleaved packets passed over so far.
    pub packets: u64,
}

/// A reply.
#[derive(Debug)]
pub struct Reply {
    /// As in its first line.
    pub status: u16,
    /// All of it.
    pub text: String,
}

impl Reply {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.text.lines().filter_map(|line| line.split_once(':'));
        let mut found = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.trim())
    }
}

impl RawRtsp {
    /// Connects; no answer within 10 s is an error.
    ///
    /// # Errors
    /// If there is no connection.
    pub fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(Self { stream, held: Vec::new(), packets: 0 })
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// If the connection is closed.
    pub fn send(&mut self, bytes: &str) -> Result<()> {
        Ok(self.stream.write_all(bytes.as_bytes())?)
    }

    /// Sends a request and waits for its reply.
    ///
    /// # Errors
    /// If none comes.
    pub fn ask(&mut self, line: &str, headers: &str) -> Result<Reply> {
        self.send(&format!("{line} RTSP/1.0\r\nCSeq: 1\r\n{headers}\r\n"))?;
        self.reply()
    }

    /// The next reply.
    ///
    /// # Errors
    /// If none comes.
    pub fn reply(&mut self) -> Result<Reply> {
        loop {
            while let [b'$', _, high, low, ..] = self.held[..] {
                let length = 4 + usize::from(u16::from_be_bytes([high, low]));
                self.fill(length)?;
                self.held.drain(..length);
                self.packets += 1;
            }
            if let Some(end) = self.held.windows(4).position(|four| four == b"\r\n\r\n") {
                let text = String::from_utf8_lossy(&self.held[..end + 4]).into_owned();
                self.held.drain(..end + 4);
                let status = text.split(' ').nth(1).and_then(|word| word.parse().ok());
                let status = status.with_context(|| format!("no status: {text}"))?;
                let reply = Reply { status, text };
                if let Some(length) = reply.header("Content-Length") {
                    let length = length.parse()?;
                    self.fill(length)?;
                    self.held.drain(..length);
                }
                return Ok(reply);
            }
            self.fill(self.held.len() + 1)?;
        }
    }

    fn fill(&mut self, length: usize) -> Result<()> {
        while self.held.len() < length {
            let mut buf = [0; 16 * 1024];
            match self.stream.read(&mut buf)? {
                0 => bail!("the connection was closed"),
                n => self.held.extend_from_slice(&buf[..n]),
            }
        }
        Ok(())
    }
}
