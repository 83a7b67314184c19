// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pads and pad templates that elements have in common.

use gst::prelude::*;
use gst::subclass::prelude::*;

fn always(name: &str, direction: gst::PadDirection, caps: &gst::Caps) -> Option<gst::PadTemplate> {
    gst::PadTemplate::new(name, direction, gst::PadPresence::Always, caps).ok()
}

/// Templates of an element with the pads `sink` and `src`, which are always there.
pub(crate) fn templates(sink: &gst::Caps, src: &gst::Caps) -> Vec<gst::PadTemplate> {
    let sink = always("sink", gst::PadDirection::Sink, sink);
    sink.into_iter().chain(source_template(src)).collect()
}

/// Template of an element with the pad `src` only, which is always there.
pub(crate) fn source_template(caps: &gst::Caps) -> Vec<gst::PadTemplate> {
    always("src", gst::PadDirection::Src, caps).into_iter().collect()
}

/// What an element does with the buffers and events of its sink pad.
pub(crate) trait SinkPad: ElementImpl {
    /// Takes a buffer.
    fn chain(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError>;

    /// Takes an event.
    fn sink_event(&self, pad: &gst::Pad, event: gst::Event) -> bool;
}

/// The pads of an element with one sink pad and one source pad.
#[derive(Debug)]
pub(crate) struct Pads {
    pub sink: gst::Pad,
    pub src: gst::Pad,
}

impl Pads {
    /// Makes the pads from the class's templates; a panic in a pad function becomes an error message.
    pub fn new<T: SinkPad>(class: &gst::glib::Class<gst::Element>) -> Self
    where
        T::Type: IsA<gst::Element>,
    {
        let template = |name| class.pad_template(name).expect("the class declares it");
        let sink = gst::Pad::builder_from_template(&template("sink"))
            .chain_function(|_, parent, buffer| {
                T::catch_panic_pad_function(
                    parent,
                    || Err(gst::FlowError::Error),
                    |this| this.chain(buffer),
                )
            })
            .event_function(|pad, parent, event| {
                T::catch_panic_pad_function(parent, || false, |this| this.sink_event(pad, event))
            })
            .build();
        Self { sink, src: gst::Pad::builder_from_template(&template("src")).build() }
    }

    /// Adds the pads to their element, which has none yet.
    pub fn add_to(&self, element: &impl IsA<gst::Element>) {
        for pad in [&self.sink, &self.src] {
            // It fails only if the element has a pad of that name.
            let _ = element.add_pad(pad);
        }
    }
}

/// Events that wait for the caps of the source pad, which are known with the first frame.
///
/// GStreamer asks for the order stream-start, caps, segment, all others
/// (GStreamer design documents, "Events").
#[derive(Debug, Default)]
pub(crate) struct HeldEvents {
    events: Vec<gst::Event>,
    caps_sent: bool,
}

impl HeldEvents {
    /// Holds a serialized event back while there are no caps; returns one that can be sent.
    pub fn hold(&mut self, event: gst::Event) -> Option<gst::Event> {
        let waits = !self.caps_sent
            && event.is_serialized()
            && !matches!(event.type_(), gst::EventType::StreamStart | gst::EventType::Eos);
        if !waits {
            return Some(event);
        }
        // A later sticky event replaces an earlier one of its type, as on a pad.
        self.events.retain(|held| !event.is_sticky() || held.type_() != event.type_());
        self.events.push(event);
        None
    }

    /// The held events, in the order in which they are sent after the caps.
    pub fn release(&mut self) -> Vec<gst::Event> {
        self.caps_sent = true;
        let mut events = std::mem::take(&mut self.events);
        events.sort_by_key(|event| event.type_() != gst::EventType::Segment);
        events
    }

    /// Whether events are held back.
    pub fn wait_for_caps(&self) -> bool {
        !self.caps_sent
    }

    /// Forgets the segment, as a flush does.
    pub fn flush(&mut self) {
        self.events.retain(|event| event.type_() != gst::EventType::Segment);
    }
}
