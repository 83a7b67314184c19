// SPDX-License-Identifier: MIT OR Apache-2.0
//! Ends sessions with servers whose replies do not end.
//!
//! rtspsrc 1.22 reads headers and bodies of any size into memory, does not say how much it has read, and
//! cannot be interrupted meanwhile. But the kernel counts the bytes of a connection (`TCP_INFO`). The
//! bytes it has read that are not RTP or RTCP packets belong to replies. Shutting the socket down makes
//! rtspsrc read the end of the connection, and free what it has read.
//!
//! The memory of the process is watched too, for whatever else may grow.
#![allow(unsafe_code)] // The system calls have no safe form.

use super::statistics::Collector;
use super::{Player, Protocol, State};
use glib::subclass::prelude::*;
use gst::prelude::*;
use std::collections::HashMap;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// The time between two checks of the memory.
const MEMORY_INTERVAL: Duration = Duration::from_millis(100);

/// The time between two checks of the connections.
const INTERVAL: Duration = Duration::from_millis(20);

/// The same while a reply is awaited: on loopback, a server sends 10 MiB in that time.
const AWAITING_INTERVAL: Duration = Duration::from_millis(5);

/// The memory may grow by this many bytes during a session. The largest picture that RTP/JPEG carries
/// takes 16 MiB, and a few are in memory at a time.
const MAX_GROWTH: u64 = 512 << 20;

/// The most bytes that a server may send besides packets until its next reply is complete, or in a minute:
/// replies to keep-alive requests are not seen here. Replies have a few hundred bytes.
const MAX_REPLY: u64 = 8 << 20;
const SPAN: Duration = Duration::from_mins(1);

/// Watches the memory and the connections during the sessions of a player.
pub(super) fn watch(player: &Player) {
    if player.protocol() != Protocol::Rtsp {
        return;
    }
    let mut at_start = None;
    player.every(MEMORY_INTERVAL, "memory-watch", move |player| {
        let Some(memory) = has_session(player).then(resident).flatten() else {
            at_start = None;
            return glib::ControlFlow::Continue;
        };
        if memory > *at_start.get_or_insert(memory) + MAX_GROWTH {
            at_start = None;
            let limit = MAX_GROWTH >> 20;
            end_session(player, &format!("the session takes more than {limit} MiB of memory"));
        }
        glib::ControlFlow::Continue
    });
    let mut received = Received::default();
    player.every(INTERVAL, "reply-watch", move |player| check_replies(player, &mut received));
}

/// Watches the connections more closely until the pending command is answered.
pub(super) fn watch_command(player: &Player) {
    if player.protocol() != Protocol::Rtsp {
        return;
    }
    let mut received = Received::default();
    player.every(AWAITING_INTERVAL, "command-reply-watch", move |player| {
        match player.imp().pending() {
            Some(_) => check_replies(player, &mut received),
            None => glib::ControlFlow::Break,
        }
    });
}

fn has_session(player: &Player) -> bool {
    player.state() != State::Init || player.imp().pending().is_some()
}

/// Ends the session if the server has sent too much besides packets.
fn check_replies(player: &Player, received: &mut Received) -> glib::ControlFlow {
    let playbin = player.imp().playbin().filter(|_| has_session(player));
    let Some(playbin) = playbin else {
        *received = Received::default();
        return glib::ControlFlow::Continue;
    };
    if received.has_too_much(player.imp().collector(), allowance(playbin)) {
        *received = Received::default();
        let limit = MAX_REPLY >> 20;
        end_session(
            player,
            &format!("the server sends a reply without an end, or one of more than {limit} MiB"),
        );
    }
    glib::ControlFlow::Continue
}

/// Watches the connections while a session ends and the main loop waits for that.
pub(super) struct ClosingWatch<'a> {
    collector: &'a Collector,
    allowance: u64,
    received: Received,
}

impl<'a> ClosingWatch<'a> {
    /// How long to wait between two checks.
    pub const INTERVAL: Duration = AWAITING_INTERVAL;

    /// Starts to count.
    pub fn new(collector: &'a Collector, playbin: &gst::Element) -> Self {
        Self { collector, allowance: allowance(playbin), received: Received::default() }
    }

    /// Shuts the connections down if the server has sent too much besides packets.
    pub fn check(&mut self) {
        if self.received.has_too_much(self.collector, self.allowance) {
            self.collector.connections().shut_down();
        }
    }
}

/// What is known of the exchange besides the bytes.
#[derive(Debug, Default, Clone, Copy)]
struct Progress {
    /// Complete replies.
    replies: u64,
    /// Bytes of RTP and RTCP packets in the connections.
    packets: u64,
}

/// The bytes that rtspsrc has read since its last reply.
#[derive(Debug, Default)]
struct Received {
    /// Bytes that were read of each connection, by the inode of its socket.
    connections: HashMap<u64, u64>,
    bytes: u64,
    since: Option<Instant>,
    at_start: Progress,
}

impl Received {
    /// Adds what the connections of a player have received since the last call.
    fn has_too_much(&mut self, collector: &Collector, allowance: u64) -> bool {
        let counts: Vec<_> = collector
            .connections()
            .open()
            .iter()
            .filter_map(|(inode, socket)| Some((*inode, read(socket)?)))
            .collect();
        // After the bytes: packets that are read meanwhile count as packets only.
        let progress =
            Progress { replies: collector.replies(), packets: collector.interleaved_bytes() };
        self.is_too_much(counts.into_iter(), progress, allowance, Instant::now())
    }

    /// Adds what was read since the last call. `counts` are the inodes of the connections and the bytes
    /// that were read of each. `allowance` is how many bytes of a packet are for its encryption.
    fn is_too_much(
        &mut self,
        counts: impl Iterator<Item = (u64, u64)>,
        progress: Progress,
        allowance: u64,
        now: Instant,
    ) -> bool {
        let before = std::mem::take(&mut self.connections);
        for (inode, count) in counts {
            self.bytes += count.saturating_sub(before.get(&inode).copied().unwrap_or(0));
            self.connections.insert(inode, count);
        }
        let packets = progress.packets.saturating_sub(self.at_start.packets);
        let rest = self.bytes.saturating_sub(packets * (1 + allowance));
        // What was read before the first call is unknown.
        let is_too_much = self.since.is_some() && rest > MAX_REPLY;
        let is_over = self.since.is_none_or(|since| now >= since + SPAN);
        if is_over || progress.replies != self.at_start.replies {
            self.since = Some(now);
            self.bytes = 0;
            self.at_start = progress;
        }
        is_too_much
    }
}

/// Ends a session that takes too much.
fn end_session(player: &Player, text: &str) {
    let Some(playbin) = player.imp().playbin() else { return };
    gst::element_error!(playbin, gst::ResourceError::NoSpaceLeft, ("{text}"));
    player.imp().collector().connections().shut_down();
}

/// How many bytes of a packet are for its encryption: a record of TLS with a small packet may be twice as
/// long as the packet.
fn allowance(playbin: &gst::Element) -> u64 {
    // After a redirect, rtspsrc has another location than playbin.
    let source = playbin.property::<Option<gst::Element>>("source");
    let source = source.filter(|source| source.find_property("location").is_some());
    let location = source.and_then(|source| source.property::<Option<String>>("location"));
    let uri = location.or_else(|| playbin.property("uri"));
    u64::from(uri.is_some_and(|uri| uri.starts_with("rtsps")))
}

/// The bytes that were read of a connection: those that have arrived, without those that wait in the
/// kernel.
fn read(socket: &socket2::Socket) -> Option<u64> {
    let mut waiting: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int (ioctl_tty(2), tcp(7)).
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::FIONREAD, &raw mut waiting) };
    let waiting = u64::try_from(waiting).ok().filter(|_| result == 0)?;
    // SAFETY: all fields are integers, for which zeros are values.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = libc::socklen_t::try_from(size_of::<libc::tcp_info>()).ok()?;
    // SAFETY: the kernel writes at most `length` bytes (tcp(7)).
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut length,
        )
    };
    // Linux counts bytes since 4.1. The end of the connection counts as one.
    (result == 0).then(|| info.tcpi_bytes_received.saturating_sub(waiting))
}

/// Bytes of memory that the process occupies; `None` if the system does not say.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

#[cfg(test)]
mod tests {
    use super::super::connections::{Connections, tests::connect};
    use super::*;
    use gio::prelude::*;
    use std::io::Write;
    use std::net::TcpListener;
    use std::sync::Arc;

    #[test]
    fn bytes_of_a_connection_count_when_they_are_read() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let connections = Arc::new(Connections::default());
        let (client, mut server) = connect(&listener, &connections);
        // As another thread may have one.
        let _copy = connections.only_one().expect("a copy");
        let count = || {
            let open = connections.open();
            let mut counts = open.iter().filter_map(|(_, socket)| read(socket));
            (counts.next().expect("a count"), counts.next())
        };
        let take = |count| {
            let bytes = client.input_stream().read_bytes(count, gio::Cancellable::NONE);
            assert_eq!(bytes.expect("read").len(), count);
        };
        assert_eq!(count(), (0, None));
        server.write_all(&[7; 3000]).expect("written");
        take(1000);
        assert_eq!(count(), (1000, None));
        take(2000);
        assert_eq!(count(), (3000, None));
        assert!(resident().is_some_and(|bytes| bytes > 1 << 20));
    }

    #[test]
    fn bytes_without_packets_are_limited_up_to_a_reply_or_for_a_minute() {
        const MIB: u64 = 1 << 20;
        let start = Instant::now();
        // Second, MiB read of two connections, replies, MiB of packets, and the result.
        let rows = [
            (0, 100, 0, 0, 0, false),
            (1, 107, 1, 0, 0, false),
            (2, 108, 2, 0, 0, true),
            (3, 108, 2, 1, 0, true),
            (4, 108, 10, 1, 0, false),
            (5, 108, 11, 1, 0, true),
            (6, 108, 111, 1, 101, false),
            (62, 108, 111, 1, 101, false),
            (63, 108, 111, 1, 101, false),
            (64, 108, 119, 1, 101, false),
            (65, 108, 120, 1, 101, true),
        ];
        let mut received = Received::default();
        for (second, one, other, replies, packets, want) in rows {
            let counts = [(7, one * MIB), (8, other * MIB)].into_iter();
            let progress = Progress { replies, packets: packets * MIB };
            let now = start + Duration::from_secs(second);
            assert_eq!(
                received.is_too_much(counts.into_iter(), progress, 0, now),
                want,
                "second {second}"
            );
        }
    }
}
