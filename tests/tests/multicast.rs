// SPDX-License-Identifier: MIT OR Apache-2.0
//! Live movies by multicast (RFC 2326 section 12.39).

use anyhow::{Context, Result, anyhow, ensure};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::network::{Datagram, Network, SERVER, SERVER_V6};
use mjpeg_rtsp_tests::peer::ffmpeg;
use mjpeg_rtsp_tests::peer::rtsp_client::{RtspClient, has_bye};
use mjpeg_rtsp_tests::programs::{Server, has_played, headless, program, run};
use mjpeg_rtsp_tests::{pace, wait_until};
use socket2::{Domain, Socket, Type};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

/// The number of frames of the movie, which repeats.
const FRAMES: u32 = 40;

/// The number of frames that each player receives.
const PLAYED: u32 = 100;

/// A folder with a movie, its images one after another as `plain`, and a configuration in which `keys` are
/// those of the live movie.
fn folder(keys: &str) -> Result<Folder> {
    let folder = Folder::new()?;
    let images = movies::images(FRAMES, "I420")?;
    folder.file("movie.mjpeg", &movies::movie(&images)?)?;
    folder.file("plain", &images.concat())?;
    let text = format!("[[mount]]\npath = 'movie.mjpeg'\nkind = 'live'\n{keys}\n");
    folder.file("server.toml", text.as_bytes())?;
    Ok(folder)
}

fn start(folder: &Folder, listen: &str, urls: usize) -> Result<Server> {
    let config = folder.path().join("server.toml");
    Server::start_on(listen, ["--config".as_ref(), config.as_os_str()], urls)
}

/// Checks that a player has received successive frames of the repeated movie.
fn check_order(player: &str, got: &[String], want: &[String]) -> Result<()> {
    ensure!(got.len() >= PLAYED as usize, "{player}: {} frames", got.len());
    let first = want.iter().position(|frame| *frame == got[0]);
    let first = first.with_context(|| format!("{player}: an unknown frame"))?;
    for (number, frame) in got.iter().enumerate() {
        let expected = &want[(first + number) % want.len()];
        ensure!(frame == expected, "{player}: frame {number} of {} is another one", got.len());
    }
    Ok(())
}

/// The frames that our client decodes: a checksum of each picture.
fn client_frames(source: &str, frames: u32, options: &[&str]) -> Result<Vec<String>> {
    let folder = tempfile::tempdir()?;
    let mut command = program("mjpeg-rtsp-client")?;
    command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    command.args(["--headless", "--frames", &frames.to_string(), "--save"]).arg(folder.path());
    let done = run(command.args(options).arg(source), LIMIT)?;
    let log = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "mjpeg-rtsp-client {source}: {log}");
    let pictures = folder.path().join("*.png");
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-f", "image2", "-pattern_type", "glob", "-i"]);
    let done = run(command.arg(pictures).args(["-f", "framemd5", "-"]), LIMIT)?;
    let text = String::from_utf8(done.stdout)?;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    Ok(lines.filter_map(|line| line.rsplit(' ').next()).map(ToOwned::to_owned).collect())
}

/// The frames that rtspsrc receives, by checksum.
fn rtspsrc_frames(url: &str) -> Result<Vec<String>> {
    let folder = tempfile::tempdir()?;
    let received = folder.path().join("received");
    let mut command = Command::new("gst-launch-1.0");
    command.args(["-q", "rtspsrc", &format!("location={url}"), "protocols=udp-mcast"]);
    command.args(["latency=500", "!", "rtpjpegdepay", "!", "identity"]);
    command.args([&format!("eos-after={}", PLAYED + 1), "!", "filesink"]);
    let done = run(command.arg(format!("location={}", received.display())), LIMIT)?;
    let log = String::from_utf8_lossy(&done.stderr);
    ensure!(has_played(&done), "rtspsrc {url}: {log}");
    ffmpeg::file_checksums(&received)
}

/// Plays a movie by three players at once; each must receive all frames in order.
fn play_by_all(url: &str, plain: &Path, movie: &Path) -> Result<()> {
    let want = ffmpeg::file_checksums(plain)?;
    let shown = client_frames(&movie.to_string_lossy(), FRAMES, &[])?;
    std::thread::scope(|scope| {
        let by_ffmpeg =
            scope.spawn(|| ffmpeg::stream_checksums_of_first(url, "udp_multicast", PLAYED));
        let by_rtspsrc = scope.spawn(|| rtspsrc_frames(url));
        let address = format!("{url}?transport=multicast");
        let by_client = scope.spawn(move || client_frames(&address, PLAYED, &[]));
        let panicked = |_| anyhow!("panicked");
        let by_ffmpeg = by_ffmpeg.join().map_err(panicked)??;
        let by_rtspsrc = by_rtspsrc.join().map_err(panicked)??;
        let by_client = by_client.join().map_err(panicked)??;
        check_order("ffmpeg", &by_ffmpeg, &want)?;
        check_order("rtspsrc", &by_rtspsrc, &want)?;
        check_order("mjpeg-rtsp-client", &by_client, &shown)
    })
}

/// Plays a movie on a network of two hosts by all players, and returns what has passed the cable.
fn play_on_network(keys: &str, host: &str) -> Result<Vec<Datagram>> {
    let folder = folder(&format!("framerate = 25\n{keys}"))?;
    let network = Network::new()?;
    let path = folder.path().to_owned();
    let listen = format!("{host}:0");
    let config = path.join("server.toml");
    let mut server = network
        .server
        .run(move || Server::start_on(&listen, ["--config".as_ref(), config.as_os_str()], 1))?;
    let wire = network.listen()?;
    let url = server.urls[0].clone();
    let (plain, movie) = (path.join("plain"), path.join("movie.mjpeg"));
    network.viewers.run(move || play_by_all(&url, &plain, &movie))?;
    let ended = "session ended";
    wait_until("the sessions end", LIMIT, || {
        server.log().is_ok_and(|log| log.matches(ended).count() == 3)
    });
    let log = server.log()?;
    assert_eq!(log.matches("transport=\"multicast\"").count(), 3, "{log}");
    // In this time, 25 more frames would be sent.
    pace(Duration::from_secs(1));
    server.is_well()?;
    Ok(wire.take())
}

#[test]
fn players_that_join_get_every_frame_and_each_packet_is_sent_once() -> Result<()> {
    let keys = "multicast = ['239.192.7.1']\nmulticast-ports = '6000-6001'\nmulticast-ttl = 3\n\
                udp-offload = 'off'";
    let datagrams = play_on_network(keys, SERVER)?;
    let (server, group) = ([10, 77, 0, 1], [239, 192, 7, 1]);
    let sent = datagrams.iter().filter(|it| it.source == server && it.destination == group);
    let sent: Vec<&Datagram> = sent.collect();
    let mut copies: BTreeMap<(u32, u16), usize> = BTreeMap::new();
    for packet in sent.iter().filter(|it| it.port == 6000) {
        let [_, _, high, low, a, b, c, d, ..] = packet.payload[..] else { anyhow::bail!("short") };
        let (time, number) = (u32::from_be_bytes([a, b, c, d]), u16::from_be_bytes([high, low]));
        *copies.entry((time, number)).or_default() += 1;
        assert_eq!((packet.ttl, packet.payload[0], packet.payload[1] & 0x7f), (3, 0x80, 26));
    }
    assert!(copies.len() > PLAYED as usize, "{} packets", copies.len());
    assert!(copies.values().all(|count| *count == 1), "{copies:?}");
    // No number is missing.
    let numbers: Vec<u16> = copies.keys().map(|(_, number)| *number).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1)));
    // Nothing is sent to a viewer alone.
    let alone = datagrams.iter().filter(|it| it.source == server && it.destination != group);
    assert_eq!(alone.count(), 0);
    // After the last session has ended, nothing is sent any more.
    let after_bye = sent.iter().skip_while(|it| it.port == 6000 || !has_bye(&it.payload)).skip(1);
    assert_eq!(after_bye.count(), 0);
    let reports: Vec<_> = sent.iter().filter(|it| it.port == 6001).collect();
    let byes: Vec<bool> = reports.iter().map(|it| has_bye(&it.payload)).collect();
    assert_eq!(byes.iter().position(|bye| *bye), Some(byes.len() - 1), "{byes:?}");
    Ok(())
}

#[test]
fn players_receive_what_the_kernel_has_split() -> Result<()> {
    play_on_network("multicast = ['239.192.7.2']", SERVER).map(drop)
}

#[test]
fn players_receive_over_ipv6_from_the_interface_that_is_named() -> Result<()> {
    // ff15: a site. No route to it is needed.
    let keys = "multicast = ['ff15::7:1', '239.192.7.3']\nmulticast-interface = 'cable'\n\
                multicast-only = true";
    play_on_network(keys, &format!("[{SERVER_V6}]")).map(drop)
}

/// The group of this test process, which no other one on this machine has.
fn group() -> Ipv4Addr {
    let [_, a, b, c] = std::process::id().to_be_bytes();
    Ipv4Addr::new(239, 128 | (a & 0x3f), b, c)
}

/// A server of a live movie that sends on this machine only; `keys` are further ones of the movie.
fn start_local(keys: &str) -> Result<(Folder, Server)> {
    let group = group();
    let local = format!("framerate = 50\nmulticast = ['{group}']\nmulticast-interface = 'lo'\n");
    let folder = folder(&format!("{local}{keys}"))?;
    let server = start(&folder, "127.0.0.1:0", 1)?;
    Ok((folder, server))
}

/// A socket that receives what is sent to a port of the group.
fn receiver(port: u16) -> Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((group(), port)).into())?;
    socket.join_multicast_v4(&group(), &Ipv4Addr::LOCALHOST)?;
    socket.set_read_timeout(Some(LIMIT))?;
    Ok(socket.into())
}

/// The ports of the group in the reply to SETUP.
fn ports(transport: &str) -> Result<u16> {
    let ports = transport.split(';').find_map(|it| it.strip_prefix("port="));
    let rtp = ports.and_then(|it| it.split('-').next()).context("no ports")?;
    Ok(rtp.parse()?)
}

const SETUP: &str = "Transport: RTP/AVP;multicast\r\n";

/// A client that has set the movie up by multicast, its session's line, and the group's port.
fn join(server: &Server) -> Result<(RtspClient, String, u16)> {
    let mut client = RtspClient::connect(server.address()?)?;
    let reply = client.request(&format!("SETUP {}/stream=0", server.urls[0]), SETUP)?;
    ensure!(reply.status == 200, "{reply}");
    let port = ports(reply.header("Transport").context("no Transport")?)?;
    let session = reply.session_line()?;
    Ok((client, session, port))
}

fn request(client: &mut RtspClient, method: &str, server: &Server, session: &str) -> Result<()> {
    let reply = client.request(&format!("{method} {}/", server.urls[0]), session)?;
    ensure!(reply.status == 200, "{method}: {reply}");
    Ok(())
}

/// Receives what was sent to a socket before.
fn drain(socket: &UdpSocket) -> Result<()> {
    socket.set_nonblocking(true)?;
    while socket.recv(&mut [0; 2000]).is_ok() {}
    Ok(socket.set_nonblocking(false)?)
}

/// Whether nothing is sent to a socket within a time in which 10 frames would be.
fn is_silent(socket: &UdpSocket) -> Result<bool> {
    drain(socket)?;
    socket.set_read_timeout(Some(Duration::from_millis(200)))?;
    let silent = socket.recv(&mut [0; 2000]).is_err();
    socket.set_read_timeout(Some(LIMIT))?;
    Ok(silent)
}

/// Waits until something is sent to a socket.
fn wait_for_packet(socket: &UdpSocket, when: &str) -> Result<()> {
    drain(socket)?;
    socket.recv(&mut [0; 2000]).with_context(|| format!("nothing is sent {when}"))?;
    Ok(())
}

/// Waits until BYE is sent to a socket.
fn wait_for_bye(socket: &UdpSocket) -> Result<()> {
    let mut packet = [0; 2000];
    loop {
        let length = socket.recv(&mut packet).context("no BYE")?;
        if has_bye(&packet[..length]) {
            return Ok(());
        }
    }
}

#[test]
fn the_stream_goes_on_until_the_last_session_leaves() -> Result<()> {
    let (_folder, mut server) = start_local("multicast-ports = '6100-6101'")?;
    let (mut first, session, port) = join(&server)?;
    assert_eq!(port, 6100);
    let (rtp, rtcp) = (receiver(port)?, receiver(port + 1)?);
    assert!(is_silent(&rtp)?, "sent before PLAY");
    request(&mut first, "PLAY", &server, &session)?;
    let mut packet = [0; 2000];
    rtp.recv(&mut packet)?;
    let (mut second, second_session, same) = join(&server)?;
    assert_eq!(same, port);
    request(&mut second, "PLAY", &server, &second_session)?;
    // One that pauses does not stop the other one, nor does its end.
    request(&mut first, "PAUSE", &server, &session)?;
    wait_for_packet(&rtp, "after PAUSE of one")?;
    request(&mut first, "PLAY", &server, &session)?;
    request(&mut second, "TEARDOWN", &server, &second_session)?;
    wait_for_packet(&rtp, "after TEARDOWN of one")?;
    // Paused by all: silence without BYE, since they may go on.
    request(&mut first, "PAUSE", &server, &session)?;
    assert!(is_silent(&rtp)?, "sent to nobody");
    request(&mut first, "PLAY", &server, &session)?;
    rtp.recv(&mut packet)?;
    rtcp.set_nonblocking(true)?;
    while let Ok(length) = rtcp.recv(&mut packet) {
        assert!(!has_bye(&packet[..length]), "BYE while there is a session");
    }
    rtcp.set_nonblocking(false)?;
    // The last one vanishes with its connection.
    drop(first);
    wait_for_bye(&rtcp)?;
    assert!(is_silent(&rtp)?, "sent after BYE");
    // The next one gets a new stream.
    let (mut third, session, port) = join(&server)?;
    request(&mut third, "PLAY", &server, &session)?;
    receiver(port)?.recv(&mut packet)?;
    // The end is that of the last session, paused or not.
    request(&mut third, "PAUSE", &server, &session)?;
    assert!(is_silent(&rtp)?, "sent to nobody");
    request(&mut third, "TEARDOWN", &server, &session)?;
    wait_for_bye(&rtcp)?;
    // Also if another session has played the movie.
    let (mut fourth, session, _) = join(&server)?;
    let (mut fifth, fifth_session, _) = join(&server)?;
    request(&mut fourth, "PLAY", &server, &session)?;
    rtp.recv(&mut packet)?;
    request(&mut fourth, "TEARDOWN", &server, &session)?;
    assert!(is_silent(&rtp)?, "sent to nobody");
    request(&mut fifth, "TEARDOWN", &server, &fifth_session)?;
    wait_for_bye(&rtcp)?;
    server.is_well()
}

#[test]
fn setup_states_the_group_or_refuses_it() -> Result<()> {
    let (_folder, mut server) = start_local("multicast-ports = '6110-6111'\nmulticast-ttl = 7")?;
    let (_on_demand_folder, on_demand) = {
        let (folder, _) = start_local("")?;
        let config = folder.path().join("server.toml");
        let text = std::fs::read_to_string(&config)?.replace("'live'", "'on-demand'");
        std::fs::write(&config, text)?;
        let server = start(&folder, "127.0.0.1:0", 1)?;
        (folder, server)
    };
    let (_none_folder, none) = mjpeg_rtsp_tests::programs::serve(5, &["--live"])?;
    let (_only_folder, only) = start_local("multicast-ports = '6112-6113'\nmulticast-only = true")?;
    let address = group();
    let interface = "multicast-interface = 'lo'";
    let (_bad_folder, bad) = {
        let (folder, _) = start_local("")?;
        let config = folder.path().join("server.toml");
        let text = std::fs::read_to_string(&config)?;
        std::fs::write(&config, text.replace(interface, "multicast-interface = 'no-such-one'"))?;
        let server = start(&folder, "127.0.0.1:0", 1)?;
        (folder, server)
    };
    let group = format!(
        "RTP/AVP;multicast;destination={address};port=6110-6111;ttl=7;ssrc=*;mode=\"PLAY\""
    );
    let group = group.as_str();
    let tcp = "RTP/AVP/TCP;unicast;interleaved=0-1;ssrc=*;mode=\"PLAY\"";
    let rows = [
        (&server, "RTP/AVP;multicast", Ok(group)),
        (&server, "RTP/AVP/UDP;multicast;destination=10.1.1.1;port=7-8;ttl=99", Ok(group)),
        (&server, "RTP/AVP/TCP;interleaved=0-1,RTP/AVP;multicast", Ok(tcp)),
        (&server, "RTP/AVP/TCP;multicast", Err(461)),
        (&on_demand, "RTP/AVP;multicast", Err(461)),
        (&on_demand, "RTP/AVP;multicast,RTP/AVP/TCP;interleaved=0-1", Ok(tcp)),
        (&none, "RTP/AVP;multicast", Err(461)),
        (&none, "RTP/AVP;multicast,RTP/AVP/TCP;interleaved=0-1", Ok(tcp)),
        (&only, "RTP/AVP/TCP;interleaved=0-1", Err(461)),
        (&only, "RTP/AVP;unicast;client_port=50000-50001", Err(461)),
        (&bad, "RTP/AVP;multicast", Err(461)),
        (&bad, "RTP/AVP;multicast,RTP/AVP/TCP;interleaved=0-1", Ok(tcp)),
    ];
    for (server, offer, want) in rows {
        let mut client = RtspClient::connect(server.address()?)?;
        let line = format!("SETUP {}/stream=0", server.urls[0]);
        let reply = client.request(&line, &format!("Transport: {offer}\r\n"))?;
        // Without the number of the source, which is random.
        let transport = reply.header("Transport").map(|header| {
            let part = |it: &str| {
                if it.starts_with("ssrc=") { "ssrc=*".to_owned() } else { it.to_owned() }
            };
            header.split(';').map(part).collect::<Vec<_>>().join(";")
        });
        let got = transport.as_deref().ok_or(reply.status);
        assert_eq!(got, want, "{offer}: {reply}");
    }
    let reason = "multicast refused (further ones are counted): multicast-interface no-such-one: No such device";
    bad.wait_for_log(reason, LIMIT);
    let (code, _, stderr) = headless(&[&only.urls[0]])?;
    let want = "sends this movie by multicast only: try --transport multicast";
    assert!(code == Some(1) && stderr.contains(want), "{stderr}");
    // The SDP of a movie that is sent in no other way states the group; that of others does not, since
    // players would ask for nothing else then.
    let connection = format!("c=IN IP4 {address}/1\r\n");
    for (server, lines) in [
        (&server, ["c=IN IP4 0.0.0.0\r\n", "m=video 0 RTP/AVP 26\r\n"]),
        (&only, [connection.as_str(), "m=video 6112 RTP/AVP 26\r\n"]),
        (&on_demand, ["c=IN IP4 0.0.0.0\r\n", "m=video 0 RTP/AVP 26\r\n"]),
    ] {
        let mut client = RtspClient::connect(server.address()?)?;
        let body = client.request(&format!("DESCRIBE {}", server.urls[0]), "")?.body;
        assert!(lines.iter().all(|line| body.contains(line)), "{body}");
    }
    server.is_well()
}

#[test]
fn reports_to_the_group_keep_the_session_alive_and_state_the_loss() -> Result<()> {
    let keys = "multicast-ports = '6120-6121'\n[limits]\nidle-time = '2s'";
    let (_folder, mut server) = start_local(keys)?;
    let (mut alive, session, port) = join(&server)?;
    request(&mut alive, "PLAY", &server, &session)?;
    let rtp = receiver(port)?;
    let mut packet = [0; 2000];
    rtp.recv(&mut packet)?;
    // A receiver report (RFC 3550 section 6.4.2) on the source of the packets, with 9 lost ones.
    let mut report = vec![0x81, 201, 0, 7, 0, 0, 0, 1];
    report.extend(&packet[8..12]);
    report.extend([0, 0, 0, 9]);
    report.resize(32, 0);
    let sender = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    sender.set_multicast_if_v4(&Ipv4Addr::LOCALHOST)?;
    let sender: UdpSocket = sender.into();
    let end = std::time::Instant::now() + Duration::from_secs(10);
    while std::time::Instant::now() < end {
        sender.send_to(&report, (group(), port + 1))?;
        pace(Duration::from_millis(500));
        assert!(!server.log()?.contains("session ended"), "{}", server.log()?);
    }
    // Without reports it ends, although its connection is open.
    server.wait_for_log("session ended: no sign of life within idle-time", LIMIT);
    let log = server.log()?;
    let line = log.lines().find(|line| line.contains("session ended")).unwrap_or_default();
    assert!(line.contains("transport=\"multicast\"") && line.contains("lost=9"), "{line}");
    assert!(is_silent(&rtp)?, "sent after the end of the session");
    server.is_well()
}
