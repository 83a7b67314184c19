// SPDX-License-Identifier: MIT OR Apache-2.0
//! Replies that come late, or refuse.

use super::{play, policy, read_reply, set_up, tear_down};
use crate::client::driver::Action;
use crate::client::session::{Policy, Session};
use gstmjpegfile::lab::Method;
use std::time::Duration;

/// How late replies are.
const LATE: Duration = Duration::from_millis(300);

/// The number of frames that are shown.
const FRAMES: usize = 8;

pub(super) fn late_policy() -> Policy {
    Policy { delay: LATE, ..policy() }
}

/// Play is pressed while SETUP's reply is on its way.
pub(super) fn late(session: &mut Session) {
    if !session.press("setup", Action::Setup, Method::Setup) {
        return;
    }
    let from = session.run.requests.len();
    let limit = session.limit(session.profile().client.request);
    session.act("early-play", Action::Play, false, limit);
    session.serve(limit, |it| it.has_replied());
    if let Some(at) = session.run.request_of("setup").and_then(|it| it.ok_at) {
        session.run.times.insert("setup-replied", at);
    }
    session.serve(limit, Session::is_done);
    // A client that waits in its callback does now what was pressed.
    read_reply(session);
    let is_play = |it: &crate::client::requests::Received| it.method == Some(Method::Play);
    let early = session.run.requests.get(from..).unwrap_or_default();
    let has_played = early.iter().any(|it| is_play(it) && it.ok_at.is_some());
    let limit = session.limit(session.profile().client.request);
    session.serve(limit, |it| it.is_port_open());
    if has_played {
        super::show(session, FRAMES);
    } else if !play(session, "play", FRAMES) {
        return;
    }
    if session.press("pause", Action::Pause, Method::Pause) {
        read_reply(session);
    }
    session.press("teardown", Action::Teardown, Method::Teardown);
}

/// SETUP is refused. Nothing must follow, until Setup is pressed again.
pub(super) fn not_found(session: &mut Session) {
    if !session.press("setup", Action::Setup, Method::Setup) {
        return;
    }
    read_reply(session);
    session.press_in_vain("play", Action::Play);
    session.press_in_vain("pause", Action::Pause);
}

/// The first PLAY is refused.
pub(super) fn server_error(session: &mut Session) {
    if !set_up(session) || !session.press("play", Action::Play, Method::Play) {
        return;
    }
    read_reply(session);
    session.press_in_vain("pause", Action::Pause);
    play(session, "play-again", FRAMES);
    tear_down(session, "teardown");
}
