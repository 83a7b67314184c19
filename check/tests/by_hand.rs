// SPDX-License-Identifier: MIT OR Apache-2.0
//! Buttons are pressed by hand: the test is the person, who sees the client through the stand-in for
//! tkinter.

use crate::support::{lab_client, python};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// A client that has a window: its connection, and the numbers of its buttons.
type Window = (UnixStream, Vec<u64>);

/// Reads what a client reports, and hands it over when its window is there.
fn watch(stream: &UnixStream, to: &std::sync::mpsc::Sender<Window>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut buttons, mut line) = (Vec::new(), String::new());
    while matches!(reader.read_line(&mut line), Ok(1..)) {
        let report: serde_json::Value = serde_json::from_str(&line).unwrap();
        line.clear();
        let length = report["length"].as_u64().unwrap_or(0);
        std::io::copy(&mut (&mut reader).take(length), &mut std::io::sink()).unwrap();
        match report["event"].as_str() {
            Some("button") => buttons.push(report["widget"].as_u64().unwrap()),
            Some("ready") => {
                let window = (stream.try_clone().unwrap(), buttons.clone());
                if to.send(window).is_err() {
                    return;
                }
            }
            _ => {}
        }
    }
}

fn windows(path: &Path) -> Receiver<Window> {
    let listener = UnixListener::bind(path).unwrap();
    let (to, from) = channel();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let to = to.clone();
            std::thread::spawn(move || watch(&stream, &to));
        }
    });
    from
}

#[test]
fn a_person_who_does_what_is_said_gets_a_report() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let windows = windows(&socket);
    let client = lab_client();
    let run =
        format!("{} '{}' {{host}} {{port}} {{rtp_port}} {{movie}}", python(), client.display());
    let mut check = Command::new(env!("CARGO_BIN_EXE_mjpeg-lab-check"))
        .args(["client", "--run", &run])
        .env("PYTHONPATH", Path::new(env!("CARGO_MANIFEST_DIR")).join("stand-in"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("MJPEG_LAB_CHECK_SOCKET", &socket)
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut typed = check.stdin.take().unwrap();
    let said = BufReader::new(check.stderr.take().unwrap());
    let mut window: Option<Window> = None;
    let (mut number, mut presses) = (0, 0);
    for line in said.lines() {
        let line = line.unwrap();
        if line.contains("the client is started") {
            window = Some(windows.recv_timeout(Duration::from_mins(1)).unwrap());
            continue;
        }
        let (stream, buttons) = window.as_mut().unwrap();
        number += 1;
        presses += 1;
        let names = ["press Setup ", "press Play ", "press Pause ", "press Teardown "];
        let order = match names.iter().position(|name| line.contains(name)) {
            Some(button) => {
                serde_json::json!({ "order": "press", "widget": buttons[button], "number": number })
            }
            None => serde_json::json!({ "order": "close", "number": number }),
        };
        stream.write_all(format!("{order}\n").as_bytes()).unwrap();
        if line.contains("then Enter here") {
            // The person presses Enter after the button.
            std::thread::sleep(Duration::from_millis(300));
            typed.write_all(b"\n").unwrap();
        }
    }
    let done = check.wait_with_output().unwrap();
    let table = String::from_utf8(done.stdout).unwrap();
    assert_eq!(done.status.code(), Some(0), "{table}");
    assert!(presses > 30, "{presses} presses: {table}");
    assert!(table.contains("0 failed, 0 could not run"), "{table}");
    assert!(table.contains("\nskipped      -  client-frames "), "{table}");
}
