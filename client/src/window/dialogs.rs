// SPDX-License-Identifier: MIT OR Apache-2.0
//! The system's file dialogs, on threads of their own: the picture goes on.

use eframe::egui;
use mjpeg_program::border::guarded;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// No person closes a dialog that fast: there was none.
const AT_ONCE: Duration = Duration::from_millis(400);

/// What a dialog was for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// A movie to open.
    Open,
    /// A file for this text.
    Save(String),
}

/// How a dialog ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A file was chosen.
    Chosen(Purpose, PathBuf),
    /// The system has no dialog to show.
    NoDialog(Purpose),
}

/// Dialogs that are open, and their answers.
#[derive(Debug)]
pub struct Dialogs {
    ctx: egui::Context,
    sender: mpsc::Sender<Answer>,
    answers: mpsc::Receiver<Answer>,
}

impl Dialogs {
    /// `ctx` is repainted at an answer.
    pub fn new(ctx: &egui::Context) -> Self {
        let (sender, answers) = mpsc::channel();
        Self { ctx: ctx.clone(), sender, answers }
    }

    /// Asks for a file. `name` is proposed for one that is saved.
    pub fn ask(&self, purpose: Purpose, name: &str) {
        let (sender, ctx, name) = (self.sender.clone(), self.ctx.clone(), name.to_owned());
        let asked = std::thread::Builder::new().name("dialog".to_owned()).spawn(move || {
            let begin = Instant::now();
            let show = || match &purpose {
                Purpose::Open => rfd::FileDialog::new()
                    .set_title("Open a movie")
                    .add_filter("Movies", &["mjpeg", "Mjpeg", "mjpg", "avi", "mkv", "mp4", "mov"])
                    .add_filter("All files", &["*"])
                    .pick_file(),
                Purpose::Save(_) => rfd::FileDialog::new().set_file_name(name).save_file(),
            };
            let answer = match guarded("file-dialog", show) {
                Ok(Some(path)) => Some(Answer::Chosen(purpose, path)),
                Ok(None) if begin.elapsed() >= AT_ONCE => None,
                Ok(None) | Err(_) => Some(Answer::NoDialog(purpose)),
            };
            if let Some(answer) = answer {
                let _ = sender.send(answer);
                ctx.request_repaint();
            }
        });
        if let Err(error) = asked {
            tracing::warn!("no thread for a dialog: {error}");
        }
    }

    /// The answers since the last time.
    pub fn answers(&self) -> impl Iterator<Item = Answer> {
        self.answers.try_iter()
    }
}
