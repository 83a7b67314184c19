// SPDX-License-Identifier: MIT OR Apache-2.0
//! Values of the element's properties.

use crate::movie::FrameRate;
use gst::glib;
use std::path::PathBuf;

/// What `mjpegfilesrc` does at a bad record.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstMjpegFileSrcBadFrames")]
#[repr(i32)]
pub enum BadFrames {
    /// Warn on the bus and go on with the next good record.
    #[default]
    #[enum_value(name = "Warn, and go on with the next good record", nick = "skip")]
    Skip,
    /// Stop with an error at the first bad record.
    #[enum_value(name = "Stop with an error at the first bad record", nick = "error")]
    Error,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    pub location: Option<PathBuf>,
    pub framerate: FrameRate,
    pub looping: bool,
    pub bad_frames: BadFrames,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            location: None,
            framerate: FrameRate::DEFAULT,
            looping: false,
            bad_frames: BadFrames::Skip,
        }
    }
}
