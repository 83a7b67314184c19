// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a network does to packets.

use super::{play, policy, read_reply, set_up, settle, tear_down};
use crate::client::driver::Action;
use crate::client::sender::Step::{self, Frame, Garbage, Nothing};
use crate::client::session::{Policy, Session};
use gstmjpegfile::lab::Method;

/// The frames that are lost, from 0.
pub(in crate::client) const LOST: [usize; 3] = [10, 11, 16];

/// The number of frames in the run with loss, with those that are lost.
pub(in crate::client) const LOSS_FRAMES: usize = 28;

/// The frame that is late, and the one that comes before it.
pub(in crate::client) const LATE: (usize, usize) = (10, 11);

/// The frame that comes three times.
pub(in crate::client) const REPEATED: usize = 15;

/// The number of frame periods in which nothing is sent.
const PAUSE: usize = 6;

/// The last frame before the garbage.
pub(in crate::client) const BEFORE_GARBAGE: usize = 19;

/// The last frame of all.
pub(in crate::client) const LAST: usize = 27;

pub(super) fn loss_policy() -> Policy {
    let step = |frame| if LOST.contains(&frame) { Nothing } else { Frame(frame) };
    Policy { frames: (0..LOSS_FRAMES).map(step).collect(), ..policy() }
}

fn disorder_steps() -> Vec<Step> {
    let (late, early) = LATE;
    let mut steps: Vec<Step> = (0..late).map(Frame).collect();
    // Nothing follows for a while, so that the pictures are seen in screenshots too.
    steps.push(Frame(early));
    steps.extend([const { Nothing }; PAUSE]);
    steps.push(Frame(late));
    steps.extend([const { Nothing }; PAUSE]);
    steps.extend((early + 1..=REPEATED).map(Frame));
    steps.extend([Frame(REPEATED), Frame(REPEATED)]);
    steps.extend((REPEATED + 1..=BEFORE_GARBAGE).map(Frame));
    steps.extend([Garbage(b"GAR".to_vec()), Garbage(Vec::new()), Garbage(b"garbage\n".to_vec())]);
    steps.extend((BEFORE_GARBAGE + 1..=LAST).map(Frame));
    steps
}

pub(super) fn disorder_policy() -> Policy {
    Policy { frames: disorder_steps(), ..policy() }
}

pub(super) fn loss(session: &mut Session) {
    run(session, LOSS_FRAMES);
}

pub(super) fn disorder(session: &mut Session) {
    run(session, disorder_steps().len());
}

fn run(session: &mut Session, steps: usize) {
    if !set_up(session) || !play(session, "play", steps) {
        return;
    }
    settle(session);
    if session.press("pause", Action::Pause, Method::Pause) {
        read_reply(session);
    }
    tear_down(session, "teardown");
}
