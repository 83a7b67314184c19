// SPDX-License-Identifier: MIT OR Apache-2.0
//! A viewer of a stream over HTTP.

use crate::access::users::User;
use crate::connection::outbox::{Outbox, SendOutcome};
use crate::mount::Mount;
use crate::send::counts::{SendCounts, SentFrame};
use std::collections::HashMap;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::sync::Notify;

/// A viewer of a stream.
pub(crate) struct Viewer {
    /// The client.
    pub peer: SocketAddr,
    /// The movie.
    pub mount: Arc<Mount>,
    /// The user who watches, if the movie needs a login.
    pub user: Option<Arc<User>>,
    /// Sends in the connection.
    pub outbox: Arc<Outbox>,
    /// The frames that were sent.
    pub counts: Arc<SendCounts>,
    /// The frames that were skipped, since the viewer had not received the one before them.
    skipped: AtomicU64,
    /// Why the stream has ended.
    reason: OnceLock<&'static str>,
    ended: Notify,
}

impl Viewer {
    /// A viewer that has not been sent anything.
    pub fn new(
        peer: SocketAddr,
        mount: Arc<Mount>,
        user: Option<Arc<User>>,
        outbox: Arc<Outbox>,
    ) -> Arc<Self> {
        Arc::new(Self {
            peer,
            mount,
            user,
            outbox,
            counts: Arc::default(),
            skipped: AtomicU64::new(0),
            reason: OnceLock::new(),
            ended: Notify::new(),
        })
    }

    /// Sends a frame, unless bytes of the one before it are still queued. Returns whether it was sent.
    pub fn send(&self, parts: &[IoSlice], bytes: usize, number: u64) -> bool {
        let sent = self.outbox.try_send(parts, None) == SendOutcome::Accepted;
        if sent {
            let frame = SentFrame { number, packets: 0, bytes, sequence_number: 0 };
            self.counts.add_frame(frame, || None);
        } else {
            self.skipped.fetch_add(1, Ordering::Relaxed);
        }
        sent
    }

    /// The number of frames that were skipped.
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// Ends the stream. The first reason is logged.
    pub fn end(&self, reason: &'static str) {
        let _ = self.reason.set(reason);
        self.ended.notify_one();
    }

    /// Waits until the stream has ended. Returns why.
    pub async fn ended(&self) -> &'static str {
        loop {
            if let Some(reason) = self.reason.get() {
                return reason;
            }
            self.ended.notified().await;
        }
    }
}

/// The viewers of all streams over HTTP.
#[derive(Default)]
pub(super) struct Viewers(Mutex<(u64, HashMap<u64, Arc<Viewer>>)>);

impl Viewers {
    fn lock(&self) -> MutexGuard<'_, (u64, HashMap<u64, Arc<Viewer>>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a viewer. Returns its key.
    pub fn add(&self, viewer: Arc<Viewer>) -> u64 {
        let (last, viewers) = &mut *self.lock();
        *last += 1;
        viewers.insert(*last, viewer);
        *last
    }

    /// Removes a viewer.
    pub fn remove(&self, key: u64) {
        self.lock().1.remove(&key);
    }

    /// Ends the streams of the viewers for which `reason` returns why.
    pub fn end_if(&self, reason: impl Fn(&Viewer) -> Option<&'static str>) {
        let viewers: Vec<_> = self.lock().1.values().cloned().collect();
        for viewer in viewers {
            if let Some(reason) = reason(&viewer) {
                viewer.end(reason);
            }
        }
    }
}
