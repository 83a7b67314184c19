// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a frame's packets get to one viewer.

use super::media::Sockets;
use crate::connection::outbox::{Drained, Outbox, Sent};
use crate::udp::{Datagrams, Offload};
use gstmjpegfile::rtp::{FIXED_LEN, JpegPayloads};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, SockaddrStorage, sendto};
use std::io::IoSlice;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// In datagrams.
struct Udp {
    sockets: Arc<Sockets>,
    rtp: SockaddrStorage,
    rtcp: SockaddrStorage,
    offload: Offload,
    /// A packet was not sent, and the log has said so.
    failed: AtomicBool,
}

impl Udp {
    fn report(&self, sent: Result<(), Errno>) {
        if let Err(error) = sent
            && !self.failed.swap(true, Ordering::Relaxed)
        {
            let to = &self.rtp;
            tracing::warn!(%to, "packet not sent (further failures are not logged): {error}");
        }
    }
}

/// In the RTSP connection (RFC 2326 section 10.12).
struct Interleaved {
    outbox: Arc<Outbox>,
    rtp: u8,
    rtcp: u8,
    /// The connection has taken something since this was last looked at.
    taken: AtomicBool,
}

enum Carrier {
    Udp(Box<Udp>),
    Interleaved(Interleaved),
}

/// The way to one viewer.
pub(super) struct Delivery(Carrier);

impl Delivery {
    /// In datagrams to two ports of a host.
    pub fn udp(sockets: Arc<Sockets>, ip: IpAddr, ports: (u16, u16), offload: bool) -> Self {
        let to = |port| SockaddrStorage::from(SocketAddr::new(ip, port));
        let (rtp, rtcp) = (to(ports.0), to(ports.1));
        let (offload, failed) = (Offload::new(offload), AtomicBool::new(false));
        Self(Carrier::Udp(Box::new(Udp { sockets, rtp, rtcp, offload, failed })))
    }

    /// In a connection, on two channels.
    pub fn interleaved(outbox: Arc<Outbox>, (rtp, rtcp): (u8, u8)) -> Self {
        Self(Carrier::Interleaved(Interleaved { outbox, rtp, rtcp, taken: AtomicBool::new(false) }))
    }

    /// Sends a frame: each payload after its header. If a connection still has to send what came
    /// before, the frame is not sent; what `resume` gives is called once it can be.
    pub fn send(
        &self,
        datagrams: &Datagrams,
        headers: &[[u8; FIXED_LEN]],
        payloads: &JpegPayloads,
        resume: Option<&dyn Fn() -> Drained>,
    ) -> Sent {
        match &self.0 {
            Carrier::Udp(udp) => {
                let sent = datagrams.send(udp.sockets.rtp.as_fd(), &udp.rtp, &udp.offload);
                udp.report(sent);
                Sent::Done
            }
            Carrier::Interleaved(connection) => {
                let framed = headers.iter().zip(payloads);
                let framed: Vec<[u8; 4]> = framed
                    .map(|(header, payload)| {
                        frame_header(connection.rtp, header.len() + payload.len())
                    })
                    .collect();
                let parts = framed.iter().zip(headers).zip(payloads);
                let parts: Vec<IoSlice> = parts
                    .flat_map(|((framed, header), payload)| {
                        [IoSlice::new(framed), IoSlice::new(header), IoSlice::new(payload)]
                    })
                    .collect();
                let sent = connection.outbox.try_send(&parts, resume);
                if sent == Sent::Done {
                    connection.taken.store(true, Ordering::Relaxed);
                }
                sent
            }
        }
    }

    /// Sends an RTCP packet.
    pub fn report(&self, packet: &[u8]) {
        match &self.0 {
            Carrier::Udp(udp) => {
                udp.report(send_one(udp.sockets.rtcp.as_fd(), &udp.rtcp, packet));
            }
            Carrier::Interleaved(connection) => {
                let framed = frame_header(connection.rtcp, packet.len());
                connection.outbox.send(&[&framed, packet].concat());
            }
        }
    }

    /// Whether a connection has taken anything since the last call: its viewer is alive.
    pub fn was_taken(&self) -> bool {
        match &self.0 {
            // What becomes of datagrams is reported by RTCP.
            Carrier::Udp(_) => false,
            Carrier::Interleaved(connection) => connection.taken.swap(false, Ordering::Relaxed),
        }
    }
}

/// What stands before an interleaved packet.
fn frame_header(channel: u8, length: usize) -> [u8; 4] {
    let [high, low] = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
    [b'$', channel, high, low]
}

fn send_one(socket: BorrowedFd, to: &SockaddrStorage, packet: &[u8]) -> Result<(), Errno> {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    sendto(socket.as_raw_fd(), packet, to, flags).map(drop)
}
