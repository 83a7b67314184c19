// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs that hang, send something other than a reply, or send too much: the run ends in time, and
//! reports are made.

use crate::lab_server::{Behaviour, LabServer};
use crate::support::{failed, grade_at, lab_check, not_run, quick, write_movies};
use mjpeg_lab_check::output::{Style, gradescope, html, json, junit, prairielearn, table};
use mjpeg_lab_check::profile::Fragments;
use mjpeg_lab_check::report::Report;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A server that does the same with each connection. It ends when dropped.
struct Hostile {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
}

impl Hostile {
    fn start(act: fn(TcpStream, &AtomicBool)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let ended: Arc<AtomicBool> = Arc::default();
        let of_thread = ended.clone();
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if of_thread.load(Ordering::SeqCst) {
                    return;
                }
                let ended = of_thread.clone();
                std::thread::spawn(move || act(stream, &ended));
            }
        });
        Self { address, ended }
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

/// Reads and never answers.
fn hang(mut stream: TcpStream, _: &AtomicBool) {
    let mut bytes = [0; 256];
    while matches!(stream.read(&mut bytes), Ok(1..)) {}
}

/// Answers with all bytes that there are.
fn binary(mut stream: TcpStream, _: &AtomicBool) {
    let all: Vec<u8> = (0..=255).collect();
    let mut bytes = [0; 256];
    while matches!(stream.read(&mut bytes), Ok(1..)) {
        if stream.write_all(&all).is_err() {
            return;
        }
    }
}

/// Closes its half of the connection, and reads on.
fn half_closed(mut stream: TcpStream, _: &AtomicBool) {
    let _ = stream.shutdown(Shutdown::Write);
    let mut bytes = [0; 256];
    while matches!(stream.read(&mut bytes), Ok(1..)) {}
}

/// Answers with a line without an end.
fn endless_line(mut stream: TcpStream, ended: &AtomicBool) {
    let mut bytes = [0; 256];
    let _ = stream.read(&mut bytes);
    let _ = stream.write_all(b"RTSP/1.0 200 OK\nCSeq: ");
    while !ended.load(Ordering::SeqCst) && stream.write_all(&[b'1'; 4096]).is_ok() {}
}

/// Answers with one byte now and then.
fn trickle(mut stream: TcpStream, ended: &AtomicBool) {
    let mut bytes = [0; 256];
    let _ = stream.read(&mut bytes);
    while !ended.load(Ordering::SeqCst) && stream.write_all(b"R").is_ok() {
        std::thread::sleep(Duration::from_millis(40));
    }
}

/// Answers as it should, and sends packets as fast as it can.
fn flood(mut stream: TcpStream, ended: &AtomicBool) {
    let mut bytes = [0; 256];
    let (mut port, mut started) = (0, false);
    while let Ok(have @ 1..) = stream.read(&mut bytes) {
        let text = String::from_utf8_lossy(&bytes[..have]).into_owned();
        let cseq = text.lines().nth(1).unwrap_or_default().replace("CSeq: ", "");
        if let Some(word) = text.lines().nth(2).and_then(|line| line.split(' ').next_back()) {
            port = word.parse().unwrap_or(port);
        }
        let _ = write!(stream, "RTSP/1.0 200 OK\nCSeq: {cseq}\nSession: 123456");
        if text.starts_with("PLAY") && !started {
            started = true;
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let (control, to) = (stream.try_clone().unwrap(), port);
            std::thread::spawn(move || {
                // It ends with its connection, or it would flood the machine's other tests.
                while control.peer_addr().is_ok() && control.take_error().is_ok() {
                    for _ in 0..50 {
                        let _ = socket.send_to(&[0x80; 1400], ("127.0.0.1", to));
                    }
                    let mut byte = [0];
                    control.set_nonblocking(true).unwrap();
                    if matches!(control.peek(&mut byte), Ok(0)) {
                        return;
                    }
                    control.set_nonblocking(false).unwrap();
                    std::thread::yield_now();
                }
            });
        }
        if ended.load(Ordering::SeqCst) {
            return;
        }
    }
}

/// Answers as it should, and sends from the port at which its client receives, which is taken.
fn binds_rtp_port(mut stream: TcpStream, _: &AtomicBool) {
    let mut bytes = [0; 256];
    let mut port = 0;
    while let Ok(have @ 1..) = stream.read(&mut bytes) {
        let text = String::from_utf8_lossy(&bytes[..have]).into_owned();
        let cseq = text.lines().nth(1).unwrap_or_default().replace("CSeq: ", "");
        if let Some((_, stated)) = text.split_once("client_port= ") {
            port = stated.trim().parse().unwrap();
        }
        let _ = write!(stream, "RTSP/1.0 200 OK\nCSeq: {cseq}\nSession: 123456");
        if text.starts_with("PLAY") && port != 0 {
            // Only a stranger could have it: the check listens.
            assert!(UdpSocket::bind(("127.0.0.1", port)).is_err(), "{port} is free");
        }
    }
}

/// Every output of a report.
fn outputs(report: &Report) -> Vec<String> {
    vec![
        table(report, Style::Plain),
        json(report),
        junit(report),
        gradescope(report),
        prairielearn(report),
        html(report),
    ]
}

/// Grades a hostile server. The run ends in time, every output can be printed, and the checks fail that
/// should. `want` is empty if any may.
fn check((name, act, want, message): Row) {
    let mut profile = quick("textbook");
    profile.time.total = Duration::from_secs(20);
    let server = Hostile::start(act);
    let started = Instant::now();
    let report = grade_at(server.address, &profile);
    // 20 s, and half a minute more on a busy machine.
    assert!(started.elapsed() < Duration::from_mins(1), "{name}: {:?}", started.elapsed());
    assert!(!report.has_passed(), "{name}");
    for text in outputs(&report) {
        let control = |char: char| char.is_control() && !matches!(char, '\n' | '\t');
        assert!(!text.contains(control), "{name}: {text:?}");
    }
    let text = table(&report, Style::Plain);
    if !want.is_empty() {
        assert_eq!(failed(&report), want.iter().copied().collect(), "{name}: {text}");
    }
    assert!(text.contains(message), "{name}: {text}");
}

/// A name, what the server does, the checks that fail, and a part of the report.
type Row = (&'static str, fn(TcpStream, &AtomicBool), &'static [&'static str], &'static str);

#[test]
fn a_hostile_server_ends_no_run_and_gets_a_report() {
    let rows: [Row; 6] = [
        ("binds the RTP port", binds_rtp_port, &[], "failed     0/1  rtp-port "),
        ("hang", hang, &["setup-reply"], "no reply within 800 ms"),
        ("binary", binary, &["setup-reply"], "256 bytes that are no reply"),
        ("half closed", half_closed, &["setup-reply"], "the server closed the connection"),
        ("endless line", endless_line, &["setup-reply"], "over 64 KiB without an end"),
        ("trickle", trickle, &["setup-reply"], "bytes that are no reply"),
    ];
    std::thread::scope(|scope| {
        for row in rows {
            scope.spawn(move || check(row));
        }
    });
}

#[test]
fn a_server_that_floods_ends_no_run_and_gets_a_report() {
    check(("flood", flood, &[], "bytes that are no frame of the movie"));
}

#[test]
fn a_server_that_takes_100_ms_for_each_reply_passes() {
    let behaviour = Behaviour {
        reply_delay: Duration::from_millis(100),
        ..Behaviour::new(None, Fragments::Off)
    };
    let server = LabServer::start(behaviour);
    let report = grade_at(server.address(), &quick("textbook"));
    let text = table(&report, Style::Plain);
    assert_eq!((failed(&report), not_run(&report)), (BTreeSet::new(), BTreeSet::new()), "{text}");
}

/// Whether a process runs.
fn runs(process: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

#[test]
fn ctrl_c_ends_the_program_too() {
    let folder = tempfile::tempdir().unwrap();
    let (movie, _) = write_movies(folder.path());
    let mut check = Command::new(env!("CARGO_BIN_EXE_mjpeg-lab-check"))
        .args(["server", "--run", "sh -c 'setsid sleep 1000 & echo $! > id; exec sleep 1000'"])
        .args(["--movie", movie.to_str().unwrap(), "--dir", folder.path().to_str().unwrap()])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    let started: i32 = loop {
        let text = std::fs::read_to_string(folder.path().join("id")).unwrap_or_default();
        if let Ok(id) = text.trim().parse() {
            break id;
        }
        assert!(Instant::now() < end, "the program does not start");
        std::thread::sleep(Duration::from_millis(10));
    };
    assert!(runs(started));
    let id = nix::unistd::Pid::from_raw(i32::try_from(check.id()).unwrap());
    nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGINT).unwrap();
    assert_eq!(check.wait().unwrap().code(), Some(130));
    assert!(!runs(started));
}

/// Markup and characters that control a terminal, in a reply.
fn markup(mut stream: TcpStream, _: &AtomicBool) {
    let mut bytes = [0; 256];
    while matches!(stream.read(&mut bytes), Ok(1..)) {
        let reply = "RTSP/1.0 200 OK\nCSeq: <script>alert('1')</script>\nSession: \"><img src=x>\x1b[2J\u{202e}&\u{ffff}\n";
        if stream.write_all(reply.as_bytes()).is_err() {
            return;
        }
    }
}

#[test]
fn text_of_the_program_is_escaped_everywhere() {
    let server = Hostile::start(markup);
    let report = grade_at(server.address, &quick("textbook"));
    assert!(failed(&report).contains("cseq"), "{:?}", failed(&report));
    let texts = outputs(&report);
    for text in &texts {
        for part in ["\x1b", "\u{202e}"] {
            assert!(!text.contains(part), "{part:?}: {text}");
        }
    }
    for text in [&texts[2], &texts[5]] {
        for part in ["<script", "<img", "src=x>"] {
            assert!(!text.contains(part), "{part:?}: {text}");
        }
    }
    // The XML is well formed.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("junit.xml");
    std::fs::write(&path, &texts[2]).unwrap();
    let parse = "import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])";
    let status = Command::new("python3").args(["-c", parse]).arg(&path).status();
    assert!(status.unwrap().success(), "{}", texts[2]);
}

#[test]
fn a_program_that_does_not_serve_is_a_failure_and_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let (movie, _) = write_movies(folder.path());
    let profile = folder.path().join("quick.toml");
    std::fs::write(&profile, "[time]\nstart = \"700ms\"\n").unwrap();
    // Other runs of the tests have other processes.
    let seconds = (1_000_000 + std::process::id()).to_string();
    let many = format!(
        "sh -c 'for i in $(seq 100); do setsid sleep {seconds} & done; exec sleep {seconds}'"
    );
    // The command, a part of what actual, and a part of the program's output.
    let rows = [
        ("sleep 1000", "Connection refused", "no output of sleep 1000"),
        ("no-such-program {port}", "cannot start no-such-program: No such file", ""),
        (
            "sh -c 'echo cannot import socket; exit 3'",
            "the program ended with exit code 3",
            "    cannot import socket",
        ),
        ("yes", "Connection refused", "    y"),
        ("sh -c 'setsid sleep 1000 & exec sleep 1000'", "Connection refused", "no output"),
        ("head -c 100000 /dev/urandom", "the program ended with exit code 0", "which ended with"),
        // 10 GB, of which 16 KiB are kept.
        ("head -c 10000000000 /dev/zero", "Connection refused", "    "),
        (&*many, "Connection refused", "no output"),
    ];
    for (command, actual, output) in rows {
        let started = Instant::now();
        let arguments = ["server", "--run", command, "--movie", movie.to_str().unwrap()];
        let more =
            ["--dir", folder.path().to_str().unwrap(), "--profile", profile.to_str().unwrap()];
        let done = lab_check(&[&arguments[..], &more].concat());
        let text = String::from_utf8(done.stdout).unwrap();
        let errors = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(1), "{command}: {text} {errors}");
        assert!(text.contains(actual) && text.contains(output), "{command}: {text}");
        assert!(text.contains("failed     0/1  connect "), "{command}: {text}");
        assert!(started.elapsed() < Duration::from_secs(20), "{command}");
    }
    let left = std::fs::read_dir("/proc").unwrap().flatten();
    let left = left.filter_map(|it| std::fs::read(it.path().join("cmdline")).ok());
    let line = format!("sleep\0{seconds}\0").into_bytes();
    assert_eq!(left.filter(|it| *it == line).count(), 0);
}
