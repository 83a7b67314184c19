// SPDX-License-Identifier: MIT OR Apache-2.0
//! The extensions that the profile has.

use crate::profile::Extension;
use crate::server::evidence::{ExtensionExchange, ServerEvidence};
use crate::server::exchange::{Client, Context, Recorder, RequestOutcome};
use gstmjpegfile::lab::Method;
use std::time::Duration;

/// The number of packets before and after a request.
const PACKETS: usize = 6;

/// The position that SEEK asks for, as a part of the movie.
pub(crate) const SEEK_TO: f64 = 0.5;

/// How long packets that are on their way are awaited.
const SETTLE: Duration = Duration::from_millis(300);

pub(super) fn run(context: &Context, evidence: &mut ServerEvidence) {
    for extension in context.job.profile.lab.extensions.iter().copied() {
        let title = match extension {
            Extension::Statistics => "Extension: statistics",
            Extension::Describe => "Extension: DESCRIBE",
            Extension::List => "Extension: LIST",
            Extension::Switch => "Extension: SWITCH",
            Extension::Seek => "Extension: SEEK",
        };
        let mut recorder = Recorder::new(context, title);
        let mut answers = Vec::new();
        if let Ok(mut client) = recorder.connect() {
            exchange(&mut recorder, &mut client, extension, &mut answers);
            recorder.close(client);
        }
        let recording = recorder.finish(&mut evidence.recordings);
        evidence.extensions.push(ExtensionExchange { recording, extension, answers });
    }
}

fn exchange(
    recorder: &mut Recorder,
    client: &mut Client,
    extension: Extension,
    answers: &mut Vec<RequestOutcome>,
) {
    match extension {
        Extension::Describe => answers.push(recorder.request(client, Method::Describe)),
        Extension::List => answers.push(recorder.request(client, Method::List)),
        Extension::Statistics => statistics(recorder, client, answers),
        Extension::Seek => {
            if play(recorder, client, answers) {
                answers.push(seek(recorder, client));
                recorder.receive_frames(client, 2 * PACKETS, SETTLE * 2);
                answers.push(recorder.request(client, Method::Teardown));
            }
        }
        Extension::Switch => {
            let other = recorder.context.job.other.map(|movie| movie.name.clone());
            let Some(other) = other else { return };
            let job = recorder.context.job;
            let wait = job.profile.time.reply;
            if play(recorder, client, answers) {
                answers.push(recorder.request_movie(client, Method::Switch, &other, wait));
                answers.push(recorder.request_movie(client, Method::Play, &other, wait));
                recorder.receive_frames(client, PACKETS, job.profile.time.first_packet);
                answers.push(recorder.request_movie(client, Method::Teardown, &other, wait));
            }
        }
    }
}

/// Plays some packets. Returns whether they arrived.
fn play(recorder: &mut Recorder, client: &mut Client, answers: &mut Vec<RequestOutcome>) -> bool {
    for method in [Method::Setup, Method::Play] {
        let answer = recorder.request(client, method);
        let is_ok = answer.is_ok();
        answers.push(answer);
        if !is_ok {
            return false;
        }
    }
    recorder.receive_frames(client, PACKETS, recorder.context.job.profile.time.first_packet)
}

fn seek(recorder: &mut Recorder, client: &mut Client) -> RequestOutcome {
    let job = recorder.context.job;
    let (cseq, session) = Recorder::next(client);
    let form = job.profile.lab.form.request_form();
    let text = form.write_seek(&job.movie.name, cseq, session, SEEK_TO);
    recorder.request_text(client, Method::Seek, &text, job.profile.time.reply)
}

/// The client that reads statistics writes `CSeq 1` without a colon.
fn statistics(recorder: &mut Recorder, client: &mut Client, answers: &mut Vec<RequestOutcome>) {
    let job = recorder.context.job;
    let name = &job.movie.name;
    let mut ask = |recorder: &mut Recorder, client: &mut Client, method: Method| {
        let (cseq, session) = Recorder::next(client);
        let word = method.word();
        let third = match method {
            Method::Setup => format!("Transport: RTP/UDP; client_port= {}", client.rtp.1),
            _ => format!("Session: {session}"),
        };
        let text = format!("{word} {name} RTSP/1.0\nCSeq {cseq}\n{third}");
        let answer = recorder.request_text(client, method, &text, job.profile.time.reply);
        let is_ok = answer.is_ok();
        answers.push(answer);
        is_ok
    };
    for method in [Method::Setup, Method::Play] {
        if !ask(recorder, client, method) {
            return;
        }
    }
    recorder.receive_frames(client, PACKETS, job.profile.time.first_packet);
    ask(recorder, client, Method::Pause);
    recorder.watch(SETTLE);
    ask(recorder, client, Method::Teardown);
}
