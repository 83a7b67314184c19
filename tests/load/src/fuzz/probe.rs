// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks that the server stays healthy during fuzzing: its process runs, and it answers other clients.

use anyhow::{Context, Result, bail, ensure};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Sends OPTIONS on a new connection; returns the time from before the connection to the reply.
///
/// # Errors
/// If there is no reply within `limit`, or its status is not 200.
pub fn probe(server: SocketAddr, limit: Duration) -> Result<Duration> {
    let start = Instant::now();
    let reply = request_options(server, limit)
        .with_context(|| format!("a probe failed after {:?}", start.elapsed()))?;
    let time = start.elapsed();
    ensure!(
        reply.starts_with(b"RTSP/1.0 200"),
        "the reply to a probe is \"{}\"",
        reply.escape_ascii()
    );
    ensure!(time <= limit, "the reply to a probe took {time:?} (limit {limit:?})");
    Ok(time)
}

fn request_options(server: SocketAddr, limit: Duration) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&server, limit)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(limit))?;
    stream.write_all(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n")?;
    let mut reply = Vec::new();
    let mut bytes = [0; 1024];
    while !reply.ends_with(b"\r\n\r\n") {
        match stream.read(&mut bytes)? {
            0 => bail!("the server closed the connection before its reply was complete"),
            count => reply.extend_from_slice(bytes.get(..count).unwrap_or_default()),
        }
    }
    Ok(reply)
}

/// Checks that a process runs.
///
/// # Errors
/// If the process has ended.
pub(crate) fn check_running(process: u32) -> Result<()> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"));
    let state = stat.ok().and_then(|stat| {
        // The state follows the name, which may contain any byte.
        stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next())
    });
    match state {
        Some('Z' | 'X') | None => bail!("the server's process {process} has ended"),
        Some(_) => Ok(()),
    }
}

/// Number of file descriptors that a process has open.
///
/// # Errors
/// If the process has ended or belongs to another user.
pub fn descriptors(process: u32) -> Result<usize> {
    let folder = format!("/proc/{process}/fd");
    let entries = std::fs::read_dir(&folder).with_context(|| format!("cannot read {folder}"))?;
    Ok(entries.count())
}
