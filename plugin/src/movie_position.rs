// SPDX-License-Identifier: MIT OR Apache-2.0
//! The position in the movie of a frame that came from a network.
//!
//! Timestamps of received buffers say when a frame is due. At another speed than 1, after a pause, or
//! after losses, they do not say where in the movie the frame is. An element that learns it from
//! the packets attaches it to the buffer, and decoders and converters pass it on (`GstReferenceTimestampMeta`).

use std::sync::LazyLock;

/// The time is a normal play time (RFC 2326 section 3.6).
static REFERENCE: LazyLock<gst::Caps> =
    LazyLock::new(|| gst::Caps::new_empty_simple("timestamp/x-npt"));

/// Attaches the position of the frame in `buffer`.
pub fn set(buffer: &mut gst::BufferRef, position: gst::ClockTime) {
    gst::ReferenceTimestampMeta::add(buffer, &REFERENCE, position, gst::ClockTime::NONE);
}

/// The position of the frame in `buffer`, if one is attached.
pub fn of(buffer: &gst::BufferRef) -> Option<gst::ClockTime> {
    let metas = buffer.iter_meta::<gst::ReferenceTimestampMeta>();
    metas.into_iter().find(|meta| meta.reference() == &**REFERENCE).map(|meta| meta.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_found_again() {
        gst::init().unwrap();
        let mut buffer = gst::Buffer::new();
        assert_eq!(of(&buffer), None);
        let buffer = buffer.get_mut().unwrap();
        let other = gst::Caps::new_empty_simple("timestamp/x-ntp");
        gst::ReferenceTimestampMeta::add(buffer, &other, gst::ClockTime::SECOND, None);
        assert_eq!(of(buffer), None);
        set(buffer, gst::ClockTime::from_mseconds(250));
        assert_eq!(of(buffer), Some(gst::ClockTime::from_mseconds(250)));
    }
}
