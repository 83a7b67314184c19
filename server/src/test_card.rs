// SPDX-License-Identifier: MIT OR Apache-2.0
//! The built-in movie: a test picture with a running timecode, made at start-up.

use anyhow::{Context, Result, anyhow};
use gst::prelude::*;
use gstmjpegfile::movie::{FrameRate, FrameWriter, Nanoseconds};
use std::io::BufWriter;
use tempfile::{NamedTempFile, TempPath};

/// Seconds of the card.
const SECONDS: u64 = 20;

/// The most frames that are made, whatever the rate: starting must not take long.
const MAX_FRAMES: u64 = 600;

/// The card's file; it is removed when this value is dropped.
pub struct TestCard(TempPath);

impl TestCard {
    pub fn path(&self) -> &std::path::Path {
        &self.0
    }
}

pub fn make(rate: FrameRate) -> Result<TestCard> {
    let frames = rate.frame_at(Nanoseconds::new(SECONDS * 1_000_000_000)).clamp(1, MAX_FRAMES);
    let line = format!(
        "videotestsrc num-buffers={frames} \
         ! video/x-raw,format=I420,width=384,height=288,framerate=(fraction){rate} \
         ! timeoverlay halignment=center valignment=center font-desc=\"Monospace 24\" \
         ! jpegenc quality=85 ! appsink name=out sync=false"
    );
    let pipeline =
        gst::parse::launch(&line).context("the test card needs GStreamer's base plugins")?;
    let out = pipeline
        .downcast_ref::<gst::Bin>()
        .and_then(|bin| bin.by_name("out"))
        .and_then(|out| out.downcast::<gst_app::AppSink>().ok())
        .ok_or_else(|| anyhow!("no appsink in the test card's pipeline"))?;
    let file = NamedTempFile::with_prefix("mjpeg-rtsp-test-card-").context("no temporary file")?;
    let mut writer = FrameWriter::new(BufWriter::new(file));
    pipeline.set_state(gst::State::Playing)?;
    let written = (|| {
        while let Ok(sample) = out.pull_sample() {
            let buffer = sample.buffer().context("an empty sample")?;
            writer.write_frame(&buffer.map_readable()?)?;
        }
        anyhow::Ok(())
    })();
    pipeline.set_state(gst::State::Null)?;
    written.context("cannot write the test card")?;
    let file = writer.into_inner().into_inner().context("cannot write the test card")?;
    Ok(TestCard(file.into_temp_path()))
}
