// SPDX-License-Identifier: MIT OR Apache-2.0
//! Opens a lost session again.

use super::failure::FailureKind;
use super::{Player, Protocol, State};
use glib::subclass::prelude::*;
use std::time::{Duration, Instant};

/// The time between two checks for silence.
const INTERVAL: Duration = Duration::from_millis(500);

impl FailureKind {
    /// Whether a later attempt may succeed. `again`: an attempt has failed since the session was lost.
    pub(super) fn may_pass(self, again: bool) -> bool {
        match self {
            Self::NoConnection | Self::UnknownHost | Self::NoReply | Self::Silent | Self::Lost => {
                true
            }
            // A server that starts may not have its movies yet.
            Self::NotFound | Self::Refused | Self::Other => again,
            Self::NotAuthorized | Self::Untrusted | Self::PortTaken { .. } => false,
        }
    }
}

/// Fails with a server that sends nothing for `limit` while it plays, if it is then connected to again.
/// Without that, a front end says that it is silent.
pub(super) fn watch_silence(player: &Player, limit: Duration) {
    if player.protocol() == Protocol::None {
        return;
    }
    let mut since = None;
    player.every(INTERVAL, "silence-watch", move |player| {
        let plays = player.state() == State::Playing && player.pending().is_none();
        if !plays || !player.imp().reconnects() {
            since = None;
            return glib::ControlFlow::Continue;
        }
        let since = *since.get_or_insert_with(Instant::now);
        let last = player.last_arrival().map_or(since, |last| last.max(since));
        if last.elapsed() > limit {
            player.imp().fail(player.silence(limit));
        }
        glib::ControlFlow::Continue
    });
}
