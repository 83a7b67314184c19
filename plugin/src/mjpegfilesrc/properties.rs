// SPDX-License-Identifier: MIT OR Apache-2.0
//! The element's properties.

use super::settings::{BadFrames, Settings};
use crate::movie::FrameRate;
use gst::glib;
use gst::prelude::*;

pub(super) fn specs() -> Vec<glib::ParamSpec> {
    vec![
        glib::ParamSpecString::builder("location")
            .nick("File location")
            .blurb("Path of the movie: records of five ASCII digits and one JPEG")
            .mutable_ready()
            .build(),
        framerate_spec(),
        glib::ParamSpecBoolean::builder("loop")
            .nick("Loop")
            .blurb("Start again at the end of the movie, with timestamps that continue to rise")
            .default_value(false)
            .mutable_ready()
            .build(),
        glib::ParamSpecEnum::builder_with_default("bad-frames", BadFrames::Skip)
            .nick("Bad frames")
            .blurb("What to do at a record that holds no frame")
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt64::builder("frames")
            .nick("Frames")
            .blurb("Number of frames found so far; of the whole movie once it is indexed")
            .read_only()
            .build(),
        glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
            .nick("Statistics")
            .blurb(
                "Counters: frames-pushed, bad-records, bytes-skipped, missing-eoi, several-images",
            )
            .read_only()
            .build(),
    ]
}

/// The property `framerate` of the elements that read movies.
pub(crate) fn framerate_spec() -> glib::ParamSpec {
    gst::ParamSpecFraction::builder("framerate")
        .nick("Frame rate")
        .blurb("Frames per second; the movie does not contain it")
        .minimum(gst::Fraction::new(1, i32::MAX))
        .maximum(gst::Fraction::new(i32::MAX, 1))
        .default_value(gst::Fraction::new(20, 1))
        .mutable_ready()
        .build()
}

/// The frame rate in a property's value; `None` if it contains none.
pub(crate) fn framerate_of(value: &glib::Value) -> Option<FrameRate> {
    let fraction = value.get::<gst::Fraction>().ok()?;
    let part = |part: i32| u32::try_from(part).ok();
    FrameRate::new(part(fraction.numer())?, part(fraction.denom())?)
}

/// A frame rate as GStreamer's type.
pub(crate) fn fraction(rate: FrameRate) -> gst::Fraction {
    let part = |part: u32| i32::try_from(part).unwrap_or(i32::MAX);
    gst::Fraction::new(part(rate.numerator()), part(rate.denominator()))
}

impl Settings {
    pub fn set(&mut self, name: &str, value: &glib::Value) {
        match name {
            "location" => self.location = value.get().ok().flatten(),
            "framerate" => {
                self.framerate = framerate_of(value).unwrap_or(self.framerate);
            }
            "loop" => self.looping = value.get().unwrap_or_default(),
            "bad-frames" => self.bad_frames = value.get().unwrap_or_default(),
            _ => {}
        }
    }

    /// The value of a property; `None` for one that is not a setting.
    pub fn get(&self, name: &str) -> Option<glib::Value> {
        Some(match name {
            "location" => self.location.to_value(),
            "framerate" => fraction(self.framerate).to_value(),
            "loop" => self.looping.to_value(),
            "bad-frames" => self.bad_frames.to_value(),
            _ => return None,
        })
    }
}
