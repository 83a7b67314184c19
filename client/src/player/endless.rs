// SPDX-License-Identifier: MIT OR Apache-2.0
//! Ends sessions with servers whose replies do not end.
//!
//! rtspsrc 1.22 reads headers and bodies of any size into memory, and cannot be interrupted meanwhile. So
//! the memory of the process is watched during a session. Shutting the socket down makes rtspsrc read
//! the end of the connection, and free what it has read.
#![allow(unsafe_code)] // A socket of another library has no safe handle.

use super::movies::server_of;
use super::{Player, Protocol, State};
use glib::subclass::prelude::*;
use gst::prelude::*;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{BorrowedFd, RawFd};
use std::time::Duration;

/// The time between two looks at the memory.
const INTERVAL: Duration = Duration::from_millis(100);

/// The same while a reply is awaited: on loopback, a server sends 100 MiB in that time.
const AWAITING_INTERVAL: Duration = Duration::from_millis(20);

/// By so many bytes the memory may grow during a session. The largest picture that RTP/JPEG carries
/// takes 16 MiB, and a few are in memory at a time.
const MAX_GROWTH: u64 = 512 << 20;

/// Watches the memory during the sessions of a player.
pub(super) fn watch(player: &Player) {
    if player.protocol() != Protocol::Rtsp {
        return;
    }
    let mut at_start = None;
    player.every(INTERVAL, "memory-watch", move |player| {
        let is_open = player.state() != State::Init || player.imp().pending().is_some();
        let Some(memory) = is_open.then(resident).flatten() else {
            at_start = None;
            return glib::ControlFlow::Continue;
        };
        let limit = *at_start.get_or_insert(memory) + MAX_GROWTH;
        if memory > limit {
            at_start = None;
            end_session(player);
        }
        glib::ControlFlow::Continue
    });
}

/// Watches the memory until the pending command is answered.
pub(super) fn watch_command(player: &Player) {
    let is_rtsp = player.protocol() == Protocol::Rtsp;
    let Some(limit) = is_rtsp.then(resident).flatten().map(|at_start| at_start + MAX_GROWTH) else {
        return;
    };
    player.every(AWAITING_INTERVAL, "command-memory-watch", move |player| {
        if player.imp().pending().is_none() {
            return glib::ControlFlow::Break;
        }
        if resident().is_none_or(|memory| memory <= limit) {
            return glib::ControlFlow::Continue;
        }
        end_session(player);
        glib::ControlFlow::Break
    });
}

/// Ends a session that takes too much memory.
fn end_session(player: &Player) {
    let Some(playbin) = player.imp().playbin() else { return };
    let limit = MAX_GROWTH >> 20;
    gst::element_error!(
        playbin,
        gst::ResourceError::NoSpaceLeft,
        ("the session takes more than {limit} MiB of memory: the server sends a reply without an end, \
             or one that is too long")
    );
    shut_down(playbin);
}

/// Shuts down the connections to the server of a playbin.
pub(super) fn shut_down(playbin: &gst::Element) {
    let uri = playbin.property::<Option<String>>("uri").unwrap_or_default();
    let server = server_of(&uri).filter(|_| Protocol::from_uri(&uri) == Protocol::Rtsp);
    let Some((_, port)) = server else { return };
    for socket in sockets() {
        let peer = socket.peer_addr().ok().and_then(|peer| peer.as_socket());
        let is_stream = socket.r#type().is_ok_and(|kind| kind == socket2::Type::STREAM);
        if is_stream && peer.is_some_and(|peer| peer.port() == port) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

/// The addresses of a connection of this process to a server's port: ours and the server's.
pub(super) fn connection_to(port: u16) -> Option<(SocketAddr, SocketAddr)> {
    sockets().find_map(|socket| {
        let peer = socket.peer_addr().ok()?.as_socket().filter(|peer| peer.port() == port)?;
        let is_stream = socket.r#type().is_ok_and(|kind| kind == socket2::Type::STREAM);
        Some((socket.local_addr().ok()?.as_socket().filter(|_| is_stream)?, peer))
    })
}

/// Copies of the descriptors of all sockets of this process.
fn sockets() -> impl Iterator<Item = socket2::Socket> {
    let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let is_socket = |entry: &std::fs::DirEntry| {
        let target = std::fs::read_link(entry.path()).unwrap_or_default();
        target.to_str().is_some_and(|target| target.starts_with("socket:"))
    };
    let number = |entry: std::fs::DirEntry| entry.file_name().to_str()?.parse::<RawFd>().ok();
    entries.filter(is_socket).filter_map(number).filter_map(|number| {
        // SAFETY: the number is not -1, and the borrow ends with this line. Another thread may close
        // the descriptor before it is copied: then there is no copy, or one of another file, whose
        // address the caller does not find.
        let copy = unsafe { BorrowedFd::borrow_raw(number) }.try_clone_to_owned();
        copy.ok().map(Into::into)
    })
}

/// Bytes of memory that the process occupies; `None` if the system does not say.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn only_connections_to_the_server_are_shut_down() {
        gst::init().expect("GStreamer");
        let listen = || TcpListener::bind("127.0.0.1:0").expect("a port");
        let (server, other) = (listen(), listen());
        let connect = |listener: &TcpListener| {
            let address = listener.local_addr().expect("an address");
            let stream = TcpStream::connect(address).expect("a connection");
            stream.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
            stream
        };
        let (mut to_server, mut to_other) = (connect(&server), connect(&other));
        let addresses = to_server.local_addr().ok().zip(to_server.peer_addr().ok());
        let port = server.local_addr().expect("an address").port();
        assert_eq!(connection_to(port), addresses);
        let uri = format!("rtsp://{}/movie", server.local_addr().expect("an address"));
        let playbin = gst::ElementFactory::make("playbin").property("uri", uri).build();
        shut_down(&playbin.expect("playbin"));
        assert_eq!(to_server.read(&mut [0]).expect("the end"), 0);
        assert!(to_other.read(&mut [0]).is_err(), "still open");
        assert!(resident().is_some_and(|bytes| bytes > 1 << 20));
    }
}
