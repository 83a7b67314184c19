// SPDX-License-Identifier: MIT OR Apache-2.0
//! Counts what was sent to one viewer, for the log.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// No receiver has reported its loss.
const NOT_REPORTED: i64 = i64::MIN;

/// What was sent to one viewer, and what it reported.
#[derive(Debug)]
pub(crate) struct SendCounts {
    frames: AtomicU64,
    packets: AtomicU64,
    lost: AtomicI64,
}

impl Default for SendCounts {
    fn default() -> Self {
        let lost = AtomicI64::new(NOT_REPORTED);
        Self { frames: AtomicU64::new(0), packets: AtomicU64::new(0), lost }
    }
}

impl SendCounts {
    /// Counts a frame of some packets.
    pub fn add_frame(&self, packets: usize) {
        self.frames.fetch_add(1, Ordering::Relaxed);
        self.packets.fetch_add(packets as u64, Ordering::Relaxed);
    }

    /// Stores the number of packets that the receiver reports as lost.
    pub fn set_lost(&self, lost: i32) {
        self.lost.store(lost.into(), Ordering::Relaxed);
    }

    /// The number of frames.
    pub fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    /// The number of packets.
    pub fn packets(&self) -> u64 {
        self.packets.load(Ordering::Relaxed)
    }

    /// The number of packets that the receiver has reported as lost; negative if it got copies, `None`
    /// if it has not reported.
    pub fn lost(&self) -> Option<i64> {
        Some(self.lost.load(Ordering::Relaxed)).filter(|lost| *lost != NOT_REPORTED)
    }
}
