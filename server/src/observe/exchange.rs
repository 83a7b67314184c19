// SPDX-License-Identifier: MIT OR Apache-2.0
//! Keeps the last events of the exchange, and lets readers follow it. A reader reads from what is kept, at
//! its own pace: a slow one misses events, and delays no other.

use super::Observatory;
use super::event::{Event, Kind, packets_json};
use super::sessions::Dialect;
use crate::send::counts::Progress;
use serde_json::Value;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// The number of events that are kept.
pub(crate) const MAX_EVENTS: usize = 500;

/// The memory in bytes that the events may need.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// The number of readers at a time.
const MAX_READERS: usize = 64;

/// The time between two checks of what was sent.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(250);

/// The number of sessions whose packets a reader sees at a time: the newest that play. A person cannot follow more.
const MAX_SAMPLED: usize = 64;

/// The number of events that are read at a time.
const BATCH: usize = 50;

#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<Arc<Event>>,
    bytes: usize,
    /// The number of the last event.
    last: u64,
}

/// The exchange of all sessions.
#[derive(Debug)]
pub(crate) struct Exchange {
    ring: Mutex<Ring>,
    /// The number of the last event, for readers that wait.
    last: watch::Sender<u64>,
    readers: AtomicUsize,
}

/// The events that a reader wants to see.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// Those of this session.
    pub session: Option<u64>,
    /// Those of this language.
    pub dialect: Option<Dialect>,
}

impl Filter {
    fn accepts(self, session: u64, dialect: Dialect) -> bool {
        self.session.is_none_or(|it| it == session) && self.dialect.is_none_or(|it| it == dialect)
    }
}

impl Default for Exchange {
    fn default() -> Self {
        let (last, _) = watch::channel(0);
        Self { ring: Mutex::default(), last, readers: AtomicUsize::new(0) }
    }
}

/// The memory of an event in bytes.
fn size(event: &Event) -> usize {
    size_of::<Event>() + event.kind.bytes()
}

impl Exchange {
    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event. The oldest ones are dropped if there are too many.
    pub fn record(&self, session: u64, dialect: Dialect, kind: Kind) {
        let time = SystemTime::now();
        let mut ring = self.ring();
        ring.last += 1;
        let number = ring.last;
        let event = Event { number, session, dialect, time, kind };
        ring.bytes += size(&event);
        ring.events.push_back(Arc::new(event));
        while ring.events.len() > MAX_EVENTS || ring.bytes > MAX_BYTES {
            let Some(oldest) = ring.events.pop_front() else { break };
            ring.bytes -= size(&oldest);
        }
        drop(ring);
        if self.last.receiver_count() > 0 {
            self.last.send_replace(number);
        }
    }

    /// The number of events that are kept, and their memory in bytes.
    #[cfg(test)]
    pub(super) fn kept(&self) -> (usize, usize) {
        let ring = self.ring();
        (ring.events.len(), ring.bytes)
    }

    /// The number of the last event.
    fn last(&self) -> u64 {
        self.ring().last
    }

    /// The events after one with a number, at most [`BATCH`], and the number of those that are not kept any
    /// more.
    fn read(&self, after: u64) -> (Vec<Arc<Event>>, u64) {
        let ring = self.ring();
        let first = ring.events.front().map_or(ring.last + 1, |event| event.number);
        let lost = first.saturating_sub(after + 1);
        let skip = usize::try_from((after + 1).saturating_sub(first)).unwrap_or(usize::MAX);
        (ring.events.iter().skip(skip).take(BATCH).cloned().collect(), lost)
    }
}

/// What a reader is given.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Output {
    /// The number of the last event that the reader has been given or that it does not want.
    pub number: u64,
    /// The name of the event.
    pub name: &'static str,
    /// Its data.
    pub data: Value,
}

/// Follows the exchange.
pub(crate) struct Reader {
    observatory: Arc<Observatory>,
    filter: Filter,
    changed: watch::Receiver<u64>,
    /// The last event that was read.
    after: u64,
    /// What is to be given to the reader next.
    pending: VecDeque<Output>,
    /// What the reader knows to have been sent: by session, and by the number of its movie.
    seen: HashMap<(u64, u64), Progress>,
    /// The number of the last event when the reader has started. What was sent before is not new.
    started: u64,
    next_sample: Instant,
}

impl Reader {
    /// A reader that starts after an event; `None` for all that are kept. Returns `None` if the limit of
    /// readers is reached.
    pub fn new(observatory: Arc<Observatory>, filter: Filter, after: Option<u64>) -> Option<Self> {
        let exchange = &observatory.exchange;
        if exchange.readers.fetch_add(1, Ordering::Relaxed) >= MAX_READERS {
            exchange.readers.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let changed = exchange.last.subscribe();
        let last = exchange.last();
        let first = exchange.ring().events.front().map_or(last, |event| event.number - 1);
        // A number that has not been reached is that of a server that ran before.
        let after = after.filter(|after| *after <= last).unwrap_or(first);
        let mut reader = Self {
            observatory,
            filter,
            changed,
            after,
            pending: VecDeque::new(),
            seen: HashMap::new(),
            started: 0,
            next_sample: Instant::now() + SAMPLE_INTERVAL,
        };
        for session in reader.observatory.registry.all() {
            if let Some((movie, Some(sent))) = session.progress() {
                reader.seen.insert((session.id, movie), sent);
            }
        }
        reader.started = reader.observatory.exchange.last();
        Some(reader)
    }

    /// The next event. Waits until there is one.
    pub async fn next(&mut self) -> Output {
        loop {
            if let Some(output) = self.pending.pop_front() {
                return output;
            }
            self.changed.mark_unchanged();
            if self.read() {
                continue;
            }
            // The sender lives as long as the observatory.
            if timeout_at(self.next_sample, self.changed.changed()).await.is_err() {
                self.next_sample = Instant::now() + SAMPLE_INTERVAL;
                let number = self.after;
                for (name, data) in self.changes() {
                    self.pending.push_back(Output { number, name, data });
                }
            }
        }
    }

    /// Reads events. Returns `false` if there is none.
    fn read(&mut self) -> bool {
        let (events, lost) = self.observatory.exchange.read(self.after);
        if lost > 0 {
            let data = serde_json::json!({ "events": lost });
            self.after += lost;
            self.pending.push_back(Output { number: self.after, name: "lost", data });
        }
        for event in &events {
            self.after = event.number;
            let output = match event.kind {
                _ if !self.filter.accepts(event.session, event.dialect) => None,
                Kind::Sent { movie, sent } => self.rest_of(event, movie, sent),
                _ => Some(event.to_json()),
            };
            if let Some((name, data)) = output {
                self.pending.push_back(Output { number: event.number, name, data });
            }
        }
        lost > 0 || !events.is_empty()
    }

    /// What was sent of a movie that has been closed, and is not known to the reader yet.
    fn rest_of(
        &mut self,
        event: &Event,
        movie: u64,
        sent: Progress,
    ) -> Option<(&'static str, Value)> {
        let before = match self.seen.remove(&(event.session, movie)) {
            Some(before) => before,
            None if event.number <= self.started => return None,
            None => Progress::default(),
        };
        let is_new = sent.frames > before.frames;
        is_new.then(|| packets_json(event.session, event.time, before, sent))
    }

    /// Compares what has been sent with what the reader knows. Returns the differences as events.
    fn changes(&mut self) -> Vec<(&'static str, Value)> {
        let mut events = Vec::new();
        let mut present = HashSet::new();
        for session in self.observatory.registry.all().iter().rev() {
            if !self.filter.accepts(session.id, session.dialect) {
                continue;
            }
            let Some((movie, sent)) = session.progress() else { continue };
            present.insert((session.id, movie));
            let Some(sent) = sent.filter(|_| events.len() < MAX_SAMPLED) else { continue };
            let before = self.seen.entry((session.id, movie)).or_default();
            if sent.frames > before.frames {
                events.push(packets_json(session.id, SystemTime::now(), *before, sent));
                *before = sent;
            }
        }
        // A movie that is not there any more has been closed, and this reader knows of it.
        if self.after >= self.observatory.exchange.last() {
            self.seen.retain(|movie, _| present.contains(movie));
        }
        events
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.observatory.exchange.readers.fetch_sub(1, Ordering::Relaxed);
    }
}
