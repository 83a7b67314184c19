// SPDX-License-Identifier: MIT OR Apache-2.0
//! Our own server passes every shipped profile, started and ended by the program.

use crate::support::{program, write_movies};
use std::path::Path;
use std::process::Command;

/// Grades our server as a user does. Returns the exit code and the table.
fn grade(folder: &Path, profile: &str, options: &str) -> (Option<i32>, String) {
    let (movie, short) = write_movies(folder);
    let server = program("mjpeg-rtsp-server");
    let run = format!(
        "'{}' --listen {{host}}:{{port}} {options} {{movie}} {}",
        server.display(),
        short.file_name().unwrap().display()
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_mjpeg-lab-check"));
    // An empty configuration, instead of that of the machine.
    command.env("XDG_CONFIG_HOME", folder).arg("server").args(["--run", &run, "--dir"]);
    command.arg(folder).arg("--movie").arg(movie).arg("--short-movie").arg(short);
    let done = command.args(["--profile", profile]).output().unwrap();
    let text = [done.stdout, done.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
    (done.status.code(), text.concat())
}

#[test]
fn our_server_passes_the_textbooks_profile() {
    let folder = tempfile::tempdir().unwrap();
    let (code, text) = grade(folder.path(), "textbook", "");
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("42 of 42 checks passed, 0 failed, 0 could not run: 42 of 42 points"),
        "{text}"
    );
}

#[test]
fn our_server_passes_the_course_reports_profile() {
    let folder = tempfile::tempdir().unwrap();
    let (code, text) = grade(folder.path(), "seed", "");
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn our_server_passes_javas_profile() {
    let folder = tempfile::tempdir().unwrap();
    let (code, text) = grade(folder.path(), "java", "");
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn our_server_passes_the_profile_with_fragments() {
    let folder = tempfile::tempdir().unwrap();
    let (code, text) = grade(folder.path(), "hd", "--lab-fragment same-seq");
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn only_the_numbers_of_fragments_are_wrong_in_the_other_form() {
    let folder = tempfile::tempdir().unwrap();
    let (code, text) = grade(folder.path(), "hd", "--lab-fragment next-seq");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("43 of 44 checks passed, 1 failed, 0 could not run"), "{text}");
    assert!(text.contains("\nfailed     0/1  fragment-numbers "), "{text}");
}

#[test]
fn our_server_has_every_extension() {
    let folder = tempfile::tempdir().unwrap();
    let profile = folder.path().join("course.toml");
    let extensions = "[\"statistics\", \"describe\", \"list\", \"switch\", \"seek\"]";
    let text = format!("inherits = \"textbook\"\n[lab]\nextensions = {extensions}\n");
    std::fs::write(&profile, text).unwrap();
    let (code, text) = grade(folder.path(), profile.to_str().unwrap(), "");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("47 of 47 checks passed"), "{text}");
}
