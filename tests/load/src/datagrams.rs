// SPDX-License-Identifier: MIT OR Apache-2.0
//! Receives the RTP datagrams of all viewers on one UDP socket, which has its port on all their
//! addresses.

use crate::interleaved::PAUSE;
use crate::session::viewer_at;
use crate::tally::Tally;
use anyhow::{Context, Result};
use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, setsockopt, sockopt,
};
use nix::sys::time::TimeSpec;
use std::io::IoSliceMut;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Size of the socket's receive buffer in bytes.
const RECEIVE_BUFFER: usize = 256 << 20;

/// Most datagrams read by one system call.
const MAX_DATAGRAMS: usize = 64;

/// A socket on an even port for RTP, and one on the next port for RTCP, which is not read.
pub(crate) struct Receiver {
    socket: UdpSocket,
    _rtcp: UdpSocket,
    buffers: Vec<Vec<u8>>,
}

/// A received datagram: with UDP generic receive offload, several packets in a row.
struct Datagram {
    viewer: usize,
    /// When the kernel received it.
    at: Duration,
    length: usize,
    /// Length of each packet in it, except that the last one may be shorter.
    packet_length: usize,
}

impl Receiver {
    /// Binds the two ports; `gro` turns UDP generic receive offload on.
    pub fn bind(gro: bool) -> Result<Self> {
        let any = Ipv4Addr::UNSPECIFIED;
        for _ in 0..100 {
            let socket = UdpSocket::bind((any, 0))?;
            let port = socket.local_addr()?.port();
            let Ok(rtcp) = UdpSocket::bind((any, port.wrapping_add(1))) else { continue };
            if port % 2 == 1 {
                continue;
            }
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
            setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
            setsockopt(&socket, sockopt::UdpGroSegment, &gro)?;
            // Only a privileged process may exceed the system's limit; others get what it allows.
            if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
                let _ = setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER);
            }
            let buffers = vec![vec![0; 65_536]; MAX_DATAGRAMS];
            return Ok(Self { socket, _rtcp: rtcp, buffers });
        }
        anyhow::bail!("no free pair of an even and the next UDP port found in 100 attempts")
    }

    pub fn port(&self) -> u16 {
        self.socket.local_addr().map_or(0, |address| address.port())
    }

    /// Counts the datagrams that have arrived; pauses briefly if there are none.
    pub fn receive(&mut self, tally: &Mutex<Tally>) -> Result<()> {
        let datagrams = self.read()?;
        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        for (buffer, datagram) in self.buffers.iter().zip(datagrams) {
            let bytes = buffer.get(..datagram.length).unwrap_or_default();
            for packet in bytes.chunks(datagram.packet_length.max(1)) {
                tally.add_packet(datagram.viewer, packet, datagram.at);
            }
        }
        Ok(())
    }

    /// Reads the datagrams that have arrived into the buffers, one datagram each.
    fn read(&mut self) -> Result<Vec<Datagram>> {
        let space = cmsg_space!(nix::libc::in_pktinfo, TimeSpec, i32);
        let mut headers = MultiHeaders::<SockaddrIn>::preallocate(MAX_DATAGRAMS, Some(space));
        let mut slices: Vec<[IoSliceMut; 1]> =
            self.buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
        let flags = MsgFlags::MSG_DONTWAIT;
        let result =
            recvmmsg(self.socket.as_raw_fd(), &mut headers, slices.iter_mut(), flags, None);
        let messages = match result {
            Ok(messages) => messages,
            Err(Errno::EAGAIN) => {
                std::thread::sleep(PAUSE);
                return Ok(Vec::new());
            }
            Err(error) => return Err(error.into()),
        };
        let mut datagrams = Vec::with_capacity(MAX_DATAGRAMS);
        for message in messages {
            let (mut to, mut at, mut packet_length) = (None, Duration::ZERO, message.bytes);
            for control in message.cmsgs()? {
                match control {
                    ControlMessageOwned::Ipv4PacketInfo(info) => {
                        to = Some(Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr)));
                    }
                    ControlMessageOwned::ScmTimestampns(time) => at = time.into(),
                    ControlMessageOwned::UdpGroSegments(size) => {
                        packet_length = usize::try_from(size)?;
                    }
                    _ => {}
                }
            }
            let viewer = to
                .and_then(viewer_at)
                .context("a datagram was not sent to an address of a viewer")?;
            datagrams.push(Datagram { viewer, at, length: message.bytes, packet_length });
        }
        Ok(datagrams)
    }
}
