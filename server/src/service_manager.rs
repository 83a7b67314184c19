// SPDX-License-Identifier: MIT OR Apache-2.0
//! The interface to a service manager such as systemd: listening sockets that it passes, and messages
//! that the server is ready, alive or about to exit. Without a service manager, nothing happens.

use anyhow::{Context, Result};
use listenfd::ListenFd;
use sd_notify::NotifyState;
use std::net::TcpListener;
use std::time::Duration;

/// The number of the first file descriptor that a service manager passes (sd_listen_fds(3)).
const FIRST_DESCRIPTOR: usize = 3;

/// The listening sockets that the service manager has passed, with the numbers of their descriptors.
#[derive(Debug, Default)]
pub struct Sockets(Vec<(usize, TcpListener)>);

impl Sockets {
    /// Takes the sockets. Must be called before the process has other threads, since it removes
    /// variables from the environment.
    ///
    /// # Errors
    /// If a descriptor is not a listening TCP socket.
    pub fn take() -> Result<Self> {
        let mut passed = ListenFd::from_env();
        let mut sockets = Vec::new();
        for index in 0..passed.len() {
            let number = FIRST_DESCRIPTOR + index;
            let socket = passed.take_tcp_listener(index).with_context(|| {
                format!(
                    "file descriptor {number} of the service manager (LISTEN_FDS) is not a listening \
                     TCP socket"
                )
            })?;
            sockets.extend(socket.map(|socket| (number, socket)));
        }
        Ok(Self(sockets))
    }

    /// Logs the sockets, and returns them.
    pub(crate) fn into_listeners(self) -> Vec<TcpListener> {
        for (descriptor, socket) in &self.0 {
            if let Ok(address) = socket.local_addr() {
                tracing::info!(descriptor, %address, "socket of the service manager used instead of listen");
            }
        }
        self.0.into_iter().map(|(_, socket)| socket).collect()
    }
}

/// Reports that connections are accepted.
pub(crate) fn ready() {
    notify(&[NotifyState::Ready]);
}

/// Reports that the configuration is being read again. [`ready`] reports the end of that.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!("cannot read the monotonic clock: {error}"),
    }
}

/// Reports that the server is about to exit.
pub(crate) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Reports that the server is alive.
pub(crate) fn alive() {
    notify(&[NotifyState::Watchdog]);
}

/// The time within which the server must report to the service manager that it is alive; `None` if no
/// reports are requested.
pub(crate) fn watchdog_time() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

fn notify(state: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!("cannot send a message to the service manager: {error}");
    }
}
