// SPDX-License-Identifier: MIT OR Apache-2.0
//! The time of a run. It is that of the kernel's stamps on datagrams, so that messages and packets can be
//! put in order.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// Counts from the start of a run.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: SystemTime,
}

impl Clock {
    /// Starts a run.
    pub fn start() -> Self {
        Self { start: SystemTime::now() }
    }

    /// The time now.
    pub fn now(self) -> Duration {
        self.of(SystemTime::now())
    }

    /// A time of the system's clock.
    pub fn of(self, time: SystemTime) -> Duration {
        time.duration_since(self.start).unwrap_or_default()
    }
}

/// The end of a run. No wait passes it, so that a program that answers nothing costs no more than this.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    /// A deadline some time from now.
    pub fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// A deadline some time after this one.
    #[must_use]
    pub fn later(self, time: Duration) -> Self {
        Self(self.0 + time)
    }

    /// The end of a wait that starts now.
    pub fn limit(self, wait: Duration) -> Instant {
        self.0.min(Instant::now() + wait)
    }

    /// Whether the run is over.
    pub fn is_over(self) -> bool {
        Instant::now() >= self.0
    }
}

/// How long a step of [`StallMeter`] sleeps.
const STEP: Duration = Duration::from_millis(5);

/// Measures how late this machine wakes a thread. The same happens to the program that is graded, so the
/// time limits of checks grow by it.
#[derive(Debug)]
pub struct StallMeter {
    worst: Arc<Mutex<Duration>>,
}

impl StallMeter {
    /// Starts to measure, in a thread that ends when the meter is dropped.
    pub fn start() -> Self {
        let worst = Arc::new(Mutex::new(Duration::ZERO));
        let measured = Arc::downgrade(&worst);
        let measure = move || {
            loop {
                let before = Instant::now();
                std::thread::sleep(STEP);
                let late = before.elapsed().saturating_sub(STEP);
                let Some(worst) = measured.upgrade() else { return };
                let mut worst = worst.lock().unwrap_or_else(PoisonError::into_inner);
                *worst = late.max(*worst);
            }
        };
        // Without the thread, the limits do not grow.
        let _ = std::thread::Builder::new().name("stall-meter".to_owned()).spawn(measure);
        Self { worst }
    }

    /// The longest delay so far.
    pub fn worst(&self) -> Duration {
        *self.worst.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
