// SPDX-License-Identifier: MIT OR Apache-2.0
//! Prepared frames, shared by all elements of the process: ten viewers of a movie cost about as
//! much as one. What is missing is prepared once, whoever else waits for it.

use crate::jpeg::{Conversion, ConversionReason, Unusable};
use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter, sync::DefaultLifecycle};
use std::convert::Infallible;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// 64 MB.
const DEFAULT_CAPACITY: u64 = 64_000_000;

/// What an entry takes besides the image: its key, and the cache's own books.
const OVERHEAD: u64 = 128;

/// Which frame, of what, in which size.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// As the property says.
    pub movie: String,
    /// The buffer's offset.
    pub frame: u64,
    /// The size that is asked for, if one is.
    pub size: Option<(u16, u16)>,
}

/// What is sent for a frame.
#[derive(Debug, Clone)]
pub(super) enum Entry {
    /// The frame's first bytes, and EOI if it lacks that.
    AsIs { length: usize, lacks_eoi: bool },
    /// This image, without timestamps.
    Made { image: gst::Buffer, way: Conversion, reason: ConversionReason },
    /// Nothing.
    Dropped(Unusable),
}

#[derive(Debug, Clone)]
struct ByBytes;

impl Weighter<Key, Entry> for ByBytes {
    fn weight(&self, _: &Key, entry: &Entry) -> u64 {
        OVERHEAD
            + match entry {
                Entry::Made { image, .. } => image.size() as u64,
                Entry::AsIs { .. } | Entry::Dropped(_) => 0,
            }
    }
}

type Frames = Cache<Key, Entry, ByBytes, DefaultHashBuilder, DefaultLifecycle<Key, Entry>>;

static CAPACITY: AtomicU64 = AtomicU64::new(DEFAULT_CAPACITY);

static FRAMES: LazyLock<Frames> = LazyLock::new(|| {
    let capacity = CAPACITY.load(Ordering::Relaxed);
    // Frames of 16 KB; few shards, since an entry must fit one.
    let options = OptionsBuilder::new()
        .estimated_items_capacity(usize::try_from(capacity / 16_384).unwrap_or(1024))
        .weight_capacity(capacity)
        .shards(4)
        .build();
    // It fails only without the two capacities.
    match options {
        Ok(options) => Cache::with_options(
            options,
            ByBytes,
            DefaultHashBuilder::default(),
            DefaultLifecycle::default(),
        ),
        Err(_) => Cache::with_weighter(1024, capacity, ByBytes),
    }
});

/// Sets how many bytes of prepared frames the process keeps, 0 for none; the default is 64 MB.
pub fn set_capacity(bytes: u64) {
    CAPACITY.store(bytes, Ordering::Relaxed);
    if LazyLock::get(&FRAMES).is_some() {
        FRAMES.set_capacity(bytes);
    }
}

/// The entry under `key`, made by `make` if there is none.
pub(super) fn get(key: &Key, make: impl FnOnce() -> Entry) -> Entry {
    if CAPACITY.load(Ordering::Relaxed) == 0 {
        return make();
    }
    let Ok(entry) = FRAMES.get_or_insert_with(key, || Ok::<_, Infallible>(make()));
    entry
}
