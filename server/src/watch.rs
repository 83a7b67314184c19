// SPDX-License-Identifier: MIT OR Apache-2.0
//! Watches the folders of movies for changes.

use crate::server::Event;
use notify::event::{AccessKind, AccessMode};
use notify::{Config, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;

/// The time between two searches in folders whose file system reports no changes.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// File systems that do not report what other hosts change: AFS, 9P, Ceph, CIFS, FUSE, NFS, SMB, SMB2
/// (statfs(2)).
const SILENT_FILE_SYSTEMS: [i64; 8] =
    [0x5346_414f, 0x0102_1997, 0x00c3_6400, 0xff53_4d42, 0x6573_5546, 0x6969, 0x517b, 0xfe53_4d42];

/// Reports changes to the main thread: once, until it has started to search.
#[derive(Debug, Clone)]
pub(crate) struct ChangeSender {
    events: Sender<Event>,
    reported: Arc<AtomicBool>,
}

impl ChangeSender {
    /// Reports to the receiver of the events.
    pub fn new(events: Sender<Event>) -> Self {
        Self { events, reported: Arc::default() }
    }

    /// Reports a change, unless one has been reported that is not searched for yet.
    pub fn report(&self) {
        if !self.reported.swap(true, Ordering::AcqRel) {
            // The receiver is gone only if the server exits.
            let _ = self.events.send(Event::FoldersChanged);
        }
    }

    /// The main thread starts to search: later changes must be reported again.
    pub fn clear(&self) {
        self.reported.store(false, Ordering::Release);
    }
}

/// Watches folders until it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    _watcher: Option<RecommendedWatcher>,
    /// Dropping it ends the thread that polls.
    _poll: Option<Sender<()>>,
}

impl Watch {
    /// Watches folders with their subfolders. A folder that cannot be watched, or whose file system
    /// reports no changes, is searched regularly.
    pub fn start(folders: &[PathBuf], changes: &ChangeSender) -> Self {
        if folders.is_empty() {
            return Self::default();
        }
        let (mut watcher, mut must_poll) = (None, false);
        for folder in folders {
            must_poll |= is_silent(folder) || !watch(&mut watcher, folder, changes);
        }
        let poll = must_poll.then(|| poll(changes.clone())).flatten();
        Self { _watcher: watcher, _poll: poll }
    }
}

/// Adds a folder to a watcher, which is created if needed. Returns whether that succeeded.
fn watch(watcher: &mut Option<RecommendedWatcher>, folder: &Path, changes: &ChangeSender) -> bool {
    let result = (|| {
        let watcher = match watcher {
            Some(watcher) => watcher,
            None => watcher.insert(new_watcher(changes.clone())?),
        };
        watcher.watch(folder, RecursiveMode::Recursive)
    })();
    if let Err(error) = &result {
        let folder = folder.display();
        tracing::warn!(%folder, "cannot watch the folder, it is searched every second: {error}");
    }
    result.is_ok()
}

fn new_watcher(changes: ChangeSender) -> notify::Result<RecommendedWatcher> {
    let handler = move |event: notify::Result<notify::Event>| {
        // Reading a movie is not a change. After an error, something may have been missed.
        let is_read = |event: &notify::Event| matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write));
        if !event.as_ref().is_ok_and(is_read) {
            changes.report();
        }
    };
    // Links to folders are followed when movies are searched for, if they lead to a watched folder.
    RecommendedWatcher::new(handler, Config::default().with_follow_symlinks(false))
}

/// Whether the file system of a folder does not report all changes.
fn is_silent(folder: &Path) -> bool {
    nix::sys::statfs::statfs(folder).is_ok_and(|status| {
        SILENT_FILE_SYSTEMS.contains(&(status.filesystem_type().0 & 0xffff_ffff))
    })
}

/// Starts a thread that reports a change regularly, until the sender is dropped.
fn poll(changes: ChangeSender) -> Option<Sender<()>> {
    let (sender, dropped) = mpsc::channel();
    let thread = std::thread::Builder::new().name("poll".to_owned()).spawn(move || {
        while dropped.recv_timeout(POLL_INTERVAL) == Err(RecvTimeoutError::Timeout) {
            changes.report();
        }
    });
    thread.inspect_err(|error| tracing::error!("cannot start a thread: {error}")).ok()?;
    Some(sender)
}
