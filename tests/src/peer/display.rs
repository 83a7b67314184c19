// SPDX-License-Identifier: MIT OR Apache-2.0
//! A display of the test's own (Xvfb), with keys and clicks (xdotool) and screenshots (GStreamer's
//! ximagesrc).

use crate::programs::{Guard, program, run};
use crate::{POLL, movies, wait_until};
use anyhow::{Context, Result, bail, ensure};
use std::fs::File;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The longest wait for the display or a window.
const LIMIT: Duration = Duration::from_secs(30);

/// The screen's width and height.
pub const SCREEN: (usize, usize) = (1280, 800);

/// A display that ends when dropped.
pub struct Display {
    name: String,
    home: tempfile::TempDir,
    _server: Guard,
}

impl Display {
    /// Starts a display with a free number.
    ///
    /// # Errors
    /// If Xvfb does not start.
    pub fn start() -> Result<Self> {
        let home = tempfile::tempdir()?;
        let numbers = home.path().join("display");
        let screen = format!("{}x{}x24", SCREEN.0, SCREEN.1);
        let server = Command::new("Xvfb")
            .args(["-displayfd", "1", "-screen", "0", &screen, "-nolisten", "tcp", "-noreset"])
            .stdin(Stdio::null())
            .stdout(File::create(&numbers)?)
            .stderr(Stdio::null())
            .spawn()
            .context("Xvfb")?;
        let server = Guard::new(server);
        let mut name = String::new();
        wait_until("a display", LIMIT, || {
            name.clear();
            let read = File::open(&numbers).and_then(|mut file| file.read_to_string(&mut name));
            read.is_ok() && name.ends_with('\n')
        });
        Ok(Self { name: format!(":{}", name.trim()), home, _server: server })
    }

    /// The display's name, `:N`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Lets a command run on this display, with a home folder of its own.
    pub fn prepare(&self, command: &mut Command) {
        command
            .env("DISPLAY", &self.name)
            .env_remove("WAYLAND_DISPLAY")
            .env("LIBGL_ALWAYS_SOFTWARE", "1")
            .env("HOME", self.home.path())
            .env("XDG_CONFIG_HOME", self.home.path().join("config"));
    }

    /// The home folder of the programs on this display.
    pub fn home(&self) -> &std::path::Path {
        self.home.path()
    }

    fn xdotool(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new("xdotool");
        self.prepare(&mut command);
        let done = run(command.args(arguments), LIMIT)?;
        ensure!(done.status.success(), "xdotool {arguments:?}: {}", done.status);
        Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
    }

    /// A picture of the screen.
    ///
    /// # Errors
    /// If the screen cannot be read.
    pub fn screenshot(&self) -> Result<Screen> {
        let line = format!(
            "ximagesrc display-name={} num-buffers=1 use-damage=false show-pointer=false \
             ! videoconvert ! video/x-raw,format=RGB ! appsink name=out sync=false",
            self.name
        );
        let pixels = movies::pull_all(&line)?.pop().context("no picture of the screen")?;
        ensure!(pixels.len() == SCREEN.0 * SCREEN.1 * 3, "{} bytes", pixels.len());
        Ok(Screen { pixels, width: SCREEN.0 })
    }
}

/// An image of three bytes a pixel.
#[derive(Debug)]
pub struct Screen {
    pixels: Vec<u8>,
    width: usize,
}

impl Screen {
    /// An image whose rows have this width in pixels.
    pub fn new(pixels: Vec<u8>, width: usize) -> Self {
        Self { pixels, width }
    }

    /// Whether a picture of [`movies::bars`] is somewhere on it, at its own size or larger.
    pub fn shows_bars(&self) -> bool {
        // Every fourth pixel of every fourth row; 4/5 of each bar is enough.
        let rows = self.pixels.chunks(self.width * 3).step_by(4);
        let pixels: Vec<[u8; 3]> =
            rows.flat_map(|row| row.as_chunks().0.iter().step_by(4)).copied().collect();
        let (width, height) = movies::SIZE;
        let bar = (width / 7 * height * 2 / 3 / 16) as usize;
        movies::BARS.iter().all(|colour| {
            pixels.iter().filter(|pixel| is_near(**pixel, *colour)).count() > bar * 4 / 5
        })
    }

    /// The colour at a position.
    pub fn at(&self, x: usize, y: usize) -> [u8; 3] {
        let at = (y * self.width + x) * 3;
        [self.pixels[at], self.pixels[at + 1], self.pixels[at + 2]]
    }
}

/// Whether two colours are the same but for JPEG's rounding.
pub fn is_near(one: [u8; 3], other: [u8; 3]) -> bool {
    one.iter().zip(other).all(|(a, b)| a.abs_diff(b) <= 16)
}

/// The player's window on a display.
pub struct Window<'a> {
    display: &'a Display,
    process: Guard,
}

impl<'a> Window<'a> {
    /// Opens the window with arguments of the client, and gives it the keyboard.
    ///
    /// # Errors
    /// If it does not open.
    pub fn open(display: &'a Display, arguments: &[&str]) -> Result<Self> {
        Self::open_by(display, program("mjpeg-rtsp-client")?.args(arguments))
    }

    /// Opens the window by a command, and gives it the keyboard.
    ///
    /// # Errors
    /// If it does not open.
    pub fn open_by(display: &'a Display, command: &mut Command) -> Result<Self> {
        display.prepare(command);
        let log = display.home().join("client.log");
        let child = command.stdin(Stdio::null()).stderr(File::create(&log)?).spawn()?;
        let mut process = Guard::new(child);
        let end = Instant::now() + LIMIT;
        let window = loop {
            let found = display.xdotool(&["search", "--onlyvisible", "--name", "mjpeg-rtsp"]);
            let found = found.unwrap_or_default();
            if let Some(window) = found.lines().last() {
                break window.to_owned();
            }
            let ended = process.ended()?;
            if ended.is_some() || Instant::now() > end {
                let log = std::fs::read_to_string(&log)?;
                bail!("no window within {LIMIT:?}; the client's exit: {ended:?}; its log: {log}");
            }
            std::thread::sleep(POLL);
        };
        display.xdotool(&["windowfocus", "--sync", &window])?;
        Ok(Self { display, process })
    }

    /// Presses a key, by X's name for it.
    ///
    /// # Errors
    /// If that fails.
    pub fn key(&self, name: &str) -> Result<()> {
        self.display.xdotool(&["key", name]).map(drop)
    }

    /// Moves the pointer to a position.
    ///
    /// # Errors
    /// If that fails.
    pub fn point(&self, x: usize, y: usize) -> Result<()> {
        let (x, y) = (x.to_string(), y.to_string());
        self.display.xdotool(&["mousemove", &x, &y]).map(drop)
    }

    /// Clicks at a position.
    ///
    /// # Errors
    /// If that fails.
    pub fn click(&self, x: usize, y: usize) -> Result<()> {
        let (x, y) = (x.to_string(), y.to_string());
        self.display.xdotool(&["mousemove", &x, &y, "click", "1"]).map(drop)
    }

    /// The process's number.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The process.
    pub fn process(&mut self) -> &mut Guard {
        &mut self.process
    }
}
