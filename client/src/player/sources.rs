// SPDX-License-Identifier: MIT OR Apache-2.0
//! Setup of the source elements, which exchange messages with servers.

use super::rtsp_monitor;
use super::statistics::Collector;
use super::{Borders, Options};
use gst::prelude::*;
use std::sync::Arc;

/// The protocol of a source.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Standard RTSP.
    Rtsp,
    /// The lab's dialect of it.
    Lab,
    /// None of the two: a file, or any other source that GStreamer plays.
    #[default]
    None,
}

impl Protocol {
    /// Determines the protocol from the scheme of a URI.
    pub fn from_uri(uri: &str) -> Self {
        match uri.split(':').next() {
            Some(gstmjpegfile::labrtspsrc::SCHEME) => Self::Lab,
            Some(scheme) if scheme.starts_with("rtsp") => Self::Rtsp,
            _ => Self::None,
        }
    }

    /// Whether the source posts a PROGRESS message at each answer.
    pub(super) fn posts_progress(self) -> bool {
        self != Self::None
    }
}

/// Configures the source element that playbin has made, and watches its packets.
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
            Collector::watch_labrtspsrc(collector, borders, source);
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
    rtsp_monitor::attach(source);
    source.set_property("latency", options.latency);
    source.set_property_from_str("protocols", options.transport.protocols());
    // "auto" buffers movies by watermarks, which would stop and restart playback.
    source.set_property_from_str("buffer-mode", "slave");
    let (collector, signal_borders) = (collector.clone(), borders.clone());
    borders.on_signal(source, "new-manager", "rtsp-manager", move |values| {
        let manager = values.get(1)?.get::<gst::Element>().ok()?;
        let (collector, borders) = (collector.clone(), signal_borders.clone());
        signal_borders.on_signal(
            &manager,
            "new-jitterbuffer",
            "rtsp-jitterbuffer",
            move |values| {
                let jitter_buffer = values.get(1)?.get::<gst::Element>().ok()?;
                Collector::watch_jitter_buffer(&collector, &borders, &jitter_buffer);
                None
            },
        );
        None
    });
}
