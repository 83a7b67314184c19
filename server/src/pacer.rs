// SPDX-License-Identifier: MIT OR Apache-2.0
//! Threads that send the frames of many sessions, each at its time: a heap of what is due, a sleep
//! until the first of it. A timer for each session would wake the system for each frame.

use gstmjpegfile::movie::FrameRate;
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
}

/// A number that nothing else that is paced has.
pub(crate) fn new_id() -> u64 {
    static IDS: AtomicU64 = AtomicU64::new(0);
    IDS.fetch_add(1, Ordering::Relaxed)
}

/// Where the clock of the slots begins.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The first begin of a slot that is not past.
pub(crate) fn next_slot(now: Instant, rate: FrameRate) -> Instant {
    let elapsed = now.saturating_duration_since(*EPOCH).as_nanos();
    let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX / 2);
    let frame = rate.frame_at(elapsed);
    let (start, end) = (rate.start_of(frame), rate.start_of(frame + 1));
    let period = end.saturating_sub(start).max(1);
    let slots = SLOTS.max(period.div_ceil(SLOT));
    let within = u128::from(elapsed - start) * u128::from(slots);
    let slot = within.div_ceil(u128::from(period));
    let begin = u64::try_from(u128::from(period) * slot / u128::from(slots)).unwrap_or(period);
    *EPOCH + Duration::from_nanos(start + begin)
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
pub(crate) struct Pacer(Arc<Shared>);

impl Pacer {
    fn start(number: usize) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let of_thread = shared.clone();
        let name = format!("pacer-{number}");
        std::thread::Builder::new().name(name).spawn(move || run(&of_thread))?;
        Ok(Self(shared))
    }

    /// Lets a stream's play send its next frame at a time.
    pub fn send_at(&self, at: Instant, play: u64, stream: Arc<dyn Paced>) {
        let mut queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let first = queue.due.peek().is_none_or(|Reverse(first)| at < first.at);
        let id = stream.id();
        queue.due.push(Reverse(Due { at, play, id, stream }));
        if first {
            self.0.earlier.notify_one();
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
            if let Some(at) = stream.clone().send_next(play, &mut frame) {
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
        self.pick_numbered().map(|(_, pacer)| pacer)
    }

    /// The same, with its number.
    pub fn pick_numbered(&self) -> Option<(usize, Pacer)> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.all.len().max(1);
        Some((turn, self.all.get(turn)?.clone()))
    }
}

impl Drop for Pacers {
    fn drop(&mut self) {
        for Pacer(shared) in &self.all {
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

    #[test]
    fn slots_are_parts_of_a_frames_time_for_all() {
        for (numerator, denominator) in [(20, 1), (30_000, 1001), (25, 2)] {
            let Some(rate) = FrameRate::new(numerator, denominator) else { continue };
            let begin = *EPOCH + Duration::from_hours(1);
            let slots: Vec<Duration> = (0..100_u32)
                .map(|step| begin + Duration::from_micros(1700) * step)
                .map(|now| {
                    let slot = next_slot(now, rate);
                    assert!(
                        slot >= now
                            && slot - now <= Duration::from_nanos(rate.start_of(1) / 10 + 2)
                    );
                    slot - *EPOCH
                })
                .collect();
            // A frame later there is a slot again, to a few nanoseconds.
            for slot in slots {
                let later = *EPOCH + slot + Duration::from_nanos(rate.start_of(1));
                let near = later.checked_sub(Duration::from_nanos(10)).unwrap_or(later);
                let again = next_slot(near, rate);
                let off = again.max(later) - again.min(later);
                assert!(off < Duration::from_nanos(20), "{rate:?} {slot:?} {off:?}");
            }
        }
    }
}
