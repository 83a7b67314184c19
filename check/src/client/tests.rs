// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks evaluate whatever a client does.

use super::driver::Action;
use super::evidence::{Run, Step, Visibility};
use super::picture::{PictureKind, Shown};
use super::requests::Received;
use super::sender::SentFrame;
use super::*;
use crate::movie::{Match, Movie};
use crate::numbers::Numbers;
use crate::profile::Form;
use crate::recording::Recording;

impl Numbers {
    fn request(&mut self) -> Received {
        const TEXTS: [&str; 8] = [
            "SETUP movie.Mjpeg RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP; client_port= 25000",
            "PLAY movie.Mjpeg RTSP/1.0\nCSeq: 18446744073709551615\nSession: 123456",
            "PAUSE \r\n3\r\n",
            "TEARDOWN\u{1b} RTSP/1.0\nCSeq: x",
            "SETUP",
            "\n\n",
            "ünknown request\nCSeq: 2\nSession:",
            "PLAY movie.Mjpeg\nCSeq:2\nSession:9",
        ];
        let text = TEXTS[self.below(TEXTS.len())].to_owned();
        let mut request = Received::new(self.time(), self.below(2), text);
        request.entry = self.below(9);
        request
    }

    fn shown(&mut self) -> Shown {
        let kinds = [
            PictureKind::Frame(self.below(40)),
            PictureKind::Blank,
            PictureKind::OtherColour([1, 2, 3]),
            PictureKind::Wrong(Match::AfterBytes(12, 3)),
            PictureKind::Wrong(Match::Start(3)),
            PictureKind::Wrong(Match::Unknown),
        ];
        // Most pictures are frames.
        let number = self.below(60);
        let kind = kinds.get(number).copied().unwrap_or(kinds[0]);
        Shown { at: self.time(), kind, bytes: vec![0x1b; self.below(30)], length: self.below(99) }
    }

    fn run(&mut self) -> Run {
        const NAMES: [(&str, Action); 18] = [
            ("setup", Action::Setup),
            ("play", Action::Play),
            ("pause", Action::Pause),
            ("resume", Action::Play),
            ("teardown", Action::Teardown),
            ("close", Action::Close),
            ("early-play", Action::Play),
            ("play-again", Action::Play),
            ("play-in-init", Action::Play),
            ("pause-in-init", Action::Pause),
            ("setup-in-ready", Action::Setup),
            ("pause-in-ready", Action::Pause),
            ("pause-again", Action::Pause),
            ("setup-in-playing", Action::Setup),
            ("play-in-playing", Action::Play),
            ("teardown-in-ready", Action::Teardown),
            ("other", Action::Close),
            ("another", Action::Close),
        ];
        const TIMES: [&str; 7] = [
            "port-open",
            "paused",
            "setup-replied",
            "refused",
            "control-closed",
            "port-closed",
            "closed",
        ];
        let count = self.below(8);
        let mut run = Run { connected: Some(self.time()), ..Run::default() };
        run.requests = (0..count).map(|_| self.request()).collect();
        for (name, action) in NAMES {
            if self.below(4) == 0 {
                continue;
            }
            let request = (self.below(5) > 0).then(|| self.below(9));
            let error = (self.below(9) == 0).then(|| "no button".to_owned());
            let (at, until, limit) = (self.time(), self.time(), self.time());
            run.steps.insert(name, Step { action, at, until, request, limit, error });
        }
        for name in TIMES {
            if self.below(3) > 0 {
                let time = self.time();
                run.times.insert(name, time);
            }
        }
        run.sent = (0..self.below(40)).map(|frame| SentFrame { at: self.time(), frame }).collect();
        let count = self.below(40);
        run.shown = (0..count).map(|_| self.shown()).collect();
        run.visibility = [Visibility::None, Visibility::Some, Visibility::All][self.below(3)];
        run.session = 123_456;
        run.recording = self.below(3);
        run.texts = "lost: 3\nlost: x".to_owned();
        run
    }

    fn maybe_run(&mut self) -> Option<Run> {
        (self.below(8) > 0).then(|| self.run())
    }
}

#[test]
fn any_evidence_of_a_client_is_evaluated_without_a_panic_and_twice_the_same() {
    let mut numbers = Numbers(1);
    for _ in 0..300 {
        let mut profile = Profile::default();
        let forms = [Form::Textbook, Form::Seed, Form::Java, Form::BlankLine, Form::Url];
        profile.lab.form = forms[numbers.below(5)];
        profile.client.prints_lost = "lost: (.)".to_owned();
        let evidence = ClientEvidence {
            profile,
            movie: Movie::new("movie.Mjpeg".to_owned(), vec![vec![0xff, 0xd8]]),
            recordings: vec![Recording::default(); 2],
            no_start: None,
            play: numbers.maybe_run(),
            states: numbers.maybe_run(),
            late: numbers.maybe_run(),
            not_found: numbers.maybe_run(),
            server_error: numbers.maybe_run(),
            loss: numbers.maybe_run(),
            disorder: numbers.maybe_run(),
            close: numbers.maybe_run(),
            notes: Vec::new(),
        };
        let evaluate = || {
            let mut report = Report { subject: "client x".to_owned(), ..Report::default() };
            report.evaluate(&checks(), &evidence, &evidence.profile);
            report.recordings.clone_from(&evidence.recordings);
            report
        };
        let report = evaluate();
        for result in &report.results {
            assert!(!result.title.is_empty() && !result.basis.is_empty(), "{}", result.id);
        }
        assert!(!crate::output::html(&report).contains('\u{1b}'));
        let verdicts = |report: &Report| {
            report.results.iter().map(|result| result.verdict.clone()).collect::<Vec<_>>()
        };
        assert_eq!(verdicts(&evaluate()), verdicts(&report));
    }
}
