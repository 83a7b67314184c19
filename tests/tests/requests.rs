// SPDX-License-Identifier: MIT OR Apache-2.0
//! Single requests and sequences of them, among them those that crash gst-rtsp-server 1.22.

use anyhow::Result;
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::libjpeg::{Picture, cjpeg};
use mjpeg_rtsp_tests::peer::rtsp_client::RtspClient;
use mjpeg_rtsp_tests::programs::{Server, serve};
use std::time::{Duration, Instant};

#[test]
fn describe_finds_a_movie_by_its_names_and_nothing_else() -> Result<()> {
    let (_folder, mut server) = serve(10, &[])?;
    let mut rtsp = RtspClient::connect(server.address()?)?;
    let rows = [
        ("/movie.mjpeg", 200),
        ("/MOVIE.mjpeg", 200),
        ("/movie", 200),
        ("/m%6fvie.mjpeg", 200),
        ("/m%256fvie.mjpeg", 404),
        ("/none", 404),
        ("/", 404),
        ("/../movie.mjpeg", 404),
        ("/%2e%2e/movie.mjpeg", 404),
        ("/x%2fmovie.mjpeg", 404),
        ("/movie.mjpeg%00", 404),
        ("/movie.mjpeg%5c", 404),
    ];
    for (path, status) in rows {
        let url = format!("rtsp://{}{path}", server.address()?);
        assert_eq!(rtsp.request(&format!("DESCRIBE {url}"), "")?.status, status, "{path}");
    }
    server.is_well()
}

#[test]
fn a_path_is_bytes_until_it_has_been_checked() -> Result<()> {
    let (_folder, mut server) = serve(10, &[])?;
    let address = server.address()?.to_owned();
    let rows: [(&[u8], u16); 7] = [
        (b"/%ff", 404),
        (b"/%e9", 404),
        (b"/movie%ff.mjpeg", 404),
        (b"/%c3%28/stream=0", 404),
        (b"/\xff", 404),
        (b"/movie\xe9.mjpeg", 404),
        (b"/\xed\xa0\x80", 404),
    ];
    for method in ["DESCRIBE", "SETUP"] {
        for (path, status) in rows {
            let mut rtsp = RtspClient::connect(&address)?;
            let request: Vec<u8> = [
                format!("{method} rtsp://{address}").as_bytes(),
                path,
                b" RTSP/1.0\r\nCSeq: 1\r\nTransport: RTP/AVP/TCP;interleaved=0-1\r\n\r\n",
            ]
            .concat();
            rtsp.send(request)?;
            let shown = path.escape_ascii();
            assert_eq!(rtsp.receive_reply()?.status, status, "{method} {shown}");
            server.is_well()?;
        }
    }
    Ok(())
}

#[test]
fn unplayable_files_are_refused_at_once() -> Result<()> {
    let folder = Folder::new()?;
    let good = movies::images(3, "I420")?;
    let plain = good.concat();
    let mut cut = good[0].clone();
    cut.truncate(cut.len() / 2);
    let arithmetic = cjpeg(&Picture::made(64, 48), &["-arithmetic"])?;
    let text = b"00009not a jpg".repeat(100);
    let rows: Vec<(&str, Vec<u8>, u16)> = vec![
        ("empty", vec![], 415),
        ("text", b"no movie at all".to_vec(), 415),
        // Images without lengths are a movie, too.
        ("plain", plain, 200),
        ("noimage", text, 415),
        ("zeros", b"00000".repeat(20_000), 415),
        ("arithmetic", movies::movie(&vec![arithmetic; 80])?, 415),
        ("cutframes", movies::movie(&vec![cut.clone(); 80])?, 415),
        ("firstcut", movies::movie(&[vec![cut], good.clone()].concat())?, 200),
        ("good", movies::movie(&good)?, 200),
    ];
    for (name, bytes, _) in &rows {
        folder.file(&format!("{name}.mjpeg"), bytes)?;
    }
    folder.file("gone.mjpeg", b"")?;
    let mut first = Server::start([folder.path()], rows.len() + 1)?;
    std::fs::remove_file(folder.path().join("gone.mjpeg"))?;
    let mut rtsp = RtspClient::connect(first.address()?)?;
    for (name, status) in rows.iter().map(|row| (row.0, row.2)).chain([("gone", 404)]) {
        let url = format!("rtsp://{}/{name}.mjpeg", first.address()?);
        let started = Instant::now();
        assert_eq!(rtsp.request(&format!("DESCRIBE {url}"), "")?.status, status, "{name}");
        // Far below the 20 s of a stalled preroll, and enough on a busy machine.
        assert!(started.elapsed() < Duration::from_secs(3), "{name}: {:?}", started.elapsed());
    }
    first.is_well()?;
    // SETUP without DESCRIBE, in a server that has not checked the movie.
    let mut server = Server::start([folder.path()], rows.len())?;
    for (name, status) in rows.iter().map(|row| (row.0, row.2)) {
        let mut rtsp = RtspClient::connect(server.address()?)?;
        let url = format!("rtsp://{}/{name}.mjpeg", server.address()?);
        let transport = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n";
        let reply = rtsp.request(&format!("SETUP {url}/stream=0"), transport)?;
        assert_eq!(reply.status, status, "{name}");
    }
    server.is_well()
}

#[test]
fn a_second_setup_of_a_playing_stream_is_refused_and_harmless() -> Result<()> {
    let (_folder, mut server) = serve(100, &[])?;
    let url = server.urls[0].clone();
    let mut rtsp = RtspClient::connect(server.address()?)?;
    let session = rtsp.play(&url, "tcp")?;
    while rtsp.packets < 10 {
        assert_eq!(rtsp.request(&format!("OPTIONS {url}"), &session)?.status, 200);
    }
    let again = format!("{session}Transport: RTP/AVP;unicast;client_port=50000-50001\r\n");
    assert_eq!(rtsp.request(&format!("SETUP {url}/stream=0"), &again)?.status, 455);
    let before = rtsp.packets;
    while rtsp.packets < before + 10 {
        assert_eq!(rtsp.request(&format!("OPTIONS {url}"), &session)?.status, 200);
    }
    server.is_well()
}

#[test]
fn invalid_ranges_and_rates_are_refused() -> Result<()> {
    let (_folder, mut server) = serve(100, &[])?;
    let url = server.urls[0].clone();
    let mut rtsp = RtspClient::connect(server.address()?)?;
    let session = rtsp.set_up(&url, "tcp")?;
    let rows = [
        ("Range: npt=70-", 457),
        ("Range: npt=10-5", 457),
        ("Range: npt=-", 457),
        ("Range: npt=nan-", 457),
        ("Range: npt=70-\r\nScale: 2", 457),
        ("Range: npt=0-\r\nScale: 0", 400),
        ("Range: npt=0-\r\nScale: nan", 400),
        ("Range: npt=0-\r\nSpeed: inf", 400),
        ("Range: npt=5-", 200),
        ("Range: npt=2-3", 200),
        ("Range: npt=4.99-", 200),
        ("Range: npt=2-3\r\nScale: -1", 457),
        ("Range: npt = 0 -", 200),
        ("Range: NPT=0-", 200),
        ("Range: smpte=0:00:01-", 200),
        ("Range: smpte=0:00:09-", 457),
        ("Range: clock=19961108T143720Z-", 501),
        ("Range: frames=1-", 501),
    ];
    for (header, status) in rows {
        let reply = rtsp.request(&format!("PLAY {url}/"), &format!("{session}{header}\r\n"))?;
        assert_eq!(reply.status, status, "{header}: {reply}");
    }
    server.is_well()
}

#[test]
fn rates_are_limited_and_reported() -> Result<()> {
    let (_folder, mut server) = serve(100, &[])?;
    let url = server.urls[0].clone();
    // The request's headers, and Scale and Speed of the reply.
    let rows = [
        ("Range: npt=0-\r\nScale: 4", Some("4.000"), Some("1.000")),
        ("Range: npt=0-\r\nScale: 1e300", Some("8.000"), Some("1.000")),
        ("Range: npt=0-\r\nScale: 0.1", Some("0.250"), Some("1.000")),
        ("Range: npt=0-\r\nScale: 1", Some("1.000"), None),
        ("Range: npt=4-1\r\nScale: -2", Some("-2.000"), Some("1.000")),
        ("Range: npt=4-\r\nScale: -1.5", Some("-1.500"), Some("1.000")),
        ("Scale: -99", Some("-8.000"), Some("1.000")),
        ("Range: npt=0-\r\nSpeed: 2", None, Some("2.000")),
        ("Range: npt=0-\r\nSpeed: -2", None, Some("0.250")),
        ("Range: npt=0-\r\nSpeed: 100", None, Some("8.000")),
        ("Range: npt=0-\r\nScale: 2\r\nSpeed: 8", Some("2.000"), Some("1.000")),
    ];
    for transport in ["tcp", "udp"] {
        for (headers, scale, speed) in rows {
            let mut rtsp = RtspClient::connect(server.address()?)?;
            let session = rtsp.set_up(&url, transport)?;
            let started =
                rtsp.request(&format!("PLAY {url}/"), &format!("{session}Range: npt=2-\r\n"))?;
            assert_eq!(started.status, 200);
            let reply =
                rtsp.request(&format!("PLAY {url}/"), &format!("{session}{headers}\r\n"))?;
            assert_eq!(reply.status, 200, "{transport} {headers}: {reply}");
            assert_eq!(reply.header("Scale"), scale, "{transport} {headers}: {reply}");
            assert_eq!(reply.header("Speed"), speed, "{transport} {headers}: {reply}");
        }
    }
    server.is_well()
}

/// A generator of pseudo-random choices, the same in each run.
struct PseudoRandom(u64);

impl PseudoRandom {
    fn choose<T: Copy>(&mut self, values: &[T]) -> T {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = usize::try_from(self.0 >> 40).unwrap_or(0) % values.len();
        values[at]
    }
}

#[test]
fn any_sequence_of_rates_and_ranges_is_answered() -> Result<()> {
    let (_folder, mut server) = serve(100, &[])?;
    let url = server.urls[0].clone();
    let ranges = [
        "", "npt=0-", "npt=2-", "npt=now-", "npt=3-1", "npt=1-3", "npt=4.9-", "npt=70-", "npt=2-0",
    ];
    let rates = ["", "1", "2", "0.5", "8", "100", "-1", "-4", "-0.01", "0", "nan", "1e300"];
    let mut random = PseudoRandom(7);
    let mut done = 0;
    for round in 0..16 {
        let mut rtsp = RtspClient::connect(server.address()?)?;
        let session = rtsp.set_up(&url, random.choose(&["tcp", "udp"]))?;
        for _ in 0..20 {
            let header = |name: &str, value: &str| match value {
                "" => String::new(),
                value => format!("{name}: {value}\r\n"),
            };
            let headers = [
                header("Range", random.choose(&ranges)),
                header("Scale", random.choose(&rates)),
                header("Speed", random.choose(&rates)),
            ]
            .concat();
            let method = random.choose(&["PLAY", "PLAY", "PLAY", "PAUSE"]);
            let reply =
                rtsp.request(&format!("{method} {url}/"), &format!("{session}{headers}"))?;
            let known = [200, 400, 455, 457].contains(&reply.status);
            assert!(known, "round {round}: {method} {headers}: {reply}");
            done += u32::from(method == "PLAY" && reply.status == 200);
        }
    }
    assert!(done > 50, "{done} PLAY requests were accepted");
    server.is_well()
}

#[test]
fn pipelined_seeks_are_all_answered() -> Result<()> {
    let (_folder, mut server) = serve(200, &[])?;
    let url = server.urls[0].clone();
    for round in 0..5 {
        let mut rtsp = RtspClient::connect(server.address()?)?;
        let session = rtsp.set_up(&url, "tcp")?;
        let request = |n: u32| {
            let line = format!("PLAY {url}/ RTSP/1.0\r\nCSeq: {n}\r\n");
            format!("{line}{session}Range: npt={n}-\r\n\r\n")
        };
        let requests = (0..8).map(request).collect::<Vec<_>>().concat();
        for _ in 0..3 {
            rtsp.send(&requests)?;
            for n in 0..8 {
                let reply = rtsp.receive_reply()?;
                assert_eq!(reply.status, 200, "round {round}, request {n}: {reply}");
            }
        }
    }
    server.is_well()
}
