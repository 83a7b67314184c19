// SPDX-License-Identifier: MIT OR Apache-2.0
//! An RTSP client (RFC 2326) that sends what a test writes, right or wrong.

use super::tls_client::TlsStream;
use anyhow::{Context, Result, bail, ensure};
use socket2::{Domain, Socket, Type};
use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// The longest wait for bytes, longer than any time limit of the server.
const LIMIT: Duration = Duration::from_secs(20);

/// A connection, encrypted or not.
trait Duplex: Read + Write + Send {}

impl<S: Read + Write + Send> Duplex for S {}

/// One connection to a server.
pub struct RtspClient {
    stream: Box<dyn Duplex>,
    /// Bytes that were received and belong to no reply or packet yet.
    received: Vec<u8>,
    /// The last request's CSeq.
    cseq: u32,
    /// Number of interleaved packets so far (RFC 2326 section 10.12).
    pub packets: u64,
    /// Number of RTP packets missing among them, by their sequence numbers.
    pub missing: u64,
    last_sequence_number: Option<u16>,
    /// An RTCP BYE has been received.
    pub bye: bool,
}

/// A reply.
#[derive(Debug)]
pub struct Reply {
    /// Three digits, as in the status line.
    pub status: u16,
    /// Names and values in the order of the reply.
    pub headers: Vec<(String, String)>,
    /// Empty, if there is no Content-Length.
    pub body: String,
}

impl Reply {
    fn parse(head: &str) -> Result<Self> {
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.strip_prefix("RTSP/1.0 "));
        let status = status.and_then(|it| it.split(' ').next()).and_then(|it| it.parse().ok());
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers = headers.map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
        Ok(Self {
            status: status.with_context(|| format!("no RTSP status line: {head}"))?,
            headers: headers.collect(),
            body: String::new(),
        })
    }

    /// The value of the first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        header.map(|(_, value)| value.as_str())
    }

    /// The values of all headers of that name.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        let headers = self.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        headers.map(|(_, value)| value.as_str()).collect()
    }

    /// The line `Session: NUMBER` that the session's other requests must have.
    ///
    /// # Errors
    /// If the reply has no session.
    pub fn session_line(&self) -> Result<String> {
        let value = self.header("Session").with_context(|| format!("no session: {self}"))?;
        Ok(format!("Session: {}\r\n", value.split(';').next().unwrap_or_default()))
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        for (name, value) in &self.headers {
            write!(f, "; {name}: {value}")?;
        }
        write!(f, "; {}", self.body)
    }
}

impl RtspClient {
    /// Connects.
    ///
    /// # Errors
    /// If that fails.
    pub fn connect(address: &str) -> Result<Self> {
        Self::over(TcpStream::connect(address)?)
    }

    /// Connects by TLS 1.3, and accepts every certificate.
    ///
    /// # Errors
    /// If that fails.
    pub fn connect_encrypted(address: &str) -> Result<Self> {
        let stream = TlsStream::connect(address, &rustls::version::TLS13, LIMIT)?;
        Ok(Self::on(Box::new(stream)))
    }

    /// Connects from an address of this machine.
    ///
    /// # Errors
    /// If that fails.
    pub fn connect_from(local: Ipv4Addr, address: &str) -> Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((local, 0)).into())?;
        socket.connect(&address.parse::<SocketAddr>()?.into())?;
        Self::over(socket.into())
    }

    fn over(stream: TcpStream) -> Result<Self> {
        stream.set_read_timeout(Some(LIMIT))?;
        Ok(Self::on(Box::new(stream)))
    }

    fn on(stream: Box<dyn Duplex>) -> Self {
        Self {
            stream,
            received: Vec::new(),
            cseq: 0,
            packets: 0,
            missing: 0,
            last_sequence_number: None,
            bye: false,
        }
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// If the connection is closed.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        Ok(self.stream.write_all(bytes.as_ref())?)
    }

    /// Sends a request with the next CSeq and waits for its reply: `line` is the request line
    /// without the version, `headers` are lines that each end with CRLF.
    ///
    /// # Errors
    /// If no reply comes, or one with another CSeq.
    pub fn request(&mut self, line: &str, headers: &str) -> Result<Reply> {
        self.cseq += 1;
        self.send(format!("{line} RTSP/1.0\r\nCSeq: {}\r\n{headers}\r\n", self.cseq))?;
        let reply = self.receive_reply()?;
        let cseq = reply.header("CSeq").and_then(|it| it.parse().ok());
        ensure!(cseq == Some(self.cseq), "CSeq {} is answered by {reply}", self.cseq);
        Ok(reply)
    }

    /// Sends a request and fails unless its reply's status is 200.
    fn request_ok(&mut self, line: &str, headers: &str) -> Result<Reply> {
        let reply = self.request(line, headers)?;
        ensure!(reply.status == 200, "{line} {headers}: {reply}");
        Ok(reply)
    }

    /// Describes a movie; returns the range that its SDP states.
    ///
    /// # Errors
    /// If the reply is not 200 or states no range.
    pub fn described_range(&mut self, url: &str) -> Result<String> {
        let reply = self.request_ok(&format!("DESCRIBE {url}"), "")?;
        let range = reply.body.lines().find_map(|line| line.strip_prefix("a=range:"));
        Ok(range.with_context(|| reply.body.clone())?.to_owned())
    }

    /// Sets a movie up over "tcp" (interleaved), "udp" (to a port that is not read) or the Transport
    /// given; returns the session's line.
    ///
    /// # Errors
    /// If a reply is not 200.
    pub fn set_up(&mut self, url: &str, transport: &str) -> Result<String> {
        self.request_ok(&format!("DESCRIBE {url}"), "")?;
        let transport = match transport {
            "tcp" => "RTP/AVP/TCP;unicast;interleaved=0-1",
            "udp" => "RTP/AVP;unicast;client_port=65000-65001",
            other => other,
        };
        let header = format!("Transport: {transport}\r\n");
        self.request_ok(&format!("SETUP {url}/stream=0"), &header)?.session_line()
    }

    /// Sets a movie up as [`Self::set_up`] does, and plays it from its start; returns the session's
    /// line.
    ///
    /// # Errors
    /// If a reply is not 200.
    pub fn play(&mut self, url: &str, transport: &str) -> Result<String> {
        let session = self.set_up(url, transport)?;
        self.request_ok(&format!("PLAY {url}/"), &session)?;
        Ok(session)
    }

    /// The next reply; counts the interleaved packets before it.
    ///
    /// # Errors
    /// If none comes.
    pub fn receive_reply(&mut self) -> Result<Reply> {
        self.receive_at_least(1)?;
        while self.received[0] == b'$' {
            self.receive_packet()?;
            self.receive_at_least(1)?;
        }
        let mut reply = Reply::parse(&self.receive_head()?)?;
        if let Some(length) = reply.header("Content-Length") {
            let length = length.parse()?;
            self.receive_at_least(length)?;
            let body: Vec<u8> = self.received.drain(..length).collect();
            reply.body = String::from_utf8_lossy(&body).into_owned();
        }
        Ok(reply)
    }

    /// The next first line and headers, of RTSP or HTTP.
    ///
    /// # Errors
    /// If none come.
    pub fn receive_head(&mut self) -> Result<String> {
        loop {
            if let Some(end) = self.received.windows(4).position(|four| four == b"\r\n\r\n") {
                let head: Vec<u8> = self.received.drain(..end + 4).collect();
                return Ok(String::from_utf8_lossy(&head).into_owned());
            }
            self.receive_at_least(self.received.len() + 1)?;
        }
    }

    /// Receives this many more interleaved packets.
    ///
    /// # Errors
    /// If they do not come, or anything else does.
    pub fn receive_packets(&mut self, count: u64) -> Result<()> {
        (0..count).try_for_each(|_| self.receive_packet())
    }

    /// Receives interleaved packets until a time, or for as long as they come.
    ///
    /// # Errors
    /// If none comes in time, or anything else does.
    pub fn receive_until(&mut self, end: Instant) -> Result<()> {
        while Instant::now() < end {
            self.receive_packet()?;
        }
        Ok(())
    }

    fn receive_packet(&mut self) -> Result<()> {
        self.receive_at_least(4)?;
        let [b'$', channel, high, low, ..] = self.received[..] else {
            bail!("not a packet: {:?}", &self.received[..4]);
        };
        let length = 4 + usize::from(u16::from_be_bytes([high, low]));
        self.receive_at_least(length)?;
        if let (0, [_, _, _, _, _, _, high, low, ..]) = (channel, &self.received[..]) {
            let number = u16::from_be_bytes([*high, *low]);
            let before = self.last_sequence_number.replace(number);
            let gap = before.map_or(0, |it| number.wrapping_sub(it).saturating_sub(1));
            self.missing += u64::from(gap);
        }
        if channel == 1 {
            self.bye |= has_bye(&self.received[4..length]);
        }
        self.received.drain(..length);
        self.packets += 1;
        Ok(())
    }

    /// Receives interleaved packets until RTCP says that the movie has ended.
    ///
    /// # Errors
    /// If it does not before `end`, or anything else is received.
    pub fn receive_until_bye(&mut self, end: Instant) -> Result<()> {
        while !self.bye {
            ensure!(Instant::now() < end, "no BYE in time");
            self.receive_packet()?;
        }
        Ok(())
    }

    /// Fills `received` up to a length.
    fn receive_at_least(&mut self, length: usize) -> Result<()> {
        while self.received.len() < length {
            let mut bytes = [0; 16 * 1024];
            match self.stream.read(&mut bytes)? {
                0 => bail!("the connection was closed"),
                count => self.received.extend_from_slice(&bytes[..count]),
            }
        }
        Ok(())
    }

    /// The next line, of any language.
    ///
    /// # Errors
    /// If none comes.
    pub fn receive_line(&mut self) -> Result<String> {
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            self.receive_at_least(self.received.len() + 1)?;
        }
    }

    /// All text up to the connection's end.
    ///
    /// # Errors
    /// If the connection is still open after 20 s.
    pub fn receive_to_end(&mut self) -> Result<String> {
        let mut bytes = std::mem::take(&mut self.received);
        self.stream.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Waits until the server closes the connection; passes over what it sends before.
    ///
    /// # Errors
    /// If the connection is still open after 20 s.
    pub fn wait_until_closed(&mut self) -> Result<()> {
        let mut bytes = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(()),
                Err(error) => return Err(error).context("the connection is open"),
            }
        }
    }
}

/// Whether one of the RTCP packets in a datagram is a BYE (RFC 3550 section 6.6).
#[must_use]
pub fn has_bye(mut rtcp: &[u8]) -> bool {
    while let [_, kind, high, low, ..] = *rtcp {
        if kind == 203 {
            return true;
        }
        let words = usize::from(u16::from_be_bytes([high, low]));
        rtcp = rtcp.get(4 * (words + 1)..).unwrap_or_default();
    }
    false
}
