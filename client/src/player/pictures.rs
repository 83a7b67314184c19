// SPDX-License-Identifier: MIT OR Apache-2.0
//! Decoded pictures for front ends that draw them.

use super::{Borders, lock};
use gst_video::prelude::*;
use gstmjpegfile::movie_position;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// A decoded picture.
pub struct Picture {
    frame: gst_video::VideoFrame<gst_video::video_frame::Readable>,
    /// Its position in the movie, if the stream states it.
    pub position: Option<gst::ClockTime>,
    /// Pictures per second, if the stream states it.
    pub frame_rate: Option<f64>,
    /// Time from the arrival of its frame to its rendering; zero if the source is not live.
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
    /// The file cannot be created.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// The image cannot be written.
    #[error(transparent)]
    Png(#[from] png::EncodingError),
}

impl Picture {
    fn from_sample(sample: &gst::Sample, now: Option<gst::ClockTime>) -> Option<Self> {
        let info = gst_video::VideoInfo::from_caps(sample.caps()?).ok()?;
        let buffer = sample.buffer_owned()?;
        let segment = sample.segment().and_then(|it| it.downcast_ref::<gst::ClockTime>());
        let by_time = segment.and_then(|segment| segment.to_stream_time(buffer.pts()));
        let position = movie_position::of(&buffer).or(by_time);
        let arrival = segment.and_then(|segment| segment.to_running_time(buffer.pts()));
        let playout_delay = now.zip(arrival).map(|(now, arrival)| now.saturating_sub(arrival));
        let frame_rate = fraction(info.fps()).filter(|rate| *rate > 0.0);
        let frame = gst_video::VideoFrame::from_buffer_readable(buffer, &info).ok()?;
        let playout_delay = playout_delay.unwrap_or_default();
        Some(Self { frame, position, frame_rate, playout_delay })
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        (self.frame.width(), self.frame.height())
    }

    /// Its rows from the top, with four bytes per pixel: red, green, blue, and 255.
    pub fn rows(&self) -> impl Iterator<Item = &[u8]> {
        packed_rows(&self.frame, self.frame.plane_data(0).unwrap_or_default(), 4)
    }

    /// Writes it to a PNG file.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), SaveError> {
        let (width, height) = self.size();
        let rgb: Vec<u8> = self
            .rows()
            .flat_map(|row| row.as_chunks::<4>().0)
            .flat_map(|[red, green, blue, _]| [*red, *green, *blue])
            .collect();
        save_rgb(path, width, height, &rgb)
    }
}

/// The rows of a frame with one plane, from the top, without the padding after each.
pub(crate) fn packed_rows<'a, F: VideoFrameExt>(
    frame: &F,
    plane: &'a [u8],
    bytes_per_pixel: usize,
) -> impl Iterator<Item = &'a [u8]> + use<'a, F> {
    let row = frame.width() as usize * bytes_per_pixel;
    let stride = frame.plane_stride().first().copied().unwrap_or(0);
    let stride = usize::try_from(stride).unwrap_or(0).max(row).max(1);
    let rows = plane.chunks(stride).take(frame.height() as usize);
    rows.filter_map(move |line| line.get(..row))
}

/// Writes an RGB image to a PNG file.
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

/// Passes the latest picture from the streaming thread to the front end's thread. A picture that has
/// not been read when the next one arrives is skipped.
#[derive(Debug, Default)]
pub struct LatestPicture {
    picture: Mutex<Option<Arc<Picture>>>,
    /// Number of pictures that have arrived.
    count: AtomicU64,
}

impl LatestPicture {
    /// The latest picture and its sequence number, from 1.
    pub fn get(&self) -> Option<(u64, Arc<Picture>)> {
        let latest = lock(&self.picture);
        latest.clone().map(|picture| (self.count.load(Ordering::Relaxed), picture))
    }

    fn set(&self, picture: Picture) {
        let picture = Some(Arc::new(picture));
        let previous = {
            let mut latest = lock(&self.picture);
            self.count.fetch_add(1, Ordering::Relaxed);
            std::mem::replace(&mut *latest, picture)
        };
        // Its memory is freed outside the lock.
        drop(previous);
    }

    /// Removes the picture, before another source is opened.
    pub(super) fn clear(&self) {
        let previous = lock(&self.picture).take();
        drop(previous);
    }

    /// Makes a sink that stores each picture in `latest` when the picture is due, then calls `wake`.
    pub(super) fn sink(
        latest: &Arc<Self>,
        borders: &Borders,
        wake: Arc<dyn Fn() + Send + Sync>,
    ) -> Result<gst::Element, glib::BoolError> {
        let caps = gst_video::VideoCapsBuilder::new().format(gst_video::VideoFormat::Rgba).build();
        // Both callbacks share one border: after a panic in one neither is called again.
        let border = Arc::new(borders.border("pictures"));
        let store = |latest: Arc<Self>, wake: Arc<dyn Fn() + Send + Sync>| {
            let (borders, border) = (borders.clone(), border.clone());
            move |sample: gst::Sample, now: Option<gst::ClockTime>| {
                borders.run(&border, || {
                    if let Some(picture) = Picture::from_sample(&sample, now) {
                        latest.set(picture);
                        wake();
                    }
                });
                Ok(gst::FlowSuccess::Ok)
            }
        };
        let on_preroll = store(latest.clone(), wake.clone());
        let on_sample = store(latest.clone(), wake);
        let callbacks = gst_app::AppSinkCallbacks::builder()
            .new_preroll(move |sink| {
                on_preroll(sink.pull_preroll().map_err(|_| gst::FlowError::Eos)?, None)
            })
            .new_sample(move |sink| {
                let now = sink.current_running_time();
                on_sample(sink.pull_sample().map_err(|_| gst::FlowError::Eos)?, now)
            })
            .build();
        let sink = gst_app::AppSink::builder().caps(&caps).sync(true).callbacks(callbacks).build();
        // Otherwise the sink would keep the last sample in memory.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_of_errors_states_the_cause_once() {
        let error = save_rgb(Path::new("/no/such/folder/picture.png"), 1, 1, &[0; 3]);
        let error = anyhow::Error::from(error.expect_err("there is no such folder"));
        assert_eq!(format!("{error:#}"), "No such file or directory (os error 2)");
    }
}
