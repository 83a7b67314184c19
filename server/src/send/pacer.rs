// SPDX-License-Identifier: MIT OR Apache-2.0
//! Threads that send the frames of many streams, each frame at its time: a heap of the frames that
//! are scheduled, and a wait until the first of them is due. A timer for each stream would wake the
//! system for each frame.

use super::clock::{Clock, Locked, SystemClock};
use crate::observe::metrics::Metrics;
use gstmjpegfile::movie::{FrameRate, Nanoseconds};
use mjpeg_program::border::guarded;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Frames due within this time are sent together. No frame is sent earlier than this.
const BATCH_WINDOW: Duration = Duration::from_micros(300);

/// A frame period is divided into at least this many slots. Plays start only at slots, which are the
/// same for all streams of a frame rate: their frames are due together, and the number of wake-ups
/// does not grow with the number of streams. The time between two frames of a stream is not changed.
const SLOTS_PER_FRAME: u64 = 10;

/// The longest slot in nanoseconds: no play waits longer than this for its start.
const MAX_SLOT: u64 = 5_000_000;

/// A stream whose frames are sent by a pacer.
pub(crate) trait Paced: Send + Sync {
    /// Unique among all paced streams; orders streams that are due at the same instant.
    fn id(&self) -> u64;

    /// Whether frames of other streams that are due are sent before those of this one. The frames of
    /// many viewers over HTTP would otherwise delay those of RTSP viewers, whose players measure the
    /// time between packets.
    fn yields(&self) -> bool;

    /// Sends the next frame of a play and returns when the one after it is due. Returns `None` if
    /// the play has been stopped, has ended, or will be scheduled again by another thread. `scratch`
    /// is memory for the bytes of a frame, shared by all streams.
    fn send_next(self: Arc<Self>, play: u64, scratch: &mut Vec<u8>) -> Option<Instant>;

    /// Ends the stream after a panic in [`Self::send_next`] or in its worker.
    fn fail(&self);
}

/// A new identifier for [`Paced::id`].
pub(crate) fn new_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// One frame period and its slots. Times are nanoseconds since the epoch of the pacers.
struct FrameSlots {
    start: u64,
    period: u64,
    count: u64,
}

impl FrameSlots {
    /// The frame period that contains a time.
    fn containing(time: u64, rate: FrameRate) -> Self {
        let frame = rate.frame_at(Nanoseconds::new(time));
        let (start, end) = (rate.start_of(frame).get(), rate.start_of(frame + 1).get());
        let period = end.saturating_sub(start).max(1);
        Self { start, period, count: SLOTS_PER_FRAME.max(period.div_ceil(MAX_SLOT)) }
    }

    fn start_of(&self, slot: u64) -> u64 {
        let offset = u128::from(self.period) * u128::from(slot) / u128::from(self.count);
        self.start + u64::try_from(offset).unwrap_or(self.period)
    }

    /// The first slot that starts at or after a time in this period.
    fn first_from(&self, time: u64) -> u64 {
        let offset = u128::from(time - self.start) * u128::from(self.count);
        u64::try_from(offset.div_ceil(u128::from(self.period))).unwrap_or(self.count)
    }
}

/// The start of the first slot at or after `time`: of any slot, or of the slot with a number.
fn next_slot(time: u64, rate: FrameRate, slot: Option<u64>) -> u64 {
    let slots = FrameSlots::containing(time, rate);
    let Some(slot) = slot else { return slots.start_of(slots.first_from(time)) };
    let slot = slot % slots.count;
    let start = slots.start_of(slot);
    if start >= time {
        return start;
    }
    FrameSlots::containing(slots.start + slots.period, rate).start_of(slot)
}

/// The next frame of a stream, and when it is due.
struct ScheduledFrame {
    due: Instant,
    /// The number of the stream's play. Frames of earlier plays are ignored by the stream.
    play: u64,
    /// The stream's [`Paced::id`], stored beside `due` because the heap compares both.
    id: u64,
    stream: Arc<dyn Paced>,
}

impl PartialEq for ScheduledFrame {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for ScheduledFrame {}
impl PartialOrd for ScheduledFrame {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for ScheduledFrame {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // Streams due at the same instant keep their order, so that the time between two frames of
        // a stream stays even.
        self.due.cmp(&other.due).then(self.id.cmp(&other.id))
    }
}

#[derive(Default)]
struct Schedule {
    frames: BinaryHeap<Reverse<ScheduledFrame>>,
    /// The pacers have been dropped.
    ended: bool,
}

/// The schedule of a pacer, which its thread shares with the streams.
#[derive(Default)]
struct SharedSchedule {
    schedule: Mutex<Schedule>,
    /// Notified when a frame becomes the first one, and at the end.
    changed: Condvar,
}

impl SharedSchedule {
    fn lock(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Schedules frames for the thread that sends them.
#[derive(Clone)]
pub(crate) struct Pacer<C = SystemClock> {
    shared: Arc<SharedSchedule>,
    clock: C,
    /// Where the slots of all pacers start.
    epoch: Instant,
    /// The slot that plays start at; `None` for any.
    slot: Option<u64>,
    /// Counts how late frames are; `None` if this is not measured.
    metrics: Option<Arc<Metrics>>,
}

impl<C: Clock> Pacer<C> {
    /// A pacer, and the loop that its thread must run.
    pub fn new(clock: C, epoch: Instant) -> (Self, PacerLoop<C>) {
        let shared = Arc::new(SharedSchedule::default());
        let (batch, scratch) = (Vec::new(), Vec::new());
        let pacer_loop = PacerLoop { shared: shared.clone(), clock: clock.clone(), batch, scratch };
        (Self { shared, clock, epoch, slot: None, metrics: None }, pacer_loop)
    }

    /// The clock that frames are paced by.
    pub fn clock(&self) -> &C {
        &self.clock
    }

    /// Counts how late a frame is that has just been sent.
    pub fn count_lateness(&self, due: Instant) {
        if let Some(metrics) = &self.metrics {
            metrics.lateness.add(self.clock.now().saturating_duration_since(due));
        }
    }

    /// When a play can start.
    pub fn next_slot(&self, rate: FrameRate) -> Instant {
        let elapsed = self.clock.now().saturating_duration_since(self.epoch).as_nanos();
        let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX / 2);
        self.epoch + Duration::from_nanos(next_slot(elapsed, rate, self.slot))
    }

    /// Schedules the next frame of a stream's play.
    pub fn send_at(&self, due: Instant, play: u64, stream: Arc<dyn Paced>) {
        let id = stream.id();
        let mut schedule = self.shared.lock();
        let is_first = schedule.frames.peek().is_none_or(|Reverse(first)| due < first.due);
        schedule.frames.push(Reverse(ScheduledFrame { due, play, id, stream }));
        drop(schedule);
        if is_first {
            self.shared.changed.notify_one();
        }
    }
}

/// What the thread of a pacer does.
pub(crate) struct PacerLoop<C> {
    shared: Arc<SharedSchedule>,
    clock: C,
    /// The frames that are being sent.
    batch: Vec<ScheduledFrame>,
    /// Memory for the bytes of one frame.
    scratch: Vec<u8>,
}

impl<C: Clock> PacerLoop<C> {
    fn run(mut self) {
        while self.wait_for_batch() {
            self.send_batch();
        }
    }

    /// Waits until a frame is due, and takes it and all that are due with it from the schedule.
    /// Returns `false` once the pacers have been dropped.
    fn wait_for_batch(&mut self) -> bool {
        let mut schedule = self.shared.lock();
        loop {
            if schedule.ended {
                return false;
            }
            let now = self.clock.now();
            let first = schedule.frames.peek().map(|Reverse(first)| first.due);
            if first.is_some_and(|due| due <= now) {
                let end = now + BATCH_WINDOW;
                while schedule.frames.peek().is_some_and(|Reverse(next)| next.due <= end) {
                    self.batch.extend(schedule.frames.pop().map(|Reverse(frame)| frame));
                }
                drop(schedule);
                // The order is kept otherwise.
                self.batch.sort_by_key(|frame| frame.stream.yields());
                return true;
            }
            let locked = Locked { guard: schedule, notified: &self.shared.changed };
            schedule = self.clock.wait_until(locked, first);
        }
    }

    /// Sends the frames of the batch, and schedules the ones after them.
    fn send_batch(&mut self) {
        for ScheduledFrame { play, id, stream, .. } in self.batch.drain(..) {
            let scratch = &mut self.scratch;
            let sent = guarded("pacer", || stream.clone().send_next(play, scratch));
            let next = sent.unwrap_or_else(|_| {
                // Only this stream ends; the other streams go on.
                let _ = guarded("pacer-end", || stream.fail());
                None
            });
            if let Some(due) = next {
                self.shared.lock().frames.push(Reverse(ScheduledFrame { due, play, id, stream }));
            }
        }
    }

    /// Waits for the next frames that are due and sends them.
    #[cfg(test)]
    pub(crate) fn send_next_batch(&mut self) {
        assert!(self.wait_for_batch());
        self.send_batch();
    }
}

/// The pacers of a server, one for every two cores.
pub(crate) struct Pacers<C = SystemClock> {
    all: Vec<Pacer<C>>,
    /// Counts the calls of [`Self::pick`].
    picked: AtomicUsize,
}

impl<C: Clock> Pacers<C> {
    /// Starts the threads. How late frames are is counted in `metrics`.
    ///
    /// # Errors
    /// If the system cannot start another thread.
    pub fn start(clock: &C, metrics: Option<&Arc<Metrics>>) -> io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let epoch = clock.now();
        let start = |number| {
            let (pacer, pacer_loop) = Pacer::new(clock.clone(), epoch);
            let name = format!("pacer-{number}");
            std::thread::Builder::new().name(name).spawn(move || pacer_loop.run())?;
            Ok(Pacer { metrics: metrics.cloned(), ..pacer })
        };
        let all = (0..cores.div_ceil(2)).map(start).collect::<io::Result<_>>()?;
        Ok(Self { all, picked: AtomicUsize::new(0) })
    }

    /// A pacer for a new stream: each of them in turn.
    pub fn pick(&self) -> Option<Pacer<C>> {
        let turn = self.picked.fetch_add(1, Ordering::Relaxed) % self.all.len().max(1);
        self.all.get(turn).cloned()
    }

    /// Each pacer with each slot of a frame rate. Streams that take them in turn are spread over the
    /// threads first, then over the frame period.
    pub fn with_slots(&self, rate: FrameRate) -> impl Iterator<Item = Pacer<C>> {
        (0..FrameSlots::containing(0, rate).count).flat_map(|slot| {
            self.all.iter().map(move |pacer| Pacer { slot: Some(slot), ..pacer.clone() })
        })
    }
}

impl<C> Drop for Pacers<C> {
    fn drop(&mut self) {
        for Pacer { shared, .. } in &self.all {
            let mut schedule = shared.lock();
            schedule.ended = true;
            schedule.frames.clear();
            drop(schedule);
            shared.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::clock::test_clock::{LIMIT, TestClock};
    use super::*;
    use std::sync::atomic::AtomicBool;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// A stream that records when its frames are sent, or panics at the first one.
    struct TestStream<C> {
        id: u64,
        clock: C,
        period: Duration,
        yields: bool,
        panics: bool,
        sent: Sender<(Instant, u64)>,
        failed: AtomicBool,
    }

    impl<C: Clock> Paced for TestStream<C> {
        fn id(&self) -> u64 {
            self.id
        }

        fn yields(&self) -> bool {
            self.yields
        }

        fn send_next(self: Arc<Self>, _: u64, _: &mut Vec<u8>) -> Option<Instant> {
            assert!(!self.panics, "on purpose");
            let now = self.clock.now();
            let _ = self.sent.send((now, self.id));
            Some(now + self.period)
        }

        fn fail(&self) {
            self.failed.store(true, Ordering::SeqCst);
        }
    }

    /// A pacer whose clock is moved by the test, and what its streams send.
    struct PacerTest {
        clock: TestClock,
        pacer: Pacer<TestClock>,
        pacer_loop: PacerLoop<TestClock>,
        sender: Sender<(Instant, u64)>,
        sent: Receiver<(Instant, u64)>,
    }

    impl PacerTest {
        fn new() -> Self {
            let clock = TestClock::new();
            let (pacer, pacer_loop) = Pacer::new(clock.clone(), clock.now());
            let (sender, sent) = channel();
            Self { clock, pacer, pacer_loop, sender, sent }
        }

        /// Schedules a new stream.
        fn add(&self, due: Duration, id: u64, period: Duration) {
            let stream = stream(&self.clock, id, period, &self.sender);
            self.pacer.send_at(self.clock.at(due), 0, Arc::new(stream));
        }

        /// Sends the next batch, and checks its time and its streams.
        fn expect_batch(&mut self, at: Duration, ids: &[u64]) {
            self.pacer_loop.send_next_batch();
            let got: Vec<_> = self.sent.try_iter().collect();
            let want: Vec<_> = ids.iter().map(|id| (self.clock.at(at), *id)).collect();
            assert_eq!(got, want, "{at:?}");
        }
    }

    fn stream<C: Clock>(
        clock: &C,
        id: u64,
        period: Duration,
        sent: &Sender<(Instant, u64)>,
    ) -> TestStream<C> {
        let (clock, sent, failed) = (clock.clone(), sent.clone(), AtomicBool::new(false));
        TestStream { id, clock, period, yields: false, panics: false, sent, failed }
    }

    #[test]
    fn frames_are_sent_when_they_are_due() {
        let mut test = PacerTest::new();
        let us = Duration::from_micros;
        // The stream that is scheduled last is due first. 2 and 3 are 200 µs apart: one batch.
        for (id, due, period) in [(3, 5200, 90_000), (2, 5000, 90_000), (1, 2000, 4000)] {
            test.add(us(due), id, us(period));
        }
        test.expect_batch(us(2000), &[1]);
        test.expect_batch(us(5000), &[2, 3]);
        test.expect_batch(us(6000), &[1]);
        test.expect_batch(us(10_000), &[1]);
        // The thread comes late: all frames that are due are sent at once, in order.
        test.clock.advance(us(100_000));
        test.expect_batch(us(110_000), &[1, 2, 3]);
    }

    #[test]
    fn streams_due_at_the_same_instant_keep_their_order() {
        let mut test = PacerTest::new();
        let period = Duration::from_millis(50);
        for id in [2, 0, 3, 1] {
            test.add(Duration::ZERO, id, period);
        }
        for frame in 0..3 {
            test.expect_batch(period * frame, &[0, 1, 2, 3]);
        }
    }

    #[test]
    fn streams_that_yield_are_sent_after_the_others_that_are_due() {
        let mut test = PacerTest::new();
        let period = Duration::from_millis(50);
        // Id, microseconds until the first frame, whether it yields.
        for (id, due, yields) in [(0, 0, true), (1, 0, false), (2, 100, true), (3, 200, false)] {
            let stream = TestStream { yields, ..stream(&test.clock, id, period, &test.sender) };
            let due = test.clock.at(Duration::from_micros(due));
            test.pacer.send_at(due, 0, Arc::new(stream));
        }
        for frame in 0..3 {
            test.expect_batch(period * frame, &[1, 3, 0, 2]);
        }
    }

    #[test]
    fn a_panic_ends_only_its_own_stream() {
        let mut test = PacerTest::new();
        let period = Duration::from_millis(50);
        let good = stream(&test.clock, 2, period, &test.sender);
        let bad = TestStream { panics: true, ..stream(&test.clock, 1, period, &test.sender) };
        let (good, bad) = (Arc::new(good), Arc::new(bad));
        test.pacer.send_at(test.clock.now(), 0, bad.clone());
        test.pacer.send_at(test.clock.now(), 0, good.clone());
        for frame in 0..3 {
            test.expect_batch(period * frame, &[2]);
        }
        let failed = |stream: &TestStream<_>| stream.failed.load(Ordering::SeqCst);
        assert!(failed(&bad) && !failed(&good));
    }

    #[test]
    fn each_pacer_has_a_thread_that_sends_frames() -> io::Result<()> {
        let pacers = Pacers::start(&SystemClock, None)?;
        for pacer in &pacers.all {
            let (sent, frames) = channel();
            let due = Instant::now() + Duration::from_millis(5);
            pacer.send_at(due, 0, Arc::new(stream(&SystemClock, 7, Duration::ZERO, &sent)));
            let (now, id) = frames.recv_timeout(LIMIT).unwrap();
            assert!(now >= due && id == 7);
        }
        Ok(())
    }

    #[test]
    fn slots_divide_the_frame_period_evenly() {
        // Frame rate; a time; the start of the next slot of any number, and of slot 3: in ns.
        let rows = [
            ((20, 1), 0, 0, 15_000_000),
            ((20, 1), 1, 5_000_000, 15_000_000),
            ((20, 1), 15_000_000, 15_000_000, 15_000_000),
            ((20, 1), 15_000_001, 20_000_000, 65_000_000),
            ((20, 1), 3_600_049_999_999, 3_600_050_000_000, 3_600_065_000_000),
            // 80 ms are 16 slots, since no slot is longer than 5 ms.
            ((25, 2), 1, 5_000_000, 15_000_000),
            ((25, 2), 75_000_001, 80_000_000, 95_000_000),
            // 10 slots of 33 366 666 ns, rounded down; the next period has 33 366 667 ns.
            ((30_000, 1001), 1, 3_336_666, 10_009_999),
            ((30_000, 1001), 10_010_000, 13_346_666, 43_376_666),
        ];
        for ((numerator, denominator), time, any, third) in rows {
            let rate = FrameRate::new(numerator, denominator).unwrap();
            let got = (next_slot(time, rate, None), next_slot(time, rate, Some(3)));
            assert_eq!(got, (any, third), "{numerator}/{denominator} after {time} ns");
        }
    }

    #[test]
    fn a_play_starts_at_the_next_slot_of_its_pacer() {
        let clock = TestClock::new();
        let (pacer, _) = Pacer::new(clock.clone(), clock.now());
        let slot_3 = Pacer { slot: Some(3), ..pacer.clone() };
        clock.advance(Duration::from_millis(16));
        let starts = [&pacer, &slot_3].map(|pacer| pacer.next_slot(FrameRate::DEFAULT));
        assert_eq!(starts, [20, 65].map(|ms| clock.at(Duration::from_millis(ms))));
    }
}
