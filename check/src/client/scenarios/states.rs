// SPDX-License-Identifier: MIT OR Apache-2.0
//! A user who presses buttons that should do nothing.

use super::{play, read_reply, set_up, tear_down};
use crate::client::driver::Action;
use crate::client::session::Session;
use gstmjpegfile::lab::Method;

/// The number of frames that are shown.
const FRAMES: usize = 4;

pub(super) fn run(session: &mut Session) {
    session.press_in_vain("play-in-init", Action::Play);
    session.press_in_vain("pause-in-init", Action::Pause);
    if !set_up(session) {
        return;
    }
    session.press_in_vain("setup-in-ready", Action::Setup);
    session.press_in_vain("pause-in-ready", Action::Pause);
    if !play(session, "play", FRAMES) {
        return;
    }
    read_reply(session);
    session.press_in_vain("setup-in-playing", Action::Setup);
    session.press_in_vain("play-in-playing", Action::Play);
    if session.press("pause", Action::Pause, Method::Pause) {
        read_reply(session);
        session.press_in_vain("pause-again", Action::Pause);
        tear_down(session, "teardown-in-ready");
    }
}
