// SPDX-License-Identifier: MIT OR Apache-2.0
//! Caches of frames for all viewers, within a limit of memory.

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use std::hash::Hash;

/// A cache of frames, whose weights are bytes.
pub(crate) type Frames<K, V, W> = Cache<K, V, W, DefaultHashBuilder, DefaultLifecycle<K, V>>;

/// The size of a usual frame in bytes.
const FRAME: u64 = 16_384;

/// A cache of up to `capacity` bytes; `None` if that is 0.
pub(crate) fn new<K, V, W>(capacity: u64, weighter: W) -> Option<Frames<K, V, W>>
where
    K: Eq + Hash,
    V: Clone,
    W: Weighter<K, V> + Clone,
{
    let items = usize::try_from(capacity / FRAME).unwrap_or(1024);
    // Few shards, since a frame must fit into one.
    let options = OptionsBuilder::new()
        .estimated_items_capacity(items)
        .weight_capacity(capacity)
        .shards(4)
        .build();
    // Building fails only if a capacity is missing.
    options.ok().filter(|_| capacity > 0).map(|options| {
        let (hash, lifecycle) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
        Cache::with_options(options, weighter, hash, lifecycle)
    })
}
