// SPDX-License-Identifier: MIT OR Apache-2.0
//! The parts of scripts/interop that need no root: how frames are judged, the tables, the command line.

use anyhow::{Result, ensure};
use mjpeg_rtsp_tests::programs::run;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_mins(1);

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn interop_judges_frames_as_its_own_tests_say() -> Result<()> {
    let mut tests = Command::new("python3");
    tests
        .args(["-B", "-m", "unittest", "test_frames"])
        .current_dir(project().join("tests/interop"));
    let done = run(&mut tests, LIMIT)?;
    let log = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success() && log.contains("\nRan 6 tests in "), "{} {log}", done.status);
    Ok(())
}

#[test]
fn interop_explains_itself_without_being_root() -> Result<()> {
    for (arguments, code, part) in [
        (&["--help"][..], 0, "scripts/interop openrtsp vlc-record"),
        (&["--list"], 0, "openrtsp     openRTSP (live555)\n"),
        (&["--list", "netscape"], 0, "vlc-record   VLC, records\n"),
    ] {
        let done = run(Command::new(project().join("scripts/interop")).args(arguments), LIMIT)?;
        let text = String::from_utf8_lossy(&done.stdout);
        ensure!(done.status.code() == Some(code), "{arguments:?}: {}", done.status);
        ensure!(text.contains(part), "{arguments:?}: {text}");
    }
    Ok(())
}
