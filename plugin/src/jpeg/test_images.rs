// SPDX-License-Identifier: MIT OR Apache-2.0
//! Small images made by code; tables of damaged images and of those that RTP/JPEG cannot carry.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic, clippy::too_many_lines)]

use super::*;
use proptest::prelude::*;

/// An image of flat grey blocks, valid in every field that a test does not change.
#[derive(Clone)]
struct Image {
    sof: u8,
    precision: u8,
    size: (u16, u16),
    /// Identifier, sampling factors as in the frame header, quantization table.
    components: Vec<(u8, u8, u8)>,
    quantization: Vec<Vec<u8>>,
    extra: Vec<u8>,
    scan_order: Vec<u8>,
    spectral: [u8; 3],
    restart_interval: u16,
}

impl Image {
    fn good() -> Self {
        Self {
            sof: 0xc0,
            precision: 8,
            size: (33, 17),
            components: vec![(0, 0x22, 0), (1, 0x11, 1), (2, 0x11, 1)],
            quantization: vec![[&[0][..], &[16; 64]].concat(), [&[1][..], &[17; 64]].concat()],
            extra: Vec::new(),
            scan_order: vec![0, 1, 2],
            spectral: [0, 63, 0],
            restart_interval: 0,
        }
    }

    fn with(change: impl FnOnce(&mut Self)) -> Vec<u8> {
        let mut image = Self::good();
        change(&mut image);
        image.bytes()
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = vec![0xff, 0xd8];
        for table in &self.quantization {
            out.extend(segment(0xdb, table));
        }
        out.extend(&self.extra);
        if self.restart_interval > 0 {
            out.extend(segment(0xdd, &self.restart_interval.to_be_bytes()));
        }
        let count = u8::try_from(self.components.len()).unwrap();
        let mut frame = vec![self.precision];
        frame.extend(self.size.1.to_be_bytes());
        frame.extend(self.size.0.to_be_bytes());
        frame.push(count);
        frame.extend(
            self.components.iter().flat_map(|(id, factors, table)| [*id, *factors, *table]),
        );
        out.extend(segment(self.sof, &frame));
        let mut scan = vec![u8::try_from(self.scan_order.len()).unwrap()];
        for index in &self.scan_order {
            let id = self.components[usize::from(*index)].0;
            scan.extend([id, if *index == 0 { 0x00 } else { 0x11 }]);
        }
        scan.extend(self.spectral);
        out.extend(segment(0xda, &scan));
        out.extend(self.blocks());
        out.extend([0xff, 0xd9]);
        out
    }

    /// Blocks without DC difference and AC coefficients: 00 1010 for luminance, 00 00 for chrominance.
    fn blocks(&self) -> Vec<u8> {
        let most = |shift: u8| self.components.iter().map(|c| (c.1 >> shift) & 15).max().unwrap();
        let across = u32::from(self.size.0).div_ceil(8 * u32::from(most(4)));
        let down = u32::from(self.size.1).div_ceil(8 * u32::from(most(0)));
        let (mut bits, mut out, mut restart) = (String::new(), Vec::new(), 0);
        let flush = |bits: &mut String, out: &mut Vec<u8>| {
            while !bits.len().is_multiple_of(8) {
                bits.push('1');
            }
            for byte in bits.as_bytes().chunks(8) {
                let byte = u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap();
                out.push(byte);
                if byte == 0xff {
                    out.push(0);
                }
            }
            bits.clear();
        };
        for mcu in 0..across * down {
            let interval = u32::from(self.restart_interval);
            if interval > 0 && mcu > 0 && mcu % interval == 0 {
                flush(&mut bits, &mut out);
                out.extend([0xff, 0xd0 + restart]);
                restart = (restart + 1) % 8;
            }
            for index in &self.scan_order {
                let factors = self.components[usize::from(*index)].1;
                for _ in 0..(factors >> 4) * (factors & 15) {
                    bits.push_str(if *index == 0 { "001010" } else { "0000" });
                }
            }
        }
        flush(&mut bits, &mut out);
        out
    }
}

/// A JFIF segment as most encoders write it.
const JFIF: &[u8] = b"\xff\xe0\0\x10JFIF\0\x01\x02\0\0\x01\0\x01\0\0";

/// An Adobe segment that says RGB.
const ADOBE_RGB: &[u8] = b"\xff\xee\0\x0eAdobe\0d\0\0\0\0\0";

fn segment(marker: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len() + 2).unwrap().to_be_bytes();
    [&[0xff, marker], &length[..], body].concat()
}

/// The standard tables as a DHT segment, so that tests can change one of them.
fn standard_dht() -> Vec<u8> {
    let mut body = Vec::new();
    for (class, tables) in [(0x00, STANDARD_DC), (0x10, STANDARD_AC)] {
        for (destination, table) in (0_u8..).zip(tables) {
            body.push(class | destination);
            body.extend(table.counts);
            body.extend(table.values);
        }
    }
    segment(0xc4, &body)
}

#[test]
fn images_that_rtp_carries_pass_the_check() {
    let cut = |mut bytes: Vec<u8>| {
        bytes.truncate(bytes.len() - 2);
        bytes
    };
    let junk = |mut bytes: Vec<u8>| {
        bytes.extend([0, 0, 0]);
        bytes
    };
    let good = Image::good().bytes();
    let length = good.len();
    let restarts = Image::with(|i| i.restart_interval = 2);
    let scan = Header::parse(&restarts).unwrap().scan_data;
    let mut filled_scan = restarts[..scan].to_vec();
    for byte in &restarts[scan..] {
        filled_scan.extend(if *byte == 0xff { &[0xff; 3][..] } else { std::slice::from_ref(byte) });
    }
    let rows: Vec<(&str, Vec<u8>, usize, bool)> = vec![
        ("4:2:0", good.clone(), length, false),
        ("4:2:2", Image::with(|i| i.components[0].1 = 0x21), 0, false),
        ("restart intervals", Image::with(|i| i.restart_interval = 2), 0, false),
        ("restart interval 0", Image::with(|i| i.extra = segment(0xdd, &[0, 0])), 0, false),
        ("tables stated", Image::with(|i| i.extra = standard_dht()), 0, false),
        (
            "one table for all",
            Image::with(|i| {
                i.components.iter_mut().for_each(|c| c.2 = 0);
                i.quantization.truncate(1);
            }),
            0,
            false,
        ),
        (
            "four quantization tables",
            Image::with(|i| {
                i.quantization.push([&[2][..], &[1; 64]].concat());
                i.quantization.push([&[3][..], &[1; 64]].concat());
            }),
            0,
            false,
        ),
        (
            "Cb and Cr tables with equal values",
            Image::with(|i| {
                i.components[2].2 = 2;
                i.quantization.push([&[2][..], &[17; 64]].concat());
            }),
            0,
            false,
        ),
        (
            "two tables in one segment",
            Image::with(|i| i.quantization = vec![i.quantization.concat()]),
            0,
            false,
        ),
        (
            "other identifiers",
            Image::with(|i| {
                i.components = vec![(9, 0x22, 0), (4, 0x11, 1), (7, 0x11, 1)];
            }),
            0,
            false,
        ),
        (
            "application data with markers in it",
            Image::with(|i| {
                i.extra = segment(0xe1, &[0xff, 0xd8, 0xff, 0xc0, 0xff, 0xda, 0xff, 0xd9]);
            }),
            0,
            false,
        ),
        (
            "Adobe YCbCr",
            Image::with(|i| i.extra = segment(0xee, b"Adobe\0d\0\0\0\0\x01")),
            0,
            false,
        ),
        (
            "JFIF decides before Adobe RGB",
            Image::with(|i| i.extra = [JFIF, ADOBE_RGB].concat()),
            0,
            false,
        ),
        (
            "JFIF decides before components named RGB",
            Image::with(|i| {
                i.extra = JFIF.to_vec();
                i.components.iter_mut().zip(*b"RGB").for_each(|(it, name)| it.0 = name);
            }),
            0,
            false,
        ),
        (
            "Adobe YCbCr decides before components named RGB",
            Image::with(|i| {
                i.extra = segment(0xee, b"Adobe\0d\0\0\0\0\x01");
                i.components.iter_mut().zip(*b"RGB").for_each(|(it, name)| it.0 = name);
            }),
            0,
            false,
        ),
        ("fill bytes before RSTn and EOI", filled_scan, 0, false),
        ("2040 pixels", Image::with(|i| i.size = (2040, 8)), 0, false),
        ("bytes after EOI", junk(good.clone()), length, false),
        ("two images", [good.clone(), good.clone()].concat(), length, false),
        ("EOI missing", cut(good.clone()), length - 2, true),
        ("EOI missing, restarts", cut(Image::with(|i| i.restart_interval = 2)), 0, true),
    ];
    for (name, bytes, length, lacks_eoi) in rows {
        let want = if length > 0 { length } else { bytes.len() };
        let got = check(&bytes).unwrap_or_else(|why| panic!("{name}: {why}"));
        assert_eq!((got.bytes().len(), got.lacks_eoi()), (want, lacks_eoi), "{name}");
        assert_eq!(frame_size(&bytes), Some(got.size()), "{name}");
    }
    assert!(holds_second_image(&[good.clone(), good.clone()].concat()));
    assert!(!holds_second_image(&good));
}

#[test]
fn images_that_rtp_does_not_carry_are_refused_with_the_reason() {
    let factors = |a: u8, b: u8, c: u8| {
        move |i: &mut Image| {
            for (component, factor) in i.components.iter_mut().zip([a, b, c]) {
                component.1 = factor;
            }
        }
    };
    let optimised = Image::with(|i| {
        i.extra = standard_dht();
        let at = i.extra.iter().position(|byte| *byte == 3).unwrap();
        i.extra.swap(at, at + 1);
    });
    let extra = |bytes: &[u8]| Image::with(|i| i.extra = bytes.to_vec());
    let good = Image::good().bytes();
    let (scan_end, sof) = (good.len() - 2, 140);
    let after_scan = |bytes: &[u8]| [&good[..scan_end], bytes, &[0xff, 0xd9]].concat();
    let first = |bytes: &[u8]| [&good[..2], bytes, &good[2..]].concat();
    let restarts = Image::with(|i| i.restart_interval = 2);
    let restart = restarts.windows(2).position(|pair| pair == [0xff, 0xd0]).unwrap();
    let before_restart =
        |bytes: &[u8]| [&restarts[..restart], bytes, &restarts[restart..]].concat();
    let misread = |offset| UnsupportedByRtp::Segments { offset };
    let stray = |offset| UnsupportedByRtp::StrayBytes { offset };
    let rows: Vec<(&str, Vec<u8>, UnsupportedByRtp)> = vec![
        ("a fill byte before the first table", first(&[0xff]), misread(3)),
        ("a fill byte before the frame header", extra(&[0xff]), misread(sof + 1)),
        ("five fill bytes", extra(&[0xff; 5]), misread(sof + 5)),
        ("a number of lines", extra(&[0xff, 0xdc, 0, 4, 0, 17]), misread(sof)),
        ("arithmetic conditioning", extra(&[0xff, 0xcc, 0, 4, 0, 1]), misread(sof)),
        (
            "a restart interval that is revoked",
            extra(&[0xff, 0xdd, 0, 4, 0, 4, 0xff, 0xdd, 0, 4, 0, 0]),
            misread(sof + 6),
        ),
        ("a comment after the scan", after_scan(&segment(0xfe, b"\xff\xd9")), misread(scan_end)),
        (
            "application data, tables and a number of lines after the scan",
            after_scan(&[JFIF, &standard_dht(), &[0xff, 0xff, 0xdc, 0, 4, 0, 17]].concat()),
            misread(scan_end),
        ),
        ("a stray byte before the first table", first(&[0]), stray(2)),
        ("stray bytes before RSTn", before_restart(b"abc"), stray(restart)),
        ("many stray bytes before RSTn", before_restart(&[9; 99]), stray(restart)),
        ("FF 00 before RSTn", before_restart(b"\xff\0\x03"), stray(restart)),
        ("a stray byte and fill bytes before RSTn", before_restart(b"\x01\xff"), stray(restart)),
        ("FF 00 between segments", extra(&[0xff, 0]), stray(sof)),
        ("stray bytes, then fill bytes", extra(b"abc\xff\xff"), stray(sof)),
        (
            "many stray bytes, with many names of markers",
            extra(&[&[7; 608][..], b"\xff\0\xff", &segment(0xfe, b"text")].concat()),
            stray(sof),
        ),
        (
            "stray bytes and other sampling factors",
            Image::with(|i| {
                i.extra = vec![1];
                i.components[0].1 = 0x11;
            }),
            stray(sof),
        ),
        (
            "a JFIF segment that is too short to count",
            extra(&[&segment(0xe0, b"JFIF\0\x01\x02\0"), ADOBE_RGB].concat()),
            UnsupportedByRtp::Rgb,
        ),
        (
            "4:4:4",
            Image::with(factors(0x11, 0x11, 0x11)),
            UnsupportedByRtp::SamplingFactors([(1, 1), (1, 1), (1, 1)]),
        ),
        (
            "4:4:4 as ffmpeg writes it",
            Image::with(factors(0x12, 0x12, 0x12)),
            UnsupportedByRtp::SamplingFactors([(1, 2), (1, 2), (1, 2)]),
        ),
        (
            "4:2:2 as ffmpeg writes it",
            Image::with(factors(0x22, 0x12, 0x12)),
            UnsupportedByRtp::SamplingFactors([(2, 2), (1, 2), (1, 2)]),
        ),
        (
            "4:1:1",
            Image::with(factors(0x41, 0x11, 0x11)),
            UnsupportedByRtp::SamplingFactors([(4, 1), (1, 1), (1, 1)]),
        ),
        (
            "grey",
            Image::with(|i| {
                i.components.truncate(1);
                i.scan_order.truncate(1);
            }),
            UnsupportedByRtp::Components(1),
        ),
        (
            "CMYK",
            Image::with(|i| {
                i.components.push((3, 0x11, 1));
                i.scan_order.push(3);
            }),
            UnsupportedByRtp::Components(4),
        ),
        (
            "progressive",
            Image::with(|i| i.sof = 0xc2),
            UnsupportedByRtp::Process(Process::Progressive),
        ),
        (
            "extended",
            Image::with(|i| i.sof = 0xc1),
            UnsupportedByRtp::Process(Process::ExtendedSequential),
        ),
        (
            "lossless",
            Image::with(|i| i.sof = 0xc3),
            UnsupportedByRtp::Process(Process::Other(0xc3)),
        ),
        (
            "arithmetic",
            Image::with(|i| i.sof = 0xc9),
            UnsupportedByRtp::Process(Process::Other(0xc9)),
        ),
        (
            "12 bits",
            Image::with(|i| {
                i.sof = 0xc1;
                i.precision = 12;
            }),
            UnsupportedByRtp::Precision(12),
        ),
        (
            "Adobe RGB",
            Image::with(|i| i.extra = segment(0xee, b"Adobe\0d\0\0\0\0\x00")),
            UnsupportedByRtp::Rgb,
        ),
        (
            "components named RGB",
            Image::with(|i| {
                for (component, name) in i.components.iter_mut().zip(*b"RGB") {
                    component.0 = name;
                }
            }),
            UnsupportedByRtp::Rgb,
        ),
        (
            "another scan order",
            Image::with(|i| i.scan_order = vec![0, 2, 1]),
            UnsupportedByRtp::Scan,
        ),
        ("non-interleaved", Image::with(|i| i.scan_order = vec![0]), UnsupportedByRtp::Scan),
        ("not all coefficients", Image::with(|i| i.spectral = [0, 5, 0]), UnsupportedByRtp::Scan),
        ("optimised Huffman tables", optimised, UnsupportedByRtp::HuffmanTables),
        (
            "16-bit table",
            Image::with(|i| {
                i.quantization[0] = [&[0x10][..], &[1; 128]].concat();
            }),
            UnsupportedByRtp::WideQuantizationTable,
        ),
        (
            "Cr table differs",
            Image::with(|i| {
                i.components[2].2 = 2;
                i.quantization.push([&[2][..], &[99; 64]].concat());
            }),
            UnsupportedByRtp::ChromaQuantizationTables,
        ),
        (
            "2041 pixels",
            Image::with(|i| i.size = (2041, 8)),
            UnsupportedByRtp::Size { width: 2041, height: 8 },
        ),
    ];
    for (name, bytes, reason) in rows {
        let got = check(&bytes).unwrap_err();
        assert_eq!(got, CheckError::UnsupportedByRtp(reason), "{name}");
    }
}

#[test]
fn damage_is_reported_before_anything_else() {
    let good = Image::good().bytes();
    let find = |marker: u8| good.windows(2).position(|pair| pair == [0xff, marker]).unwrap();
    let (sos, scan) = (find(0xda), find(0xda) + 14);
    let patched = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        bytes
    };
    let short = |marker| Damage::SegmentTooShort { marker, offset: 2 };
    let first = |quantization: Vec<u8>| Image::with(move |i| i.quantization[0] = quantization);
    let sof = find(0xc0);
    let rows: Vec<(&str, Vec<u8>, Damage)> = vec![
        ("empty", vec![], Damage::NoSoi),
        ("only SOI", vec![0xff, 0xd8], Damage::NoScan),
        ("SOI and EOI", vec![0xff, 0xd8, 0xff, 0xd9], Damage::NoScan),
        (
            "scan header cut",
            good[..sos + 6].to_vec(),
            Damage::SegmentCut { marker: 0xda, offset: sos },
        ),
        (
            "scan header lies about its length",
            patched(sos + 3, 13),
            Damage::BadValue { marker: 0xda, offset: sos },
        ),
        (
            "scan header of length 0",
            patched(sos + 3, 0),
            Damage::SegmentTooShort { marker: 0xda, offset: sos },
        ),
        (
            "scan of 9 components",
            patched(sos + 4, 9),
            Damage::BadValue { marker: 0xda, offset: sos },
        ),
        ("record ends at SOS", good[..scan].to_vec(), Damage::EmptyScan),
        ("no scan", [&good[..sos], &[0xff, 0xd9]].concat(), Damage::NoScan),
        ("table truncated", first(vec![0; 30]), short(0xdb)),
        ("table of length 0", patched(5, 0), short(0xdb)),
        ("table of length 1", patched(5, 1), short(0xdb)),
        ("table number 15", patched(6, 15), Damage::BadValue { marker: 0xdb, offset: 2 }),
        (
            "restart interval short",
            Image::with(|i| i.extra = segment(0xdd, &[1])),
            Damage::SegmentTooShort { marker: 0xdd, offset: sof },
        ),
        ("no frame header", [&good[..sof], &good[sos..]].concat(), Damage::NoFrameHeader),
        ("two frame headers", [&good[..sos], &good[sof..]].concat(), Damage::TwoFrameHeaders),
        ("0x0", Image::with(|i| i.size = (0, 0)), Damage::NoSize { width: 0, height: 0 }),
        ("65535x65535", patched(0, 0xff), Damage::TooLarge { width: 65535, height: 65535 }),
        (
            "sampling factor 0",
            patched(sof + 11, 0x01),
            Damage::BadValue { marker: 0xc0, offset: sof },
        ),
        (
            "table missing",
            Image::with(|i| i.components[1].2 = 3),
            Damage::NoQuantizationTable { table: 3 },
        ),
        ("marker inside the scan", patched(scan, 0xff), Damage::NoSoi),
        ("half an image", good[..good.len() - 8].to_vec(), Damage::ScanCut),
        (
            "a comment inside the scan",
            [&good[..good.len() - 6], &segment(0xfe, b"text"), &[0xff, 0xd9]].concat(),
            Damage::ScanCut,
        ),
        (
            "another scan after the scan",
            [&good[..good.len() - 2], &good[sos..]].concat(),
            Damage::MarkerInScan { marker: 0xda, offset: good.len() - 2 },
        ),
        (
            "a frame header that is too long",
            [&good[..sof + 3], &[18], &good[sof + 4..sos], &[0], &good[sos..]].concat(),
            Damage::BadValue { marker: 0xc0, offset: sof },
        ),
        (
            "a restart interval that is too long",
            Image::with(|i| i.extra = segment(0xdd, &[0, 1, 0])),
            Damage::BadValue { marker: 0xdd, offset: sof },
        ),
        (
            "more stray bytes than are skipped",
            Image::with(|i| i.extra = vec![0; 70_000]),
            Damage::NotAMarker { offset: sof, found: 0 },
        ),
        (
            "SOI after stray bytes",
            Image::with(|i| i.extra = vec![0, 0xff, 0xd8]),
            Damage::NotAMarker { offset: sof + 1, found: 0xd8 },
        ),
    ];
    for (name, mut bytes, want) in rows {
        let want = match name {
            "65535x65535" => {
                bytes[sof + 5..sof + 9].fill(0xff);
                want
            }
            "marker inside the scan" => {
                bytes[scan + 1] = 0xdb;
                Damage::MarkerInScan { marker: 0xdb, offset: scan }
            }
            _ => want,
        };
        assert_eq!(check(&bytes), Err(CheckError::Damaged(want)), "{name}");
    }
}

#[test]
fn a_truncated_image_is_damaged_at_every_length() {
    let image = Image::with(|i| i.restart_interval = 2);
    for length in 0..image.len() - 3 {
        assert!(matches!(check(&image[..length]), Err(CheckError::Damaged(_))), "cut at {length}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_checked_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = check(&[&[0xff, 0xd8][..], &bytes].concat());
        let _ = frame_size(&bytes);
    }

    #[test]
    fn any_change_of_a_good_image_is_checked_without_a_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut image = Image::with(|i| i.extra = standard_dht());
        for (at, value) in changes {
            let at = at.index(image.len());
            image[at] = value;
        }
        image.truncate(cut.index(image.len()) + 1);
        let _ = check(&image);
    }
}
