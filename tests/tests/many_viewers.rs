// SPDX-License-Identifier: MIT OR Apache-2.0
//! Many viewers at once, live movies, and RTCP sender reports.

use anyhow::{Context, Result};
use gstmjpegfile::rtp::RtpHeader;
use mjpeg_rtsp_load::{Load, Transport};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::ffmpeg;
use mjpeg_rtsp_tests::peer::libjpeg::{Picture, cjpeg};
use mjpeg_rtsp_tests::peer::rtsp_client::RtspClient;
use mjpeg_rtsp_tests::programs::{Server, serve};
use std::net::UdpSocket;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(10);

/// Most threads that wait for a disk, encode, or handle requests; they are started as needed.
const WORKERS: usize = 18;

/// Most threads that gst-rtsp-server starts with the first viewers over UDP and TCP, for all viewers.
const LIBRARY: usize = 10;

#[test]
fn threads_do_not_grow_with_viewers_and_nothing_is_lost() -> Result<()> {
    let rows = [
        (Transport::Udp, &["--loop"][..]),
        (Transport::Udp, &["--loop", "--udp-offload", "off"]),
        (Transport::Tcp, &["--loop"]),
        (Transport::Lab, &["--loop"]),
        (Transport::Udp, &["--live"]),
        (Transport::Tcp, &["--live"]),
    ];
    for (transport, options) in rows {
        let (_folder, mut server) = serve(100, options)?;
        let load = |sessions| Load {
            server: "127.0.0.1:0".parse().expect("an address"),
            movie: "movie.mjpeg".to_owned(),
            transport,
            sessions,
            newcomers: 2,
            time: Duration::from_secs(1),
            period: Duration::from_millis(50),
            gro: false,
        };
        let address = server.address()?.parse()?;
        let id = server.process().id();
        let mut threads = Vec::new();
        for sessions in [8, 80] {
            let outcome = Load { server: address, ..load(sessions) }.run(Some(id))?;
            let seen = outcome.received;
            assert_eq!((seen.sessions, seen.lost), (sessions, 0), "{transport:?} {options:?}");
            // On a busy machine frames may be late, but none is left out.
            assert!(seen.frames >= sessions as u64 * 10, "{transport:?} {options:?}: {seen:?}");
            threads.push(outcome.usage.context("no usage")?.threads);
        }
        assert!(threads[1] <= threads[0] + WORKERS, "{transport:?} {options:?}: {threads:?}");
        server.is_well()?;
    }
    Ok(())
}

#[test]
fn threads_and_descriptors_do_not_grow_with_mounts() -> Result<()> {
    const MOVIES: usize = 40;
    let folder = Folder::new()?;
    let movie = movies::movie(&movies::images(30, "I420")?)?;
    for number in 0..MOVIES {
        folder.file(&format!("{number}.mjpeg"), &movie)?;
    }
    let mut server =
        Server::start([std::ffi::OsStr::new("--loop"), folder.path().as_os_str()], MOVIES)?;
    let play = |url: &str, transport: &str| -> Result<RtspClient> {
        let mut rtsp = RtspClient::connect(server.address()?)?;
        rtsp.play(url, transport)?;
        Ok(rtsp)
    };
    let mut viewers = vec![play(&server.urls[0], "tcp")?, play(&server.urls[0], "udp")?];
    let (threads, files) = (server.threads()?, server.files()?);
    for (url, transport) in server.urls[1..].iter().zip(["tcp", "udp"].iter().cycle()) {
        viewers.push(play(url, transport)?);
    }
    let (more_threads, more_files) = (server.threads()?, server.files()?);
    assert!(more_threads <= threads + WORKERS, "{threads} threads, {more_threads}");
    // Each viewer has a connection and a movie; a request being handled has one more.
    assert!(more_files <= files + 2 * MOVIES + WORKERS, "{files} files, {more_files}");
    server.is_well()
}

/// The position of `part` in the endless repetition of `whole`.
fn position_in_loop(whole: &[String], part: &[String]) -> Option<usize> {
    (0..whole.len()).find(|at| {
        part.iter().enumerate().all(|(n, one)| whole.get((at + n) % whole.len()) == Some(one))
    })
}

#[test]
fn a_live_movie_plays_independently_of_its_viewers() -> Result<()> {
    let folder = Folder::new()?;
    let images = movies::images(800, "I420")?;
    let movie = folder.file("movie.mjpeg", &movies::movie(&images)?)?;
    let want = ffmpeg::file_checksums(&folder.file("plain", &images.concat())?)?;
    let mut server = Server::start([&"--live".into(), &movie.into_os_string()], 1)?;
    let url = server.urls[0].clone();
    assert_eq!(RtspClient::connect(server.address()?)?.described_range(&url)?, "npt=now-");
    let mut last = 0;
    for transport in ["tcp", "udp"] {
        let got = ffmpeg::stream_checksums_of_first(&url, transport, 8)?;
        let at = position_in_loop(&want, &got).with_context(|| format!("{transport}: {got:?}"))?;
        // The movie's 40 seconds are not over.
        assert!(at >= last, "{transport}: {at} before {last}");
        last = at + 8;
    }
    // Two viewers at a time receive the same frames.
    let other = url.clone();
    let beside = std::thread::spawn(move || ffmpeg::stream_checksums_of_first(&other, "tcp", 100));
    let one = ffmpeg::stream_checksums_of_first(&url, "udp", 100)?;
    let two = beside.join().map_err(|_| anyhow::anyhow!("panicked"))??;
    assert!(one.iter().any(|frame| two.contains(frame)), "no frame in common");
    // It has one position and one rate.
    let mut rtsp = RtspClient::connect(server.address()?)?;
    let session = rtsp.set_up(&url, "tcp")?;
    for range in ["npt=3-", "npt=3-5", "smpte=0:00:01-"] {
        let headers = format!("{session}Range: {range}\r\n");
        assert_eq!(rtsp.request(&format!("PLAY {url}/"), &headers)?.status, 457, "{range}");
    }
    // openRTSP -d 5 asks for 0-5, and ends by itself.
    for range in ["npt=0-", "npt=0.000-", "npt=now-", "npt=0.000-5.000", "npt=now-5"] {
        let headers = format!("{session}Range: {range}\r\nScale: 2\r\n");
        let reply = rtsp.request(&format!("PLAY {url}/"), &headers)?;
        assert_eq!((reply.status, reply.header("Range")), (200, Some("npt=now-")), "{reply}");
        assert_eq!(reply.header("Scale"), Some("1.000"), "{reply}");
    }
    server.is_well()
}

/// Two sockets at neighbouring ports, the first one even.
fn sockets() -> Result<(UdpSocket, UdpSocket)> {
    for _ in 0..100 {
        let rtp = UdpSocket::bind("127.0.0.1:0")?;
        let port = rtp.local_addr()?.port();
        if port % 2 == 0
            && let Ok(rtcp) = UdpSocket::bind(("127.0.0.1", port + 1))
        {
            for socket in [&rtp, &rtcp] {
                socket.set_read_timeout(Some(LIMIT))?;
            }
            return Ok((rtp, rtcp));
        }
    }
    anyhow::bail!("no two neighbouring ports are free")
}

/// A sender report.
#[derive(Debug)]
struct Report {
    ssrc: u32,
    /// NTP time in seconds.
    now: f64,
    timestamp: u32,
    packets: u32,
    octets: u32,
    goodbye: bool,
}

fn report(rtcp: &UdpSocket) -> Result<Report> {
    let mut bytes = [0; 1500];
    let have = rtcp.recv(&mut bytes)?;
    let word =
        |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    assert_eq!((bytes[0], bytes[1], bytes[28], bytes[29]), (0x80, 200, 0x81, 202));
    Ok(Report {
        ssrc: word(4),
        now: f64::from(word(8)) + f64::from(word(12)) / 4_294_967_296.0,
        timestamp: word(16),
        packets: word(20),
        octets: word(24),
        goodbye: bytes[have - 8..have - 4] == [0x81, 203, 0, 1],
    })
}

#[test]
fn sending_ends_when_the_connection_is_closed() -> Result<()> {
    for options in [&["--loop"], &["--live"]] {
        let (_folder, mut server) = serve(30, options)?;
        let before = server.threads()?;
        let url = server.urls[0].clone();
        let (rtp, _rtcp) = sockets()?;
        let port = rtp.local_addr()?.port();
        let udp = format!("RTP/AVP;unicast;client_port={port}-{}", port + 1);
        let mut connections = Vec::new();
        for transport in ["tcp", &udp] {
            let mut rtsp = RtspClient::connect(server.address()?)?;
            rtsp.play(&url, transport).with_context(|| format!("{options:?}"))?;
            connections.push(rtsp);
        }
        let mut bytes = [0; 2000];
        rtp.recv(&mut bytes)?;
        drop(connections);
        rtp.set_read_timeout(Some(Duration::from_millis(500)))?;
        let end = Instant::now() + LIMIT;
        while rtp.recv(&mut bytes).is_ok() {
            assert!(Instant::now() < end, "{options:?}: packets still arrive");
        }
        let now = server.threads()?;
        assert!(now <= before + LIBRARY + WORKERS, "{options:?}: {before} threads, {now}");
        server.is_well()?;
    }
    Ok(())
}

#[test]
fn sender_reports_and_rtp_info_match_the_packets() -> Result<()> {
    let (_folder, mut server) = serve(30, &[])?;
    let url = server.urls[0].clone();
    let (rtp, rtcp) = sockets()?;
    let port = rtp.local_addr()?.port();
    let mut rtsp = RtspClient::connect(server.address()?)?;
    let udp = format!("RTP/AVP;unicast;client_port={port}-{}", port + 1);
    let session = rtsp.set_up(&url, &udp)?;
    let (mut packets, mut octets, mut first) = (0, 0, None::<Report>);
    // From the start for a moment, then from 1 s to the end.
    for (range, until) in [("npt=0-", Some(5)), ("npt=1-", None)] {
        let play = format!("{session}Range: {range}\r\n");
        let reply = rtsp.request(&format!("PLAY {url}/"), &play)?;
        let info = reply.header("RTP-Info").context("no RTP-Info")?.to_owned();
        let field = |name: &str| -> Result<u32> {
            let value = info.split(';').find_map(|it| it.strip_prefix(name));
            Ok(value.with_context(|| info.clone())?.parse()?)
        };
        let (mut next, start) = (field("seq=")?, field("rtptime=")?);
        let mut frames = 0;
        let mut bytes = [0; 2000];
        while until.is_none_or(|until| frames < until) && (until.is_some() || frames < 10) {
            let have = rtp.recv(&mut bytes)?;
            let (header, payload) = RtpHeader::parse(&bytes[..have])?;
            assert_eq!(u32::from(header.sequence_number), next % 65_536, "{range}");
            // 50 ms are 4500 ticks.
            assert_eq!(header.timestamp.ticks(), start.wrapping_add(frames * 4500), "{range}");
            (next, frames) = (next + 1, frames + u32::from(header.marker));
            packets += 1;
            octets += u32::try_from(payload.len())?;
        }
        if until.is_some() {
            first = Some(report(&rtcp)?);
            assert_eq!(rtsp.request(&format!("PAUSE {url}/"), &session)?.status, 200);
            // Packets on their way belong to the first part.
            rtp.set_nonblocking(true)?;
            while let Ok(have) = rtp.recv(&mut bytes) {
                packets += 1;
                octets += u32::try_from(RtpHeader::parse(&bytes[..have])?.1.len())?;
            }
            rtp.set_nonblocking(false)?;
        }
    }
    let first = first.context("no report")?;
    let end = Instant::now() + LIMIT;
    let last = loop {
        let report = report(&rtcp)?;
        if report.goodbye || Instant::now() > end {
            break report;
        }
    };
    assert!(last.goodbye && !first.goodbye, "{last:?}");
    assert_eq!((last.ssrc, last.packets, last.octets), (first.ssrc, packets, octets));
    // The first report comes before the first packet.
    assert_eq!((first.packets, first.octets), (0, 0), "{first:?}");
    server.is_well()
}

#[test]
fn sender_reports_and_timestamps_have_the_same_clock() -> Result<()> {
    let (_folder, mut server) = serve(20, &["--loop"])?;
    let url = server.urls[0].clone();
    let (rtp, rtcp) = sockets()?;
    let port = rtp.local_addr()?.port();
    let mut rtsp = RtspClient::connect(server.address()?)?;
    rtsp.play(&url, &format!("RTP/AVP;unicast;client_port={port}-{}", port + 1))?;
    let (one, two) = (report(&rtcp)?, report(&rtcp)?);
    let ticks = f64::from(two.timestamp.wrapping_sub(one.timestamp));
    let off = ticks / 90_000.0 - (two.now - one.now);
    assert!(off.abs() < 0.01, "{off} s: {one:?} {two:?}");
    server.is_well()
}

#[test]
fn a_single_port_is_for_rtp_and_the_next_one_for_rtcp() -> Result<()> {
    let (_folder, mut server) = serve(20, &["--loop"])?;
    let url = server.urls[0].clone();
    let (rtp, rtcp) = sockets()?;
    let port = rtp.local_addr()?.port();
    let mut rtsp = RtspClient::connect(server.address()?)?;
    let transport = format!("Transport: RTP/AVP;unicast;client_port={port}\r\n");
    let reply = rtsp.request(&format!("SETUP {url}/stream=0"), &transport)?;
    let agreed = format!("client_port={port}-{};", port + 1);
    let transport = reply.header("Transport").context("no transport")?;
    assert!(reply.status == 200 && format!("{transport};").contains(&agreed), "{reply}");
    assert_eq!(rtsp.request(&format!("PLAY {url}"), &reply.session_line()?)?.status, 200);
    let mut bytes = [0; 2000];
    let have = rtp.recv(&mut bytes)?;
    let (header, _) = RtpHeader::parse(&bytes[..have])?;
    assert_eq!(report(&rtcp)?.ssrc, header.ssrc);
    server.is_well()
}

/// The CNAME in the RTCP description that a viewer of a new server receives.
fn cname() -> Result<String> {
    let (_folder, mut server) = serve(20, &["--loop"])?;
    let url = server.urls[0].clone();
    let (rtp, rtcp) = sockets()?;
    let port = rtp.local_addr()?.port();
    let mut rtsp = RtspClient::connect(server.address()?)?;
    rtsp.play(&url, &format!("RTP/AVP;unicast;client_port={port}-{}", port + 1))?;
    let described = rtsp.request(&format!("DESCRIBE {url}"), "")?.body;
    assert!(!described.to_ascii_lowercase().contains("cname"), "{described}");
    let mut bytes = [0; 1500];
    let have = rtcp.recv(&mut bytes)?;
    // After a report of 28 bytes: the header and SSRC of a description, then an item of type CNAME.
    let &[0x81, 202, _, _, _, _, _, _, 1, length, ref rest @ ..] = &bytes[28..have] else {
        anyhow::bail!("no description: {:?}", &bytes[28..have])
    };
    server.is_well()?;
    Ok(String::from_utf8(rest[..usize::from(length)].to_vec())?)
}

#[test]
fn cname_is_random_and_does_not_name_the_machine() -> Result<()> {
    let (one, two) = (cname()?, cname()?);
    // RFC 7022 section 5: 96 random bits.
    for name in [&one, &two] {
        assert!(name.len() == 24 && name.bytes().all(|it| it.is_ascii_hexdigit()), "{name}");
    }
    assert_ne!(one, two);
    Ok(())
}

#[test]
fn the_server_waits_for_a_slow_viewer_and_others_play_on() -> Result<()> {
    // Far more in all than the kernel buffers for a connection.
    let image = cjpeg(&Picture::made(640, 480), &["-sample", "2x2", "-quality", "90"])?;
    let movie = movies::movie(&vec![image.clone(); 400])?;
    assert!(movie.len() > 16_000_000, "{}", movie.len());
    let folder = Folder::new()?;
    let movie = folder.file("movie.mjpeg", &movie)?;
    let options = ["--framerate".into(), "100".into(), movie.into_os_string()];
    let mut server = Server::start::<std::ffi::OsString>(options, 1)?;
    let url = server.urls[0].clone();
    let play = || -> Result<RtspClient> {
        let mut rtsp = RtspClient::connect(server.address()?)?;
        rtsp.play(&url, "tcp")?;
        Ok(rtsp)
    };
    let (mut slow, mut quick) = (play()?, play()?);
    let mut late = Duration::ZERO;
    let most = 390 * (image.len() as u64 / 1400);
    while quick.packets < most {
        let before = Instant::now();
        quick.receive_until(before + Duration::from_millis(1))?;
        late = late.max(before.elapsed());
    }
    assert!(late < Duration::from_secs(1), "{late:?}");
    slow.receive_packets(most)?;
    assert_eq!((slow.missing, quick.missing), (0, 0));
    server.is_well()
}
