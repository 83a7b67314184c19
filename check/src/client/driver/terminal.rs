// SPDX-License-Identifier: MIT OR Apache-2.0
//! The client reads keys from a terminal.

use super::{Action, Driver, Settings};
use crate::client::picture::Picture;
use crate::process::{LaunchOptions, TerminalInput};

/// Presses keys.
pub struct Terminal {
    keys: Vec<String>,
    input: Option<TerminalInput>,
}

impl Terminal {
    /// For one run.
    pub fn new(settings: &Settings) -> Self {
        Self { keys: settings.lab.keys.clone(), input: None }
    }
}

impl Driver for Terminal {
    fn launch_options(&self) -> LaunchOptions {
        LaunchOptions { terminal: true, ..LaunchOptions::default() }
    }

    fn attach(&mut self, terminal: Option<TerminalInput>) {
        self.input = terminal;
    }

    fn is_ready(&mut self) -> bool {
        // What is typed before the client reads keys waits in the terminal; but a client that changes
        // the terminal's mode discards it.
        self.input.as_ref().is_some_and(TerminalInput::is_raw)
    }

    fn not_ready(&self) -> String {
        "the client does not read keys from its terminal".to_owned()
    }

    fn act(&mut self, action: Action, _: bool) -> Result<(), String> {
        let number = action.button().unwrap_or(4);
        let key = self.keys.get(number).ok_or("the profile has no key for it")?;
        let input = self.input.as_mut().ok_or("there is no terminal")?;
        input.write(key.as_bytes()).map_err(|error| format!("the terminal: {error}"))
    }

    fn sees_pictures(&self) -> bool {
        false
    }

    fn pictures(&mut self) -> Vec<Picture> {
        Vec::new()
    }
}
