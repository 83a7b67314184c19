// SPDX-License-Identifier: MIT OR Apache-2.0
//! Images of each legal form, and with stray bytes that libjpeg skips, as the frames of one movie, through
//! every program: they show what libjpeg shows.

use crate::client::saved;
use crate::lab_server::LabClient;
use anyhow::{Context, Result};
use gstmjpegfile::jpeg::{Segments, writable};
use jpeg_encoder::{ColorType, Encoder};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::ffmpeg;
use mjpeg_rtsp_tests::peer::libjpeg::{Picture, cjpeg, djpeg_despite_warnings, psnr};
use mjpeg_rtsp_tests::programs::{Server, program, run};
use mjpeg_rtsp_tests::{broken, programs::headless};
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_mins(1);

/// Width and height of each image.
const SIZE: (u32, u32) = (64, 48);

/// What arrives over RTP/JPEG.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arrives {
    /// Every luma coefficient.
    Luma,
    /// About the same picture.
    Similar,
}
use Arrives::{Luma, Similar};

/// An image.
struct Row {
    name: &'static str,
    image: Vec<u8>,
    arrives: Arrives,
    /// What `mjpeg-movie check` says of it, with the offset in the image of what it names.
    problem: Option<(&'static str, usize)>,
    /// It is an image that `mjpegfilemux` writes.
    is_writable: bool,
}

fn position(image: &[u8], marker: u8) -> Result<usize> {
    let at = image.windows(2).position(|pair| pair == [0xff, marker]);
    at.with_context(|| format!("no marker {marker:02x}"))
}

/// An image with bytes before the first of its segments of this kind.
fn before(image: &[u8], marker: u8, bytes: &[u8]) -> Result<Vec<u8>> {
    let at = position(image, marker)?;
    Ok([&image[..at], bytes, &image[at..]].concat())
}

/// An image with bytes before its EOI.
fn before_end(image: &[u8], bytes: &[u8]) -> Vec<u8> {
    let (image, end) = image.split_at(image.len() - 2);
    [image, bytes, end].concat()
}

/// An image with bytes before each restart marker.
fn before_restarts(image: &[u8], bytes: &[u8]) -> Result<Vec<u8>> {
    let scan = position(image, 0xda)?;
    let mut out = image[..scan].to_vec();
    for (at, byte) in image.iter().enumerate().skip(scan) {
        if *byte == 0xff && matches!(image.get(at + 1), Some(0xd0..=0xd7)) {
            out.extend(bytes);
        }
        out.push(*byte);
    }
    Ok(out)
}

fn segment(marker: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len() + 2).unwrap_or(u16::MAX).to_be_bytes();
    [&[0xff, marker], &length[..], body].concat()
}

/// An image whose segments of one kind are replaced by `others`, at the place of the first one.
fn with_segments(image: &[u8], marker: u8, others: &[Vec<u8>]) -> Result<Vec<u8>> {
    let mut out = vec![0xff, 0xd8];
    let mut end = 2;
    let mut is_first = true;
    for found in Segments::new(image) {
        let found = found?;
        if found.marker != marker {
            out.extend(segment(found.marker, found.body));
        } else if std::mem::replace(&mut is_first, false) {
            out.extend(others.concat());
        }
        end = found.end;
    }
    Ok([&out, &image[end..]].concat())
}

/// The bodies of an image's segments of one kind.
fn bodies(image: &[u8], marker: u8) -> Result<Vec<Vec<u8>>> {
    let segments = Segments::new(image).collect::<Result<Vec<_>, _>>()?;
    let found = segments.iter().filter(|segment| segment.marker == marker);
    Ok(found.map(|segment| segment.body.to_vec()).collect())
}

fn row(name: &'static str, image: Vec<u8>, is_writable: bool) -> Row {
    Row { name, image, arrives: Luma, problem: None, is_writable }
}

fn rows(folder: &Folder) -> Result<Vec<Row>> {
    let picture = Picture::made(SIZE.0, SIZE.1);
    let coded = |arguments: &[&str]| cjpeg(&picture, arguments);
    let good = coded(&["-sample", "2x2"])?;
    let progressive = coded(&["-sample", "2x2", "-progressive"])?;
    let full = coded(&["-sample", "1x1", "-restart", "3B"])?;
    let restarts = coded(&["-sample", "2x2", "-optimize", "-restart", "3B"])?;
    let progressive_restarts = coded(&["-sample", "2x2", "-progressive", "-restart", "5B"])?;
    let (dqt, sof, dht, sos) = (0xdb, 0xc0, 0xc4, 0xda);
    let comment = segment(0xfe, b"text \xff\xd9\xff\xda");
    let similar = |name, image| Row { arrives: Similar, ..row(name, image, true) };
    let stray = |name, image: Vec<u8>, at: usize| Row {
        problem: Some(("stray bytes between the segments of the image at byte", at)),
        ..row(name, image, true)
    };
    let mut rows = vec![row("as it is", good.clone(), true)];
    for (name, marker) in [
        ("a fill byte before DQT", dqt),
        ("a fill byte before SOF", sof),
        ("a fill byte before DHT", dht),
        ("a fill byte before SOS", sos),
    ] {
        rows.push(row(name, before(&good, marker, &[0xff])?, true));
    }
    let adobe_rgb = segment(0xee, b"Adobe\0d\0\0\0\0\0");
    rows.push(row("JFIF and Adobe RGB", before(&good, dqt, &adobe_rgb)?, true));
    let at = position(&good, dqt)?;
    rows.push(stray("a zero before DQT", before(&good, dqt, &[0])?, at));
    rows.push(stray("FF 00 before DQT", before(&good, dqt, &[0xff, 0])?, at));
    let commented = before(&good, dqt, &comment)?;
    rows.push(stray("608 bytes before COM", before(&commented, 0xfe, &[7; 608])?, at));
    for count in [8, 29] {
        let bytes = vec![3; count];
        rows.push(row("stray bytes before RSTn, 4:4:4", before_restarts(&full, &bytes)?, true));
        rows.push(row("the same, optimised", before_restarts(&restarts, &bytes)?, true));
        let image = before_restarts(&progressive_restarts, &bytes)?;
        rows.push(row("the same, progressive", image, false));
    }
    for (name, bytes) in [
        ("DNL after the scan", segment(0xdc, &[0, 48])),
        ("COM after the scan", comment),
        ("APP7 after the scan", segment(0xe7, b"\xff\xd9\xff\xd8")),
    ] {
        rows.push(row(name, before_end(&good, &bytes), true));
    }
    rows.push(row("progressive", progressive.clone(), false));
    rows.push(row("progressive, zeros after EOI", [&progressive[..], &[0; 7]].concat(), false));
    rows.push(row("zeros after EOI", [&good[..], &[0; 99]].concat(), true));
    for (name, arguments) in [
        ("ffmpeg's 4:4:4", &["-sample", "1x2,1x2,1x2"][..]),
        ("ffmpeg's 4:2:2", &["-sample", "2x2,1x2,1x2"]),
        ("4:4:0", &["-sample", "1x2"]),
        ("4:1:1", &["-sample", "4x1"]),
        ("grey", &["-grayscale"]),
        ("grey, 2x2", &["-grayscale", "-sample", "2x2"]),
        ("optimised", &["-sample", "2x1", "-optimize"]),
        ("tables of 16 bits", &["-sample", "2x2", "-quality", "3"]),
    ] {
        rows.push(row(name, coded(arguments)?, true));
    }
    rows.push(similar("RGB", coded(&["-rgb", "-quality", "95"])?));
    let cmyk = |[r, g, b]: [u8; 3]| [255 - r, 255 - g, 255 - b, 0];
    let pixels: Vec<u8> = picture.samples.as_chunks().0.iter().copied().flat_map(cmyk).collect();
    for (name, kind) in [("CMYK", ColorType::Cmyk), ("YCCK", ColorType::CmykAsYcck)] {
        let mut image = Vec::new();
        Encoder::new(&mut image, 95).encode(&pixels, 64, 48, kind)?;
        rows.push(similar(name, image));
    }
    let scaled = |first: u32| (0..64).map(move |at| (first + at / 5).to_string() + " ");
    let tables: String = scaled(4).chain(scaled(6)).chain(scaled(9)).collect();
    let tables = folder.file("tables", tables.as_bytes())?;
    let tables = tables.to_string_lossy();
    let image = coded(&["-sample", "2x2", "-qtables", &tables, "-qslots", "0,1,2"])?;
    rows.push(row("Cr has its own table", image, true));
    let mut extended = good.clone();
    extended[position(&good, sof)? + 1] = 0xc1;
    rows.push(row("extended", extended, true));
    rows.extend(carried(&good)?);
    Ok(rows)
}

/// Images that RTP/JPEG carries as they are, in unusual forms.
fn carried(good: &[u8]) -> Result<Vec<Row>> {
    let (dqt, dht) = (0xdb, 0xc4);
    let mut rows = Vec::new();
    // Those that RTP/JPEG carries.
    rows.push(row("no DHT", with_segments(good, dht, &[])?, true));
    let quantization = bodies(good, dqt)?;
    let segments =
        |bodies: &[Vec<u8>]| bodies.iter().map(|it| segment(dqt, it)).collect::<Vec<_>>();
    for (name, more) in [("three DQT", &[2][..]), ("four DQT", &[2, 3])] {
        let unused = more.iter().map(|table| [&[*table][..], &[9; 64]].concat());
        let all: Vec<_> = quantization.iter().cloned().chain(unused).collect();
        rows.push(row(name, with_segments(good, dqt, &segments(&all))?, true));
    }
    let image = with_segments(good, dqt, &segments(&[quantization.concat()]))?;
    rows.push(row("two tables in one DQT", image, true));
    let application: Vec<u8> =
        (0xe0..=0xef).flat_map(|it| segment(it, b"\xff\xd8\xff\xda?")).collect();
    rows.push(row("APP0 to APP15", before(good, dqt, &application)?, true));
    let thumbnail = cjpeg(&Picture::made(16, 16), &[])?;
    let exif = segment(0xe1, &[b"Exif\0\0", &thumbnail[..]].concat());
    rows.push(row("a thumbnail", before(good, dqt, &exif)?, true));
    rows.push(row("DRI 0", before(good, dqt, &segment(0xdd, &[0, 0]))?, true));
    let end = good.len();
    let other = cjpeg(&Picture::made(80, 48).part(16, 64), &["-sample", "2x2"])?;
    rows.push(Row {
        problem: Some(("another image follows at byte", end)),
        ..row("two images", [good, &other].concat(), true)
    });
    rows.push(Row { problem: Some(NO_END), ..row("no EOI", good[..end - 2].to_vec(), false) });
    Ok(rows)
}

/// Without an offset.
const NO_END: (&str, usize) =
    ("the image has no end marker (FF D9): it was truncated or never completed", usize::MAX);

/// What libjpeg shows, in three bytes a pixel.
fn shown(image: &[u8]) -> Result<Picture> {
    let mut picture = djpeg_despite_warnings(image, &[])?;
    if picture.samples.len() == (SIZE.0 * SIZE.1) as usize {
        picture.samples = picture.samples.into_iter().flat_map(|grey| [grey; 3]).collect();
    }
    Ok(picture)
}

/// Checks that a picture is about the one that libjpeg shows of a row.
fn check_shown(what: &str, row: &Row, picture: &Picture) -> Result<()> {
    let want = shown(&row.image)?;
    let (luma, all) = (psnr(&picture.luma(), &want.luma()), psnr(picture, &want));
    let name = row.name;
    anyhow::ensure!(luma > 28.0 && all > 20.0, "{what}, {name}: luma {luma:.1} dB, {all:.1} dB");
    Ok(())
}

#[test]
fn every_program_shows_what_libjpeg_shows() -> Result<()> {
    let folder = Folder::new()?;
    let rows = rows(&folder)?;
    let images: Vec<Vec<u8>> = rows.iter().map(|row| row.image.clone()).collect();
    let movie = folder.file("movie.Mjpeg", &movies::movie(&images)?)?;
    let mut server = Server::start([&movie], 1)?;
    let url = server.urls[0].clone();
    // ffmpeg.
    let pixels = (SIZE.0 * SIZE.1) as usize;
    for transport in ["tcp", "udp"] {
        let luma = ffmpeg::stream_luma(&url, transport)?;
        assert_eq!(luma.len(), rows.len() * pixels, "{transport}: {}", server.log()?);
        for (row, got) in rows.iter().zip(luma.chunks(pixels)) {
            let want = match row.arrives {
                Luma => djpeg_despite_warnings(&row.image, &["-grayscale"])?,
                Similar => shown(&row.image)?.luma(),
            };
            let got = Picture { width: SIZE.0, height: SIZE.1, samples: got.to_vec() };
            // ffmpeg's inverse transform rounds in another way than libjpeg's.
            let limit = if row.arrives == Luma { 55.0 } else { 28.0 };
            let psnr = psnr(&got, &want);
            assert!(psnr > limit, "{transport}, {}: {psnr:.1} dB", row.name);
        }
    }
    // Our client, over both protocols and from the file.
    let lab = url.replace("rtsp://", "labrtsp://");
    for source in [url, lab, movie.to_string_lossy().into_owned()] {
        let frames = saved(&source, &["--transport", "tcp"])?;
        assert_eq!(frames.len(), rows.len(), "{source}");
        for (row, frame) in rows.iter().zip(&frames) {
            check_shown(&source, row, &Picture::from_png(frame)?)?;
        }
    }
    // A lab client gets each image as it is in the file.
    let mut client = LabClient::connect(&server)?;
    client.play()?;
    for row in &rows {
        assert!(client.packet()?.1 == row.image, "{}", row.name);
    }
    server.is_well()?;
    check_tools(&folder, &movie, &rows)
}

/// The tool and the muxer.
fn check_tools(folder: &Folder, movie: &Path, rows: &[Row]) -> Result<()> {
    let (mut offset, mut problems) = (0, String::new());
    for (number, row) in (1..).zip(rows) {
        let start = offset + 5;
        offset = start + row.image.len();
        assert_eq!(writable(&row.image).is_ok(), row.is_writable, "{}", row.name);
        if let Some((text, at)) = row.problem {
            let place = if at == usize::MAX { String::new() } else { format!(" {}", start + at) };
            writeln!(problems, "frame {number}, byte {start}: {text}{place}")?;
        }
    }
    let done = run(program("mjpeg-movie")?.arg("check").arg(movie), LIMIT)?;
    assert_eq!(String::from_utf8_lossy(&done.stdout), problems);
    let (out, made) = (folder.path().join("out.mjpeg"), folder.path().join("made.mjpeg"));
    let mut repair = program("mjpeg-movie")?;
    let done = run(repair.arg("repair").args([movie, &out]), LIMIT)?;
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    let read = |path: &Path| {
        let line =
            format!("mjpegfilesrc location={} ! appsink name=out sync=false", path.display());
        movies::pull_all(&line)
    };
    let mut repaired = read(&out)?.into_iter();
    for row in rows {
        let image = repaired.next().context("an image is missing")?;
        assert!(djpeg_despite_warnings(&image, &[])? == djpeg_despite_warnings(&row.image, &[])?);
        let is_changed = image != row.image;
        assert_eq!(is_changed, row.problem.is_some(), "{}", row.name);
        if row.name == "two images" {
            repaired.next().context("the second image is missing")?;
        }
    }
    assert_eq!(repaired.next(), None);
    let mut make = program("mjpeg-movie")?;
    let done = run(make.args(["make", "--quality", "95"]).args([movie, &made]), LIMIT)?;
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    for (row, frame) in rows.iter().zip(&read(&made)?) {
        check_shown("make", row, &shown(frame)?)?;
    }
    let muxed = movies::pull_all(&format!(
        "mjpegfilesrc location={} ! mjpegfilemux bad-frames=drop ! appsink name=out sync=false",
        movie.display()
    ))?;
    let writable: Vec<Vec<u8>> =
        rows.iter().filter(|row| row.is_writable).map(|row| row.image.clone()).collect();
    assert!(muxed.concat() == movies::movie(&writable)?);
    Ok(())
}

/// One frame is lost for each image that must not reach a decoder, and the stream continues.
#[test]
fn damaged_images_cost_one_frame_each() -> Result<()> {
    let folder = Folder::new()?;
    let images = movies::images(3, "I420")?;
    let damaged = broken::images(&images[0])?;
    let mut all = vec![images[0].clone()];
    for (_, image) in &damaged {
        all.extend([image.clone(), images[1].clone()]);
    }
    all.push(images[2].clone());
    let movie = folder.file("movie.mjpeg", &movies::movie(&all)?)?;
    let want = [vec![images[0].clone()], vec![images[1].clone(); damaged.len()]].concat();
    let want = [&want[..], &images[2..]].concat();
    let checksums = ffmpeg::file_checksums(&folder.file("plain", &want.concat())?)?;
    let mut server = Server::start([&movie], 1)?;
    let url = server.urls[0].clone();
    for transport in ["tcp", "udp"] {
        let got = ffmpeg::stream_checksums(&url, transport)?;
        assert_eq!(got, checksums, "{transport}: {}", server.log()?);
    }
    let (code, summary, stderr) = headless(&["--transport", "tcp", &url])?;
    assert_eq!((code, &summary["frames"]), (Some(0), &want.len().into()), "{stderr}");
    // Each kind is named once, and all are counted.
    let log = server.log()?;
    let kinds = log.lines().filter(|line| line.contains("frame dropped (")).count();
    assert!(kinds > 5 && kinds <= damaged.len(), "{log}");
    let total = format!("dropped={}", damaged.len());
    server.wait_for_log("frames dropped in total by this stream", LIMIT);
    assert!(server.log()?.contains(&total), "{}", server.log()?);
    server.is_well()
}
