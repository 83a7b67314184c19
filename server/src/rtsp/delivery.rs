// SPDX-License-Identifier: MIT OR Apache-2.0
//! The way of a frame's packets to one viewer.

use super::transport::{Carrier, Transport};
use crate::udp::{Datagrams, Offload};
use gst_rtsp_server::prelude::*;
use gst_rtsp_server::{RTSPClient, RTSPStream, RTSPStreamTransport};
use gstmjpegfile::rtp::{FIXED_LEN, JpegPayloads};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, SockaddrStorage, sendto};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The sockets that all viewers of a media are sent to from, as SETUP has told them.
#[derive(Debug)]
pub(super) struct Sockets {
    rtp: OwnedFd,
    rtcp: OwnedFd,
}

impl Sockets {
    /// Those that gst-rtsp-server has opened for a stream.
    pub fn of(stream: &RTSPStream, ip: IpAddr) -> Option<Self> {
        let family = if ip.is_ipv4() { gio::SocketFamily::Ipv4 } else { gio::SocketFamily::Ipv6 };
        let own = |socket: gio::Socket| socket.as_fd().try_clone_to_owned().ok();
        Some(Self {
            rtp: own(stream.rtp_socket(family)?)?,
            rtcp: own(stream.rtcp_socket(family)?)?,
        })
    }
}

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// It is on its way, or lost for this viewer.
    Done,
    /// The connection still has to send what came before.
    Busy,
}

#[derive(Debug)]
struct Udp {
    sockets: Arc<Sockets>,
    rtp: SockaddrStorage,
    rtcp: SockaddrStorage,
    offload: Offload,
    /// A packet was not sent, and the log has said so.
    said: AtomicBool,
}

impl Udp {
    fn judge(&self, sent: Result<(), Errno>) {
        if let Err(error) = sent
            && !self.said.swap(true, Ordering::Relaxed)
        {
            let to = &self.rtp;
            tracing::warn!(%to, "a packet was not sent, others are not told: {error}");
        }
    }
}

#[derive(Debug)]
enum Way {
    Udp(Box<Udp>),
    /// The client is kept for as long as packets are sent in its connection.
    Interleaved(Transport, #[allow(dead_code, reason = "held, not used")] RTSPClient),
}

/// The way to one viewer.
#[derive(Debug)]
pub(super) struct Delivery(Way);

impl Delivery {
    /// As SETUP has agreed; `None` if that cannot be served. `sockets` gives those for an address.
    pub fn new(
        transport: RTSPStreamTransport,
        client: &RTSPClient,
        offload: bool,
        sockets: impl FnOnce(IpAddr) -> Option<Arc<Sockets>>,
    ) -> Option<Self> {
        let transport = Transport::new(transport);
        Some(Self(match transport.carrier()? {
            Carrier::Interleaved => Way::Interleaved(transport, client.clone()),
            Carrier::Udp { destination, rtp, rtcp } => {
                let ip: IpAddr = destination.parse().ok()?;
                let to = |port| SockaddrStorage::from(SocketAddr::new(ip, port));
                Way::Udp(Box::new(Udp {
                    sockets: sockets(ip)?,
                    rtp: to(rtp),
                    rtcp: to(rtcp),
                    offload: Offload::new(offload),
                    said: AtomicBool::new(false),
                }))
            }
        }))
    }

    /// Sends a frame: each payload behind its header.
    pub fn send(
        &self,
        datagrams: &Datagrams,
        headers: &[[u8; FIXED_LEN]],
        payloads: &JpegPayloads,
    ) -> Sent {
        match &self.0 {
            Way::Udp(udp) => {
                let sent = datagrams.send(udp.sockets.rtp.as_fd(), &udp.rtp, &udp.offload);
                udp.judge(sent);
                Sent::Done
            }
            Way::Interleaved(transport, _) => {
                let mut packets = gst::BufferList::new_sized(headers.len());
                if let Some(list) = packets.get_mut() {
                    for (header, payload) in headers.iter().zip(payloads) {
                        let packet = [header.as_slice(), payload].concat();
                        list.add(gst::Buffer::from_mut_slice(packet));
                    }
                }
                if transport.send_rtp(&packets) { Sent::Done } else { Sent::Busy }
            }
        }
    }

    /// Sends an RTCP packet, if there is room for it.
    pub fn report(&self, packet: &[u8]) {
        match &self.0 {
            Way::Udp(udp) => udp.judge(send_one(udp.sockets.rtcp.as_fd(), &udp.rtcp, packet)),
            Way::Interleaved(transport, _) => {
                let _ = transport.send_rtcp(&gst::Buffer::from_mut_slice(packet.to_vec()));
            }
        }
    }
}

fn send_one(socket: BorrowedFd, to: &SockaddrStorage, packet: &[u8]) -> Result<(), Errno> {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    sendto(socket.as_raw_fd(), packet, to, flags).map(drop)
}
