// SPDX-License-Identifier: MIT OR Apache-2.0
//! A movie that does not exist, two clients at once, the end of the movie, a client that disappears.

use crate::profile::Fragments;
use crate::server::evidence::{
    DisconnectExchange, EndExchange, MissingMovie, ServerEvidence, TwoClients,
};
use crate::server::exchange::{Client, Context, Recorder, RequestOutcome};
use gstmjpegfile::lab::Method;
use std::time::Duration;

/// The name of a movie that no server has.
pub(super) const MISSING: &str = "no-such-movie.Mjpeg";

/// The number of frames that each of two clients receives.
const FRAMES_OF_TWO: usize = 12;

/// The number of frames that a client receives before it disappears.
const FRAMES_BEFORE_DISCONNECT: usize = 5;

/// The shortest silence after which a movie has ended.
const END_SILENCE: Duration = Duration::from_millis(700);

pub(super) fn missing_movie(context: &Context, evidence: &mut ServerEvidence) {
    let mut recorder = Recorder::new(context, "A movie that does not exist");
    let reply = context.job.profile.time.reply;
    if let Ok(mut client) = recorder.connect() {
        let setup = recorder.request_movie(&mut client, Method::Setup, MISSING, reply);
        recorder.close(client);
        let after = set_up(&mut recorder);
        let recording = recorder.finish(&mut evidence.recordings);
        evidence.missing = Some(MissingMovie { recording, setup, after });
    } else {
        recorder.finish(&mut evidence.recordings);
    }
}

/// SETUP and TEARDOWN on a new connection. A movie is played in between: many servers cannot end a session
/// that has not been played.
fn set_up(recorder: &mut Recorder) -> Option<RequestOutcome> {
    let mut client = recorder.connect().ok()?;
    let setup = recorder.request(&mut client, Method::Setup);
    if setup.is_ok() {
        recorder.request(&mut client, Method::Play);
        recorder.receive(&client, 1, END_SILENCE);
        recorder.request(&mut client, Method::Teardown);
    }
    recorder.close(client);
    Some(setup)
}

pub(super) fn two_clients(context: &Context, evidence: &mut ServerEvidence) {
    let mut recorder = Recorder::new(context, "Two clients at once");
    let mut clients: Vec<Option<Client>> = Vec::new();
    let mut answers = [None, None];
    for slot in &mut answers {
        let client = recorder.connect().ok().map(|mut client| {
            let setup = recorder.request(&mut client, Method::Setup);
            let play = setup.is_ok().then(|| recorder.request(&mut client, Method::Play));
            *slot = Some((setup, play));
            client
        });
        clients.push(client);
    }
    let wait = context.job.profile.time.first_packet;
    let clients: Vec<Client> = clients.into_iter().flatten().collect();
    for client in &clients {
        recorder.receive_frames(client, FRAMES_OF_TWO, wait);
    }
    for mut client in clients {
        recorder.request(&mut client, Method::Teardown);
        recorder.close(client);
    }
    let recording = recorder.finish(&mut evidence.recordings);
    evidence.two = Some(TwoClients { recording, clients: answers });
}

pub(super) fn end_of_movie(context: &Context, evidence: &mut ServerEvidence) {
    let Some(movie) = context.job.movie_to_end() else {
        let seconds = context.job.movie.frames.len() as u64
            / u64::from(context.job.profile.lab.frame_rate.max(1));
        evidence.no_end = Some(format!(
            "the movie takes {seconds} s: --thorough plays it to its end, or --short-movie names a short one that the server has"
        ));
        return;
    };
    let mut recorder = Recorder::new(context, "The end of the movie");
    let (time, lab) = (&context.job.profile.time, &context.job.profile.lab);
    if let Ok(mut client) = recorder.connect() {
        let setup = recorder.request_movie(&mut client, Method::Setup, &movie.name, time.reply);
        let mut end = EndExchange {
            recording: 0,
            movie: movie.clone(),
            setup,
            play: None,
            silent: false,
            teardown: None,
        };
        if end.setup.is_ok() {
            end.play =
                Some(recorder.request_movie(&mut client, Method::Play, &movie.name, time.reply));
            let frames = u32::try_from(movie.frames.len()).unwrap_or(u32::MAX);
            let wait = lab.period().saturating_mul(frames);
            if recorder.receive(&client, 1, time.first_packet) {
                // In fragments, more packets than frames come.
                let packets = movie.frames.len();
                let rest = if lab.fragments == Fragments::Off {
                    recorder.receive(&client, packets, wait * 3 / 2);
                    wait / 2
                } else {
                    wait * 2
                };
                let quiet = END_SILENCE.max(4 * lab.period());
                end.silent = recorder.receive_to_end(&client, quiet, rest + Duration::from_secs(1));
            }
            let teardown =
                recorder.request_movie(&mut client, Method::Teardown, &movie.name, time.reply);
            end.teardown = Some(teardown);
        }
        recorder.close(client);
        end.recording = recorder.finish(&mut evidence.recordings);
        evidence.end = Some(end);
    } else {
        recorder.finish(&mut evidence.recordings);
    }
}

pub(super) fn disconnect(context: &Context, evidence: &mut ServerEvidence) {
    let mut recorder = Recorder::new(context, "A client that disappears");
    let time = &context.job.profile.time;
    let Ok(mut client) = recorder.connect() else {
        recorder.finish(&mut evidence.recordings);
        return;
    };
    let setup = recorder.request(&mut client, Method::Setup);
    let mut disconnect = DisconnectExchange {
        recording: 0,
        setup,
        play: None,
        closed_at: None,
        watched_until: Duration::ZERO,
        next: None,
    };
    if disconnect.setup.is_ok() {
        disconnect.play = Some(recorder.request(&mut client, Method::Play));
        recorder.receive_frames(&client, FRAMES_BEFORE_DISCONNECT, time.first_packet);
        disconnect.closed_at = Some(recorder.close(client));
        disconnect.watched_until = recorder.watch_to_stop(time.disconnect + END_SILENCE);
    } else {
        recorder.close(client);
    }
    disconnect.next = set_up(&mut recorder);
    disconnect.recording = recorder.finish(&mut evidence.recordings);
    evidence.disconnect = Some(disconnect);
}
