// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads frames, converts them if RTP/JPEG cannot carry them, and cuts them into RTP payloads. Caches
//! the payloads for all viewers, within a limit of memory.

use crate::observe::metrics::Metrics;
use crate::observe::sessions::Dialect;
use crate::send::frame_cache::{self, Frames};
use crate::send::{FetchOutcome, FrameFetcher, FrameRef};
use gstmjpegfile::jpeg::{
    self, CheckError, Conversion, ConversionReason, Header, Unusable, check_parsed, prepare,
};
use gstmjpegfile::rtp::JpegPayloads;
use quick_cache::Weighter;
use std::io;
use std::sync::Arc;
use std::time::Instant;

/// The size of a packet with its RTP header in bytes. With the headers of IP and UDP it fits the 1500
/// bytes of Ethernet, also in a tunnel.
const PACKET_SIZE: usize = 1400;

/// The bytes of memory that a cached frame needs besides its payloads.
const ENTRY_OVERHEAD: u64 = 256;

/// Identifies a frame in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct FrameKey {
    movie: u64,
    frame: u64,
    size: FrameSize,
}

/// The width and height of a frame in pixels; `None` for the size that it has in the movie.
type FrameSize = Option<(u16, u16)>;

/// A frame that can be sent, or the reason why it cannot.
#[derive(Debug)]
pub(super) enum PreparedFrame {
    /// The payloads of the frame.
    Payloads {
        payloads: JpegPayloads,
        /// The size after the conversion.
        size: FrameSize,
        conversion: Conversion,
        /// Why the frame was converted; `None` if it was not.
        reason: Option<ConversionReason>,
        /// It took long to prepare the frame.
        slow: bool,
    },
    /// The frame cannot be sent.
    Dropped(Unusable),
}

impl PreparedFrame {
    /// Whether the frame is not as it is in the movie.
    fn is_converted(&self) -> bool {
        matches!(self, Self::Payloads { conversion, .. } if *conversion != Conversion::AsIs)
    }

    fn of(prepared: &jpeg::Prepared) -> Self {
        let image = prepared.image();
        Self::Payloads {
            payloads: JpegPayloads::new(&image, PACKET_SIZE),
            size: Some(image.size()),
            conversion: prepared.conversion(),
            reason: prepared.reason(),
            // Converting, or reading all codes between restart markers, takes much longer than sending.
            slow: prepared.conversion() != Conversion::AsIs
                || image.parameters().restart_interval > 0,
        }
    }
}

#[derive(Debug, Clone)]
struct PayloadWeighter;

impl Weighter<FrameKey, Arc<PreparedFrame>> for PayloadWeighter {
    fn weight(&self, _: &FrameKey, frame: &Arc<PreparedFrame>) -> u64 {
        ENTRY_OVERHEAD
            + match &**frame {
                PreparedFrame::Payloads { payloads, .. } => payloads.bytes() as u64,
                PreparedFrame::Dropped(_) => 0,
            }
    }
}

/// Prepares frames, and caches them for all viewers.
pub(super) struct PayloadCache {
    cache: Option<Frames<FrameKey, Arc<PreparedFrame>, PayloadWeighter>>,
    /// Counts hits, misses and conversions.
    metrics: Option<Arc<Metrics>>,
}

impl PayloadCache {
    /// A cache of up to `capacity` bytes; 0 for no cache. How it is used is counted in `metrics`.
    pub fn new(capacity: u64, metrics: Option<Arc<Metrics>>) -> Self {
        let cache = frame_cache::new(capacity, PayloadWeighter);
        Self { cache, metrics }
    }

    /// Cuts a frame that has been read into payloads, and caches it, if that is all that it needs.
    /// `whole` is whether the file contains the whole frame.
    fn cut(&self, whole: bool, bytes: &[u8], key: FrameKey) -> FetchOutcome<Arc<PreparedFrame>> {
        if !whole {
            return FetchOutcome::Shrunk;
        }
        // The check of such a frame reads all of its codes.
        let header = Header::parse(bytes);
        if header.as_ref().is_ok_and(|header| header.restart_interval > 0) {
            return FetchOutcome::MustEncode;
        }
        let checked = header.map_err(CheckError::from).and_then(|it| check_parsed(bytes, &it));
        let prepared = match checked {
            Ok(image) if key.size.is_none_or(|size| size == image.size()) => {
                PreparedFrame::of(&jpeg::Prepared::AsIs(image))
            }
            Err(CheckError::Damaged(damage)) => PreparedFrame::Dropped(damage.into()),
            Ok(_) | Err(CheckError::UnsupportedByRtp(_)) => return FetchOutcome::MustEncode,
        };
        let prepared = Arc::new(prepared);
        if let Some(cache) = &self.cache {
            cache.insert(key, prepared.clone());
        }
        FetchOutcome::Ready(prepared)
    }
}

fn key(frame: FrameRef, size: FrameSize) -> FrameKey {
    FrameKey { movie: frame.movie.number(), frame: frame.number, size }
}

impl FrameFetcher for PayloadCache {
    type Frame = Arc<PreparedFrame>;
    type Options = FrameSize;

    fn fetch_now(
        &self,
        frame: FrameRef,
        size: FrameSize,
        scratch: &mut Vec<u8>,
    ) -> io::Result<FetchOutcome<Self::Frame>> {
        let key = key(frame, size);
        let cached = self.cache.as_ref().and_then(|cache| cache.get(&key));
        if let Some(metrics) = &self.metrics {
            metrics.add_cached(Dialect::Rtsp, cached.is_some());
        }
        if let Some(prepared) = cached {
            return Ok(FetchOutcome::Ready(prepared));
        }
        scratch.resize(frame.location.length as usize, 0);
        match frame.movie.read_at_once(frame.location, scratch) {
            Ok(whole) => Ok(self.cut(whole, scratch, key)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Ok(FetchOutcome::NotInMemory)
            }
            Err(error) => Err(error),
        }
    }

    fn fetch_waiting(
        &self,
        frame: FrameRef,
        size: FrameSize,
    ) -> io::Result<FetchOutcome<Self::Frame>> {
        let mut bytes = vec![0; frame.location.length as usize];
        let whole = frame.movie.read(frame.location, &mut bytes)?;
        Ok(self.cut(whole, &bytes, key(frame, size)))
    }

    /// Encodes a frame once, even if several streams need it at the same time.
    fn fetch_encoded(
        &self,
        frame: FrameRef,
        size: FrameSize,
    ) -> io::Result<FetchOutcome<Self::Frame>> {
        let convert = || {
            let mut jpeg = vec![0; frame.location.length as usize];
            if !frame.movie.read(frame.location, &mut jpeg)? {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            let start = Instant::now();
            let prepared = match prepare(&jpeg, size) {
                Ok(prepared) => PreparedFrame::of(&prepared),
                Err(unusable) => PreparedFrame::Dropped(unusable),
            };
            if let (Some(metrics), true) = (&self.metrics, prepared.is_converted()) {
                metrics.add_recoded(Dialect::Rtsp, start.elapsed());
            }
            Ok(Arc::new(prepared))
        };
        let prepared = match &self.cache {
            Some(cache) => cache.get_or_insert_with(&key(frame, size), convert),
            None => convert(),
        };
        match prepared {
            Ok(prepared) => Ok(FetchOutcome::Ready(prepared)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(FetchOutcome::Shrunk),
            Err(error) => Err(error),
        }
    }

    fn is_slow(frame: &Self::Frame) -> bool {
        matches!(**frame, PreparedFrame::Payloads { slow: true, .. })
    }
}
