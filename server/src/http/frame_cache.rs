// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads frames as they are in the file, and caches them for all viewers, within a limit of memory.

use crate::observe::metrics::Metrics;
use crate::observe::sessions::Dialect;
use crate::send::frame_cache::{self, Frames};
use crate::send::{FetchOutcome, FrameFetcher, FrameRef};
use bytes::Bytes;
use gstmjpegfile::movie::SOI;
use quick_cache::Weighter;
use std::io;
use std::sync::Arc;

/// The bytes of memory that a cached frame needs besides the image.
const ENTRY_OVERHEAD: u64 = 128;

/// Identifies a frame: the number of its movie, and its own.
type FrameKey = (u64, u64);

#[derive(Debug, Clone)]
struct FrameWeighter;

impl Weighter<FrameKey, Bytes> for FrameWeighter {
    fn weight(&self, _: &FrameKey, frame: &Bytes) -> u64 {
        ENTRY_OVERHEAD + frame.len() as u64
    }
}

/// Reads frames, and caches them for all viewers. A frame is empty if the file was overwritten and the bytes are
/// not an image: it is not sent, and the stream soon continues with the file's new content.
pub(super) struct FrameCache {
    cache: Option<Frames<FrameKey, Bytes, FrameWeighter>>,
    /// Counts hits and misses.
    metrics: Option<Arc<Metrics>>,
}

impl FrameCache {
    /// A cache of up to `capacity` bytes; 0 for no cache. How it is used is counted in `metrics`.
    pub fn new(capacity: u64, metrics: Option<Arc<Metrics>>) -> Self {
        let cache = frame_cache::new(capacity, FrameWeighter);
        Self { cache, metrics }
    }

    fn cached(&self, frame: FrameRef) -> Option<Bytes> {
        self.cache.as_ref()?.get(&(frame.movie.number(), frame.number))
    }

    /// Caches a frame that has been read. `whole` is whether the file contains the whole frame.
    fn add(&self, frame: FrameRef, whole: bool, jpeg: Vec<u8>) -> FetchOutcome<Bytes> {
        if !whole {
            return FetchOutcome::Shrunk;
        }
        if !jpeg.starts_with(&SOI) {
            return FetchOutcome::Ready(Bytes::new());
        }
        let jpeg = Bytes::from(jpeg);
        if let Some(cache) = &self.cache {
            cache.insert((frame.movie.number(), frame.number), jpeg.clone());
        }
        FetchOutcome::Ready(jpeg)
    }
}

impl FrameFetcher for FrameCache {
    type Frame = Bytes;
    type Options = ();

    fn fetch_now(
        &self,
        frame: FrameRef,
        (): (),
        _: &mut Vec<u8>,
    ) -> io::Result<FetchOutcome<Bytes>> {
        let cached = self.cached(frame);
        if let Some(metrics) = &self.metrics {
            metrics.add_cached(Dialect::Http, cached.is_some());
        }
        if let Some(jpeg) = cached {
            return Ok(FetchOutcome::Ready(jpeg));
        }
        let mut jpeg = vec![0; frame.location.length as usize];
        match frame.movie.read_at_once(frame.location, &mut jpeg) {
            Ok(whole) => Ok(self.add(frame, whole, jpeg)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Ok(FetchOutcome::NotInMemory)
            }
            Err(error) => Err(error),
        }
    }

    fn fetch_waiting(&self, frame: FrameRef, (): ()) -> io::Result<FetchOutcome<Bytes>> {
        if let Some(jpeg) = self.cached(frame) {
            return Ok(FetchOutcome::Ready(jpeg));
        }
        let mut jpeg = vec![0; frame.location.length as usize];
        let whole = frame.movie.read(frame.location, &mut jpeg)?;
        Ok(self.add(frame, whole, jpeg))
    }

    /// Nothing is encoded.
    fn fetch_encoded(&self, frame: FrameRef, (): ()) -> io::Result<FetchOutcome<Bytes>> {
        self.fetch_waiting(frame, ())
    }

    fn is_slow(_: &Bytes) -> bool {
        false
    }
}
