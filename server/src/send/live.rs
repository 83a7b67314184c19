// SPDX-License-Identifier: MIT OR Apache-2.0
//! The streams of live movies, which their viewers share. A movie has a stream for each pacer and each slot,
//! so that cores share the viewers and not all frames leave at once.

use super::FrameSink;
use super::pacer::{Pacer, Pacers};
use super::stream::Stream;
use crate::mount::Mount;
use gstmjpegfile::movie_file::MovieFile;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The number of viewers of a live stream after which another stream is started for further ones. A
/// frame is sent to this many viewers within about a millisecond.
const VIEWERS_PER_STREAM: usize = 32;

/// Identifies a live movie: the number of its mount, and that of its file.
type LiveKey = (u64, u64);

/// The streams of each live movie that has viewers.
pub(crate) struct LiveStreams<S: FrameSink>(Mutex<HashMap<LiveKey, Vec<Weak<Stream<S>>>>>);

impl<S: FrameSink> Default for LiveStreams<S> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<S: FrameSink> LiveStreams<S> {
    /// The stream of a live movie for one more viewer: the one with the fewest viewers, or one that `new`
    /// makes if all are full and a pacer has a free slot. `None` if there is no pacer.
    pub fn stream(
        &self,
        mount: &Mount,
        movie: Arc<MovieFile>,
        pacers: &Pacers,
        new: impl FnOnce(Arc<MovieFile>, Pacer) -> Arc<Stream<S>>,
    ) -> Option<Arc<Stream<S>>> {
        let mut live = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        live.retain(|_, streams| streams.iter().any(|stream| stream.strong_count() > 0));
        let streams = live.entry((mount.id, movie.number())).or_default();
        let mut free = None;
        let mut emptiest = None;
        for (index, pacer) in pacers.with_slots(mount.mode().framerate).enumerate() {
            let Some(stream) = streams.get(index).and_then(Weak::upgrade) else {
                free = free.or(Some((index, pacer)));
                continue;
            };
            // Each viewer of the stream has a reference.
            let viewers = Arc::strong_count(&stream);
            if emptiest.as_ref().is_none_or(|(fewest, _)| viewers < *fewest) {
                emptiest = Some((viewers, stream));
            }
        }
        match (emptiest, free) {
            (Some((viewers, stream)), free) if viewers < VIEWERS_PER_STREAM || free.is_none() => {
                Some(stream)
            }
            (_, Some((index, pacer))) => {
                let stream = new(movie, pacer);
                let count = streams.len().max(index + 1);
                streams.resize_with(count, Weak::new);
                streams[index] = Arc::downgrade(&stream);
                Some(stream)
            }
            (_, None) => None,
        }
    }
}
