// SPDX-License-Identifier: MIT OR Apache-2.0
//! Our own client passes every shipped profile, by the keys of its terminal mode.

use crate::support::program;
use std::path::Path;
use std::process::Command;

/// Grades our client as a user does. Returns the exit code and the table.
fn grade(folder: &Path, profile: &str, dialect: &str) -> (Option<i32>, String) {
    let client = program("mjpeg-rtsp-client");
    let run = format!(
        "'{}' --terminal --no-play --dialect {dialect} {{host}} {{port}} {{rtp_port}} {{movie}}",
        client.display()
    );
    // What the status line shows of lost packets is checked too.
    let path = folder.join("own.toml");
    let expression = "lost ([0-9]+) ";
    let text = format!(
        "inherits = \"{profile}\"\n[client]\nprints-lost = \"{expression}\"\ntotal = \"5m\"\n[time]\nstart = \"20s\"\n"
    );
    std::fs::write(&path, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mjpeg-lab-check"));
    // An empty configuration, instead of that of the machine, and no display.
    command.env("XDG_CONFIG_HOME", folder).env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    command.args(["client", "--press=terminal", "--run", &run, "--profile"]).arg(path);
    let done = command.output().unwrap();
    let text = [done.stdout, done.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
    (done.status.code(), text.concat())
}

#[test]
fn our_client_passes_every_profile() {
    let rows = [("textbook", "a"), ("seed", "s"), ("java", "j"), ("hd", "a")];
    std::thread::scope(|scope| {
        for (profile, dialect) in rows {
            scope.spawn(move || {
                let folder = tempfile::tempdir().unwrap();
                let (code, text) = grade(folder.path(), profile, dialect);
                assert_eq!(code, Some(0), "{profile}: {text}");
                assert!(text.contains(", 0 failed, 0 could not run: "), "{profile}: {text}");
            });
        }
    });
}
