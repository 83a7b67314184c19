// SPDX-License-Identifier: MIT OR Apache-2.0
//! A user who watches the movie, and one who closes the window.

use super::{play, read_reply, set_up, settle, tear_down};
use crate::client::driver::Action;
use crate::client::session::Session;
use gstmjpegfile::lab::Method;
use std::time::Duration;

/// The number of frames before PAUSE.
const FIRST: usize = 20;

/// The number of frames after it.
const RESUMED: usize = 12;

/// The number of frames before the window is closed.
const BEFORE_CLOSE: usize = 8;

/// How long the paused picture is observed.
const OBSERVED: Duration = Duration::from_millis(400);

pub(super) fn run(session: &mut Session) {
    if !set_up(session) || !play(session, "play", FIRST) {
        return;
    }
    if session.press("pause", Action::Pause, Method::Pause) {
        // What the client does with the reply shows after it has read it.
        read_reply(session);
        settle(session);
        session.watch(session.limit(OBSERVED));
        session.mark("paused");
        play(session, "resume", RESUMED);
    }
    tear_down(session, "teardown");
}

pub(super) fn close(session: &mut Session) {
    if !set_up(session) || !play(session, "play", BEFORE_CLOSE) {
        return;
    }
    session.press("close", Action::Close, Method::Teardown);
    let limit = session.limit(session.profile().client.end);
    session.serve(limit, |it| it.run.ended.is_some());
}
