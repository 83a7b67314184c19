// SPDX-License-Identifier: MIT OR Apache-2.0
//! The RTSP session of one viewer.

use crate::Load;
use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// How viewers receive RTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Transport {
    /// Standard RTSP, RTP over UDP.
    Udp,
    /// Standard RTSP, RTP interleaved in the RTSP connection.
    Tcp,
    /// The course lab's dialect.
    Lab,
}

/// Longest wait for a reply.
const REPLY_LIMIT: Duration = Duration::from_secs(20);

/// The loopback address of a viewer.
pub(crate) fn address(viewer: usize) -> Ipv4Addr {
    let part = |number: usize| u8::try_from(number).unwrap_or(u8::MAX);
    Ipv4Addr::new(127, 1, part(viewer / 250), part(viewer % 250 + 1))
}

/// The viewer that has an address.
pub(crate) fn viewer_at(address: Ipv4Addr) -> Option<usize> {
    let [_, _, high, low] = address.octets();
    (usize::from(high) * 250 + usize::from(low)).checked_sub(1)
}

/// A session that plays.
pub(crate) struct Session {
    stream: TcpStream,
    /// The request that ends the session.
    teardown: String,
}

impl Session {
    /// Connects, sets the session up and plays.
    pub fn open(load: &Load, viewer: usize, port: u16) -> Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((address(viewer), 0)).into())?;
        // Room for what has not been read yet.
        let _ = socket.set_recv_buffer_size(1 << 20);
        socket
            .connect(&load.server.into())
            .with_context(|| format!("cannot connect to {}", load.server))?;
        socket.set_tcp_nodelay(true)?;
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(REPLY_LIMIT))?;
        let teardown = String::new();
        let mut session = Self { stream, teardown };
        match load.transport {
            Transport::Lab => session.play_lab(load, port)?,
            Transport::Udp => {
                let ports = format!("RTP/AVP;unicast;client_port={port}-{}", port + 1);
                session.play_standard(load, &ports)?;
            }
            Transport::Tcp => session.play_standard(load, "RTP/AVP/TCP;unicast;interleaved=0-1")?,
        }
        Ok(session)
    }

    pub fn connection(&self) -> &TcpStream {
        &self.stream
    }

    fn play_standard(&mut self, load: &Load, transport: &str) -> Result<()> {
        let url = format!("rtsp://{}/{}", load.server, load.movie);
        self.request(&format!("DESCRIBE {url} RTSP/1.0\r\nCSeq: 1\r\n\r\n"))?;
        let reply = self.request(&format!(
            "SETUP {url}/stream=0 RTSP/1.0\r\nCSeq: 2\r\nTransport: {transport}\r\n\r\n"
        ))?;
        let id = reply.lines().find_map(|line| line.strip_prefix("Session:"));
        let id = id
            .and_then(|id| id.split(';').next())
            .context("the reply to SETUP has no Session header")?
            .trim()
            .to_owned();
        self.teardown = format!("TEARDOWN {url}/ RTSP/1.0\r\nCSeq: 4\r\nSession: {id}\r\n\r\n");
        self.request(&format!("PLAY {url}/ RTSP/1.0\r\nCSeq: 3\r\nSession: {id}\r\n\r\n"))?;
        Ok(())
    }

    fn play_lab(&mut self, load: &Load, port: u16) -> Result<()> {
        let movie = &load.movie;
        self.teardown = format!("TEARDOWN {movie} RTSP/1.0\nCSeq: 3\n\n");
        // Without the empty line, a lab server replies only after a pause.
        self.request(&format!(
            "SETUP {movie} RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP; client_port= {port}\n\n"
        ))?;
        self.request(&format!("PLAY {movie} RTSP/1.0\nCSeq: 2\n\n"))?;
        Ok(())
    }

    /// Sends a request and returns the first line and headers of its reply. Reads single bytes, so that
    /// what follows the reply stays in the stream.
    fn request(&mut self, request: &str) -> Result<String> {
        self.stream.write_all(request.as_bytes())?;
        let mut reply = Vec::new();
        let lab = !request.contains("\r\n");
        let mut byte = [0];
        loop {
            self.stream.read_exact(&mut byte)?;
            // The empty line after the previous reply of a lab server.
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
        let headers = String::from_utf8_lossy(&reply).into_owned();
        ensure!(headers.starts_with("RTSP/1.0 200"), "the reply to {request:?} is {headers:?}");
        let length = headers.lines().find_map(|line| line.strip_prefix("Content-Length:"));
        if let Some(length) = length {
            let mut body = vec![0; length.trim().parse()?];
            self.stream.read_exact(&mut body)?;
        }
        Ok(headers)
    }

    /// Ends the session, without waiting for the reply.
    pub fn end(mut self) {
        let _ = self.stream.set_nonblocking(false);
        let _ = self.stream.write_all(self.teardown.as_bytes());
    }
}
