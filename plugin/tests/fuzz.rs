// SPDX-License-Identifier: MIT OR Apache-2.0
//! Fuzz targets: for any bytes, nothing panics and the asserted properties hold. The tests run each
//! target briefly, `scripts/fuzz` runs them for longer.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use bolero::check;
use gstmjpegfile::jpeg::{Header, check as check_jpeg, encode_within, first_image_end, prepare};
use gstmjpegfile::lab::{Framer, Pause, Reply, Request, explain_reply, explain_request};
use gstmjpegfile::movie::{FrameSplitter, MovieForm, MovieWalker, SplitItem, Step, recognise};
use gstmjpegfile::rtp::{JpegPayloads, LabDepacketizer};
use std::sync::LazyLock;

/// Images whose bytes the targets change, since random bytes are hardly ever an image.
static IMAGES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut images = Vec::new();
    for sampling in [jpeg_encoder::SamplingFactor::R_4_2_0, jpeg_encoder::SamplingFactor::R_4_4_4] {
        for (progressive, optimised) in [(false, false), (false, true), (true, true)] {
            let mut image = Vec::new();
            let mut encoder = jpeg_encoder::Encoder::new(&mut image, 60);
            encoder.set_sampling_factor(sampling);
            encoder.set_progressive(progressive);
            encoder.set_optimized_huffman_tables(optimised);
            let pixels: Vec<u8> = (0..48 * 32 * 3_u32).map(|at| (at * 7 % 251) as u8).collect();
            encoder.encode(&pixels, 48, 32, jpeg_encoder::ColorType::Rgb).unwrap();
            images.push(image);
        }
    }
    images
});

/// A changed image. The first byte of `input` selects the image, each group of three bytes sets one
/// of its bytes, and a single byte after these groups truncates it.
fn changed(input: &[u8]) -> Vec<u8> {
    let Some((which, changes)) = input.split_first() else { return Vec::new() };
    let mut image = IMAGES[usize::from(*which) % IMAGES.len()].clone();
    for change in changes.chunks_exact(3) {
        let at = usize::from(u16::from_be_bytes([change[0], change[1]])) % image.len();
        image[at] = change[2];
    }
    if let [cut] = changes.chunks_exact(3).remainder() {
        image.truncate(image.len() * usize::from(*cut) / 255);
    }
    image
}

#[test]
fn splitter() {
    check!().for_each(|input: &[u8]| {
        let whole = split(input, input.len().max(1));
        assert_eq!(split(input, 1 + input.len() / 3), whole);
        let _ = recognise(
            |offset, buffer| {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let available = input.get(start..start.saturating_add(buffer.len()));
                available.map(|available| buffer.copy_from_slice(available)).is_some()
            },
            None,
        );
    });
}

fn split(input: &[u8], piece: usize) -> Vec<SplitItem> {
    let mut splitter = FrameSplitter::new();
    let mut items = Vec::new();
    for piece in input.chunks(piece) {
        splitter.push(piece);
        items.extend(std::iter::from_fn(|| splitter.next_item()));
    }
    splitter.finish();
    items.extend(std::iter::from_fn(|| splitter.next_item()));
    items
}

#[test]
fn movie_walk() {
    check!().for_each(|input: &[u8]| {
        let image = changed(input);
        // Bytes as they are, an image between two others, and one in a multipart stream.
        let header = b"--b\r\nContent-Type: image/jpeg\r\n\r\n";
        let images = [&IMAGES[0][..], &image, &IMAGES[1]].concat();
        let multipart = [&header[..], &IMAGES[0], header, &image, header, &IMAGES[1]].concat();
        for (movie, least) in [(input, 0), (&images[..], 1), (&multipart[..], 1)] {
            let mut walker = MovieWalker::new(MovieForm::of(movie));
            let (mut frames, mut end) = (0, 0);
            loop {
                match walker.step(movie).unwrap() {
                    Step::Frame { offset, length } => {
                        assert!(offset >= end, "frames do not overlap");
                        end = offset + u64::from(length);
                        frames += 1;
                    }
                    Step::Bad(span) => {
                        assert!(span.offset >= end && span.bytes > 0);
                        end = span.offset + span.bytes;
                    }
                    Step::Searching => {}
                    Step::NeedMore => panic!("a whole movie needs no more"),
                    Step::End => break,
                }
                assert!(end <= movie.len() as u64);
            }
            assert!(frames >= least, "the first image is a frame");
        }
    });
}

#[test]
fn jpeg_walk() {
    check!().for_each(|input: &[u8]| {
        for image in [input, &changed(input)] {
            if let Ok(header) = Header::parse(image) {
                assert!(header.scan_data <= image.len());
                let _ = first_image_end(image, header.scan_data);
            }
            let _ = check_jpeg(image);
        }
    });
}

#[test]
fn recoder() {
    check!().for_each(|input: &[u8]| {
        let image = changed(input);
        if let Ok(prepared) = prepare(&image, None) {
            let sent = prepared.image();
            assert_eq!(check_jpeg(sent.bytes()), Ok(sent), "what is sent passes the check");
            let _ = JpegPayloads::new(&sent, 1400);
        }
        if let Some(smaller) = encode_within(&image, 700) {
            assert!(smaller.jpeg.len() <= 700);
        }
    });
}

#[test]
fn rtp() {
    check!().for_each(|input: &[u8]| {
        let mut depacketizer = LabDepacketizer::default();
        for packet in input.split(|byte| *byte == 0xaa) {
            for frame in depacketizer.push(packet, None).unwrap_or_default() {
                assert!(frame.jpeg.len() <= input.len());
            }
        }
        depacketizer.flush();
    });
}

#[test]
fn lab_messages() {
    check!().for_each(|input: &[u8]| {
        let mut framer = Framer::default();
        for piece in input.chunks(7) {
            if framer.push(piece).is_err() {
                break;
            }
            while let Some(text) = framer.next_request(Pause::None) {
                let _ = explain_request(&text).to_string();
            }
            let mut paused = framer.clone();
            while let Some(text) = paused.next_request(Pause::Short) {
                let _ = Request::parse(&text);
            }
        }
        while let Some(text) = framer.next_request(Pause::Long) {
            let _ = (Request::parse(&text), explain_request(&text).to_string());
        }
        assert!(!framer.has_begun(), "a long pause ends every request");
        let text = String::from_utf8_lossy(input);
        let _ = (Reply::parse(&text), explain_request(&text), explain_reply(&text, None));
    });
}
