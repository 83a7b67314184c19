// SPDX-License-Identifier: MIT OR Apache-2.0
//! Logs what is refused or dropped because of a limit: the first event of a kind at once, and the
//! number of further ones every 10 s. So a client that is refused a thousand times a second does not
//! fill the log.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The time between two lines on one kind.
const INTERVAL: Duration = Duration::from_secs(10);

/// The events of one kind since its last line in the log.
#[derive(Debug, PartialEq, Eq)]
struct KindCount {
    count: u64,
    since: Instant,
    last_peer: Option<SocketAddr>,
}

/// Counts events by kind.
#[derive(Debug, Default)]
pub struct LimitLog {
    /// The events since the last line in the log.
    recent: Mutex<BTreeMap<&'static str, KindCount>>,
    /// All events since the start.
    totals: Mutex<BTreeMap<&'static str, u64>>,
}

impl LimitLog {
    /// Logs or counts an event. `kind` says what was refused or dropped, and why.
    pub fn count(&self, kind: &'static str, peer: SocketAddr) {
        if self.is_first(kind, Some(peer), Instant::now()) {
            tracing::warn!(%peer, "{kind} (further ones are counted)");
        }
    }

    /// Logs or counts an event whose cause is an error.
    pub fn count_error(&self, kind: &'static str, peer: Option<SocketAddr>, error: &dyn Display) {
        if self.is_first(kind, peer, Instant::now()) {
            let peer = peer.map(tracing::field::display);
            tracing::warn!(peer, "{kind} (further ones are counted): {error}");
        }
    }

    /// Counts an event. Returns whether it is the first of its kind lately, which is to be logged.
    fn is_first(&self, kind: &'static str, peer: Option<SocketAddr>, now: Instant) -> bool {
        *self.locked_totals().entry(kind).or_default() += 1;
        let mut counts = self.locked_recent();
        if let Some(kind) = counts.get_mut(kind) {
            kind.count += 1;
            kind.last_peer = peer;
            return false;
        }
        counts.insert(kind, KindCount { count: 0, since: now, last_peer: peer });
        true
    }

    fn locked_recent(&self) -> MutexGuard<'_, BTreeMap<&'static str, KindCount>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn locked_totals(&self) -> MutexGuard<'_, BTreeMap<&'static str, u64>> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of events of each kind since the start.
    pub(crate) fn totals(&self) -> BTreeMap<&'static str, u64> {
        self.locked_totals().clone()
    }

    /// The kinds that have been counted lately.
    #[cfg(test)]
    pub(crate) fn kinds(&self) -> Vec<&'static str> {
        self.locked_recent().keys().copied().collect()
    }

    /// Logs the number of events of each kind that was last logged [`INTERVAL`] ago or longer. Must
    /// be called regularly.
    pub fn report(&self) {
        for (kind, KindCount { count, last_peer, .. }) in self.take_due(Instant::now(), INTERVAL) {
            let last_peer = last_peer.map(tracing::field::display);
            tracing::warn!(count, last_peer, "{kind}: more of these in {} s", INTERVAL.as_secs());
        }
    }

    /// Logs all events that have been counted and not logged, when the server exits.
    pub fn report_rest(&self) {
        for (kind, KindCount { count, last_peer, .. }) in
            self.take_due(Instant::now(), Duration::ZERO)
        {
            let last_peer = last_peer.map(tracing::field::display);
            tracing::warn!(count, last_peer, "{kind}: more of these before the exit");
        }
    }

    /// Takes the counts of kinds that were last logged `interval` ago or longer.
    fn take_due(&self, now: Instant, interval: Duration) -> Vec<(&'static str, KindCount)> {
        let mut counts = self.locked_recent();
        let mut due = Vec::new();
        counts.retain(|name, kind| {
            if now.saturating_duration_since(kind.since) < interval {
                return true;
            }
            // Without further events, the next one is a first one again.
            let goes_on = kind.count > 0;
            if goes_on {
                let next = KindCount { count: 0, since: now, last_peer: kind.last_peer };
                due.push((*name, std::mem::replace(kind, next)));
            }
            goes_on
        });
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_event_is_logged_and_further_ones_are_counted() {
        let log = LimitLog::default();
        let now = Instant::now();
        let peer = |port| Some(SocketAddr::from(([127, 0, 0, 1], port)));
        assert!(log.is_first("closed", peer(1), now));
        for port in 2..=6 {
            assert!(!log.is_first("closed", peer(port), now));
        }
        assert!(log.is_first("other", None, now));
        assert_eq!(log.take_due(now, INTERVAL), []);
        let closed = KindCount { count: 5, since: now, last_peer: peer(6) };
        assert_eq!(log.take_due(now + INTERVAL, INTERVAL), [("closed", closed)]);
        // There were no more: the next one is a first one again.
        assert_eq!(log.take_due(now + 2 * INTERVAL, INTERVAL), []);
        assert!(log.is_first("closed", peer(7), now + 2 * INTERVAL));
        assert_eq!(log.totals(), [("closed", 7), ("other", 1)].into());
    }

    #[test]
    fn the_rest_is_reported_whenever_the_server_exits() {
        let log = LimitLog::default();
        let now = Instant::now();
        for _ in 0..3 {
            log.is_first("closed", None, now);
        }
        let closed = KindCount { count: 2, since: now, last_peer: None };
        assert_eq!(log.take_due(now, Duration::ZERO), [("closed", closed)]);
    }
}
