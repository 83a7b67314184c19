// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lab clients against our server: the exact bytes of replies and frames.

use crate::observe::Observed;
use anyhow::{Context, Result, ensure};
use gstmjpegfile::rtp::{LabDepacketizer, RtpHeader};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::ffmpeg;
use mjpeg_rtsp_tests::peer::libjpeg::{Picture, cjpeg, djpeg, psnr};
use mjpeg_rtsp_tests::peer::rtsp_client::RtspClient;
use mjpeg_rtsp_tests::pipeline::{TestPipeline, bytes};
use mjpeg_rtsp_tests::programs::{Server, normalized, serve_as};
use mjpeg_rtsp_tests::{broken, wait_until};
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(10);

/// A student's client: one TCP connection, one UDP port.
pub(crate) struct LabClient {
    control: TcpStream,
    pub(crate) rtp: UdpSocket,
}

impl LabClient {
    pub(crate) fn connect(server: &Server) -> Result<Self> {
        let control = TcpStream::connect(server.address()?)?;
        control.set_read_timeout(Some(LIMIT))?;
        let rtp = UdpSocket::bind("0.0.0.0:0")?;
        rtp.set_read_timeout(Some(LIMIT))?;
        Ok(Self { control, rtp })
    }

    pub(crate) fn port(&self) -> Result<u16> {
        Ok(self.rtp.local_addr()?.port())
    }

    /// Sends bytes as they are and reads once, as the textbook's client does.
    pub(crate) fn request(&mut self, request: &str) -> Result<String> {
        self.control.write_all(request.as_bytes())?;
        let mut reply = [0; 1024];
        let have = self.control.read(&mut reply)?;
        Ok(String::from_utf8(reply[..have].to_vec())?)
    }

    /// Sends a request and checks each byte of its reply; returns the session number.
    pub(crate) fn ok(&mut self, request: &str, cseq: u32, end: &str) -> Result<String> {
        let reply = self.request(request)?;
        let session = reply.split("Session: ").nth(1).map(str::trim).unwrap_or_default().to_owned();
        // The reply has no line end after its last line if the request has none.
        let last = if request.ends_with('\n') { end } else { "" };
        let exact = format!("RTSP/1.0 200 OK{end}CSeq: {cseq}{end}Session: {session}{last}");
        assert_eq!(reply, exact, "{request:?}");
        let digits = session.len() == 6 && session.bytes().all(|byte| byte.is_ascii_digit());
        assert!(digits, "{session}");
        Ok(session)
    }

    /// Sets the movie up in the textbook's form; returns the session number.
    fn set_up(&mut self) -> Result<String> {
        let port = self.port()?;
        let transport = format!("Transport: RTP/UDP; client_port= {port}");
        self.ok(&format!("SETUP movie.Mjpeg RTSP/1.0\nCSeq: 1\n{transport}"), 1, "\n")
    }

    /// Sets the movie up and plays it, in the course report's form.
    pub(crate) fn play(&mut self) -> Result<()> {
        let port = self.port()?;
        self.ok(&format!("SETUP movie.Mjpeg\n1\n RTSP/1.0 RTP/UDP {port}"), 1, "\n")?;
        self.ok("PLAY \n2", 2, "\n").map(drop)
    }

    /// The next packet.
    pub(crate) fn packet(&self) -> Result<(RtpHeader, Vec<u8>)> {
        let mut bytes = vec![0; 65_536];
        let have = self.rtp.recv(&mut bytes).context("no packet")?;
        let (header, payload) = RtpHeader::parse(&bytes[..have])?;
        Ok((header, payload.to_vec()))
    }

    /// Whether packets come, after those that were on their way.
    pub(crate) fn sends_packets(&self) -> Result<bool> {
        mjpeg_rtsp_tests::pace(Duration::from_millis(100));
        self.rtp.set_nonblocking(true)?;
        while self.packet().is_ok() {}
        self.rtp.set_nonblocking(false)?;
        self.rtp.set_read_timeout(Some(Duration::from_secs(1)))?;
        let sends = self.packet().is_ok();
        self.rtp.set_read_timeout(Some(LIMIT))?;
        Ok(sends)
    }

    /// Fails if a packet comes within the time of several frames. Returns the number of those that were on their way.
    pub(crate) fn assert_silent(&self) -> Result<u16> {
        // Packets that were on their way when the reply was written.
        self.rtp.set_read_timeout(Some(Duration::from_millis(100)))?;
        let mut on_the_way = 0;
        while self.packet().is_ok() {
            on_the_way += 1;
        }
        self.rtp.set_read_timeout(Some(Duration::from_millis(300)))?;
        assert!(self.packet().is_err(), "a packet after the stream was stopped");
        self.rtp.set_read_timeout(Some(LIMIT))?;
        Ok(on_the_way)
    }
}

fn server(images: &[Vec<u8>], options: &[&str]) -> Result<(Folder, Server)> {
    serve_as("movie.Mjpeg", images, options)
}

#[test]
fn the_textbooks_client_plays_while_ffmpeg_plays_on_the_same_port() -> Result<()> {
    let images = movies::images(30, "Y444")?;
    let (_folder, mut server) = server(&images, &[])?;
    let url = server.urls[0].clone();
    let other = std::thread::spawn(move || ffmpeg::stream_luma(&url, "tcp"));
    let mut client = LabClient::connect(&server)?;
    let session = client.set_up()?;
    client.ok(&format!("PLAY movie.Mjpeg RTSP/1.0\nCSeq: 2\nSession: {session}"), 2, "\n")?;
    let mut ssrc = None;
    for (number, image) in (1..).zip(&images[..10]) {
        let (header, jpeg) = client.packet()?;
        assert_eq!(header.sequence_number, number);
        assert_eq!((header.version, header.payload_type, header.marker), (2, 26, true));
        assert_eq!(header.timestamp.ticks(), u32::from(number - 1) * 4500);
        assert_eq!(header.ssrc, *ssrc.get_or_insert(header.ssrc));
        assert!(jpeg == *image, "frame {number}: the bytes of the file");
    }
    client.ok(&format!("PAUSE movie.Mjpeg RTSP/1.0\nCSeq: 3\nSession: {session}"), 3, "\n")?;
    let on_the_way = client.assert_silent()?;
    client.ok(&format!("PLAY movie.Mjpeg RTSP/1.0\nCSeq: 4\nSession: {session}"), 4, "\n")?;
    // The movie goes on, to its end.
    let (first, jpeg) = client.packet()?;
    assert_eq!(first.sequence_number, 11 + on_the_way);
    assert!(jpeg == images[usize::from(first.sequence_number) - 1]);
    for number in first.sequence_number + 1..=30 {
        let (header, jpeg) = client.packet()?;
        assert_eq!(header.sequence_number, number);
        assert!(jpeg == images[usize::from(number) - 1], "frame {number}");
    }
    // READY again: PLAY starts from the first frame, numbers go on.
    server.wait_for_log("end of the movie", LIMIT);
    client.ok(&format!("PLAY movie.Mjpeg RTSP/1.0\nCSeq: 5\nSession: {session}"), 5, "\n")?;
    let (header, jpeg) = client.packet()?;
    assert_eq!(header.sequence_number, 31);
    assert!(jpeg == images[0]);
    client.ok(&format!("TEARDOWN movie.Mjpeg RTSP/1.0\nCSeq: 6\nSession: {session}"), 6, "\n")?;
    client.assert_silent()?;
    // A new SETUP on the same connection works.
    assert_eq!(client.set_up()?, session);
    let luma = other.join().map_err(|_| anyhow::anyhow!("ffmpeg panicked"))??;
    assert_eq!(luma.len(), 30 * 384 * 288, "standard RTSP at the same time");
    server.is_well()
}

/// The description of a movie that is sent to a port, but for its number of frames.
fn sdp(port: u16) -> String {
    format!("v=0\nm=video {port} RTP/AVP 26\na=rtpmap:26 JPEG/90000\na=framerate:20")
}

/// Removes a file from the page cache again and again until dropped, where the file system can.
struct Evictor(Arc<AtomicBool>);

impl Evictor {
    fn start(file: &Path) -> Result<Self> {
        let file = std::fs::File::open(file)?;
        file.sync_all()?;
        let ended = Arc::new(AtomicBool::new(false));
        let of_thread = ended.clone();
        std::thread::spawn(move || {
            while !of_thread.load(Ordering::Relaxed) {
                let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
                mjpeg_rtsp_tests::pace(Duration::from_millis(2));
            }
        });
        Ok(Self(ended))
    }
}

impl Drop for Evictor {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_movie_that_is_not_in_the_page_cache_arrives_whole() -> Result<()> {
    // Sent as in the file, and encoded again for RTP.
    for format in ["I420", "Y444"] {
        let images = movies::images(30, format)?;
        let (folder, mut server) = server(&images, &["--prepare-cache", "0"])?;
        let url = server.urls[0].clone();
        let want = ffmpeg::stream_checksums(&url, "tcp")?;
        assert_eq!(want.len(), images.len(), "{format}");
        let evictor = Evictor::start(&folder.path().join("movie.Mjpeg"))?;
        let mut client = LabClient::connect(&server)?;
        let session = client.set_up()?;
        client.ok(&format!("PLAY movie.Mjpeg RTSP/1.0\nCSeq: 2\nSession: {session}"), 2, "\n")?;
        for (number, image) in (1..).zip(&images) {
            let (header, jpeg) = client.packet()?;
            assert_eq!(header.sequence_number, number, "{format}");
            assert!(jpeg == *image, "{format}, frame {number}: the bytes of the file");
        }
        assert_eq!(ffmpeg::stream_checksums(&url, "tcp")?, want, "{format}");
        drop(evictor);
        server.is_well()?;
    }
    Ok(())
}

#[test]
fn every_dialect_is_answered_in_its_own_form() -> Result<()> {
    let images = movies::images(10, "I420")?;
    let (_folder, mut server) = server(&images, &["--loop"])?;
    // SETUP with PORT for the port, PLAY with SESSION, and the reply's line end and last line.
    let rows = [
        (
            "Java",
            "SETUP movie.Mjpeg RTSP/1.0\r\nCSeq: 1\r\nTransport: RTP/UDP; client_port= PORT\r\n",
            "PLAY movie.Mjpeg RTSP/1.0\r\nCSeq: 2\r\nSession: SESSION\r\n",
            "\r\n",
            "",
        ),
        ("seed", "SETUP movie.mjpeg\n1\n RTSP/1.0 RTP/UDP PORT", "PLAY \n2", "\n", ""),
        ("seed, blanks", "SETUP movie.Mjpeg\n 1 \n RTSP/1.0 RTP/UDP PORT", "PLAY \n 2", "\n", ""),
        (
            "textbook",
            "SETUP movie.Mjpeg RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP; client_port= PORT",
            "PLAY movie.Mjpeg RTSP/1.0\nCSeq: 2\nSession: SESSION",
            "\n",
            "",
        ),
        (
            "blank lines",
            "SETUP movie.Mjpeg RTSP/1.0\r\nCSeq: 1\r\nTransport: RTP/UDP;client_port=PORT\r\n\r\n",
            "PLAY movie.Mjpeg RTSP/1.0\r\nCSeq: 2\r\nSession: SESSION\r\n\r\n",
            "\r\n",
            "\r\n",
        ),
        (
            "an address with lab line ends",
            "SETUP rtsp://127.0.0.1/movie.Mjpeg RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP; client_port= PORT\n",
            "PLAY rtsp://127.0.0.1/movie.Mjpeg RTSP/1.0\nCSeq: 2\nSession: SESSION\n",
            "\n",
            "",
        ),
    ];
    for (name, setup, play, end, blank) in rows {
        let mut client = LabClient::connect(&server)?;
        let last = if setup.ends_with('\n') { end } else { "" };
        let end_of_reply = format!("{last}{blank}");
        let reply = client.request(&setup.replace("PORT", &client.port()?.to_string()))?;
        let session: String = reply.chars().filter(char::is_ascii_digit).skip(6).collect();
        let want = format!("RTSP/1.0 200 OK{end}CSeq: 1{end}Session: {session}{end_of_reply}");
        assert_eq!(reply, want, "{name}");
        let reply = client.request(&play.replace("SESSION", &session))?;
        assert_eq!(reply, want.replace("CSeq: 1", "CSeq: 2"), "{name}");
        for image in &images[..3] {
            assert!(client.packet()?.1 == *image, "{name}");
        }
    }
    for dialect in ["java", "seed", "textbook"] {
        assert!(server.log()?.contains(&format!("dialect=\"{dialect}\"")), "{}", server.log()?);
    }
    // Two requests in one segment, and one in single bytes.
    let mut client = LabClient::connect(&server)?;
    let port = client.port()?;
    let both = format!(
        "SETUP movie.Mjpeg RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP; client_port= {port}\nPLAY x RTSP/1.0\nCSeq: 2\n\n"
    );
    for byte in both.as_bytes() {
        client.control.write_all(&[*byte])?;
    }
    assert!(client.packet()?.1 == images[0]);
    server.is_well()
}

#[test]
fn refused_requests_have_exact_replies_and_the_connection_stays_open() -> Result<()> {
    let (_folder, mut server) = server(&movies::images(10, "I420")?, &[])?;
    let mut client = LabClient::connect(&server)?;
    let port = client.port()?;
    let setup = |file: &str, port: u16| {
        format!("SETUP {file} RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP; client_port= {port}")
    };
    let error = |line: &str, cseq: u32| format!("RTSP/1.0 {line}\nCSeq: {cseq}\nSession: 0");
    let crlf = setup("none.Mjpeg", port).replace('\n', "\r\n") + "\r\n";
    let rows = [
        (setup("none.Mjpeg", port), error("404 Not Found", 1)),
        (setup("../movie.Mjpeg.x", port), error("404 Not Found", 1)),
        (crlf, "RTSP/1.0 404 Not Found\r\n".to_owned()),
        (setup("movie.Mjpeg", 80), error("400 Bad Request", 1)),
        ("SETUP movie.Mjpeg RTSP/1.0\nCSeq: 1\n\n".into(), error("400 Bad Request", 1) + "\n\n"),
        (
            "PLAY movie.Mjpeg RTSP/1.0\nCSeq: 2".into(),
            error("455 Method Not Valid in This State", 2),
        ),
        (
            "PAUSE movie.Mjpeg RTSP/1.0\nCSeq: 3".into(),
            error("455 Method Not Valid in This State", 3),
        ),
        ("JUMP movie.Mjpeg RTSP/1.0\nCSeq: 4\n\n".into(), error("501 Not Implemented", 4) + "\n\n"),
    ];
    for (request, want) in rows {
        assert_eq!(client.request(&request)?, want, "{request:?}");
    }
    let session = client.ok(&setup("MOVIE.MJPEG", port), 1, "\n")?;
    assert_eq!(client.ok(&setup("MOVIE.MJPEG", port), 1, "\n")?, session, "a double click");
    assert_eq!(
        client.request("PLAY movie.Mjpeg RTSP/1.0\nCSeq: 2\nSession: 1")?,
        error("454 Session Not Found", 2)
    );
    let described = client.request("DESCRIBE movie.Mjpeg RTSP/1.0\nCSeq: 3")?;
    let description = sdp(port) + "\na=x-total-frames:10";
    let want = format!("RTSP/1.0 200 OK\nCSeq: 3\nSession: {session}\n\n{description}");
    assert_eq!(described, want);
    let names = |cseq: u32, end: &str| {
        format!("RTSP/1.0 200 OK\nCSeq: {cseq}\nSession: {session}\nmovie.Mjpeg{end}")
    };
    assert_eq!(client.request("LIST RTSP/1.0\nCSeq: 4")?, names(4, ""));
    assert_eq!(client.request("LIST RTSP/1.0\nCSeq: 4\n")?, names(4, "\n"));
    assert_eq!(client.request("LIST RTSP/1.0\nCSeq: 4\n\n")?, names(4, "\n\n"));
    assert_eq!(client.request("SWITCH movie.Mjpeg RTSP/1.0\nCSeq: 5")?, names(5, ""));
    let unknown = client.request("SWITCH none.Mjpeg RTSP/1.0\nCSeq: 5")?;
    assert_eq!(unknown, error("404 Not Found", 5));
    client.ok("SEEK movie.Mjpeg RTSP/1.0\nCSeq: 5\nX-Seek: 0.5", 5, "\n")?;
    client.ok("PLAY movie.Mjpeg RTSP/1.0\nCSeq: 6", 6, "\n")?;
    assert_eq!(client.packet()?.0.timestamp.ticks(), 5 * 4500, "from the middle");
    // Bytes that are not text close their own connection only.
    let mut bad = LabClient::connect(&server)?;
    bad.control.write_all(b"PLAY \n\0\0\0")?;
    assert_eq!(bad.control.read(&mut [0; 10])?, 0);
    client.ok("PAUSE movie.Mjpeg RTSP/1.0\nCSeq: 7", 7, "\n")?;
    server.is_well()
}

#[test]
fn requests_without_an_end_that_cannot_be_carried_out_are_answered_after_a_silence() -> Result<()> {
    let (_folder, mut server) = server(&movies::images(10, "I420")?, &["--loop", "--explain"])?;
    let setup = |transport: &str| format!("SETUP movie.Mjpeg RTSP/1.0\nCSeq: 1{transport}");
    let port = |port: &str| format!("\nTransport: RTP/UDP; client_port= {port}");
    let bad = |cseq: u32| format!("RTSP/1.0 400 Bad Request\nCSeq: {cseq}\nSession: 0");
    let unknown = |cseq: u32| format!("RTSP/1.0 501 Not Implemented\nCSeq: {cseq}\nSession: 0");
    let no_number = "SETUP movie.Mjpeg RTSP/1.0".to_owned() + &port("25000");
    let rows = [
        ("FASTFORWARD".to_owned(), unknown(0), "unknown method"),
        ("NEXT movie.Mjpeg RTSP/1.0\nCSeq: 4\nSession: 1".into(), unknown(4), "unknown method"),
        ("SETUPP movie.Mjpeg RTSP/1.0\nCSeq: 1".into(), unknown(1), "unknown method"),
        (setup(""), bad(1), "SETUP without an RTP port"),
        (setup("\nTransport: RTP/UDP"), bad(1), "SETUP without an RTP port"),
        (setup(&port("70000")), bad(1), "the RTP port in SETUP is not from 1024 to 65535"),
        (setup(&port("80")), bad(1), "the RTP port in SETUP is not from 1024 to 65535"),
        ("SETUP\n1\n RTSP/1.0 RTP/UDP 5008".into(), bad(1), "SETUP without a movie"),
        (no_number, bad(0), "no sequence number"),
        ("PLAY movie.Mjpeg RTSP/1.0\nSession: 123456".into(), bad(0), "no sequence number"),
    ];
    // As the first request of a connection.
    for (request, want, why) in &rows {
        let mut client = LabClient::connect(&server)?;
        assert_eq!(client.request(request)?, *want, "{request:?}");
        let explained = format!("{} > server: request: ", client.control.local_addr()?);
        wait_until(&format!("{request:?} explained"), LIMIT, || {
            let log = server.log().unwrap_or_default();
            log.split(&explained).skip(1).any(|it| it.contains(&format!("; here: {why}\n")))
        });
        client.play()?;
        client.packet()?;
    }
    // During a play, which goes on.
    let mut client = LabClient::connect(&server)?;
    client.play()?;
    let mut last = client.packet()?.0.sequence_number;
    for (request, want, _) in &rows {
        assert_eq!(client.request(request)?, *want, "{request:?}");
        last += 1;
        assert_eq!(client.packet()?.0.sequence_number, last, "{request:?}");
    }
    client.ok("PAUSE \n3", 3, "\n")?;
    // Lines that arrive one by one, as they do when the client's system waits for acknowledgements. The server
    // waits 250 ms for the next one: on a busy machine, this process may need several attempts.
    let end = Instant::now() + 2 * LIMIT;
    let mut refused = 0;
    let mut longest = Duration::MAX;
    while longest >= Duration::from_millis(250) {
        ensure!(Instant::now() < end, "a pause of {longest:?}");
        longest = Duration::ZERO;
        let mut client = LabClient::connect(&server)?;
        let transport = port(&client.port()?.to_string());
        let mut before = Instant::now();
        for line in setup(&transport).split_inclusive('\n') {
            let now = Instant::now();
            client.control.write_all(line.as_bytes())?;
            longest = longest.max(before.elapsed());
            before = now;
            mjpeg_rtsp_tests::pace(Duration::from_millis(60));
        }
        let mut reply = [0; 100];
        let have = client.control.read(&mut reply)?;
        let is_ok = reply[..have].starts_with(b"RTSP/1.0 200 OK\nCSeq: 1\n");
        if !is_ok && longest < Duration::from_millis(250) {
            // The server may have been late to read what was there.
            refused += 1;
            assert!(refused < 4, "{}", server.log()?);
            longest = Duration::MAX;
        }
    }
    server.is_well()
}

#[test]
fn clients_that_read_a_fourth_line_get_it() -> Result<()> {
    let (_folder, mut server) = server(&movies::images(10, "I420")?, &[])?;
    // Version, separator of names and values, and the fourth lines in the replies.
    let rows = [
        ("1.4", ": ", "\nFrames: 10", ""),
        ("1.0", " ", "\nTotalFrame: 10", "\nTotalSendPacketCount: 10"),
        ("1.0", ": ", "", ""),
    ];
    for (version, separator, in_setup, in_teardown) in rows {
        for last in ["", "\n"] {
            let mut client = LabClient::connect(&server)?;
            let port = client.port()?;
            let request = |method: &str, cseq: u32, value: &str| {
                format!("{method} movie.Mjpeg RTSP/{version}\nCSeq{separator}{cseq}\n{value}{last}")
            };
            let value = format!("Transport{separator}RTP/UDP; client_port= {port}");
            let reply = client.request(&request("SETUP", 1, &value))?;
            let session: String =
                reply.chars().filter(char::is_ascii_digit).skip(6).take(6).collect();
            let ok = |cseq: u32, line: &str| {
                format!("RTSP/1.0 200 OK\nCSeq: {cseq}\nSession: {session}{line}{last}")
            };
            assert_eq!(reply, ok(1, in_setup), "{version}, {separator:?}");
            let value = format!("Session{separator}{session}");
            assert_eq!(client.request(&request("PLAY", 2, &value))?, ok(2, ""));
            for _ in 0..10 {
                client.packet()?;
            }
            assert_eq!(client.request(&request("TEARDOWN", 3, &value))?, ok(3, in_teardown));
        }
    }
    server.is_well()
}

#[test]
fn a_frame_too_large_for_a_datagram_is_shrunk_or_dropped() -> Result<()> {
    let large = cjpeg(&Picture::made(1200, 900), &["-sample", "2x2", "-quality", "60"])?;
    assert!((65_496..99_999).contains(&large.len()), "{}", large.len());
    let small = movies::images(1, "I420")?.remove(0);
    for (how, numbers) in [("shrink", [1, 2, 3]), ("drop", [1, 2, 0])] {
        let images = [small.clone(), large.clone(), small.clone()];
        let (folder, server) = server(&images, &["--lab-oversize", how, "--http", "0"])?;
        let mut observed = Observed::new(folder, server)?;
        let mut client = LabClient::connect(&observed.server)?;
        client.play()?;
        assert!(client.packet()?.1 == small);
        let (header, jpeg) = client.packet()?;
        assert_eq!(header.sequence_number, numbers[1]);
        if how == "shrink" {
            assert_eq!(gstmjpegfile::jpeg::frame_size(&jpeg), Some((1200, 900)));
            assert!(client.packet()?.1 == small);
        } else {
            assert!(jpeg == small);
        }
        let dropped = "mjpeg_rtsp_dropped_frames_total{kind=\"larger-than-datagram\"}";
        assert_eq!(observed.metric(dropped)?, (how == "drop").then_some(1.0), "{how}");
        observed.server.wait_for_log("larger than a datagram can be", LIMIT);
        observed.server.is_well()?;
    }
    Ok(())
}

/// What is done with [`images_too_large`].
const REDUCTIONS: [&str; 3] = [
    "encoded again as 1620x1687",
    "cut off, since it cannot be decoded",
    "encoded again at lower quality",
];

/// Images that do not fit into a datagram: one that is too large at any quality, one that is coded in a way that
/// this project does not decode, and one of noise.
fn images_too_large() -> Result<Vec<Vec<u8>>> {
    let flat = Picture { width: 3840, height: 4000, samples: vec![90; 3 * 3840 * 4000] };
    // Two bits for each block, where the standard tables have six.
    let flat = cjpeg(&flat, &["-sample", "2x2", "-optimize"])?;
    let arithmetic = cjpeg(&Picture::made(1300, 900), &["-arithmetic", "-quality", "60"])?;
    let noisy = cjpeg(&Picture::made(1200, 900), &["-sample", "1x1", "-quality", "40"])?;
    let images = vec![flat, arithmetic, noisy];
    for image in &images {
        assert!((65_496..99_999).contains(&image.len()), "{}", image.len());
    }
    Ok(images)
}

#[test]
fn rtplabpay_makes_every_frame_fit() -> Result<()> {
    let folder = Folder::new()?;
    let images = images_too_large()?;
    // The first frame is reported, so one image at a time.
    for (image, how) in images.iter().zip(REDUCTIONS) {
        let movie = folder.file("movie.mjpeg", &movies::movie(std::slice::from_ref(image))?)?;
        let pipeline = TestPipeline::launch(&format!(
            "mjpegfilesrc location={} ! rtplabpay ! appsink name=out sync=false",
            movie.display()
        ))?;
        pipeline.play()?;
        let packets = pipeline.samples()?;
        assert_eq!(packets.len(), 1, "{how}");
        let packet = bytes(&packets[0])?;
        let (_, payload) = RtpHeader::parse(&packet)?;
        assert!(payload.len() <= 65_495 && payload.ends_with(&[0xff, 0xd9]), "{how}");
        let size = image.len();
        let want = format!(
            "a frame of {size} bytes is {how}: a datagram holds 65495 (further frames like it are only \
             counted)"
        );
        assert_eq!(pipeline.warnings(), [want]);
    }
    Ok(())
}

#[test]
fn a_frame_that_no_quality_makes_small_enough_is_scaled_or_cut_off() -> Result<()> {
    let images = images_too_large()?;
    let (folder, mut server) = server(&images, &[])?;
    // Each is logged once for the movie, whatever the number of clients.
    for _ in 0..2 {
        let mut client = LabClient::connect(&server)?;
        client.play()?;
        let [scaled, cut, encoded] = [client.packet()?.1, client.packet()?.1, client.packet()?.1]
            .map(|jpeg| {
                assert!(jpeg.len() <= 65_495);
                jpeg
            });
        let picture = djpeg(&scaled, &[])?;
        assert_eq!((picture.width, picture.height), (1620, 1687));
        assert!(picture.samples.iter().all(|it| it.abs_diff(90) < 3));
        let (start, end) = cut.split_at(65_493);
        assert!((start, end) == (&images[1][..65_493], &[0xff, 0xd9][..]), "the cut image");
        assert_eq!(gstmjpegfile::jpeg::frame_size(&encoded), Some((1200, 900)));
        let [got, want] = [&encoded, &images[2]].map(|jpeg| djpeg(jpeg, &["-grayscale"]));
        let psnr = psnr(&got?, &want?);
        assert!(psnr > 30.0, "{psnr:.1} dB");
    }
    server.is_well()?;
    server.wait_for_log("encoded again at lower quality", LIMIT);
    let log = server.log()?;
    let path = folder.path().join("movie.Mjpeg");
    let log = normalized(&log, &[(&path.to_string_lossy(), "MOVIE")]);
    let logged: Vec<&str> = log.lines().filter(|line| line.contains("datagram")).collect();
    let lines = (1..).zip(REDUCTIONS).zip(&images).map(|((frame, how), image)| {
        format!(
            "WARN frame {how} (logged once for each movie): larger than a datagram can be path=MOVIE \
             frame={frame} bytes={}",
            image.len()
        )
    });
    assert_eq!(logged, lines.collect::<Vec<_>>(), "{log}");
    Ok(())
}

#[test]
fn the_first_of_two_images_that_no_datagram_holds_is_sent_as_it_is() -> Result<()> {
    let image = cjpeg(&Picture::made(800, 600), &["-sample", "2x2", "-quality", "60"])?;
    let progressive = cjpeg(&Picture::made(800, 600), &["-progressive", "-quality", "70"])?;
    let two = |image: &[u8]| [image, image].concat();
    for image in [&image, &progressive] {
        assert!((32_748..49_999).contains(&image.len()), "{}", image.len());
    }
    let images = [two(&image), two(&progressive)];
    for how in ["shrink", "drop"] {
        let (_folder, mut server) = server(&images, &["--lab-oversize", how])?;
        let mut client = LabClient::connect(&server)?;
        client.play()?;
        assert!(client.packet()?.1 == image, "{how}");
        assert!(client.packet()?.1 == progressive, "{how}");
        server.is_well()?;
        assert!(!server.log()?.contains("over what a datagram holds"), "{how}");
    }
    Ok(())
}

#[test]
fn a_movie_that_is_overwritten_while_it_plays_goes_on_with_its_new_frames_or_ends() -> Result<()> {
    let images = movies::images(180, "I420")?;
    let (old, new) = images.split_at(90);
    let zeros = |of: &[Vec<u8>]| Ok::<_, anyhow::Error>(vec![0; movies::movie(of)?.len()]);
    // What is written over the movie without truncating it, and the frames that it has then.
    let longer = [new, &new[..30]].concat();
    let rows = [
        ("other frames", movies::movie(&longer)?, &longer[..]),
        ("zeros over its first frames", zeros(&old[..60])?, &old[60..]),
        ("zeros", zeros(old)?, &[][..]),
    ];
    for options in [&["--loop"][..], &[]] {
        for (name, bytes, frames) in &rows {
            let (folder, mut server) = server(old, options)?;
            let mut client = LabClient::connect(&server)?;
            client.play()?;
            for image in &old[..10] {
                assert!(client.packet()?.1 == *image, "{name}");
            }
            let path = folder.path().join("movie.Mjpeg");
            let file = std::fs::OpenOptions::new().write(true).open(path)?;
            std::os::unix::fs::FileExt::write_all_at(&file, bytes, 0)?;
            let written = Instant::now();
            let position = |jpeg: &Vec<u8>| frames.iter().position(|image| image == jpeg);
            if frames.is_empty() {
                server.wait_for_log("end of the movie", Duration::from_secs(5));
                client.assert_silent()?;
                let reply = LabClient::connect(&server)?
                    .request("SETUP movie.Mjpeg\n1\n RTSP/1.0 RTP/UDP 25000")?;
                assert!(reply.starts_with("RTSP/1.0 404 "), "{name}: {reply}");
            } else {
                let mut at = loop {
                    let (_, jpeg) = client.packet()?;
                    assert!(written.elapsed() < Duration::from_secs(5), "{name}, {options:?}");
                    match position(&jpeg) {
                        Some(at) => break at,
                        // A frame that was sent before.
                        None => assert!(old.contains(&jpeg), "{name}"),
                    }
                };
                for _ in 0..8 {
                    at += 1;
                    assert_eq!(position(&client.packet()?.1), Some(at), "{name}, {options:?}");
                }
            }
            server.is_well()?;
        }
    }
    Ok(())
}

#[test]
fn fragments_are_reassembled() -> Result<()> {
    let images = movies::images(10, "I420")?;
    for form in ["same-seq", "next-seq"] {
        let (_folder, mut server) = server(&images, &["--lab-fragment", form])?;
        let mut client = LabClient::connect(&server)?;
        client.play()?;
        let mut depacketizer = LabDepacketizer::default();
        let mut frames = Vec::new();
        let mut packets = 0;
        while frames.len() < images.len() {
            let (header, payload) = client.packet()?;
            assert!(payload.len() <= 1400, "{form}");
            packets += 1;
            frames.extend(depacketizer.push(&[&header.to_bytes()[..], &payload].concat(), None)?);
        }
        assert!(packets > images.len(), "{form}: {packets} packets");
        assert_eq!(depacketizer.counts().lost, 0, "{form}: none lost");
        let got: Vec<Vec<u8>> = frames.into_iter().map(|frame| frame.jpeg).collect();
        assert!(got == images, "{form}");
        server.is_well()?;
    }
    Ok(())
}

#[test]
fn frames_are_sent_on_time_until_the_connection_closes() -> Result<()> {
    let (_folder, mut server) = server(&movies::images(10, "I420")?, &["--loop"])?;
    let mut client = LabClient::connect(&server)?;
    client.play()?;
    client.packet()?;
    // Times of 60 frames. A delay of a busy machine changes one of them, drift each. After a delay of over a
    // second the server sends all later frames later by as much.
    let mut off: Vec<f64> = Vec::new();
    while off.last().is_none_or(|off| off.abs() >= 0.5) {
        assert!(off.len() < 5, "{off:?} s off");
        let started = Instant::now();
        for _ in 0..60 {
            client.packet()?;
        }
        off.push(started.elapsed().as_secs_f64() - 3.0);
    }
    let LabClient { control, rtp } = client;
    drop(control);
    server.wait_for_log("lab client gone", LIMIT);
    let client = LabClient { control: TcpStream::connect(server.address()?)?, rtp };
    client.assert_silent()?;
    server.is_well()
}

#[test]
fn a_live_movie_is_at_the_same_position_for_all() -> Result<()> {
    let images = movies::images(200, "I420")?;
    let (_folder, mut server) = server(&images, &["--live"])?;
    let position = |jpeg: &[u8]| images.iter().position(|image| image == jpeg).context("no frame");
    let mut clients = Vec::new();
    let mut positions = Vec::new();
    for _ in 0..2 {
        let mut client = LabClient::connect(&server)?;
        client.play()?;
        positions.push(position(&client.packet()?.1)?);
        for _ in 0..20 {
            client.packet()?;
        }
        clients.push(client);
    }
    // The second one starts at least a second later: twenty frames.
    let between = (positions[1] + 200 - positions[0]) % 200;
    assert!((20..100).contains(&between), "{positions:?}");
    let Some(client) = clients.last_mut() else { unreachable!() };
    // The movie goes on during a pause.
    client.ok("PAUSE \n3", 3, "\n")?;
    client.assert_silent()?;
    client.ok("PLAY \n4", 4, "\n")?;
    let (later, before) = (position(&client.packet()?.1)?, positions[1] + 20);
    assert!((6..100).contains(&((later + 200 - before) % 200)), "{positions:?} {later}");
    // A live movie is not seekable.
    let reply = client.request("SEEK movie.Mjpeg RTSP/1.0\nCSeq: 5\nX-Seek: 0.1")?;
    assert!(reply.starts_with("RTSP/1.0 455 "), "{reply}");
    let reply = client.request("DESCRIBE movie.Mjpeg RTSP/1.0\nCSeq: 6")?;
    assert!(reply.ends_with(&format!("\n\n{}", sdp(client.port()?))), "{reply}");
    server.is_well()
}

#[test]
fn the_labs_dialect_can_be_off_or_the_only_one() -> Result<()> {
    let images = movies::images(10, "I420")?;
    let (_folder, mut only) = server(&images, &["--lab", "only"])?;
    assert!(ffmpeg::stream_luma(&only.urls[0].clone(), "tcp").is_err());
    let mut client = LabClient::connect(&only)?;
    let port = client.port()?;
    client.ok(&format!("SETUP movie.Mjpeg\n1\n RTSP/1.0 RTP/UDP {port}"), 1, "\n")?;
    only.is_well()?;
    let (_folder, mut off) = server(&images, &["--lab", "off"])?;
    assert_eq!(ffmpeg::stream_luma(&off.urls[0].clone(), "tcp")?.len(), 10 * 384 * 288);
    let mut client = LabClient::connect(&off)?;
    client.control.set_read_timeout(Some(Duration::from_secs(1)))?;
    let reply = client.request(&format!("SETUP movie.Mjpeg\n1\n RTSP/1.0 RTP/UDP {port}"));
    assert!(!reply.is_ok_and(|reply| reply.contains("200 OK")));
    off.is_well()
}

#[test]
fn a_lab_client_that_asks_by_url_is_served_in_the_labs_dialect() -> Result<()> {
    let images = movies::images(10, "I420")?;
    let (_folder, mut server) = server(&images, &[])?;
    let url = format!("rtsp://{}/movie.Mjpeg", server.address()?);
    let mut client = LabClient::connect(&server)?;
    let port = client.port()?;
    let transport = format!("Transport: RTP/UDP;client_port={port}\r\n");
    let session =
        client.ok(&format!("SETUP {url} RTSP/1.0\r\nCSeq: 0\r\n{transport}"), 0, "\r\n")?;
    let request = |method: &str, cseq: u32| {
        format!("{method} {url} RTSP/1.0\r\nCSeq: {cseq}\r\nSession: {session}\r\n")
    };
    client.ok(&request("PLAY", 1), 1, "\r\n")?;
    assert!(client.packet()?.1 == images[0]);
    client.ok(&request("PAUSE", 2), 2, "\r\n")?;
    client.ok(&request("TEARDOWN", 3), 3, "\r\n")?;
    // The same SETUP with the standard's transport has the standard's reply.
    let mut standard = RtspClient::connect(server.address()?)?;
    let transport = format!("Transport: RTP/AVP;unicast;client_port={port}\r\n");
    let reply = standard.request(&format!("SETUP {url}"), &transport)?;
    assert!(reply.header("Transport").is_some_and(|it| it.contains("server_port=")), "{reply:?}");
    server.is_well()
}

#[test]
fn silent_connections_need_no_thread_and_are_closed_for_new_ones() -> Result<()> {
    let images = movies::images(10, "I420")?;
    let (_folder, mut server) = server(&images, &["--loop", "--max-connections", "1001"])?;
    let play = |server: &Server| -> Result<LabClient> {
        let mut client = LabClient::connect(server)?;
        client.play()?;
        Ok(client)
    };
    let playing = play(&server)?;
    playing.packet()?;
    let threads = server.threads()?;
    let silent: Vec<TcpStream> =
        (0..1000).map(|_| Ok(TcpStream::connect(server.address()?)?)).collect::<Result<_>>()?;
    for _ in 0..20 {
        playing.packet()?;
    }
    assert_eq!(server.threads()?, threads);
    // The limit is reached: only the oldest silent one is closed for a new one.
    let other = play(&server)?;
    other.packet()?;
    let closed = |mut stream: &TcpStream| -> Result<bool> {
        stream.set_read_timeout(Some(Duration::from_millis(200)))?;
        Ok(matches!(stream.read(&mut [0]), Ok(0)))
    };
    assert!(closed(&silent[0])? && !closed(&silent[1])? && !closed(&silent[999])?);
    // One of the silent connections sends requests after all.
    let mut late =
        LabClient { control: silent[500].try_clone()?, rtp: UdpSocket::bind("0.0.0.0:0")? };
    late.rtp.set_read_timeout(Some(LIMIT))?;
    late.control.set_read_timeout(Some(LIMIT))?;
    late.play()?;
    assert!(late.packet()?.1 == images[0]);
    // Connections that close are no longer counted.
    for _ in 0..3 {
        let other = TcpStream::connect(server.address()?)?;
        drop(other);
    }
    playing.packet()?;
    server.is_well()
}

#[test]
fn bad_input_is_answered_or_closed_and_others_play_on() -> Result<()> {
    let images = movies::images(10, "I420")?;
    let (_folder, mut server) = server(&images, &["--loop", "--explain"])?;
    let mut playing = LabClient::connect(&server)?;
    playing.play()?;
    let setup = |file: &str, port: &str| {
        format!("SETUP {file} RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP; client_port= {port}\n\n")
    };
    let long = "a".repeat(255);
    let rows: Vec<(String, &str)> = vec![
        (setup("../movie.Mjpeg", "25000"), "200"),
        (setup("/etc/passwd", "25000"), "404"),
        (setup("..", "25000"), "404"),
        (setup("/", "25000"), "400"),
        (setup("%2e%2e%2fmovie.Mjpeg", "25000"), "404"),
        (setup("%s%n", "25000"), "404"),
        (setup(&long, "25000"), "404"),
        (setup("movie.Mjpeg", "0"), "400"),
        (setup("movie.Mjpeg", "80"), "400"),
        (setup("movie.Mjpeg", "65536"), "400"),
        (setup("movie.Mjpeg", "99999999999999999999"), "400"),
        (setup("movie.Mjpeg", "text"), "400"),
        ("PLAY movie.Mjpeg RTSP/1.0\nCSeq: 1\n\n".into(), "455"),
        ("PAUSE\n\n".into(), "400"),
        ("\u{fffd}\u{fffd}\n\n".into(), "501"),
    ];
    for (request, status) in rows {
        let mut client = LabClient::connect(&server)?;
        let reply = client.request(&request)?;
        assert!(reply.starts_with(&format!("RTSP/1.0 {status} ")), "{request:?}: {reply:?}");
    }
    // Bytes that are not text and lines without end close their connection; the log says why.
    for (noise, why) in [(vec![0; 10], "not text"), (vec![b'a'; 5000], "longer than 4096 bytes")] {
        let mut client = LabClient::connect(&server)?;
        client.control.write_all(&noise)?;
        client.control.write_all(b"\n")?;
        // It is reset if bytes were left unread.
        assert!(!matches!(client.control.read(&mut [0; 10]), Ok(1..)));
        server.wait_for_log(why, LIMIT);
    }
    playing.packet()?;
    // Its packets end within a second after it is closed.
    let LabClient { control, rtp } = playing;
    drop(control);
    let end = Instant::now() + Duration::from_secs(1);
    server.wait_for_log("closed by the client", Duration::from_secs(1));
    let client = LabClient { control: TcpStream::connect(server.address()?)?, rtp };
    client.assert_silent()?;
    assert!(Instant::now() < end + Duration::from_secs(1));
    for part in ["> server: request: SETUP", "the lab asks for", "first RTP packet"] {
        assert!(server.log()?.contains(part), "{part}");
    }
    server.is_well()
}

#[test]
fn the_intact_frames_of_every_broken_movie_are_sent() -> Result<()> {
    let folder = Folder::new()?;
    let rows = broken::movies(&movies::images(4, "I420")?)?;
    for (number, row) in rows.iter().enumerate() {
        folder.file(&format!("{number}.mjpeg"), &row.bytes)?;
    }
    let mut server = Server::start([folder.path()], rows.len())?;
    for (number, row) in rows.iter().enumerate() {
        let mut client = LabClient::connect(&server)?;
        let port = client.port()?;
        let setup = format!("SETUP {number}.mjpeg\n1\n RTSP/1.0 RTP/UDP {port}");
        if row.delivered.is_empty() {
            let reply = client.request(&setup)?;
            assert_eq!(reply, "RTSP/1.0 404 Not Found\nCSeq: 1\nSession: 0", "{}", row.name);
            continue;
        }
        client.ok(&setup, 1, "\n")?;
        client.ok("PLAY \n2", 2, "\n")?;
        for image in &row.delivered {
            assert!(client.packet()?.1 == *image, "{}", row.name);
        }
        client.assert_silent()?;
    }
    server.is_well()
}
