// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sends the datagrams of a frame to one receiver with few system calls: one `sendmsg` with UDP
//! segmentation offload (`UDP_SEGMENT` of Linux 4.18), or else one `sendmmsg`. The kernel gathers
//! header and payload.

use gstmjpegfile::rtp::{FIXED_LEN, JpegPayloads};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg, sendmsg,
};
use std::io::IoSlice;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// Datagrams that the kernel splits off one message at most: `UDP_MAX_SEGMENTS` of Linux before 6.9.
const MAX_SEGMENTS: usize = 64;

/// The longest UDP payload over IPv4.
const MAX_UDP_PAYLOAD: usize = 65_507;

/// How long sending waits while the send buffer is full, in milliseconds. The frames of all other
/// viewers wait meanwhile.
const FULL_BUFFER_WAIT: u8 = 2;

/// Whether segmentation offload is used for a receiver. Switched off for good once the kernel refuses
/// it on the route to the receiver.
#[derive(Debug)]
pub(crate) struct Offload(AtomicBool);

impl Offload {
    pub fn new(on: bool) -> Self {
        Self(AtomicBool::new(on))
    }

    fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Switches the offload off if an error is about the offload and not about the receiver: no such
    /// option, a segment too long for the device, or no checksums in hardware. Returns whether it is.
    fn switch_off_if_refused(&self, error: Errno) -> bool {
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

/// The datagrams of a frame, for any number of receivers.
#[derive(Debug)]
pub(crate) struct Datagrams<'a> {
    /// The header and the payload of each datagram, in turn.
    parts: Vec<IoSlice<'a>>,
    /// The length of each datagram but the last, which may be shorter.
    length: u16,
}

impl<'a> Datagrams<'a> {
    /// One datagram for each header and payload.
    pub fn new(headers: &'a [[u8; FIXED_LEN]], payloads: &'a JpegPayloads) -> Self {
        let packets = headers.iter().zip(payloads);
        let parts =
            packets.flat_map(|(header, payload)| [IoSlice::new(header), IoSlice::new(payload)]);
        let length = u16::try_from(FIXED_LEN + payloads.length()).unwrap_or(u16::MAX);
        Self { parts: parts.collect(), length }
    }

    /// Sends the datagrams to a receiver.
    ///
    /// # Errors
    /// If the kernel refuses a datagram. Those before it may have been sent.
    pub fn send(
        &self,
        socket: BorrowedFd,
        to: &SockaddrStorage,
        offload: &Offload,
    ) -> Result<(), Errno> {
        let fitting = MAX_UDP_PAYLOAD / usize::from(self.length.max(1));
        let per_message = MAX_SEGMENTS.min(fitting).max(1);
        for parts in self.parts.chunks(2 * per_message) {
            if offload.is_on() && parts.len() > 2 {
                let control = [ControlMessage::UdpGsoSegments(&self.length)];
                let sent = retry_if_full(socket, || {
                    sendmsg(socket.as_raw_fd(), parts, &control, flags(), Some(to)).map(drop)
                });
                match sent {
                    Ok(()) => continue,
                    Err(error) if offload.switch_off_if_refused(error) => {
                        tracing::debug!(
                            "UDP segmentation offload refused, going on without: {error}"
                        );
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

/// Calls `send`, and if the send buffer is full, once more after a short wait.
fn retry_if_full<T>(
    socket: BorrowedFd,
    mut send: impl FnMut() -> Result<T, Errno>,
) -> Result<T, Errno> {
    match send() {
        Err(Errno::EAGAIN | Errno::ENOBUFS) => {
            let limit = PollTimeout::from(FULL_BUFFER_WAIT);
            let _ = poll(&mut [PollFd::new(socket, PollFlags::POLLOUT)], limit);
            send()
        }
        sent => sent,
    }
}

/// Sends datagrams that the kernel need not split, in one call if it accepts all of them.
fn send_each(socket: BorrowedFd, parts: &[IoSlice], to: &SockaddrStorage) -> Result<(), Errno> {
    let datagrams: Vec<&[IoSlice]> = parts.chunks(2).collect();
    let mut done = 0;
    while done < datagrams.len() {
        let left = datagrams.get(done..).unwrap_or_default();
        let to = vec![Some(*to); left.len()];
        let sent = retry_if_full(socket, || {
            let mut headers = MultiHeaders::preallocate(left.len(), None);
            let sent = sendmmsg(socket.as_raw_fd(), &mut headers, left, &to, [], flags())?;
            Ok(sent.count())
        })?;
        // The kernel sends at least one, or returns an error.
        done += sent.max(1);
    }
    Ok(())
}

/// The payloads of an image whose scan has `bytes` bytes. The scan cannot be decoded.
#[cfg(test)]
pub(crate) fn test_payloads(bytes: usize) -> JpegPayloads {
    let mut jpeg = vec![0xff, 0xd8, 0xff, 0xdb, 0, 67, 0];
    jpeg.extend([1; 64]);
    jpeg.extend([0xff, 0xc0, 0, 17, 8, 0, 16, 0, 16, 3, 1, 0x22, 0, 2, 0x11, 0, 3, 0x11, 0]);
    jpeg.extend([0xff, 0xda, 0, 12, 3, 1, 0, 2, 0x11, 3, 0x11, 0, 63, 0]);
    jpeg.extend((0..bytes).map(|at| u8::try_from(at % 251).unwrap_or(0)));
    jpeg.extend(gstmjpegfile::movie::EOI);
    JpegPayloads::new(&gstmjpegfile::jpeg::check(&jpeg).unwrap(), 1400)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;
    use std::time::Duration;

    #[test]
    fn the_same_datagrams_arrive_with_and_without_offload() {
        // One datagram, a few, one more than fit in a message, and those of the largest record.
        for bytes in [10, 4000, 65_000, 99_000] {
            let payloads = test_payloads(bytes);
            let count = payloads.iter().count();
            let headers: Vec<_> = (0..count).map(|at| [u8::try_from(at).unwrap(); 12]).collect();
            let want: Vec<Vec<u8>> =
                headers.iter().zip(&payloads).map(|(h, p)| [&h[..], p].concat()).collect();
            let datagrams = Datagrams::new(&headers, &payloads);
            for on in [true, false] {
                let to = UdpSocket::bind("127.0.0.1:0").unwrap();
                to.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                let address = SockaddrStorage::from(to.local_addr().unwrap());
                let from = UdpSocket::bind("127.0.0.1:0").unwrap();
                let offload = Offload::new(on);
                datagrams.send(from.as_fd(), &address, &offload).unwrap();
                let mut bytes = [0; 2000];
                let got: Vec<Vec<u8>> = (0..count)
                    .map(|_| {
                        let have = to.recv(&mut bytes).unwrap();
                        bytes.get(..have).unwrap().to_vec()
                    })
                    .collect();
                assert!(got == want, "{count} datagrams, offload {on}");
            }
        }
    }

    #[test]
    fn an_offload_that_the_kernel_refuses_is_switched_off() {
        let rows = [(Errno::EINVAL, true), (Errno::EIO, true), (Errno::ENETUNREACH, false)];
        for (error, refused) in rows {
            let offload = Offload::new(true);
            assert_eq!(offload.switch_off_if_refused(error), refused, "{error}");
            assert_eq!(offload.is_on(), !refused, "{error}");
        }
    }
}
