// SPDX-License-Identifier: MIT OR Apache-2.0
//! Plays, pauses, resumes, tears down, and plays again.

use crate::server::evidence::{PlayExchange, ServerEvidence};
use crate::server::exchange::{Client, Context, Recorder};
use gstmjpegfile::lab::Method;
use std::time::Duration;

/// The number of frames by which the frame rate is measured.
const MEASURED_FRAMES: usize = 50;

/// The number of frames after PAUSE.
const RESUMED_FRAMES: usize = 10;

/// The ports of the textbook's and the course report's examples, which servers have built in.
const USUAL_PORTS: [u16; 2] = [25_000, 5008];

/// How long a server is watched after it should have stopped.
const SILENCE: Duration = Duration::from_millis(700);

/// The number of frames of the play on a new connection.
const FRAMES_AGAIN: usize = 5;

pub(super) fn run(context: &Context, evidence: &mut ServerEvidence) {
    if let Some(why) = &context.job.not_started {
        evidence.no_connection = Some(why.clone());
        return;
    }
    let mut recorder = Recorder::new(context, "Play, pause, go on, tear down");
    let mut client = match recorder.connect_first() {
        Ok(client) => client,
        Err(error) => {
            let ended = context.job.program.and_then(|program| program.borrow_mut().has_ended());
            let why = match ended {
                Some(ended) => format!("the program ended with {ended}"),
                None => error.to_string(),
            };
            evidence.no_connection = Some(why);
            recorder.finish(&mut evidence.recordings);
            return;
        }
    };
    let other_ports: Vec<u16> =
        USUAL_PORTS.into_iter().filter(|port| recorder.listen_at(*port)).collect();
    let setup = recorder.request(&mut client, Method::Setup);
    let mut play = PlayExchange {
        recording: 0,
        port: client.rtp.1,
        other_ports,
        setup,
        play: None,
        pause: None,
        resume: None,
        teardown: None,
        silent_until: Duration::ZERO,
        stall: Duration::ZERO,
        again_setup: None,
        again_play: None,
    };
    if play.setup.is_ok() {
        let client = exchange(&mut recorder, client, &mut play);
        again(&mut recorder, client, &mut play);
    }
    play.stall = context.stall();
    play.recording = recorder.finish(&mut evidence.recordings);
    if let Some(recording) = evidence.recordings.get_mut(play.recording) {
        // Packets at the usual ports may be meant for another client of this machine. They say where the
        // server's packets go only if none arrived where they should.
        if recording.packets.iter().any(|packet| packet.port == 0) {
            recording.packets.retain(|packet| packet.port == 0);
        }
    }
    evidence.play = Some(play);
}

fn exchange(recorder: &mut Recorder, mut client: Client, play: &mut PlayExchange) -> Client {
    let job = recorder.context.job;
    let (lab, time) = (&job.profile.lab, &job.profile.time);
    // The movie must not end before TEARDOWN.
    let measured = MEASURED_FRAMES.min(job.movie.frames.len().saturating_sub(2 * RESUMED_FRAMES));
    let frames = |count: usize| lab.period() * u32::try_from(count).unwrap_or(1);
    play.play = Some(recorder.request(&mut client, Method::Play));
    // Three times the limit, so that a server that starts late can be checked for the rest.
    if recorder.receive(&client, 1, 3 * time.first_packet) {
        recorder.receive_frames(&client, measured, frames(measured) * 5 / 4);
    } else {
        // The rest cannot be judged.
        play.teardown = Some(recorder.request(&mut client, Method::Teardown));
        return client;
    }
    play.pause = Some(recorder.request(&mut client, Method::Pause));
    recorder.watch_to_stop(time.stop + SILENCE);
    let before = recorder.received(&client);
    play.resume = Some(recorder.request(&mut client, Method::Play));
    recorder.receive(&client, before + 1, time.first_packet);
    recorder.watch(frames(RESUMED_FRAMES));
    play.teardown = Some(recorder.request(&mut client, Method::Teardown));
    play.silent_until = recorder.watch_to_stop(time.stop + SILENCE);
    client
}

/// A new connection with the same RTP port: nothing of the old session may be left.
fn again(recorder: &mut Recorder, client: Client, play: &mut PlayExchange) {
    let next = recorder.connect_as(&client);
    recorder.close(client);
    let Ok(mut next) = next else { return };
    let setup = recorder.request(&mut next, Method::Setup);
    let is_ok = setup.is_ok();
    play.again_setup = Some(setup);
    if is_ok {
        let time = &recorder.context.job.profile.time;
        play.again_play = Some(recorder.request(&mut next, Method::Play));
        recorder.receive_frames(&next, FRAMES_AGAIN, time.first_packet);
        recorder.request(&mut next, Method::Teardown);
    }
    recorder.close(next);
}
