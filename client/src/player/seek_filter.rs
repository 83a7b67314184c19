// SPDX-License-Identifier: MIT OR Apache-2.0
//! Drops RTP packets that the server sent before a seek.
//!
//! When the flush of a seek ends, packets of the old position may still be in the socket's buffer.
//! rtspsrc lets them pass until it has read the reply to PLAY; the first of them would be taken for the
//! frame at the new position. The reply's RTP-Info has the sequence number of the first new packet
//! (RFC 2326 section 12.33), and older ones are dropped.

use super::lock;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::ThreadId;
use std::time::Duration;

/// The longest time for which a packet waits for the reply to PLAY. After it, all packets pass. rtspsrc
/// gives the server as long.
const REPLY_LIMIT: Duration = Duration::from_secs(5);

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    PassAll,
    /// A flush has started.
    DropAll,
    /// A flush has ended, and PLAY has not been answered.
    AwaitReply,
    /// Packets before this sequence number are old.
    DropBefore(u16),
}

/// The filter for the packets of one stream.
#[derive(Debug, Default)]
pub(super) struct SeekFilter {
    state: Mutex<State>,
    replied: Condvar,
    /// The thread that sends PLAY. If RTP is interleaved, it also receives the packets.
    play_thread: Mutex<Option<ThreadId>>,
}

impl SeekFilter {
    /// Notes that the flush of a seek has started. A packet that waits is dropped, since the flush waits
    /// for its thread. Without the RTSP monitor, which reports PLAY, nothing is filtered.
    pub fn flush_started(&self) {
        if lock(&self.play_thread).is_some() {
            self.set(State::DropAll);
        }
    }

    /// Notes that the flush of a seek has ended.
    pub fn flushed(&self) {
        if lock(&self.play_thread).is_some() {
            self.set(State::AwaitReply);
        }
    }

    /// Lets all packets pass, and lets none wait: the session ends.
    pub fn end(&self) {
        self.set(State::PassAll);
    }

    fn set(&self, state: State) {
        *lock(&self.state) = state;
        self.replied.notify_all();
    }

    /// Notes that this thread sends a PLAY request.
    pub fn play_sent(&self) {
        *lock(&self.play_thread) = Some(std::thread::current().id());
    }

    /// Notes the reply to PLAY, with the sequence number in its RTP-Info.
    pub fn play_replied(&self, first: Option<u16>) {
        self.set(first.map_or(State::PassAll, State::DropBefore));
    }

    /// Whether a packet is kept. Waits for the reply to PLAY if there is none since the last flush.
    pub fn keeps(&self, sequence_number: u16) -> bool {
        let mut state = lock(&self.state);
        if *state == State::AwaitReply {
            // Interleaved packets come in order: those before the reply are old. Waiting for it would
            // keep its reader from reading it.
            if *lock(&self.play_thread) == Some(std::thread::current().id()) {
                return false;
            }
            let waits = |state: &mut State| *state == State::AwaitReply;
            let waited = self.replied.wait_timeout_while(state, REPLY_LIMIT, waits);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        match *state {
            State::DropAll => return false,
            State::DropBefore(first) if sequence_number.wrapping_sub(first) >= 1 << 15 => {
                return false;
            }
            State::PassAll | State::AwaitReply | State::DropBefore(_) => {}
        }
        *state = State::PassAll;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_from_before_a_seek_are_dropped() {
        let filter = SeekFilter::default();
        filter.flushed();
        assert!(filter.keeps(7), "without a monitor");
        std::thread::scope(|scope| drop(scope.spawn(|| filter.play_sent()).join()));
        filter.flushed();
        filter.play_replied(Some(65_535));
        // Two old packets, the first new one, and the ones after it.
        let kept = [65_533, 65_534, 65_535, 0, 1, 65_534].map(|number| filter.keeps(number));
        assert_eq!(kept, [false, false, true, true, true, true]);
        filter.flushed();
        filter.play_replied(None);
        assert!(filter.keeps(9), "a server without RTP-Info");
    }

    #[test]
    fn a_packet_waits_for_the_reply_unless_its_thread_reads_it() {
        let filter = SeekFilter::default();
        std::thread::scope(|scope| drop(scope.spawn(|| filter.play_sent()).join()));
        filter.flushed();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| filter.keeps(4));
            filter.play_replied(Some(5));
            assert!(!waiting.join().unwrap());
        });
        filter.flushed();
        filter.play_sent();
        assert!(!filter.keeps(5));
        filter.play_replied(Some(6));
        assert!(filter.keeps(6));
    }

    #[test]
    fn a_packet_that_waits_is_freed_by_the_next_flush_and_by_the_sessions_end() {
        let filter = SeekFilter::default();
        std::thread::scope(|scope| drop(scope.spawn(|| filter.play_sent()).join()));
        for flushes in [true, false] {
            filter.flushed();
            std::thread::scope(|scope| {
                let waiting = scope.spawn(|| filter.keeps(4));
                if flushes {
                    filter.flush_started();
                } else {
                    filter.end();
                }
                assert_eq!(waiting.join().unwrap(), !flushes);
            });
        }
    }
}
