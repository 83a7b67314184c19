// SPDX-License-Identifier: MIT OR Apache-2.0
//! A player for RTSP streams that is driven as the course lab's client is: setup, play, pause,
//! teardown; INIT, READY, PLAYING.

pub mod cli;
mod headless;
mod login;
pub mod player;
mod terminal;
mod termination;
#[cfg(feature = "gui")]
pub mod window;

use anyhow::{Context, Result};
use cli::Arguments;
use player::{Failure, Player, Transport};
use std::process::ExitCode;
use std::time::Duration;

/// Why nothing can be shown on a screen.
const NO_DISPLAY: &str = "no display (DISPLAY and WAYLAND_DISPLAY are not set)";

/// Plays the source that the command line names.
///
/// # Errors
/// If GStreamer is not usable, or the source is missing or wrong. A failure of the stream is
/// reported by the exit code.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    gst::init().context("cannot start GStreamer")?;
    gstmjpegfile::register().context("cannot register the movie elements")?;
    let source = login::source(arguments)?;
    if !arguments.headless && !arguments.terminal {
        #[cfg(feature = "gui")]
        match window::run(&arguments.startup(source.clone()))? {
            Ok(code) => return Ok(code),
            Err(no_window) => report_fallback(&no_window.to_string()),
        }
        #[cfg(not(feature = "gui"))]
        report_fallback("no window: built without the feature gui");
    }
    let source =
        source.context("no source; name one, as in mjpeg-rtsp-client rtsp://HOST:PORT/MOVIE")?;
    let player = match Player::new(&source, &arguments.options()) {
        Ok(player) => player,
        Err(error) => {
            let error = anyhow::Error::from(error);
            if arguments.headless {
                headless::report_unusable(&error, arguments)?;
            }
            return Err(error);
        }
    };
    if arguments.headless {
        headless::run(&player, &source, arguments)
    } else {
        terminal::run(player, &source, arguments)
    }
}

fn report_fallback(reason: &str) {
    mjpeg_program::log::say(&format!("{reason}; using the terminal instead"));
}

/// Whether the environment names a display.
fn has_display() -> bool {
    ["DISPLAY", "WAYLAND_DISPLAY"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// Says that a lost session will be opened again.
fn reconnection_text(failure: &Failure, attempt: u32, wait: Duration) -> String {
    format!("{}: trying again in {} s (attempt {attempt})", failure.text, wait.as_secs())
}

/// Formats a time in tenths of a second as `M:SS.T`.
fn format_tenths(tenths: u64) -> String {
    format!("{}:{:02}.{}", tenths / 600, tenths / 10 % 60, tenths % 10)
}

impl Transport {
    /// The value of rtspsrc's property `protocols`.
    fn protocols(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Multicast => "udp-mcast",
            Self::Tcp => "tcp",
            Self::Http => "http+tcp",
            Self::Auto => "udp+tcp",
        }
    }
}
