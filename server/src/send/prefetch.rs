// SPDX-License-Identifier: MIT OR Apache-2.0
//! The frame of a stream that a worker prepares: one that must be read from a disk, or encoded. The
//! stream waits for it, or the worker prepares it before it is due.

use super::FetchOutcome;
use std::io;

/// The frame that a worker prepares for a stream, at most one at a time.
#[derive(Debug)]
pub(crate) enum Prefetch<F> {
    /// No frame is being prepared.
    Idle,
    /// A worker prepares the frame. `awaited` means that it is due and the stream waits for it.
    Working { frame: u64, awaited: bool },
    /// The frame is prepared and has not been sent.
    Done { frame: u64, fetched: io::Result<FetchOutcome<F>> },
}

/// What [`Prefetch::take`] returns for a frame that is due.
#[derive(Debug)]
pub(crate) enum PrefetchResult<F> {
    /// The frame has been prepared.
    Done(io::Result<FetchOutcome<F>>),
    /// A worker still prepares the frame; the stream waits for it from now on.
    Awaited,
    /// No worker prepares the frame: the stream must fetch it.
    NotStarted,
}

impl<F> Prefetch<F> {
    /// Takes the frame that is due. Discards any other frame.
    pub fn take(&mut self, due: u64) -> PrefetchResult<F> {
        match std::mem::replace(self, Self::Idle) {
            Self::Done { frame, fetched } if frame == due => PrefetchResult::Done(fetched),
            Self::Working { frame, .. } if frame == due => {
                self.start(frame, true);
                PrefetchResult::Awaited
            }
            _ => PrefetchResult::NotStarted,
        }
    }

    /// Records that a worker prepares a frame.
    pub fn start(&mut self, frame: u64, awaited: bool) {
        *self = Self::Working { frame, awaited };
    }

    /// Stores the frame that a worker has prepared, and returns whether the stream waits for it.
    /// Discards the frame if the stream now needs another one.
    pub fn finish(&mut self, prepared: u64, fetched: io::Result<FetchOutcome<F>>) -> bool {
        match *self {
            Self::Working { frame, awaited } if frame == prepared => {
                *self = Self::Done { frame, fetched };
                awaited
            }
            _ => false,
        }
    }

    /// Whether no frame is being prepared and none is stored.
    pub fn is_idle(&self) -> bool {
        matches!(self, Self::Idle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(number: u8) -> FetchOutcome<u8> {
        FetchOutcome::Ready(number)
    }

    #[test]
    fn a_prepared_frame_is_taken_once_and_for_no_other_frame() {
        let mut prefetch = Prefetch::Idle;
        assert!(matches!(prefetch.take(1), PrefetchResult::NotStarted));
        prefetch.start(1, false);
        assert!(matches!(prefetch.take(1), PrefetchResult::Awaited));
        assert!(prefetch.finish(1, Ok(ready(1))));
        assert!(matches!(prefetch.take(1), PrefetchResult::Done(Ok(FetchOutcome::Ready(1)))));
        assert!(prefetch.is_idle());
        // Prepared before it is due.
        prefetch.start(2, false);
        assert!(!prefetch.finish(2, Ok(ready(2))));
        assert!(matches!(prefetch.take(2), PrefetchResult::Done(Ok(FetchOutcome::Ready(2)))));
        // Another frame is due meanwhile, after a seek.
        prefetch.start(3, true);
        assert!(matches!(prefetch.take(9), PrefetchResult::NotStarted));
        assert!(!prefetch.finish(3, Ok(ready(3))) && prefetch.is_idle());
    }
}
