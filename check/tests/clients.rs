// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rows are mistakes of clients, columns are checks: each mistake fails exactly its own check, and the
//! report names it.

use crate::support::{failed, lab_client, not_run, python, quick_client};
use mjpeg_lab_check::check::Verdict;
use mjpeg_lab_check::client::{Job, checks, grade};
use mjpeg_lab_check::output::{Style, html, table};
use mjpeg_lab_check::profile::{Press, Profile};
use mjpeg_lab_check::report::Report;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A mistake, the check that it fails, and a part of the message.
type Row = (&'static str, &'static str, &'static str);

/// The number of clients that are graded at once.
const AT_ONCE: usize = 4;

const REQUESTS: &[Row] = &[
    ("other-port", "client-connects", "connects to another port"),
    ("other-movie", "client-setup", "the name is fixed"),
    ("fixed-rtp-port", "client-transport", "the port is fixed"),
    ("play-sends-nothing", "client-play", "the button's command sends nothing"),
    ("pause-sends-nothing", "client-pause", "the button's command sends nothing"),
    ("teardown-sends-nothing", "client-teardown", "the button's command sends nothing"),
    ("no-blank", "client-request-form", "blanks are missing"),
    ("fixed-cseq", "client-cseq", "not increased before this request"),
    ("fixed-session", "client-session", "the number is fixed"),
    ("new-connections", "client-one-connection", "connects again for each request"),
];

const STATES: &[Row] = &[
    ("play-in-init", "client-init", "the state is not tested"),
    ("pause-in-ready", "client-ready", "the state is not tested"),
    ("setup-in-ready", "client-ready", "SETUP (CSeq 3) after Setup is pressed"),
    ("play-in-playing", "client-playing", "PLAY (CSeq 4) after Play is pressed"),
    ("teardown-only-playing", "client-teardown-ready", "sent in PLAYING only"),
    ("state-by-button", "client-waits-for-reply", "ms before the reply to SETUP"),
    ("short-reply-time", "client-late-reply", "stops waiting for the reply"),
    ("ignores-404", "client-not-found", "the status code of the reply is not tested"),
    ("ignores-500", "client-server-error", "leads to PLAYING"),
];

const PICTURES: &[Row] = &[
    ("no-rtp-port", "client-rtp-port", "openRtpPort is not called"),
    ("shows-header", "client-frames", "the RTP header is shown too"),
    ("cuts-frames", "client-frames", "the packet is cut"),
    ("shows-nothing", "client-frames", "packets are not read"),
    ("forgets-photo", "client-frames", "the PhotoImage is not kept"),
    ("pause-clears", "client-pause-picture", "PAUSE removes the picture"),
    ("setup-at-resume", "client-resume", "PLAY starts a new session"),
    ("thread-only-once", "client-resume", "packets are no longer read after PAUSE"),
    ("waits-for-lost", "client-loss", "waits for the frame that is missing"),
    ("shows-late-frames", "client-reorder", "frame 11 after frame 12"),
    ("dies-of-repeats", "client-duplicate", "frame 16 is the last one"),
    ("dies-of-garbage", "client-garbage", "frame 20 is the last one"),
];

const ENDING: &[Row] = &[
    ("keeps-control", "client-teardown-control", "the RTSP socket is not closed"),
    ("keeps-port", "client-teardown-port", "the next SETUP with this port fails"),
    ("close-without-teardown", "client-close", "does not send TEARDOWN"),
    ("no-close-handler", "client-close", "no handler for WM_DELETE_WINDOW"),
    ("endless-thread", "client-ends", "a thread is still running"),
    ("wrong-loss", "client-statistics", "off by one"),
];

/// The profile, with the statistics that the client prints.
fn extended() -> Profile {
    let mut profile = quick_client("textbook");
    "lost packets: ([0-9]+)".clone_into(&mut profile.client.prints_lost);
    "loss: ([0-9.]+) %".clone_into(&mut profile.client.prints_loss_percent);
    "frame rate: ([0-9.]+)".clone_into(&mut profile.client.prints_frame_rate);
    profile
}

/// The grading of a client by its command.
fn job(command: String, profile: &Profile, press: Press) -> Job<'_> {
    Job {
        command,
        folder: None,
        movie: "movie.Mjpeg".to_owned(),
        profile,
        press: Some(press),
        wrapper: &[],
        stand_in_folder: None,
    }
}

/// Grades a client with a mistake, or a correct one.
fn run(profile: &Profile, press: Press, options: &str) -> Report {
    let client = lab_client();
    let command = format!(
        "{} '{}' {{host}} {{port}} {{rtp_port}} {{movie}} {options}",
        python(),
        client.display()
    );
    grade(&job(command, profile, press)).unwrap()
}

fn text(report: &Report) -> String {
    table(report, Style::Plain)
}

/// Calls a function with each row, some at once.
fn for_each<R: Sync>(rows: &[R], at_once: usize, act: impl Fn(&R) + Sync) {
    let next = AtomicUsize::new(0);
    let worker = || {
        while let Some(row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
            act(row);
        }
    };
    std::thread::scope(|scope| (0..at_once).for_each(|_| drop(scope.spawn(worker))));
}

/// Grades all clients of a table, and compares what failed.
fn check(rows: &[Row]) {
    let profile = extended();
    let wrong = Mutex::new(Vec::new());
    for_each(rows, AT_ONCE, |row| {
        let report = run(&profile, Press::StandIn, &format!("--defect {}", row.0));
        wrong.lock().unwrap().extend(problem(*row, &report));
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is wrong with a row.
fn problem((defect, id, message): Row, report: &Report) -> Option<String> {
    let got = failed(report);
    let result = report.results.iter().find(|result| result.id == id)?;
    let Verdict::Failed(failure) = &result.verdict else {
        return Some(format!("{defect}: {id} is {:?}: {}", result.verdict, text(report)));
    };
    if got != BTreeSet::from([id]) {
        return Some(format!("{defect}: failed are {got:?}: {}", text(report)));
    }
    // Pages have no marks outside of the recordings.
    assert!(html(report).contains(&format!("check-{id}")));
    let said = format!("{} {} {}", failure.expected, failure.actual, failure.mistake);
    (!said.contains(message))
        .then(|| format!("{defect}: the message does not say {message:?}: {said}"))
}

fn passes(report: &Report) {
    let none = BTreeSet::new();
    assert_eq!((failed(report), not_run(report)), (none.clone(), none), "{}", text(report));
    assert!(report.has_passed());
}

#[test]
fn a_correct_client_passes_every_check_of_every_profile() {
    let rows = [
        (extended(), ""),
        (quick_client("seed"), "--form seed"),
        (quick_client("java"), "--form java"),
        (quick_client("hd"), ""),
        // Packets that come before the reply to PLAY has been read are of no use.
        (quick_client("textbook"), "--defect receives-when-playing"),
    ];
    std::thread::scope(|scope| {
        for (profile, options) in &rows {
            scope.spawn(move || passes(&run(profile, Press::StandIn, options)));
        }
    });
}

#[test]
fn mistakes_in_requests_fail_their_check() {
    check(REQUESTS);
}

#[test]
fn mistakes_in_states_of_clients_fail_their_check() {
    check(STATES);
}

#[test]
fn mistakes_in_pictures_fail_their_check() {
    check(PICTURES);
}

#[test]
fn mistakes_at_the_end_fail_their_check() {
    check(ENDING);
}

#[test]
fn every_check_of_clients_has_a_mistake_that_fails_it() {
    let tables = [REQUESTS, STATES, PICTURES, ENDING];
    let with_row: BTreeSet<&str> = tables.into_iter().flatten().map(|row| row.1).collect();
    let all: BTreeSet<&str> = checks().iter().map(|check| check.id).collect();
    assert_eq!(with_row, all);
}

#[test]
fn a_real_window_is_graded_as_the_stand_in_is() {
    // What is seen in screenshots fails too.
    let rows = [
        ("", None),
        ("--defect shows-nothing", Some("client-frames")),
        ("--defect pause-clears", Some("client-pause-picture")),
        ("--defect shows-late-frames", Some("client-reorder")),
    ];
    for_each(&rows, 2, |(options, id)| {
        let report = run(&extended(), Press::Window, options);
        if let Some(id) = *id {
            assert_eq!(failed(&report), BTreeSet::from([id]), "{options}: {}", text(&report));
        } else {
            passes(&report);
        }
    });
}

#[test]
fn programs_that_are_no_client_end_in_time_and_get_a_report() {
    let mut profile = quick_client("textbook");
    profile.time.start = std::time::Duration::from_secs(3);
    // Most of the requests never come.
    profile.client.request = std::time::Duration::from_secs(2);
    profile.client.end = std::time::Duration::from_secs(2);
    let client = format!(
        "{} '{}' {{host}} {{port}} {{rtp_port}} {{movie}}",
        python(),
        lab_client().display()
    );
    // The command, the first check's verdict, and a part of the report.
    let rows = [
        ("no-such-program".to_owned(), "failed  ", "cannot start no-such-program: No such file"),
        (
            "sh -c 'echo no display; exit 3'".to_owned(),
            "failed  ",
            "the program ended with exit code 3",
        ),
        ("sleep 1000".to_owned(), "not run ", "the program does not use tkinter"),
        ("yes".to_owned(), "not run ", "the program does not use tkinter"),
        (format!("{client} --defect hangs"), "passed  ", "SETUP within"),
        (format!("{client} --defect floods"), "passed  ", "the number is not increased"),
        (format!("{client} --defect binary"), "passed  ", "\\x00\\x01\\x02"),
        (format!("{client} --defect closes-half"), "passed  ", "SETUP within"),
    ];
    for_each(&rows, AT_ONCE, |(command, verdict, part)| {
        let started = std::time::Instant::now();
        let report = grade(&job(command.clone(), &profile, Press::StandIn)).unwrap();
        let text = text(&report);
        assert!(!report.has_passed(), "{command}");
        assert!(text.contains(&format!("\n{verdict}")), "{command}: {text}");
        assert!(text.contains(*part), "{command}: {text}");
        for out in [html(&report), text] {
            assert!(
                !out.contains(|it: char| it.is_control() && !matches!(it, '\n' | '\t')),
                "{command}"
            );
        }
        // 2 minutes, and half a minute more on a busy machine; then the program is ended, and its output is read.
        assert!(started.elapsed() < std::time::Duration::from_mins(5), "{command}");
    });
}
