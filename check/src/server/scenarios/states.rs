// SPDX-License-Identifier: MIT OR Apache-2.0
//! Requests in states that do not allow them, or that have no effect.

use crate::server::evidence::{ServerEvidence, StateExchange};
use crate::server::exchange::{Client, Context, Recorder, RequestOutcome};
use gstmjpegfile::lab::Method;
use std::time::Duration;

/// How long to wait for an optional reply: the textbook's server ignores such requests.
const SHORT_WAIT: Duration = Duration::from_millis(500);

/// The number of frames before and after the second PLAY.
const FRAMES: usize = 8;

pub(super) fn run(context: &Context, evidence: &mut ServerEvidence) {
    let mut recorder = Recorder::new(context, "Requests in the wrong state");
    if let Ok(mut client) = recorder.connect() {
        let play_in_init = try_request(&mut recorder, &mut client, Method::Play);
        let mut states = StateExchange {
            recording: 0,
            play_in_init,
            setup: None,
            pause_in_ready: None,
            setup_again: None,
            play: None,
            played: false,
            play_again: None,
            watched_until: Duration::ZERO,
            other_setup: None,
            early_teardown: None,
            setup_after: None,
        };
        first_connection(&mut recorder, &mut client, &mut states);
        recorder.close(client);
        if let Ok(mut client) = recorder.connect() {
            let setup = recorder.request(&mut client, Method::Setup);
            if setup.is_ok() {
                states.early_teardown = Some(recorder.request(&mut client, Method::Teardown));
            }
            states.other_setup = Some(setup);
            recorder.close(client);
        }
        if let Ok(mut client) = recorder.connect() {
            let setup = recorder.request(&mut client, Method::Setup);
            if setup.is_ok() {
                recorder.request(&mut client, Method::Play);
                recorder.receive(&client, 1, SHORT_WAIT);
                recorder.request(&mut client, Method::Teardown);
            }
            states.setup_after = Some(setup);
            recorder.close(client);
        }
        states.recording = recorder.finish(&mut evidence.recordings);
        evidence.states = Some(states);
    } else {
        recorder.finish(&mut evidence.recordings);
    }
}

fn first_connection(recorder: &mut Recorder, client: &mut Client, states: &mut StateExchange) {
    let setup = recorder.request(client, Method::Setup);
    let is_ok = setup.is_ok();
    states.setup = Some(setup);
    if !is_ok {
        return;
    }
    states.pause_in_ready = Some(try_request(recorder, client, Method::Pause));
    states.setup_again = Some(try_request(recorder, client, Method::Setup));
    let (time, lab) = (&recorder.context.job.profile.time, &recorder.context.job.profile.lab);
    states.play = Some(recorder.request(client, Method::Play));
    states.played = recorder.receive_frames(client, FRAMES, time.first_packet);
    states.play_again = Some(try_request(recorder, client, Method::Play));
    states.watched_until = recorder.watch(lab.period() * u32::try_from(FRAMES).unwrap_or(1));
    recorder.request(client, Method::Teardown);
}

fn try_request(recorder: &mut Recorder, client: &mut Client, method: Method) -> RequestOutcome {
    let movie = recorder.context.job.movie.name.clone();
    recorder.request_movie(client, method, &movie, SHORT_WAIT)
}
