// SPDX-License-Identifier: MIT OR Apache-2.0
//! Order, sequence numbers and flushes of the events that each element sends.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use gst::prelude::*;
use gst_check::Harness;

fn init() {
    gst::init().unwrap();
    gstmjpegfile::register().unwrap();
    // A misordered event is a GLib warning, which ends the test.
    glib::log_set_always_fatal(glib::LogLevels::LEVEL_WARNING | glib::LogLevels::LEVEL_CRITICAL);
}

/// A grey image of 32x16 pixels.
fn image() -> Vec<u8> {
    let mut jpeg = Vec::new();
    let encoder = jpeg_encoder::Encoder::new(&mut jpeg, 90);
    encoder.encode(&[128; 32 * 16 * 3], 32, 16, jpeg_encoder::ColorType::Rgb).unwrap();
    jpeg
}

/// The image as a record of a movie.
fn record() -> Vec<u8> {
    let image = image();
    [format!("{:05}", image.len()).as_bytes(), &image].concat()
}

/// The image as the packet of a lab server.
fn packet(sequence_number: u8) -> Vec<u8> {
    let header = [0x80, 0x9a, 0, sequence_number, 0, 0, 0, 0, 0, 0, 0, 1];
    [&header[..], &image()].concat()
}

/// An element with a sink pad, its caps and segment, and a buffer with a whole frame.
struct Row {
    factory: &'static str,
    sink_caps: &'static str,
    segment: gst::Segment,
    frame: fn(u8) -> Vec<u8>,
    /// The element's segment is the one that it receives.
    keeps_segment: bool,
}

fn rows() -> Vec<Row> {
    let time = || gst::FormattedSegment::<gst::ClockTime>::new().upcast();
    let bytes = || gst::FormattedSegment::<gst::format::Bytes>::new().upcast();
    let jpeg = "image/jpeg, width=32, height=16, framerate=20/1";
    let rtp = "application/x-rtp, media=video, clock-rate=90000, encoding-name=X-LAB-JPEG";
    let row = |factory, sink_caps, segment, frame, keeps_segment| Row {
        factory,
        sink_caps,
        segment,
        frame,
        keeps_segment,
    };
    vec![
        row("mjpegfileparse", "application/x-mjpegfile", bytes(), |_| record(), false),
        row("mjpegfilemux", jpeg, time(), |_| image(), false),
        row("rtpjpegprep", jpeg, time(), |_| image(), true),
        row("rtplabpay", jpeg, time(), |_| image(), true),
        row("rtplabdepay", rtp, time(), packet, true),
    ]
}

fn buffer(bytes: Vec<u8>, frame: u64) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_slice(bytes);
    let offset = frame * buffer.size() as u64;
    let writable = buffer.get_mut().unwrap();
    writable.set_pts(gst::ClockTime::from_mseconds(50 * frame));
    writable.set_offset(offset);
    buffer
}

fn tag() -> gst::Event {
    let mut tags = gst::TagList::new();
    tags.get_mut().unwrap().add::<gst::tags::Title>(&"a movie", gst::TagMergeMode::Append);
    gst::event::Tag::new(tags)
}

/// The events that the element has sent since the last call, by name, with their sequence numbers.
fn sent(harness: &mut Harness) -> Vec<(String, gst::Seqnum)> {
    let events = std::iter::from_fn(|| harness.try_pull_event());
    events.map(|event| (event.type_().name().to_string(), event.seqnum())).collect()
}

fn names(events: &[(String, gst::Seqnum)]) -> Vec<&str> {
    events.iter().map(|(name, _)| name.as_str()).collect()
}

fn seqnum_of(events: &[(String, gst::Seqnum)], name: &str) -> Option<gst::Seqnum> {
    events.iter().find(|(sent, _)| sent == name).map(|(_, seqnum)| *seqnum)
}

/// A harness that has sent stream-start, a tag, caps and a segment, in a legal order.
fn started(row: &Row, seqnum: gst::Seqnum) -> Harness {
    let mut harness = Harness::new(row.factory);
    harness.play();
    assert!(harness.push_event(gst::event::StreamStart::new("stream")));
    let caps = row.sink_caps.parse().unwrap();
    assert!(harness.push_event(gst::event::Caps::new(&caps)), "{}", row.factory);
    let segment = gst::event::Segment::builder(&row.segment).seqnum(seqnum).build();
    assert!(harness.push_event(segment));
    assert!(harness.push_event(tag()));
    harness
}

#[test]
fn events_are_sent_in_order_before_the_first_buffer() {
    init();
    for row in rows() {
        let seqnum = gst::Seqnum::next();
        let mut harness = started(&row, seqnum);
        for frame in 0..2 {
            let buffer = buffer((row.frame)(frame + 1), u64::from(frame));
            assert_eq!(harness.push(buffer), Ok(gst::FlowSuccess::Ok), "{}", row.factory);
        }
        let eos = gst::Seqnum::next();
        assert!(harness.push_event(gst::event::Eos::builder().seqnum(eos).build()));
        let mut events = sent(&mut harness);
        // The harness sends a stream-start before the test's own.
        events.dedup_by(|later, earlier| later.0 == "stream-start" && earlier.0 == later.0);
        // mjpegfileparse adds its own tags to the ones received.
        events.dedup_by(|later, earlier| later.0 == "tag" && earlier.0 == later.0);
        assert_eq!(
            names(&events),
            ["stream-start", "caps", "segment", "tag", "eos"],
            "{}",
            row.factory
        );
        assert_eq!(seqnum_of(&events, "segment"), Some(seqnum), "{}", row.factory);
        assert_eq!(seqnum_of(&events, "eos"), Some(eos), "{}", row.factory);
        assert_eq!(harness.buffers_received(), 2, "{}", row.factory);
        let pad = harness.sinkpad().expect("a pad after the element");
        let segment = pad.sticky_event::<gst::event::Segment>(0).expect("a segment");
        let segment = segment.segment();
        if row.keeps_segment {
            assert_eq!(segment, &row.segment, "{}", row.factory);
        } else {
            assert_ne!(segment.format(), row.segment.format(), "{}", row.factory);
        }
    }
}

#[test]
fn a_flush_is_passed_on_and_the_next_segment_is_of_the_seek() {
    init();
    for row in rows() {
        let mut harness = started(&row, gst::Seqnum::next());
        assert!(harness.push(buffer((row.frame)(1), 0)).is_ok());
        sent(&mut harness);
        let seek = gst::Seqnum::next();
        assert!(harness.push_event(gst::event::FlushStart::builder().seqnum(seek).build()));
        assert!(harness.push_event(gst::event::FlushStop::builder(true).seqnum(seek).build()));
        let segment = gst::event::Segment::builder(&row.segment).seqnum(seek).build();
        assert!(harness.push_event(segment));
        assert!(harness.push(buffer((row.frame)(2), 1)).is_ok(), "{}", row.factory);
        let mut events = sent(&mut harness);
        // Caps may be repeated after a flush.
        events.retain(|(name, _)| name != "caps" && name != "tag");
        let want = ["flush-start", "flush-stop", "segment"].map(|name| (name.to_owned(), seek));
        assert_eq!(events, want, "{}", row.factory);
    }
}

#[test]
fn eos_before_the_first_frame_is_passed_on() {
    init();
    for row in rows() {
        // mjpegfileparse reports an error: a stream without a frame is not a movie.
        if row.factory == "mjpegfileparse" {
            continue;
        }
        let mut harness = started(&row, gst::Seqnum::next());
        let eos = gst::Seqnum::next();
        assert!(harness.push_event(gst::event::Eos::builder().seqnum(eos).build()));
        let events = sent(&mut harness);
        assert_eq!(events.last(), Some(&("eos".to_owned(), eos)), "{}", row.factory);
    }
}

#[test]
fn mjpegfilesrc_gives_a_seeks_sequence_number_to_all_that_it_causes() {
    init();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("movie.mjpeg");
    std::fs::write(&path, record().repeat(10)).unwrap();
    let element = gst::ElementFactory::make("mjpegfilesrc").property("location", &path);
    let mut harness = Harness::with_element(&element.build().unwrap(), None, Some("src"));
    harness.play();
    assert!(harness.pull().is_ok());
    let mut events = sent(&mut harness);
    events.truncate(3);
    assert_eq!(names(&events), ["stream-start", "caps", "segment"]);
    let seek = gst::Seqnum::next();
    let to_frame_8 = gst::event::Seek::builder(
        1.0,
        gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE,
        gst::SeekType::Set,
        gst::ClockTime::from_mseconds(400),
        gst::SeekType::None,
        gst::ClockTime::NONE,
    );
    assert!(harness.push_upstream_event(to_frame_8.seqnum(seek).build()));
    let mut events = Vec::new();
    // The short movie may have ended before the seek. `pull_event` waits for an event, 60 s at most.
    let has_flushed = |events: &[(String, gst::Seqnum)]| {
        events.iter().any(|(name, _)| name == "flush-start")
            && events.last().is_some_and(|(name, _)| name == "eos")
    };
    while !has_flushed(&events) {
        let event = harness.pull_event().expect("an event");
        events.push((event.type_().name().to_string(), event.seqnum()));
    }
    let first = events.iter().position(|(name, _)| name == "flush-start").expect("a flush");
    events.drain(..first);
    events.retain(|(name, _)| name != "caps" && name != "tag");
    let want = ["flush-start", "flush-stop", "segment", "eos"].map(|name| (name.to_owned(), seek));
    assert_eq!(events, want);
}
