// SPDX-License-Identifier: MIT OR Apache-2.0
//! A player for RTSP streams that is driven as the course lab's client is: setup, play, pause,
//! teardown; INIT, READY, PLAYING.

pub mod cli;
mod headless;
pub mod player;
mod terminal;

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
    let player = Player::new(&arguments.source()?, &arguments.options())?;
    if arguments.headless {
        headless::run(&player, arguments)
    } else {
        terminal::run(&player, arguments)
    }
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
