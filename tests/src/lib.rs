// SPDX-License-Identifier: MIT OR Apache-2.0
//! Shared by the end-to-end tests: movies made by code, our programs, and those of others.
#![forbid(unsafe_code)]

pub mod broken;
pub mod movies;
pub mod network;
pub mod peer;
pub mod pipeline;
pub mod programs;

use std::time::{Duration, Instant};

/// Time between two checks of [`wait_until`].
const POLL: Duration = Duration::from_millis(10);

/// Waits until `ready` gives true, where there is no event to wait for.
///
/// # Panics
/// If it does not within `limit`.
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
/// If `ready` does not return true within `limit`.
pub fn wait_in_main_loop(what: &str, limit: Duration, mut ready: impl FnMut() -> bool) {
    let context = glib::MainContext::default();
    wait_until(what, limit, || {
        while context.iteration(false) {}
        ready()
    });
}

/// Waits for a fixed time, where the time itself is tested, as between two key presses.
pub fn pace(time: Duration) {
    std::thread::sleep(time);
}

/// Initialises GStreamer and registers our elements in this process.
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
