// SPDX-License-Identifier: MIT OR Apache-2.0
//! Streams over HTTP: every frame is that of the file, at its time, for our client and those of others.

use anyhow::{Context, Result, ensure};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::http_client::{HttpClient, HttpStream, Part, get};
use mjpeg_rtsp_tests::programs::{Server, run};
use mjpeg_rtsp_tests::{pace, wait_until};
use socket2::SockRef;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_mins(1);

/// The number of frames of the movies.
const FRAMES: u32 = 40;

/// The number of images of [`long_movie`], for 20 s.
const MANY: u64 = 400;

/// Different images for a time that is longer than any delay of a busy machine, each followed by a number of
/// bytes, which decoders ignore.
fn long_movie(bytes: usize) -> Result<Vec<Vec<u8>>> {
    let images = movies::images(FRAMES, "I420")?;
    let rounds = (0..).flat_map(|round: u8| images.iter().map(move |image| (round, image)));
    let longer = |(round, image): (u8, &Vec<u8>)| [image.clone(), vec![round; bytes]].concat();
    Ok(rounds.map(longer).take(usize::try_from(MANY)?).collect())
}

/// A server of a movie in a folder, and of the same one live.
fn start(images: &[Vec<u8>], keys: &str) -> Result<(Folder, Server, String)> {
    let folder = Folder::new()?;
    folder.file("movie.mjpeg", &movies::movie(images)?)?;
    let text = format!(
        "http = '127.0.0.1:0'\n{keys}\n[[mount]]\npath = 'movie.mjpeg'\nname = 'cam/a b.mjpeg'\n\
         [[mount]]\npath = 'movie.mjpeg'\nname = 'loop.mjpeg'\nloop = true\n\
         [[mount]]\npath = 'movie.mjpeg'\nname = 'live.mjpeg'\nkind = 'live'\n"
    );
    let config = folder.file("server.toml", text.as_bytes())?;
    let server = Server::start(["--config".as_ref(), config.as_os_str()], 3)?;
    let address = server.http_address()?;
    Ok((folder, server, address))
}

/// Checks that parts are those frames of a movie with their times, at 20 frames a second.
fn are_frames(parts: &[Part], images: &[Vec<u8>], numbers: &[u64]) {
    let got: Vec<u64> = parts.iter().map(|part| part.number).collect();
    assert_eq!(got, numbers);
    for part in parts {
        let number = part.number;
        let milliseconds = 50 * number;
        let time = format!("{}.{:03}000", milliseconds / 1000, milliseconds % 1000);
        assert_eq!(part.timestamp, time, "frame {number}");
        let image = usize::try_from(number).ok().and_then(|number| images.get(number));
        assert!(image == Some(&part.jpeg), "frame {number} is not that of the file");
    }
}

#[test]
fn each_frame_is_that_of_the_file_at_its_time() -> Result<()> {
    let images = movies::images(FRAMES, "I420")?;
    let (_folder, mut server, address) = start(&images, "")?;
    let movie = "/mounts/cam/a%20b.mjpeg/stream.mjpeg";
    let from = |first: u64| (first..u64::from(FRAMES)).collect::<Vec<_>>();
    let each = |step: usize| from(0).into_iter().step_by(step).collect::<Vec<_>>();
    // Query, frames, seconds from the first to the last one.
    let rows = [
        ("", from(0), 1.95),
        ("?start=1", from(20), 0.95),
        ("?start=1.04", from(20), 0.95),
        ("?start=frame:39", from(39), 0.0),
        ("?start=frame:10&speed=2", from(10).into_iter().step_by(2).collect(), 0.7),
        ("?speed=0.5&start=frame:30", from(30), 0.9),
        ("?framerate=5", each(4), 1.8),
        ("?framerate=5&speed=4", each(16), 0.4),
        ("?framerate=25", from(0), 1.95),
    ];
    for (query, numbers, seconds) in rows {
        let started = Instant::now();
        let mut stream = HttpStream::open(&address, &format!("{movie}{query}"))?;
        let head = &stream.head;
        assert_eq!(head.status_line, "HTTP/1.0 200 OK", "{query}");
        assert_eq!(head.header("cache-control"), "no-store");
        assert_eq!((head.header("content-length"), head.header("transfer-encoding")), ("", ""));
        let parts = stream.rest()?;
        are_frames(&parts, &images, &numbers);
        let last = parts.last().context("no part")?;
        let took = last.at.duration_since(started).as_secs_f64();
        // A busy machine is late, but never early: the first frame is sent after the request. 10 ms are for
        // frames that the server sends together.
        assert!(took > seconds - 0.01, "{query}: {took} s");
    }
    server.is_well()
}

#[test]
fn a_looping_movie_starts_again_and_a_live_one_is_at_the_same_frame_for_all() -> Result<()> {
    let images = long_movie(1)?;
    let (_folder, mut server, address) = start(&images, "")?;
    let query = "?start=frame:398";
    let mut looping =
        HttpStream::open(&address, &format!("/mounts/loop.mjpeg/stream.mjpeg{query}"))?;
    are_frames(&looping.take(4)?, &images, &[398, 399, 0, 1]);
    drop(looping);
    let open = |query: &str| {
        HttpStream::open(&address, &format!("/mounts/live.mjpeg/stream.mjpeg{query}"))
    };
    let (mut one, mut two, mut thin) = (open("")?, open("")?, open("?framerate=5")?);
    // The time of a part is that at which it is read.
    let (mut ones, mut twos) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        ones.extend(one.take(1)?);
        twos.extend(two.take(1)?);
    }
    let thins = thin.take(4)?;
    for parts in [&ones, &twos, &thins] {
        let numbers: Vec<u64> = parts.iter().map(|part| part.number).collect();
        let step = if parts.len() == 4 { 4 } else { 1 };
        let first = *numbers.first().context("no part")?;
        let want: Vec<u64> = (0..).map(|it| (first + it * step) % MANY).take(parts.len()).collect();
        assert_eq!(numbers, want);
        are_frames(parts, &images, &numbers);
    }
    // The two streams have a frame at about the same time. A busy machine may be late to read some.
    let apart = |two: &Part| {
        let one = ones.iter().find(|one| one.number == two.number)?;
        Some(one.at.max(two.at) - one.at.min(two.at))
    };
    let apart = twos.iter().filter_map(apart).min().context("not the same frames")?;
    assert!(apart < Duration::from_millis(500), "{apart:?}");
    // The snapshot is the frame of now.
    let now = one.take(1)?[0].number;
    let snapshot = get(&address, "/mounts/live.mjpeg/snapshot.jpg")?;
    let number: u64 = snapshot.header("x-frame-number").parse()?;
    assert!((number + MANY - now) % MANY < 80, "{number} after {now}");
    assert!(snapshot.body == images[usize::try_from(number)?]);
    server.is_well()
}

#[test]
fn a_slow_client_skips_to_the_newest_frame() -> Result<()> {
    // Frames of more than 50 kB, so that the buffers of the system hold few of them.
    let images = long_movie(50_000)?;
    let (_folder, mut server, address) = start(&images, "")?;
    for mount in ["loop.mjpeg", "live.mjpeg"] {
        let client = HttpClient::connect(&address)?;
        // Most of what is on its way is in the buffer of the receiver.
        SockRef::from(client.socket()).set_recv_buffer_size(64 * 1024)?;
        let mut stream = HttpStream::over(client, &format!("/mounts/{mount}/stream.mjpeg"))?;
        let first = stream.take(1)?.remove(0);
        pace(Duration::from_secs(4));
        // Those that were on their way, then the newest.
        let parts = stream.take(30)?;
        let mut counted = first.number;
        let (mut gaps, mut least_late) = (0, Duration::MAX);
        for part in &parts {
            let distance = (part.number + MANY - counted % MANY) % MANY;
            gaps += u32::from(distance > 1);
            counted += distance;
            let due = Duration::from_millis(50 * (counted - first.number));
            least_late = least_late.min(part.at.duration_since(first.at).saturating_sub(due));
            assert!(images[usize::try_from(part.number)?] == part.jpeg, "{mount}: {}", part.number);
        }
        assert!(gaps >= 1, "{mount}: no frame was skipped");
        // Of the frames that were on their way, even the 30th would be 2.5 s late.
        assert!(least_late < Duration::from_millis(2500), "{mount}: {least_late:?}");
        drop(stream);
        server.wait_for_log(&format!("mount=/{mount} transport=\"HTTP\" frames="), LIMIT);
        let log = server.log()?;
        let line = log.lines().find(|line| line.contains(&format!("mount=/{mount} transport")));
        let skipped = line.and_then(|line| line.rsplit_once("skipped=")).context("no count")?.1;
        assert!(skipped.trim().parse::<u32>()? > 30, "{mount}: {skipped} skipped");
    }
    server.is_well()
}

/// Compares files `PATTERN` of numbers with images.
fn are_files(folder: &Path, first: usize, images: &[Vec<u8>]) -> Result<()> {
    for (number, image) in images.iter().enumerate() {
        let path = folder.join(format!("{:03}.jpg", number + first));
        let got = std::fs::read(&path).with_context(|| path.display().to_string())?;
        ensure!(got == *image, "{}", path.display());
    }
    ensure!(!folder.join(format!("{:03}.jpg", images.len() + first)).exists(), "too many");
    Ok(())
}

/// Reads a stream as scripts do, and writes the frames to files.
const PYTHON: &str = "
import email, sys, urllib.request
reply = urllib.request.urlopen(sys.argv[1], timeout=30)
line = b'--' + reply.headers.get_boundary().encode() + b'\\r\\n'
assert reply.readline() == line
number = 0
while True:
    head = b''
    while not head.endswith(b'\\r\\n\\r\\n'):
        more = reply.readline()
        if not more: sys.exit(0)
        head += more
    part = email.message_from_bytes(head)
    with open('%s/%03d.jpg' % (sys.argv[2], number), 'wb') as file:
        file.write(reply.read(int(part['Content-Length'])))
    assert int(part['X-Frame-Number']) == number
    assert reply.readline() == b'\\r\\n' and reply.readline() == line
    number += 1
";

#[test]
fn programs_of_others_read_a_stream() -> Result<()> {
    let images = movies::images(FRAMES, "I420")?;
    let (folder, mut server, address) = start(&images, "")?;
    let url = format!("http://{address}/mounts/cam/a%20b.mjpeg/stream.mjpeg");
    let files = |name: &str| -> Result<_> {
        let path = folder.path().join(name);
        std::fs::create_dir(&path)?;
        Ok(path)
    };
    let gst = files("gst")?;
    let mut launch = Command::new("gst-launch-1.0");
    launch.args(["-q", "souphttpsrc"]).arg(format!("location={url}"));
    launch.args(["!", "multipartdemux", "!", "image/jpeg", "!", "multifilesink"]);
    launch.arg(format!("location={}/%03d.jpg", gst.display()));
    let done = run(&mut launch, LIMIT)?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    are_files(&gst, 0, &images)?;
    let mut launch = Command::new("gst-launch-1.0");
    launch.args(["souphttpsrc", &format!("location={url}")]);
    launch.args(["!", "multipartdemux", "!", "jpegdec", "!", "fakesink", "silent=false", "-v"]);
    let done = run(&mut launch, LIMIT)?;
    let shown = String::from_utf8_lossy(&done.stdout);
    let decoded = shown.matches("last-message = chain").count();
    ensure!(done.status.success() && decoded == images.len(), "{decoded} decoded: {shown}");
    let ffmpeg = files("ffmpeg")?;
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-f", "mpjpeg", "-i", &url, "-c", "copy", "-f", "image2"]);
    let done = run(command.arg(ffmpeg.join("%03d.jpg")), LIMIT)?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    are_files(&ffmpeg, 1, &images)?;
    let python = files("python")?;
    let mut command = Command::new("python3");
    let done = run(command.args(["-c", PYTHON, &url]).arg(&python), LIMIT)?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    are_files(&python, 0, &images)?;
    let opencv = "import cv2, sys\ncapture = cv2.VideoCapture(sys.argv[1])\ncount = 0\n\
                  while capture.read()[0]: count += 1\nprint(count)";
    // OpenCV is there for Debian's Python only.
    let path = format!("/usr/bin:{}", std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("python3");
    let done = run(command.env("PATH", path).args(["-c", opencv, &url]), LIMIT)?;
    let count = String::from_utf8_lossy(&done.stdout).trim().to_owned();
    ensure!(count == images.len().to_string(), "OpenCV: {count} frames");
    let curl = folder.path().join("curl");
    let done = run(Command::new("curl").args(["-sf", &url, "-o"]).arg(&curl), LIMIT)?;
    ensure!(done.status.success(), "curl: {}", done.status);
    let received = std::fs::read(&curl)?;
    for (number, image) in images.iter().enumerate() {
        let is_there = received.windows(image.len()).any(|part| part == image);
        ensure!(is_there, "curl: frame {number}");
    }
    server.is_well()
}

#[test]
fn streams_end_with_their_movie_their_mount_and_the_server() -> Result<()> {
    let images = movies::images(FRAMES, "I420")?;
    let (folder, mut server, address) = start(&images, "")?;
    let mut removed = HttpStream::open(&address, "/mounts/loop.mjpeg/stream.mjpeg")?;
    let mut live = HttpStream::open(&address, "/mounts/live.mjpeg/stream.mjpeg")?;
    removed.take(1)?;
    live.take(1)?;
    let config = folder.path().join("server.toml");
    let text = std::fs::read_to_string(&config)?.replace("'loop.mjpeg'", "'other.mjpeg'");
    std::fs::write(&config, text)?;
    server.process().signal("HUP")?;
    removed.rest()?;
    let reason = "session ended: the movie is not served any more";
    server.wait_for_log(reason, LIMIT);
    // A live movie goes on.
    live.take(5)?;
    server.process().signal("TERM")?;
    live.rest()?;
    server.process().wait(LIMIT)?;
    // The stream was not closed at the end of the time that connections have.
    assert!(!server.log()?.contains("connections did not end within grace"), "{}", server.log()?);
    wait_until("the log", LIMIT, || {
        server.log().is_ok_and(|log| log.contains("session ended: the server exits"))
    });
    Ok(())
}

#[test]
fn a_stream_is_one_of_the_viewers() -> Result<()> {
    let images = movies::images(FRAMES, "I420")?;
    let keys = "[limits]\nmax-viewers = 2";
    let (_folder, mut server, address) = start(&images, keys)?;
    let path = "/mounts/loop.mjpeg/stream.mjpeg";
    let mut open = vec![HttpStream::open(&address, path)?, HttpStream::open(&address, path)?];
    let viewers = || -> Result<u64> {
        let mount = get(&address, "/api/v1/mounts/loop.mjpeg")?.json()?;
        mount["viewers"].as_u64().context("no count")
    };
    assert_eq!(viewers()?, 2);
    let refused = get(&address, path)?;
    let reply = (refused.status(), refused.header("retry-after"), refused.text());
    assert_eq!(reply, (503, "5", "There are as many viewers as there may be.\n".to_owned()));
    // HEAD does not count as a viewer.
    let head = mjpeg_rtsp_tests::peer::http_client::request(&address, &format!("HEAD {path}"), "")?;
    assert_eq!((head.status(), head.header("content-length")), (200, ""));
    open.pop();
    wait_until("the viewer has gone", LIMIT, || viewers().is_ok_and(|count| count == 1));
    HttpStream::open(&address, path)?.take(1)?;
    server.is_well()
}
