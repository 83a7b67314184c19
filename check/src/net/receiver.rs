// SPDX-License-Identifier: MIT OR Apache-2.0
//! Receives RTP. The kernel stamps each datagram when it arrives, so that the times are right also on a
//! machine that is busy.

use crate::clock::Clock;
use crate::recording::Packet;
use nix::sys::socket::sockopt::{RcvBuf, ReceiveTimestampns, RxqOvfl};
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrLike, SockaddrStorage, recvmsg, setsockopt,
};
use nix::sys::time::TimeSpec;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

/// The number of packets that are kept.
const MAX_PACKETS: usize = 20_000;

/// The number of bytes of whole packets that are kept. Of later ones, only the header is.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// The bytes that are kept of each later packet.
const HEADER: usize = 64;

/// The receive buffer that is asked for, in bytes; the system may give less.
const BUFFER: usize = 4 * 1024 * 1024;

/// How long a receiver waits before it looks whether it should end.
const STEP: Duration = Duration::from_millis(50);

/// What has been received.
#[derive(Debug, Default)]
struct Received {
    packets: Vec<Packet>,
    bytes: usize,
    discarded: u64,
    /// What the kernel dropped, for each port.
    dropped: Vec<u32>,
}

#[derive(Debug, Default)]
struct Shared {
    received: Mutex<Received>,
    arrived: Condvar,
    end: AtomicBool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ports that receive packets from one host. They close when this is dropped.
#[derive(Debug)]
pub struct Receivers {
    shared: Arc<Shared>,
    clock: Clock,
    /// The host whose packets count.
    from: IpAddr,
    /// The address to listen at.
    local: IpAddr,
    ports: Vec<u16>,
    threads: Vec<JoinHandle<()>>,
}

impl Receivers {
    /// Receives what comes from one host at one of our addresses.
    pub fn new(clock: Clock, from: IpAddr, local: IpAddr) -> Self {
        Self {
            shared: Arc::default(),
            clock,
            from: from.to_canonical(),
            local,
            ports: Vec::new(),
            threads: Vec::new(),
        }
    }

    /// Opens a port, 0 for a free one; returns its number among our ports and the port itself.
    ///
    /// # Errors
    /// If the port is taken.
    pub fn open(&mut self, port: u16) -> io::Result<(usize, u16)> {
        let socket = UdpSocket::bind(SocketAddr::new(self.local, port))?;
        let port = socket.local_addr()?.port();
        socket.set_read_timeout(Some(STEP))?;
        setsockopt(&socket, ReceiveTimestampns, &true)?;
        setsockopt(&socket, RxqOvfl, &1)?;
        // The system may allow less.
        let _ = setsockopt(&socket, RcvBuf, &BUFFER);
        let number = self.ports.len();
        let (shared, clock, from) = (self.shared.clone(), self.clock, self.from);
        shared.lock().dropped.push(0);
        let receive = move || {
            while !shared.end.load(Ordering::Relaxed) {
                if let Some(datagram) = receive(&socket, MsgFlags::empty()) {
                    accept(&shared, datagram, (number, from, clock));
                }
            }
            // On a busy machine, packets that have arrived are still in the socket. Bounded: a server may never
            // stop sending.
            for _ in 0..MAX_PACKETS {
                let Some(datagram) = receive(&socket, MsgFlags::MSG_DONTWAIT) else { return };
                accept(&shared, datagram, (number, from, clock));
            }
        };
        self.threads.push(std::thread::Builder::new().name("rtp".to_owned()).spawn(receive)?);
        self.ports.push(port);
        Ok((number, port))
    }

    /// Waits until `enough` is true of the number of packets at a port. Returns whether it became so.
    pub fn wait(&self, port: usize, limit: Instant, enough: impl Fn(usize) -> bool) -> bool {
        let mut received = self.shared.lock();
        let (mut seen, mut count) = (0, 0);
        loop {
            let fresh = received.packets.get(seen..).unwrap_or_default();
            count += fresh.iter().filter(|packet| packet.port == port).count();
            seen = received.packets.len();
            if enough(count) {
                return true;
            }
            let left = limit.saturating_duration_since(Instant::now());
            if left.is_zero() || received.discarded > 0 {
                return false;
            }
            let waited = self.shared.arrived.wait_timeout(received, left.min(STEP));
            received = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The number of packets at a port so far.
    pub fn count(&self, port: usize) -> usize {
        self.shared.lock().packets.iter().filter(|packet| packet.port == port).count()
    }

    /// The time of the last packet at a port.
    pub fn last(&self, port: usize) -> Option<Duration> {
        self.shared.lock().packets.iter().rev().find(|it| it.port == port).map(|it| it.at)
    }

    /// Whether packets were not kept, since there are too many.
    pub fn is_full(&self) -> bool {
        self.shared.lock().discarded > 0
    }

    /// Closes all ports; returns all packets that have arrived, in the order of their times, the number of packets
    /// that were not kept, and the number that the kernel dropped.
    pub fn finish(mut self) -> (Vec<Packet>, u64, u32) {
        self.shared.end.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // What a thread that failed has received is kept.
            let _ = thread.join();
        }
        let received = std::mem::take(&mut *self.shared.lock());
        let mut packets = received.packets;
        packets.sort_by_key(|packet| packet.at);
        (packets, received.discarded, received.dropped.iter().sum())
    }
}

impl Drop for Receivers {
    fn drop(&mut self) {
        self.shared.end.store(true, Ordering::Relaxed);
    }
}

struct Datagram {
    bytes: Vec<u8>,
    from: Option<IpAddr>,
    at: SystemTime,
    dropped: Option<u32>,
}

/// Waits for a datagram, for at most [`STEP`], or not at all, as the flags say.
fn receive(socket: &UdpSocket, flags: MsgFlags) -> Option<Datagram> {
    let mut bytes = vec![0; 65_536];
    let mut space = nix::cmsg_space!(TimeSpec, u32);
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let descriptor = socket.as_raw_fd();
    let message = recvmsg::<SockaddrStorage>(descriptor, &mut parts, Some(&mut space), flags);
    let message = message.ok()?;
    let (mut at, mut dropped) = (SystemTime::now(), None);
    for control in message.cmsgs().ok()? {
        match control {
            ControlMessageOwned::ScmTimestampns(time) => {
                at = SystemTime::UNIX_EPOCH + Duration::from(time);
            }
            ControlMessageOwned::RxqOvfl(count) => dropped = Some(count),
            _ => {}
        }
    }
    let from = message.address.as_ref().and_then(address);
    let length = message.bytes;
    bytes.truncate(length);
    Some(Datagram { bytes, from, at, dropped })
}

fn address(address: &SockaddrStorage) -> Option<IpAddr> {
    address.family()?;
    let v4 = address.as_sockaddr_in().map(|it| IpAddr::V4(it.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|it| IpAddr::V6(it.ip()).to_canonical()))
}

fn accept(shared: &Shared, datagram: Datagram, port: (usize, IpAddr, Clock)) {
    let (port, from, clock) = port;
    if datagram.from != Some(from) {
        return;
    }
    let mut received = shared.lock();
    if let (Some(dropped), Some(count)) = (datagram.dropped, received.dropped.get_mut(port)) {
        *count = dropped;
    }
    if received.packets.len() >= MAX_PACKETS {
        received.discarded += 1;
    } else {
        let length = datagram.bytes.len();
        let mut bytes = datagram.bytes;
        if received.bytes.saturating_add(length) > MAX_BYTES {
            bytes.truncate(HEADER);
        }
        bytes.shrink_to_fit();
        received.bytes += bytes.len();
        received.packets.push(Packet { at: clock.of(datagram.at), port, bytes, length });
    }
    shared.arrived.notify_all();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_arrived_is_kept_at_the_end() {
        let host = IpAddr::from([127, 0, 0, 1]);
        let mut receivers = Receivers::new(Clock::start(), host, host);
        let ports = [receivers.open(0).unwrap().1, receivers.open(0).unwrap().1];
        let sender = UdpSocket::bind((host, 0)).unwrap();
        for number in 0..100_u8 {
            for port in ports {
                sender.send_to(&[0x80, number], (host, port)).unwrap();
            }
        }
        let (packets, discarded, dropped) = receivers.finish();
        assert_eq!((packets.len(), discarded, dropped), (200, 0, 0));
    }
}
