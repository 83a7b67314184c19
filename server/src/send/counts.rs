// SPDX-License-Identifier: MIT OR Apache-2.0
//! Counts what was sent to one viewer, and keeps what it reported, for the log and the page of sessions.
//! The sender writes atomic numbers only.

use crate::observe::sessions::ObservedSession;
use gstmjpegfile::rtp::{JpegHeader, ReportBlock, RtpHeader};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

/// What was sent to one viewer, and what it reported.
#[derive(Debug, Default)]
pub(crate) struct SendCounts {
    sent: Sent,
    report: Mutex<Option<ReceiverReport>>,
    /// The session that these counts belong to; not set if nothing is observed.
    observer: OnceLock<Weak<ObservedSession>>,
}

/// What is written for each frame, in one line of the processor's cache: with many viewers none of them is in
/// the cache when the frame is due.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Sent {
    /// The number of frames that have been counted, or are being counted.
    started: AtomicU64,
    /// The number of frames. Stored last: while it differs from `started`, a frame is being counted.
    frames: AtomicU64,
    packets: AtomicU64,
    bytes: AtomicU64,
    /// The number of the last frame in the movie, plus one; 0 if none was sent.
    frame: AtomicU64,
    /// The sequence number of the last RTP packet.
    sequence_number: AtomicU32,
    /// The next frame is the first one of a play, and the observer wants to see it.
    is_first: AtomicBool,
}

/// A frame that was sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SentFrame {
    /// The number of the frame in the movie, from 0.
    pub number: u64,
    /// The number of its packets; 0 if it is not sent in packets.
    pub packets: usize,
    /// The bytes of its packets, RTP headers included.
    pub bytes: usize,
    /// The sequence number of its last packet.
    pub sequence_number: u16,
}

/// What was sent to one viewer so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The number of frames.
    pub frames: u64,
    /// The number of RTP packets.
    pub packets: u64,
    /// The bytes of the packets.
    pub bytes: u64,
    /// The sequence number of the last packet.
    pub sequence_number: u16,
    /// The number of the last frame in the movie.
    pub frame: Option<u64>,
}

/// The first packet of a play.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FirstPacket {
    /// Its header.
    pub header: RtpHeader,
    /// The length of the payload in bytes.
    pub payload: usize,
    /// The header at the start of the payload; `None` in the lab, which has none.
    pub jpeg_header: Option<JpegHeader>,
}

/// What a receiver reported, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReceiverReport {
    /// The report.
    pub block: ReportBlock,
    /// When it was received.
    pub received: Instant,
    /// The time of a round trip, if the report states what it follows from.
    pub round_trip: Option<Duration>,
}

impl ReceiverReport {
    /// The number of packets that the receiver has lost; 0 if it has received more than it expected,
    /// which is not a loss ([`ReportBlock::cumulative_lost`]).
    pub fn lost(&self) -> u32 {
        u32::try_from(self.block.cumulative_lost).unwrap_or(0)
    }
}

/// Adds to a number that only one thread at a time changes.
fn add(number: &AtomicU64, more: u64, order: Ordering) {
    number.store(number.load(Ordering::Relaxed).wrapping_add(more), order);
}

impl SendCounts {
    /// Counts a frame. `first` returns its first packet; it is called only for the first frame of a play that
    /// is observed.
    pub fn add_frame(&self, frame: SentFrame, first: impl FnOnce() -> Option<FirstPacket>) {
        // Only one thread at a time sends to a viewer.
        add(&self.sent.started, 1, Ordering::Relaxed);
        fence(Ordering::Release);
        add(&self.sent.packets, frame.packets as u64, Ordering::Relaxed);
        add(&self.sent.bytes, frame.bytes as u64, Ordering::Relaxed);
        self.sent.frame.store(frame.number.saturating_add(1), Ordering::Relaxed);
        self.sent.sequence_number.store(frame.sequence_number.into(), Ordering::Relaxed);
        add(&self.sent.frames, 1, Ordering::Release);
        if self.sent.is_first.load(Ordering::Relaxed)
            && self.sent.is_first.swap(false, Ordering::Relaxed)
            && let Some(observer) = self.observer()
        {
            observer.first_packet(first());
        }
    }

    /// Sets the session that these counts belong to.
    pub fn set_observer(&self, observer: &Arc<ObservedSession>) {
        let _ = self.observer.set(Arc::downgrade(observer));
    }

    /// The session that these counts belong to, if sessions are observed.
    pub fn observer(&self) -> Option<Arc<ObservedSession>> {
        self.observer.get()?.upgrade()
    }

    /// Lets the observer see the first packet of the play that starts now.
    pub fn expect_first(&self) {
        self.sent.is_first.store(true, Ordering::Relaxed);
    }

    /// Stores what the receiver reports.
    pub fn add_report(&self, block: ReportBlock) {
        let round_trip = block.round_trip(SystemTime::now());
        let report = ReceiverReport { block, received: Instant::now(), round_trip };
        *self.locked_report() = Some(report);
        if let Some(observer) = self.observer() {
            observer.reported(&report);
        }
    }

    fn locked_report(&self) -> MutexGuard<'_, Option<ReceiverReport>> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last report of the receiver.
    pub fn report(&self) -> Option<ReceiverReport> {
        *self.locked_report()
    }

    /// What was sent. All numbers belong together if nothing is sent any more.
    pub fn sent(&self) -> Progress {
        Progress {
            frames: self.sent.frames.load(Ordering::Acquire),
            packets: self.packets(),
            bytes: self.bytes(),
            sequence_number: self.sequence_number(),
            frame: self.frame(),
        }
    }

    /// What was sent so far; `None` while a frame is being counted.
    pub fn progress(&self) -> Option<Progress> {
        let sent = self.sent();
        fence(Ordering::Acquire);
        (self.sent.started.load(Ordering::Relaxed) == sent.frames).then_some(sent)
    }

    /// The number of frames.
    pub fn frames(&self) -> u64 {
        self.sent.frames.load(Ordering::Relaxed)
    }

    /// The number of packets.
    pub fn packets(&self) -> u64 {
        self.sent.packets.load(Ordering::Relaxed)
    }

    /// The bytes of the packets, RTP headers included.
    pub fn bytes(&self) -> u64 {
        self.sent.bytes.load(Ordering::Relaxed)
    }

    /// The number of the last frame in the movie, from 0.
    pub fn frame(&self) -> Option<u64> {
        self.sent.frame.load(Ordering::Relaxed).checked_sub(1)
    }

    /// The sequence number of the last RTP packet.
    pub fn sequence_number(&self) -> u16 {
        u16::try_from(self.sent.sequence_number.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// The number of packets that the receiver has reported as lost; `None` if it has not reported.
    pub fn lost(&self) -> Option<u32> {
        self.report().map(|report| report.lost())
    }
}
