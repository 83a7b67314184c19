// SPDX-License-Identifier: MIT OR Apache-2.0
//! Records the received frames into a movie file, and counts the frames that enter and leave the
//! decoder.

use super::statistics::Collector;
use super::{Borders, lock};
use gst::prelude::*;
use gstmjpegfile::movie::FrameWriter;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

/// A recording in progress, or its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// The movie file.
    pub path: PathBuf,
    /// Frames that were written.
    pub frames: u64,
    /// Frames that a movie cannot hold: over 99 999 bytes, or not JPEG.
    pub skipped: u64,
    /// Why it ended early.
    pub error: Option<String>,
}

/// Records the frames that enter the decoder.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    /// Locked while a frame is written; `None` also after an error.
    writer: Mutex<Option<FrameWriter<BufWriter<File>>>>,
    /// Has a lock of its own, so that the status does not wait for the disk.
    recording: Mutex<Option<Recording>>,
}

impl Recorder {
    /// Starts a recording, and stops the one in progress.
    pub fn start(&self, path: &Path) -> std::io::Result<()> {
        let _ = self.stop();
        let writer = FrameWriter::new(BufWriter::new(File::create(path)?));
        let recording = Recording { path: path.to_owned(), frames: 0, skipped: 0, error: None };
        *lock(&self.recording) = Some(recording);
        *lock(&self.writer) = Some(writer);
        Ok(())
    }

    /// Stops the recording in progress; `None` if there is none. A file without a frame is removed.
    pub fn stop(&self) -> Option<Recording> {
        let writer = lock(&self.writer).take();
        let mut recording = lock(&self.recording).take()?;
        if let Some(writer) = writer
            && let Err(error) = writer.into_inner().flush()
        {
            recording.error = Some(error.to_string());
        }
        if recording.frames == 0 {
            // One that cannot be removed has no frame either.
            let _ = std::fs::remove_file(&recording.path);
        }
        Some(recording)
    }

    /// The recording in progress.
    pub fn recording(&self) -> Option<Recording> {
        lock(&self.recording).clone()
    }

    fn write_frame(&self, jpeg: &[u8]) {
        use gstmjpegfile::movie::WriteFrameError;
        let mut writer = lock(&self.writer);
        let Some(open_writer) = writer.as_mut() else { return };
        let result = open_writer.write_frame(jpeg);
        if let Some(recording) = lock(&self.recording).as_mut() {
            match result {
                Ok(()) => recording.frames += 1,
                Err(error @ WriteFrameError::Io { .. }) => {
                    recording.error = Some(format!("{:#}", anyhow::Error::from(error)));
                    *writer = None;
                }
                Err(_) => recording.skipped += 1,
            }
        }
    }

    /// Watches the frames that enter and leave `element`, if it decodes JPEG.
    pub fn watch_decoder(
        recorder: &Arc<Self>,
        collector: &Arc<Collector>,
        borders: &Borders,
        element: &gst::Element,
    ) {
        let decodes = element.factory().is_some_and(|factory| {
            factory.has_type(gst::ElementFactoryType::DECODER)
                && factory.can_sink_any_caps(&gst::Caps::new_empty_simple("image/jpeg"))
        });
        let (Some(sink), Some(src)) = (element.static_pad("sink"), element.static_pad("src"))
        else {
            return;
        };
        if !decodes {
            return;
        }
        let (recorder, counts) = (recorder.clone(), collector.clone());
        let frames = gst::PadProbeType::BUFFER;
        borders.on_pad(&sink, frames, "decoder-input", move |info| {
            counts.into_decoder.fetch_add(1, Ordering::Relaxed);
            if let Some(jpeg) = info.buffer().and_then(|buffer| buffer.map_readable().ok()) {
                recorder.write_frame(&jpeg);
            }
        });
        let counts = collector.clone();
        borders.on_pad(&src, frames, "decoder-output", move |_| {
            counts.out_of_decoder.fetch_add(1, Ordering::Relaxed);
        });
    }
}
