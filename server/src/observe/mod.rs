// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lets people see what the server does: its sessions, the exchange with clients, and metrics. Exists only
//! if the server serves HTTP; without it, nothing is recorded.
//!
//! - [`sessions`]: all sessions, and what is known of each.
//! - [`exchange`]: the last events, and readers that follow them. [`event`] writes an event with its
//!   explanations.
//! - [`metrics`]: numbers for Prometheus, with [`totals`], [`histogram`] and [`exposition`].
//!
//! Locks: the registry, then one session, then the exchange. Nothing waits and no system call is made with one
//! of them.

pub(crate) mod event;
pub(crate) mod exchange;
pub(crate) mod exposition;
pub(crate) mod histogram;
pub(crate) mod metrics;
pub(crate) mod sessions;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod time;
pub(crate) mod totals;

use crate::catalog::SharedCatalog;
use crate::connection::limits::OpenConnections;
use crate::limit_log::LimitLog;
use crate::viewers::Viewers;
use event::Kind;
use exchange::Exchange;
use metrics::Metrics;
use sessions::{NewMedia, NewSession, ObservedSession, SessionGuard};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Instant, SystemTime};
use totals::Totals;

/// What is read for the metrics.
#[derive(Debug)]
pub(crate) struct Sources {
    /// The open connections.
    pub open: OpenConnections,
    /// The viewers of all languages.
    pub viewers: Viewers,
    /// What was refused or dropped.
    pub limit_log: Arc<LimitLog>,
    /// The movies.
    pub catalog: SharedCatalog,
}

/// What people can see of the server.
#[derive(Debug)]
pub(crate) struct Observatory {
    /// When the server has started.
    pub started: SystemTime,
    /// All sessions.
    pub registry: Registry,
    /// The last events of all sessions.
    pub exchange: Exchange,
    /// Numbers for Prometheus.
    pub metrics: Arc<Metrics>,
    sources: OnceLock<Sources>,
}

impl Observatory {
    /// An observatory without sessions.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            started: SystemTime::now(),
            registry: Registry::default(),
            exchange: Exchange::default(),
            metrics: Arc::default(),
            sources: OnceLock::new(),
        })
    }

    /// Sets what is read for the metrics.
    pub fn set_sources(&self, sources: Sources) {
        let _ = self.sources.set(sources);
    }

    /// Adds a session: a connection has begun to speak.
    pub fn begin(self: &Arc<Self>, new: NewSession) -> Arc<ObservedSession> {
        self.begin_with_mount(new, None)
    }

    fn begin_with_mount(
        self: &Arc<Self>,
        new: NewSession,
        mount: Option<Arc<str>>,
    ) -> Arc<ObservedSession> {
        let (peer, dialect) = (new.peer, new.dialect);
        let session = self.registry.add(|id| ObservedSession::new(id, new, Arc::downgrade(self)));
        self.exchange.record(session.id, dialect, Kind::Session { peer, mount });
        session
    }

    /// Adds a session of HTTP that plays a movie, which was requested at an instant. The caller counts its
    /// frames in `media.counts`, and drops the guard at the end. `close` is called when an operator ends the session.
    pub fn begin_http(
        self: &Arc<Self>,
        new: NewSession,
        media: NewMedia,
        requested: Instant,
        close: impl Fn() + Send + Sync + 'static,
    ) -> SessionGuard {
        let mount = media.mount.trim_matches('/').into();
        let session = SessionGuard(self.begin_with_mount(new, Some(mount)));
        session.set_closer(close);
        session.open_media(media);
        session.play_starts(requested);
        session
    }

    /// Samples what was sent, from which rates follow. Must be called each second.
    pub fn sample(&self) {
        for session in self.registry.all() {
            session.sample();
        }
    }
}

/// The sessions that have not ended, and what was sent in those that have.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    sessions: BTreeMap<u64, Arc<ObservedSession>>,
    newest: u64,
    totals: Totals,
}

/// The totals, while they are locked.
struct LockedTotals<'a>(MutexGuard<'a, Entries>);

impl std::ops::Deref for LockedTotals<'_> {
    type Target = Totals;

    fn deref(&self) -> &Totals {
        &self.0.totals
    }
}

impl std::ops::DerefMut for LockedTotals<'_> {
    fn deref_mut(&mut self) -> &mut Totals {
        &mut self.0.totals
    }
}

impl Registry {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn totals(&self) -> LockedTotals<'_> {
        LockedTotals(self.entries())
    }

    fn add(&self, make: impl FnOnce(u64) -> ObservedSession) -> Arc<ObservedSession> {
        let mut entries = self.entries();
        entries.newest += 1;
        let session = Arc::new(make(entries.newest));
        entries.sessions.insert(session.id, session.clone());
        session
    }

    fn remove(&self, id: u64) {
        // The lock is released before the session is dropped.
        let _session = self.entries().sessions.remove(&id);
    }

    /// The number of sessions.
    pub fn count(&self) -> usize {
        self.entries().sessions.len()
    }

    /// All sessions, the oldest first.
    pub fn all(&self) -> Vec<Arc<ObservedSession>> {
        self.entries().sessions.values().cloned().collect()
    }

    /// The session with a number.
    pub fn get(&self, id: u64) -> Option<Arc<ObservedSession>> {
        self.entries().sessions.get(&id).cloned()
    }

    /// What was sent in all sessions, also in those that go on.
    fn current_totals(&self) -> Totals {
        let entries = self.entries();
        let mut totals = entries.totals.clone();
        for session in entries.sessions.values() {
            if let Some((class, slot, counted)) = session.counted() {
                totals.add(class, &slot, counted);
            }
        }
        totals
    }
}
