// SPDX-License-Identifier: MIT OR Apache-2.0
//! What was sent in sessions that have ended: by language and transport, and by mount. The number of
//! mounts is limited, since each is a series of metrics.

use super::sessions::{Dialect, Transport};
use std::collections::{BTreeMap, HashMap};
use std::ops::AddAssign;
use std::sync::Arc;

/// The number of mounts that are counted separately. Four metrics have a mount: at most 4004 series.
pub(crate) const MAX_MOUNTS: usize = 1000;

/// The name that all other mounts are counted under.
pub(crate) const OTHER: &str = "other";

/// A language and a transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Class {
    pub dialect: Dialect,
    pub transport: Transport,
}

/// What was sent, and what receivers have lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub frames: u64,
    pub packets: u64,
    pub bytes: u64,
    pub lost: u64,
}

impl AddAssign for Counted {
    fn add_assign(&mut self, other: Self) {
        self.frames += other.frames;
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.lost += other.lost;
    }
}

/// The mount that a session is counted for; `None` for [`OTHER`].
pub(crate) type Slot = Option<Arc<str>>;

/// Sessions of a class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ClassTotals {
    /// The number of sessions that were set up.
    pub started: u64,
    /// The number of those that have not ended.
    pub open: u64,
    /// What was sent in all.
    pub counted: Counted,
}

/// Sessions of a mount.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct MountTotals {
    /// The number of sessions that have not ended.
    open: u64,
    /// Counts the ends of sessions: the mount with the lowest one has had no session for longest.
    last_used: u64,
    /// What was sent in all.
    pub counted: Counted,
}

/// What was sent in sessions that have ended.
#[derive(Debug, Clone, Default)]
pub(crate) struct Totals {
    pub classes: BTreeMap<Class, ClassTotals>,
    pub mounts: HashMap<Arc<str>, MountTotals>,
    pub other: MountTotals,
    ends: u64,
}

impl Totals {
    /// Counts a new session of a mount. Returns the name of the mount, and where the session must be counted.
    ///
    /// If all names are in use, the mount that has had no session for longest loses its name and its
    /// counts. If it is watched again, it starts from 0, which Prometheus takes for a restart. Counts never
    /// move to [`OTHER`]: Prometheus would take that for frames that were sent at once.
    pub fn open(&mut self, class: Class, mount: &str) -> (Arc<str>, Slot) {
        let class = self.classes.entry(class).or_default();
        class.started += 1;
        class.open += 1;
        let known = self.mounts.get_key_value(mount).map(|(name, _)| name.clone());
        let name = known.clone().unwrap_or_else(|| mount.into());
        if known.is_none() && self.mounts.len() >= MAX_MOUNTS {
            let unused = self.mounts.iter().filter(|(_, totals)| totals.open == 0);
            let Some(oldest) =
                unused.min_by_key(|(_, it)| it.last_used).map(|(name, _)| name.clone())
            else {
                self.other.open += 1;
                return (name, None);
            };
            self.mounts.remove(&oldest);
        }
        self.mounts.entry(name.clone()).or_default().open += 1;
        (name.clone(), Some(name))
    }

    /// Adds what was sent in a session that has ended.
    pub fn close(&mut self, class: Class, slot: &Slot, counted: Counted) {
        self.ends += 1;
        let class = self.classes.entry(class).or_default();
        class.open = class.open.saturating_sub(1);
        class.counted += counted;
        let mount = self.slot(slot);
        mount.open = mount.open.saturating_sub(1);
        mount.counted += counted;
        let ends = self.ends;
        self.slot(slot).last_used = ends;
    }

    /// Adds what was sent so far in a session that goes on.
    pub fn add(&mut self, class: Class, slot: &Slot, counted: Counted) {
        self.classes.entry(class).or_default().counted += counted;
        self.slot(slot).counted += counted;
    }

    fn slot(&mut self, slot: &Slot) -> &mut MountTotals {
        match slot {
            // A mount with a session keeps its name.
            Some(name) => self.mounts.entry(name.clone()).or_default(),
            None => &mut self.other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UDP: Class = Class { dialect: Dialect::Rtsp, transport: Transport::Udp };

    fn sent(frames: u64) -> Counted {
        Counted { frames, ..Counted::default() }
    }

    #[test]
    fn mounts_over_the_limit_are_counted_together() {
        let mut totals = Totals::default();
        let slots: Vec<_> =
            (0..MAX_MOUNTS + 2).map(|it| totals.open(UDP, &format!("m{it}")).1).collect();
        assert_eq!(slots.iter().filter(|slot| slot.is_none()).count(), 2);
        for (slot, frames) in slots.iter().zip(1..) {
            totals.close(UDP, slot, sent(frames));
        }
        assert_eq!(totals.mounts.len(), MAX_MOUNTS);
        assert_eq!(totals.other.counted.frames, 1001 + 1002);
        assert_eq!(totals.classes[&UDP].counted.frames, (1..=1002).sum::<u64>());
        assert_eq!((totals.classes[&UDP].started, totals.classes[&UDP].open), (1002, 0));
        // The mount whose session has ended first loses its name. A known one keeps it.
        assert_eq!(totals.open(UDP, "m0").1.as_deref(), Some("m0"));
        assert_eq!(totals.open(UDP, "new").1.as_deref(), Some("new"));
        assert!(totals.mounts.contains_key("m0") && !totals.mounts.contains_key("m1"));
        assert_eq!(totals.mounts["m0"].counted.frames, 1);
    }
}
