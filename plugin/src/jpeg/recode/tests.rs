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

/// The coefficients of what is sent for an image.
fn sent(jpeg: &[u8]) -> Vec<Plane> {
    let prepared = prepare(jpeg, None).unwrap();
    let image = prepared.image().bytes();
    decode(image, &Header::parse(image).unwrap()).unwrap()
}

#[test]
fn legal_forms_and_stray_bytes_change_no_coefficient() {
    let comment = b"\xff\xfe\0\x08\xff\xd9\xff\xd8\xff\xda";
    for (index, image) in IMAGES.iter().enumerate() {
        let header = Header::parse(image).unwrap();
        let segments: Vec<_> = crate::jpeg::Segments::new(image).map(Result::unwrap).collect();
        let end = image.len() - 2;
        let mut forms = Vec::new();
        for segment in &segments {
            for bytes in
                [&b"\xff"[..], b"\xff\xff", b"\0", b"\xff\0", &[9; 608], comment, b"\xff\x01"]
            {
                let (before, after) = image.split_at(segment.offset);
                forms.push([before, bytes, after].concat());
            }
        }
        for bytes in [&comment[..], b"\xff\xdc\0\x04\0\x1b", b"\xff", b"\0\0"] {
            forms.push([&image[..end], bytes, &image[end..]].concat());
        }
        forms.push([&image[..], &image[..]].concat());
        forms.push([&image[..], &[0; 7]].concat());
        for (form, bytes) in forms.iter().enumerate() {
            assert_eq!(sent(bytes), sent(image), "image {index}, form {form}");
            let length = crate::jpeg::image_end(bytes, &Header::parse(bytes).unwrap());
            let trailing = usize::from(form + 1 == forms.len()) * 7;
            let want = if form + 2 == forms.len() { image.len() } else { bytes.len() - trailing };
            assert_eq!(length, Ok(crate::jpeg::ImageEnd::Eoi(want)), "image {index}, form {form}");
            if let Some(clean) = crate::jpeg::without_stray_bytes(bytes) {
                assert_eq!(clean, *image, "image {index}, form {form}");
            }
        }
        assert!(header.stray.is_none());
    }
}

#[test]
fn stray_bytes_before_restart_markers_are_skipped() {
    let restarts = |sampling| {
        image((37, 27), |e| {
            e.set_sampling_factor(sampling);
            e.set_restart_interval(2);
        })
    };
    for sampling in [SamplingFactor::F_1_1, SamplingFactor::F_2_2, SamplingFactor::F_2_1] {
        let image = restarts(sampling);
        let scan = Header::parse(&image).unwrap().scan_data;
        let want = decode(&image, &Header::parse(&image).unwrap()).unwrap();
        // A restart marker of one of the last two intervals is stray, too.
        for stray in
            [&[0][..], &[3; 8], &[3; 29], b"abcdefgh\xff\0\xff\x01\xff\xff", b"12345678\xff\xd7"]
        {
            let mut changed = image[..scan].to_vec();
            let mut markers = 0;
            for at in scan..image.len() {
                if image[at] == 0xff && matches!(image[at + 1], 0xd0..=0xd7) {
                    markers += 1;
                    // RST7 precedes RST0 and RST1.
                    if !stray.ends_with(&[0xd7]) || matches!(image[at + 1], 0xd0 | 0xd1) {
                        changed.extend(stray);
                    }
                }
                changed.push(image[at]);
            }
            assert!(markers >= 2, "{markers}");
            let got = decode(&changed, &Header::parse(&changed).unwrap());
            assert_eq!(got.as_ref(), Ok(&want), "{sampling:?}, {stray:?}");
            if sampling != SamplingFactor::F_1_1 {
                let recoded = recode(&changed).unwrap();
                assert_eq!(recoded, recode(&image).unwrap(), "{sampling:?}, {stray:?}");
            }
            // FF 01 is a marker, which the check does not accept in a scan.
            if !stray.contains(&1) {
                assert_eq!(sent(&image), sent(&changed), "{sampling:?}, {stray:?}");
            }
        }
        // Without the marker, its interval is missing.
        let marker =
            image.windows(2).rposition(|it| it[0] == 0xff && it[1] & 0xf8 == 0xd0).unwrap();
        let mut lost = image.clone();
        lost.drain(marker..marker + 2);
        lost.splice(marker..marker, [5; 20]);
        assert!(decode(&lost, &Header::parse(&lost).unwrap()).is_err(), "{sampling:?}");
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
