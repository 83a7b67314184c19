// SPDX-License-Identifier: MIT OR Apache-2.0
//! Python's HTTP server, which sends files without random access.

use crate::programs::Guard;
use crate::wait_until;
use anyhow::{Context, Result};
use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The server of a folder; ends when dropped.
pub struct HttpServer {
    /// `http://HOST:PORT`.
    pub url: String,
    _process: Guard,
    _log: tempfile::TempDir,
}

impl HttpServer {
    /// Serves a folder on a free port.
    ///
    /// # Errors
    /// If Python does not start.
    ///
    /// # Panics
    /// If it does not print its port.
    pub fn start(folder: &Path) -> Result<Self> {
        let log = tempfile::tempdir()?;
        let path = log.path().join("log");
        let file = File::create(&path)?;
        let mut server = Command::new("python3");
        server.args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]).current_dir(folder);
        let process = Guard::new(server.stdout(file.try_clone()?).stderr(file).spawn()?);
        let output = || std::fs::read_to_string(&path).unwrap_or_default();
        wait_until("the HTTP server", Duration::from_secs(30), || output().contains(" port "));
        let output = output();
        let port = output.split(" port ").nth(1).and_then(|rest| rest.split(' ').next());
        let url = format!("http://127.0.0.1:{}", port.context("no port")?);
        Ok(Self { url, _process: process, _log: log })
    }
}
