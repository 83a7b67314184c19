// SPDX-License-Identifier: MIT OR Apache-2.0
//! The evidence from the exchanges with a server.

use super::exchange::RequestOutcome;
use crate::movie::Movie;
use crate::profile::{Extension, Profile};
use crate::recording::Recording;
use std::time::Duration;

/// All that is known of a server. An exchange is `None` if it did not take place.
#[derive(Debug)]
pub struct ServerEvidence {
    /// What the course asks for.
    pub profile: Profile,
    /// The movie that the server sends.
    pub movie: Movie,
    /// Another movie that it has.
    pub other: Option<Movie>,
    /// The exchanges.
    pub recordings: Vec<Recording>,
    /// Why there is no connection at all.
    pub no_connection: Option<String>,
    /// Plays, pauses, resumes and tears down.
    pub play: Option<PlayExchange>,
    /// Requests in states that do not allow them.
    pub states: Option<StateExchange>,
    /// SETUP of a movie that does not exist.
    pub missing: Option<MissingMovie>,
    /// Two clients at once.
    pub two: Option<TwoClients>,
    /// Plays a movie to its end.
    pub end: Option<EndExchange>,
    /// Why no movie is played to its end, though there is time.
    pub no_end: Option<String>,
    /// The extensions that the profile has.
    pub extensions: Vec<ExtensionExchange>,
    /// A client that disappears.
    pub disconnect: Option<DisconnectExchange>,
    /// What the reader should know.
    pub notes: Vec<String>,
}

/// SETUP, PLAY, PAUSE, PLAY, TEARDOWN; then SETUP and PLAY on a new connection with the same port.
#[derive(Debug)]
pub struct PlayExchange {
    /// The number of the recording.
    pub recording: usize,
    /// The port of the client.
    pub port: u16,
    /// Other ports that servers send to by mistake; the packets there have the numbers from 1.
    pub other_ports: Vec<u16>,
    /// The requests and replies of the exchange.
    pub setup: RequestOutcome,
    /// The first PLAY.
    pub play: Option<RequestOutcome>,
    /// PAUSE.
    pub pause: Option<RequestOutcome>,
    /// PLAY after PAUSE.
    pub resume: Option<RequestOutcome>,
    /// TEARDOWN.
    pub teardown: Option<RequestOutcome>,
    /// Until when packets were awaited after TEARDOWN.
    pub silent_until: Duration,
    /// The longest time for which a thread of this machine waited for a processor.
    pub stall: Duration,
    /// SETUP on a new connection, `None` if it was not accepted.
    pub again_setup: Option<RequestOutcome>,
    /// PLAY on it.
    pub again_play: Option<RequestOutcome>,
}

/// Requests in states that do not allow them, or that have no effect.
#[derive(Debug)]
pub struct StateExchange {
    /// The number of the recording.
    pub recording: usize,
    /// PLAY before SETUP.
    pub play_in_init: RequestOutcome,
    /// SETUP after it.
    pub setup: Option<RequestOutcome>,
    /// PAUSE before PLAY.
    pub pause_in_ready: Option<RequestOutcome>,
    /// SETUP once more.
    pub setup_again: Option<RequestOutcome>,
    /// PLAY.
    pub play: Option<RequestOutcome>,
    /// Whether packets arrived before the second PLAY.
    pub played: bool,
    /// PLAY once more.
    pub play_again: Option<RequestOutcome>,
    /// Until when packets were awaited.
    pub watched_until: Duration,
    /// SETUP on another connection.
    pub other_setup: Option<RequestOutcome>,
    /// TEARDOWN right after it.
    pub early_teardown: Option<RequestOutcome>,
    /// SETUP on a third connection, after that TEARDOWN.
    pub setup_after: Option<RequestOutcome>,
}

/// SETUP of a movie that does not exist.
#[derive(Debug)]
pub struct MissingMovie {
    /// The number of the recording.
    pub recording: usize,
    /// That SETUP.
    pub setup: RequestOutcome,
    /// SETUP of the movie on a new connection; `None` if it was not accepted.
    pub after: Option<RequestOutcome>,
}

/// Two clients at once.
#[derive(Debug)]
pub struct TwoClients {
    /// The number of the recording. The packets of the clients have the port numbers 0 and 1.
    pub recording: usize,
    /// The clients' SETUP and PLAY; `None` if the connection was not accepted.
    pub clients: [Option<(RequestOutcome, Option<RequestOutcome>)>; 2],
}

/// A movie to its end.
#[derive(Debug)]
pub struct EndExchange {
    /// The number of the recording.
    pub recording: usize,
    /// The movie.
    pub movie: Movie,
    /// SETUP.
    pub setup: RequestOutcome,
    /// PLAY.
    pub play: Option<RequestOutcome>,
    /// Whether no packet came any more before TEARDOWN.
    pub silent: bool,
    /// TEARDOWN after the end.
    pub teardown: Option<RequestOutcome>,
}

/// A client that closes its connection while the server sends.
#[derive(Debug)]
pub struct DisconnectExchange {
    /// The number of the recording.
    pub recording: usize,
    /// SETUP.
    pub setup: RequestOutcome,
    /// PLAY.
    pub play: Option<RequestOutcome>,
    /// When the connection was closed.
    pub closed_at: Option<Duration>,
    /// Until when packets were awaited.
    pub watched_until: Duration,
    /// SETUP of the next client; `None` if its connection was not accepted.
    pub next: Option<RequestOutcome>,
}

/// The requests for an extension.
#[derive(Debug, Clone)]
pub struct ExtensionExchange {
    /// The number of the recording.
    pub recording: usize,
    /// The extension.
    pub extension: Extension,
    /// The requests in their order.
    pub answers: Vec<RequestOutcome>,
}

impl ServerEvidence {
    /// A recording.
    pub fn recording(&self, number: usize) -> Option<&Recording> {
        self.recordings.get(number)
    }
}
