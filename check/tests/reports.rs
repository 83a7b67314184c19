// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whole reports, and the command line.

use crate::defect::Defect;
use crate::lab_server::{Behaviour, LabServer};
use crate::support::{lab_check, write_movies};
use mjpeg_lab_check::profile::Fragments;
use std::path::Path;

/// A text with PORT, SECONDS and ADDRESS in place of what differs from run to run.
fn normalized(text: &str, port: u16) -> String {
    let text = text.replace(&format!("127.0.0.1:{port}"), "ADDRESS");
    // A busy machine is noted.
    let text = match text.split_once("\\nthis machine was busy") {
        Some((before, after)) => {
            before.to_owned() + after.find("\",\n").map_or("", |end| &after[end..])
        }
        None => text,
    };
    let mut out = String::new();
    for line in text.lines() {
        let is_time = ["\"seconds\":", "\"execution_time\":"].iter().any(|it| line.contains(it));
        match line.split_once(':') {
            Some((name, _)) if is_time => out += &[name, ": SECONDS,"].concat(),
            _ => out += line,
        }
        out.push('\n');
    }
    // JUnit's time, and the client's port in requests.
    for start in ["time=\"", "client_port= "] {
        let mut rest = out.as_str();
        let mut replaced = String::new();
        while let Some((before, after)) = rest.split_once(start) {
            let after = after.trim_start_matches(|it: char| it.is_ascii_digit() || it == '.');
            replaced += &[before, start, "N"].concat();
            rest = after;
        }
        replaced += rest;
        out = replaced;
    }
    out
}

/// A file of expected output beside this one.
fn expected(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expected").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn whole_reports_are_as_expected() {
    let folder = tempfile::tempdir().unwrap();
    let (movie, short) = write_movies(folder.path());
    let behaviour = Behaviour::new(Some(Defect::FixedCseq), Fragments::Off);
    let server = LabServer::start(behaviour);
    let port = server.address().port();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (junit, gradescope) = (path("junit.xml"), path("results.json"));
    let (prairielearn, html) = (path("prairielearn.json"), path("report.html"));
    let done = lab_check(&[
        "server",
        "--port",
        &port.to_string(),
        "--movie",
        movie.to_str().unwrap(),
        "--short-movie",
        short.to_str().unwrap(),
        "--junit",
        &junit,
        "--gradescope",
        &gradescope,
        "--prairielearn",
        &prairielearn,
        "--html",
        &html,
    ]);
    assert_eq!(done.status.code(), Some(1), "{}", String::from_utf8_lossy(&done.stderr));
    let table = String::from_utf8(done.stdout).unwrap();
    // A busy machine is noted.
    let table: String = table
        .lines()
        .filter(|it| !it.starts_with("note: "))
        .fold(String::new(), |text, line| text + line + "\n");
    let rows = [
        ("table.txt", table),
        ("junit.xml", std::fs::read_to_string(&junit).unwrap()),
        ("gradescope.json", std::fs::read_to_string(&gradescope).unwrap()),
        ("prairielearn.json", std::fs::read_to_string(&prairielearn).unwrap()),
    ];
    for (name, text) in rows {
        let text = normalized(&text, port);
        // Set this variable to write the files anew; read what has changed before it is committed.
        if std::env::var_os("LAB_CHECK_WRITE_EXPECTED").is_some() {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expected").join(name);
            std::fs::write(path, &text).unwrap();
        }
        assert_eq!(text, expected(name), "{name}");
    }
    let page = std::fs::read_to_string(&html).unwrap();
    let parts = [
        "<tr class=\"failed\" id=\"check-cseq\">",
        "<mark>C</mark><mark>S</mark><mark>e</mark><mark>q</mark><mark>:</mark>",
        "<svg class=\"ladder\"",
        "<svg class=\"timeline\"",
        "<td><code>CSeq: 1\\n</code></td><td>answers request 1</td>",
        "the lab asks that CSeq repeats that of the request, 2, but received 1",
    ];
    for part in parts {
        assert!(page.contains(part), "{part}");
    }
    // It needs no other file.
    for part in ["<script", "src=", "http://", "https://", "url("] {
        assert!(!page.contains(part), "{part}");
    }
}

#[test]
fn json_has_the_verdicts_and_the_exchange() {
    let folder = tempfile::tempdir().unwrap();
    let (movie, _) = write_movies(folder.path());
    let server = LabServer::start(Behaviour::new(None, Fragments::Off));
    let port = server.address().port().to_string();
    let arguments = ["server", "--json", "--port", &port, "--movie", movie.to_str().unwrap()];
    let done = lab_check(&arguments);
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    let report: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(report["passed"], true);
    assert_eq!((&report["earned"], &report["points"]), (&40.into(), &40.into()));
    let verdict = |id: &str| {
        let checks = report["checks"].as_array().unwrap();
        checks.iter().find(|check| check["id"] == id).unwrap()["verdict"].clone()
    };
    assert_eq!((verdict("payload"), verdict("end-stops")), ("passed".into(), "skipped".into()));
    let first = &report["exchanges"][0]["entries"];
    assert_eq!((&first[0]["event"], &first[1]["event"]), (&"connected".into(), &"request".into()));
    let reply = "RTSP/1.0 200 OK\nCSeq: 1\nSession: 200000";
    assert_eq!(first[2]["text"], reply);
}

#[test]
fn wrong_usage_says_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let (movie, short) = write_movies(folder.path());
    let (movie, short) = (movie.to_str().unwrap(), short.to_str().unwrap());
    let profile = folder.path().join("my.toml");
    std::fs::write(&profile, "[lab]\nframerate = 25\n").unwrap();
    let profile = profile.to_str().unwrap();
    let port = ["server", "--port", "9", "--movie"];
    let rows: Vec<(Vec<&str>, String)> = vec![
        (
            [&port[..], &["none.Mjpeg"]].concat(),
            "mjpeg-lab-check: cannot read none.Mjpeg: No such file or directory (os error 2)\n".into(),
        ),
        (
            [&port[..], &[short]].concat(),
            "mjpeg-lab-check: short.Mjpeg has 30 frames: the checks need at least 40\n".into(),
        ),
        (
            [&port[..], &[movie, "--profile", "hdd"]].concat(),
            "mjpeg-lab-check: no profile \"hdd\": the shipped ones are textbook, seed, java, hd; any \
             other is the path of a file\n"
                .into(),
        ),
        (
            [&port[..], &[movie, "--profile", profile]].concat(),
            format!(
                "mjpeg-lab-check: {profile}:2:1: found the key \"framerate\" in [lab]; allowed are form, \
                 frame-rate, frame-rate-tolerance, session-min, session-max, first-sequence-number, \
                 marker, timestamp, fragments, max-payload, extensions; perhaps \"frame-rate\" is meant\n"
            ),
        ),
        (
            vec!["server", "--run", "x {prot}", "--movie", movie],
            "mjpeg-lab-check: --run: the command line has {prot}; known are {host}, {port}, {movie}\n"
                .into(),
        ),
        (
            vec!["client", "--run", "x {prot}"],
            "mjpeg-lab-check: --run: the command line has {prot}; known are {host}, {port}, {rtp_port}, \
             {movie}\n"
                .into(),
        ),
        (
            vec!["client", "--run", "x", "--dir", "/no/folder"],
            "mjpeg-lab-check: --dir: /no/folder is not a folder\n".into(),
        ),
        (
            vec!["server", "--run", "x", "--dir", "/no/folder", "--movie", movie],
            "mjpeg-lab-check: --dir: /no/folder is not a folder\n".into(),
        ),
    ];
    for (arguments, want) in rows {
        let done = lab_check(&arguments);
        let errors = String::from_utf8(done.stderr).unwrap();
        assert_eq!((done.status.code(), errors), (Some(2), want), "{arguments:?}");
    }
    assert_eq!(lab_check(&["server"]).status.code(), Some(2));
    assert_eq!(lab_check(&["client"]).status.code(), Some(2));
}

#[test]
fn checks_are_listed_with_their_points() {
    let done = lab_check(&["server", "--list-checks", "--profile", "hd"]);
    assert_eq!(done.status.code(), Some(0));
    let text = String::from_utf8(done.stdout).unwrap();
    let start = "hd: the lab with HD movies, in fragments\n\n    \
                 1  connect               the server accepts a connection\n                             \
                 lab: the server listens at the TCP port of its command line\n";
    assert!(text.starts_with(start), "{text}");
    assert!(text.contains("\n    1  fragment-numbers "), "{text}");
    assert!(!text.contains("ext-seek"), "{text}");
    assert!(text.ends_with("\n   44  points\n"), "{text}");
    let done = lab_check(&["client", "--list-checks", "--profile", "seed"]);
    let text = String::from_utf8(done.stdout).unwrap();
    assert!(!text.contains("client-session"), "{text}");
    assert!(text.ends_with("\n   29  points\n"), "{text}");
}
