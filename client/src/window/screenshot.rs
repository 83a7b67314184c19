// SPDX-License-Identifier: MIT OR Apache-2.0
//! The option `--screenshot FILE --after FRAMES`, for documentation and tests.

use crate::player::save_rgb;
use eframe::egui;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Number of passes before the screenshot, in which fonts and sizes settle.
const MIN_PASSES: u32 = 8;

/// Waits for its frames, saves the screenshot, and closes the window.
#[derive(Debug)]
pub struct Screenshot {
    path: PathBuf,
    after: u64,
    timeout: Duration,
    /// Number of the last frame, and the time at which it was first seen.
    newest: (u64, Instant),
    passes: u32,
    failed: Arc<AtomicBool>,
    requested: bool,
}

impl Screenshot {
    /// Saves to `path` when `after` frames have been shown. If no new frame arrives for `timeout`, it
    /// saves too, and sets `failed`.
    pub fn new(path: PathBuf, after: u64, timeout: Duration, failed: Arc<AtomicBool>) -> Self {
        let newest = (0, Instant::now());
        Self { path, after, timeout, newest, passes: 0, failed, requested: false }
    }

    /// Called after each pass with the number of frames shown so far. `ended`: no more will arrive.
    pub fn after_pass(&mut self, ctx: &egui::Context, frames: u64, ended: bool) {
        self.passes += 1;
        if self.newest.0 != frames {
            self.newest = (frames, Instant::now());
        }
        let enough = frames >= self.after;
        let gave_up = !enough && (ended || self.newest.1.elapsed() > self.timeout);
        if self.requested || !(enough || gave_up) || self.passes < MIN_PASSES {
            if !self.requested {
                ctx.request_repaint_after(Duration::from_millis(20));
            }
            return;
        }
        self.requested = true;
        if gave_up {
            tracing::error!(
                "only {frames} of {} frames were shown; saving the screenshot anyway",
                self.after
            );
            self.failed.store(true, Ordering::Relaxed);
        }
        let (path, failed, close) = (self.path.clone(), self.failed.clone(), ctx.clone());
        ctx.request_screenshot(move |image| {
            let rgb: Vec<u8> =
                image.pixels.iter().flat_map(|it| [it.r(), it.g(), it.b()]).collect();
            let size = image.size.map(|it| u32::try_from(it).unwrap_or(0));
            if let Err(error) = save_rgb(&path, size[0], size[1], &rgb) {
                tracing::error!("cannot write {}: {error}", path.display());
                failed.store(true, Ordering::Relaxed);
            }
            close.send_viewport_cmd(egui::ViewportCommand::Close);
            close.request_repaint();
        });
    }
}
