// SPDX-License-Identifier: MIT OR Apache-2.0
//! SIGHUP: the configuration is read again while viewers play.

use anyhow::{Context, Result};
use mjpeg_rtsp_load::{Load, Transport};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::rtsp_client::RtspClient;
use mjpeg_rtsp_tests::programs::{Server, normalized, program};
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(20);

/// A folder with three movies of a second, and a configuration.
fn folder(text: &str) -> Result<Folder> {
    let folder = Folder::new()?;
    let movie = movies::movie(&movies::images(20, "I420")?)?;
    for name in ["a.mjpeg", "b.mjpeg", "c.mjpeg"] {
        folder.file(name, &movie)?;
    }
    folder.file("server.toml", text.as_bytes())?;
    Ok(folder)
}

fn start(folder: &Folder, urls: usize) -> Result<Server> {
    let config = folder.path().join("server.toml");
    let server = Server::start(["--config".as_ref(), config.as_os_str()], urls)?;
    // The last line of the start; the log is written by another thread.
    server.wait_for_log("limit of open files", LIMIT);
    Ok(server)
}

/// Makes the server read its configuration again, and waits until it has: the log has the text once
/// more. Returns what was logged.
fn reload(server: &mut Server, text: &str) -> Result<String> {
    let before = server.log()?;
    server.process().signal("HUP")?;
    mjpeg_rtsp_tests::wait_until(text, LIMIT, || {
        server.log().is_ok_and(|log| log[before.len()..].contains(text))
    });
    Ok(server.log()?[before.len()..].to_owned())
}

const LOOPS: &str = "[defaults]\nloop = true\n";
const A: &str = "[[mount]]\npath = 'a.mjpeg'\n";
const B: &str = "[[mount]]\npath = 'b.mjpeg'\n";

#[test]
fn viewers_of_what_did_not_change_lose_nothing_and_those_of_removed_movies_get_bye() -> Result<()> {
    let folder = folder(&format!("{LOOPS}{A}{B}[[mount]]\npath = 'c.mjpeg'\nkind = 'live'\n"))?;
    let mut server = start(&folder, 3)?;
    let address = server.address()?.to_owned();
    let [a, b, c] = [0, 1, 2].map(|it: usize| server.urls[it].clone());
    let viewer = |url: &str| -> Result<(RtspClient, String)> {
        let mut viewer = RtspClient::connect(&address)?;
        let session = viewer.play(url, "tcp")?;
        viewer.receive_packets(10)?;
        Ok((viewer, session))
    };
    let (mut unchanged, session_of_unchanged) = viewer(&a)?;
    let (mut removed, session_of_removed) = viewer(&b)?;
    let (mut changed, session_of_changed) = viewer(&c)?;
    let lab_rtp = UdpSocket::bind("127.0.0.1:0")?;
    lab_rtp.set_read_timeout(Some(LIMIT))?;
    let mut lab = RtspClient::connect(&address)?;
    for (number, line) in ["SETUP", "PLAY"].iter().enumerate() {
        let port = lab_rtp.local_addr()?.port();
        lab.send(format!(
            "{line} b.mjpeg RTSP/1.0\nCSeq: {number}\nTransport: RTP/UDP; client_port= {port}\n\n"
        ))?;
    }
    lab_rtp.recv(&mut vec![0; 65536])?;

    // b is removed, c is on demand and faster, d is new, and one more limit.
    let text = format!(
        "{LOOPS}{A}[[mount]]\npath = 'c.mjpeg'\nframerate = 40\n[[mount]]\npath = 'b.mjpeg'\n\
         name = 'd/d'\n[limits]\nmax-viewers = 3\n"
    );
    folder.file("server.toml", text.as_bytes())?;
    let log = reload(&mut server, "configuration reloaded")?;
    assert!(log.contains("configuration reloaded mounts=3 unchanged=1 removed=1"), "{log}");

    removed.receive_until_bye(Instant::now() + LIMIT)?;
    // The session ends a moment after its BYE.
    server.wait_for_log("session ended: the movie is not served any more", LIMIT);
    let pause = |url: &str| format!("PAUSE {url}");
    assert_eq!(removed.request(&format!("GET_PARAMETER {a}"), &session_of_removed)?.status, 454);
    assert_eq!(removed.request(&format!("DESCRIBE {b}"), "")?.status, 404);
    // The stream of the lab client stops, and its session ends with the next request.
    lab_rtp.set_read_timeout(Some(Duration::from_millis(500)))?;
    let deadline = Instant::now() + LIMIT;
    while lab_rtp.recv(&mut vec![0; 65536]).is_ok() {
        assert!(Instant::now() < deadline, "the lab client still receives");
    }
    lab.send("PLAY b.mjpeg RTSP/1.0\nCSeq: 3\n\n")?;
    server.wait_for_log("request=\"PLAY b.mjpeg RTSP/1.0\" reply=\"RTSP/1.0 455", LIMIT);

    // The others play on, obey requests, and have lost nothing.
    for (viewer, url, session) in
        [(&mut unchanged, &a, session_of_unchanged), (&mut changed, &c, session_of_changed)]
    {
        viewer.receive_packets(30)?;
        assert_eq!((viewer.missing, viewer.bye), (0, false), "{url}");
        assert_eq!(viewer.request(&pause(url), &session)?.status, 200, "{url}");
        assert_eq!(viewer.request(&format!("PLAY {url}"), &session)?.status, 200, "{url}");
        viewer.receive_packets(10)?;
    }
    // New viewers get the present configuration.
    let mut new = RtspClient::connect(&address)?;
    let sdp = new.request(&format!("DESCRIBE {c}"), "")?.body;
    assert!(sdp.contains("a=framerate:40\r\n") && !sdp.contains("npt=now-"), "{sdp}");
    let d = format!("rtsp://{address}/d/d");
    let session = new.set_up(&d, "tcp")?;
    assert_eq!(new.request(&format!("PLAY {d}"), &session)?.status, 200);
    let mut fourth = RtspClient::connect(&address)?;
    let session = fourth.set_up(&d, "tcp")?;
    assert_eq!(fourth.request(&format!("PLAY {d}"), &session)?.status, 453);
    server.is_well()
}

#[test]
fn two_hundred_viewers_lose_no_packet_by_reloads() -> Result<()> {
    let folder = folder(&format!("{LOOPS}{A}"))?;
    let mut server = start(&folder, 1)?;
    let load = Load {
        server: server.address()?.parse()?,
        movie: "a.mjpeg".to_owned(),
        transport: Transport::Udp,
        sessions: 200,
        newcomers: 0,
        time: Duration::from_secs(8),
        period: Duration::from_millis(50),
        gro: false,
    };
    let watching = std::thread::spawn(move || load.run(None));
    let mut reloads = 0;
    while !watching.is_finished() {
        // Another movie, then no other one.
        let other = if reloads % 2 == 0 { B } else { "" };
        folder.file("server.toml", format!("{LOOPS}{A}{other}").as_bytes())?;
        let log = reload(&mut server, "configuration reloaded")?;
        assert!(log.contains("unchanged=1"), "{log}");
        reloads += 1;
        mjpeg_rtsp_tests::pace(Duration::from_millis(200));
    }
    let outcome = watching.join().map_err(|_| anyhow::anyhow!("panicked"))??;
    let received = outcome.received;
    assert!(reloads >= 5, "{reloads} reloads");
    assert_eq!((received.sessions, received.lost), (200, 0), "{received:?}");
    server.is_well()
}

#[test]
fn a_bad_file_is_refused_and_the_old_one_goes_on() -> Result<()> {
    let folder = folder(&format!("{LOOPS}{A}"))?;
    let mut server = start(&folder, 1)?;
    let path = folder.path().join("server.toml");
    let name = path.to_string_lossy().into_owned();
    let mut viewer = RtspClient::connect(server.address()?)?;
    viewer.play(&server.urls[0], "tcp")?;
    // Bytes of the file, or none for no file; errors.
    let long = vec![b'#'; 10_000_000];
    let rows: [(Option<&[u8]>, &str); 6] = [
        (
            Some(b"lab = 'x'\ngrac = 1\n"),
            "ERROR FILE:1:7: lab: found \"x\"; allowed is \"on\", \"off\" or \"only\"\n\
             ERROR FILE:2:1: found the key \"grac\" before the first table; allowed are listen, lab, \
             http-tunnel, tls-certificate, tls-key, tls-listen, tls-udp, http, http-hosts, proxy-from, allow, deny, \
             basic-auth, prepare-cache, explain, log, log-format, grace, limits, defaults, user, mount; \
             perhaps \"grace\" is meant\n",
        ),
        (Some(b"\xff"), "ERROR FILE:1:1: found the byte 0xff; allowed is text in UTF-8\n"),
        (
            Some(&long),
            "ERROR the configuration FILE has over 1048576 bytes, which is the maximum\n",
        ),
        (
            Some(b"[[mount]]\npath = 'none.mjpeg'\n"),
            "ERROR FILE:1:1: cannot read FOLDER/none.mjpeg (check the path and its permissions): No \
             such file or directory (os error 2)\n",
        ),
        (
            None,
            "ERROR cannot read the configuration FILE: No such file or directory (os error 2)\n",
        ),
        (None, "ERROR the configuration FILE is a folder; it must be a regular file\n"),
    ];
    for (number, (bytes, errors)) in rows.into_iter().enumerate() {
        match bytes {
            Some(bytes) => std::fs::write(&path, bytes)?,
            None if number == 4 => std::fs::remove_file(&path)?,
            None => std::fs::create_dir(&path)?,
        }
        let log = reload(&mut server, "the configuration was not reloaded")?;
        let in_folder = folder.path().to_string_lossy().into_owned();
        let log = normalized(&log, &[(&name, "FILE"), (&in_folder, "FOLDER")]);
        let want = format!(
            "INFO reading the configuration again\n{errors}\
             ERROR the configuration was not reloaded; the old one goes on\n"
        );
        assert_eq!(log, want);
        viewer.receive_packets(10)?;
        let described = RtspClient::connect(server.address()?)?.described_range(&server.urls[0])?;
        assert_eq!(described, "npt=0-");
    }
    // Once the file is good again, it is applied.
    std::fs::remove_dir(&path)?;
    std::fs::write(&path, format!("{LOOPS}{A}{B}"))?;
    let log = reload(&mut server, "configuration reloaded")?;
    assert!(log.contains("mounts=2 unchanged=1 removed=0"), "{log}");
    viewer.receive_packets(10)?;
    assert_eq!((viewer.missing, viewer.bye), (0, false));
    server.is_well()
}

#[test]
fn keys_that_cannot_change_while_the_server_runs_say_so() -> Result<()> {
    let folder = folder(&format!("{LOOPS}{A}"))?;
    let mut server = start(&folder, 1)?;
    let text = format!("log = 'debug'\nlab = 'off'\ngrace = '1s'\nlisten = 1\n{LOOPS}{A}");
    folder.file("server.toml", text.as_bytes())?;
    for _ in 0..2 {
        let log = normalized(&reload(&mut server, "configuration reloaded")?, &[]);
        // The listening address is that of a flag, which wins.
        let mut want = "INFO reading the configuration again\n".to_owned();
        for key in ["lab", "log"] {
            want += "WARN a change of this key takes effect when the server is started again key=\"KEY\"\n"
                .replace("KEY", key)
                .as_str();
        }
        want += "INFO configuration reloaded mounts=1 unchanged=1 removed=0\n";
        assert_eq!(log, want);
    }
    server.is_well()
}

#[test]
fn the_test_card_comes_and_goes_with_the_mounts() -> Result<()> {
    let folder = folder("[defaults]\nloop = true\n")?;
    let mut server = start(&folder, 1)?;
    let card = server.urls[0].clone();
    let movie = card.replace("/test", "/a.mjpeg");
    let mut viewer = RtspClient::connect(server.address()?)?;
    viewer.play(&card, "tcp")?;
    // Nothing changes.
    let log = reload(&mut server, "configuration reloaded")?;
    assert!(log.contains("mounts=1 unchanged=1 removed=0"), "{log}");
    viewer.receive_packets(50)?;
    assert_eq!((viewer.missing, viewer.bye), (0, false));
    folder.file("server.toml", format!("{LOOPS}{A}").as_bytes())?;
    reload(&mut server, "configuration reloaded")?;
    viewer.receive_until_bye(Instant::now() + LIMIT)?;
    let mut client = RtspClient::connect(server.address()?)?;
    assert_eq!(client.described_range(&movie)?, "npt=0-");
    assert_eq!(client.request(&format!("DESCRIBE {card}"), "")?.status, 404);
    folder.file("server.toml", b"[defaults]\nframerate = 10\n")?;
    reload(&mut server, "configuration reloaded")?;
    assert_eq!(client.described_range(&card)?, "npt=0-20");
    assert_eq!(client.request(&format!("DESCRIBE {movie}"), "")?.status, 404);
    server.is_well()
}

#[test]
fn a_service_manager_hears_when_a_reload_starts_and_ends() -> Result<()> {
    let folder = folder(&format!("{LOOPS}{A}"))?;
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path)?;
    socket.set_read_timeout(Some(LIMIT))?;
    let mut command = program("mjpeg-rtsp-server")?;
    command.env("NOTIFY_SOCKET", &path).args(["--listen", "127.0.0.1:0", "--config"]);
    let mut server = Server::spawn(command.arg(folder.path().join("server.toml")), 1)?;
    let next = || -> Result<String> {
        let mut bytes = [0; 4096];
        let length = socket.recv(&mut bytes).context("no message")?;
        Ok(String::from_utf8_lossy(&bytes[..length]).trim_end().to_owned())
    };
    assert_eq!(next()?, "READY=1");
    for text in ["configuration reloaded", "the configuration was not reloaded"] {
        reload(&mut server, text)?;
        let reloading = next()?;
        let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
        assert!(time.is_some_and(|it| it.parse::<u64>().is_ok()), "{reloading:?}");
        assert_eq!(next()?, "READY=1");
        folder.file("server.toml", b"x")?;
    }
    server.is_well()
}
