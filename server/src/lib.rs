// SPDX-License-Identifier: MIT OR Apache-2.0
//! Serves length-prefixed MJPEG movies over standard RTSP and in the dialect of the networking
//! course's lab.
//!
//! - `cli.rs`, `config/`: the command line and the configuration file.
//! - `catalog.rs`, `mount.rs`, `movie_check.rs`: finds, opens and checks the movies.
//! - `access/`: decides who may watch.
//! - `server.rs`, `connection/`: accepts connections and detects their language.
//! - `reload.rs`, `watch.rs`, `arrivals.rs`: reads the configuration again, and follows changes in the
//!   folders of movies.
//! - `ending.rs`, `service_manager.rs`: the exit, and notifications to systemd.
//! - `health_check.rs`: asks a running server whether it answers.
//! - `rtsp/`, `lab/`: answer the requests of the two languages.
//! - `http/`: the page, streams, images and API for browsers and programs.
//! - `send/`: sends the frames, for both languages.
//! - `viewers.rs`: counts the viewers of both languages.
//! - `limit_log.rs`: logs what is refused or dropped because of a limit.

pub mod access;
pub mod arrivals;
pub mod catalog;
pub mod cli;
pub mod config;
mod connection;
mod ending;
#[cfg(test)]
mod fuzz_words;
pub mod health_check;
pub mod http;
pub mod lab;
mod limit_log;
pub mod mount;
pub mod movie_check;
mod observe;
pub mod reload;
pub mod rtsp;
mod send;
pub mod server;
pub mod service_manager;
pub mod shared;
pub mod test_card;
mod viewers;
mod watch;

use crate::cli::MakeCertificate;
use crate::connection::tls;
use anyhow::{Context, Result};
use catalog::Catalog;
use cli::Arguments;
use config::{Config, LogFormat, LogLevel, ServerSettings};
use mjpeg_program::log::{LineFormat, Log};
use server::{Event, Server};
use service_manager::Sockets;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io::Write;
use std::sync::mpsc::channel;
use tracing_subscriber::filter::Targets;

/// Starts to log on standard error, as a configuration states, or with the default settings.
///
/// # Errors
/// If the system cannot start another thread.
pub fn start_log(config: Option<&Config>) -> std::io::Result<Log> {
    let defaults = ServerSettings::default();
    let settings = config.map_or(&defaults, |config| &config.server);
    let level = match settings.log {
        LogLevel::Error => tracing::Level::ERROR,
        LogLevel::Warn => tracing::Level::WARN,
        LogLevel::Info => tracing::Level::INFO,
        LogLevel::Debug => tracing::Level::DEBUG,
        LogLevel::Trace => tracing::Level::TRACE,
    };
    let format = match settings.log_format {
        LogFormat::Text => LineFormat::Timestamped,
        LogFormat::Json => LineFormat::Json,
    };
    Log::start(Targets::new().with_default(level), format)
}

/// Finds the movies of a configuration, and prints the configuration on standard output.
///
/// # Errors
/// If a path cannot be served or nothing can be printed.
pub fn check_config(config: &Config) -> Result<()> {
    Catalog::scan(&config.mounts)?;
    tls::load(&config.server)?;
    config.log_warnings();
    let mut out = std::io::stdout().lock();
    out.write_all(config.to_toml().as_bytes()).context("cannot print the configuration")
}

/// Makes a certificate for TLS, and prints the lines for the configuration file on standard output.
///
/// # Errors
/// If a host is not valid, or a file cannot be written.
pub fn certificate(arguments: &MakeCertificate) -> Result<()> {
    let (certificate, key) = tls::make_certificate(arguments)?;
    let mut out = std::io::stdout().lock();
    for (name, path) in [("tls-certificate", certificate), ("tls-key", key)] {
        let path = std::path::absolute(&path).unwrap_or(path);
        writeln!(out, "{}", config::path_line(name, &path))?;
    }
    Ok(out.flush()?)
}

/// Serves until the process receives SIGINT or SIGTERM, or SIGHUP without a configuration file.
///
/// # Errors
/// If GStreamer cannot be used or the port cannot be listened on.
pub fn run(arguments: &Arguments, config: Config, sockets: Sockets) -> Result<()> {
    // Signals are caught from here on: one that is received during the start ends the server after
    // the start.
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("cannot catch signals")?;
    gst::init().context("cannot initialize GStreamer")?;
    gstmjpegfile::register().context("cannot register the elements for movies")?;
    rtsp::require_elements()?;
    let (sender, events) = channel();
    let server = Server::start(arguments.clone(), config, sockets, &sender)?;
    // On a thread of its own, since the reader of standard output may be slow or gone.
    let urls = server.urls();
    std::thread::Builder::new().name("urls".to_owned()).spawn(move || print_urls(&urls))?;
    service_manager::ready();
    let signal_sender = sender.clone();
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            if signal_sender.send(Event::Signal(signal)).is_err() {
                return;
            }
        }
    })?;
    server.run(&events, &sender);
    Ok(())
}

/// Prints one URL per line on standard output.
fn print_urls(urls: &[String]) {
    let mut out = std::io::stdout().lock();
    let mut print = || {
        urls.iter().try_for_each(|url| writeln!(out, "{url}"))?;
        out.flush()
    };
    if let Err(error) = print() {
        tracing::warn!("cannot print the URLs on standard output: {error}");
    }
}

/// A random number that cannot be predicted.
fn random() -> u32 {
    // A system without random numbers has worse problems than a predictable session number.
    getrandom::u32().unwrap_or(0x5eed)
}
