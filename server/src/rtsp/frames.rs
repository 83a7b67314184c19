// SPDX-License-Identifier: MIT OR Apache-2.0
//! Frames as RTP payloads, made once for all viewers and kept within a limit of memory.

use crate::send::{Fetched, FrameRef, Frames};
use gstmjpegfile::jpeg::{
    self, CheckError, Conversion, ConversionReason, Unusable, check, prepare,
};
use gstmjpegfile::rtp::JpegPayloads;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use std::io;
use std::sync::Arc;

/// Bytes of a packet with its RTP header: with IP's and UDP's it fits Ethernet's 1500, and a tunnel
/// beneath.
const PACKET: usize = 1400;

/// What an entry takes besides the payloads.
const OVERHEAD: u64 = 256;

/// Which frame, of what, in which size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    movie: u64,
    frame: u64,
    /// In pixels; `None` is the frame's own.
    size: Size,
}

/// In pixels; `None` is the frame's own.
type Size = Option<(u16, u16)>;

/// What is sent for a frame.
#[derive(Debug)]
pub(super) enum Prepared {
    /// It is sent.
    Payloads {
        payloads: JpegPayloads,
        /// In pixels.
        size: Size,
        conversion: Conversion,
        /// Why it is not carried as it is.
        reason: Option<ConversionReason>,
    },
    /// It cannot be shown, and is left out.
    Dropped(Unusable),
}

impl Prepared {
    fn of(prepared: &jpeg::Prepared) -> Self {
        let image = prepared.image();
        Self::Payloads {
            payloads: JpegPayloads::new(&image, PACKET),
            size: Some(image.size()),
            conversion: prepared.conversion(),
            reason: prepared.reason(),
        }
    }

    /// Whether making it takes much longer than sending it.
    fn is_made(&self) -> bool {
        matches!(self, Self::Payloads { conversion, .. } if *conversion != Conversion::AsIs)
    }
}

#[derive(Debug, Clone)]
struct ByBytes;

impl Weighter<Key, Arc<Prepared>> for ByBytes {
    fn weight(&self, _: &Key, frame: &Arc<Prepared>) -> u64 {
        OVERHEAD
            + match &**frame {
                Prepared::Payloads { payloads, .. } => payloads.bytes() as u64,
                Prepared::Dropped(_) => 0,
            }
    }
}

type Kept =
    Cache<Key, Arc<Prepared>, ByBytes, DefaultHashBuilder, DefaultLifecycle<Key, Arc<Prepared>>>;

/// Makes frames, and keeps them for all viewers.
pub(super) struct PayloadCache(Option<Kept>);

impl PayloadCache {
    /// Keeps up to `capacity` bytes of payloads; 0 for none.
    pub fn new(capacity: u64) -> Self {
        let items = usize::try_from(capacity / 16_384).unwrap_or(1024);
        // Few shards, since an entry must fit one.
        let options = OptionsBuilder::new()
            .estimated_items_capacity(items)
            .weight_capacity(capacity)
            .shards(4)
            .build();
        // It fails only without the two capacities.
        Self(options.ok().filter(|_| capacity > 0).map(|options| {
            Cache::with_options(
                options,
                ByBytes,
                DefaultHashBuilder::default(),
                DefaultLifecycle::default(),
            )
        }))
    }

    /// What has been read, cut if that is all.
    fn cut(&self, whole: bool, bytes: &[u8], key: Key) -> Fetched<Arc<Prepared>> {
        if !whole {
            return Fetched::Shrunk;
        }
        let prepared = match check(bytes) {
            Ok(image) if key.size.is_none_or(|size| size == image.size()) => {
                Prepared::of(&jpeg::Prepared::AsIs(image))
            }
            Err(CheckError::Damaged(damage)) => Prepared::Dropped(damage.into()),
            Ok(_) | Err(CheckError::UnsupportedByRtp(_)) => return Fetched::MustEncode,
        };
        let prepared = Arc::new(prepared);
        if let Some(kept) = &self.0 {
            kept.insert(key, prepared.clone());
        }
        Fetched::Ready(prepared)
    }
}

fn key(frame: FrameRef, size: Size) -> Key {
    Key { movie: frame.movie.number(), frame: frame.number, size }
}

impl Frames for PayloadCache {
    type Frame = Arc<Prepared>;
    type Options = Size;

    fn fetch_now(
        &self,
        frame: FrameRef,
        size: Size,
        scratch: &mut Vec<u8>,
    ) -> io::Result<Fetched<Self::Frame>> {
        let key = key(frame, size);
        if let Some(prepared) = self.0.as_ref().and_then(|kept| kept.get(&key)) {
            return Ok(Fetched::Ready(prepared));
        }
        scratch.resize(frame.location.length as usize, 0);
        match frame.movie.read_at_once(frame.location, scratch) {
            Ok(whole) => Ok(self.cut(whole, scratch, key)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Fetched::NotInMemory),
            Err(error) => Err(error),
        }
    }

    fn wait_for(&self, frame: FrameRef, size: Size) -> io::Result<Fetched<Self::Frame>> {
        let mut bytes = vec![0; frame.location.length as usize];
        let whole = frame.movie.read(frame.location, &mut bytes)?;
        Ok(self.cut(whole, &bytes, key(frame, size)))
    }

    /// Encoded once, whoever else waits for it.
    fn encode(&self, frame: FrameRef, size: Size) -> io::Result<Fetched<Self::Frame>> {
        let make = || {
            let mut jpeg = vec![0; frame.location.length as usize];
            if !frame.movie.read(frame.location, &mut jpeg)? {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            Ok(Arc::new(match prepare(&jpeg, size) {
                Ok(prepared) => Prepared::of(&prepared),
                Err(unusable) => Prepared::Dropped(unusable),
            }))
        };
        let made = match &self.0 {
            Some(kept) => kept.get_or_insert_with(&key(frame, size), make),
            None => make(),
        };
        match made {
            Ok(prepared) => Ok(Fetched::Ready(prepared)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Fetched::Shrunk),
            Err(error) => Err(error),
        }
    }

    fn is_slow(frame: &Self::Frame) -> bool {
        frame.is_made()
    }
}
