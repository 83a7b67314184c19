// SPDX-License-Identifier: MIT OR Apache-2.0
//! The starter of docs/lab: with its gaps it fails the checks that they stand for, and with our solution it
//! passes.

use crate::support::{with_python, write_movies};
use mjpeg_lab_check::net::ReservedPort;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A gap: its number, its file, what the file has while it is open, and our solution.
struct Gap {
    number: usize,
    file: &'static str,
    open: &'static str,
    solution: &'static str,
}

const GAPS: [Gap; 8] = [
    Gap {
        number: 1,
        file: "RtpPacket.py",
        open: "    # TODO 1 (server): fill in the header. Version is 2; padding, extension, the number of contributing
    # sources and the marker are 0; the payload type is 26. Each number starts with its highest byte.
",
        solution: "    header[0] = 2 << 6
    header[1] = JPEG
    header[2:4] = sequence_number.to_bytes(2, 'big')
    header[4:8] = timestamp.to_bytes(4, 'big')
    header[8:12] = ssrc.to_bytes(4, 'big')
",
    },
    Gap {
        number: 2,
        file: "Server.py",
        open: "            # TODO 2 (server): stop sending. PLAY goes on with the next frame.
",
        solution: "            self.stop_sending()
",
    },
    Gap {
        number: 3,
        file: "Server.py",
        open: "            # TODO 3 (server): stop sending, close the movie if one is open, and change the state, so that
            # the client can send SETUP again.
",
        solution: "            self.stop_sending()
            if self.movie:
                self.movie.close()
            self.state = INIT
",
    },
    Gap {
        number: 4,
        file: "Server.py",
        open: "            # TODO 4 (server): tell the client that there is no such movie (404). The state is still INIT.
",
        solution: "            self.reply(NOT_FOUND, cseq)
",
    },
    Gap {
        number: 5,
        file: "Client.py",
        open: "        # TODO 5 (client): write the three lines of a request. The first has the method, the movie and
        # RTSP/1.0; the second CSeq with the number of the request. The third line of SETUP states the port
        # on which the client receives (Transport: RTP/UDP; client_port= 25000); that of the others has the
        # session number of SETUP's reply (Session: 123456).
        return \"\"
",
        solution: "        last = f\"Session: {self.session}\"
        if method == SETUP:
            last = f\"Transport: RTP/UDP; client_port= {self.rtp_port}\"
        return f\"{method} {self.movie} RTSP/1.0\\nCSeq: {self.cseq}\\n{last}\"
",
    },
    Gap {
        number: 6,
        file: "RtpPacket.py",
        open: "    # TODO 6 (client): read the sequence number from bytes 2 and 3 of the header.
",
        solution: "    sequence_number = int.from_bytes(datagram[2:4], 'big')
",
    },
    Gap {
        number: 7,
        file: "Client.py",
        open: "        # TODO 7 (client): change the state to what the request that was answered leads to.
",
        solution: "        states = {SETUP: READY, PLAY: PLAYING, PAUSE: READY, TEARDOWN: INIT}
        self.state = states[self.requested]
",
    },
    Gap {
        number: 8,
        file: "Client.py",
        open: "            # TODO 8 (client): send TEARDOWN, so that the server does not go on sending.
            pass
",
        solution: "            self.send(TEARDOWN)
",
    },
];

/// The folder of the starter.
fn starter() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/lab/starter")
}

/// Copies the starter, with our solution of all gaps but some.
pub fn copy_starter(to: &Path, open: &[usize]) {
    for entry in std::fs::read_dir(starter()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.path().extension() != Some("py".as_ref()) {
            continue;
        }
        let mut text = std::fs::read_to_string(entry.path()).unwrap();
        for gap in GAPS.iter().filter(|gap| gap.file == name) {
            assert_eq!(text.matches(gap.open).count(), 1, "gap {} of {name}", gap.number);
            if !open.contains(&gap.number) {
                text = text.replace(gap.open, gap.solution);
            }
        }
        std::fs::write(to.join(name), text).unwrap();
    }
}

/// The checks that did not pass, as failed and not run.
type NotPassed = (BTreeSet<String>, BTreeSet<String>);

/// Grades the starter's server with some gaps open.
fn grade(open: &[usize]) -> (Option<i32>, NotPassed, String) {
    let folder = tempfile::tempdir().unwrap();
    copy_starter(folder.path(), open);
    let (movie, short) = write_movies(folder.path());
    let (movie, short) = (movie.to_str().unwrap(), short.to_str().unwrap());
    let run =
        ["server", "--run", "python3 Server.py {port}", "--movie", movie, "--short-movie", short];
    graded(&run, folder.path())
}

/// Grades the starter's client with some gaps open, by the stand-in for tkinter.
fn grade_client(open: &[usize]) -> (Option<i32>, NotPassed, String) {
    let folder = tempfile::tempdir().unwrap();
    copy_starter(folder.path(), open);
    let command = "python3 ClientLauncher.py {host} {port} {rtp_port} {movie}";
    graded(&["client", "--press", "--run", command], folder.path())
}

/// Runs a grading of a program in a folder.
fn graded(arguments: &[&str], folder: &Path) -> (Option<i32>, NotPassed, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mjpeg-lab-check"));
    command.args(arguments).args(["--json", "--dir"]).arg(folder);
    let done = with_python(&mut command).output().unwrap();
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    let report: Value = serde_json::from_slice(&done.stdout).unwrap();
    let of = |word: &str| {
        let checks = report["checks"].as_array().unwrap().iter();
        let ids = checks.filter(|it| it["verdict"] == word).map(|it| it["id"].as_str().unwrap());
        ids.map(str::to_owned).collect()
    };
    (done.status.code(), (of("failed"), of("not run")), text)
}

fn set(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

#[test]
fn the_solution_passes_every_check() {
    let (code, not_passed, text) = grade(&[]);
    assert_eq!((code, not_passed), (Some(0), (set(&[]), set(&[]))), "{text}");
}

#[test]
fn each_gap_fails_its_checks_and_no_other() {
    let header = ["rtp-version", "rtp-payload-type", "rtp-sequence-step", "rtp-timestamp"];
    // These need sequence numbers that differ.
    let without_numbers = ["rtp-sequence-start", "resume-sequence"];
    let all = [&header[..], &["pause-stops", "teardown-stops", "movie-missing"]].concat();
    // The textbook's profile has no points for a missing movie, so that gap alone does not fail the run.
    let rows: [(&[usize], i32, &[&str]); 5] = [
        (&[1], 1, &header),
        (&[2], 1, &["pause-stops"]),
        (&[3], 1, &["teardown-stops"]),
        (&[4], 0, &["movie-missing"]),
        (&[1, 2, 3, 4, 5, 6, 7, 8], 1, &all),
    ];
    std::thread::scope(|scope| {
        for (open, exit, failed) in rows {
            scope.spawn(move || {
                let (code, not_passed, text) = grade(open);
                let not_run = if open.contains(&1) { &without_numbers[..] } else { &[] };
                let want = (Some(exit), (set(failed), set(not_run)));
                assert_eq!((code, not_passed), want, "{open:?}: {text}");
                assert!(!text.contains("Traceback"), "{open:?}: {text}");
            });
        }
    });
}

#[test]
fn each_gap_of_the_client_fails_its_checks_and_no_other() {
    // Checks that need what a failed one asks for are not run.
    let rows: [(&[usize], i32, &[&str], usize); 5] = [
        (&[], 0, &[], 0),
        (&[5], 1, &["client-setup"], 28),
        (&[6], 1, &["client-frames"], 6),
        (&[7], 1, &["client-play", "client-ready"], 19),
        (&[8], 1, &["client-close"], 0),
    ];
    std::thread::scope(|scope| {
        for (open, exit, failed, not_run) in rows {
            scope.spawn(move || {
                let (code, (got, rest), text) = grade_client(open);
                let want = (Some(exit), set(failed), not_run);
                assert_eq!((code, got, rest.len()), want, "{open:?}: {text}");
                assert!(!text.contains("Traceback"), "{open:?}: {text}");
            });
        }
    });
}

#[test]
fn every_gap_of_the_starter_has_a_solution() {
    let folder = tempfile::tempdir().unwrap();
    copy_starter(folder.path(), &[]);
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("TODO"), "{}", path.display());
    }
}

/// Presses the client's buttons and prints what the window shows.
const PRESS: &str = r#"
import sys, time, tkinter
from tkinter import messagebox
messagebox.showwarning = lambda *words: sys.exit(f"warning: {words}")
from Client import Client
root = tkinter.Tk()
client = Client(root, sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
def until(what, ready):
    end = time.monotonic() + 20
    while not ready():
        if time.monotonic() > end:
            sys.exit(f"not within 20 s: {what}; {client.state} {client.shown}")
        root.update(); time.sleep(0.005)
client.buttons["Play"].invoke()
client.buttons["Setup"].invoke(); until("READY", lambda: client.state == "READY")
client.buttons["Play"].invoke(); until("frames", lambda: client.shown >= 20)
client.buttons["Pause"].invoke(); until("pause", lambda: client.state == "READY")
paused = client.shown
client.buttons["Play"].invoke(); until("more frames", lambda: client.shown >= paused + 10)
assert client.picture.image.width() == 64, client.picture.image.width()
client.buttons["Teardown"].invoke(); until("INIT", lambda: client.state == "INIT")
client.buttons["Setup"].invoke(); until("READY again", lambda: client.state == "READY")
client.buttons["Play"].invoke(); until("frames again", lambda: client.shown >= 5)
client.close()
print("played")
"#;

#[test]
fn the_solutions_client_plays_the_solutions_server() {
    let folder = tempfile::tempdir().unwrap();
    copy_starter(folder.path(), &[]);
    let (movie, _) = write_movies(folder.path());
    std::fs::write(folder.path().join("press.py"), PRESS).unwrap();
    let reserved = (ReservedPort::tcp("0.0.0.0").unwrap(), ReservedPort::udp().unwrap());
    let (port, rtp_port) = (reserved.0.port.to_string(), reserved.1.port.to_string());
    let mut server = with_python(Command::new("python3").args(["Server.py", &port]))
        .current_dir(folder.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while std::net::TcpStream::connect(("127.0.0.1", port.parse().unwrap())).is_err() {
        assert!(std::time::Instant::now() < end, "the server does not start");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let name = movie.file_name().unwrap().to_str().unwrap();
    let done =
        with_python(Command::new("timeout").args(["60", "xvfb-run", "-a", "python3", "press.py"]))
            .args(["127.0.0.1", &port, &rtp_port, name])
            .current_dir(folder.path())
            .output();
    let _ = server.kill();
    let _ = server.wait();
    let done = done.unwrap();
    let texts = [done.stdout, done.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
    assert!(done.status.success() && texts[0].ends_with("played\n"), "{texts:?}");
}

/// Runs a script of the autograder on our solution, in a folder alone in the submission.
fn autograde(script: &str, variable: &str, submission: &str, source: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join(submission).join("my lab");
    let movies = folder.path().join(source);
    for folder in [&program, &movies, &folder.path().join("results")] {
        std::fs::create_dir_all(folder).unwrap();
    }
    copy_starter(&program, &[2]);
    write_movies(&movies);
    std::fs::write(movies.join("profile.toml"), "[points]\npayload = 5\n").unwrap();
    let built = Path::new(env!("CARGO_BIN_EXE_mjpeg-lab-check")).parent().unwrap();
    let path = format!("{}:/usr/bin:/bin", built.display());
    let done = Command::new(starter().join("../autograder").join(script))
        .env(variable, folder.path())
        .env("LAB", "")
        .env("PATH", path)
        .output()
        .unwrap();
    let texts = [done.stdout, done.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
    assert!(done.status.success(), "{texts:?}");
    let results = std::fs::read(folder.path().join("results/results.json")).unwrap();
    serde_json::from_slice(&results).unwrap()
}

#[test]
fn the_autograders_scripts_write_their_results() {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let results = autograde("run_autograder", "AUTOGRADER", "submission", "source");
            // 42 checks that count; one has 5 points, and one fails.
            assert_eq!(results["score"], 45, "{results}");
        });
        let results = autograde("grade-prairielearn", "GRADE", "student", "tests");
        let failed = results["tests"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|it| it["points"] != it["max_points"]);
        assert_eq!(failed.count(), 1, "{results}");
    });
}
