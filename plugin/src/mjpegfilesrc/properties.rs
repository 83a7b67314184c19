// SPDX-License-Identifier: MIT OR Apache-2.0
//! The element's properties, and the settings among them.

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
            .blurb("Start over at the end of the movie, with timestamps that go on rising")
            .default_value(false)
            .mutable_ready()
            .build(),
        glib::ParamSpecEnum::builder_with_default("bad-frames", BadFrames::Skip)
            .nick("Bad frames")
            .blurb("What to do at a record that holds no frame")
            .mutable_ready()
            .build(),
        glib::ParamSpecBoolean::builder("apply-scale")
            .nick("Apply scale")
            .blurb("In trick mode go at the rate here: the segment's rate is then 1, its applied rate what was asked for, as RTSP's Scale")
            .default_value(false)
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt64::builder("frames")
            .nick("Frames")
            .blurb("Frames found so far; all of the movie, once it is indexed")
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

/// The property `framerate`, of whoever reads movies.
pub(crate) fn framerate_spec() -> glib::ParamSpec {
    gst::ParamSpecFraction::builder("framerate")
        .nick("Frame rate")
        .blurb("Frames a second; the file does not tell")
        .minimum(gst::Fraction::new(1, i32::MAX))
        .maximum(gst::Fraction::new(i32::MAX, 1))
        .default_value(gst::Fraction::new(20, 1))
        .mutable_ready()
        .build()
}

/// The frame rate of a property's value, if it is one.
pub(crate) fn framerate_of(value: &glib::Value) -> Option<FrameRate> {
    let fraction = value.get::<gst::Fraction>().ok()?;
    let part = |part: i32| u32::try_from(part).ok();
    FrameRate::new(part(fraction.numer())?, part(fraction.denom())?)
}

/// A frame rate as GStreamer has it.
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
            "apply-scale" => self.apply_scale = value.get().unwrap_or_default(),
            _ => {}
        }
    }

    /// A setting's value; `None` for what is no setting.
    pub fn get(&self, name: &str) -> Option<glib::Value> {
        Some(match name {
            "location" => self.location.to_value(),
            "framerate" => fraction(self.framerate).to_value(),
            "loop" => self.looping.to_value(),
            "bad-frames" => self.bad_frames.to_value(),
            "apply-scale" => self.apply_scale.to_value(),
            _ => return None,
        })
    }
}
