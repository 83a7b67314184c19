// SPDX-License-Identifier: MIT OR Apache-2.0
//! Numbers of tests that look random, and are the same in each run.

use std::time::Duration;

/// A linear congruential generator, with its seed.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit.max(1)
    }

    /// A time of up to four seconds.
    pub fn time(&mut self) -> Duration {
        Duration::from_millis(u64::try_from(self.below(4000)).unwrap())
    }
}
