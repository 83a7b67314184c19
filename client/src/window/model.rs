// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the widgets are told, and what they ask for.

use super::advice::Advice;
use super::settings::{LabForm, Panel, Settings, Theme};
use crate::player::engine::Status;
use crate::player::{Command, Protocol, State, Transport};
use eframe::egui::{self, Vec2};
use std::collections::HashMap;
use std::time::Duration;

/// What a person asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Open an address or file.
    Open(String),
    /// Open the present source again, set it up and play it.
    Again,
    /// The same by another transport.
    AgainBy(Transport),
    /// The same, with RTP to another port.
    AgainOnPort(u16),
    /// Choose a file.
    OpenFile,
    /// Show the lab's form.
    LabForm,
    /// Open what the lab's form says.
    OpenLab,
    /// The lab's four.
    Setup,
    /// Play; where setup happens by itself, with it.
    Play,
    /// Pause.
    Pause,
    /// Teardown.
    Teardown,
    /// Play or pause, by the state.
    PlayOrPause,
    /// Go to a place.
    Seek(Duration),
    /// Go forward or back, in seconds.
    Skip(i8),
    /// Go forward or back by a frame.
    Step(i8),
    /// One step faster.
    Faster,
    /// One step slower.
    Slower,
    /// Save the picture.
    Snapshot,
    /// Record, or stop it.
    Record,
    /// In and out of the full screen.
    FullScreen,
    /// Out of the full screen, or of the list of keys.
    Leave,
    /// Show the keys.
    Help,
    /// Show or hide the panel's page.
    TogglePanel(Panel),
    /// Ask the server for its movies.
    ListMovies,
    /// Put the cursor into the address.
    FocusAddress,
    /// Take another transport from now on.
    Transport(Transport),
    /// Dark or light.
    Theme(Theme),
    /// Three buttons or four.
    Simple(bool),
    /// Whether opening plays.
    PlayOnOpen(bool),
    /// Put the exchange into the clipboard.
    CopyProtocol,
    /// Save the exchange.
    SaveProtocol,
    /// Put the statistics into the clipboard.
    CopyStatistics,
    /// Save the statistics as CSV.
    SaveStatistics,
    /// Take the message away.
    Dismiss,
    /// End.
    Quit,
}

/// The movies of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Movies {
    /// Nobody has asked.
    #[default]
    Unknown,
    /// The server is being asked.
    Asking,
    /// Their addresses; none, if the server has no list.
    Known(Vec<String>),
}

/// A message over the picture that ends nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Banner {
    /// What is to be told.
    pub text: String,
    /// What can be done about it.
    pub offers: Vec<(&'static str, Action)>,
}

/// The picture on show.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shown {
    /// The texture.
    pub texture: egui::TextureId,
    /// Its width and height in pixels.
    pub size: [f32; 2],
}

/// All that is drawn but the log and the history, which are large.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// Of the player.
    pub status: Status,
    /// What is remembered.
    pub settings: Settings,
    /// The picture; none before the first one.
    pub picture: Option<Shown>,
    /// Its place in the movie.
    pub position: Option<Duration>,
    /// Pictures a second, as the stream states them.
    pub frame_rate: Option<f64>,
    /// Why there is no stream.
    pub failure: Option<Advice>,
    /// What else is to be told.
    pub banner: Option<Banner>,
    /// What the server has.
    pub movies: Movies,
    /// Only the picture is shown.
    pub full_screen: bool,
    /// The state before the present one, and when it changed, in the context's seconds.
    pub changed: Option<(State, f64)>,
    /// A file is held over the window.
    pub hovering: bool,
}

impl Model {
    /// A source is open.
    pub fn is_open(&self) -> bool {
        !self.status.source.is_empty()
    }

    /// Nothing has been opened yet.
    pub fn is_welcome(&self) -> bool {
        !self.is_open() && self.failure.is_none()
    }

    /// The picture is in its place, with nothing but black beside it.
    pub fn shows_picture(&self) -> bool {
        self.picture.is_some() && self.failure.is_none()
    }

    /// The frame's number in the movie, from 0.
    pub fn frame(&self) -> Option<u64> {
        let frame = self.position?.as_secs_f64() * self.frame_rate?;
        // Far below 2^52, and not negative.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Some(frame.round() as u64)
    }

    /// Why the source cannot be sought in; `None` if it can.
    pub fn no_seeking(&self) -> Option<&'static str> {
        match (self.status.state, self.status.seekable, self.status.protocol) {
            (State::Init, ..) => Some("no place in the movie: it is not set up"),
            (_, Some(true), _) if self.status.duration.is_some() => None,
            (_, _, Protocol::Lab) => {
                Some("this server plays from the beginning only: the basic lab has no seeking")
            }
            (_, Some(true), _) => Some("live, or of unknown length: there is no place to go to"),
            _ => Some("the source cannot be sought in: live, or of unknown length"),
        }
    }

    /// Whether `command` may be given now; otherwise why not.
    pub fn refusal(&self, command: Command) -> Option<String> {
        if !self.is_open() {
            return Some("Open a movie first".to_owned());
        }
        if let Some(pending) = self.status.pending
            && command != Command::Teardown
        {
            return Some(format!("{} is waiting for the server's answer", word(pending)));
        }
        if command.allowed_in(self.status.state)
            || (command == Command::Teardown && self.status.pending.is_some())
        {
            return None;
        }
        let (word, state) = (word(command), self.status.state.name());
        Some(match (command, self.status.state) {
            (Command::Play, State::Init) => format!("{word} needs READY: press Setup first"),
            (Command::Play, _) => format!("{word} needs READY; it plays already"),
            (Command::Pause, _) => format!("{word} needs PLAYING, the state is {state}"),
            (Command::Setup, _) => format!("{word} needs INIT: press Teardown first"),
            (Command::Teardown, _) => format!("{word}: there is no session in {state}"),
        })
    }

    /// The button that is the sensible next step.
    pub fn next_step(&self) -> Option<Command> {
        if !self.is_open() || self.status.pending.is_some() {
            return None;
        }
        Some(match self.status.state {
            State::Init => Command::Setup,
            State::Ready => Command::Play,
            State::Playing => Command::Pause,
        })
    }
}

/// The word on the command's button: the lab's.
pub fn word(command: Command) -> &'static str {
    match command {
        Command::Setup => "Setup",
        Command::Play => "Play",
        Command::Pause => "Pause",
        Command::Teardown => "Teardown",
    }
}

/// What the widgets keep between two passes.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "what is unfolded, each by itself")]
pub struct Local {
    /// The address as it is being typed.
    pub address: String,
    /// The address gets the cursor with the next pass.
    pub focus_address: bool,
    /// The list of addresses and movies is to be unfolded with the next pass.
    pub open_choices: bool,
    /// The lab's form as it is being filled in.
    pub lab: LabForm,
    /// The lab's form is unfolded.
    pub lab_open: bool,
    /// The lab's form is on show over everything.
    pub lab_dialog: bool,
    /// The list of keys is on show.
    pub help: bool,
    /// Where the seek bar is being dragged to, in seconds.
    pub dragged: Option<f64>,
    /// A panel that is on show though the window is narrow.
    pub panel_over_picture: bool,
    /// The unfolded entries of the log, and what their text takes, as far as it has been drawn.
    pub unfolded: HashMap<usize, Vec2>,
    /// Seconds before now at which the statistics are read.
    pub read_at: Option<f64>,
    /// Text is being typed into a field.
    pub typing: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_button_that_cannot_be_pressed_says_why() {
        // The state, what waits, and for each command the words of the refusal.
        type Row = (State, Option<Command>, [Option<&'static str>; 4]);
        let rows: [Row; 5] = [
            (
                State::Init,
                None,
                [None, Some("press Setup first"), Some("PLAYING"), Some("no session")],
            ),
            (State::Ready, None, [Some("press Teardown"), None, Some("the state is READY"), None]),
            (State::Playing, None, [Some("press Teardown"), Some("plays already"), None, None]),
            (
                State::Init,
                Some(Command::Setup),
                [Some("Setup is waiting"), Some("waiting"), Some("waiting"), None],
            ),
            (
                State::Ready,
                Some(Command::Play),
                [Some("Play is waiting"), Some("waiting"), Some("waiting"), None],
            ),
        ];
        for (state, pending, want) in rows {
            let status =
                Status { source: "rtsp://h/m".to_owned(), state, pending, ..Status::default() };
            let model = Model { status, ..Model::default() };
            for (command, want) in Command::ALL.into_iter().zip(want) {
                let got = model.refusal(command);
                let fits = match want {
                    Some(words) => got.as_ref().is_some_and(|got| got.contains(words)),
                    None => got.is_none(),
                };
                assert!(fits, "{state:?} {pending:?} {command:?}: {got:?}");
            }
        }
        assert_eq!(Model::default().refusal(Command::Setup).as_deref(), Some("Open a movie first"));
    }

    #[test]
    fn the_bar_is_there_where_one_can_seek() {
        let second = Some(Duration::from_secs(1));
        let rows = [
            (State::Init, Some(true), second, Protocol::Rtsp, Some("not set up")),
            (State::Ready, Some(true), second, Protocol::Rtsp, None),
            (State::Playing, Some(true), None, Protocol::Rtsp, Some("live")),
            (State::Playing, Some(false), second, Protocol::Lab, Some("basic lab")),
            (State::Playing, None, None, Protocol::None, Some("cannot be sought")),
        ];
        for (state, seekable, duration, protocol, want) in rows {
            let status = Status { protocol, state, duration, seekable, ..Status::default() };
            let got = Model { status, ..Model::default() }.no_seeking();
            assert_eq!(got.is_some(), want.is_some(), "{state:?}");
            assert!(got.is_none_or(|got| got.contains(want.unwrap_or_default())), "{got:?}");
        }
    }

    #[test]
    fn frames_count_from_zero() {
        let model = |ms, frame_rate| Model {
            position: Some(Duration::from_millis(ms)),
            frame_rate,
            ..Model::default()
        };
        assert_eq!(model(0, Some(20.0)).frame(), Some(0));
        assert_eq!(model(12_450, Some(20.0)).frame(), Some(249));
        assert_eq!(model(33, Some(30.0)).frame(), Some(1));
        assert_eq!(model(33, None).frame(), None);
    }
}
