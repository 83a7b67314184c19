// SPDX-License-Identifier: MIT OR Apache-2.0
//! Arrival times of RTP packets after a seek.
//!
//! The flush of a seek starts the running time at 0 again, by a new base time of the pipeline. The
//! elements inside rtspsrc 1.22 keep the old one: the pipeline gives the new one to rtspsrc, which is in
//! PLAYING already and does not pass it on. Packets then have arrival times of the old count, and the
//! picture stands still until the new count has reached them: as long as the session has played before,
//! or was paused.

use gst::prelude::*;
use std::sync::OnceLock;

/// Corrects the arrival times of the packets that enter a jitter buffer.
#[derive(Debug)]
pub(super) struct RunningTime {
    jitter_buffer: glib::WeakRef<gst::Element>,
    /// The pipeline that it is in, from the first packet on.
    pipeline: OnceLock<glib::WeakRef<gst::Element>>,
}

impl RunningTime {
    pub fn new(jitter_buffer: &gst::Element) -> Self {
        Self { jitter_buffer: jitter_buffer.downgrade(), pipeline: OnceLock::new() }
    }

    /// Corrects the arrival time of a packet, and the base time of the elements in rtspsrc.
    pub fn correct(&self, packet: &mut gst::Buffer) {
        let Some(jitter_buffer) = self.jitter_buffer.upgrade() else { return };
        let pipeline = self.pipeline.get_or_init(|| outermost(&jitter_buffer).downgrade());
        let Some(pipeline) = pipeline.upgrade() else { return };
        if pipeline.current_state() != gst::State::Playing {
            // The running time stands still until PLAYING: after a flush at 0.
            set_arrival(packet, pipeline.start_time().unwrap_or_default());
            return;
        }
        let base = pipeline.base_time().filter(|base| jitter_buffer.base_time() != Some(*base));
        let Some(base) = base else { return };
        if let Some(source) = source_of(&jitter_buffer) {
            let elements = source.iterate_recurse().into_iter().flatten();
            elements.for_each(|element| element.set_base_time(base));
        }
        let now = pipeline.clock().and_then(|clock| clock.time().checked_sub(base));
        // Interleaved packets have no time, except the first one: the jitter buffer takes its own.
        if packet.dts_or_pts().is_some() {
            set_arrival(packet, now.unwrap_or_default());
        }
    }
}

fn set_arrival(packet: &mut gst::Buffer, time: gst::ClockTime) {
    let packet = packet.make_mut();
    packet.set_pts(time);
    packet.set_dts(time);
}

/// The pipeline that an element is in.
fn outermost(element: &gst::Element) -> gst::Element {
    let mut outer = element.clone();
    while let Some(parent) = outer.parent().and_then(|it| it.downcast().ok()) {
        outer = parent;
    }
    outer
}

/// The rtspsrc that an element is in.
fn source_of(element: &gst::Element) -> Option<gst::Bin> {
    let mut outer: gst::Element = element.clone();
    loop {
        outer = outer.parent()?.downcast().ok()?;
        if outer.factory().is_some_and(|factory| factory.name() == "rtspsrc") {
            return outer.downcast().ok();
        }
    }
}
