// SPDX-License-Identifier: MIT OR Apache-2.0
//! Presses the client's buttons, and sees what it shows.

mod hand;
mod stand_in;
mod terminal;
mod window;
mod x11;

use super::picture::Picture;
use crate::process::{LaunchOptions, TerminalInput};
use crate::profile::{ClientLab, Press};
use std::path::Path;
use std::time::Duration;

/// What a user does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Presses Setup.
    Setup,
    /// Presses Play.
    Play,
    /// Presses Pause.
    Pause,
    /// Presses Teardown.
    Teardown,
    /// Closes the window.
    Close,
}

impl Action {
    /// The number of a button, from left to right.
    pub fn button(self) -> Option<usize> {
        match self {
            Self::Setup => Some(0),
            Self::Play => Some(1),
            Self::Pause => Some(2),
            Self::Teardown => Some(3),
            Self::Close => None,
        }
    }

    /// In reports.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Setup => "Setup is pressed",
            Self::Play => "Play is pressed",
            Self::Pause => "Pause is pressed",
            Self::Teardown => "Teardown is pressed",
            Self::Close => "the window is closed",
        }
    }
}

/// What a driver needs to know.
#[derive(Clone, Copy)]
pub struct Settings<'a> {
    /// What the profile says of clients.
    pub lab: &'a ClientLab,
    /// The time of the run.
    pub clock: crate::clock::Clock,
}

/// Drives one run of a client.
pub trait Driver {
    /// What the program needs to be started with.
    fn launch_options(&self) -> LaunchOptions;

    /// Announces a run, by its title.
    fn announce(&mut self, _title: &str) {}

    /// Takes the input of the terminal in which the program runs, if it has one.
    fn attach(&mut self, _terminal: Option<TerminalInput>) {}

    /// Looks whether the client can be driven now.
    fn is_ready(&mut self) -> bool;

    /// What is missing if the client is not ready in time.
    fn not_ready(&self) -> String;

    /// Starts what a user does. `expects` says whether a request should follow.
    ///
    /// # Errors
    /// If it cannot be done: what is missing.
    fn act(&mut self, action: Action, expects: bool) -> Result<(), String>;

    /// Whether the client has carried it out, to the extent that the driver knows.
    fn is_done(&mut self) -> bool {
        true
    }

    /// Whether an action that is not carried out in time is the driver's fault, not the client's.
    fn must_be_done(&self) -> bool {
        false
    }

    /// Whether it sees what the client shows.
    fn sees_pictures(&self) -> bool;

    /// Whether it sees each picture, and not only one now and then.
    fn sees_all(&self) -> bool {
        true
    }

    /// The pictures since the last call.
    fn pictures(&mut self) -> Vec<Picture>;

    /// Texts that the client shows in its window.
    fn texts(&self) -> String {
        String::new()
    }

    /// The messages that the client has shown since the last call, with their times.
    fn messages(&mut self) -> Vec<(Duration, String)> {
        Vec::new()
    }

    /// What the reader should know.
    fn notes(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// How long a request may take to follow a press, in place of the profile's limit.
    fn request_limit(&self) -> Option<Duration> {
        None
    }
}

/// What drives all runs of a program: what can be shared among them.
pub enum Drivers {
    /// A person.
    Hand(hand::Lines),
    /// The stand-in for tkinter, in a folder.
    StandIn(stand_in::Package),
    /// A screen.
    Window(x11::Screen),
    /// A terminal.
    Terminal,
}

impl Drivers {
    /// Prepares for a kind. The stand-in is put into the folder, otherwise into a temporary one.
    ///
    /// # Errors
    /// If a program or a folder is missing: what to do.
    pub fn new(press: Option<Press>, folder: Option<&Path>) -> anyhow::Result<Self> {
        Ok(match press {
            None => Self::Hand(hand::Lines::start()?),
            Some(Press::StandIn) => Self::StandIn(stand_in::Package::unpack(folder)?),
            Some(Press::Window) => Self::Window(x11::Screen::start()?),
            Some(Press::Terminal) => Self::Terminal,
        })
    }

    /// A driver for one run.
    ///
    /// # Errors
    /// If a socket cannot be opened.
    pub fn driver<'a>(&'a self, settings: &Settings<'a>) -> anyhow::Result<Box<dyn Driver + 'a>> {
        Ok(match self {
            Self::Hand(lines) => Box::new(hand::Hand::new(lines, settings)),
            Self::StandIn(package) => Box::new(stand_in::StandIn::new(package, settings)?),
            Self::Window(screen) => Box::new(window::Window::new(screen, settings)),
            Self::Terminal => Box::new(terminal::Terminal::new(settings)),
        })
    }

    /// How it is done, for reports.
    pub fn describe(&self) -> &'static str {
        match self {
            Self::Hand(_) => "buttons pressed by hand",
            Self::StandIn(_) => "buttons pressed by a stand-in for tkinter",
            Self::Window(_) => "buttons pressed with the mouse, on a screen of its own",
            Self::Terminal => "keys pressed in a terminal",
        }
    }
}
