// SPDX-License-Identifier: MIT OR Apache-2.0
//! The evidence from the runs of a client.

use super::driver::Action;
use super::picture::{PictureKind, Shown};
use super::requests::Received;
use super::sender::SentFrame;
use crate::movie::Movie;
use crate::profile::Profile;
use crate::recording::Recording;
use gstmjpegfile::lab::Method;
use std::collections::BTreeMap;
use std::time::Duration;

/// All that is known of a client. A run is `None` if it did not take place.
#[derive(Debug)]
pub struct ClientEvidence {
    /// What the course asks for.
    pub profile: Profile,
    /// The movie that the client is shown.
    pub movie: Movie,
    /// What was exchanged, one recording for each run.
    pub recordings: Vec<Recording>,
    /// Why the program cannot be started.
    pub no_start: Option<String>,
    /// Setup, Play, Pause, Play, Teardown.
    pub play: Option<Run>,
    /// Buttons in states that do not allow them.
    pub states: Option<Run>,
    /// Replies that come late.
    pub late: Option<Run>,
    /// SETUP is answered 404.
    pub not_found: Option<Run>,
    /// PLAY is answered 500.
    pub server_error: Option<Run>,
    /// Packets are lost.
    pub loss: Option<Run>,
    /// Packets arrive out of order or twice, or are not RTP packets.
    pub disorder: Option<Run>,
    /// The window is closed.
    pub close: Option<Run>,
    /// What the reader should know.
    pub notes: Vec<String>,
}

/// How much is seen of what a client shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Visibility {
    /// Nothing.
    #[default]
    None,
    /// A picture now and then.
    Some,
    /// Each picture.
    All,
}

/// The name of a step or a time of a run.
pub type Name = &'static str;

/// Something that a user did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What.
    pub action: Action,
    /// When.
    pub at: Duration,
    /// Until when the client was observed: the next step follows.
    pub until: Duration,
    /// The number of the request that followed, of those that were expected.
    pub request: Option<usize>,
    /// How long a request was awaited.
    pub limit: Duration,
    /// Why it could not be done.
    pub error: Option<String>,
}

/// One run of the client, from its start to its end.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// The number of the recording.
    pub recording: usize,
    /// When the client connected first.
    pub connected: Option<Duration>,
    /// Why its buttons cannot be pressed.
    pub not_ready: Option<String>,
    /// What the client sent.
    pub requests: Vec<Received>,
    /// What was done.
    pub steps: BTreeMap<Name, Step>,
    /// Times at which something was known.
    pub times: BTreeMap<Name, Duration>,
    /// The frames that were sent.
    pub sent: Vec<SentFrame>,
    /// The number of packets that were sent, and of their bytes.
    pub sent_packets: (usize, usize),
    /// What it showed.
    pub shown: Vec<Shown>,
    /// How much is seen of it.
    pub visibility: Visibility,
    /// How the program ended by itself, and when.
    pub ended: Option<(Duration, String)>,
    /// By how much a busy machine may have delayed the client and the check together.
    pub stall: Duration,
    /// The session that it was given.
    pub session: u32,
    /// Its RTP port.
    pub rtp_port: u16,
    /// What it printed, and the texts in its window.
    pub texts: String,
}

impl Run {
    /// A step, if it was done.
    pub fn step(&self, name: Name) -> Option<&Step> {
        self.steps.get(name)
    }

    /// The request that followed a step.
    pub fn request_of(&self, name: Name) -> Option<&Received> {
        self.requests.get(self.step(name)?.request?)
    }

    /// The requests that arrived in a step, with one of these methods.
    pub fn requests_in(&self, name: Name, methods: &[Method]) -> Vec<&Received> {
        let Some(step) = self.step(name) else { return Vec::new() };
        let is_in = |it: &&Received| it.at >= step.at && it.at < step.until;
        let is_one = |it: &&Received| it.method.is_some_and(|method| methods.contains(&method));
        self.requests.iter().filter(is_in).filter(is_one).collect()
    }

    /// The frames that were shown from one time to another.
    pub fn frames(&self, from: Duration, to: Duration) -> Vec<(Duration, usize)> {
        let frame = |shown: &Shown| match shown.kind {
            PictureKind::Frame(frame) => Some((shown.at, frame)),
            _ => None,
        };
        let is_in = |shown: &&Shown| shown.at >= from && shown.at < to;
        self.shown.iter().filter(is_in).filter_map(frame).collect()
    }

    /// All frames that were shown.
    pub fn all_frames(&self) -> Vec<usize> {
        self.frames(Duration::ZERO, Duration::MAX).into_iter().map(|(_, frame)| frame).collect()
    }
}
