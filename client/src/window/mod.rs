// SPDX-License-Identifier: MIT OR Apache-2.0
//! The window: the picture, the lab's buttons and states, the protocol and the statistics.
//!
//! `view` draws a `Model` and collects `Action`s. `app` makes the `Model` from the engine's state,
//! and carries out the `Action`s. No widget uses GStreamer, and none waits.

mod address;
mod advice;
mod app;
mod controls;
mod dialogs;
mod forms;
mod keys;
mod ladder;
mod model;
mod packet_list;
#[cfg(test)]
mod panel_tests;
mod picture;
mod preview;
mod protocol;
mod screenshot;
mod settings;
mod statistics;
mod style;
#[cfg(test)]
mod tests;
mod view;
mod zoom;

pub use settings::{Panel, Settings, Theme};

use crate::player::engine::Engine;
use crate::player::{Options, Transport};
use crate::{NO_DISPLAY, has_display};
use anyhow::{Context, Result};
use app::App;
use eframe::egui;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What the window shows first, and how; what is `None` comes from the settings.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "independent choices")]
pub struct Startup {
    /// The source that is opened.
    pub source: Option<String>,
    /// How to receive sources. Its transport, latency, reconnection and repetition come from the settings,
    /// where the fields below say nothing else.
    pub options: Options,
    /// The transport, if it is not [`Transport::Auto`].
    pub transport: Option<Transport>,
    /// Length of the jitter buffer in milliseconds.
    pub latency: Option<u32>,
    /// Open lost sessions again.
    pub reconnect: bool,
    /// Play movies again and again.
    pub repeat: bool,
    /// Only open the source; do not set it up.
    pub no_play: bool,
    /// Three buttons instead of the lab's four.
    pub simple: bool,
    /// The colours.
    pub theme: Option<Theme>,
    /// The page of the panel.
    pub panel: Option<Panel>,
    /// Width and height in points.
    pub size: Option<[u16; 2]>,
    /// Save a screenshot after a number of frames, then close the window.
    pub screenshot: Option<(PathBuf, u64)>,
    /// The user that the form for a user and a password is filled with.
    pub user: Option<String>,
}

/// Why the window was not shown.
#[derive(Debug, thiserror::Error)]
#[error("no window: {0}")]
pub struct NoWindow(String);

/// Shows the window until it is closed.
///
/// # Errors
/// If the player's thread does not start. The inner error means that there is no display, and that
/// nothing was played.
pub fn run(startup: &Startup) -> Result<Result<ExitCode, NoWindow>> {
    if !has_display() {
        return Ok(Err(NoWindow(NO_DISPLAY.to_owned())));
    }
    let mut settings = Settings::load();
    settings.theme = startup.theme.unwrap_or(settings.theme);
    settings.panel = startup.panel.unwrap_or(settings.panel);
    if let Some([width, height]) = startup.size {
        settings.size = [f32::from(width), f32::from(height)];
    }
    settings.simple |= startup.simple;
    settings.reconnect |= startup.reconnect;
    settings.repeat |= startup.repeat;
    let options = Options {
        transport: startup.transport.unwrap_or(settings.transport),
        latency: startup.latency.unwrap_or(settings.latency),
        reconnect: settings.reconnect,
        repeat: settings.repeat,
        ..startup.options.clone()
    };

    let ctx = egui::Context::default();
    style::install(&ctx);
    style::set_theme(&ctx, settings.theme);
    // The engine connects while the window opens.
    let wake = ctx.clone();
    let engine =
        Engine::start(move || repaint(&wake)).context("cannot start the player's thread")?;
    if let Some(source) = &startup.source {
        let play = settings.play_on_open && !startup.no_play;
        engine.open(source, options.clone(), play);
    }
    let failed = Arc::new(AtomicBool::new(false));
    let app = App::new(&ctx, engine, settings, startup, options, failed.clone());
    close_on_signals(&ctx);
    let options = eframe::NativeOptions {
        viewport: egui::ViewportBuilder::default()
            .with_app_id("mjpeg-rtsp-client")
            .with_title("mjpeg-rtsp")
            .with_inner_size(app.size())
            .with_min_inner_size([480.0, 360.0])
            .with_drag_and_drop(true),
        renderer: eframe::Renderer::Glow,
        // The picture's colours are not changed.
        dithering: false,
        ..Default::default()
    };
    let result = eframe::run_native_ext(
        "mjpeg-rtsp-client",
        options,
        Some(ctx),
        Box::new(|_| Ok(Box::new(app))),
    );
    match result {
        Ok(()) if failed.load(Ordering::Relaxed) => Ok(Ok(ExitCode::FAILURE)),
        Ok(()) => Ok(Ok(ExitCode::SUCCESS)),
        Err(error) => Ok(Err(NoWindow(without_source_position(&error.to_string())))),
    }
}

/// Draws the window once more. [`egui::Context::request_repaint`] draws it twice, so that each picture of
/// the movie would be drawn twice.
fn repaint(ctx: &egui::Context) {
    ctx.request_repaint_after(Duration::from_nanos(1));
}

/// A message of the window library without the position in its source, which it puts before the cause:
/// `winit EventLoopError: os error at PATH/mod.rs:788: CAUSE`.
fn without_source_position(text: &str) -> String {
    let after = text.rsplit_once(".rs:").map(|(_, rest)| rest);
    let cause = after.and_then(|rest| rest.split_once(": ")).map(|(_, cause)| cause);
    cause.unwrap_or(text).to_owned()
}

/// Closes the window, and thereby the session, at Ctrl-C and SIGTERM.
fn close_on_signals(ctx: &egui::Context) {
    let ctx = ctx.clone();
    let handled = ctrlc::set_handler(move || {
        ctx.send_viewport_cmd(egui::ViewportCommand::Close);
        ctx.request_repaint();
    });
    if let Err(error) = handled {
        tracing::warn!("cannot handle Ctrl-C: {error}; it ends the program without TEARDOWN");
    }
}

#[cfg(test)]
mod message_tests {
    use super::without_source_position;

    #[test]
    fn a_message_has_no_position_in_a_source() {
        let rows = [
            (
                "winit EventLoopError: os error at /a/b/mod.rs:788: Failed to open connection to X server",
                "Failed to open connection to X server",
            ),
            ("no GL context", "no GL context"),
            ("x.rs: y", "x.rs: y"),
        ];
        for (text, want) in rows {
            assert_eq!(without_source_position(text), want);
        }
    }
}
