// SPDX-License-Identifier: MIT OR Apache-2.0
//! The contents of a profile.

use clap::ValueEnum;
use gstmjpegfile::lab::RequestForm;
use std::collections::BTreeMap;
use std::time::Duration;

/// The form of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Lines with names, with LF, without a line end after the last one.
    Textbook,
    /// The course report's lines, numbers without names.
    Seed,
    /// Three CRLF lines without a blank line.
    Java,
    /// CRLF lines and a blank line.
    BlankLine,
    /// Three CRLF lines with a URL.
    Url,
}

impl Form {
    /// The form as the format code has it.
    pub fn request_form(self) -> RequestForm {
        match self {
            Self::Textbook => RequestForm::Textbook,
            Self::Seed => RequestForm::Seed,
            Self::Java => RequestForm::Java,
            Self::BlankLine => RequestForm::BlankLine,
            Self::Url => RequestForm::Url,
        }
    }
}

/// What the marker bit should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Marker {
    /// The same in all packets: the textbook's code never sets it.
    Same,
    /// Set in the last packet of each frame, and in no other (RFC 3551 section 4.2).
    FrameEnd,
}

/// How timestamps should move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TimestampRule {
    /// By a constant from frame to frame, above 0.
    Step,
    /// By a constant, or with the time of day, as the textbook's code does.
    Clock,
}

/// How frames are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Fragments {
    /// A frame in each packet.
    Off,
    /// In several packets with the frame's sequence number (F1).
    SameSeq,
    /// In several packets with a sequence number each (F2).
    NextSeq,
}

/// What a server may have besides the lab's four methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Extension {
    /// `TotalFrame` in SETUP's reply and `TotalSendPacketCount` in TEARDOWN's, for requests with
    /// `CSeq N`.
    Statistics,
    /// DESCRIBE is answered with an SDP.
    Describe,
    /// LIST is answered with the names of the movies.
    List,
    /// SWITCH opens another movie.
    Switch,
    /// SEEK goes to the position in X-Seek.
    Seek,
}

/// What the course's lab asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Lab {
    /// The form of requests.
    pub form: Form,
    /// Frames per second.
    pub frame_rate: u32,
    /// How far the frame rate may be off, in percent.
    pub frame_rate_tolerance: u32,
    /// The lowest session number.
    pub session_min: u64,
    /// The highest session number.
    pub session_max: u64,
    /// The first sequence number.
    pub first_sequence_number: u16,
    /// The marker bit.
    pub marker: Marker,
    /// The timestamps.
    pub timestamp: TimestampRule,
    /// How frames are sent.
    pub fragments: Fragments,
    /// The longest payload of a packet in bytes.
    pub max_payload: usize,
    /// What the server has besides the four methods.
    pub extensions: Vec<Extension>,
}

impl Default for Lab {
    fn default() -> Self {
        Self {
            form: Form::Textbook,
            frame_rate: 20,
            frame_rate_tolerance: 10,
            session_min: 100_000,
            session_max: 999_999,
            first_sequence_number: 1,
            marker: Marker::Same,
            timestamp: TimestampRule::Clock,
            fragments: Fragments::Off,
            max_payload: 65_495,
            extensions: Vec::new(),
        }
    }
}

impl Lab {
    /// The time between two frames.
    pub fn period(&self) -> Duration {
        Duration::from_secs(1) / self.frame_rate.max(1)
    }
}

/// How a client's buttons are pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Press {
    /// By a stand-in for tkinter and Pillow, which draws nothing: for clients in Python
    StandIn,
    /// With the mouse, in a window on a screen of its own (Xvfb)
    Window,
    /// With keys, in a terminal of its own
    Terminal,
}

/// What the course's clients are like.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientLab {
    /// How `--press` presses buttons, unless it says how.
    pub press: Press,
    /// The texts of the buttons: setup, play, pause, teardown.
    pub buttons: Vec<String>,
    /// The positions of these buttons in the window, in percent of its width and height; empty if they are
    /// windows of their own.
    pub positions: Vec<[u8; 2]>,
    /// The keys for setup, play, pause, teardown, and to quit.
    pub keys: Vec<String>,
    /// From a press to the request.
    pub request: Duration,
    /// From the reply to TEARDOWN until the sockets are closed, and from the closed window to the end of
    /// the program.
    pub end: Duration,
    /// For a person to press a button.
    pub hand: Duration,
    /// For the whole run.
    pub total: Duration,
    /// Finds the number of lost packets in what the client prints or shows; empty if it states none.
    pub prints_lost: String,
    /// Finds the lost packets in percent.
    pub prints_loss_percent: String,
    /// Finds the frames per second.
    pub prints_frame_rate: String,
    /// Finds the bytes per second.
    pub prints_data_rate: String,
}

impl Default for ClientLab {
    fn default() -> Self {
        let texts = |texts: &[&str]| texts.iter().map(|it| (*it).to_owned()).collect();
        Self {
            press: Press::StandIn,
            buttons: texts(&["Setup", "Play", "Pause", "Teardown"]),
            positions: Vec::new(),
            keys: texts(&["s", "p", "a", "t", "q"]),
            request: Duration::from_secs(5),
            end: Duration::from_secs(5),
            hand: Duration::from_mins(1),
            total: Duration::from_mins(2),
            prints_lost: String::new(),
            prints_loss_percent: String::new(),
            prints_frame_rate: String::new(),
            prints_data_rate: String::new(),
        }
    }
}

/// Time limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Times {
    /// Until a program that we start accepts connections.
    pub start: Duration,
    /// Until a reply.
    pub reply: Duration,
    /// From PLAY to the first packet.
    pub first_packet: Duration,
    /// From PAUSE's or TEARDOWN's reply to the last packet.
    pub stop: Duration,
    /// From the end of the connection to the last packet.
    pub disconnect: Duration,
    /// For the whole run.
    pub total: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            start: Duration::from_secs(5),
            reply: Duration::from_secs(2),
            first_packet: Duration::from_secs(1),
            stop: Duration::from_millis(200),
            disconnect: Duration::from_secs(2),
            total: Duration::from_secs(20),
        }
    }
}

/// A profile.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// The name of a shipped one, or the path of the file.
    pub name: String,
    /// What it is for.
    pub title: String,
    /// What the lab asks for.
    pub lab: Lab,
    /// Time limits.
    pub time: Times,
    /// What clients are like.
    pub client: ClientLab,
    /// The points of each check by its name. 0 shows a check without counting it.
    pub points: BTreeMap<&'static str, u32>,
}

/// The names of all checks, of every kind of program. No two are the same.
pub fn check_ids() -> Vec<&'static str> {
    let server = crate::server::checks().into_iter().map(|check| check.id);
    server.chain(crate::client::checks().into_iter().map(|check| check.id)).collect()
}

/// Checks that the server which comes with the textbook's lab fails. Students do not write that part.
const NOT_COUNTED: [&str; 3] = ["teardown-in-ready", "movie-missing", "disconnect-stops"];

/// A point for each check, but for those that the textbook's own server fails.
pub fn default_points() -> BTreeMap<&'static str, u32> {
    let points = |id: &'static str| (id, u32::from(!NOT_COUNTED.contains(&id)));
    check_ids().into_iter().map(points).collect()
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            name: "textbook".to_owned(),
            title: "the textbook's lab".to_owned(),
            lab: Lab::default(),
            time: Times::default(),
            client: ClientLab::default(),
            points: default_points(),
        }
    }
}

impl Profile {
    /// Whether the course has this extension.
    pub fn has(&self, extension: Extension) -> bool {
        self.lab.extensions.contains(&extension)
    }
}
