// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the user and the server do, one run of the client after another.

mod network;
mod play;
mod replies;
mod states;

pub(in crate::client) use network::{BEFORE_GARBAGE, LAST, LATE, LOSS_FRAMES, LOST, REPEATED};

use super::driver::Action;
use super::evidence::{ClientEvidence, Run};
use super::film;
use super::sender;
use super::session::{Context, Policy, Session};
use gstmjpegfile::lab::{Method, Status};
use std::time::Duration;

/// How long the picture must stay the same to be the last one.
const STILL: Duration = Duration::from_millis(300);

/// Where the evidence of a run is.
type Slot = fn(&mut ClientEvidence) -> &mut Option<Run>;

/// What a run does.
type Scenario = fn(&mut Session);

/// Carries out all runs. After the end of the time, the rest is left out.
pub(super) fn run(context: &Context) -> ClientEvidence {
    let mut evidence = ClientEvidence {
        profile: context.job.profile.clone(),
        movie: context.movie.clone(),
        recordings: Vec::new(),
        no_start: None,
        play: None,
        states: None,
        late: None,
        not_found: None,
        server_error: None,
        loss: None,
        disorder: None,
        close: None,
        notes: Vec::new(),
    };
    let runs: [(&'static str, Slot, Scenario, Policy); 8] = [
        ("Setup, Play, Pause, Play, Teardown", |it| &mut it.play, play::run, policy()),
        ("Buttons in other states", |it| &mut it.states, states::run, policy()),
        ("Replies after 300 ms", |it| &mut it.late, replies::late, replies::late_policy()),
        (
            "SETUP is answered 404",
            |it| &mut it.not_found,
            replies::not_found,
            Policy { setup: Status::NotFound, ..policy() },
        ),
        (
            "PLAY is answered 500",
            |it| &mut it.server_error,
            replies::server_error,
            Policy { play: Status::InternalServerError, ..policy() },
        ),
        ("Packets are lost", |it| &mut it.loss, network::loss, network::loss_policy()),
        (
            "Packets out of order, twice, and garbage",
            |it| &mut it.disorder,
            network::disorder,
            network::disorder_policy(),
        ),
        ("The window is closed", |it| &mut it.close, play::close, policy()),
    ];
    for (title, slot, scenario, policy) in runs {
        context.grow();
        let mut session = match Session::start(context, title, policy) {
            Ok(session) => session,
            Err(error) => {
                evidence.no_start = Some(format!("{error:#}"));
                break;
            }
        };
        let is_ready = session.is_ready();
        if is_ready {
            scenario(&mut session);
        }
        let run = session.finish(&mut evidence.recordings);
        if context.deadline().is_over() {
            // What was cut off proves nothing.
            let seconds = (context.total + context.later()).as_secs();
            evidence.notes.push(format!("the run was ended after {seconds} s, its limit"));
            break;
        }
        // A client that sends nothing cannot be judged.
        let is_over = !is_ready || run.requests.is_empty();
        *slot(&mut evidence) = Some(run);
        if is_over {
            break;
        }
    }
    evidence.notes.extend(context.stalls.describe(context.extra.total()));
    evidence.notes.append(&mut context.notes.borrow_mut());
    evidence.notes.dedup();
    evidence
}

/// A server that does what it should.
fn policy() -> Policy {
    Policy {
        setup: Status::Ok,
        play: Status::Ok,
        delay: Duration::ZERO,
        frames: (0..film::FRAMES).map(sender::Step::Frame).collect(),
    }
}

/// Presses Setup, and waits until the RTP port is open. Returns whether SETUP was sent.
fn set_up(session: &mut Session) -> bool {
    let sent = session.press("setup", Action::Setup, Method::Setup);
    let limit = session.limit(session.profile().client.request);
    session.serve(limit, |it| it.has_replied());
    if session.serve(limit, |it| it.is_port_open()) {
        session.mark("port-open");
    }
    read_reply(session);
    sent
}

/// Waits until the reply has been sent, and the client has had time to read it.
fn read_reply(session: &mut Session) {
    session.serve(Duration::from_secs(1), |it| it.has_replied());
    let time = session.reading_time();
    session.watch(time);
}

/// Presses Play, and waits until the sender has carried out some steps, and the client has shown the last
/// frame. Returns whether PLAY was sent.
fn play(session: &mut Session, name: &'static str, steps: usize) -> bool {
    // The first frames may be sent before the request is known here.
    let until = session.steps_sent() + steps;
    if !session.press(name, Action::Play, Method::Play) {
        return false;
    }
    show(session, until);
    true
}

/// Waits until the sender has carried out this number of steps in all, and the client has shown the last frame.
fn show(session: &mut Session, until: usize) {
    let left = until.saturating_sub(session.steps_sent());
    let time = session.profile().lab.period() * u32::try_from(left).unwrap_or(1);
    let limit = session.limit(time + session.profile().client.request);
    session.serve(limit, |it| it.steps_sent() >= until || it.run.ended.is_some());
    let newest = session.last_sent();
    let limit = session.limit(Duration::from_millis(300));
    let sees = session.run.visibility != super::evidence::Visibility::None;
    if sees {
        session.serve(limit, |it| it.last_shown() >= newest);
    }
}

/// Presses Teardown, and waits until the sockets are closed.
fn tear_down(session: &mut Session, name: &'static str) -> bool {
    let sent = session.press(name, Action::Teardown, Method::Teardown);
    if sent {
        session.serve(Duration::from_secs(1), |it| it.has_replied());
        let limit = session.limit(session.profile().client.end);
        session.serve(limit, |it| it.is_closed() && !it.is_port_open());
        if session.is_closed() {
            session.mark("control-closed");
        }
        if !session.is_port_open() {
            session.mark("port-closed");
        }
    }
    sent
}

/// Waits until the picture stays the same.
fn settle(session: &mut Session) {
    let mut last = (session.run.shown.len(), std::time::Instant::now());
    let limit = session.limit(Duration::from_secs(1));
    session.serve(limit, |it| {
        if it.run.shown.len() != last.0 {
            last = (it.run.shown.len(), std::time::Instant::now());
        }
        last.1.elapsed() >= STILL
    });
}
