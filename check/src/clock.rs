// SPDX-License-Identifier: MIT OR Apache-2.0
//! The time of a run. It is that of the kernel's stamps on datagrams, so that messages and packets can be
//! put in order.

use crate::processes::ProcessorTime;
use std::cell::Cell;
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

/// The most by which a wait grows in which a correct program does nothing, or what takes it no time otherwise.
pub const MAX_WAIT_GROWTH: Duration = Duration::from_secs(2);

/// The number of waits by whose growth the time of a whole grading grows: a correct program is observed in about as many
/// in which nothing should happen.
pub const WAITS: u32 = 16;

/// The most by which the time of a whole grading grows because the machine is busy.
pub const MAX_TOTAL_GROWTH: Duration = MAX_WAIT_GROWTH.saturating_mul(WAITS);

/// How long a step of [`StallMeter`] sleeps.
const STEP: Duration = Duration::from_millis(5);

/// The number of steps between two samples of the load.
const STEPS: u32 = 20;

/// The number of samples whose mean is the load.
const SAMPLES: f64 = 10.0;

/// The processor time that a program needs for what it does next. With several runnable threads for each processor
/// it takes as many times longer, although a thread that has just slept is woken at once.
const WORK: Duration = Duration::from_millis(10);

/// The processor time after which it is known how long a program has to wait for more.
const LEAST_COMPUTED: Duration = Duration::from_millis(10);

/// The most by which all limits of a grading grow together because the program waits for a processor.
pub const MAX_EXTRA: Duration = Duration::from_mins(1);

/// How much longer than a limit a program without a processor gets before it is looked at again.
const EXTRA: Duration = Duration::from_millis(50);

/// A delay of a thread of this machine that is worth a note.
const NOTED_STALL: Duration = Duration::from_millis(50);

/// What a program got of the processors until an instant.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// The instant.
    pub at: Instant,
    /// The time that it got, and waited for.
    pub time: ProcessorTime,
}

impl Sample {
    /// What a program got until now.
    pub fn now(time: ProcessorTime) -> Self {
        Self { at: Instant::now(), time }
    }
}

/// More time for a program that has not done something within a limit, since others had the processors, or the kernel
/// kept it.
#[derive(Debug, Default)]
pub struct ExtraTime(Cell<Duration>);

impl ExtraTime {
    /// All that has been given.
    pub fn total(&self) -> Duration {
        self.0.get()
    }

    /// The time to wait longer, from what a program had got at the start of a wait, which becomes its end, and has got
    /// now. Zero if it could have done what it should: it slept, or computed.
    pub fn give(&self, start: &mut Sample, now: ProcessorTime) -> Duration {
        let end = Sample::now(now);
        let extra = self.give_until(*start, end);
        *start = end;
        extra
    }

    fn give_until(&self, start: Sample, end: Sample) -> Duration {
        let passed = end.at.saturating_duration_since(start.at);
        let computed = end.time.computed.saturating_sub(start.time.computed);
        let waited = end.time.waited_by_all.saturating_sub(start.time.waited_by_all).min(passed);
        // The kernel counts a wait when it has ended.
        let waits = end.time.is_active && computed < passed / 2;
        let extra = if waits { waited.max(EXTRA) } else { waited };
        let extra = extra.min(MAX_EXTRA.saturating_sub(self.0.get()));
        // Waking up takes a moment on every machine.
        if extra < EXTRA {
            return Duration::ZERO;
        }
        self.0.set(self.0.get() + extra);
        extra
    }
}

/// Measures how late this machine runs a thread: how late it wakes one, and how long one that computes has to wait for
/// others. The same happens to the program that is graded, so the time limits of checks grow by it.
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
            let processors = std::thread::available_parallelism().map_or(1, usize::from);
            let processors = u32::try_from(processors).map_or(1.0, f64::from);
            let mut load = processors;
            for step in 0_u32.. {
                let before = Instant::now();
                std::thread::sleep(STEP);
                let mut late = before.elapsed().saturating_sub(STEP);
                if step % STEPS == 0
                    && let Some(runnable) = runnable_threads()
                {
                    load += (runnable - load) / SAMPLES;
                    late = late.max(WORK.mul_f64((load / processors - 1.0).max(0.0)));
                }
                let Some(worst) = measured.upgrade() else { return };
                let mut worst = worst.lock().unwrap_or_else(PoisonError::into_inner);
                *worst = late.max(*worst);
            }
        };
        // Without the thread, the limits do not grow.
        let _ = std::thread::Builder::new().name("stall-meter".to_owned()).spawn(measure);
        Self { worst }
    }

    /// Notes how long the program that is graded has waited for processors: it may have to wait for longer than this
    /// one. Linux shares them among sessions first (sched(7), autogroup).
    pub fn note(&self, program: ProcessorTime) {
        // One that has done next to nothing says nothing.
        let ProcessorTime { computed, waited, .. } = program;
        if computed >= LEAST_COMPUTED {
            let late = WORK.mul_f64(waited.as_secs_f64() / computed.as_secs_f64());
            let mut worst = self.worst.lock().unwrap_or_else(PoisonError::into_inner);
            *worst = worst.max(late);
        }
    }

    /// A note for the reader if this machine was busy, or the program got `extra` time.
    pub fn describe(&self, extra: Duration) -> Option<String> {
        let worst = self.worst();
        if worst.max(extra) <= NOTED_STALL {
            return None;
        }
        let beyond = if extra.is_zero() {
            String::new()
        } else {
            let most = if extra < MAX_EXTRA { "" } else { ", the most that there is" };
            let seconds = extra.as_secs_f64();
            format!("; while the program waited for one, it got {seconds:.1} s more in all{most}")
        };
        let ms = worst.as_millis();
        Some(format!(
            "this machine was busy: threads waited up to {ms} ms for a processor; the time limits are longer{beyond}"
        ))
    }

    /// The longest delay so far.
    pub fn worst(&self) -> Duration {
        *self.worst.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number of threads of the machine that run or wait for a processor; `None` if the system does not say it.
fn runnable_threads() -> Option<f64> {
    runnable_in(&std::fs::read_to_string("/proc/loadavg").ok()?)
}

/// The number of runnable threads in the text of `/proc/loadavg` (proc(5)), such as `0.20 0.18 0.12 3/80 11206`.
fn runnable_in(text: &str) -> Option<f64> {
    let field = text.split_ascii_whitespace().nth(3)?;
    field.split_once('/')?.0.parse().ok().filter(|number: &f64| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_waits_for_processors_is_noted() {
        let ms = Duration::from_millis;
        let rows =
            [(ms(34), ms(3400), ms(1000)), (ms(34), ms(34), ms(10)), (ms(9), ms(9000), ms(0))];
        for (computed, waited, want) in rows {
            let meter = StallMeter { worst: Arc::default() };
            meter.note(ProcessorTime { computed, waited, ..ProcessorTime::default() });
            assert_eq!(meter.worst(), want, "{computed:?} {waited:?}");
            meter.note(ProcessorTime::default());
            assert_eq!(meter.worst(), want, "{computed:?} {waited:?}");
        }
    }

    #[test]
    fn a_program_gets_the_time_that_it_waited_for_a_processor() {
        let ms = Duration::from_millis;
        let at = Instant::now();
        let sample = |after: u64, computed: u64, waited: u64, is_active: bool| Sample {
            at: at + ms(after),
            time: ProcessorTime {
                computed: ms(computed),
                waited: Duration::ZERO,
                waited_by_all: ms(waited),
                is_active,
            },
        };
        let start = sample(0, 500, 300, true);
        let rows = [
            ("it sleeps", sample(1000, 500, 300, false), 0),
            ("it has waited a moment", sample(1000, 510, 349, false), 0),
            ("it has waited, and sleeps", sample(1000, 510, 700, false), 400),
            ("it waits since then", sample(1000, 500, 300, true), 50),
            ("it has waited, and waits", sample(1000, 510, 1200, true), 900),
            ("many threads have waited", sample(1000, 510, 9300, false), 1000),
            ("it computes", sample(1000, 1500, 300, true), 0),
            ("it computes half of the time", sample(1000, 1000, 800, true), 500),
        ];
        for (what, end, want) in rows {
            let extra = ExtraTime::default();
            assert_eq!(
                (extra.give_until(start, end), extra.total()),
                (ms(want), ms(want)),
                "{what}"
            );
        }
        let extra = ExtraTime::default();
        let given: Vec<Duration> =
            (0..4).map(|_| extra.give_until(start, sample(25_000, 500, 25_300, true))).collect();
        assert_eq!(given, [ms(25_000), ms(25_000), ms(10_000), ms(0)]);
    }

    #[test]
    fn the_note_states_the_delay_and_the_time_beyond_limits() {
        let ms = Duration::from_millis;
        let busy = |worst: u64| {
            format!(
                "this machine was busy: threads waited up to {worst} ms for a processor; the time limits are longer"
            )
        };
        let waited = "; while the program waited for one, it got ";
        let rows = [
            (50, ms(0), None),
            (51, ms(0), Some(busy(51))),
            (7, ms(1240), Some(busy(7) + waited + "1.2 s more in all")),
            (
                613,
                MAX_EXTRA,
                Some(busy(613) + waited + "60.0 s more in all, the most that there is"),
            ),
        ];
        for (worst, extra, want) in rows {
            let meter = StallMeter { worst: Arc::new(Mutex::new(ms(worst))) };
            assert_eq!(meter.describe(extra), want, "{worst} {extra:?}");
        }
    }

    #[test]
    fn the_runnable_threads_are_in_the_fourth_field() {
        let rows = [
            ("0.20 0.18 0.12 3/80 11206\n", Some(3.0)),
            ("9.08 13.12 10.80 11/342 27597\n", Some(11.0)),
            ("0.20 0.18 0.12 80 11206\n", None),
            ("0.20 0.18 0.12 nan/80 11206\n", None),
            ("", None),
        ];
        for (text, want) in rows {
            assert_eq!(runnable_in(text), want, "{text:?}");
        }
    }
}
