// SPDX-License-Identifier: MIT OR Apache-2.0
//! Frames as RTP payloads, made once for all viewers and kept as far as memory is allowed.

use gstmjpegfile::jpeg::{Prepared, Reason, Refusal, Unusable, Way, check, frame_size, prepare};
use gstmjpegfile::movie::{EOI, FrameLocation};
use gstmjpegfile::movie_file::MovieFile;
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
pub(super) struct Key {
    pub movie: u64,
    pub frame: u64,
    /// In pixels; `None` is the frame's own.
    pub size: Option<(u16, u16)>,
}

/// What is sent for a frame.
#[derive(Debug)]
pub(super) enum Ready {
    Sent {
        payloads: JpegPayloads,
        /// In pixels.
        size: Option<(u16, u16)>,
        way: Way,
        /// Why it is not carried as it is.
        reason: Option<Reason>,
    },
    Dropped(Unusable),
}

impl Ready {
    fn of(jpeg: &[u8], way: Way, reason: Option<Reason>) -> Self {
        match JpegPayloads::cut(jpeg, PACKET) {
            Ok(payloads) => Self::Sent { payloads, size: frame_size(jpeg), way, reason },
            Err(damage) => Self::Dropped(damage.into()),
        }
    }

    /// Whether making it takes much longer than sending it.
    pub fn is_made(&self) -> bool {
        matches!(self, Self::Sent { way, .. } if *way != Way::AsIs)
    }
}

/// What a frame is at once.
#[derive(Debug)]
pub(super) enum Found {
    Ready(Arc<Ready>),
    /// It has to be waited for, not on a thread that others' frames wait for.
    NotInMemory,
    /// It has to be encoded anew, not on that thread either.
    TakesLong,
    /// The file has become shorter.
    Shrunk,
}

#[derive(Debug, Clone)]
struct ByBytes;

impl Weighter<Key, Arc<Ready>> for ByBytes {
    fn weight(&self, _: &Key, ready: &Arc<Ready>) -> u64 {
        OVERHEAD
            + match &**ready {
                Ready::Sent { payloads, .. } => payloads.bytes() as u64,
                Ready::Dropped(_) => 0,
            }
    }
}

type Kept = Cache<Key, Arc<Ready>, ByBytes, DefaultHashBuilder, DefaultLifecycle<Key, Arc<Ready>>>;

/// The frames that are kept.
pub(super) struct Frames(Option<Kept>);

impl Frames {
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

    /// A frame that is kept, or read and cut at once; `room` is place for its bytes.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn now(
        &self,
        movie: &MovieFile,
        location: FrameLocation,
        key: Key,
        room: &mut Vec<u8>,
    ) -> io::Result<Found> {
        if let Some(ready) = self.0.as_ref().and_then(|kept| kept.get(&key)) {
            return Ok(Found::Ready(ready));
        }
        room.resize(location.length as usize, 0);
        match movie.read_at_once(location, room) {
            Ok(whole) => Ok(self.cut(whole, room, key)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Found::NotInMemory),
            Err(error) => Err(error),
        }
    }

    /// A frame that is waited for.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn wait(&self, movie: &MovieFile, location: FrameLocation, key: Key) -> io::Result<Found> {
        let mut room = vec![0; location.length as usize];
        let whole = movie.read(location, &mut room)?;
        Ok(self.cut(whole, &mut room, key))
    }

    /// What has been read, cut if that is all.
    fn cut(&self, whole: bool, room: &mut Vec<u8>, key: Key) -> Found {
        if !whole {
            return Found::Shrunk;
        }
        let ready = match check(room) {
            Ok(carried) if key.size.is_none_or(|it| it == (carried.width, carried.height)) => {
                room.truncate(carried.length);
                if carried.lacks_eoi {
                    room.extend(EOI);
                }
                Ready::of(room, Way::AsIs, None)
            }
            Err(Refusal::Damaged(damage)) => Ready::Dropped(damage.into()),
            Ok(_) | Err(Refusal::NotCarried(_)) => return Found::TakesLong,
        };
        let ready = Arc::new(ready);
        if let Some(kept) = &self.0 {
            kept.insert(key, ready.clone());
        }
        Found::Ready(ready)
    }

    /// A frame that takes long, made once whoever else waits for it.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn slowly(
        &self,
        movie: &MovieFile,
        location: FrameLocation,
        key: Key,
    ) -> io::Result<Found> {
        let make = || {
            let mut jpeg = vec![0; location.length as usize];
            if !movie.read(location, &mut jpeg)? {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            Ok(Arc::new(match prepare(&jpeg, key.size) {
                Ok(Prepared::AsIs(carried)) => {
                    jpeg.truncate(carried.length);
                    Ready::of(&jpeg, Way::AsIs, None)
                }
                Ok(Prepared::Made { jpeg, way, reason }) => Ready::of(&jpeg, way, Some(reason)),
                Err(unusable) => Ready::Dropped(unusable),
            }))
        };
        let made = match &self.0 {
            Some(kept) => kept.get_or_insert_with(&key, make),
            None => make(),
        };
        match made {
            Ok(ready) => Ok(Found::Ready(ready)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Found::Shrunk),
            Err(error) => Err(error),
        }
    }
}
