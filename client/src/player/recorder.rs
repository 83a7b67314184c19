// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes the frames as they were received into a movie, and counts what the decoder makes of them.

use super::Borders;
use super::statistics::Collector;
use gst::prelude::*;
use gstmjpegfile::movie::FrameWriter;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

/// A recording under way, or how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// The movie.
    pub path: PathBuf,
    /// Frames in it.
    pub frames: u64,
    /// Frames that no movie can hold: over 99 999 bytes, or no JPEG.
    pub left_out: u64,
    /// Why it ended early.
    pub error: Option<String>,
}

#[derive(Debug)]
struct Active {
    writer: Option<FrameWriter<BufWriter<File>>>,
    state: Recording,
}

/// Records what comes to the decoder.
#[derive(Debug, Default)]
pub(super) struct Recorder(Mutex<Option<Active>>);

impl Recorder {
    /// Begins a movie; one that is being recorded ends.
    pub fn start(&self, path: &Path) -> std::io::Result<()> {
        let _ = self.stop();
        let writer = FrameWriter::new(BufWriter::new(File::create(path)?));
        let state = Recording { path: path.to_owned(), frames: 0, left_out: 0, error: None };
        *self.lock() = Some(Active { writer: Some(writer), state });
        Ok(())
    }

    /// Ends the movie.
    pub fn stop(&self) -> Option<Recording> {
        let mut active = self.lock().take()?;
        if let Some(writer) = active.writer
            && let Err(error) = writer.into_inner().flush()
        {
            active.state.error = Some(error.to_string());
        }
        Some(active.state)
    }

    /// The movie that is being recorded.
    pub fn state(&self) -> Option<Recording> {
        self.lock().as_ref().map(|active| active.state.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Active>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn frame(&self, jpeg: &[u8]) {
        use gstmjpegfile::movie::WriteFrameError;
        let mut active = self.lock();
        let Some(Active { writer: slot, state }) = active.as_mut() else { return };
        let Some(writer) = slot else { return };
        match writer.write_frame(jpeg) {
            Ok(()) => state.frames += 1,
            Err(error @ WriteFrameError::Io { .. }) => {
                state.error = Some(format!("{:#}", anyhow::Error::from(error)));
                *slot = None;
            }
            Err(_) => state.left_out += 1,
        }
    }

    /// Follows an element of the playbin, if it is what decodes JPEG.
    pub fn watch(
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
                recorder.frame(&jpeg);
            }
        });
        let counts = collector.clone();
        borders.on_pad(&src, frames, "decoder-output", move |_| {
            counts.out_of_decoder.fetch_add(1, Ordering::Relaxed);
        });
    }
}
