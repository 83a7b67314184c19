// SPDX-License-Identifier: MIT OR Apache-2.0
//! RTP in datagrams to many addresses, taken by one socket that has the port at all of them.

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

/// Bytes that the kernel keeps for us.
const ROOM: usize = 256 << 20;

/// Datagrams taken at once.
const AT_ONCE: usize = 64;

/// The port's socket, and the one after it for RTCP, which is not read.
pub(crate) struct Receiver {
    socket: UdpSocket,
    _rtcp: UdpSocket,
    rooms: Vec<Vec<u8>>,
}

impl Receiver {
    pub fn bind(uncut: bool) -> Result<Self> {
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
            setsockopt(&socket, sockopt::UdpGroSegment, &uncut)?;
            // More than others may have; without the right to it, as much as is given.
            if setsockopt(&socket, sockopt::RcvBufForce, &ROOM).is_err() {
                let _ = setsockopt(&socket, sockopt::RcvBuf, &ROOM);
            }
            let rooms = vec![vec![0; 65_536]; AT_ONCE];
            return Ok(Self { socket, _rtcp: rtcp, rooms });
        }
        anyhow::bail!("no two ports in a row")
    }

    pub fn port(&self) -> u16 {
        self.socket.local_addr().map_or(0, |address| address.port())
    }

    /// Takes what has come; waits a moment for it.
    pub fn receive(&mut self, tally: &Mutex<Tally>) -> Result<()> {
        let found = self.take()?;
        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        for (room, (which, at, bytes, length)) in self.rooms.iter().zip(found) {
            for packet in room.get(..bytes).unwrap_or_default().chunks(length.max(1)) {
                tally.packet(which, packet, at);
            }
        }
        Ok(())
    }

    /// What has come: for each its viewer, its time, its bytes, and those of each packet in it.
    fn take(&mut self) -> Result<Vec<(usize, Duration, usize, usize)>> {
        let space = cmsg_space!(nix::libc::in_pktinfo, TimeSpec, i32);
        let mut headers = MultiHeaders::<SockaddrIn>::preallocate(AT_ONCE, Some(space));
        let mut slices: Vec<[IoSliceMut; 1]> =
            self.rooms.iter_mut().map(|room| [IoSliceMut::new(room)]).collect();
        let flags = MsgFlags::MSG_DONTWAIT;
        let got = recvmmsg(self.socket.as_raw_fd(), &mut headers, slices.iter_mut(), flags, None);
        let messages = match got {
            Ok(messages) => messages,
            Err(Errno::EAGAIN) => {
                std::thread::sleep(PAUSE);
                return Ok(Vec::new());
            }
            Err(error) => return Err(error.into()),
        };
        let mut found = Vec::with_capacity(AT_ONCE);
        for message in messages {
            let (mut to, mut at, mut length) = (None, Duration::ZERO, message.bytes);
            for control in message.cmsgs()? {
                match control {
                    ControlMessageOwned::Ipv4PacketInfo(info) => {
                        to = Some(Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr)));
                    }
                    ControlMessageOwned::ScmTimestampns(time) => at = time.into(),
                    ControlMessageOwned::UdpGroSegments(size) => {
                        length = usize::try_from(size)?;
                    }
                    _ => {}
                }
            }
            let which = to.and_then(viewer_at).context("no address")?;
            found.push((which, at, message.bytes, length));
        }
        Ok(found)
    }
}
