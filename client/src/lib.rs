// SPDX-License-Identifier: MIT OR Apache-2.0
//! A player for RTSP streams that is driven as the course lab's client is: setup, play, pause,
//! teardown; INIT, READY, PLAYING.

pub mod cli;
mod headless;
pub mod player;
mod terminal;
#[cfg(feature = "gui")]
pub mod window;

use anyhow::{Context, Result};
use cli::Arguments;
use player::{Player, Transport};
use std::process::ExitCode;

/// Plays what the command line says.
///
/// # Errors
/// If GStreamer is not usable; what happens to the stream is in the exit code.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    gst::init().context("GStreamer does not start")?;
    gstmjpegfile::register().context("the movie elements do not register")?;
    player::listen_to_rtsp().context("the RTSP listener does not register")?;
    if !arguments.headless && !arguments.terminal {
        #[cfg(feature = "gui")]
        match window::run(arguments)? {
            Ok(code) => return Ok(code),
            Err(no_window) => say_fallback(&no_window.to_string()),
        }
        #[cfg(not(feature = "gui"))]
        say_fallback("built without the window (feature gui)");
    }
    let source = arguments.source()?.context(
        "there is nothing to play: state a source, as in mjpeg-rtsp-client rtsp://HOST:PORT/MOVIE",
    )?;
    let player = Player::new(&source, &arguments.options())?;
    if arguments.headless {
        headless::run(&player, &source, arguments)
    } else {
        terminal::run(&player, arguments)
    }
}

fn say_fallback(why: &str) {
    mjpeg_program::log::say(&format!("{why}: the terminal is the face now"));
}

impl Transport {
    /// As rtspsrc's property `protocols` takes it.
    fn protocols(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Http => "http+tcp",
            Self::Auto => "udp+tcp",
        }
    }
}
