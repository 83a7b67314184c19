// SPDX-License-Identifier: MIT OR Apache-2.0
//! A person presses the buttons, and is told which one.

use super::{Action, Driver, Settings};
use crate::client::picture::Picture;
use crate::process::LaunchOptions;
use mjpeg_program::log::say;
use std::cell::RefCell;
use std::io::{self, BufRead};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// The lines that are typed into this program.
pub struct Lines(RefCell<Receiver<()>>);

impl Lines {
    /// Starts to read.
    ///
    /// # Errors
    /// If the system cannot start a thread.
    pub fn start() -> io::Result<Self> {
        let (to, from) = channel();
        let read = move || {
            for line in io::stdin().lock().lines() {
                if line.is_err() || to.send(()).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("typed-lines".to_owned()).spawn(read)?;
        Ok(Self(RefCell::new(from)))
    }
}

/// Tells a person what to do.
pub struct Hand<'a> {
    lines: &'a Lines,
    names: Vec<String>,
    limit: Duration,
    /// Whether Enter is awaited.
    waits: bool,
}

impl<'a> Hand<'a> {
    /// For one run.
    pub fn new(lines: &'a Lines, settings: &Settings) -> Self {
        Self { lines, names: settings.lab.buttons.clone(), limit: settings.lab.hand, waits: false }
    }

    fn name(&self, action: Action) -> String {
        match action.button() {
            Some(number) => {
                let name = self.names.get(number).map(String::as_str).unwrap_or_default();
                format!("press {name} in the client")
            }
            None => "close the client's window".to_owned(),
        }
    }
}

impl Driver for Hand<'_> {
    fn launch_options(&self) -> LaunchOptions {
        LaunchOptions::default()
    }

    fn announce(&mut self, title: &str) {
        say(&format!("mjpeg-lab-check: the client is started: {title}"));
    }

    fn is_ready(&mut self) -> bool {
        true
    }

    fn not_ready(&self) -> String {
        "the client has not been started".to_owned()
    }

    fn act(&mut self, action: Action, expects: bool) -> Result<(), String> {
        let (what, seconds) = (self.name(action), self.limit.as_secs());
        self.waits = !expects;
        if expects {
            say(&format!("mjpeg-lab-check: {what} (within {seconds} s)"));
        } else {
            // Lines that were typed too early do not count.
            while self.lines.0.borrow().try_recv().is_ok() {}
            say(&format!("mjpeg-lab-check: {what}, then Enter here (within {seconds} s)"));
        }
        Ok(())
    }

    fn is_done(&mut self) -> bool {
        if self.waits && self.lines.0.borrow().try_recv().is_ok() {
            self.waits = false;
        }
        !self.waits
    }

    fn must_be_done(&self) -> bool {
        true
    }

    fn sees_pictures(&self) -> bool {
        false
    }

    fn pictures(&mut self) -> Vec<Picture> {
        Vec::new()
    }

    fn request_limit(&self) -> Option<Duration> {
        Some(self.limit)
    }
}
