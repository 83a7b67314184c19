// SPDX-License-Identifier: MIT OR Apache-2.0
//! The server's page in Chromium.

mod accessible;
mod lab;
mod login;
mod modules;
mod player;
mod security;
mod viewers;
mod wall;

use anyhow::{Result, ensure};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::browser::Browser;
use mjpeg_rtsp_tests::programs::Server;
use std::ffi::OsStr;
use std::path::Path;

/// Frames of the movies.
const FRAMES: usize = 120;

/// The number of files in a folder, for each of which the server prints a URL.
fn files(folder: &Path) -> Result<usize> {
    let mut number = 0;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        number += if path.is_dir() { files(&path)? } else { 1 };
    }
    Ok(number)
}

/// A server with a folder of movies, and a browser.
struct Site {
    browser: Browser,
    server: Server,
    /// The host and port for HTTP.
    address: String,
    folder: Folder,
}

impl Site {
    /// Serves movies of coloured frames under these names, at 10 frames a second.
    fn start(names: &[&str], options: &[&str]) -> Result<Self> {
        let folder = Folder::new()?;
        let movie = movies::movie(&movies::coloured(FRAMES)?)?;
        for name in names {
            folder.file(name, &movie)?;
        }
        Self::serve(folder, options)
    }

    /// Serves a folder.
    fn serve(folder: Folder, options: &[&str]) -> Result<Self> {
        let options = ["--http", "127.0.0.1:0", "--framerate", "10"].iter().chain(options);
        let options = options.map(OsStr::new).chain([folder.path().as_os_str()]);
        let mut server = Server::start(options, files(folder.path())?)?;
        let address = server.http_address()?;
        server.is_well()?;
        Ok(Self { browser: Browser::start()?, server, address, folder })
    }

    /// The URL of a path.
    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Opens a path.
    fn open(&mut self, path: &str) -> Result<()> {
        let url = self.url(path);
        self.browser.open(&url)
    }

    /// Opens the wall and waits for the pictures of this many tiles.
    fn open_wall(&mut self, path: &str, tiles: usize) -> Result<()> {
        self.open(path)?;
        self.browser.wait_for(&format!(
            "document.querySelectorAll('#grid .picture img').length === {tiles}"
        ))
    }

    /// Waits until a picture of a movie that plays is on screen.
    fn wait_until_it_plays(&mut self) -> Result<()> {
        self.browser.wait_for(
            "document.querySelector('#player').dataset.state === 'playing' \
             && document.querySelector('.frame').textContent !== ''",
        )
    }

    /// Opens a movie and waits until it plays.
    fn play(&mut self, name: &str) -> Result<()> {
        self.open(&format!("/play/{name}"))?;
        self.wait_until_it_plays()
    }

    /// Checks that nothing went wrong in the browser and in the server, and that the pages asked this
    /// server only.
    fn is_well(&mut self) -> Result<()> {
        let problems = self.browser.problems();
        ensure!(problems.is_empty(), "{problems:#?}");
        let own = self.url("/");
        let is_own = |url: &String| url.starts_with(&own) || url.starts_with("about:");
        let others: Vec<String> =
            self.browser.requests().into_iter().filter(|url| !is_own(url)).collect();
        ensure!(others.is_empty(), "requests to others: {others:#?}");
        self.server.is_well()
    }
}
