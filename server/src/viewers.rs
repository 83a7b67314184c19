// SPDX-License-Identifier: MIT OR Apache-2.0
//! Counts the viewers of all languages against their limits.

use crate::config::Limits;
use crate::connection::limits::Origin;
use crate::mount::Mount;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    by_mount: HashMap<String, usize>,
    by_origin: HashMap<Origin, usize>,
}

/// The number of viewers: in total, of each movie and from each address.
#[derive(Debug, Clone, Default)]
pub struct Viewers(Arc<Mutex<Counts>>);

/// The limit because of which a viewer is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ViewerLimit {
    /// The number of viewers in total.
    Server,
    /// The number of viewers of the movie.
    Mount,
    /// The number of viewers from the address.
    Address,
}

impl ViewerLimit {
    /// The event for the limit log.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Server => "viewer refused: the server has max-viewers viewers",
            Self::Mount => "viewer refused: the movie has max-viewers viewers",
            Self::Address => "viewer refused: the address has max-viewers-per-address viewers",
        }
    }
}

/// Counts one viewer until it is dropped.
#[derive(Debug)]
pub struct ViewerSlot {
    viewers: Viewers,
    mount: String,
    origin: Origin,
}

impl Viewers {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of viewers of each mount point that has one.
    pub fn by_mount(&self) -> HashMap<String, usize> {
        self.counts().by_mount.clone()
    }

    /// The number of all viewers.
    pub fn total(&self) -> usize {
        self.counts().total
    }

    /// The number of viewers of the movie at a mount point.
    pub fn of_mount(&self, point: &str) -> usize {
        self.counts().by_mount.get(point).copied().unwrap_or(0)
    }

    /// Counts one more viewer of a mount.
    ///
    /// # Errors
    /// If a limit is reached.
    pub fn admit(
        &self,
        mount: &Mount,
        origin: Origin,
        limits: &Limits,
    ) -> Result<ViewerSlot, ViewerLimit> {
        let mut counts = self.counts();
        let of_mount = counts.by_mount.get(&mount.point).copied().unwrap_or(0);
        let of_origin = counts.by_origin.get(&origin).copied().unwrap_or(0);
        if counts.total >= limits.max_viewers {
            return Err(ViewerLimit::Server);
        }
        if of_mount >= mount.settings.max_viewers {
            return Err(ViewerLimit::Mount);
        }
        if of_origin >= limits.max_viewers_per_address {
            return Err(ViewerLimit::Address);
        }
        counts.total += 1;
        counts.by_mount.insert(mount.point.clone(), of_mount + 1);
        counts.by_origin.insert(origin, of_origin + 1);
        Ok(ViewerSlot { viewers: self.clone(), mount: mount.point.clone(), origin })
    }
}

impl Drop for ViewerSlot {
    fn drop(&mut self) {
        let mut counts = self.viewers.counts();
        counts.total = counts.total.saturating_sub(1);
        remove_one(&mut counts.by_mount, &self.mount);
        remove_one(&mut counts.by_origin, &self.origin);
    }
}

/// Decrements a count, and removes it when it is 0.
fn remove_one<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MountSettings;

    #[test]
    fn viewers_are_limited_in_total_for_each_movie_and_for_each_address() {
        let limits = Limits { max_viewers: 4, max_viewers_per_address: 2, ..Limits::default() };
        let settings = MountSettings { max_viewers: 3, ..MountSettings::default() };
        let mount = |point: &str| Mount::new(point.to_owned(), point.into(), settings.clone());
        let (a, b) = (mount("/a"), mount("/b"));
        let viewers = Viewers::default();
        let origin = |host: u8| Origin::of([127, 0, 0, host].into());
        // Mount, host, what is reached.
        let rows = [
            (&a, 1, None),
            (&a, 1, None),
            (&a, 1, Some(ViewerLimit::Address)),
            (&b, 1, Some(ViewerLimit::Address)),
            (&a, 2, None),
            (&a, 3, Some(ViewerLimit::Mount)),
            (&b, 3, None),
            (&b, 4, Some(ViewerLimit::Server)),
        ];
        let mut slots = Vec::new();
        for (number, (mount, host, limit)) in rows.into_iter().enumerate() {
            match viewers.admit(mount, origin(host), &limits) {
                Ok(slot) => slots.push(slot),
                Err(error) => assert_eq!(Some(error), limit, "row {number}"),
            }
            let admitted = rows[..=number].iter().filter(|row| row.2.is_none()).count();
            assert_eq!(slots.len(), admitted, "row {number}");
        }
        slots.remove(0);
        assert!(viewers.admit(&a, origin(1), &limits).is_ok());
        slots.clear();
        let counts = viewers.counts();
        assert_eq!(counts.total, 0);
        assert!(counts.by_mount.is_empty() && counts.by_origin.is_empty());
    }
}
