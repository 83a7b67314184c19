// SPDX-License-Identifier: MIT OR Apache-2.0
//! Hostile input: nothing panics, and every image that is made is complete.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::jpeg::{Prepared, Unusable, check, prepare};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use proptest::prelude::*;
use std::sync::LazyLock;

/// A picture of shapes with some noise.
fn image(size: (u16, u16), change: impl FnOnce(&mut Encoder<&mut Vec<u8>>)) -> Vec<u8> {
    let mut noise = 1_u32;
    let mut sample = |value: u32| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (value + (noise >> 28)).min(255) as u8
    };
    let mut pixels = Vec::new();
    for y in 0..u32::from(size.1) {
        for x in 0..u32::from(size.0) {
            pixels.extend([sample(x * 7 % 240), sample(y * 5 % 240), sample((x + y) * 3 % 240)]);
        }
    }
    let mut out = Vec::new();
    let mut encoder = Encoder::new(&mut out, 80);
    change(&mut encoder);
    encoder.encode(&pixels, size.0, size.1, ColorType::Rgb).unwrap();
    out
}

/// One image for each path through the code.
static IMAGES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let size = (37, 27);
    vec![
        image(size, |e| e.set_sampling_factor(SamplingFactor::F_2_2)),
        image(size, |e| {
            e.set_sampling_factor(SamplingFactor::F_2_1);
            // With restart intervals jpeg-encoder 0.7.1 panics.
            e.set_optimized_huffman_tables(true);
        }),
        image(size, |e| e.set_sampling_factor(SamplingFactor::F_1_1)),
        image(size, |e| {
            e.set_sampling_factor(SamplingFactor::F_1_2);
            e.set_restart_interval(3);
        }),
        image(size, |e| e.set_sampling_factor(SamplingFactor::F_4_1)),
        image(size, |e| {
            e.set_sampling_factor(SamplingFactor::F_2_2);
            e.set_progressive(true);
            e.set_optimized_huffman_tables(true);
        }),
    ]
});

/// Checks that an image is either prepared to a complete one, or refused with a reason.
fn check_prepared(bytes: &[u8]) {
    match prepare(bytes, None) {
        Ok(Prepared::AsIs(image)) => assert!(bytes.starts_with(image.bytes())),
        Ok(made) => assert_eq!(check(made.image().bytes()), Ok(made.image())),
        Err(unusable) => assert!(!unusable.kind().is_empty()),
    }
    let _ = prepare(bytes, Some((16, 8)));
}

#[test]
fn every_kind_of_image_is_prepared() {
    for (index, bytes) in IMAGES.iter().enumerate() {
        let prepared = prepare(bytes, None).unwrap_or_else(|why| panic!("image {index}: {why}"));
        assert_eq!(prepared.reason().is_none(), index == 0, "image {index}");
        check_prepared(bytes);
    }
}

#[test]
fn a_cut_image_is_damaged_wherever_it_is_cut() {
    for (index, bytes) in IMAGES.iter().enumerate() {
        // Without the last bytes all blocks may still be present.
        for length in 0..bytes.len() - 8 {
            let cut = prepare(&bytes[..length], None);
            let damaged = matches!(cut, Err(Unusable::Damaged(_)));
            // A progressive image is complete after each scan, with fewer details.
            assert!(damaged || index == 5, "image {index} cut at {length}: {cut:?}");
        }
    }
}

#[test]
fn twelve_bits_become_eight() {
    let eight = &IMAGES[0];
    let mut twelve = vec![0xff, 0xd8];
    for segment in crate::jpeg::Segments::new(eight).map(Result::unwrap) {
        let mut body = segment.body.to_vec();
        let mut code = segment.marker;
        match code {
            // Tables of 16 times the values, for samples of 16 times the values.
            0xdb => {
                body = body
                    .chunks(65)
                    .flat_map(|table| {
                        let values = table[1..].iter().map(|value| u16::from(*value) * 16);
                        let values = values.flat_map(u16::to_be_bytes);
                        std::iter::once(0x10 | table[0]).chain(values).collect::<Vec<u8>>()
                    })
                    .collect();
            }
            0xc0 => {
                code = 0xc1;
                body[0] = 12;
            }
            _ => {}
        }
        twelve.extend([0xff, code]);
        twelve.extend(u16::try_from(body.len() + 2).unwrap().to_be_bytes());
        twelve.extend(body);
        if segment.marker == 0xda {
            twelve.extend(&eight[segment.end..]);
        }
    }
    let made = recode(&twelve).unwrap();
    assert_eq!(made.preserved, Preserved::EightBits);
    let header = Header::parse(&made.jpeg).unwrap();
    let planes = decode(&made.jpeg, &header).unwrap();
    assert_eq!(planes, decode(eight, &Header::parse(eight).unwrap()).unwrap());
}

proptest! {
    #[test]
    fn changed_images_are_prepared_without_a_panic(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = which.get(&IMAGES).clone();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        check_prepared(&bytes);
    }

    #[test]
    fn flipped_bits_are_prepared_without_a_panic(
        which in any::<prop::sample::Index>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8_u32), 1..20),
    ) {
        let mut bytes = which.get(&IMAGES).clone();
        for (at, bit) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        check_prepared(&bytes);
    }

    #[test]
    fn any_scan_is_prepared_without_a_panic(
        which in any::<prop::sample::Index>(),
        scan in prop::collection::vec(any::<u8>(), 0..2000),
    ) {
        let image = which.get(&IMAGES);
        let header = Header::parse(image).unwrap();
        check_prepared(&[&image[..header.scan_data], &scan, &[0xff, 0xd9]].concat());
    }
}
