// SPDX-License-Identifier: MIT OR Apache-2.0
//! Serves length-prefixed MJPEG movies over standard RTSP, on gst-rtsp-server.

pub mod carriage;
pub mod catalog;
pub mod cli;
pub mod config;
mod connection;
pub mod lab;
pub mod mount;
mod pacer;
pub mod rtsp;
mod send;
pub mod server;
mod test_card;
mod udp;
mod workers;

use anyhow::{Context, Result};
use config::Config;
use server::Server;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io::Write;
use std::sync::Arc;

/// Serves until SIGINT or SIGTERM.
///
/// # Errors
/// If GStreamer is not usable or the port cannot be had.
pub fn run(config: &Config) -> Result<()> {
    // Caught from here on: a signal that comes while the server starts ends it once it has started.
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("signals cannot be caught")?;
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
    let catalog = Arc::new(catalog);
    let server = Server::start(config, catalog.clone())?;
    // Whoever reads them may be slow, or gone.
    let urls: Vec<String> = catalog.mounts().map(|mount| server.url(mount)).collect();
    std::thread::Builder::new().name("urls".to_owned()).spawn(move || print_urls(&urls))?;
    server.run_until(&mut signals);
    Ok(())
}

/// The product on standard output: one URL a line, nothing else.
fn print_urls(urls: &[String]) {
    let mut out = std::io::stdout().lock();
    let mut print = || {
        urls.iter().try_for_each(|url| writeln!(out, "{url}"))?;
        out.flush()
    };
    if let Err(error) = print() {
        tracing::warn!("the URLs cannot be written to standard output: {error}");
    }
}

/// A number that cannot be guessed.
fn random() -> u32 {
    // Without random numbers the system has worse problems than a session that can be guessed.
    getrandom::u32().unwrap_or(0x5eed)
}
