// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is refused for limits, in the log: the first of a kind at once, the others in sums, so that
//! whoever is refused a thousand times a second does not fill it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two sums of a kind.
const INTERVAL: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct Sum {
    count: u64,
    since: Instant,
    last: SocketAddr,
}

/// Sums of refusals by kind.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<BTreeMap<&'static str, Sum>>);

impl Refusals {
    /// Logs or counts one. `what` says what was refused and why.
    pub fn note(&self, what: &'static str, peer: SocketAddr) {
        if let Some(what) = self.first(what, peer, Instant::now()) {
            tracing::warn!(%peer, "{what} (more of this kind are counted)");
        }
    }

    /// Whether it is the first of its kind lately.
    fn first(&self, what: &'static str, peer: SocketAddr, now: Instant) -> Option<&'static str> {
        let mut sums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sum) = sums.get_mut(what) {
            sum.count += 1;
            sum.last = peer;
            return None;
        }
        sums.insert(what, Sum { count: 0, since: now, last: peer });
        Some(what)
    }

    /// Logs the sums that are due; called from time to time.
    pub fn report(&self) {
        for (what, Sum { count, last, .. }) in self.due(Instant::now()) {
            tracing::warn!(count, %last, "{what}, {} s long", INTERVAL.as_secs());
        }
    }

    fn due(&self, now: Instant) -> Vec<(&'static str, Sum)> {
        let mut sums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = Vec::new();
        sums.retain(|what, sum| {
            if now.saturating_duration_since(sum.since) < INTERVAL {
                return true;
            }
            // A kind that goes on is summed again; one that has stopped is forgotten.
            let goes_on = sum.count > 0;
            if goes_on {
                let last = sum.last;
                due.push((*what, std::mem::replace(sum, Sum { count: 0, since: now, last })));
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
    fn the_first_is_logged_and_the_others_are_summed() {
        let refusals = Refusals::default();
        let (now, peer) = (Instant::now(), SocketAddr::from(([127, 0, 0, 1], 9)));
        assert!(refusals.first("closed", peer, now).is_some());
        for _ in 0..5 {
            assert!(refusals.first("closed", peer, now).is_none());
        }
        assert!(refusals.first("other", peer, now).is_some());
        assert!(refusals.due(now).is_empty());
        let due = refusals.due(now + INTERVAL);
        assert_eq!(
            due.iter().map(|(what, sum)| (*what, sum.count)).collect::<Vec<_>>(),
            [("closed", 5)]
        );
        // It has stopped, so that the next one is a first one again.
        assert!(refusals.due(now + 2 * INTERVAL).is_empty());
        assert!(refusals.first("closed", peer, now + 2 * INTERVAL).is_some());
    }
}
