// SPDX-License-Identifier: MIT OR Apache-2.0
//! Frames that are not there at once: read or encoded by workers, waited for or ahead of their time.

use super::Fetched;
use std::io;

/// The frame that is being made elsewhere for a stream, of which there is one at most.
#[derive(Debug)]
pub(crate) enum Prefetch<F> {
    /// None.
    Idle,
    /// This one; whether its time has come, so that the stream waits for it.
    Working { frame: u64, awaited: bool },
    /// It has been made.
    Done { frame: u64, fetched: io::Result<Fetched<F>> },
}

/// What there is for a frame that is due.
#[derive(Debug)]
pub(crate) enum Due<F> {
    /// It has been made.
    Done(io::Result<Fetched<F>>),
    /// It is being made; the stream waits for it from now on.
    Awaited,
    /// Nothing: it is fetched now.
    Nothing,
}

impl<F> Prefetch<F> {
    /// Takes what there is for a frame. What there is for another frame is of no use any more.
    pub fn take(&mut self, due: u64) -> Due<F> {
        match std::mem::replace(self, Self::Idle) {
            Self::Done { frame, fetched } if frame == due => Due::Done(fetched),
            Self::Working { frame, .. } if frame == due => {
                self.begin(frame, true);
                Due::Awaited
            }
            _ => Due::Nothing,
        }
    }

    /// A frame is being made from now on.
    pub fn begin(&mut self, frame: u64, awaited: bool) {
        *self = Self::Working { frame, awaited };
    }

    /// A frame has been made; whether the stream waits for it. Nothing happens if the stream has
    /// turned to another one.
    pub fn finish(&mut self, made: u64, fetched: io::Result<Fetched<F>>) -> bool {
        match *self {
            Self::Working { frame, awaited } if frame == made => {
                *self = Self::Done { frame, fetched };
                awaited
            }
            _ => false,
        }
    }

    /// Whether nothing is being made, and nothing has been.
    pub fn is_idle(&self) -> bool {
        matches!(self, Self::Idle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(number: u8) -> Fetched<u8> {
        Fetched::Ready(number)
    }

    #[test]
    fn a_frame_that_is_made_is_taken_once_and_by_nobody_else() {
        let mut prefetch = Prefetch::Idle;
        assert!(matches!(prefetch.take(1), Due::Nothing));
        prefetch.begin(1, false);
        assert!(matches!(prefetch.take(1), Due::Awaited));
        assert!(prefetch.finish(1, Ok(ready(1))));
        assert!(matches!(prefetch.take(1), Due::Done(Ok(Fetched::Ready(1)))));
        assert!(prefetch.is_idle());
        // Ahead of its time.
        prefetch.begin(2, false);
        assert!(!prefetch.finish(2, Ok(ready(2))));
        assert!(matches!(prefetch.take(2), Due::Done(Ok(Fetched::Ready(2)))));
        // The stream has turned to another frame.
        prefetch.begin(3, true);
        assert!(matches!(prefetch.take(9), Due::Nothing));
        assert!(!prefetch.finish(3, Ok(ready(3))) && prefetch.is_idle());
    }
}
