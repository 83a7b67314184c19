// SPDX-License-Identifier: MIT OR Apache-2.0
//! `--screenshot FILE --after FRAMES`: for documentation and tests.

use crate::player::save_rgb;
use eframe::egui;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The window is drawn so often before it is taken: fonts and sizes settle.
const PASSES: u32 = 8;

/// Waits for its frames, takes the picture, and closes the window.
#[derive(Debug)]
pub struct Screenshot {
    path: PathBuf,
    after: u64,
    patience: Duration,
    newest: (u64, Instant),
    passes: u32,
    failed: Arc<AtomicBool>,
    asked: bool,
}

impl Screenshot {
    /// Into `path`, when `after` frames have been shown; without a new one for `patience` it is
    /// taken too, and `failed` is set.
    pub fn new(path: PathBuf, after: u64, patience: Duration, failed: Arc<AtomicBool>) -> Self {
        Self { path, after, patience, newest: (0, Instant::now()), passes: 0, failed, asked: false }
    }

    /// A pass has been drawn with so many frames shown; `ended`: no more will come.
    pub fn pass(&mut self, ctx: &egui::Context, frames: u64, ended: bool) {
        self.passes += 1;
        if self.newest.0 != frames {
            self.newest = (frames, Instant::now());
        }
        let enough = frames >= self.after;
        let gave_up = !enough && (ended || self.newest.1.elapsed() > self.patience);
        if self.asked || !(enough || gave_up) || self.passes < PASSES {
            if !self.asked {
                ctx.request_repaint_after(Duration::from_millis(20));
            }
            return;
        }
        self.asked = true;
        if gave_up {
            tracing::error!("{frames} of {} frames came; the window is taken as it is", self.after);
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
