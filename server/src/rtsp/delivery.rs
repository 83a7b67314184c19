// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sends the packets of a frame to one viewer, over UDP or in its RTSP connection; or counts them, if they
//! are sent to a multicast group.

use super::gst_media::Sockets;
use super::multicast::Group;
use crate::connection::outbox::{OnDrained, Outbox, SendOutcome};
use crate::limit_log::LimitLog;
use crate::send::counts::{FirstPacket, SendCounts, SentFrame};
use crate::send::datagrams::{Datagrams, Offload};
use gstmjpegfile::rtp::{FIXED_LEN, JpegHeader, JpegPayloads, RtpHeader};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, SockaddrStorage, sendto};
use std::io::IoSlice;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Sends datagrams to two ports of a host. In this order, what is read for each frame is in two lines of the
/// processor's cache: with many viewers none of it is there when the frame is due.
#[repr(C)]
pub(super) struct UdpDelivery {
    sockets: Arc<Sockets>,
    counts: Arc<SendCounts>,
    offload: Offload,
    rtp: SockaddrStorage,
    rtcp: SockaddrStorage,
    peer: SocketAddr,
    limit_log: Arc<LimitLog>,
}

impl UdpDelivery {
    /// Counts a failure. Returns whether there was none.
    fn count_failure(&self, sent: Result<(), Errno>) -> bool {
        if let Err(error) = sent {
            let kind = match error {
                Errno::EAGAIN | Errno::ENOBUFS => "packets dropped: the UDP send buffer is full",
                _ => "packets not sent over UDP",
            };
            self.limit_log.count_error(kind, Some(self.peer), &error);
        }
        sent.is_ok()
    }
}

/// Sends on two channels of the RTSP connection (RFC 2326 section 10.12).
pub(super) struct InterleavedDelivery {
    outbox: Arc<Outbox>,
    peer: SocketAddr,
    rtp: u8,
    rtcp: u8,
    counts: Arc<SendCounts>,
    /// A frame has been sent since the last call of [`Delivery::was_used`].
    used: AtomicBool,
}

/// Counts packets that are sent to a multicast group.
pub(super) struct MulticastDelivery {
    group: Arc<Group>,
    peer: SocketAddr,
    counts: Arc<SendCounts>,
}

/// Sends packets to one viewer.
#[allow(
    clippy::large_enum_variant,
    reason = "each is in an Arc: a box would be one more address that is not in the processor's cache"
)]
pub(super) enum Delivery {
    Udp(UdpDelivery),
    Interleaved(InterleavedDelivery),
    Multicast(MulticastDelivery),
}

impl Delivery {
    /// A delivery in datagrams. The port of `peer` receives RTP, `rtcp` receives RTCP. Failures are
    /// counted in `limit_log`.
    pub fn udp(
        sockets: Arc<Sockets>,
        peer: SocketAddr,
        rtcp: u16,
        offload: bool,
        limit_log: Arc<LimitLog>,
    ) -> Self {
        let rtcp = SocketAddr::new(peer.ip(), rtcp).into();
        let (rtp, offload) = (peer.into(), Offload::new(offload));
        let counts = Arc::default();
        Self::Udp(UdpDelivery { sockets, counts, offload, rtp, rtcp, peer, limit_log })
    }

    /// A delivery in the connection of `peer`, on the channels for RTP and RTCP.
    pub fn interleaved(outbox: Arc<Outbox>, peer: SocketAddr, (rtp, rtcp): (u8, u8)) -> Self {
        let (used, counts) = (AtomicBool::new(false), Arc::default());
        Self::Interleaved(InterleavedDelivery { outbox, peer, rtp, rtcp, counts, used })
    }

    /// The delivery to a peer that has joined a multicast group. The packets are sent once for all, by the
    /// sink.
    pub fn multicast(group: Arc<Group>, peer: SocketAddr) -> Self {
        Self::Multicast(MulticastDelivery { group, peer, counts: Arc::default() })
    }

    /// The multicast group that the viewer has joined.
    pub fn group(&self) -> Option<&Arc<Group>> {
        match self {
            Self::Multicast(multicast) => Some(&multicast.group),
            Self::Udp(_) | Self::Interleaved(_) => None,
        }
    }

    /// What was sent to the viewer.
    pub fn counts(&self) -> &Arc<SendCounts> {
        match self {
            Self::Udp(udp) => &udp.counts,
            Self::Interleaved(connection) => &connection.counts,
            Self::Multicast(multicast) => &multicast.counts,
        }
    }

    /// The channel of the connection on which the viewer sends RTCP; `None` for datagrams.
    pub fn rtcp_channel(&self) -> Option<u8> {
        match self {
            Self::Udp(_) | Self::Multicast(_) => None,
            Self::Interleaved(connection) => Some(connection.rtcp),
        }
    }

    /// The address of the viewer, for the log.
    pub fn peer(&self) -> SocketAddr {
        match self {
            Self::Udp(udp) => udp.peer,
            Self::Interleaved(connection) => connection.peer,
            Self::Multicast(multicast) => multicast.peer,
        }
    }

    /// Sends a frame, whose number in the movie is `number`: each payload after its header. While bytes
    /// are queued in the connection, the frame is not sent, and the function that `resume` returns is
    /// called once the queue is empty.
    pub fn send(
        &self,
        datagrams: &Datagrams,
        (number, headers): (u64, &[[u8; FIXED_LEN]]),
        payloads: &JpegPayloads,
        resume: Option<&dyn Fn() -> OnDrained>,
    ) -> SendOutcome {
        match self {
            Self::Udp(udp) => {
                let sent = datagrams.send(udp.sockets.rtp.as_fd(), &udp.rtp, &udp.offload);
                if udp.count_failure(sent) {
                    count(&udp.counts, number, headers, payloads);
                }
                SendOutcome::Accepted
            }
            Self::Interleaved(connection) => {
                let packets = headers.iter().zip(payloads);
                let prefixes: Vec<[u8; 4]> = packets
                    .map(|(header, payload)| {
                        interleaved_prefix(connection.rtp, header.len() + payload.len())
                    })
                    .collect();
                let packets = prefixes.iter().zip(headers).zip(payloads);
                let parts: Vec<IoSlice> = packets
                    .flat_map(|((prefix, header), payload)| {
                        [IoSlice::new(prefix), IoSlice::new(header), IoSlice::new(payload)]
                    })
                    .collect();
                let sent = connection.outbox.try_send(&parts, resume);
                if sent == SendOutcome::Accepted {
                    connection.used.store(true, Ordering::Relaxed);
                    count(&connection.counts, number, headers, payloads);
                }
                sent
            }
            Self::Multicast(multicast) => {
                count(&multicast.counts, number, headers, payloads);
                SendOutcome::Accepted
            }
        }
    }

    /// Sends an RTCP packet.
    pub fn send_rtcp(&self, packet: &[u8]) {
        match self {
            Self::Udp(udp) => {
                udp.count_failure(send_datagram(udp.sockets.rtcp.as_fd(), &udp.rtcp, packet));
            }
            Self::Interleaved(connection) => {
                let prefix = interleaved_prefix(connection.rtcp, packet.len());
                connection.outbox.send(&[&prefix, packet].concat());
            }
            // Sent once for all, by the sink.
            Self::Multicast(_) => {}
        }
    }

    /// Whether the connection has accepted a frame since the last call: its viewer is alive. Always
    /// `false` for datagrams, whose viewers report by RTCP that they are alive.
    pub fn was_used(&self) -> bool {
        match self {
            Self::Udp(_) | Self::Multicast(_) => false,
            Self::Interleaved(connection) => connection.used.swap(false, Ordering::Relaxed),
        }
    }
}

/// Counts a frame that was sent.
fn count(counts: &SendCounts, number: u64, headers: &[[u8; FIXED_LEN]], payloads: &JpegPayloads) {
    let header = |bytes: Option<&[u8; FIXED_LEN]>| Some(RtpHeader::parse(bytes?).ok()?.0);
    let sequence_number = match headers.last() {
        // The number is where RTP defines it.
        Some([_, _, high, low, ..]) => u16::from_be_bytes([*high, *low]),
        None => 0,
    };
    let packets = headers.len();
    let bytes = packets * FIXED_LEN + payloads.bytes();
    counts.add_frame(SentFrame { number, packets, bytes, sequence_number }, || {
        let payload = payloads.iter().next()?;
        let (header, jpeg_header) = (header(headers.first())?, JpegHeader::of(payload));
        Some(FirstPacket { header, payload: payload.len(), jpeg_header })
    });
}

/// The four bytes before an interleaved packet.
fn interleaved_prefix(channel: u8, length: usize) -> [u8; 4] {
    let [high, low] = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
    [b'$', channel, high, low]
}

fn send_datagram(socket: BorrowedFd, to: &SockaddrStorage, packet: &[u8]) -> Result<(), Errno> {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    sendto(socket.as_raw_fd(), packet, to, flags).map(drop)
}
