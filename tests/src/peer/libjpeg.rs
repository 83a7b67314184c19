// SPDX-License-Identifier: MIT OR Apache-2.0
//! libjpeg-turbo's programs: an independent encoder and decoder.

use crate::programs::run;
use anyhow::{Context, Result, ensure};
use jpeg_encoder::{ColorType, Encoder};
use std::io::{ErrorKind, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Samples of a picture, row by row, in 3 bytes a pixel or 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// All samples.
    pub samples: Vec<u8>,
}

impl Picture {
    /// Shapes in colours with a little noise, as a camera's picture has; the same in each run.
    pub fn made(width: u32, height: u32) -> Self {
        let mut samples = Vec::with_capacity((width * height * 3) as usize);
        let mut noise = 1_u32;
        for y in 0..height {
            for x in 0..width {
                noise ^= noise << 13;
                noise ^= noise >> 17;
                noise ^= noise << 5;
                let grain = noise % 9;
                let disc = (x % 97).abs_diff(48).pow(2) + (y % 83).abs_diff(41).pow(2) < 900;
                let (r, g, b) = if disc { (200, 60, 40) } else { (x % 200, y % 180, 120) };
                let sample = |value: u32| u8::try_from((value + grain).min(255)).unwrap_or(255);
                samples.extend([sample(r), sample(g), sample(b)]);
            }
        }
        Self { width, height, samples }
    }

    /// The part that is `width` pixels wide and starts at column `left`.
    #[must_use]
    pub fn part(&self, left: u32, width: u32) -> Self {
        let row = 3 * self.width as usize;
        let (start, end) = (3 * left as usize, 3 * (left + width) as usize);
        let samples = self.samples.chunks(row).flat_map(|row| &row[start..end]).copied().collect();
        Self { width, height: self.height, samples }
    }

    /// The part of `width` times `height` pixels at the upper left corner, of 1 or 3 bytes a pixel.
    #[must_use]
    pub fn corner(&self, width: u32, height: u32) -> Self {
        let pixel = self.samples.len() / (self.width * self.height).max(1) as usize;
        let rows = self.samples.chunks(pixel * self.width as usize).take(height as usize);
        let samples = rows.flat_map(|row| &row[..pixel * width as usize]).copied().collect();
        Self { width, height, samples }
    }

    /// The luma of each pixel (JFIF 1.02), rounded.
    #[must_use]
    pub fn luma(&self) -> Self {
        let luma = |[r, g, b]: &[u8; 3]| {
            let sum = 299 * u32::from(*r) + 587 * u32::from(*g) + 114 * u32::from(*b) + 500;
            u8::try_from(sum / 1000).unwrap_or(255)
        };
        let samples = self.samples.as_chunks().0.iter().map(luma).collect();
        Self { width: self.width, height: self.height, samples }
    }

    /// The picture of a PNG file of three bytes a pixel.
    ///
    /// # Errors
    /// If it is not such a file.
    pub fn from_png(bytes: &[u8]) -> Result<Self> {
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info()?;
        let mut samples = vec![0; reader.output_buffer_size().context("too large")?];
        let info = reader.next_frame(&mut samples)?;
        ensure!(info.color_type == png::ColorType::Rgb, "{:?}", info.color_type);
        Ok(Self { width: info.width, height: info.height, samples })
    }

    fn to_pnm(&self) -> Vec<u8> {
        let header = format!("P6\n{} {}\n255\n", self.width, self.height);
        [header.as_bytes(), &self.samples].concat()
    }

    fn from_pnm(pnm: &[u8]) -> Result<Self> {
        // Three lines, the first of which djpeg ends without a comment.
        let mut ends = pnm.iter().enumerate().filter(|(_, byte)| byte.is_ascii_whitespace());
        let end = ends.nth(3).context("no header")?.0;
        let header = std::str::from_utf8(&pnm[..end])?;
        let words: Vec<&str> = header.split_ascii_whitespace().collect();
        let [_, width, height, _] = words[..] else { anyhow::bail!("{header}") };
        let samples = pnm[end + 1..].to_vec();
        Ok(Self { width: width.parse()?, height: height.parse()?, samples })
    }
}

/// Runs a program on a file's bytes; returns the file that it writes.
fn convert(program: &str, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>> {
    let (file, warnings) = convert_with_warnings(program, arguments, input)?;
    // cjpeg warns of unusual tables, which tests request; other programs warn of the image.
    let expected = warnings.is_empty() || program == "cjpeg";
    ensure!(expected, "{program} {arguments:?}: {warnings}");
    Ok(file)
}

/// As [`convert`], with the program's warnings.
fn convert_with_warnings(
    program: &str,
    arguments: &[&str],
    input: &[u8],
) -> Result<(Vec<u8>, String)> {
    let folder = tempfile::tempdir()?;
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    std::fs::write(&from, input)?;
    let mut command = Command::new(program);
    command.args(arguments).arg("-outfile").arg(&to).arg(&from);
    let done = run(&mut command, Duration::from_secs(30))?;
    let warnings = String::from_utf8_lossy(&done.stderr).into_owned();
    // 2 is the exit code after warnings.
    let code = done.status.code();
    ensure!(matches!(code, Some(0 | 2)), "{program} {arguments:?}: {code:?}, {warnings}");
    Ok((std::fs::read(to)?, warnings))
}

/// Encodes a picture.
///
/// # Errors
/// If cjpeg fails.
pub fn cjpeg(picture: &Picture, arguments: &[&str]) -> Result<Vec<u8>> {
    convert("cjpeg", arguments, &picture.to_pnm())
}

/// Encodes the coefficients of an image again, with other options.
///
/// # Errors
/// If jpegtran fails.
pub fn jpegtran(jpeg: &[u8], arguments: &[&str]) -> Result<Vec<u8>> {
    convert("jpegtran", arguments, jpeg)
}

/// Decodes an image.
///
/// # Errors
/// If djpeg fails, or warns.
pub fn djpeg(jpeg: &[u8], arguments: &[&str]) -> Result<Picture> {
    Picture::from_pnm(&convert("djpeg", &[&["-pnm"], arguments].concat(), jpeg)?)
}

/// Decodes an image that djpeg may warn of.
///
/// # Errors
/// If djpeg fails.
pub fn djpeg_despite_warnings(jpeg: &[u8], arguments: &[&str]) -> Result<Picture> {
    Picture::from_pnm(&convert_with_warnings("djpeg", &[&["-pnm"], arguments].concat(), jpeg)?.0)
}

/// As [`djpeg_despite_warnings`], for a small image and in a fifth of the time: without files, and without
/// a limit of the time.
///
/// # Errors
/// If djpeg fails.
pub fn shown_by_libjpeg(jpeg: &[u8]) -> Result<Picture> {
    let mut djpeg = Command::new("djpeg");
    djpeg.arg("-pnm").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut djpeg = djpeg.spawn()?;
    let mut input = djpeg.stdin.take().context("no standard input")?;
    // djpeg does not read what follows EOI.
    let written = input.write_all(jpeg);
    ensure!(written.is_ok() || written.is_err_and(|it| it.kind() == ErrorKind::BrokenPipe));
    drop(input);
    let done = djpeg.wait_with_output()?;
    ensure!(matches!(done.status.code(), Some(0 | 2)), "djpeg: {}", done.status);
    Picture::from_pnm(&done.stdout)
}

/// Images of 64x48 pixels that jpegdec 1.22 shows wrongly or not at all: name, image, and the picture
/// that libjpeg shows.
///
/// # Errors
/// If they cannot be made.
pub fn images_for_jpegdec() -> Result<Vec<(String, Vec<u8>, Picture)>> {
    let picture = Picture::made(64, 48);
    let mut rows = Vec::new();
    for arguments in [
        &["-sample", "1x2,1x2,1x2"][..],
        &["-sample", "4x1"],
        &["-grayscale", "-sample", "2x2"],
        &["-rgb", "-sample", "2x2"],
    ] {
        let image = cjpeg(&picture, &[arguments, &["-quality", "95"]].concat())?;
        let mut shown = djpeg(&image, &[])?;
        if arguments.contains(&"-grayscale") {
            shown.samples = shown.samples.into_iter().flat_map(|grey| [grey; 3]).collect();
        }
        rows.push((arguments.join(" "), image, shown));
    }
    let cmyk = |[r, g, b]: [u8; 3]| [255 - r, 255 - g, 255 - b, 0];
    let pixels: Vec<u8> = picture.samples.as_chunks().0.iter().copied().flat_map(cmyk).collect();
    for kind in [ColorType::Cmyk, ColorType::CmykAsYcck] {
        let mut image = Vec::new();
        Encoder::new(&mut image, 95).encode(&pixels, 64, 48, kind)?;
        let shown = djpeg(&image, &[])?;
        rows.push((format!("{kind:?}"), image, shown));
    }
    Ok(rows)
}

/// Peak signal-to-noise ratio of two pictures in dB; 0 if their sizes differ.
pub fn psnr(a: &Picture, b: &Picture) -> f64 {
    if a.samples.len() != b.samples.len() {
        return 0.0;
    }
    let squares = a.samples.iter().zip(&b.samples).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2));
    let (sum, count) = squares.fold((0.0, 0.0), |(sum, count), square| (sum + square, count + 1.0));
    10.0 * (255.0_f64.powi(2) * count / f64::max(sum, 1e-9)).log10()
}
