// SPDX-License-Identifier: MIT OR Apache-2.0
//! The test card: a movie of a test picture with a running time, generated when the server starts.

use anyhow::{Context, Result, anyhow};
use gst::prelude::*;
use gstmjpegfile::movie::{FrameRate, FrameWriter, Nanoseconds};
use std::io::BufWriter;
use std::sync::Arc;
use tempfile::{NamedTempFile, TempPath};

/// The duration of the test card in seconds.
const SECONDS: u64 = 20;

/// The maximum number of frames at high frame rates, so that the server starts quickly.
const MAX_FRAMES: u64 = 600;

/// The file of the test card. Dropping the last clone removes the file.
#[derive(Debug, Clone)]
pub struct TestCard {
    path: Arc<TempPath>,
    framerate: FrameRate,
}

impl TestCard {
    /// The path of the file.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// The frame rate that the test card was made for.
    pub fn framerate(&self) -> FrameRate {
        self.framerate
    }
}

/// Makes the test card.
///
/// # Errors
/// If GStreamer's base plugins are missing or the file cannot be written.
pub fn make(rate: FrameRate) -> Result<TestCard> {
    let frames = rate.frame_at(Nanoseconds::new(SECONDS * 1_000_000_000)).clamp(1, MAX_FRAMES);
    let line = format!(
        "videotestsrc num-buffers={frames} \
         ! video/x-raw,format=I420,width=384,height=288,framerate=(fraction){rate} \
         ! timeoverlay halignment=center valignment=center font-desc=\"Monospace 24\" \
         ! jpegenc quality=85 ! appsink name=out sync=false"
    );
    let pipeline = gst::parse::launch(&line).context(
        "cannot make the test card: install gstreamer1.0-plugins-base and gstreamer1.0-x",
    )?;
    let out = pipeline
        .downcast_ref::<gst::Bin>()
        .and_then(|bin| bin.by_name("out"))
        .and_then(|out| out.downcast::<gst_app::AppSink>().ok())
        .ok_or_else(|| anyhow!("the pipeline of the test card has no appsink"))?;
    let file = NamedTempFile::with_prefix("mjpeg-rtsp-test-card-")
        .context("cannot make a temporary file for the test card")?;
    let mut writer = FrameWriter::new(BufWriter::new(file));
    pipeline.set_state(gst::State::Playing)?;
    let written = (|| {
        while let Ok(sample) = out.pull_sample() {
            let buffer = sample.buffer().context("a sample has no buffer")?;
            writer.write_frame(&buffer.map_readable()?)?;
        }
        anyhow::Ok(())
    })();
    pipeline.set_state(gst::State::Null)?;
    written.context("cannot write the test card")?;
    let file = writer.into_inner().into_inner().context("cannot write the test card")?;
    Ok(TestCard { path: Arc::new(file.into_temp_path()), framerate: rate })
}
