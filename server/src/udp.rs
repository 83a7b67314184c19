// SPDX-License-Identifier: MIT OR Apache-2.0
//! A frame's datagrams to one receiver, by as few system calls as the kernel allows: one `sendmsg`
//! with UDP segmentation offload (Linux 4.18, `UDP_SEGMENT`), else one `sendmmsg`. Header and
//! payload are gathered by the kernel.

use gstmjpegfile::rtp::{FIXED_LEN, JpegPayloads};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg, sendmsg,
};
use std::io::IoSlice;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// What the kernel cuts in one go: `UDP_MAX_SEGMENTS` of Linux before 6.9.
const SEGMENTS: usize = 64;

/// The longest UDP payload over IPv4.
const LONGEST: usize = 65_507;

/// How long the sending of all waits for room in a full send buffer, in milliseconds.
const ROOM: u8 = 2;

/// Whether a receiver's datagrams may be cut by the kernel. Once refused for what its way there
/// does not take, not again.
#[derive(Debug)]
pub(crate) struct Offload(AtomicBool);

impl Offload {
    pub fn new(wanted: bool) -> Self {
        Self(AtomicBool::new(wanted))
    }

    fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Whether the kernel's refusal is of the offload, not of the receiver: no such option, a
    /// segment longer than the device takes, or no checksums in hardware.
    fn refused(&self, error: Errno) -> bool {
        let refused = matches!(
            error,
            Errno::EINVAL | Errno::EIO | Errno::EMSGSIZE | Errno::EOPNOTSUPP | Errno::ENOPROTOOPT
        );
        if refused {
            self.0.store(false, Ordering::Relaxed);
        }
        refused
    }
}

/// A frame's datagrams, for any number of receivers.
#[derive(Debug)]
pub(crate) struct Datagrams<'a> {
    /// Header and payload of each in turn.
    parts: Vec<IoSlice<'a>>,
    /// Bytes of each datagram but the last.
    length: u16,
}

impl<'a> Datagrams<'a> {
    /// One datagram of each header and payload.
    pub fn new(headers: &'a [[u8; FIXED_LEN]], payloads: &'a JpegPayloads) -> Self {
        let both = headers.iter().zip(payloads);
        let parts =
            both.flat_map(|(header, payload)| [IoSlice::new(header), IoSlice::new(payload)]);
        let length = u16::try_from(FIXED_LEN + payloads.length()).unwrap_or(u16::MAX);
        Self { parts: parts.collect(), length }
    }

    /// Sends them.
    ///
    /// # Errors
    /// What the kernel says of this receiver; some of them may have been sent.
    pub fn send(
        &self,
        socket: BorrowedFd,
        to: &SockaddrStorage,
        offload: &Offload,
    ) -> Result<(), Errno> {
        let most = SEGMENTS.min(LONGEST / usize::from(self.length.max(1))).max(1);
        for parts in self.parts.chunks(2 * most) {
            if offload.is_on() && parts.len() > 2 {
                let cut = [ControlMessage::UdpGsoSegments(&self.length)];
                let sent = with_room(socket, || {
                    sendmsg(socket.as_raw_fd(), parts, &cut, flags(), Some(to)).map(drop)
                });
                match sent {
                    Ok(()) => continue,
                    Err(error) if offload.refused(error) => {
                        tracing::debug!("datagrams are sent without offload: {error}");
                    }
                    Err(error) => return Err(error),
                }
            }
            send_each(socket, parts, to)?;
        }
        Ok(())
    }
}

fn flags() -> MsgFlags {
    MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL
}

/// Tries again once there is room, for a moment: nobody's frames wait for long.
fn with_room<T>(
    socket: BorrowedFd,
    mut send: impl FnMut() -> Result<T, Errno>,
) -> Result<T, Errno> {
    match send() {
        Err(Errno::EAGAIN | Errno::ENOBUFS) => {
            let _ = poll(&mut [PollFd::new(socket, PollFlags::POLLOUT)], PollTimeout::from(ROOM));
            send()
        }
        sent => sent,
    }
}

/// Each datagram by itself, all in one call if the kernel takes them.
fn send_each(socket: BorrowedFd, parts: &[IoSlice], to: &SockaddrStorage) -> Result<(), Errno> {
    let datagrams: Vec<&[IoSlice]> = parts.chunks(2).collect();
    let mut begin = 0;
    while begin < datagrams.len() {
        let left = datagrams.get(begin..).unwrap_or_default();
        let to = vec![Some(*to); left.len()];
        let sent = with_room(socket, || {
            let mut headers = MultiHeaders::preallocate(left.len(), None);
            let sent = sendmmsg(socket.as_raw_fd(), &mut headers, left, &to, [], flags())?;
            Ok(sent.count())
        })?;
        begin += sent.max(1);
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use gstmjpegfile::jpeg::check;
    use gstmjpegfile::movie::EOI;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;
    use std::time::Duration;

    /// The payloads of an image of `bytes` bytes of scan, which is not decoded.
    fn payloads(bytes: usize) -> JpegPayloads {
        let mut jpeg = vec![0xff, 0xd8, 0xff, 0xdb, 0, 67, 0];
        jpeg.extend([1; 64]);
        jpeg.extend([0xff, 0xc0, 0, 17, 8, 0, 16, 0, 16, 3, 1, 0x22, 0, 2, 0x11, 0, 3, 0x11, 0]);
        jpeg.extend([0xff, 0xda, 0, 12, 3, 1, 0, 2, 0x11, 3, 0x11, 0, 63, 0]);
        jpeg.extend((0..bytes).map(|at| u8::try_from(at % 251).unwrap_or(0)));
        jpeg.extend(EOI);
        JpegPayloads::new(&check(&jpeg).unwrap(), 1400)
    }

    #[test]
    fn with_and_without_offload_the_same_datagrams_arrive() {
        // One datagram, a few, one over what is cut in one go, and the largest record.
        for bytes in [10, 4000, 65_000, 99_000] {
            let payloads = payloads(bytes);
            let count = payloads.iter().count();
            let headers: Vec<_> = (0..count).map(|at| [u8::try_from(at).unwrap(); 12]).collect();
            let want: Vec<Vec<u8>> =
                headers.iter().zip(&payloads).map(|(h, p)| [&h[..], p].concat()).collect();
            let datagrams = Datagrams::new(&headers, &payloads);
            for wanted in [true, false] {
                let to = UdpSocket::bind("127.0.0.1:0").unwrap();
                to.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                let address = SockaddrStorage::from(to.local_addr().unwrap());
                let from = UdpSocket::bind("127.0.0.1:0").unwrap();
                let offload = Offload::new(wanted);
                datagrams.send(from.as_fd(), &address, &offload).unwrap();
                let mut bytes = [0; 2000];
                let got: Vec<Vec<u8>> = (0..count)
                    .map(|_| {
                        let have = to.recv(&mut bytes).unwrap();
                        bytes.get(..have).unwrap().to_vec()
                    })
                    .collect();
                assert!(got == want, "{count} datagrams, offload {wanted}");
            }
        }
    }

    #[test]
    fn an_offload_that_is_refused_is_not_tried_again() {
        let rows = [(Errno::EINVAL, true), (Errno::EIO, true), (Errno::ENETUNREACH, false)];
        for (error, refused) in rows {
            let offload = Offload::new(true);
            assert_eq!((offload.refused(error), !offload.is_on()), (refused, refused), "{error}");
        }
    }
}
