// SPDX-License-Identifier: MIT OR Apache-2.0
//! The element `mjpegfilesrc`: its buffers, messages, and answers to queries and seeks.

use anyhow::{Context, Result};
use gst::prelude::*;
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::pipeline::{DEADLINE, TestPipeline, buffer, bytes, pts};
use mjpeg_rtsp_tests::wait_until;
use std::path::Path;

/// A movie in a pipeline of the source and an appsink.
struct Playing {
    pipeline: TestPipeline,
    source: gst::Element,
}

impl Playing {
    fn new(movie: &Path, set: impl FnOnce(&gst::Element)) -> Result<Self> {
        mjpeg_rtsp_tests::init();
        let source = gst::ElementFactory::make("mjpegfilesrc")
            .property("location", movie.to_string_lossy().as_ref())
            .build()?;
        set(&source);
        let sink = gst_app::AppSink::builder().name("out").sync(false).max_buffers(4).build();
        let pipeline = TestPipeline::linked(&[&source, sink.upcast_ref()])?;
        Ok(Self { pipeline, source })
    }

    /// Plays a movie of images, which is in the folder.
    fn started(images: &[Vec<u8>], set: impl FnOnce(&gst::Element)) -> Result<(Folder, Self)> {
        let folder = Folder::new()?;
        let movie = folder.file("movie", &movies::movie(images)?)?;
        let playing = Self::new(&movie, set)?;
        playing.start()?;
        Ok((folder, playing))
    }

    fn start(&self) -> Result<()> {
        self.pipeline.play()?;
        self.pipeline.wait_for_state()
    }

    /// Offset, time stamp in milliseconds and bytes of the next frames, up to `limit`.
    fn frames(&self, limit: usize) -> Result<Vec<(u64, u64, Vec<u8>)>> {
        let mut frames = Vec::new();
        while frames.len() < limit
            && let Some(sample) = self.pipeline.next_sample()?
        {
            let buffer = buffer(&sample)?;
            assert_eq!(buffer.duration(), Some(gst::ClockTime::from_mseconds(50)));
            frames.push((buffer.offset(), pts(&sample)?.mseconds(), bytes(&sample)?));
        }
        Ok(frames)
    }

    /// Texts of the warnings so far.
    fn warnings(&self) -> Vec<String> {
        self.pipeline.warnings()
    }
}

/// `count` different frames with SOI, a size and EOI.
fn frames(count: u8) -> Vec<Vec<u8>> {
    frames_of(count, 40)
}

/// Frames as [`frames`] makes them, with `bytes` bytes of image data.
fn frames_of(count: u8, bytes: usize) -> Vec<Vec<u8>> {
    let frame = |number| {
        let sof = [0xff, 0xc0, 0, 17, 8, 0, 16, 0, 32, 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1];
        [&[0xff, 0xd8][..], &sof, &vec![number; bytes], &[0xff, 0xd9]].concat()
    };
    (0..count).map(frame).collect()
}

fn expected(
    images: &[Vec<u8>],
    numbers: impl IntoIterator<Item = u64>,
) -> Vec<(u64, u64, Vec<u8>)> {
    let count = images.len() as u64;
    let frame =
        |n: u64| (n % count, n * 50, images[usize::try_from(n % count).expect("small")].clone());
    numbers.into_iter().map(frame).collect()
}

/// The duration, once the thread that finds the frames has found all.
fn known_duration(element: &impl IsA<gst::Element>) -> Option<gst::ClockTime> {
    let mut duration = None;
    wait_until("the duration", DEADLINE.into(), || {
        duration = element.query_duration::<gst::ClockTime>();
        duration.is_some()
    });
    duration
}

#[test]
fn every_frame_is_pushed_unchanged_with_its_time_and_number() -> Result<()> {
    let images = frames(30);
    let (_folder, playing) = Playing::started(&images, |_| {})?;
    let caps = playing.source.static_pad("src").and_then(|pad| pad.current_caps());
    let want =
        "image/jpeg, parsed=(boolean)true, width=(int)32, height=(int)16, framerate=(fraction)20/1";
    assert_eq!(caps.context("no caps")?, want.parse::<gst::Caps>()?);
    let duration = known_duration(&playing.source);
    assert_eq!(duration, Some(gst::ClockTime::from_mseconds(1500)));
    let frames = playing.source.query_duration::<gst::format::Default>();
    assert_eq!(frames.map(|frames| *frames), Some(30));
    assert_eq!(playing.frames(100)?, expected(&images, 0..30));
    assert_eq!(playing.source.property::<u64>("frames"), 30);
    assert_eq!(playing.warnings(), [""; 0]);
    Ok(())
}

#[test]
fn seeks_are_exact_in_time_and_in_frames() -> Result<()> {
    let images = frames(30);
    let (_folder, playing) = Playing::started(&images, |_| {})?;
    let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE;
    let ms = gst::ClockTime::from_mseconds;
    for (start, stop, want) in
        [(500, None, 10..30), (549, None, 10..30), (550, Some(700), 11..14), (9000, None, 29..30)]
    {
        let set = gst::SeekType::Set;
        // A seek during the change back to PLAYING after another one may bring no frame.
        playing.pipeline.wait_for_state()?;
        playing.source.seek(1.0, flags, set, ms(start), set, stop.map(ms))?;
        assert_eq!(playing.frames(100)?, expected(&images, want), "{start} to {stop:?} ms");
    }
    let frame = gst::format::Default::from_u64(7);
    playing.pipeline.wait_for_state()?;
    playing.source.seek_simple(flags, frame)?;
    assert_eq!(playing.frames(100)?, expected(&images, 7..30), "frame 7");
    Ok(())
}

/// Rate, flags, start and stop in ms, the frames.
type Row = (f64, gst::SeekFlags, u64, Option<u64>, Vec<u64>);

#[test]
fn rates_leave_out_repeat_and_reverse_frames() -> Result<()> {
    let images = frames(30);
    let (_folder, playing) = Playing::started(&images, |_| {})?;
    let (ms, set) = (gst::ClockTime::from_mseconds, gst::SeekType::Set);
    let key_units = gst::SeekFlags::TRICKMODE | gst::SeekFlags::TRICKMODE_KEY_UNITS;
    let none = gst::SeekFlags::empty();
    let rows: Vec<Row> = vec![
        (2.0, none, 1000, None, (20..30).collect()),
        (0.5, key_units, 1300, None, (26..30).collect()),
        (4.0, key_units, 500, None, vec![10, 14, 18, 22, 26]),
        (8.0, key_units, 0, Some(900), vec![0, 8, 16]),
        (-1.0, none, 0, Some(500), (0..10).rev().collect()),
        (-1.0, none, 220, Some(460), (4..10).rev().collect()),
        (-1.0, none, 1200, None, (24..30).rev().collect()),
        (-0.5, none, 1350, Some(99_999), (27..30).rev().collect()),
        (-4.0, key_units, 0, Some(800), vec![15, 11, 7, 3, 0]),
        (1.0, none, 1400, None, vec![28, 29]),
    ];
    for (rate, flags, start, stop, want) in rows {
        let flags = flags | gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE;
        playing.source.seek(rate, flags, set, ms(start), set, stop.map(ms))?;
        // Seeks before the pipeline is back in PLAYING can leave it in PAUSED.
        playing.pipeline.wait_for_state()?;
        let got = playing.frames(100)?;
        assert!(got == expected(&images, want.clone()), "{rate} {start} {stop:?}: {want:?}");
    }
    Ok(())
}

#[test]
fn a_decoder_shows_it_backwards_and_frames_step_one_by_one() -> Result<()> {
    let folder = Folder::new()?;
    let movie = folder.file("movie", &movies::movie(&movies::images(30, "I420")?)?)?;
    let line = format!(
        "mjpegfilesrc location={} ! jpegdec ! appsink name=out sync=false max-buffers=4",
        movie.display()
    );
    let pipeline = TestPipeline::launch(&line)?;
    pipeline.set_state(gst::State::Paused)?;
    pipeline.wait_for_state()?;
    let at = |frame: u64| gst::ClockTime::from_mseconds(frame * 50);
    assert_eq!(pts(&pipeline.preroll()?)?, at(0));
    for frame in [1, 2, 3] {
        let step = gst::event::Step::new(gst::format::Buffers::from_u64(1), 1.0, true, false);
        assert!(pipeline.pipeline().send_event(step));
        pipeline.wait_for_state()?;
        assert_eq!(pts(&pipeline.preroll()?)?, at(frame));
    }
    let set = gst::SeekType::Set;
    let (start, end) = (gst::ClockTime::ZERO, gst::ClockTime::from_mseconds(500));
    pipeline.pipeline().seek(-1.0, gst::SeekFlags::FLUSH, set, start, set, end)?;
    pipeline.play()?;
    let times = pipeline.samples()?.iter().map(pts).collect::<Result<Vec<_>>>()?;
    assert_eq!(times, (0..10).rev().map(at).collect::<Vec<_>>());
    Ok(())
}

#[test]
fn segment_seeks_follow_each_other_without_a_gap() -> Result<()> {
    let images = frames(30);
    let (_folder, playing) = Playing::started(&images, |_| {})?;
    let ms = gst::ClockTime::from_mseconds;
    let set = gst::SeekType::Set;
    let mut flags = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE | gst::SeekFlags::SEGMENT;
    let mut base = None;
    for (start, stop, want) in [(200, 400, 4..8), (1000, 1200, 20..24), (0, 200, 0..4)] {
        playing.source.seek(1.0, flags, set, ms(start), set, ms(stop))?;
        assert_eq!(playing.frames(4)?, expected(&images, want), "{start} to {stop} ms");
        let done = playing.pipeline.wait_for_message(gst::MessageType::SegmentDone);
        done.with_context(|| format!("{start} to {stop} ms"))?;
        // Without a flush, running time continues from the end of the segment before.
        let pad = playing.source.static_pad("src").context("no pad")?;
        let event = pad.sticky_event::<gst::event::Segment>(0).context("no segment")?;
        let segment = event.segment().downcast_ref::<gst::ClockTime>().context("not in time")?;
        assert_eq!(segment.base(), Some(base.unwrap_or_default()), "{start} to {stop} ms");
        base = segment.base().map(|base| base + ms(stop - start));
        flags.remove(gst::SeekFlags::FLUSH);
    }
    Ok(())
}

#[test]
fn a_loop_has_no_gap_and_no_duration() -> Result<()> {
    let images = frames(5);
    let (_folder, playing) = Playing::started(&images, |source| source.set_property("loop", true))?;
    assert_eq!(playing.source.query_duration::<gst::ClockTime>(), None);
    assert_eq!(playing.frames(17)?, expected(&images, 0..17));
    Ok(())
}

#[test]
fn a_uri_names_a_movie_with_its_settings() -> Result<()> {
    let folder = Folder::new()?;
    let images = movies::images(30, "I420")?;
    let path = folder.file("a b?%.movie", &movies::movie(&images)?)?;
    let path = path.to_str().context("not UTF-8")?;
    let path = path.replace('%', "%25").replace(' ', "%20").replace('?', "%3F");
    let uri = format!("mjpegfile://{path}?framerate=300");
    let pipeline = TestPipeline::launch(&format!(
        "playbin uri=\"{uri}\" video-sink=\"fakesink name=sink sync=false\" flags=video"
    ));
    let pipeline = pipeline?;
    pipeline.set_state(gst::State::Paused)?;
    pipeline.wait_for_state()?;
    let duration = known_duration(pipeline.pipeline());
    assert_eq!(duration, Some(gst::ClockTime::from_mseconds(100)));
    let source: gst::Element = pipeline.pipeline().property("source");
    assert_eq!(
        source.factory().map(|factory| factory.name().to_string()).as_deref(),
        Some("mjpegfilesrc")
    );
    let handler = source.dynamic_cast::<gst::URIHandler>().ok().context("no URI handler")?;
    assert_eq!(handler.uri().as_deref(), Some(uri.as_str()));
    // The URI of a source that has started stays.
    let late = handler.set_uri("mjpegfile:///other").expect_err("it has started");
    assert_eq!(late.message(), "the URI can be set only in the states NULL and READY");
    assert_eq!(handler.uri().as_deref(), Some(uri.as_str()));
    pipeline.play()?;
    pipeline.wait_for_end()
}

#[test]
fn a_size_that_changes_renews_the_caps() -> Result<()> {
    let mut images = frames(4);
    images[2][8] = 24;
    let (_folder, playing) = Playing::started(&images, |_| {})?;
    let mut heights = Vec::new();
    for sample in playing.pipeline.samples()? {
        let caps = sample.caps().and_then(|caps| caps.structure(0));
        heights.push(caps.context("no caps")?.get::<i32>("height")?);
    }
    assert_eq!(heights, [16, 16, 24, 16]);
    Ok(())
}

#[test]
fn a_bad_record_is_skipped_with_a_warning_or_is_an_error() -> Result<()> {
    let folder = Folder::new()?;
    let images = frames(4);
    let (first, second) = (movies::movie(&images[..2])?, movies::movie(&images[2..])?);
    let rows: [(&str, Vec<u8>, &str); 5] = [
        ("sign", b"+0616".to_vec(), "+0616"),
        ("empty records", b"00000".repeat(20_000), "20000 records"),
        ("no image", b"00003abc".to_vec(), "not a JPEG"),
        ("garbage", vec![b'-'; 1000], "1000 bytes"),
        ("mark", b"\xef\xbb\xbf".to_vec(), "five ASCII digits"),
    ];
    for (name, between, message) in rows {
        let movie = folder.file("movie", &[first.clone(), between, second.clone()].concat())?;
        let playing = Playing::new(&movie, |_| {})?;
        playing.start()?;
        assert_eq!(playing.frames(100)?, expected(&images, 0..4), "{name}");
        let warnings = playing.warnings();
        assert_eq!(warnings.len(), 1, "{name}: {warnings:?}");
        let position = format!("before frame 3 at byte {}", first.len());
        assert!(
            warnings[0].contains(&position) && warnings[0].contains(message),
            "{name}: {warnings:?}"
        );
        drop(playing);

        let strict = |source: &gst::Element| source.set_property_from_str("bad-frames", "error");
        let playing = Playing::new(&movie, strict)?;
        playing.pipeline.play()?;
        assert_eq!(playing.frames(2)?, expected(&images, 0..2), "{name}");
        let error = playing.pipeline.wait_for_error()?.text;
        assert!(error.contains(&position), "{name}: {error}");
    }
    Ok(())
}

#[test]
fn a_truncated_movie_gives_its_complete_frames() -> Result<()> {
    let folder = Folder::new()?;
    let images = frames(3);
    let whole = movies::movie(&images)?;
    for cut in [1, 4, 5, 30] {
        let movie = folder.file("movie", &whole[..whole.len() - cut])?;
        let playing = Playing::new(&movie, |_| {})?;
        playing.start()?;
        assert_eq!(playing.frames(100)?, expected(&images, 0..2), "{cut} bytes cut");
        assert_eq!(playing.warnings().len(), 1, "{cut} bytes cut");
    }
    Ok(())
}

#[test]
fn odd_frames_are_passed_on_and_counted() -> Result<()> {
    let mut images = frames(6);
    for image in &mut images[1..3] {
        image.truncate(image.len() - 2);
    }
    images[4] = [images[4].clone(), images[5].clone()].concat();
    let (_folder, playing) = Playing::started(&images, |_| {})?;
    assert_eq!(playing.frames(100)?, expected(&images, 0..6));
    let stats = playing.source.property::<gst::Structure>("stats");
    let counts = ["missing-eoi", "several-images"].map(|name| stats.get::<u64>(name));
    assert_eq!(counts, [Ok(2), Ok(1)]);
    assert_eq!(playing.warnings().len(), 2, "one of each kind");
    Ok(())
}

#[test]
fn other_files_are_an_error_that_names_their_kind() -> Result<()> {
    let folder = Folder::new()?;
    let files: [(&str, &[u8], &str); 8] = [
        ("empty", b"", "it is empty"),
        ("text", b"hello world, this is no movie", "neither a record"),
        ("zeros", &b"00000".repeat(100), "neither a record"),
        ("plain", b"\xff\xd8\xff\xdb\0\x04\0\0\xff\xd9", "nor a complete image alone"),
        ("avi", b"RIFF\0\0\0\0AVI LIST", "AVI"),
        ("mp4", b"\0\0\0\x18ftypisom", "MP4"),
        ("mkv", b"\x1a\x45\xdf\xa3\0\0", "Matroska"),
        ("six digits", b"000004\xff\xd8\xff\xd9", "6 digits"),
    ];
    let mut rows = Vec::new();
    for (name, bytes, message) in files {
        rows.push((name, folder.file(name, bytes)?, message));
    }
    let fifo = folder.path().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status()?.success());
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&link, &link)?;
    rows.push(("folder", folder.path().to_owned(), "not a regular file"));
    rows.push(("fifo", fifo, "not a regular file"));
    rows.push(("device", "/dev/zero".into(), "not a regular file"));
    rows.push(("loop", link, "cannot open"));
    rows.push(("missing", folder.path().join("none"), "cannot open"));
    for (name, path, message) in rows {
        let playing = Playing::new(&path, |_| {})?;
        assert!(playing.pipeline.play().is_err(), "{name}");
        let error = playing.pipeline.wait_for_error()?.text;
        assert!(error.contains(message), "{name}: {error}");
    }
    Ok(())
}

#[test]
fn a_file_that_shrinks_ends_and_one_that_grows_is_seen_by_the_next_pass() -> Result<()> {
    let folder = Folder::new()?;
    // Too large for the source to read half of the movie before the sink has taken four frames.
    let images = frames_of(40, 40_000);
    let whole = movies::movie(&images)?;
    let record = whole.len() / 40;
    let movie = folder.file("movie", &whole)?;
    let playing = Playing::new(&movie, |_| {})?;
    playing.start()?;
    std::fs::OpenOptions::new().write(true).open(&movie)?.set_len(20 * record as u64 + 7)?;
    let got = playing.frames(100)?;
    assert_eq!(got, expected(&images, 0..20));
    assert!(playing.warnings()[0].contains("shrunk"));
    drop(playing);

    let movie = folder.file("growing", &whole[..10 * record])?;
    let playing = Playing::new(&movie, |source| source.set_property("loop", true))?;
    playing.start()?;
    std::io::Write::write_all(
        &mut std::fs::OpenOptions::new().append(true).open(&movie)?,
        &whole[10 * record..20 * record],
    )?;
    let offsets: Vec<u64> = playing.frames(35)?.into_iter().map(|frame| frame.0).collect();
    let want: Vec<u64> = (0..10).chain(0..20).chain(0..5).collect();
    assert_eq!(offsets, want);
    Ok(())
}
