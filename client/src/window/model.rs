// SPDX-License-Identifier: MIT OR Apache-2.0
//! The model that the widgets draw, and the actions that they return.

use super::advice::Advice;
use super::forms::Login;
use super::settings::{LabForm, Panel, Settings, Theme};
use super::zoom::Zoom;
use crate::player::engine::Status;
use crate::player::{Capture, Command, PacketFormat, Protocol, State, Transport};
use eframe::egui::{self, Vec2};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// The playback speeds that can be chosen.
pub const SPEEDS: [f64; 6] = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0];

/// The lengths of the jitter buffer that can be chosen, in milliseconds.
pub const LATENCIES: [u32; 7] = [0, 50, 100, 200, 500, 1000, 2000];

/// An action that the user requests.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Open an address or file.
    Open(String),
    /// Open the current source again, set it up and play it.
    Retry,
    /// Retry with another transport.
    RetryWithTransport(Transport),
    /// Retry with RTP on another port.
    RetryOnPort(u16),
    /// Show the dialog for opening a file.
    OpenFile,
    /// Show the lab form as a dialog.
    ShowLabForm,
    /// Open the movie that the lab form names.
    OpenLab,
    /// Setup.
    Setup,
    /// Play; with three buttons, after a setup if one is needed.
    Play,
    /// Pause.
    Pause,
    /// Teardown.
    Teardown,
    /// Pause in PLAYING, play in any other state.
    PlayOrPause,
    /// Seek to a position.
    Seek(Duration),
    /// Seek forward or, if negative, back by this number of seconds.
    Skip(i8),
    /// Step forward or, if negative, back by this number of frames.
    Step(i8),
    /// Increase the speed by one step.
    Faster,
    /// Decrease the speed by one step.
    Slower,
    /// Play at this speed, one of [`SPEEDS`].
    SetSpeed(f64),
    /// Open the dialog that asks for a frame or a time.
    ShowGoTo,
    /// Seek to a frame number or a time, as the user has typed it.
    GoTo(String),
    /// Play the movie once, or again and again.
    ToggleRepeat,
    /// Mark the start of the section, its end, or neither, in turn.
    MarkSection,
    /// Open the next movie of the server, folder or list, or, if negative, the one before.
    OpenNeighbour(i8),
    /// Enlarge the picture, around the middle.
    Enlarge,
    /// Show the whole picture.
    ShowWholePicture,
    /// Open the dialog that asks for a user and a password.
    ShowLogin,
    /// Open the address with a user and a password.
    LogIn(String, String),
    /// Set the length of the jitter buffer, in milliseconds.
    SetLatency(u32),
    /// Set whether lost sessions are opened again.
    SetReconnect(bool),
    /// Save the picture.
    Snapshot,
    /// Start or stop the recording.
    ToggleRecording,
    /// Enter or leave full screen.
    ToggleFullScreen,
    /// Close the topmost of what is open: a dialog, the panel over the picture, the message, full
    /// screen.
    Escape,
    /// Show or hide the list of keys.
    ToggleKeyList,
    /// Show or hide a page of the panel.
    TogglePanel(Panel),
    /// Ask the server for its movies.
    ListMovies,
    /// Move the keyboard focus to the address.
    FocusAddress,
    /// Set the transport for the sources that are opened next.
    SetTransport(Transport),
    /// Set the colours.
    SetTheme(Theme),
    /// Show three buttons instead of the lab's four.
    SetSimple(bool),
    /// Play each source when it is opened.
    SetPlayOnOpen(bool),
    /// Copy the log of the exchange to the clipboard.
    CopyProtocol,
    /// Save the log of the exchange.
    SaveProtocol,
    /// Copy the current statistics to the clipboard.
    CopyStatistics,
    /// Save the statistics as CSV.
    SaveStatistics,
    /// Save the packets in this format.
    SavePackets(PacketFormat),
    /// Let the panel take the whole window, or not.
    ToggleWide,
    /// Make the panel's text larger, or smaller if negative; normal if 0.
    ChangeTextSize(i8),
    /// Show the protocol as a ladder, or as a list.
    SetLadder(bool),
    /// Remove the banner.
    DismissBanner,
    /// Close the window.
    Quit,
}

/// The movies of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum MovieList {
    /// Not requested.
    #[default]
    Unknown,
    /// Requested; the server has not answered.
    Loading,
    /// The addresses; empty if the server does not list its movies.
    Known(Vec<String>),
}

/// A message over the picture, which keeps playing.
#[derive(Debug, Clone, PartialEq)]
pub struct Banner {
    /// The message.
    pub text: String,
    /// Labels and actions of its buttons.
    pub offers: Vec<(&'static str, Action)>,
}

/// The picture on screen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DisplayedPicture {
    /// The texture that contains it.
    pub texture: egui::TextureId,
    /// Width and height in pixels.
    pub size: [f32; 2],
}

/// Everything that is drawn, except the protocol log and the history, which are large.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// The player's status.
    pub status: Status,
    /// The messages and packets of the source. Locked only while rows are copied.
    pub capture: Arc<Capture>,
    /// The settings, which are saved.
    pub settings: Settings,
    /// The picture on screen; `None` before the first one.
    pub picture: Option<DisplayedPicture>,
    /// The picture's position in the movie.
    pub position: Option<Duration>,
    /// Pictures per second.
    pub frame_rate: Option<f64>,
    /// The picture at the pointer's position on the seek bar.
    pub preview: Option<DisplayedPicture>,
    /// The start of a section whose end is not marked yet.
    pub section_start: Option<Duration>,
    /// The failure that ended the stream, with advice.
    pub failure: Option<Advice>,
    /// A message over the picture.
    pub banner: Option<Banner>,
    /// The movies of the server.
    pub movies: MovieList,
    /// Only the picture is shown.
    pub full_screen: bool,
    /// The previous state, and the time of the change in egui's seconds.
    pub state_change: Option<(State, f64)>,
    /// A file is dragged over the window.
    pub file_hovering: bool,
}

impl Model {
    /// Whether a source is open.
    pub fn is_open(&self) -> bool {
        !self.status.source.is_empty()
    }

    /// Whether the welcome page is shown: no source has been opened.
    pub fn shows_welcome(&self) -> bool {
        !self.is_open() && self.failure.is_none()
    }

    /// Whether the panel takes the whole window.
    pub fn shows_wide_panel(&self) -> bool {
        self.settings.wide && self.settings.panel != Panel::None && !self.full_screen
    }

    /// Whether the picture is shown, on a black background.
    pub fn shows_picture(&self) -> bool {
        self.picture.is_some() && self.failure.is_none() && !self.shows_wide_panel()
    }

    /// Number of the current frame in the movie, from 0.
    pub fn frame(&self) -> Option<u64> {
        let frame = self.position?.as_secs_f64() * self.frame_rate?;
        // Far below 2^52, and not negative.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Some(frame.round() as u64)
    }

    /// Why the source is not seekable; `None` if it is.
    pub fn why_not_seekable(&self) -> Option<&'static str> {
        match (self.status.state, self.status.seekable, self.status.protocol) {
            (State::Init, ..) => Some("not seekable: the movie is not set up"),
            (_, Some(true), _) if self.status.duration.is_some() => None,
            (_, _, Protocol::Lab) => Some("not seekable: the basic lab has no seeking"),
            _ => Some("not seekable: the stream is live, or its length is unknown"),
        }
    }

    /// Why the speed cannot be changed; `None` if it can.
    pub fn why_no_speed(&self) -> Option<&'static str> {
        match self.status.protocol {
            Protocol::Lab => Some("The speed of a lab server cannot be changed"),
            _ => self.why_not_seekable(),
        }
    }

    /// Why `command` is not allowed now; `None` if it is.
    pub fn refusal(&self, command: Command) -> Option<String> {
        if !self.is_open() {
            return Some("Open a movie first".to_owned());
        }
        if command == Command::Teardown && self.status.reconnection.is_some() {
            return None;
        }
        command.refusal(self.status.state, self.status.pending)
    }

    /// The command that usually comes next; its button is highlighted.
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

/// Heights of rows with wrapped texts, valid for one width and text size.
#[derive(Debug, Default)]
pub struct RowHeights {
    width: f32,
    text_size: f32,
    heights: HashMap<(bool, u64), f32>,
}

impl RowHeights {
    /// Forgets all heights if the width or the size of the text has changed.
    pub fn set_width(&mut self, width: f32, text_size: f32) {
        if (self.width - width).abs() > 0.01 || (self.text_size - text_size).abs() > 0.001 {
            *self = Self { width, text_size, heights: HashMap::new() };
        }
    }

    /// The height of a row of the ladder, or of the list.
    pub fn get(&self, ladder: bool, number: u64) -> Option<f32> {
        self.heights.get(&(ladder, number)).copied()
    }

    /// Sets the height of a row.
    pub fn set(&mut self, ladder: bool, number: u64, height: f32) {
        self.heights.insert((ladder, number), height);
    }

    /// Forgets all heights, since the rows are those of another source.
    pub fn clear(&mut self) {
        self.heights.clear();
    }
}

/// State of the widgets between two passes.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "independent states of independent widgets")]
pub struct WidgetState {
    /// Text of the address field.
    pub address: String,
    /// The address field gets the focus in the next pass.
    pub focus_address: bool,
    /// The list of addresses and movies opens in the next pass.
    pub open_choices: bool,
    /// Texts of the lab form.
    pub lab: LabForm,
    /// The lab form is open in the welcome page.
    pub lab_open: bool,
    /// The lab form is open as a dialog.
    pub lab_dialog: bool,
    /// The list of keys is open.
    pub key_list: bool,
    /// Position to which the seek bar is dragged, in seconds.
    pub dragged_to: Option<f64>,
    /// The panel is shown in place of the picture, if the window is narrow.
    pub panel_over_picture: bool,
    /// The unfolded entries of the log, with the size of their texts when they were last drawn.
    pub unfolded: HashMap<usize, Vec2>,
    /// Heights of the rows of the list and of the ladder, as they were last drawn.
    pub row_heights: RowHeights,
    /// The list of packets has only those that were lost, late or repeated.
    pub only_problems: bool,
    /// Age in seconds of the sample under the pointer, whose values are shown.
    pub sample_age: Option<f64>,
    /// A text field has the focus.
    pub typing: bool,
    /// The pointer is on the controls over the picture.
    pub pointer_on_controls: bool,
    /// The position under the pointer on the seek bar.
    pub hovered: Option<Duration>,
    /// The part of the picture that is shown.
    pub zoom: Zoom,
    /// Text of the dialog "Go to".
    pub go_to: Option<String>,
    /// Texts of the dialog for a user and a password.
    pub login: Option<Login>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_source_a_command_is_refused() {
        let got = Model::default().refusal(Command::Setup);
        assert_eq!(got.as_deref(), Some("Open a movie first"));
    }

    #[test]
    fn a_source_that_is_not_seekable_has_a_reason() {
        let second = Some(Duration::from_secs(1));
        let live = Some("not seekable: the stream is live, or its length is unknown");
        let rows = [
            (
                State::Init,
                Some(true),
                second,
                Protocol::Rtsp,
                Some("not seekable: the movie is not set up"),
            ),
            (State::Ready, Some(true), second, Protocol::Rtsp, None),
            (State::Playing, Some(true), None, Protocol::Rtsp, live),
            (
                State::Playing,
                Some(false),
                second,
                Protocol::Lab,
                Some("not seekable: the basic lab has no seeking"),
            ),
            (State::Playing, None, None, Protocol::None, live),
        ];
        for (state, seekable, duration, protocol, want) in rows {
            let status = Status { protocol, state, duration, seekable, ..Status::default() };
            let got = Model { status, ..Model::default() }.why_not_seekable();
            assert_eq!(got, want, "{state:?} {seekable:?} {protocol:?}");
        }
    }

    #[test]
    fn frame_numbers_start_at_zero() {
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
