// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks evaluate whatever a server sends.

use super::*;
use crate::numbers::Numbers;
use crate::profile::{Extension, Fragments, Marker, TimestampRule};
use crate::recording::{Packet, Recording};
use gstmjpegfile::lab::Method;

impl Numbers {
    fn bytes(&mut self, limit: usize) -> Vec<u8> {
        let length = self.below(limit);
        (0..length).map(|_| u8::try_from(self.below(256)).unwrap()).collect()
    }

    fn maybe<T>(&mut self, value: T) -> Option<T> {
        (self.below(8) > 0).then_some(value)
    }

    fn answer(&mut self, method: Method) -> RequestOutcome {
        const REPLIES: [&str; 5] = [
            "RTSP/1.0 200 OK\nCSeq: 1\nSession: 123456",
            "RTSP/1.0 404 Not Found\nCSeq: 18446744073709551615\nSession: 0\n",
            "RTSP/1.0 200\nSession: \u{1b}\nTotalFrame: -1",
            "\n\n\n",
            "RTSP/1.0 200 OK\r\nCSeq:\r\nSession: a b c\r\n\r\nv=0",
        ];
        let bytes = match self.below(2) {
            0 => REPLIES[self.below(REPLIES.len())].as_bytes().to_vec(),
            _ => self.bytes(60),
        };
        let reply = ReceivedReply { at: self.time(), entry: self.below(9), bytes };
        let (sent_at, reply) = (self.time(), self.maybe(reply));
        let no_reply = if reply.is_none() { Some(NoReply::Silence) } else { None };
        RequestOutcome { method, cseq: self.below(9) as u64, sent_at, reply, no_reply }
    }

    fn maybe_answer(&mut self, method: Method) -> Option<RequestOutcome> {
        let answer = self.answer(method);
        self.maybe(answer)
    }

    fn recording(&mut self, movie: &Movie) -> Recording {
        let count = self.below(60);
        let mut packets: Vec<Packet> = (0..count)
            .map(|_| {
                let mut bytes = self.bytes(24);
                if self.below(2) == 0 {
                    bytes.extend_from_slice(movie.frame(self.below(movie.frames.len())));
                }
                let length = bytes.len() + self.below(3) * 1000;
                Packet { at: self.time(), port: self.below(4), bytes, length }
            })
            .collect();
        packets.sort_by_key(|packet| packet.at);
        Recording {
            packets,
            dropped: u32::try_from(self.below(2)).unwrap(),
            ..Recording::default()
        }
    }
}

fn evidence(numbers: &mut Numbers) -> ServerEvidence {
    let frame = |number: u8| [&[0xff, 0xd8, number], &[number; 40][..], &[0xff, 0xd9]].concat();
    let movie = Movie::new("m".to_owned(), (0..20).map(frame).collect());
    let mut profile = Profile::default();
    let forms = [Fragments::Off, Fragments::SameSeq, Fragments::NextSeq];
    profile.lab.fragments = forms[numbers.below(3)];
    profile.lab.marker = [Marker::Same, Marker::FrameEnd][numbers.below(2)];
    profile.lab.timestamp = [TimestampRule::Step, TimestampRule::Clock][numbers.below(2)];
    let extensions = [
        Extension::Statistics,
        Extension::Describe,
        Extension::List,
        Extension::Switch,
        Extension::Seek,
    ];
    profile.lab.extensions = extensions.to_vec();
    let recordings: Vec<Recording> = (0..3).map(|_| numbers.recording(&movie)).collect();
    let play = PlayExchange {
        recording: numbers.below(4),
        port: 5000,
        other_ports: vec![25_000],
        setup: numbers.answer(Method::Setup),
        play: numbers.maybe_answer(Method::Play),
        pause: numbers.maybe_answer(Method::Pause),
        resume: numbers.maybe_answer(Method::Play),
        teardown: numbers.maybe_answer(Method::Teardown),
        silent_until: numbers.time(),
        stall: Duration::ZERO,
        again_setup: numbers.maybe_answer(Method::Setup),
        again_play: numbers.maybe_answer(Method::Play),
    };
    let states = StateExchange {
        recording: numbers.below(4),
        play_in_init: numbers.answer(Method::Play),
        setup: numbers.maybe_answer(Method::Setup),
        pause_in_ready: numbers.maybe_answer(Method::Pause),
        setup_again: numbers.maybe_answer(Method::Setup),
        play: numbers.maybe_answer(Method::Play),
        played: numbers.below(2) == 0,
        play_again: numbers.maybe_answer(Method::Play),
        watched_until: numbers.time(),
        other_setup: numbers.maybe_answer(Method::Setup),
        early_teardown: numbers.maybe_answer(Method::Teardown),
        setup_after: numbers.maybe_answer(Method::Setup),
    };
    let mut client = || {
        let pair = (numbers.answer(Method::Setup), numbers.maybe_answer(Method::Play));
        numbers.maybe(pair)
    };
    let two = TwoClients { recording: 1, clients: [client(), client()] };
    let methods =
        [Method::Setup, Method::Play, Method::Seek, Method::Switch, Method::Describe, Method::List];
    let exchanges = extensions.map(|extension| ExtensionExchange {
        recording: numbers.below(4),
        extension,
        answers: methods.iter().filter_map(|method| numbers.maybe_answer(*method)).collect(),
    });
    ServerEvidence {
        profile,
        recordings,
        no_connection: None,
        play: numbers.maybe(play),
        states: numbers.maybe(states),
        missing: Some(MissingMovie {
            recording: 0,
            setup: numbers.answer(Method::Setup),
            after: numbers.maybe_answer(Method::Setup),
        }),
        two: numbers.maybe(two),
        end: Some(EndExchange {
            recording: numbers.below(4),
            movie: movie.clone(),
            setup: numbers.answer(Method::Setup),
            play: numbers.maybe_answer(Method::Play),
            silent: numbers.below(2) == 0,
            teardown: numbers.maybe_answer(Method::Teardown),
        }),
        no_end: None,
        extensions: exchanges.to_vec(),
        disconnect: Some(DisconnectExchange {
            recording: numbers.below(4),
            setup: numbers.answer(Method::Setup),
            play: numbers.maybe_answer(Method::Play),
            closed_at: Some(numbers.time()),
            watched_until: numbers.time(),
            next: numbers.maybe_answer(Method::Setup),
        }),
        notes: Vec::new(),
        other: Some(movie.clone()),
        movie,
    }
}

#[test]
fn any_evidence_is_evaluated_without_a_panic_and_twice_the_same() {
    let mut numbers = Numbers(1);
    for _ in 0..300 {
        let evidence = evidence(&mut numbers);
        let evaluate = || {
            let mut report = Report::default();
            report.evaluate(&checks(), &evidence, &evidence.profile);
            report.recordings.clone_from(&evidence.recordings);
            report
        };
        let report = evaluate();
        for result in &report.results {
            assert!(!result.title.is_empty() && !result.basis.is_empty(), "{}", result.id);
        }
        let page = crate::output::html(&report);
        assert!(!page.contains('\u{1b}'));
        let verdicts = |report: &Report| {
            report.results.iter().map(|result| result.verdict.clone()).collect::<Vec<_>>()
        };
        assert_eq!(verdicts(&evaluate()), verdicts(&report));
    }
}
