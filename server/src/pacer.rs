// SPDX-License-Identifier: MIT OR Apache-2.0
//! Threads that send the frames of many sessions, each at its time: a heap of what is due, a sleep
//! until the first of it. A timer for each session would wake the system for each frame.

use gstmjpegfile::movie::{FrameRate, Nanoseconds};
use mjpeg_program::border::guarded;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What is due this soon is sent with what is due now, and no frame is earlier than this.
const TOGETHER: Duration = Duration::from_micros(300);

/// Plays begin at these parts of a frame's time, all on one clock: the frames of all sessions of
/// a rate are due together, at so many wakings for a frame's time. Gaps between the frames of a
/// session are not touched by it.
const SLOTS: u64 = 10;

/// Where frames last longer than usual, nobody waits longer than this for a slot.
const SLOT: u64 = 5_000_000;

/// What has frames to send.
pub(crate) trait Paced: Send + Sync {
    /// No other's.
    fn id(&self) -> u64;

    /// Sends the next frame of a play, with place for one; gives the time of the one after it, or
    /// `None` if it has been stopped, has ended, or goes on by itself.
    fn send_next(self: Arc<Self>, play: u64, room: &mut Vec<u8>) -> Option<Instant>;

    /// Stops for good: sending has failed in a way that nothing is known of.
    fn fail(&self);
}

/// A number that nothing else that is paced has.
pub(crate) fn new_id() -> u64 {
    static IDS: AtomicU64 = AtomicU64::new(0);
    IDS.fetch_add(1, Ordering::Relaxed)
}

/// Where the clock of the slots begins.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A frame's time on the clock of the slots, and its parts.
struct Slots {
    start: u64,
    period: u64,
    count: u64,
}

impl Slots {
    fn at(elapsed: u64, rate: FrameRate) -> Self {
        let frame = rate.frame_at(Nanoseconds::new(elapsed));
        let (start, end) = (rate.start_of(frame).get(), rate.start_of(frame + 1).get());
        let period = end.saturating_sub(start).max(1);
        Self { start, period, count: SLOTS.max(period.div_ceil(SLOT)) }
    }

    fn begin(&self, slot: u64) -> u64 {
        let within = u128::from(self.period) * u128::from(slot) / u128::from(self.count);
        self.start + u64::try_from(within).unwrap_or(self.period)
    }

    /// The first that is not past.
    fn next(&self, elapsed: u64) -> u64 {
        let within = u128::from(elapsed - self.start) * u128::from(self.count);
        u64::try_from(within.div_ceil(u128::from(self.period))).unwrap_or(self.count)
    }
}

/// The first begin of a slot that is not past: of any, or of one.
fn next_slot(now: Instant, rate: FrameRate, slot: Option<u64>) -> Instant {
    let elapsed = now.saturating_duration_since(*EPOCH).as_nanos();
    let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX / 2);
    let slots = Slots::at(elapsed, rate);
    let begin = match slot {
        None => slots.begin(slots.next(elapsed)),
        Some(slot) => {
            let begin = slots.begin(slot % slots.count);
            let later = || Slots::at(slots.start + slots.period, rate).begin(slot % slots.count);
            if begin < elapsed { later() } else { begin }
        }
    };
    *EPOCH + Duration::from_nanos(begin)
}

/// A stream whose next frame is due.
struct Due {
    at: Instant,
    /// Which of the stream's plays it is of; those before have been stopped.
    play: u64,
    /// The stream's, here: what is compared lies together.
    id: u64,
    stream: Arc<dyn Paced>,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // Those of one time always in one order, so that gaps stay even.
        self.at.cmp(&other.at).then(self.id.cmp(&other.id))
    }
}

#[derive(Default)]
struct Queue {
    due: BinaryHeap<Reverse<Due>>,
    ended: bool,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Something earlier than what is slept for has come.
    earlier: Condvar,
}

/// Sends frames at their times.
#[derive(Clone)]
pub(crate) struct Pacer {
    shared: Arc<Shared>,
    /// The slot that plays begin at, if it is one.
    slot: Option<u64>,
}

impl Pacer {
    fn start(number: usize) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let of_thread = shared.clone();
        let name = format!("pacer-{number}");
        std::thread::Builder::new().name(name).spawn(move || run(&of_thread))?;
        Ok(Self { shared, slot: None })
    }

    /// When a play can begin.
    pub fn next_slot(&self, rate: FrameRate) -> Instant {
        next_slot(Instant::now(), rate, self.slot)
    }

    /// Lets a stream's play send its next frame at a time.
    pub fn send_at(&self, at: Instant, play: u64, stream: Arc<dyn Paced>) {
        let mut queue = self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let first = queue.due.peek().is_none_or(|Reverse(first)| at < first.at);
        let id = stream.id();
        queue.due.push(Reverse(Due { at, play, id, stream }));
        if first {
            self.shared.earlier.notify_one();
        }
    }
}

fn run(shared: &Shared) {
    let mut together = Vec::new();
    // Place for a frame: one for all streams.
    let mut frame = Vec::new();
    loop {
        {
            let mut queue = shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
            loop {
                if queue.ended {
                    return;
                }
                let now = Instant::now();
                let wait =
                    queue.due.peek().map(|Reverse(due)| due.at.saturating_duration_since(now));
                queue = match wait {
                    None => shared.earlier.wait(queue).unwrap_or_else(PoisonError::into_inner),
                    Some(wait) if !wait.is_zero() => {
                        let waited = shared.earlier.wait_timeout(queue, wait);
                        waited.unwrap_or_else(PoisonError::into_inner).0
                    }
                    Some(_) => {
                        let until = now + TOGETHER;
                        while queue.due.peek().is_some_and(|Reverse(due)| due.at <= until) {
                            together.extend(queue.due.pop().map(|Reverse(due)| due));
                        }
                        break;
                    }
                };
            }
        }
        for Due { play, id, stream, .. } in together.drain(..) {
            let sent = guarded("pacer", || stream.clone().send_next(play, &mut frame));
            let next = sent.unwrap_or_else(|_| {
                // Only this stream ends; the others' frames go on.
                let _ = guarded("pacer-end", || stream.fail());
                None
            });
            if let Some(at) = next {
                let mut queue = shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
                queue.due.push(Reverse(Due { at, play, id, stream }));
            }
        }
    }
}

/// The pacers of a server: one for two cores, whatever the number of sessions.
pub(crate) struct Pacers {
    all: Vec<Pacer>,
    next: AtomicUsize,
}

impl Pacers {
    /// Starts their threads.
    ///
    /// # Errors
    /// If the system has no thread left.
    pub fn start() -> io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let all = (0..cores.div_ceil(2)).map(Pacer::start).collect::<io::Result<_>>()?;
        Ok(Self { all, next: AtomicUsize::new(0) })
    }

    /// The pacer of a new session.
    pub fn pick(&self) -> Option<Pacer> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.all.len().max(1);
        self.all.get(turn).cloned()
    }

    /// The pacers, each with each of a rate's slots: who takes them in turn spreads what it sends
    /// over threads, then over a frame's time.
    pub fn places(&self, rate: FrameRate) -> impl Iterator<Item = Pacer> {
        (0..Slots::at(0, rate).count).flat_map(|slot| {
            self.all.iter().map(move |pacer| Pacer { slot: Some(slot), ..pacer.clone() })
        })
    }
}

impl Drop for Pacers {
    fn drop(&mut self) {
        for Pacer { shared, .. } in &self.all {
            let mut queue = shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.ended = true;
            queue.due.clear();
            shared.earlier.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;
    use std::sync::mpsc::{Sender, channel};

    /// Counts its frames, or panics at the first one.
    struct Stream {
        panics: bool,
        sent: Sender<u64>,
        failed: AtomicBool,
    }

    impl Paced for Stream {
        fn id(&self) -> u64 {
            0
        }

        fn send_next(self: Arc<Self>, play: u64, _: &mut Vec<u8>) -> Option<Instant> {
            assert!(!self.panics, "on purpose");
            let _ = self.sent.send(play);
            Some(Instant::now())
        }

        fn fail(&self) {
            self.failed.store(true, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_stream_that_panics_ends_alone() -> io::Result<()> {
        let pacers = Pacers::start()?;
        let (sent, frames) = channel();
        let stream = |panics| {
            Arc::new(Stream { panics, sent: sent.clone(), failed: AtomicBool::new(false) })
        };
        let (good, bad) = (stream(false), stream(true));
        for pacer in &pacers.all {
            pacer.send_at(Instant::now(), 1, bad.clone());
            pacer.send_at(Instant::now(), 2, good.clone());
        }
        let limit = Duration::from_secs(20);
        for _ in 0..100 {
            assert_eq!(frames.recv_timeout(limit), Ok(2));
        }
        let end = Instant::now() + limit;
        while !bad.failed.load(Ordering::SeqCst) {
            assert!(Instant::now() < end);
            std::thread::yield_now();
        }
        assert!(!good.failed.load(Ordering::SeqCst));
        Ok(())
    }

    #[test]
    fn slots_are_parts_of_a_frames_time_for_all() {
        for (numerator, denominator) in [(20, 1), (30_000, 1001), (25, 2)] {
            let Some(rate) = FrameRate::new(numerator, denominator) else { continue };
            let begin = *EPOCH + Duration::from_hours(1);
            let slots: Vec<Duration> = (0..100_u32)
                .map(|step| begin + Duration::from_micros(1700) * step)
                .map(|now| {
                    let slot = next_slot(now, rate, None);
                    assert!(
                        slot >= now
                            && slot - now <= Duration::from_nanos(rate.start_of(1).get() / 10 + 2)
                    );
                    slot - *EPOCH
                })
                .collect();
            // A frame later there is a slot again, to a few nanoseconds.
            for slot in slots {
                let later = *EPOCH + slot + Duration::from(rate.start_of(1));
                let near = later.checked_sub(Duration::from_nanos(10)).unwrap_or(later);
                let again = next_slot(near, rate, None);
                let off = again.max(later) - again.min(later);
                assert!(off < Duration::from_nanos(20), "{rate:?} {slot:?} {off:?}");
            }
            // One slot comes once in a frame's time, and is one of them.
            let period = Duration::from_nanos(rate.start_of(1).get() + 2);
            for slot in 0..Slots::at(0, rate).count {
                let at = next_slot(begin, rate, Some(slot));
                assert!(at >= begin && at - begin <= period, "{rate:?} {slot}");
                assert_eq!(next_slot(at, rate, None), at, "{rate:?} {slot}");
                let next = next_slot(at + Duration::from_nanos(1), rate, Some(slot)) - at;
                assert!(
                    next.abs_diff(period) < Duration::from_nanos(20),
                    "{rate:?} {slot} {next:?}"
                );
            }
        }
    }
}
