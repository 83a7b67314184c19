// SPDX-License-Identifier: MIT OR Apache-2.0
//! The system's file dialogs. Each has a thread of its own, so that the window does not wait.

use crate::player::Snapshot;
use eframe::egui;
use mjpeg_program::border::guarded;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// A dialog that returns without a choice within this time was not shown: a user cannot close one that quickly.
const MIN_OPEN_TIME: Duration = Duration::from_millis(400);

/// The purpose of a dialog.
#[derive(Debug, Clone)]
pub enum Purpose {
    /// Choose a movie to open.
    Open,
    /// Choose a file in which to save this text.
    Save(String),
    /// Choose a file in which to save these packets. The ending of its name states the format; this name
    /// is suggested.
    SavePackets(Arc<Snapshot>, &'static str),
}

/// The result of a dialog.
#[derive(Debug, Clone)]
pub enum DialogResult {
    /// A file was chosen.
    Chosen(Purpose, PathBuf),
    /// Packets were saved, or the reason why they were not.
    Saved(PathBuf, Result<(), String>),
    /// The system has no dialog to show.
    NoDialog(Purpose),
}

/// Opens dialogs and collects their results.
#[derive(Debug)]
pub struct Dialogs {
    ctx: egui::Context,
    sender: mpsc::Sender<DialogResult>,
    results: mpsc::Receiver<DialogResult>,
}

/// The extensions of movies and lists, also as the lab spells them.
fn file_types() -> Vec<&'static str> {
    let lists = ["m3u", "m3u8", "Mjpeg"];
    crate::player::movies::EXTENSIONS.into_iter().chain(lists).collect()
}

impl Dialogs {
    /// `ctx` is repainted at each result.
    pub fn new(ctx: &egui::Context) -> Self {
        let (sender, results) = mpsc::channel();
        Self { ctx: ctx.clone(), sender, results }
    }

    /// Shows a dialog. `name` is the suggested name of a file to save.
    pub fn show(&self, purpose: Purpose, name: &str) {
        let (sender, ctx, name) = (self.sender.clone(), self.ctx.clone(), name.to_owned());
        let started = std::thread::Builder::new().name("dialog".to_owned()).spawn(move || {
            let start = Instant::now();
            let show = || match &purpose {
                Purpose::Open => rfd::FileDialog::new()
                    .set_title("Open a movie")
                    .add_filter("Movies and lists", &file_types())
                    .add_filter("All files", &["*"])
                    .pick_file(),
                Purpose::Save(_) | Purpose::SavePackets(..) => {
                    rfd::FileDialog::new().set_file_name(name).save_file()
                }
            };
            let result = match guarded("file-dialog", show) {
                Ok(Some(path)) => Some(DialogResult::Chosen(purpose, path)),
                Ok(None) if start.elapsed() >= MIN_OPEN_TIME => None,
                Ok(None) | Err(_) => Some(DialogResult::NoDialog(purpose)),
            };
            if let Some(result) = result {
                let _ = sender.send(result);
                ctx.request_repaint();
            }
        });
        if let Err(error) = started {
            tracing::warn!("cannot start a thread for a file dialog: {error}");
        }
    }

    /// Saves packets, in a thread of its own.
    pub fn save_packets(&self, packets: Arc<Snapshot>, path: &Path) {
        let (sender, ctx, path) = (self.sender.clone(), self.ctx.clone(), path.to_owned());
        let started = std::thread::Builder::new().name("save".to_owned()).spawn(move || {
            let saved = guarded("save-packets", || packets.save(&path));
            let saved = match saved {
                Ok(saved) => saved.map_err(|error| error.to_string()),
                Err(panicked) => Err(panicked.to_string()),
            };
            let _ = sender.send(DialogResult::Saved(path, saved));
            ctx.request_repaint();
        });
        if let Err(error) = started {
            tracing::warn!("cannot start a thread to save packets: {error}");
        }
    }

    /// The results since the last call.
    pub fn results(&self) -> impl Iterator<Item = DialogResult> {
        self.results.try_iter()
    }
}
