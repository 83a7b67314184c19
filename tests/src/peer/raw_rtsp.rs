// SPDX-License-Identifier: MIT OR Apache-2.0
//! RTSP by hand: exact bytes out, status and headers in. Interleaved packets are passed over.

use anyhow::{Context, Result, bail};
use socket2::{Domain, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// One connection.
pub struct RawRtsp {
    stream: TcpStream,
    held: Vec<u8>,
    /// Interleaved packets passed over so far.
    pub packets: u64,
    /// RTP packets that are missing among them, by sequence numbers.
    pub missing: u64,
    /// The last one's sequence number.
    number: Option<u16>,
}

/// A reply.
#[derive(Debug)]
pub struct Reply {
    /// As in its first line.
    pub status: u16,
    /// Its first line and headers.
    pub text: String,
    /// What follows them.
    pub body: String,
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
    /// Connects; no answer within 20 s is an error.
    ///
    /// # Errors
    /// If there is no connection.
    pub fn connect(address: &str) -> Result<Self> {
        Ok(Self::over(TcpStream::connect(address)?)?)
    }

    /// The same from an address of this machine.
    ///
    /// # Errors
    /// If there is no connection.
    pub fn connect_from(local: Ipv4Addr, address: &str) -> Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((local, 0)).into())?;
        socket.connect(&address.parse::<SocketAddr>()?.into())?;
        Ok(Self::over(socket.into())?)
    }

    fn over(stream: TcpStream) -> std::io::Result<Self> {
        // Longer than any limit of the server's.
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        Ok(Self { stream, held: Vec::new(), packets: 0, missing: 0, number: None })
    }

    /// Whether the server has closed the connection, once all has been read that it sent; waits
    /// for it.
    ///
    /// # Errors
    /// If it is still open after 20 s.
    pub fn is_closed(&mut self) -> Result<bool> {
        let mut bytes = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return Ok(true),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(true),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// All bytes up to the connection's end.
    ///
    /// # Errors
    /// If it is still open after 20 s.
    pub fn rest(&mut self) -> Result<String> {
        let mut bytes = std::mem::take(&mut self.held);
        self.stream.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// If the connection is closed.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        Ok(self.stream.write_all(bytes.as_ref())?)
    }

    /// Sends a request and waits for its reply.
    ///
    /// # Errors
    /// If none comes.
    pub fn ask(&mut self, line: &str, headers: &str) -> Result<Reply> {
        self.send(format!("{line} RTSP/1.0\r\nCSeq: 1\r\n{headers}\r\n"))?;
        self.reply()
    }

    /// The next reply.
    ///
    /// # Errors
    /// If none comes.
    pub fn reply(&mut self) -> Result<Reply> {
        loop {
            while let [b'$', _, high, low, ..] = self.held[..] {
                self.take(u16::from_be_bytes([high, low]))?;
            }
            if let Some(end) = self.held.windows(4).position(|four| four == b"\r\n\r\n") {
                let text = String::from_utf8_lossy(&self.held[..end + 4]).into_owned();
                self.held.drain(..end + 4);
                let status = text.split(' ').nth(1).and_then(|word| word.parse().ok());
                let status = status.with_context(|| format!("no status: {text}"))?;
                let mut reply = Reply { status, text, body: String::new() };
                if let Some(length) = reply.header("Content-Length") {
                    let length = length.parse()?;
                    self.fill(length)?;
                    let body: Vec<u8> = self.held.drain(..length).collect();
                    reply.body = String::from_utf8_lossy(&body).into_owned();
                }
                return Ok(reply);
            }
            self.fill(self.held.len() + 1)?;
        }
    }

    /// Receives packets until a time, or for as long as they come.
    ///
    /// # Errors
    /// If the connection is closed.
    pub fn receive_until(&mut self, end: Instant) -> Result<()> {
        while Instant::now() < end {
            self.fill(4)?;
            let [b'$', _, high, low, ..] = self.held[..] else {
                bail!("not a packet: {:?}", &self.held[..4]);
            };
            self.take(u16::from_be_bytes([high, low]))?;
        }
        Ok(())
    }

    /// Takes an interleaved packet of so many bytes.
    fn take(&mut self, length: u16) -> Result<()> {
        let length = 4 + usize::from(length);
        self.fill(length)?;
        if let [b'$', 0, _, _, _, _, high, low, ..] = self.held[..] {
            let number = u16::from_be_bytes([high, low]);
            let before = self.number.replace(number);
            self.missing +=
                before.map_or(0, |it| u64::from(number.wrapping_sub(it)).saturating_sub(1));
        }
        self.held.drain(..length);
        self.packets += 1;
        Ok(())
    }

    /// The first line and headers of an HTTP reply.
    ///
    /// # Errors
    /// If none comes.
    pub fn http_head(&mut self) -> Result<String> {
        loop {
            if let Some(end) = self.held.windows(4).position(|four| four == b"\r\n\r\n") {
                let head: Vec<u8> = self.held.drain(..end + 4).collect();
                return Ok(String::from_utf8_lossy(&head).into_owned());
            }
            self.fill(self.held.len() + 1)?;
        }
    }

    /// Describes a stream; gives its `a=range` as SDP states it.
    ///
    /// # Errors
    /// If the reply is not 200 or states none.
    pub fn described_range(&mut self, url: &str) -> Result<String> {
        let reply = self.ask(&format!("DESCRIBE {url}"), "")?;
        anyhow::ensure!(reply.status == 200, "{}", reply.text);
        let range = reply.body.lines().find_map(|line| line.strip_prefix("a=range:"));
        Ok(range.with_context(|| reply.body.clone())?.to_owned())
    }

    /// Sets a stream up over TCP interleaved, UDP or the Transport given; gives the session's
    /// header.
    ///
    /// # Errors
    /// If the reply is not 200.
    pub fn set_up(&mut self, url: &str, transport: &str) -> Result<String> {
        anyhow::ensure!(self.ask(&format!("DESCRIBE {url}"), "")?.status == 200, "DESCRIBE");
        let transport = match transport {
            "tcp" => "RTP/AVP/TCP;unicast;interleaved=0-1",
            // Nobody reads there; the server sends all the same.
            "udp" => "RTP/AVP;unicast;client_port=65000-65001",
            other => other,
        };
        let header = format!("Transport: {transport}\r\n");
        let reply = self.ask(&format!("SETUP {url}/stream=0"), &header)?;
        anyhow::ensure!(reply.status == 200, "{}", reply.text);
        let session = reply.header("Session").context("no session")?;
        Ok(format!("Session: {}\r\n", session.split(';').next().unwrap_or_default()))
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
