// SPDX-License-Identifier: MIT OR Apache-2.0
//! Movies made by code, profiles for tests, and the program.

use gstmjpegfile::movie::FrameWriter;
use mjpeg_lab_check::check::Verdict;
use mjpeg_lab_check::movie::Movie;
use mjpeg_lab_check::profile::{self, Profile};
use mjpeg_lab_check::report::Report;
use mjpeg_lab_check::server::{Job, grade};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

/// The number of frames of the movie.
pub const FRAMES: usize = 110;

/// The number of frames of the other, short movie.
pub const SHORT: usize = 30;

/// JPEG images that differ, of about 3 KiB, which are several fragments.
pub fn images(count: usize, seed: u32) -> Vec<Vec<u8>> {
    const SIZE: u16 = 64;
    let image = |number: usize| {
        // A linear congruential generator.
        let mut state =
            seed.wrapping_add(u32::try_from(number).unwrap()).wrapping_mul(2_654_435_761);
        let pixels: Vec<u8> = (0..usize::from(SIZE) * usize::from(SIZE))
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state.to_be_bytes()[0]
            })
            .collect();
        let mut jpeg = Vec::new();
        let encoder = jpeg_encoder::Encoder::new(&mut jpeg, 60);
        encoder.encode(&pixels, SIZE, SIZE, jpeg_encoder::ColorType::Luma).unwrap();
        jpeg
    };
    (0..count).map(image).collect()
}

/// The movie of the tests.
pub fn movie() -> Movie {
    Movie::new("movie.Mjpeg".to_owned(), images(FRAMES, 1))
}

/// The other movie.
pub fn short_movie() -> Movie {
    Movie::new("short.Mjpeg".to_owned(), images(SHORT, 1000))
}

/// Writes both movies into a folder; returns their paths.
pub fn write_movies(folder: &Path) -> (PathBuf, PathBuf) {
    let write = |movie: &Movie| {
        let mut writer = FrameWriter::new(Vec::new());
        for frame in &movie.frames {
            writer.write_frame(frame).unwrap();
        }
        let path = folder.join(&movie.name);
        std::fs::write(&path, writer.into_inner()).unwrap();
        path
    };
    (write(&movie()), write(&short_movie()))
}

/// A shipped profile with shorter time limits, so that what never comes is not awaited for long.
pub fn quick(name: &str) -> Profile {
    let mut profile = profile::load(name).unwrap();
    profile.time.reply = Duration::from_millis(800);
    profile.time.disconnect = Duration::from_secs(1);
    profile.time.total = Duration::from_mins(1);
    profile
}

/// Grades the server at an address, which has both movies.
pub fn grade_at(address: SocketAddr, profile: &Profile) -> Report {
    grade(&Job {
        address,
        movie: &movie(),
        other: Some(&short_movie()),
        profile,
        thorough: false,
        program: None,
        not_started: None,
    })
}

/// The names of the checks with a verdict of a kind.
pub fn with_verdict(report: &Report, kind: fn(&Verdict) -> bool) -> BTreeSet<&'static str> {
    report.results.iter().filter(|it| kind(&it.verdict)).map(|it| it.id).collect()
}

/// The names of the checks that failed.
pub fn failed(report: &Report) -> BTreeSet<&'static str> {
    with_verdict(report, |it| matches!(it, Verdict::Failed(_)))
}

/// The names of the checks that could not run.
pub fn not_run(report: &Report) -> BTreeSet<&'static str> {
    with_verdict(report, |it| matches!(it, Verdict::NotRun { .. }))
}

/// Runs `mjpeg-lab-check` to its end.
pub fn lab_check(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mjpeg-lab-check"));
    command.args(arguments).env("NO_COLOR", "1").output().unwrap()
}

/// A program of the workspace that has been built.
pub fn program(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_mjpeg-lab-check")).with_file_name(name);
    assert!(path.is_file(), "{} does not exist: run cargo build --workspace", path.display());
    path
}

/// Lets a command find the system's Python, which has Tk and Pillow, before any other.
pub fn with_python(command: &mut Command) -> &mut Command {
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("/usr/bin:{path}"))
}

/// A shipped profile for clients, for a machine that is busy with other tests.
pub fn quick_client(name: &str) -> Profile {
    let mut profile = profile::load(name).unwrap();
    profile.client.total = Duration::from_mins(5);
    profile.time.start = Duration::from_secs(10);
    profile
}

/// The tests' client in Python.
pub fn lab_client() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab_client/client.py")
}

/// The system's Python, which has tkinter and Pillow.
pub fn python() -> &'static str {
    "/usr/bin/python3"
}
