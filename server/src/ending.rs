// SPDX-License-Identifier: MIT OR Apache-2.0
//! Announces the server's exit to all connections.

use tokio::sync::watch;

/// Announces the exit of the server. Dropping it announces it too.
#[derive(Debug)]
pub struct EndingSender(watch::Sender<bool>);

/// Waits for the exit of the server.
#[derive(Debug, Clone)]
pub struct Ending(watch::Receiver<bool>);

/// The two ends of an announcement.
pub fn channel() -> (EndingSender, Ending) {
    let (sender, receiver) = watch::channel(false);
    (EndingSender(sender), Ending(receiver))
}

impl EndingSender {
    /// Announces the exit.
    pub fn announce(&self) {
        self.0.send_replace(true);
    }
}

impl Ending {
    /// Waits until the server exits.
    pub async fn announced(mut self) {
        // An error means that the sender has been dropped.
        let _ = self.0.wait_for(|ending| *ending).await;
    }
}
