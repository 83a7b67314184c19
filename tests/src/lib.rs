// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the end-to-end tests share: movies made by code, our programs, and the peers.
#![forbid(unsafe_code)]

pub mod broken;
pub mod movies;
pub mod peer;
pub mod pipeline;
pub mod programs;

use std::time::{Duration, Instant};

/// Between two looks of [`wait_until`].
const POLL: Duration = Duration::from_millis(10);

/// Waits until `ready`, for what has no event to wait on.
///
/// # Panics
/// If it is not within `limit`.
pub fn wait_until(what: &str, limit: Duration, mut ready: impl FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !ready() {
        assert!(Instant::now() < end, "{what}: not within {limit:?}");
        std::thread::sleep(POLL);
    }
}

/// Waits as [`wait_until`] does, and runs GLib's default main loop meanwhile.
///
/// # Panics
/// If it is not within `limit`.
pub fn wait_in_main_loop(what: &str, limit: Duration, mut ready: impl FnMut() -> bool) {
    let context = glib::MainContext::default();
    wait_until(what, limit, || {
        while context.iteration(false) {}
        ready()
    });
}

/// Lets time pass where the pace itself is what is tested, as of a person's keys.
pub fn pace(time: Duration) {
    std::thread::sleep(time);
}

/// Starts GStreamer with our elements in this process.
///
/// # Panics
/// If that fails.
pub fn init() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        gst::init().expect("GStreamer");
        gstmjpegfile::register().expect("our elements");
    });
}
