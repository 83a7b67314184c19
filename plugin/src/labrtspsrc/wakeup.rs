// SPDX-License-Identifier: MIT OR Apache-2.0
//! Waits for a socket and for a wake-up from another thread at the same time.

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

/// Ends the wait of the single thread that uses it.
///
/// A wake-up before the wait ends that wait at once, so no wake-up is lost between a check of the
/// shared state and the wait for its next change.
#[derive(Debug)]
pub(super) struct WakeUp(OwnedFd);

impl WakeUp {
    pub fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?))
    }

    /// Ends the current wait or the next one.
    pub fn wake(&self) {
        // It fails only if 2^64 - 2 wake-ups are pending, one of which is enough.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    /// Waits until `socket` can be read or has been closed, for a wake-up, or until `deadline`.
    /// Returns whether `socket` can be read.
    pub fn wait(
        &self,
        socket: Option<BorrowedFd<'_>>,
        deadline: Option<Instant>,
    ) -> io::Result<bool> {
        let wake_up = PollFd::from_borrowed_fd(self.0.as_fd(), PollFlags::IN);
        let socket = socket.map(|socket| PollFd::from_borrowed_fd(socket, PollFlags::IN));
        let mut sources: Vec<PollFd<'_>> = std::iter::once(wake_up).chain(socket).collect();
        loop {
            let rest = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let limit = rest.and_then(|rest| Timespec::try_from(rest).ok());
            match poll(&mut sources, limit.as_ref()) {
                Ok(_) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // Reading resets it; without a wake-up there is nothing to read.
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
        Ok(sources.get(1).is_some_and(|socket| !socket.revents().is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::time::Duration;

    #[test]
    fn a_wait_ends_for_each_of_its_reasons() {
        let wake_up = WakeUp::new().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let never = Instant::now() + Duration::from_mins(1);
        // A wake-up before the wait.
        wake_up.wake();
        wake_up.wake();
        assert!(!wake_up.wait(Some(socket.as_fd()), Some(never)).unwrap());
        // It has been reset, so the deadline ends the next wait.
        assert!(!wake_up.wait(None, Some(Instant::now())).unwrap());
        // A datagram.
        socket.send_to(b"x", socket.local_addr().unwrap()).unwrap();
        assert!(wake_up.wait(Some(socket.as_fd()), Some(never)).unwrap());
        // A wake-up from another thread.
        std::thread::scope(|scope| {
            scope.spawn(|| wake_up.wake());
            assert!(!wake_up.wait(None, None).unwrap());
        });
    }
}
