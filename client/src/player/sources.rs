// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a player plays from: the elements that speak to servers, set up.

use super::rtsp_tap;
use super::statistics::Collector;
use super::{Borders, Options};
use gst::prelude::*;
use std::sync::Arc;

/// What the source speaks.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Standard RTSP.
    Rtsp,
    /// The lab's dialect of it.
    Lab,
    /// None: a file, or what else GStreamer plays.
    #[default]
    None,
}

impl Protocol {
    /// By the scheme of a URI.
    pub fn of(uri: &str) -> Self {
        match uri.split(':').next() {
            Some(gstmjpegfile::labrtspsrc::SCHEME) => Self::Lab,
            Some(scheme) if scheme.starts_with("rtsp") => Self::Rtsp,
            _ => Self::None,
        }
    }

    /// The source tells of each answer by a PROGRESS message.
    pub(super) fn tells_progress(self) -> bool {
        self != Self::None
    }
}

/// Sets up the source element that playbin has made.
pub(super) fn set_up(
    source: &gst::Element,
    options: &Options,
    collector: &Arc<Collector>,
    borders: &Borders,
) {
    let Some(factory) = source.factory() else { return };
    match factory.name().as_str() {
        "rtspsrc" => set_up_rtsp(source, options, collector, borders),
        "labrtspsrc" => {
            source.set_property("latency", options.latency);
            source.set_property("dialect", options.dialect);
            let timeout = u32::try_from(options.timeout.as_millis());
            source.set_property("timeout", timeout.unwrap_or(u32::MAX).max(1));
            Collector::watch_lab(collector, borders, source);
        }
        _ => {}
    }
}

fn set_up_rtsp(
    source: &gst::Element,
    options: &Options,
    collector: &Arc<Collector>,
    borders: &Borders,
) {
    rtsp_tap::attach(source);
    source.set_property("latency", options.latency);
    source.set_property_from_str("protocols", options.transport.protocols());
    // Buffering by watermarks, which "auto" takes for movies, would stop and start.
    source.set_property_from_str("buffer-mode", "slave");
    let (collector, theirs) = (collector.clone(), borders.clone());
    borders.on_signal(source, "new-manager", "rtsp-manager", move |values| {
        let manager = values.get(1)?.get::<gst::Element>().ok()?;
        let (collector, borders) = (collector.clone(), theirs.clone());
        theirs.on_signal(&manager, "new-jitterbuffer", "rtsp-jitterbuffer", move |values| {
            Collector::watch(&collector, &borders, &values.get(1)?.get::<gst::Element>().ok()?);
            None
        });
        None
    });
}
