// SPDX-License-Identifier: MIT OR Apache-2.0
//! Ports for tests that run at the same time, in one process or in several.

use anyhow::{Context, Result};
use socket2::{Domain, Socket, Type};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};

/// A port of UDP and TCP that is free. The system does not choose it as a free port: those are from 32768.
/// Each call gives another one, and so do test processes with neighbouring numbers.
pub(crate) fn free() -> Result<u16> {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(16);
    let port = || {
        let number = first.wrapping_add(CALLS.fetch_add(2, Ordering::Relaxed)) % 10_000;
        u16::try_from(10_000 + number).ok()
    };
    let is_free = |port: &u16| {
        UdpSocket::bind(("0.0.0.0", *port)).is_ok() && TcpListener::bind(("0.0.0.0", *port)).is_ok()
    };
    (0..100).filter_map(|_| port()).find(is_free).context("no free port")
}

/// An address at which connections are refused. No other program gets its port while the socket is open.
pub(crate) fn closed() -> Result<(Socket, SocketAddr)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    let address = socket.local_addr()?.as_socket().context("not an IP address")?;
    Ok((socket, address))
}
