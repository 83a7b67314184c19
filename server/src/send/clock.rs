// SPDX-License-Identifier: MIT OR Apache-2.0
//! The clock that frames are paced by: the system's, or in tests one that the test moves.

use std::sync::{Condvar, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

/// A locked mutex, and the condition variable that is notified when its value changes.
pub(crate) struct Locked<'a, T> {
    pub guard: MutexGuard<'a, T>,
    pub notified: &'a Condvar,
}

/// Reads the time, and waits until an instant.
pub(crate) trait Clock: Clone + Send + Sync + 'static {
    /// The present instant.
    fn now(&self) -> Instant;

    /// The present date and time, for RTCP sender reports.
    fn wall_clock(&self) -> SystemTime;

    /// Unlocks the mutex and waits until the condition variable is notified or the deadline is
    /// reached, if there is one. May return early, as [`Condvar::wait`] does.
    fn wait_until<'a, T>(&self, lock: Locked<'a, T>, end: Option<Instant>) -> MutexGuard<'a, T>;
}

/// The clock of the operating system.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wall_clock(&self) -> SystemTime {
        SystemTime::now()
    }

    fn wait_until<'a, T>(&self, lock: Locked<'a, T>, end: Option<Instant>) -> MutexGuard<'a, T> {
        let Locked { guard, notified } = lock;
        match end {
            None => notified.wait(guard).unwrap_or_else(PoisonError::into_inner),
            Some(end) => {
                let rest = end.saturating_duration_since(self.now());
                notified.wait_timeout(guard, rest).unwrap_or_else(PoisonError::into_inner).0
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod test_clock {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    /// How long a test waits for another thread before it fails.
    pub(crate) const LIMIT: Duration = Duration::from_secs(20);

    /// A clock that moves only when a test advances it, or when a thread waits until an instant: then
    /// it jumps to that instant. Its wall clock starts at the Unix epoch.
    #[derive(Debug, Clone)]
    pub(crate) struct TestClock {
        start: Instant,
        nanoseconds: Arc<AtomicU64>,
    }

    impl TestClock {
        pub(crate) fn new() -> Self {
            Self { start: Instant::now(), nanoseconds: Arc::default() }
        }

        /// The instant at which `elapsed` has passed since the start of this clock.
        pub(crate) fn at(&self, elapsed: Duration) -> Instant {
            self.start + elapsed
        }

        /// The time since the start of this clock.
        pub(crate) fn elapsed(&self) -> Duration {
            Duration::from_nanos(self.nanoseconds.load(Ordering::SeqCst))
        }

        pub(crate) fn advance(&self, by: Duration) {
            let nanoseconds = u64::try_from(by.as_nanos()).unwrap();
            self.nanoseconds.fetch_add(nanoseconds, Ordering::SeqCst);
        }
    }

    impl Clock for TestClock {
        fn now(&self) -> Instant {
            self.at(self.elapsed())
        }

        fn wall_clock(&self) -> SystemTime {
            SystemTime::UNIX_EPOCH + self.elapsed()
        }

        fn wait_until<'a, T>(
            &self,
            lock: Locked<'a, T>,
            end: Option<Instant>,
        ) -> MutexGuard<'a, T> {
            if let Some(end) = end {
                self.advance(end.saturating_duration_since(self.now()));
                return lock.guard;
            }
            let (guard, waited) = lock.notified.wait_timeout(lock.guard, LIMIT).unwrap();
            assert!(!waited.timed_out(), "nothing is scheduled, and no other thread schedules it");
            guard
        }
    }
}
