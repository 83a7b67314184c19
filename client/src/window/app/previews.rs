// SPDX-License-Identifier: MIT OR Apache-2.0
//! The picture under the pointer on the seek bar.

use super::App;
use crate::player::{OUR_SERVER, Protocol, State};
use eframe::egui;

impl App {
    /// Shows the picture at the pointer's position on the seek bar.
    pub(super) fn update_preview(&mut self, ctx: &egui::Context) {
        let source = self.model.status.source.clone();
        if !self.has_previews() {
            self.preview.close();
            self.model.preview = None;
            return;
        }
        self.preview.close_unused(ctx, &source);
        let hovered = self.widgets.hovered;
        self.model.preview =
            hovered.and_then(|at| self.preview.at(ctx, &source, &self.options, at));
    }

    /// Whether a second player reads pictures of the source: of a file, or of a movie of our own server.
    /// Another server may be a camera that has one viewer. The first session comes first: it has sent
    /// PLAY, from which on the server counts it as a viewer.
    fn has_previews(&self) -> bool {
        let status = &self.model.status;
        match status.protocol {
            _ if status.state == State::Init => false,
            Protocol::None => true,
            Protocol::Rtsp => {
                let is_ours = |server: &str| server.starts_with(OUR_SERVER);
                self.picture.is_some()
                    && self.engine.with_log(|log| log.server().is_some_and(is_ours))
            }
            Protocol::Lab => false,
        }
    }
}
