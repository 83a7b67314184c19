// SPDX-License-Identifier: MIT OR Apache-2.0
//! JPEG images made by GStreamer's jpegenc, and movies of images.

use crate::peer::display::is_near;
use crate::peer::libjpeg::{Picture, cjpeg};
use crate::pipeline::{TestPipeline, bytes};
use anyhow::{Context, Result};
use gstmjpegfile::movie::FrameWriter;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Width and height of the images, which are those of the textbook's movie.
pub const SIZE: (u32, u32) = (384, 288);

/// JPEG images of a moving ball: 4:2:0 ("I420"), which RFC 2435 carries, or 4:4:4 ("Y444").
///
/// # Errors
/// If GStreamer does not make them.
pub fn images(count: u32, format: &str) -> Result<Vec<Vec<u8>>> {
    let (width, height) = SIZE;
    let line = format!(
        "videotestsrc num-buffers={count} pattern=ball animation-mode=frames \
         ! video/x-raw,format={format},width={width},height={height},framerate=20/1 \
         ! jpegenc quality=90 ! appsink name=out sync=false"
    );
    let images = pull_all(&line)?;
    anyhow::ensure!(images.len() == count as usize, "{} images", images.len());
    Ok(images)
}

/// The colours of the bars of [`bars`], from the left.
pub const BARS: [[u8; 3]; 7] = [
    [191, 191, 191],
    [191, 191, 0],
    [0, 191, 191],
    [0, 191, 0],
    [191, 0, 191],
    [191, 0, 0],
    [0, 0, 191],
];

/// JPEG images whose upper two thirds are seven bars of one colour each.
///
/// # Errors
/// If GStreamer does not make them.
pub fn bars(count: u32) -> Result<Vec<Vec<u8>>> {
    let (width, height) = SIZE;
    pull_all(&format!(
        "videotestsrc num-buffers={count} pattern=smpte75 \
         ! video/x-raw,format=I420,width={width},height={height},framerate=20/1 \
         ! jpegenc quality=95 ! appsink name=out sync=false"
    ))
}

/// The colour of a frame of [`coloured`], below 216: each one differs from all others by 51 in one of its
/// components, so the frame can be read from the picture.
pub fn colour(frame: usize) -> [u8; 3] {
    let level = |digit: usize| u8::try_from(digit % 6 * 51).unwrap_or(0);
    [level(frame), level(frame / 6), level(frame / 36)]
}

/// The frame of [`coloured`] that has a colour, but for JPEG's rounding.
pub fn frame_of(pixel: [u8; 3]) -> Option<usize> {
    (0..216).find(|frame| is_near(colour(*frame), pixel))
}

/// JPEG images of 192x144 pixels, each of one [`colour`].
///
/// # Errors
/// If they cannot be made.
pub fn coloured(frames: usize) -> Result<Vec<Vec<u8>>> {
    let image = |frame| {
        let samples = colour(frame).repeat(192 * 144);
        cjpeg(&Picture { width: 192, height: 144, samples }, &["-sample", "2x2"])
    };
    (0..frames).map(image).collect()
}

/// All buffers that reach the appsink named `out` of a launch line.
///
/// # Errors
/// If the pipeline cannot be made or started, or posts an error.
pub fn pull_all(line: &str) -> Result<Vec<Vec<u8>>> {
    let pipeline = TestPipeline::launch(line)?;
    pipeline.play()?;
    pipeline.samples()?.iter().map(bytes).collect()
}

/// Makes a JPEG of [`images`] like those of the textbook's movie: component identifiers 0, 1, 2
/// and no APP0.
///
/// # Errors
/// If the image is not such a JPEG.
pub fn like_the_textbook(jpeg: &[u8]) -> Result<Vec<u8>> {
    let find = |marker: u8| jpeg.windows(2).position(|pair| pair == [0xff, marker]);
    let app0 = find(0xe0).context("no APP0")?;
    let length = usize::from(u16::from_be_bytes([jpeg[app0 + 2], jpeg[app0 + 3]]));
    let mut out = jpeg.to_vec();
    let sof = find(0xc0).context("no SOF0")?;
    let sos = find(0xda).context("no SOS")?;
    for component in 0..3 {
        out[sof + 10 + 3 * component] = u8::try_from(component)?;
        out[sos + 5 + 2 * component] = u8::try_from(component)?;
    }
    out.drain(app0..app0 + 2 + length);
    Ok(out)
}

/// Writes images as a movie.
///
/// # Errors
/// If the format cannot hold one.
pub fn movie(images: &[Vec<u8>]) -> Result<Vec<u8>> {
    let mut writer = FrameWriter::new(Vec::new());
    for image in images {
        writer.write_frame(image)?;
    }
    Ok(writer.into_inner())
}

/// A folder for a test's files; removed when dropped.
pub struct Folder(TempDir);

impl Folder {
    /// Makes an empty folder.
    ///
    /// # Errors
    /// If that fails.
    pub fn new() -> Result<Self> {
        Ok(Self(tempfile::tempdir()?))
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file and returns its path.
    ///
    /// # Errors
    /// If that fails.
    pub fn file(&self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        let path = self.path().join(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&path, bytes)?;
        Ok(path)
    }
}
