// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether the server is well while strangers visit it: it answers others, and it lives.

use anyhow::{Context, Result, bail, ensure};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Asks for OPTIONS on a new connection; gives the time from before it was opened to the reply.
///
/// # Errors
/// If there is no reply within `limit`, or another one than 200.
pub fn probe(server: SocketAddr, limit: Duration) -> Result<Duration> {
    let from = Instant::now();
    let reply =
        ask(server, limit).with_context(|| format!("a probe after {:?}", from.elapsed()))?;
    let time = from.elapsed();
    ensure!(reply.starts_with(b"RTSP/1.0 200"), "a probe is answered {}", reply.escape_ascii());
    ensure!(time <= limit, "a probe is answered after {time:?}, not within {limit:?}");
    Ok(time)
}

fn ask(server: SocketAddr, limit: Duration) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&server, limit)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(limit))?;
    stream.write_all(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n")?;
    let mut reply = Vec::new();
    let mut bytes = [0; 1024];
    while !reply.ends_with(b"\r\n\r\n") {
        match stream.read(&mut bytes)? {
            0 => bail!("the server closed the connection"),
            count => reply.extend_from_slice(bytes.get(..count).unwrap_or_default()),
        }
    }
    Ok(reply)
}

/// Whether a process lives.
///
/// # Errors
/// If it has ended.
pub(crate) fn check_lives(process: u32) -> Result<()> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"));
    let state = stat.ok().and_then(|stat| {
        // After the name, which may have any byte in it.
        stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next())
    });
    match state {
        Some('Z' | 'X') | None => bail!("process {process} has ended"),
        Some(_) => Ok(()),
    }
}

/// The files and sockets that a process has open.
///
/// # Errors
/// If it has ended, or is another user's.
pub fn descriptors(process: u32) -> Result<usize> {
    Ok(std::fs::read_dir(format!("/proc/{process}/fd"))?.count())
}
