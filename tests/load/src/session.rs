// SPDX-License-Identifier: MIT OR Apache-2.0
//! One viewer's requests.

use crate::Load;
use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// How RTP comes to viewers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Transport {
    /// Standard RTSP, RTP in datagrams.
    Udp,
    /// Standard RTSP, RTP in the connection.
    Tcp,
    /// The course lab's dialect.
    Lab,
}

/// A request must be answered within this.
const ANSWER: Duration = Duration::from_secs(20);

/// Where a viewer is.
pub(crate) fn address(which: usize) -> Ipv4Addr {
    let part = |number: usize| u8::try_from(number).unwrap_or(u8::MAX);
    Ipv4Addr::new(127, 1, part(which / 250), part(which % 250 + 1))
}

/// Which viewer is at an address.
pub(crate) fn viewer_at(address: Ipv4Addr) -> Option<usize> {
    let [_, _, high, low] = address.octets();
    (usize::from(high) * 250 + usize::from(low)).checked_sub(1)
}

/// A viewer that watches.
pub(crate) struct Session {
    stream: TcpStream,
    /// What ends it.
    teardown: String,
}

impl Session {
    /// Connects and plays.
    pub fn open(load: &Load, which: usize, port: u16) -> Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((address(which), 0)).into())?;
        // All of what a viewer has not read yet.
        let _ = socket.set_recv_buffer_size(1 << 20);
        socket.connect(&load.server.into())?;
        socket.set_tcp_nodelay(true)?;
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(ANSWER))?;
        let teardown = String::new();
        let mut session = Self { stream, teardown };
        match load.transport {
            Transport::Lab => session.lab(load, port)?,
            Transport::Udp => {
                let ports = format!("RTP/AVP;unicast;client_port={port}-{}", port + 1);
                session.standard(load, &ports)?;
            }
            Transport::Tcp => session.standard(load, "RTP/AVP/TCP;unicast;interleaved=0-1")?,
        }
        Ok(session)
    }

    pub fn connection(&self) -> &TcpStream {
        &self.stream
    }

    fn standard(&mut self, load: &Load, transport: &str) -> Result<()> {
        let url = format!("rtsp://{}/{}", load.server, load.movie);
        self.ask(&format!("DESCRIBE {url} RTSP/1.0\r\nCSeq: 1\r\n\r\n"))?;
        let reply = self.ask(&format!(
            "SETUP {url}/stream=0 RTSP/1.0\r\nCSeq: 2\r\nTransport: {transport}\r\n\r\n"
        ))?;
        let id = reply.lines().find_map(|line| line.strip_prefix("Session:"));
        let id = id.and_then(|id| id.split(';').next()).context("no session")?.trim().to_owned();
        self.teardown = format!("TEARDOWN {url}/ RTSP/1.0\r\nCSeq: 4\r\nSession: {id}\r\n\r\n");
        self.ask(&format!("PLAY {url}/ RTSP/1.0\r\nCSeq: 3\r\nSession: {id}\r\n\r\n"))?;
        Ok(())
    }

    fn lab(&mut self, load: &Load, port: u16) -> Result<()> {
        let movie = &load.movie;
        self.teardown = format!("TEARDOWN {movie} RTSP/1.0\nCSeq: 3\n\n");
        // Blank lines make a server answer at once.
        self.ask(&format!(
            "SETUP {movie} RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP; client_port= {port}\n\n"
        ))?;
        self.ask(&format!("PLAY {movie} RTSP/1.0\nCSeq: 2\n\n"))?;
        Ok(())
    }

    /// Sends a request and reads its reply's head, byte for byte: what follows is not ours.
    fn ask(&mut self, request: &str) -> Result<String> {
        self.stream.write_all(request.as_bytes())?;
        let mut reply = Vec::new();
        let lab = !request.contains("\r\n");
        let mut byte = [0];
        loop {
            self.stream.read_exact(&mut byte)?;
            // The blank line behind a lab server's reply before.
            if reply.is_empty() && lab && byte == *b"\n" {
                continue;
            }
            reply.extend(byte);
            // A lab server's reply has three lines.
            let lines = reply.split(|byte| *byte == b'\n').count() - 1;
            if reply.ends_with(b"\r\n\r\n") || lab && lines == 3 {
                break;
            }
        }
        let head = String::from_utf8_lossy(&reply).into_owned();
        ensure!(head.starts_with("RTSP/1.0 200"), "{request:?} is answered by {head:?}");
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length:"));
        if let Some(length) = length {
            let mut body = vec![0; length.trim().parse()?];
            self.stream.read_exact(&mut body)?;
        }
        Ok(head)
    }

    /// Says goodbye; what is answered is not read.
    pub fn end(mut self) {
        let _ = self.stream.set_nonblocking(false);
        let _ = self.stream.write_all(self.teardown.as_bytes());
    }
}
