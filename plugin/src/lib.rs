// SPDX-License-Identifier: MIT OR Apache-2.0
//! Length-prefixed MJPEG movies in GStreamer: the plugin `mjpegfile` and its format code.
//!
//! [`movie`] and [`jpeg`] know the format and no GStreamer type; [`movie_file`] opens files;
//! the elements are thin layers over them. Programs call [`register`] and need no plugin path.

mod border;
mod frame_time;
pub mod jpeg;
pub mod lab;
pub mod labrtspsrc;
pub mod mjpegfilemux;
pub mod mjpegfileparse;
pub mod mjpegfilesrc;
pub mod movie;
pub mod movie_file;
pub mod movie_position;
mod pads;
mod registration;
pub mod rtp;
pub mod rtpjpegprep;
pub mod rtplabdepay;
pub mod rtplabpay;
mod typefind;

/// Registers the elements in this process, after `gst::init`.
///
/// # Errors
/// If GStreamer refuses.
pub fn register() -> Result<(), gst::glib::BoolError> {
    registration::plugin_register_static()
}
