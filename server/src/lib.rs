// SPDX-License-Identifier: MIT OR Apache-2.0
//! Serves length-prefixed MJPEG movies over standard RTSP, on gst-rtsp-server.

pub mod carriage;
pub mod catalog;
pub mod cli;
pub mod config;
mod connections;
pub mod lab;
mod listener;
mod pacer;
pub mod rtsp;
mod test_card;
mod udp;
mod workers;

use anyhow::{Context, Result};
use config::Config;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io::Write;

/// Serves until SIGINT or SIGTERM.
///
/// # Errors
/// If GStreamer is not usable or the port cannot be had.
pub fn run(config: &Config) -> Result<()> {
    // Caught from here on: a signal that comes while the server starts ends it once it has started.
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("signals cannot be caught")?;
    // Each viewer takes several; what the system allows without asking is little.
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!("the limit of open files stays as it is: {error}");
    }
    gst::init().context("GStreamer does not start")?;
    gstmjpegfile::register().context("the movie elements do not register")?;
    rtsp::require_elements()?;
    // The card's file lives as long as the server.
    let card =
        if config.catalog.is_none() { Some(test_card::make(config.framerate)?) } else { None };
    let catalog = match (&config.catalog, &card) {
        (Some(catalog), _) => catalog.clone(),
        (None, Some(card)) => catalog::Catalog::of_test_card(card.path()),
        (None, None) => catalog::Catalog::default(),
    };
    let server = rtsp::Server::start(config, &catalog)?;
    if let Err(error) = print_urls(&server, &catalog) {
        tracing::warn!("the URLs cannot be written to standard output: {error}");
    }
    server.run_until(&mut signals);
    Ok(())
}

/// The product on standard output: one URL a line, nothing else.
fn print_urls(server: &rtsp::Server, catalog: &catalog::Catalog) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for mount in catalog.mounts() {
        writeln!(out, "{}", server.url(mount))?;
    }
    out.flush()
}

/// A number that cannot be guessed.
fn random() -> u32 {
    // Without random numbers the system has worse problems than a session that can be guessed.
    getrandom::u32().unwrap_or(0x5eed)
}
