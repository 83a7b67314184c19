// SPDX-License-Identifier: MIT OR Apache-2.0
//! Images of every legal form, and with stray bytes that libjpeg skips: what arrives over RTP/JPEG,
//! and what `jpegdec` shows of frames from lab servers, compared with what libjpeg-turbo shows.

use anyhow::{Context, Result, ensure};
use gstmjpegfile::jpeg::{
    Conversion, Header, ImageEnd, Process, Segments, UnsupportedByRtp, image_end, prepare, writable,
};
use jpeg_encoder::{ColorType, Encoder};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::libjpeg::{
    Picture, cjpeg, djpeg, djpeg_despite_warnings, psnr, shown_by_libjpeg,
};
use mjpeg_rtsp_tests::pipeline::{TestPipeline, bytes, pts};
use std::path::Path;

/// The environment variable with the number of mutated images, for `scripts/fuzz`.
const MUTATED: &str = "MJPEG_RTSP_MUTATED_IMAGES";

/// Different images in one movie, and mutated forms of each.
const MOVIE: usize = 10;
const FORMS: usize = 25;

/// Time between two frames.
const PERIOD: gst::ClockTime = gst::ClockTime::from_mseconds(50);

/// What comes out of elements for each image; `None` for one that was dropped.
fn through(elements: &str, images: &[Vec<u8>]) -> Result<Vec<Option<gst::Sample>>> {
    let pipeline = TestPipeline::launch(&format!(
        "appsrc name=in format=time ! {elements} ! appsink name=out sync=false"
    ))?;
    let source: gst_app::AppSrc = pipeline.element("in")?;
    pipeline.play()?;
    for (number, image) in (0..).zip(images) {
        let header = Header::parse(image)?;
        let caps = gst::Caps::builder("image/jpeg")
            .field("width", i32::from(header.width))
            .field("height", i32::from(header.height))
            .field("framerate", gst::Fraction::new(20, 1))
            .build();
        let mut buffer = gst::Buffer::from_slice(image.clone());
        buffer.get_mut().context("shared")?.set_pts(PERIOD * number);
        source.push_sample(&gst::Sample::builder().caps(&caps).buffer(&buffer).build())?;
    }
    source.end_of_stream()?;
    by_number(&pipeline, images.len(), |sample| Ok(sample.clone()))
}

/// What `read` gives for each frame that comes out of a pipeline, by the frame's number.
fn by_number<T>(
    pipeline: &TestPipeline,
    frames: usize,
    read: impl Fn(&gst::Sample) -> Result<T>,
) -> Result<Vec<Option<T>>> {
    let mut out: Vec<Option<T>> = (0..frames).map(|_| None).collect();
    while let Some(sample) = pipeline.next_sample()? {
        let number = (pts(&sample)? + PERIOD / 2).nseconds() / PERIOD.nseconds();
        let slot = out.get_mut(usize::try_from(number)?).context("an unknown time")?;
        *slot = Some(read(&sample)?);
    }
    Ok(out)
}

/// The JPEGs that a receiver of RTP/JPEG gets.
fn over_rtp(images: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>> {
    let samples = through("rtpjpegprep ! rtpjpegpay ! rtpjpegdepay", images)?;
    samples.iter().map(|sample| sample.as_ref().map(bytes).transpose()).collect()
}

/// Checks that `received` shows what `image` shows: every pixel, or every luma sample of an image
/// whose chroma was resampled, or about the same if it was decoded and encoded again.
fn check_received(name: &str, image: &[u8], received: Option<&[u8]>) -> Result<()> {
    let prepared = prepare(image, None).with_context(|| name.to_owned())?;
    let header = Header::parse(image)?;
    let received = received.with_context(|| format!("{name}: dropped, {:?}", prepared.reason()))?;
    let whole = header.width % 16 == 0 && header.height % 16 == 0;
    let conversion = prepared.conversion();
    let every_pixel = matches!(conversion, Conversion::AsIs | Conversion::Exact)
        && whole
        && header.components().len() == 3;
    let arguments: &[&str] = if every_pixel { &[] } else { &["-grayscale"] };
    let want = djpeg_despite_warnings(image, arguments).with_context(|| name.to_owned())?;
    // What arrives has no stray bytes, which not every decoder skips.
    let got = djpeg(received, arguments).with_context(|| name.to_owned())?;
    // RFC 2435 states sizes in units of 8 pixels.
    let got = got.corner(want.width, want.height);
    if conversion == Conversion::Lossy {
        ensure!(psnr(&got, &want) > 28.0, "{name}: {:.1} dB", psnr(&got, &want));
    } else {
        ensure!(got == want, "{name}: {conversion:?}, {:.1} dB", psnr(&got, &want));
    }
    Ok(())
}

fn position(image: &[u8], marker: u8) -> Result<usize> {
    let at = image.windows(2).position(|pair| pair == [0xff, marker]);
    at.with_context(|| format!("no marker {marker:02x}"))
}

fn inserted(image: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    [&image[..at], bytes, &image[at..]].concat()
}

#[test]
fn every_legal_form_and_stray_bytes_arrive_as_libjpeg_shows_them() -> Result<()> {
    let picture = Picture::made(64, 48);
    let (dqt, sof, dht, sos) = (0xdb, 0xc0, 0xc4, 0xda);
    let comment = b"\xff\xfe\0\x08\xff\xd9\xff\xd8\xff\xda";
    let adobe_rgb = b"\xff\xee\0\x0eAdobe\0d\0\0\0\0\0";
    let (mut names, mut images) = (Vec::new(), Vec::new());
    let mut repaired = 0;
    for (kind, arguments) in [
        ("4:2:0", &["-sample", "2x2"][..]),
        ("4:2:0 with restarts", &["-sample", "2x2", "-restart", "3B"]),
        ("4:4:4", &["-sample", "1x1", "-restart", "3B"]),
        ("optimised", &["-sample", "2x1", "-optimize", "-restart", "3B"]),
        ("progressive", &["-sample", "2x2", "-progressive", "-restart", "3B"]),
    ] {
        let image = cjpeg(&picture, arguments)?;
        let end = image.len() - 2;
        let sof = if kind == "progressive" { 0xc2 } else { sof };
        let mut forms = vec![("as it is", image.clone())];
        for (name, marker) in [("DQT", dqt), ("SOF", sof), ("DHT", dht), ("SOS", sos)] {
            for (what, bytes) in [
                ("one fill byte", &[0xff][..]),
                ("two fill bytes", &[0xff; 2]),
                ("a zero", &[0]),
                ("608 stray bytes", &[7; 608]),
                ("FF 00", &[0xff, 0]),
                ("a comment with markers", comment),
            ] {
                let form = inserted(&image, position(&image, marker)?, bytes);
                repaired += usize::from(Header::parse(&form)?.stray.is_some());
                names.push(format!("{kind}, {what} before {name}"));
                images.push(form);
            }
        }
        forms.push(("JFIF and Adobe RGB", inserted(&image, position(&image, dqt)?, adobe_rgb)));
        forms.push(("DNL before EOI", inserted(&image, end, b"\xff\xdc\0\x04\0\x30")));
        forms.push(("COM before EOI", inserted(&image, end, comment)));
        forms.push(("APP5 before EOI", inserted(&image, end, b"\xff\xff\xe5\0\x04ab")));
        forms.push(("zeros after EOI", [&image[..], &[0; 7]].concat()));
        forms.push(("two images", [&image[..], &image].concat()));
        if kind == "4:2:0" {
            let revoked = b"\xff\xdd\0\x04\0\x05\xff\xdd\0\x04\0\0";
            forms.push(("a revoked interval", inserted(&image, position(&image, dqt)?, revoked)));
        }
        for count in [1, 8, 29] {
            let scan = position(&image, sos)?;
            let mut stray = image[..scan].to_vec();
            for (at, byte) in image.iter().enumerate().skip(scan) {
                if *byte == 0xff && matches!(image.get(at + 1), Some(0xd0..=0xd7)) {
                    stray.extend(vec![3; count]);
                }
                stray.push(*byte);
            }
            forms.push(("stray bytes before each RSTn", stray));
        }
        for (name, form) in forms {
            names.push(format!("{kind}, {name}"));
            images.push(form);
        }
    }
    assert_eq!(repaired, 5 * 4 * 3);
    let received = over_rtp(&images)?;
    for ((name, image), received) in names.iter().zip(&images).zip(&received) {
        check_received(name, image, received.as_deref())?;
    }
    Ok(())
}

/// Sampling factors for cjpeg; all for which libjpeg takes them.
const SAMPLINGS: [&str; 16] = [
    "1x1",
    "2x1",
    "2x2",
    "1x2",
    "1x2,1x2,1x2",
    "2x2,1x2,1x2",
    "4x1",
    "4x2",
    "2x4",
    "3x1",
    "1x3",
    "2x1,2x1,2x1",
    "2x2,2x1,2x1",
    "2x1,1x1,2x1",
    "4x1,2x1,2x1",
    "1x1,2x1,1x1",
];

#[test]
fn jpegdec_shows_every_image_after_the_preparation_for_it() -> Result<()> {
    let picture = Picture::made(64, 48);
    let mut rows = Vec::new();
    for sampling in SAMPLINGS {
        let arguments = ["-quality", "95", "-sample", sampling];
        rows.push((sampling.to_owned(), cjpeg(&picture, &arguments)?));
    }
    for sampling in ["1x1", "2x1", "1x2", "2x2"] {
        let arguments = ["-quality", "95", "-grayscale", "-sample", sampling];
        rows.push((format!("grey {sampling}"), cjpeg(&picture, &arguments)?));
        let arguments = ["-quality", "95", "-rgb", "-sample", sampling];
        rows.push((format!("RGB {sampling}"), cjpeg(&picture, &arguments)?));
    }
    rows.push(("progressive".to_owned(), cjpeg(&picture, &["-quality", "95", "-progressive"])?));
    let cmyk = |[r, g, b]: [u8; 3]| [255 - r, 255 - g, 255 - b, 0];
    let pixels: Vec<u8> = picture.samples.as_chunks().0.iter().copied().flat_map(cmyk).collect();
    for kind in [ColorType::Cmyk, ColorType::CmykAsYcck] {
        let mut jpeg = Vec::new();
        Encoder::new(&mut jpeg, 95).encode(&pixels, 64, 48, kind)?;
        rows.push((format!("{kind:?}"), jpeg));
    }
    for (name, image) in &rows {
        let elements =
            "rtpjpegprep for-decoder=true ! jpegdec ! videoconvert ! video/x-raw,format=RGB";
        let shown = through(elements, std::slice::from_ref(image)).with_context(|| name.clone())?;
        let samples = bytes(shown[0].as_ref().with_context(|| name.clone())?)?;
        let shown = Picture { width: 64, height: 48, samples };
        let mut want = djpeg(image, &[])?;
        if name.starts_with("grey") {
            want.samples = want.samples.into_iter().flat_map(|grey| [grey; 3]).collect();
        }
        let (luma, all) = (psnr(&shown.luma(), &want.luma()), psnr(&shown, &want));
        assert!(luma > 33.0 && all > 20.0, "{name}: luma {luma:.1} dB, all {all:.1} dB");
    }
    // What jpegdec shows passes as it is, damaged or not.
    let good = cjpeg(&picture, &["-sample", "1x1", "-progressive"])?;
    let damaged = good[..good.len() / 2].to_vec();
    let images = [good, damaged];
    let passed = through("rtpjpegprep for-decoder=true", &images)?;
    for (image, passed) in images.iter().zip(&passed) {
        assert!(bytes(passed.as_ref().context("dropped")?)? == *image);
    }
    Ok(())
}

/// Numbers that look random and are the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or_default() % limit.max(1)
    }

    /// Bytes that are not FF.
    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let count = 1 + self.below(most);
        (0..count).map(|_| u8::try_from(self.below(255)).unwrap_or_default()).collect()
    }
}

/// A segment, and the bytes before it.
struct Part {
    before: Vec<u8>,
    marker: u8,
    body: Vec<u8>,
}

impl Part {
    fn new(marker: u8, body: Vec<u8>) -> Self {
        Self { before: Vec::new(), marker, body }
    }
}

/// An image in parts.
struct Parts {
    /// From the first segment to the scan header.
    segments: Vec<Part>,
    /// After the scan header, without EOI.
    scan: Vec<u8>,
    /// From EOI on.
    end: Vec<u8>,
    /// Whether a table or an interval is defined twice, so that the order decides.
    redefined: bool,
    /// Whether there may be stray bytes in the scan.
    strayed: bool,
}

impl Parts {
    fn of(image: &[u8]) -> Result<Self> {
        let (mut segments, mut scan) = (Vec::new(), 0);
        for segment in Segments::new(image) {
            let segment = segment?;
            scan = segment.end;
            segments.push(Part::new(segment.marker, segment.body.to_vec()));
        }
        let (scan, end) = image[scan..].split_at(image.len() - 2 - scan);
        let (scan, end) = (scan.to_vec(), end.to_vec());
        Ok(Self { segments, scan, end, redefined: false, strayed: false })
    }

    fn bytes(&self) -> Result<Vec<u8>> {
        let mut out = vec![0xff, 0xd8];
        for Part { before, marker, body } in &self.segments {
            out.extend(before);
            out.extend([0xff, *marker]);
            out.extend(u16::try_from(body.len() + 2)?.to_be_bytes());
            out.extend(body);
        }
        out.extend(&self.scan);
        out.extend(&self.end);
        Ok(out)
    }

    /// Inserts bytes before each restart marker of the scan, or before some of them.
    fn before_restarts(&mut self, random: &mut Random, bytes: &[u8]) {
        let mut out = Vec::new();
        for (at, byte) in self.scan.iter().enumerate() {
            let marks = matches!(self.scan.get(at + 1), Some(0xd0..=0xd7));
            // A byte after a fill byte would be a marker.
            let filled = at > 0 && self.scan.get(at - 1) == Some(&0xff);
            if *byte == 0xff && marks && !filled && random.below(2) == 0 {
                out.extend(bytes);
            }
            out.push(*byte);
        }
        self.scan = out;
    }

    /// Changes the form; returns the change's name. The picture stays the same.
    fn mutate(&mut self, random: &mut Random) -> &'static str {
        if random.below(14) < 10 { self.mutate_header(random) } else { self.mutate_scan(random) }
    }

    /// Changes the segments before the scan.
    fn mutate_header(&mut self, random: &mut Random) -> &'static str {
        let header = self.segments.len() - 1;
        let some = random.below(self.segments.len());
        match random.below(10) {
            0 => {
                let fill = vec![0xff; 1 + random.below(5)];
                self.segments[some].before.extend(fill);
                "fill bytes"
            }
            1 => {
                // At the start, since a byte after a fill byte would be a marker.
                let stray = random.bytes(700);
                self.segments[some].before.splice(0..0, stray);
                "stray bytes"
            }
            2 => {
                self.segments[some].before.extend([0xff, 0]);
                "FF 00"
            }
            3 if !self.redefined => {
                for index in (1..header).rev() {
                    self.segments.swap(index, random.below(index + 1));
                }
                "segments moved"
            }
            4 => {
                for marker in [0xdb, 0xc4] {
                    let tables = self.segments.extract_if(.., |it| it.marker == marker);
                    let body: Vec<u8> = tables.flat_map(|it| it.body).collect();
                    if !body.is_empty() {
                        self.segments.insert(0, Part::new(marker, body));
                    }
                }
                "segments merged"
            }
            5 => {
                self.redefined = true;
                // The first table with other values, before all others.
                let table = self.segments.iter().find(|it| it.marker == 0xdb);
                let mut body: Vec<u8> = table.map_or(Vec::new(), |it| it.body[..65].to_vec());
                if let [destination, values @ ..] = &mut body[..]
                    && *destination < 16
                {
                    values.fill(77);
                    self.segments.insert(0, Part::new(0xdb, body));
                }
                "a table twice"
            }
            6 => {
                self.segments.insert(some, Part::new(0xdb, [&[3][..], &[9; 64]].concat()));
                let codes = [&[0x13, 0, 1][..], &[0; 14], &[5]].concat();
                self.segments.insert(some, Part::new(0xc4, codes));
                "unused tables"
            }
            7 => {
                let marker = [0xfe, 0xe3, 0xed, 0xe1][random.below(4)];
                let body = b"\xff\xd8\xff\xdb\0\x01\xff\xda\xff\xd9text\xff".to_vec();
                self.segments.insert(some, Part::new(marker, body));
                "application data"
            }
            8 => {
                let alone = [[0xff, 0x01], [0xff, 0xd3]][random.below(2)];
                self.segments[some].before.extend(alone);
                "TEM or RST between segments"
            }
            _ => {
                self.redefined = true;
                let other = u8::try_from(1 + random.below(99)).unwrap_or(1);
                if !self.segments.iter().any(|it| it.marker == 0xdd) {
                    self.segments.insert(0, Part::new(0xdd, vec![0, 0]));
                }
                self.segments.insert(0, Part::new(0xdd, vec![0, other]));
                "a restart interval twice"
            }
        }
    }

    /// Changes what follows the scan header.
    fn mutate_scan(&mut self, random: &mut Random) -> &'static str {
        match random.below(4) {
            0 => {
                let tail = [vec![0; 7], random.bytes(99), b"\xff\xd8\xff\xe0".to_vec()];
                self.end.extend(&tail[random.below(3)]);
                "a tail"
            }
            1 => {
                let after: [&[u8]; 3] =
                    [b"\xff\xdc\0\x04\0\x05", b"\xff\xff\xfe\0\x04\xff\xd9", b"\xff\xe7\0\x02"];
                self.scan.extend(after[random.below(3)]);
                "a segment after the scan"
            }
            2 => {
                self.before_restarts(random, &[0xff, 0xff]);
                self.end.insert(0, 0xff);
                "fill bytes in the scan"
            }
            _ => {
                let stray = random.bytes(30);
                self.before_restarts(random, &stray);
                self.strayed = true;
                "stray bytes before RSTn"
            }
        }
    }
}

/// An image of any size from 1 to 70 pixels a side, sampling and coding; and its description.
fn any_image(random: &mut Random) -> Result<(String, Vec<u8>)> {
    let mut side = || u32::try_from(1 + random.below(70));
    let (width, height) = (side()?, side()?);
    // Every second one of whole MCUs.
    let whole = |side: u32| if random.0 & 0x100 == 0 { side.next_multiple_of(16) } else { side };
    let (width, height) = (whole(width), whole(height));
    let restart = format!("{}B", 1 + random.below(12));
    let mut arguments = vec!["-sample", SAMPLINGS[random.below(SAMPLINGS.len())]];
    let options: [&[&str]; 5] =
        [&[], &["-optimize"], &["-progressive"], &["-grayscale"], &["-rgb"]];
    arguments.extend(options[random.below(options.len())]);
    if random.below(2) == 0 {
        arguments.extend(["-restart", restart.as_str()]);
    }
    let image = cjpeg(&Picture::made(width, height), &arguments)?;
    Ok((format!("{width}x{height} {arguments:?}"), image))
}

/// Checks what the format code finds in an image whose form was changed, and that libjpeg still shows
/// the picture `shown`.
fn check_mutated(shown: &Picture, mutated: &[u8], parts: &Parts) -> Result<()> {
    ensure!(shown_by_libjpeg(mutated)? == *shown, "libjpeg shows another picture");
    let header = Header::parse(mutated)?;
    let (start, tail) = mutated.split_at(mutated.len() - parts.end.len());
    let end = start.len() + position(tail, 0xd9)? + 2;
    let found = image_end(mutated, &header);
    ensure!(found == Ok(ImageEnd::Eoi(end)), "{found:?} instead of {end}");
    let baseline = header.process == Process::Baseline;
    ensure!(writable(mutated).is_ok() == baseline, "{:?}", writable(mutated));
    let kind = prepare(mutated, None)?.reason().map(|reason| reason.kind());
    let stray = UnsupportedByRtp::StrayBytes { offset: 0 }.kind();
    let is_repaired = kind == Some(stray);
    ensure!(is_repaired == header.stray.is_some() || is_repaired && parts.strayed, "{kind:?}");
    Ok(())
}

/// Changes the form of an image up to four times; also gives the names of the changes.
fn mutated(image: &[u8], random: &mut Random) -> Result<(String, Parts)> {
    let mut parts = Parts::of(image)?;
    let names: Vec<_> = (0..=random.below(4)).map(|_| parts.mutate(random)).collect();
    Ok((names.join(", "), parts))
}

/// The elements through which mutated images go, after `mjpegfilesrc`.
const CHAIN: &str = "rtpjpegprep ! rtpjpegpay ! rtpjpegdepay ! jpegdec idct-method=islow";

/// Each image and its mutated forms, in one movie through [`CHAIN`]: the forms arrive as the image does,
/// and the image as libjpeg shows it.
#[test]
fn mutated_images_arrive_as_libjpeg_shows_them() -> Result<()> {
    let count = std::env::var(MUTATED).map_or(Ok(500), |count| count.parse::<usize>())?;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut failed = Vec::new();
    let mut tested = 0;
    let folder = Folder::new()?;
    while tested < count {
        // Name of each image; index of the unchanged one.
        let (mut names, mut images) = (Vec::new(), Vec::new());
        let mut unchanged = Vec::new();
        for _ in 0..MOVIE {
            let (name, image) = any_image(&mut random)?;
            let shown = shown_by_libjpeg(&image)?;
            let first = images.len();
            names.push((name.clone(), first));
            images.push(image.clone());
            unchanged.push(image.clone());
            for _ in 0..FORMS {
                tested += 1;
                let (changes, parts) = mutated(&image, &mut random)?;
                let name = format!("mutated image {tested}: {name}, {changes}");
                let bytes = parts.bytes()?;
                match check_mutated(&shown, &bytes, &parts) {
                    Ok(()) => {
                        names.push((name, first));
                        images.push(bytes);
                    }
                    Err(error) => failed.push(format!("{name}: {error:#}")),
                }
            }
        }
        for (image, received) in unchanged.iter().zip(&over_rtp(&unchanged)?) {
            check_received("unchanged", image, received.as_deref())?;
        }
        let movie = folder.file("movie.mjpeg", &movies::movie(&images)?)?;
        let decoded = decoded(&movie, images.len())?;
        for ((name, first), picture) in names.iter().zip(&decoded) {
            if picture.is_none() {
                failed.push(format!("{name}: dropped"));
            } else if *picture != decoded[*first] {
                failed.push(format!("{name}: another picture than without the changes"));
            }
        }
    }
    assert!(failed.is_empty(), "{} of {tested}:\n{}", failed.len(), failed.join("\n"));
    Ok(())
}

/// The caps and the samples of a decoded frame.
type Decoded = (gst::Caps, Vec<u8>);

/// The frames of a movie after [`CHAIN`].
fn decoded(movie: &Path, frames: usize) -> Result<Vec<Option<Decoded>>> {
    let pipeline = TestPipeline::launch(&format!(
        "mjpegfilesrc location={} ! {CHAIN} ! appsink name=out sync=false",
        movie.display()
    ))?;
    pipeline.play()?;
    by_number(&pipeline, frames, |sample| {
        Ok((sample.caps_owned().context("no caps")?, bytes(sample)?))
    })
}
