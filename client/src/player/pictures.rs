// SPDX-License-Identifier: MIT OR Apache-2.0
//! Decoded pictures for a face that draws them itself.

use super::Borders;
use gst_video::prelude::*;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A decoded picture.
pub struct Picture {
    frame: gst_video::VideoFrame<gst_video::video_frame::Readable>,
    /// Its place in the movie, where the stream says it.
    pub position: Option<gst::ClockTime>,
    /// Pictures a second, where the stream says it.
    pub frame_rate: Option<f64>,
    /// From its frame's arrival to now, when it is to be shown; zero where frames do not arrive.
    pub playout_delay: gst::ClockTime,
}

impl fmt::Debug for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (width, height) = self.size();
        write!(f, "Picture {width}x{height} at {:?}", self.position)
    }
}

/// Why a picture was not written.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The file cannot be made.
    #[error("{0}")]
    File(#[from] std::io::Error),
    /// The image cannot be written into it.
    #[error("{0}")]
    Png(#[from] png::EncodingError),
}

impl Picture {
    fn of(sample: &gst::Sample, now: Option<gst::ClockTime>) -> Option<Self> {
        let info = gst_video::VideoInfo::from_caps(sample.caps()?).ok()?;
        let buffer = sample.buffer_owned()?;
        let segment = sample.segment().and_then(|it| it.downcast_ref::<gst::ClockTime>());
        let position = segment.and_then(|segment| segment.to_stream_time(buffer.pts()));
        let arrival = segment.and_then(|segment| segment.to_running_time(buffer.pts()));
        let playout_delay = now.zip(arrival).map(|(now, then)| now.saturating_sub(then));
        let frame_rate = fraction(info.fps()).filter(|rate| *rate > 0.0);
        let frame = gst_video::VideoFrame::from_buffer_readable(buffer, &info).ok()?;
        let playout_delay = playout_delay.unwrap_or_default();
        Some(Self { frame, position, frame_rate, playout_delay })
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        (self.frame.width(), self.frame.height())
    }

    /// Its rows from the top, four bytes a pixel: red, green, blue, and 255.
    pub fn rows(&self) -> impl Iterator<Item = &[u8]> {
        let row = self.frame.width() as usize * 4;
        let stride = self.frame.plane_stride().first().copied().unwrap_or(0);
        let stride = usize::try_from(stride).unwrap_or(0).max(row).max(1);
        let plane = self.frame.plane_data(0).unwrap_or_default();
        let rows = plane.chunks(stride).take(self.frame.height() as usize);
        rows.filter_map(move |line| line.get(..row))
    }

    /// Writes it as PNG.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), SaveError> {
        let (width, height) = self.size();
        let packed: Vec<u8> = self
            .rows()
            .flat_map(|row| row.as_chunks::<4>().0)
            .flat_map(|[red, green, blue, _]| [*red, *green, *blue])
            .collect();
        save_rgb(path, width, height, &packed)
    }
}

/// Writes an RGB image as PNG.
pub(crate) fn save_rgb(path: &Path, width: u32, height: u32, rgb: &[u8]) -> Result<(), SaveError> {
    let file = std::io::BufWriter::new(std::fs::File::create(path)?);
    let mut encoder = png::Encoder::new(file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(rgb)?;
    Ok(())
}

fn fraction(of: gst::Fraction) -> Option<f64> {
    (of.denom() != 0).then(|| f64::from(of.numer()) / f64::from(of.denom()))
}

/// The newest picture, from the streaming thread to the face's. Pictures that nobody took before
/// the next one came are left out.
#[derive(Debug, Default)]
pub struct Pictures {
    newest: Mutex<Option<Arc<Picture>>>,
    came: AtomicU64,
}

impl Pictures {
    /// The newest picture, and the how manieth it is.
    pub fn newest(&self) -> Option<(u64, Arc<Picture>)> {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest.clone().map(|picture| (self.came.load(Ordering::Relaxed), picture))
    }

    fn put(&self, picture: Picture) {
        let picture = Some(Arc::new(picture));
        let before = {
            let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
            self.came.fetch_add(1, Ordering::Relaxed);
            std::mem::replace(&mut *newest, picture)
        };
        // Its memory is given back outside the lock.
        drop(before);
    }

    /// Forgets the newest picture: another source is opened.
    pub(super) fn clear(&self) {
        let _ = self.newest.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// A sink that puts each picture here at the time at which it is to be shown, then calls
    /// `wake`.
    pub(super) fn sink(
        pictures: &Arc<Self>,
        borders: &Borders,
        wake: Arc<dyn Fn() + Send + Sync>,
    ) -> Result<gst::Element, glib::BoolError> {
        let caps = gst_video::VideoCapsBuilder::new().format(gst_video::VideoFormat::Rgba).build();
        // One for both callbacks: once either has panicked, neither is called again.
        let border = Arc::new(borders.border("pictures"));
        let take = |pictures: Arc<Self>, wake: Arc<dyn Fn() + Send + Sync>| {
            let (borders, border) = (borders.clone(), border.clone());
            move |sample: gst::Sample, now: Option<gst::ClockTime>| {
                borders.run(&border, || {
                    if let Some(picture) = Picture::of(&sample, now) {
                        pictures.put(picture);
                        wake();
                    }
                });
                Ok(gst::FlowSuccess::Ok)
            }
        };
        let (at_pause, at_time) =
            (take(pictures.clone(), wake.clone()), take(pictures.clone(), wake));
        let callbacks = gst_app::AppSinkCallbacks::builder()
            .new_preroll(move |sink| {
                at_pause(sink.pull_preroll().map_err(|_| gst::FlowError::Eos)?, None)
            })
            .new_sample(move |sink| {
                let now = sink.current_running_time();
                at_time(sink.pull_sample().map_err(|_| gst::FlowError::Eos)?, now)
            })
            .build();
        let sink = gst_app::AppSink::builder().caps(&caps).sync(true).callbacks(callbacks).build();
        // Nobody asks it for the last sample, which it would keep.
        sink.set_property("enable-last-sample", false);
        let convert = gst::ElementFactory::make("videoconvert").build()?;
        let bin = gst::Bin::new();
        bin.add_many([&convert, sink.upcast_ref()])?;
        convert.link(&sink)?;
        let pad = convert.static_pad("sink");
        let pad = pad.ok_or_else(|| glib::bool_error!("videoconvert has no sink pad"))?;
        bin.add_pad(&gst::GhostPad::with_target(&pad)?)?;
        Ok(bin.upcast())
    }
}
