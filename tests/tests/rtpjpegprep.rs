// SPDX-License-Identifier: MIT OR Apache-2.0
//! The element `rtpjpegprep`, and what arrives over RTSP of movies that need it.

use crate::lab_server::LabClient;
use anyhow::{Context, Result};
use gst::prelude::*;
use jpeg_encoder::{ColorType, Encoder};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::ffmpeg;
use mjpeg_rtsp_tests::peer::libjpeg::{Picture, cjpeg, djpeg, psnr};
use mjpeg_rtsp_tests::peer::rtsp_client::RtspClient;
use mjpeg_rtsp_tests::pipeline::{TestPipeline, bytes};
use mjpeg_rtsp_tests::programs::{Server, normalized};
use std::ffi::OsStr;
use std::time::Duration;

/// What the element makes of images, its statistics, and what it posts on the bus.
struct Run {
    out: Vec<gst::Sample>,
    stats: gst::Structure,
    /// The kinds of frames that its element messages name, and the reasons.
    kinds: Vec<String>,
    reasons: Vec<String>,
    warnings: Vec<String>,
}

fn run(images: &[Vec<u8>], set: impl FnOnce(&gst::Element)) -> Result<Run> {
    let pipeline = TestPipeline::launch(
        "appsrc name=in format=time ! rtpjpegprep name=prepare ! appsink name=out sync=false",
    )?;
    let source: gst_app::AppSrc = pipeline.element("in")?;
    let prepare: gst::Element = pipeline.element("prepare")?;
    set(&prepare);
    source.set_caps(Some(&gst::Caps::builder("image/jpeg").build()));
    pipeline.play()?;
    for (number, image) in (0..).zip(images) {
        let mut buffer = gst::Buffer::from_slice(image.clone());
        let stamped = buffer.get_mut().context("shared")?;
        stamped.set_pts(gst::ClockTime::from_mseconds(50 * number));
        stamped.set_offset(number);
        source.push_buffer(buffer)?;
    }
    source.end_of_stream()?;
    let out = pipeline.samples()?;
    let messages = pipeline.messages();
    let structures = messages.iter().filter(|it| it.type_() == gst::MessageType::Element);
    let structures: Vec<_> = structures.filter_map(|it| it.structure()).collect();
    let texts = |field: &str| structures.iter().filter_map(|it| it.get(field).ok()).collect();
    let (kinds, reasons) = (texts("kind"), texts("reason"));
    let stats = prepare.property("stats");
    Ok(Run { out, stats, kinds, reasons, warnings: pipeline.warnings() })
}

#[test]
fn one_bad_frame_costs_one_frame_and_each_kind_is_counted() -> Result<()> {
    let picture = Picture::made(61, 43);
    let carried = cjpeg(&picture, &["-sample", "2x2"])?;
    let optimised = cjpeg(&picture, &["-sample", "2x2", "-optimize"])?;
    let full = cjpeg(&picture, &["-sample", "1x1"])?;
    let half = carried[..carried.len() - 40].to_vec();
    let no_end = carried[..carried.len() - 2].to_vec();
    let junk = [&carried[..], &[0; 9]].concat();
    let arithmetic = cjpeg(&picture, &["-arithmetic"])?;
    let rgb = cjpeg(&picture, &["-rgb"])?;
    let images =
        [&carried, &optimised, &half, &half, &full, &no_end, &junk, &arithmetic, &rgb, &carried]
            .map(Clone::clone);
    let run = run(&images, |_| {})?;
    let offsets: Vec<u64> =
        run.out.iter().filter_map(|it| it.buffer()).map(gst::BufferRef::offset).collect();
    assert_eq!(offsets, [0, 1, 4, 5, 6, 8, 9]);
    for index in [0, 3, 4, 6] {
        assert!(bytes(&run.out[index])? == carried, "image {index} is the first one");
    }
    let count = |name: &str| run.stats.get::<u64>(name);
    let counts = ["as-is", "exact", "luma-exact", "lossy", "dropped"].map(count);
    assert_eq!(counts, [Ok(4), Ok(1), Ok(1), Ok(1), Ok(3)], "{}", run.stats);
    let kinds = run.stats.get::<gst::Structure>("kinds")?;
    assert_eq!(kinds.get::<u64>("scan-cut")?, 2, "{kinds}");
    let want = ["huffman-tables", "scan-cut", "sampling-factors", "process", "rgb"];
    assert_eq!(run.kinds, want);
    assert_eq!(run.warnings.len(), 2, "{:?}", run.warnings);
    assert!(run.warnings[0].starts_with("frame 3 dropped"), "{:?}", run.warnings);
    for sample in &run.out {
        let caps = sample.caps().context("no caps")?;
        assert_eq!(caps.structure(0).and_then(|it| it.get::<bool>("parsed").ok()), Some(true));
    }
    Ok(())
}

#[test]
fn images_that_cannot_be_recoded_are_decoded_and_encoded_again() -> Result<()> {
    let picture = Picture::made(384, 288);
    let rows: &[(&str, &[&str])] =
        &[("RGB", &["-rgb", "-quality", "95"]), ("thirds", &["-sample", "3x1", "-quality", "95"])];
    for (name, arguments) in rows {
        let jpeg = cjpeg(&picture, arguments)?;
        let run = run(std::slice::from_ref(&jpeg), |_| {})?;
        let got = djpeg(&bytes(run.out.first().context(*name)?)?, &["-grayscale"])?;
        let want =
            djpeg(&cjpeg(&picture, &["-quality", "100", "-sample", "1x1"])?, &["-grayscale"])?;
        let psnr = psnr(&got, &want);
        assert!(psnr > 35.0, "{name}: {psnr:.1} dB");
    }
    // Over 2040 pixels a side: scaled, with the same aspect ratio.
    let wide = cjpeg(&Picture::made(2560, 1280), &["-sample", "2x2"])?;
    let small = cjpeg(&picture, &["-sample", "2x2"])?;
    let size = |run: &Run, index: usize| {
        let sample = run.out.get(index)?;
        gstmjpegfile::jpeg::frame_size(&bytes(sample).ok()?)
    };
    let free = run(&[wide.clone(), small.clone()], |_| {})?;
    assert_eq!((size(&free, 0), size(&free, 1)), (Some((2040, 1020)), Some((384, 288))));
    let kept = run(&[small, wide], |prepare| prepare.set_property("keep-size", true))?;
    assert_eq!((size(&kept, 0), size(&kept, 1)), (Some((384, 288)), Some((384, 288))));
    assert_eq!(kept.stats.get::<u64>("lossy"), Ok(1));
    Ok(())
}

/// A movie of pictures that differ, each made by cjpeg with `arguments`.
fn cjpeg_movie(size: (u32, u32), count: u32, arguments: &[&str]) -> Result<Vec<Vec<u8>>> {
    let whole = Picture::made(size.0 + count, size.1);
    let image = |shift: u32| cjpeg(&whole.part(shift, size.0), arguments);
    (0..count).map(image).collect()
}

#[test]
fn movies_that_rtp_cannot_carry_arrive_with_every_pixel_or_luma_sample() -> Result<()> {
    let folder = Folder::new()?;
    // Name, cjpeg's options, and whether every pixel must arrive or every luma sample.
    let rows: &[(&str, &[&str], bool)] = &[
        ("optimised", &["-sample", "2x2", "-optimize"], true),
        ("restarts", &["-sample", "2x2", "-restart", "1"], true),
        ("optimised422", &["-sample", "2x1", "-optimize", "-restart", "1"], true),
        ("progressive", &["-sample", "2x2", "-progressive"], true),
        ("ffmpeg422", &["-sample", "2x2,1x2,1x2", "-optimize"], true),
        ("full", &["-sample", "1x1", "-optimize"], false),
        ("ffmpeg444", &["-sample", "1x2,1x2,1x2", "-optimize"], false),
        ("rows", &["-sample", "1x2"], false),
        ("quarter", &["-sample", "4x1"], false),
        ("grey", &["-grayscale"], false),
    ];
    let mut want = Vec::new();
    for (name, arguments, exact) in rows {
        let images = cjpeg_movie((384, 288), 12, arguments)?;
        folder.file(&format!("{name}.mjpeg"), &movies::movie(&images)?)?;
        let plain = folder.file(name, &images.concat())?;
        want.push(if *exact {
            (ffmpeg::file_checksums(&plain)?, Vec::new())
        } else {
            (Vec::new(), ffmpeg::file_luma(&plain)?)
        });
    }
    let mut server = Server::start([folder.path()], rows.len())?;
    for ((name, _, exact), (checksums, luma)) in rows.iter().zip(want) {
        let url = format!("rtsp://{}/{name}.mjpeg", server.address()?);
        for transport in ["tcp", "udp"] {
            if *exact {
                let got = ffmpeg::stream_checksums(&url, transport)?;
                assert_eq!(got, checksums, "{name}, {transport}");
            } else {
                let got = ffmpeg::stream_luma(&url, transport)?;
                assert!(got == luma, "{name}, {transport}: {} of {}", got.len(), luma.len());
            }
        }
        // GStreamer's receiver reassembles the images; ffmpeg decodes them.
        let line = format!("rtspsrc location={url} protocols=tcp latency=200 ! rtpjpegdepay");
        let received = movies::pull_all(&format!("{line} ! appsink name=out sync=false"))?;
        let received = folder.file("received", &received.concat())?;
        if *exact {
            assert_eq!(ffmpeg::file_checksums(&received)?, checksums, "{name}, GStreamer");
        } else {
            assert!(ffmpeg::file_luma(&received)? == luma, "{name}, GStreamer");
        }
    }
    server.is_well()
}

#[test]
fn cmyk_images_become_ycbcr() -> Result<()> {
    let picture = Picture::made(64, 48);
    let cmyk = |[r, g, b]: [u8; 3]| [255 - r, 255 - g, 255 - b, 0];
    let pixels: Vec<u8> = picture.samples.as_chunks().0.iter().copied().flat_map(cmyk).collect();
    for kind in [ColorType::Cmyk, ColorType::CmykAsYcck] {
        let mut jpeg = Vec::new();
        Encoder::new(&mut jpeg, 95).encode(&pixels, 64, 48, kind)?;
        let run = run(std::slice::from_ref(&jpeg), |_| {})?;
        let got = djpeg(&bytes(run.out.first().with_context(|| format!("{kind:?}"))?)?, &[])?;
        for (name, want) in [("djpeg", djpeg(&jpeg, &[])?), ("the picture", picture.clone())] {
            let luma = psnr(&got.luma(), &want.luma());
            assert!(luma > 35.0, "{kind:?}, {name}: {luma:.1} dB");
        }
    }
    Ok(())
}

/// Damages an image whose scan header starts at an offset.
type Damage = fn(&mut Vec<u8>, usize);

#[test]
fn images_that_crash_rtpjpegpay_never_reach_it() -> Result<()> {
    let folder = Folder::new()?;
    let good = cjpeg_movie((64, 48), 8, &["-sample", "2x2", "-optimize"])?;
    let sos = |image: &[u8]| image.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap_or(0);
    let damages: [(&str, Damage); 8] = [
        ("scan header cut", |image, sos| image.truncate(sos + 6)),
        ("scan header lies", |image, sos| image[sos + 3] = 200),
        ("scan header of length 0", |image, sos| image[sos + 3] = 0),
        ("scan of 9 components", |image, sos| image[sos + 4] = 9),
        ("ends after the scan header", |image, sos| image.truncate(sos + 14)),
        ("marker inside the scan", |image, sos| {
            image[sos + 30..sos + 32].copy_from_slice(&[0xff, 0xdb]);
        }),
        ("cut", |image, _| image.truncate(image.len() - 60)),
        ("no scan", |image, sos| image.truncate(sos)),
    ];
    let mut images = good.clone();
    for (index, (_, damage)) in damages.iter().enumerate() {
        let mut image = good[0].clone();
        let at = sos(&image);
        damage(&mut image, at);
        images.insert(index * 2, image);
    }
    let movie = folder.file("movie.mjpeg", &movies::movie(&images)?)?;
    let want = ffmpeg::file_checksums(&folder.file("good", &good.concat())?)?;
    let mut server = Server::start([movie], 1)?;
    for transport in ["tcp", "udp"] {
        let got = ffmpeg::stream_checksums(&server.urls[0], transport)?;
        assert_eq!(got, want, "{transport}: {}", server.log()?);
    }
    server.is_well()
}

#[test]
fn odd_and_large_sizes_arrive_whole() -> Result<()> {
    let folder = Folder::new()?;
    for (size, name) in [((61, 43), "small"), ((1920, 1080), "large")] {
        for (sample, kind) in [("2x2", "420"), ("1x1", "444")] {
            let images = cjpeg_movie(size, 5, &["-sample", sample, "-optimize", "-quality", "15"])?;
            folder.file(&format!("{name}{kind}.mjpeg"), &movies::movie(&images)?)?;
            folder.file(&format!("{name}{kind}"), &images.concat())?;
        }
    }
    let mut server = Server::start([folder.path()], 4)?;
    for (size, name) in [((61_usize, 43_usize), "small"), ((1920, 1080), "large")] {
        for kind in ["420", "444"] {
            let name = format!("{name}{kind}");
            let url = format!("rtsp://{}/{name}.mjpeg", server.address()?);
            let want = ffmpeg::file_luma(&folder.path().join(&name))?;
            let got = ffmpeg::stream_luma(&url, "tcp")?;
            // RFC 2435 states sizes in units of 8 pixels, so receivers show the padding.
            let wide = size.0.div_ceil(8) * 8;
            let high = size.1.div_ceil(8) * 8;
            assert_eq!((want.len(), got.len()), (5 * size.0 * size.1, 5 * wide * high), "{name}");
            for (frame, (want, got)) in
                want.chunks(size.0 * size.1).zip(got.chunks(wide * high)).enumerate()
            {
                let rows = want.chunks(size.0).zip(got.chunks(wide));
                for (row, (want, got)) in rows.enumerate() {
                    assert!(want == &got[..size.0], "{name}, frame {frame}, row {row}");
                }
            }
        }
    }
    server.is_well()
}

#[test]
fn a_session_keeps_the_size_of_its_first_frame() -> Result<()> {
    let folder = Folder::new()?;
    let mut images = cjpeg_movie((192, 144), 5, &["-sample", "2x2"])?;
    for (size, sample) in [((384, 288), "2x2"), ((97, 61), "1x1"), ((192, 144), "2x2")] {
        images.extend(cjpeg_movie(size, 5, &["-sample", sample])?);
    }
    let movie = folder.file("movie.mjpeg", &movies::movie(&images)?)?;
    let want = ffmpeg::file_luma(&folder.file("first", &images[..5].concat())?)?;
    let mut server = Server::start([movie], 1)?;
    let got = ffmpeg::stream_luma(&server.urls[0], "tcp")?;
    assert_eq!(got.len(), 20 * 192 * 144);
    assert!(got[..want.len()] == want, "the first five");
    assert!(got[3 * want.len()..] == want, "the last five");
    server.is_well()
}

/// The columns of a picture of one byte a pixel, from `from` up to `to`.
fn columns(luma: &[u8], width: usize, from: usize, to: usize) -> Vec<u8> {
    luma.chunks(width).flat_map(|row| &row[from..to]).copied().collect()
}

/// Ten pictures of 192x144 and ten of 144x192, whose middle part is bright.
fn landscape_and_portrait() -> Result<Vec<Vec<u8>>> {
    let bright = |width: u32, height: u32| {
        let samples = vec![200; (3 * width * height) as usize];
        cjpeg(&Picture { width, height, samples }, &["-sample", "2x2"])
    };
    Ok([vec![bright(192, 144)?; 10], vec![bright(144, 192)?; 10]].concat())
}

/// Checks that a luma plane of 192x144 has a bright picture of 108x144 between black bars.
fn check_letterboxed(luma: &[u8], name: &str) {
    let bars = [columns(luma, 192, 0, 42), columns(luma, 192, 150, 192)].concat();
    assert!(bars.iter().all(|it| *it < 3), "{name}: bars up to {:?}", bars.iter().max());
    let middle = columns(luma, 192, 44, 148);
    let is_bright = middle.iter().all(|it| it.abs_diff(200) < 3);
    assert!(is_bright, "{name}: {:?} to {:?}", middle.iter().min(), middle.iter().max());
}

#[test]
fn pictures_of_another_size_keep_their_aspect_ratio() -> Result<()> {
    let folder = Folder::new()?;
    let images = landscape_and_portrait()?;
    let reason = "the picture of 144x192 pixels is fitted into the first frame's 192x144, with black \
                  bars where its aspect ratio differs";
    let movie = folder.file("movie.mjpeg", &movies::movie(&images)?)?;
    let mut server = Server::start([&movie], 1)?;
    let url = server.urls[0].clone();
    let frame = 192 * 144;
    // The size is that of the movie's first frame, wherever the play starts.
    let whole = ffmpeg::stream_luma(&url, "tcp")?;
    let part = ffmpeg::stream_luma_from(&url, "udp", "0.6")?;
    assert_eq!((whole.len(), part.len() % frame), (20 * frame, 0), "{} bytes", part.len());
    assert!(part.len() >= 4 * frame, "{} bytes", part.len());
    for (number, luma) in whole.chunks(frame).enumerate() {
        if number < 10 {
            assert!(luma.iter().all(|it| it.abs_diff(200) < 3), "frame {number}");
        } else {
            check_letterboxed(luma, &format!("frame {number}"));
        }
    }
    for luma in part.chunks(frame) {
        check_letterboxed(luma, "after a seek");
    }
    server.wait_for_log("frames of another size follow", Duration::from_secs(10));
    let log = normalized(&server.log()?, &[(&movie.to_string_lossy(), "MOVIE")]);
    let said: Vec<&str> = log.lines().filter(|line| line.contains("another size")).collect();
    let want = format!("INFO frames of another size follow: {reason} path=MOVIE frame=11");
    assert_eq!(said, [want.as_str()], "{log}");
    server.is_well()?;
    // The element, whatever the reason for which the first frames were converted.
    let kept = run(&images, |prepare| prepare.set_property("keep-size", true))?;
    assert_eq!(kept.kinds, ["other-size"]);
    assert_eq!(kept.reasons, [reason]);
    assert_eq!(kept.out.len(), 20);
    for sample in &kept.out[10..] {
        check_letterboxed(&djpeg(&bytes(sample)?, &["-grayscale"])?.samples, "the element");
    }
    // The lab's clients get each frame as it is.
    let mut lab = LabClient::connect(&server)?;
    lab.play()?;
    for image in &images {
        assert!(lab.packet()?.1 == *image);
    }
    server.is_well()
}

/// The check at DESCRIBE reads 64 frames.
#[test]
fn a_size_that_changes_late_is_said_once() -> Result<()> {
    let folder = Folder::new()?;
    let images = landscape_and_portrait()?;
    let images = [vec![images[0].clone(); 70], images[10..].to_vec()].concat();
    let movie = folder.file("movie.mjpeg", &movies::movie(&images)?)?;
    let mut server = Server::start([&movie], 1)?;
    let url = server.urls[0].clone();
    for transport in ["tcp", "udp"] {
        let luma = ffmpeg::stream_luma_from(&url, transport, "3")?;
        check_letterboxed(&luma[luma.len() - 192 * 144..], transport);
    }
    server.wait_for_log("frames of another size follow", Duration::from_secs(10));
    let log = server.log()?;
    assert_eq!(log.matches("frames of another size follow").count(), 1, "{log}");
    server.is_well()
}

#[test]
fn a_session_states_the_true_size_and_the_log_what_players_show() -> Result<()> {
    let folder = Folder::new()?;
    let rows = [
        ("426x240", (426, 240), (426, 240), Some("432x240")),
        ("480x270", (480, 270), (480, 270), Some("480x272")),
        ("480x272", (480, 272), (480, 272), None),
        ("2560x1440", (2560, 1440), (2040, 1148), Some("2040x1152")),
    ];
    for (name, size, ..) in rows {
        let image = cjpeg(
            &Picture::made(size.0, size.1),
            &["-sample", "2x2", "-quality", "9", "-baseline"],
        )?;
        folder.file(&format!("{name}.mjpeg"), &movies::movie(&vec![image; 3])?)?;
    }
    let mut server = Server::start([folder.path()], rows.len())?;
    for (name, size, (width, height), padded) in rows {
        let url = format!("rtsp://{}/{name}.mjpeg", server.address()?);
        let sdp =
            RtspClient::connect(server.address()?)?.request(&format!("DESCRIBE {url}"), "")?;
        let stated =
            format!("a=x-dimensions:{width},{height}\r\na=framesize:26 {width}-{height}\r\n");
        assert!(sdp.body.contains(&stated), "{}", sdp.body);
        let shown = padded.map(|padded| {
            format!(
                "INFO mjpeg-rtsp-client shows {width}x{height} pixels, most other players {padded}: \
                 RTP/JPEG counts in blocks of 8 pixels mount=/{name}.mjpeg"
            )
        });
        let sent = if size == (width, height) {
            format!("INFO sent as it is in the file mount=/{name}.mjpeg")
        } else {
            format!(
                "INFO decoded and encoded again: the picture size {name} exceeds 2040 pixels per side; \
                 sent as {width}x{height} mount=/{name}.mjpeg frame=1"
            )
        };
        let want: Vec<String> = [Some(sent), shown].into_iter().flatten().collect();
        let last = want.last().map_or("", |line| line.trim_start_matches("INFO "));
        server.wait_for_log(last, Duration::from_secs(10));
        let log = server.log()?;
        let log = normalized(&log, &[]);
        let of_mount: Vec<&str> =
            log.lines().filter(|line| line.contains(&format!("mount=/{name}.mjpeg"))).collect();
        assert_eq!(of_mount, want, "{log}");
    }
    server.is_well()
}

#[test]
fn the_log_names_the_conversion_once_and_each_dropped_kind_once() -> Result<()> {
    let folder = Folder::new()?;
    let mut images = cjpeg_movie((64, 48), 20, &["-sample", "1x1"])?;
    for frame in [3, 7, 9] {
        let cut = images[frame].len() - 40;
        images[frame].truncate(cut);
    }
    let movie = folder.file("movie.mjpeg", &movies::movie(&images)?)?;
    // After three records and the length digits of the fourth.
    let offset = movies::movie(&images[..3])?.len() + 5;
    let mut server =
        Server::start([OsStr::new("--log"), OsStr::new("debug"), movie.as_os_str()], 1)?;
    let url = server.urls[0].clone();
    for _ in 0..2 {
        assert_eq!(ffmpeg::stream_luma(&url, "tcp")?.len(), 17 * 64 * 48);
    }
    server.wait_for_log("frames dropped in total by this stream", Duration::from_secs(10));
    let log = server.log()?;
    let log = normalized(&log, &[(&movie.to_string_lossy(), "MOVIE")]);
    let conversions: Vec<&str> = log.lines().filter(|it| it.contains("recoded, luma")).collect();
    let conversion = "recoded, luma the same, chroma resampled: sampling factors [(1, 1), (1, 1), \
                      (1, 1)] (horizontal, vertical) instead of 4:2:2 or 4:2:0";
    let [mount, frame] = conversions[..] else { anyhow::bail!("{log}") };
    assert_eq!(mount, format!("INFO {conversion} mount=/movie.mjpeg frame=1"));
    // Two threads encode; either may be the first.
    let (before, after) = frame.split_once(" frame=").context("no frame")?;
    assert_eq!(before, format!("DEBUG {conversion} path=MOVIE"));
    assert!(after.ends_with(" kind=\"sampling-factors\""), "{after}");
    let dropped: Vec<&str> = log.lines().filter(|it| it.contains("frame dropped (")).collect();
    let want = format!(
        "WARN frame dropped (further ones of this kind are counted): damaged: the image is truncated: \
         the end of its scan is missing path=MOVIE frame=4 offset={offset} kind=\"scan-cut\""
    );
    assert_eq!(dropped, [want]);
    server.is_well()
}
