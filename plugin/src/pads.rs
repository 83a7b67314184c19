// SPDX-License-Identifier: MIT OR Apache-2.0
//! What elements with one pad in and one pad out have in common.

/// Templates of `sink` and `src`, which are always there.
pub(crate) fn templates(sink: &gst::Caps, src: &gst::Caps) -> Vec<gst::PadTemplate> {
    let always = gst::PadPresence::Always;
    [
        gst::PadTemplate::new("sink", gst::PadDirection::Sink, always, sink),
        gst::PadTemplate::new("src", gst::PadDirection::Src, always, src),
    ]
    .into_iter()
    .flatten()
    .collect()
}
