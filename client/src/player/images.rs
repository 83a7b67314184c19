// SPDX-License-Identifier: MIT OR Apache-2.0
//! Changes JPEG images on their way to the decoder, where GStreamer 1.22 would not show them correctly.

use super::Borders;
use gst::prelude::*;
use gstmjpegfile::jpeg::Segments;
use gstmjpegfile::rtpjpegprep::for_jpegdec;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// RTP/JPEG counts sizes in blocks of this many pixels (RFC 2435 section 3.1.5).
const BLOCK: u16 = 8;

/// The marker of a baseline image's frame header (T.81 table B.1).
const SOF0: u8 = 0xc0;

/// Width and height in pixels.
type Size = (u16, u16);

/// Watches an element of the pipeline, if it is one of those whose images are changed.
pub(super) fn watch(element: &gst::Element, borders: &Borders) {
    match element.factory().map(|factory| factory.name()).as_deref() {
        Some("rtpjpegdepay") => restore_size(element, borders),
        Some("jpegdec") => convert_for_decoder(element, borders),
        _ => {}
    }
}

/// Converts the images that jpegdec shows wrongly, such as CMYK.
fn convert_for_decoder(decoder: &gst::Element, borders: &Borders) {
    let Some(sink) = decoder.static_pad("sink") else { return };
    borders.on_pad(&sink, gst::PadProbeType::BUFFER, "decoder-images", |info| {
        if let Some(converted) = info.buffer().and_then(for_jpegdec) {
            info.data = Some(gst::PadProbeData::Buffer(converted));
        }
    });
}

/// Gives received images the size that the SDP states: RTP/JPEG rounds it up to whole blocks. They have
/// the same blocks, so only their frame headers change.
fn restore_size(depayloader: &gst::Element, borders: &Borders) {
    let (Some(sink), Some(src)) = (depayloader.static_pad("sink"), depayloader.static_pad("src"))
    else {
        return;
    };
    let events = gst::PadProbeType::EVENT_DOWNSTREAM;
    // The stated width in the upper half, the height in the lower one; 0 if it is not stated.
    let stated = Arc::new(AtomicU32::new(0));
    let store = stated.clone();
    borders.on_pad(&sink, events, "stated-size", move |info| {
        if let Some(gst::EventView::Caps(caps)) = info.event().map(|event| event.view()) {
            let size = caps.caps().structure(0).and_then(stated_size);
            let (width, height) = size.unwrap_or_default();
            store.store(u32::from(width) << 16 | u32::from(height), Ordering::Relaxed);
        }
    });
    borders.on_pad(&src, events | gst::PadProbeType::BUFFER, "true-size", move |info| {
        let stated = stated.load(Ordering::Relaxed).to_be_bytes();
        let [w1, w0, h1, h0] = stated;
        let size = (u16::from_be_bytes([w1, w0]), u16::from_be_bytes([h1, h0]));
        match &mut info.data {
            Some(gst::PadProbeData::Event(event)) => {
                if let Some(changed) = with_size(event, size) {
                    *event = changed;
                }
            }
            Some(gst::PadProbeData::Buffer(image)) => {
                // `None`: it has another size, or none is stated.
                let _ = set_size(image, size);
            }
            _ => {}
        }
    });
}

/// The size that an SDP states: `a=x-dimensions:W,H`, or `a=framesize:PT W-H` of 3GPP TS 26.234.
fn stated_size(caps: &gst::StructureRef) -> Option<Size> {
    let text = |name| caps.get::<&str>(name).ok();
    let size = text("x-dimensions").or(text("a-framesize"))?;
    let (width, height) = size.split_whitespace().last()?.split_once([',', '-'])?;
    Some((width.parse().ok()?, height.parse().ok()?))
}

/// Whether RTP/JPEG rounds the size `stated` to `received`, and changes it.
fn is_rounded(stated: Size, received: Size) -> bool {
    let rounded = |side: u16| side.checked_next_multiple_of(BLOCK).filter(|_| side > 0);
    stated != received
        && rounded(stated.0) == Some(received.0)
        && rounded(stated.1) == Some(received.1)
}

/// A caps event with the size `stated`, if the event has it rounded.
fn with_size(event: &gst::Event, stated: Size) -> Option<gst::Event> {
    let gst::EventView::Caps(caps) = event.view() else { return None };
    let mut caps = caps.caps_owned();
    let structure = caps.structure(0)?;
    let side = |name| u16::try_from(structure.get::<i32>(name).ok()?).ok();
    if !is_rounded(stated, (side("width")?, side("height")?)) {
        return None;
    }
    let sized = caps.make_mut();
    sized.set("width", i32::from(stated.0));
    sized.set("height", i32::from(stated.1));
    Some(gst::event::Caps::builder(&caps).seqnum(event.seqnum()).build())
}

/// Writes the size `stated` into the frame header of an image that has it rounded.
fn set_size(image: &mut gst::Buffer, stated: Size) -> Option<()> {
    let offset = {
        let map = image.map_readable().ok()?;
        let mut segments = Segments::new(&map).map_while(Result::ok);
        let frame = segments.find(|segment| segment.marker == SOF0)?;
        let &[_, h1, h0, w1, w0, ..] = frame.body else { return None };
        let received = (u16::from_be_bytes([w1, w0]), u16::from_be_bytes([h1, h0]));
        // After the marker, the length and the precision.
        is_rounded(stated, received).then_some(frame.offset + 5)?
    };
    let mut map = image.make_mut().map_writable().ok()?;
    let field = map.get_mut(offset..offset + 4)?;
    let [height, width] = [stated.1, stated.0].map(u16::to_be_bytes);
    field.copy_from_slice(&[height, width].concat());
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_restored_only_if_rtp_rounds_it_to_the_received_one() {
        let rows = [
            ("426x240", (426, 240), (432, 240), true),
            ("480x270", (480, 270), (480, 272), true),
            ("both", (1, 2039), (8, 2040), true),
            ("the same", (432, 240), (432, 240), false),
            ("another size", (426, 240), (440, 240), false),
            ("larger", (440, 240), (432, 240), false),
            ("none", (0, 0), (0, 0), false),
            ("no width", (0, 270), (0, 272), false),
            ("over the limit", (65_535, 240), (8, 240), false),
        ];
        for (name, stated, received, want) in rows {
            assert_eq!(is_rounded(stated, received), want, "{name}");
        }
    }

    #[test]
    fn the_size_is_read_from_both_attributes_of_an_sdp() -> Result<(), glib::BoolError> {
        gst::init().map_err(|_| glib::bool_error!("no GStreamer"))?;
        let rows = [
            (Some("426,240"), None, Some((426, 240))),
            (None, Some("26 426-240"), Some((426, 240))),
            (None, Some("426-240"), Some((426, 240))),
            (Some("1,2"), Some("26 3-4"), Some((1, 2))),
            (Some("70000,240"), None, None),
            (Some("-1,240"), None, None),
            (None, None, None),
        ];
        for (dimensions, framesize, want) in rows {
            let mut caps = gst::Structure::new_empty("application/x-rtp");
            for (name, value) in [("x-dimensions", dimensions), ("a-framesize", framesize)] {
                if let Some(value) = value {
                    caps.set(name, value);
                }
            }
            assert_eq!(stated_size(&caps), want, "{dimensions:?} {framesize:?}");
        }
        Ok(())
    }
}
