// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rows are mistakes, columns are checks: each mistake fails exactly its own check, and the report names
//! it.

use crate::defect::{Defect, Habit};
use crate::lab_server::{Behaviour, LabServer};
use crate::support::{failed, grade_at, not_run, quick};
use mjpeg_lab_check::check::Verdict;
use mjpeg_lab_check::profile::{Extension, Profile};
use mjpeg_lab_check::report::Report;
use mjpeg_lab_check::server::checks;
use std::collections::BTreeSet;

/// A mistake, the check that it fails, and a part of the message.
type Row = (Defect, &'static str, &'static str);

const REPLIES: &[Row] = &[
    (Defect::NotListening, "connect", "listens at another port"),
    (Defect::NoReplyToSetup, "setup-reply", "not read, not understood"),
    (Defect::SetupFails, "setup-status", "the movie is not found"),
    (Defect::NoBlankInReplies, "reply-form", "line 2 is not CSeq, with one blank after the colon"),
    (Defect::FixedCseq, "cseq", "every reply has the same number"),
    (Defect::CseqOfRequestBefore, "cseq", "has the number of the request before"),
    (Defect::CseqAhead, "cseq", "the server counts by itself"),
    (Defect::NoCseqLine, "reply-form", "line 2 is not CSeq, with one blank after the colon"),
    (Defect::NoSessionLine, "reply-form", "line 3 is not Session"),
    (Defect::BlankLineAfterStatus, "reply-form", "line 2 is not CSeq"),
    (Defect::NewSessionInEachReply, "session-constant", "a new number is made for each reply"),
    (Defect::SmallSession, "session-range", "made with another range"),
    (Defect::FixedSession, "session-own", "the number is fixed"),
    (Defect::LongSession, "session-range", "made with another range"),
];

/// Mistakes of a server that does not answer requests in wrong states: the replies to later requests must
/// not be taken for late ones.
const IGNORING: &[Row] = &[
    (Defect::FixedCseq, "cseq", "every reply has the same number"),
    (Defect::CseqOfRequestBefore, "cseq", "has the number of the request before"),
    (Defect::CseqAhead, "cseq", "the server counts by itself"),
    (Defect::NoCseqLine, "reply-form", "line 2 is not CSeq, with one blank after the colon"),
    (Defect::MissingIsSilent, "movie-missing", "printed, but not sent"),
    (Defect::PauseInReadyCloses, "pause-in-ready", "PAUSE uses what only PLAY makes"),
];

const STATES: &[Row] = &[
    (Defect::PlayInInitIsOk, "play-in-init", "the state is not tested"),
    (Defect::PauseInReadyCloses, "pause-in-ready", "PAUSE uses what only PLAY makes"),
    (Defect::SecondSetupMakesSession, "setup-twice", "makes a new session"),
    (Defect::SecondPlaySendsToo, "play-twice", "starts a second sender"),
    (Defect::TeardownInReadyCloses, "teardown-in-ready", "TEARDOWN uses what only PLAY makes"),
    (Defect::EndsAfterEarlyTeardown, "survives-states", "no longer accepts"),
    (Defect::NoReplyToPlay, "play-reply", "PLAY sends no reply"),
    (Defect::NoPackets, "rtp-port", "the sender's thread is not started"),
    (Defect::StartsLate, "play-starts", "waits before its first frame"),
];

const HEADERS: &[Row] = &[
    (Defect::Version0, "rtp-version", "V is not in the upper two bits"),
    (Defect::PaddingBit, "rtp-padding", "P is not 0"),
    (Defect::ExtensionBit, "rtp-extension", "X is not 0"),
    (Defect::CsrcCount, "rtp-csrc-count", "CC is not 0"),
    (Defect::MarkerChanges, "rtp-marker", "M gets a bit of another field"),
    (Defect::PayloadType0, "rtp-payload-type", "PT = 0"),
    (Defect::LowByteFirst, "rtp-byte-order", "the low byte is written first"),
    (Defect::StartsWith0, "rtp-sequence-start", "the first frame is number 1"),
    (Defect::NumbersAre0, "rtp-sequence-step", "the number is not written into the header"),
    (Defect::NumbersAre1, "rtp-sequence-step", "1 in all packets the number is not increased"),
    (Defect::StepsByTwo, "rtp-sequence-step", "increased twice"),
    (Defect::LosesPackets, "rtp-sequence-step", "a frame is not sent"),
    (Defect::FixedTimestamp, "rtp-timestamp", "the timestamp is fixed"),
    (Defect::RandomTimestamp, "rtp-timestamp", "the timestamp goes back"),
    (Defect::NewSsrcInEachPacket, "rtp-ssrc", "a new random number"),
];

const FRAMES: &[Row] = &[
    (Defect::DigitsBeforeFrame, "payload", "the length digits are sent too"),
    (Defect::CutFrames, "payload", "the frame is cut"),
    (Defect::RepeatsFrame, "frame-order", "a frame is sent again"),
    (Defect::SwapsFrames, "frame-order", "frames are read from the file and not sent"),
    (Defect::TenFrames, "frame-rate", "the wait between frames is too long"),
    (Defect::FortyFrames, "frame-rate", "missing or too short"),
    (Defect::FixedPort, "rtp-port", "which SETUP stated"),
];

const CONTROL: &[Row] = &[
    (Defect::NoReplyToPause, "pause-reply", "PAUSE sends no reply"),
    (Defect::PauseDoesNotStop, "pause-stops", "the sender is not told to stop"),
    (Defect::PauseStopsLate, "pause-stops", "only after a long wait"),
    (Defect::RestartsAfterPause, "resume-frame", "the movie is opened again"),
    (Defect::MovesDuringPause, "resume-frame", "the position moves during the pause"),
    (Defect::NumbersRestartAfterPause, "resume-sequence", "the number is reset by PLAY"),
    (Defect::NoReplyToTeardown, "teardown-reply", "before it replies"),
    (Defect::TeardownStopsLate, "teardown-stops", "goes on after the session has ended"),
    (Defect::SecondSessionGoesOn, "teardown-again", "share one opened movie"),
    (Defect::EndsAtTeardown, "teardown-again", "no longer accepts, after TEARDOWN"),
];

const VIEWERS: &[Row] = &[
    (Defect::MissingIsOk, "movie-missing", "followed, or replaced, by 200"),
    (Defect::MissingIsSilent, "movie-missing", "printed, but not sent"),
    (Defect::EndsAtMissing, "survives-missing", "ends the whole program"),
    (Defect::OnePortForAll, "two-clients", "takes the port"),
    (Defect::LoopsAtEnd, "end-stops", "the movie starts again by itself"),
    (Defect::EmptyPacketsAtEnd, "end-stops", "packets without a frame"),
    (Defect::ClosesAtEnd, "teardown-after-end", "at the end of the file"),
    (Defect::SendsAfterDisconnect, "disconnect-stops", "recv returns no bytes"),
    (Defect::EndsAfterDisconnect, "survives-disconnect", "ends the whole program"),
];

const HD: &[Row] = &[
    (Defect::WholeFrames, "fragment-size", "frames are not cut"),
    (Defect::OtherNumbers, "fragment-numbers", "increased for each packet instead of each frame"),
    (Defect::NoMarker, "rtp-marker", "the frame is complete"),
    (Defect::PauseStopsLate, "pause-stops", "only after a long wait"),
    (Defect::NumbersAre0, "rtp-sequence-step", "the number is not written into the header"),
];

const EXTENSIONS: &[Row] = &[
    (Defect::WrongCount, "ext-statistics", "the count is not that of the packets"),
    (Defect::NoMediaLine, "ext-describe", "lacks the line"),
    (Defect::EmptyList, "ext-list", "the names of the movies are missing"),
    (Defect::SwitchIgnored, "ext-switch", "the movie before is played on"),
    (Defect::SeekIgnored, "ext-seek", "the position is not changed"),
];

/// The profile with all extensions.
fn extended() -> Profile {
    let mut profile = quick("textbook");
    profile.lab.extensions = vec![
        Extension::Statistics,
        Extension::Describe,
        Extension::List,
        Extension::Switch,
        Extension::Seek,
    ];
    profile
}

/// Grades a server with a mistake, or a correct one.
fn run(defect: Option<Defect>, habit: Option<Habit>, profile: &Profile) -> Report {
    // Whose packets do not arrive are looked for at the usual ports, which all tests of the machine share.
    let shares_ports = matches!(defect, Some(Defect::NoPackets | Defect::FixedPort));
    let _lock = shares_ports.then(|| {
        let path = std::env::temp_dir().join("mjpeg-lab-check-usual-ports.lock");
        let file = std::fs::File::create(path).unwrap();
        file.lock().unwrap();
        file
    });
    let behaviour = Behaviour { habit, ..Behaviour::new(defect, profile.lab.fragments) };
    let server = LabServer::start(behaviour);
    grade_at(server.address(), profile)
}

/// Grades all servers of a table at once, and compares what failed.
fn check(rows: &[Row], profile: &Profile) {
    check_with(rows, None, profile);
}

fn check_with(rows: &[Row], habit: Option<Habit>, profile: &Profile) {
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let run = |row: &Row| {
            let row = *row;
            scope.spawn(move || wrong(row, &run(Some(row.0), habit, profile)))
        };
        let threads: Vec<_> = rows.iter().map(run).collect();
        threads.into_iter().filter_map(|it| it.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is wrong with a row.
fn wrong((defect, id, message): Row, report: &Report) -> Option<String> {
    let got = failed(report);
    let result = report.results.iter().find(|result| result.id == id)?;
    let Verdict::Failed(failure) = &result.verdict else {
        return Some(format!("{defect:?}: {id} is {:?}; failed are {got:?}", result.verdict));
    };
    let text = format!("{} {} {}", failure.expected, failure.actual, failure.mistake);
    if got != BTreeSet::from([id]) {
        let others: Vec<_> = report.results.iter().filter(|it| got.contains(it.id)).collect();
        return Some(format!("{defect:?}: failed are {got:?}: {others:#?}"));
    }
    (!text.contains(message))
        .then(|| format!("{defect:?}: the message does not say {message:?}: {text}"))
}

#[test]
fn a_correct_server_passes_every_check_of_every_profile() {
    let profiles = [quick("textbook"), quick("seed"), quick("java"), quick("hd"), extended()];
    std::thread::scope(|scope| {
        for profile in &profiles {
            scope.spawn(move || {
                passes(&run(None, None, profile));
            });
        }
    });
}

fn passes(report: &Report) {
    let none = BTreeSet::new();
    let text = mjpeg_lab_check::output::table(report, mjpeg_lab_check::output::Style::Plain);
    assert_eq!((failed(report), not_run(report)), (none.clone(), none), "{text}");
    assert!(report.has_passed());
}

#[test]
fn habits_that_are_no_mistakes_pass_every_check() {
    let habits = [
        Habit::IgnoresWrongStates,
        Habit::SsrcIs0,
        Habit::MixesLineEnds,
        Habit::BlankLineAtEnd,
        Habit::RepliesInParts,
        Habit::LargeSession,
    ];
    let profile = quick("textbook");
    std::thread::scope(|scope| {
        for habit in habits {
            let profile = &profile;
            scope.spawn(move || passes(&run(None, Some(habit), profile)));
        }
    });
}

#[test]
fn mistakes_fail_their_check_too_if_wrong_states_are_ignored() {
    check_with(IGNORING, Some(Habit::IgnoresWrongStates), &quick("textbook"));
}

#[test]
fn mistakes_in_replies_fail_their_check() {
    check(REPLIES, &quick("textbook"));
}

#[test]
fn mistakes_in_states_fail_their_check() {
    check(STATES, &quick("textbook"));
}

#[test]
fn mistakes_in_headers_fail_their_check() {
    check(HEADERS, &quick("textbook"));
}

#[test]
fn mistakes_in_frames_fail_their_check() {
    check(FRAMES, &quick("textbook"));
}

#[test]
fn mistakes_in_pause_and_teardown_fail_their_check() {
    check(CONTROL, &quick("textbook"));
}

#[test]
fn mistakes_with_several_clients_fail_their_check() {
    check(VIEWERS, &quick("textbook"));
}

#[test]
fn mistakes_in_fragments_fail_their_check() {
    check(HD, &quick("hd"));
}

#[test]
fn mistakes_in_extensions_fail_their_check() {
    check(EXTENSIONS, &extended());
}

#[test]
fn every_check_has_a_mistake_that_fails_it() {
    let tables = [REPLIES, IGNORING, STATES, HEADERS, FRAMES, CONTROL, VIEWERS, HD, EXTENSIONS];
    let with_row: BTreeSet<&str> = tables.into_iter().flatten().map(|row| row.1).collect();
    let all: BTreeSet<&str> = checks().iter().map(|check| check.id).collect();
    assert_eq!(with_row, all);
}
