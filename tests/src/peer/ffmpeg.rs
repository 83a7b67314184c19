// SPDX-License-Identifier: MIT OR Apache-2.0
//! ffmpeg and ffplay: checksums and samples of the frames that they decode.

use crate::peer::display::Display;
use crate::programs::run;
use anyhow::{Result, ensure};
use std::process::{Command, Output};
use std::time::Duration;

/// No test's movie plays longer.
const LIMIT: Duration = Duration::from_mins(1);

fn ffmpeg(input: &[&str], output: &[&str]) -> Result<Vec<u8>> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin"]).args(input);
    let done = run(command.args(["-fps_mode", "passthrough"]).args(output).arg("-"), LIMIT)?;
    let log = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "ffmpeg {input:?}: {} {log}", done.status);
    Ok(done.stdout)
}

fn checksums_of(input: &[&str]) -> Result<Vec<String>> {
    checksums_from(input, &["-f", "framemd5"])
}

fn checksums_from(input: &[&str], output: &[&str]) -> Result<Vec<String>> {
    let text = String::from_utf8(ffmpeg(input, output)?)?;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    Ok(lines.filter_map(|line| line.rsplit(' ').next()).map(ToOwned::to_owned).collect())
}

fn rtsp(url: &str, transport: &str) -> [String; 4] {
    ["-rtsp_transport", transport, "-i", url].map(ToOwned::to_owned)
}

/// The checksum of each frame of an RTSP stream, to its end.
///
/// # Errors
/// If ffmpeg fails.
pub fn stream_checksums(url: &str, transport: &str) -> Result<Vec<String>> {
    let input = rtsp(url, transport);
    checksums_of(&input.each_ref().map(String::as_str))
}

/// The checksum of each frame from a time in seconds on, to which ffmpeg seeks by RTSP.
///
/// # Errors
/// If ffmpeg fails.
pub fn stream_checksums_from(url: &str, transport: &str, start: &str) -> Result<Vec<String>> {
    let input = rtsp(url, transport);
    let [a, b, c, d] = input.each_ref().map(String::as_str);
    checksums_of(&["-ss", start, a, b, c, d])
}

/// The checksum of each of the first `count` frames of a stream that may have no end.
///
/// # Errors
/// If ffmpeg fails.
pub fn stream_checksums_of_first(url: &str, transport: &str, count: u32) -> Result<Vec<String>> {
    let input = rtsp(url, transport);
    let input = input.each_ref().map(String::as_str);
    checksums_from(&input, &["-frames:v", &count.to_string(), "-f", "framemd5"])
}

/// The checksum of each frame of plain concatenated JPEG images.
///
/// # Errors
/// If ffmpeg fails.
pub fn file_checksums(plain: &std::path::Path) -> Result<Vec<String>> {
    checksums_of(&["-f", "mjpeg", "-i", &plain.to_string_lossy()])
}

/// The luma planes of an RTSP stream, one after another.
///
/// # Errors
/// If ffmpeg fails.
pub fn stream_luma(url: &str, transport: &str) -> Result<Vec<u8>> {
    let input = rtsp(url, transport);
    ffmpeg(&input.each_ref().map(String::as_str), &["-vf", "extractplanes=y", "-f", "rawvideo"])
}

/// The luma planes of an RTSP stream from a time in seconds on, to which ffmpeg seeks by RTSP.
///
/// # Errors
/// If ffmpeg fails.
pub fn stream_luma_from(url: &str, transport: &str, start: &str) -> Result<Vec<u8>> {
    let input = rtsp(url, transport);
    let [a, b, c, d] = input.each_ref().map(String::as_str);
    let input = ["-ss", start, a, b, c, d];
    ffmpeg(&input, &["-vf", "extractplanes=y", "-f", "rawvideo"])
}

/// The luma planes of plain concatenated JPEG images.
///
/// # Errors
/// If ffmpeg fails.
pub fn file_luma(plain: &std::path::Path) -> Result<Vec<u8>> {
    let input = ["-f", "mjpeg", "-i", &plain.to_string_lossy()];
    ffmpeg(&input, &["-vf", "extractplanes=y", "-f", "rawvideo"])
}

/// The checksum of each frame of an RTSP stream that ffplay shows on a display, to its end.
///
/// # Errors
/// If ffplay fails.
pub fn shown_checksums(display: &Display, url: &str, transport: &str) -> Result<Vec<String>> {
    let mut ffplay = Command::new("ffplay");
    display.prepare(&mut ffplay);
    ffplay.env("SDL_AUDIODRIVER", "dummy").args(["-nostats", "-autoexit", "-noframedrop"]);
    let done = run(ffplay.args(["-vf", "showinfo"]).args(rtsp(url, transport)), LIMIT)?;
    showinfo_checksums(&done)
}

/// Checksums as [`shown_checksums`] gives them, of plain concatenated JPEG images.
///
/// # Errors
/// If ffmpeg fails.
pub fn file_showinfo_checksums(plain: &std::path::Path) -> Result<Vec<String>> {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-nostats", "-f", "mjpeg", "-i"]).arg(plain);
    let output = ["-vf", "showinfo", "-fps_mode", "passthrough", "-f", "null", "-"];
    showinfo_checksums(&run(ffmpeg.args(output), LIMIT)?)
}

/// The checksums that the filter showinfo has logged: `checksum:` and eight hexadecimal digits.
fn showinfo_checksums(done: &Output) -> Result<Vec<String>> {
    let log = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "{}: {log}", done.status);
    let checksums = log.split(" checksum:").skip(1).filter_map(|rest| rest.get(..8));
    Ok(checksums.map(ToOwned::to_owned).collect())
}
