// SPDX-License-Identifier: MIT OR Apache-2.0
//! Our client, headless, against our server.

use anyhow::{Context, Result};
use mjpeg_rtsp_tests::movies::{self, Folder, SIZE};
use mjpeg_rtsp_tests::peer::libjpeg::{Picture, cjpeg, images_for_jpegdec, psnr};
use mjpeg_rtsp_tests::peer::relay::{Relay, address_of};
use mjpeg_rtsp_tests::peer::rtsp_server::RtspServer;
use mjpeg_rtsp_tests::programs::{
    Guard, Server, Terminal, headless, program, run, serve, serve_as, target_folder,
};
use mjpeg_rtsp_tests::{pace, wait_until};
use socket2::{Domain, Socket, Type};
use std::io::{BufRead, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(40);

#[test]
fn it_counts_what_it_shows_over_every_transport() -> Result<()> {
    let (_folder, mut server) = serve(40, &[])?;
    for transport in ["udp", "tcp", "http", "auto"] {
        let arguments = ["--transport", transport, "--frames", "10", &server.urls[0]];
        let (code, summary, stderr) = headless(&arguments)?;
        assert_eq!(code, Some(0), "{transport}: {stderr}");
        assert_eq!(summary["frames"], 10, "{transport}: {summary}");
        assert_eq!(summary["lost"], 0, "{transport}: {summary}");
        assert_eq!((&summary["width"], &summary["height"]), (&SIZE.0.into(), &SIZE.1.into()));
    }
    let (code, summary, stderr) = headless(&["--frames", "1000", &server.urls[0]])?;
    assert_eq!((code, &summary["frames"]), (Some(0), &40.into()), "the end comes first: {stderr}");
    server.is_well()
}

/// What a server sends besides packets is limited; packets are not.
#[test]
fn it_plays_many_megabytes_in_the_connection() -> Result<()> {
    let image = cjpeg(&Picture::made(640, 480), &["-sample", "2x2", "-quality", "90"])?;
    let images = vec![image; 300];
    let bytes = movies::movie(&images)?.len();
    assert!(bytes > 12 << 20, "{bytes}");
    let (_folder, mut server) = serve_as("movie.mjpeg", &images, &["--framerate", "100"])?;
    for transport in ["tcp", "http"] {
        let (code, summary, stderr) = headless(&["--transport", transport, &server.urls[0]])?;
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{transport}");
        assert!(summary["received"].as_u64() > Some(9000), "{transport}: {summary}");
    }
    server.is_well()
}

/// Receivers accept a source only after two packets, and such a frame fits one.
#[test]
fn it_shows_a_movie_of_one_small_frame() -> Result<()> {
    let image = cjpeg(&Picture::made(32, 16), &["-sample", "2x2"])?;
    assert!(image.len() < 1400, "{} bytes", image.len());
    let (_folder, mut server) = serve_as("movie.mjpeg", &[image], &[])?;
    for transport in ["udp", "tcp"] {
        for _ in 0..3 {
            let arguments = ["--transport", transport, "--timeout", "5", &server.urls[0]];
            let (code, summary, stderr) = headless(&arguments)?;
            assert_eq!((code, &summary["frames"]), (Some(0), &1.into()), "{transport}: {stderr}");
        }
    }
    server.is_well()
}

#[test]
fn it_saves_each_frame_as_png() -> Result<()> {
    let (folder, server) = serve(10, &[])?;
    let out = folder.path().join("out");
    let path = out.to_string_lossy();
    let (code, _, stderr) = headless(&["--frames", "5", "--save", &path, &server.urls[0]])?;
    assert_eq!(code, Some(0), "{stderr}");
    let mut sizes = Vec::new();
    for file in std::fs::read_dir(&out)? {
        let bytes = std::fs::read(file?.path())?;
        assert!(bytes.starts_with(b"\x89PNG"));
        sizes.push((bytes[16..20].to_vec(), bytes[20..24].to_vec()));
    }
    let side = |side: u32| side.to_be_bytes().to_vec();
    assert_eq!(sizes, vec![(side(SIZE.0), side(SIZE.1)); 5]);
    Ok(())
}

/// The frames that the client saves of a source, as PNG files.
pub(crate) fn saved(source: &str, options: &[&str]) -> Result<Vec<Vec<u8>>> {
    let folder = Folder::new()?;
    let path = folder.path().to_string_lossy();
    let (code, _, stderr) = headless(&[options, &["--save", &path, source]].concat())?;
    assert_eq!(code, Some(0), "{source}: {stderr}");
    let mut names = std::fs::read_dir(folder.path())?
        .map(|file| Ok(file?.path()))
        .collect::<Result<Vec<_>>>()?;
    names.sort();
    names.iter().map(|name| Ok(std::fs::read(name)?)).collect()
}

/// Over UDP, BYE may be lost. GStreamer notices that the sender is silent after 25 s or more.
#[test]
fn a_movie_without_bye_ends_at_its_known_length() -> Result<()> {
    let (_folder, mut server) = serve(20, &[])?;
    let relay = Relay::without_rtcp(address_of(&server.urls[0])?)?;
    let url = server.urls[0].replace(server.address()?, &relay.address().to_string());
    let (code, summary, stderr) = headless(&["--transport", "udp", "--timeout", "15", &url])?;
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{summary}");
    assert_eq!((&summary["frames"], &summary["lost"]), (&20.into(), &0.into()), "{summary}");
    server.is_well()
}

/// RTP/JPEG counts in blocks of 8 pixels; the SDP has the true size.
#[test]
fn pictures_have_their_true_size_over_rtsp() -> Result<()> {
    let folder = Folder::new()?;
    let rows = [("a", (426, 240), "2x2"), ("b", (480, 270), "2x1"), ("c", (61, 43), "2x2")];
    for (name, (width, height), sample) in rows {
        let whole = Picture::made(width + 5, height);
        let image = |shift| cjpeg(&whole.part(shift, width), &["-sample", sample]);
        let images = (0..5).map(image).collect::<Result<Vec<_>>>()?;
        folder.file(&format!("{name}.mjpeg"), &movies::movie(&images)?)?;
    }
    let mut server = Server::start([folder.path()], rows.len())?;
    for url in &server.urls {
        let name = url.rsplit('/').next().context("no name")?;
        let want = saved(&folder.path().join(name).to_string_lossy(), &[])?;
        assert_eq!(want.len(), 5, "{name}");
        for transport in ["tcp", "udp"] {
            let got = saved(url, &["--transport", transport])?;
            assert!(got == want, "{name}, {transport}: {} frames", got.len());
        }
    }
    server.is_well()
}

#[test]
fn images_that_jpegdec_shows_wrongly_are_converted() -> Result<()> {
    let folder = Folder::new()?;
    for (name, image, want) in images_for_jpegdec()? {
        let file = folder.file("movie.mjpeg", &movies::movie(&vec![image; 3])?)?;
        let frames = saved(&file.to_string_lossy(), &[])?;
        assert_eq!(frames.len(), 3, "{name}");
        for frame in frames {
            let shown = Picture::from_png(&frame)?;
            let (luma, all) = (psnr(&shown.luma(), &want.luma()), psnr(&shown, &want));
            assert!(luma > 33.0 && all > 25.0, "{name}: luma {luma:.1} dB, all {all:.1} dB");
        }
    }
    Ok(())
}

#[test]
fn failures_are_one_line_and_exit_code_1() -> Result<()> {
    let (_folder, mut server) = serve(200, &[])?;
    let (_reserved, closed) = crate::ports::closed()?;
    let closed = format!("rtsp://{closed}/movie.mjpeg");
    let secret = closed.replace("rtsp://", "rtsp://admin:secret@");
    let none = format!("{}.none", server.urls[0]);
    // It accepts connections and answers no request.
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let silent = format!("rtsp://{}/movie.mjpeg", silent.local_addr()?);
    // Another protocol, whose server speaks first.
    let ssh = TcpListener::bind("127.0.0.1:0")?;
    let other = format!("rtsp://{}/movie.mjpeg", ssh.local_addr()?);
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = ssh.accept() {
            let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2p1\r\n");
            let _ = stream.read(&mut [0; 1024]);
        }
    });
    let udp_only = RtspServer::start(|request, stream| match request.method.as_str() {
        "SETUP" => stream.write_all(&request.reply("461 Unsupported Transport", "", "")),
        _ => stream.write_all(&request.answer()),
    })?;
    let udp_only = format!("rtsp://{}/movie.mjpeg", udp_only.address());
    let tls = server.urls[0].replace("rtsp://", "rtsps://");
    let unknown = "rtsp://no-such-host.invalid/movie.mjpeg".to_owned();
    let rows = [
        (
            closed,
            "SERVER refuses the connection: no server listens on this port. Start the server, or use \
             its port; common ones are 554 and 8554",
        ),
        (
            secret,
            "SERVER refuses the connection: no server listens on this port. Start the server, or use \
             its port; common ones are 554 and 8554",
        ),
        (
            unknown,
            "the host no-such-host.invalid has no known address (REASON): check the spelling of its \
             name",
        ),
        (none, "Not found (Not Found (404))"),
        (
            silent,
            "SERVER does not reply to OPTIONS within 2 s: the server may be busy or slow (--timeout), \
             or another program than an RTSP server may listen on this port",
        ),
        (
            other,
            "SERVER accepts the connection, but its answer to OPTIONS is not RTSP: check the port \
             (common ones are 554 and 8554), and try rtsps:// if the server requires TLS",
        ),
        (
            tls,
            "SERVER accepts the connection, but does not answer with TLS: it may expect plain RTSP. Use \
             rtsp:// instead of rtsps://",
        ),
        (
            udp_only,
            "SERVER does not send RTP over TCP (461 Unsupported Transport to SETUP): try --transport udp",
        ),
    ];
    for (url, want) in rows {
        let started = Instant::now();
        // Only a silent server needs the whole time.
        let timeout = if want.contains("within 2 s") { "2" } else { "10" };
        let (code, summary, stderr) =
            headless(&["--timeout", timeout, "--transport", "tcp", &url])?;
        assert!(started.elapsed() < Duration::from_secs(20), "{url}: {:?}", started.elapsed());
        assert_eq!((code, &summary["frames"]), (Some(1), &0.into()), "{stderr}");
        let server = url.split('/').nth(2).and_then(|it| it.rsplit('@').next());
        let (server, url) = (server.context("no server")?, url.replace(":secret@", ":***@"));
        assert_eq!(
            without_reason(&stderr),
            format!("ERROR {url}: {}\n", want.replace("SERVER", server))
        );
    }
    server.is_well()
}

/// A message with REASON for the system's reason why it does not know a host.
fn without_reason(text: &str) -> String {
    let Some((before, rest)) = text.split_once("(failed to lookup") else { return text.to_owned() };
    format!("{before}(REASON{}", rest.find(')').map_or("", |end| &rest[end..]))
}

#[test]
fn a_certificate_is_checked_unless_told_otherwise() -> Result<()> {
    let (folder, mut server) = serve(40, &[])?;
    let pem = folder.path().join("pem");
    let pem = pem.to_str().context("a plain path")?;
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]);
    openssl.args(["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]);
    let done = run(openssl.args(["-keyout", pem, "-out", &format!("{pem}.crt")]), LIMIT)?;
    assert!(done.status.success(), "{done:?}");
    let both = [std::fs::read(pem)?, std::fs::read(format!("{pem}.crt"))?].concat();
    std::fs::write(pem, both)?;
    let port = server.address()?.split(':').nth(1).context("no port")?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/peer/tls_proxy.py");
    let mut proxy = Command::new("python3");
    let mut proxy = proxy.arg(script).args([pem, port]).stdout(Stdio::piped()).spawn()?;
    let out = proxy.stdout.take().context("no standard output")?;
    let _proxy = Guard::new(proxy);
    let mut port = String::new();
    std::io::BufReader::new(out).read_line(&mut port)?;
    let url = format!("rtsps://127.0.0.1:{}/movie.mjpeg", port.trim());
    let play = |options: &[&str]| {
        let arguments = ["--transport", "tcp", "--frames", "5", &url];
        headless(&[options, &arguments[..]].concat())
    };
    for options in [&["--insecure"][..], &["--tls-ca", &format!("{pem}.crt")]] {
        let (code, summary, stderr) = play(options)?;
        assert_eq!((code, &summary["frames"]), (Some(0), &5.into()), "{options:?}: {stderr}");
    }
    let (code, _, stderr) = play(&[])?;
    let want = format!(
        "ERROR {url}: the certificate of 127.0.0.1:{} is not trusted: it is self-signed, or its issuer \
         is unknown. Trust it or its issuer by --tls-ca FILE, or accept every certificate by --insecure\n",
        port.trim()
    );
    assert_eq!((code, stderr), (Some(1), want));
    server.is_well()
}

#[test]
fn of_redirects_without_end_five_are_followed() -> Result<()> {
    let server = RtspServer::start(|request, stream| match request.method.as_str() {
        "DESCRIBE" => {
            let location = format!("Location: {}\r\n", request.url);
            stream.write_all(&request.reply("302 Found", &location, ""))
        }
        _ => stream.write_all(&request.answer()),
    })?;
    let url = format!("rtsp://{}/movie.mjpeg", server.address());
    let (code, _, stderr) = headless(&["--timeout", "10", &url])?;
    let want = format!("ERROR {url}: the server redirects more than 5 times\n");
    assert_eq!((code, stderr), (Some(1), want));
    let describes = server.methods().iter().filter(|method| *method == "DESCRIBE").count();
    assert_eq!(describes, 6);
    Ok(())
}

#[test]
fn a_slow_server_does_not_extend_the_timeout() -> Result<()> {
    // A reply whose headers come byte by byte and never end, before each method's reply.
    for slow in ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"] {
        let server = RtspServer::start(move |request, stream| {
            let reply = request.answer();
            if request.method != slow {
                return stream.write_all(&reply);
            }
            stream.write_all(b"RTSP/1.0 200 OK\r\nX: ")?;
            loop {
                stream.write_all(b"x")?;
                std::thread::sleep(Duration::from_millis(20));
            }
        })?;
        let url = format!("rtsp://{}/movie.mjpeg", server.address());
        let started = Instant::now();
        let (code, _, stderr) = headless(&["--timeout", "2", "--transport", "tcp", &url])?;
        let want = format!(
            "ERROR {url}: {} does not reply to {slow} within 2 s: the server may be busy or slow \
             (--timeout), or another program than an RTSP server may listen on this port\n",
            server.address()
        );
        assert_eq!((code, stderr), (Some(1), want));
        assert!(started.elapsed() < Duration::from_secs(20), "{slow}: {:?}", started.elapsed());
    }
    Ok(())
}

/// A listener whose queue is full: the system drops further connections.
fn full_listener() -> Result<(Socket, Vec<Socket>, std::net::SocketAddr)> {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    listener.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    listener.listen(0)?;
    let address = listener.local_addr()?.as_socket().context("no address")?;
    let waiting = (0..8).map(|_| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        // Those that fit are connected, the others are not.
        let _ = socket.connect(&address.into());
        Ok(socket)
    });
    let waiting = waiting.collect::<std::io::Result<Vec<_>>>()?;
    Ok((listener, waiting, address))
}

#[test]
fn every_wait_ends_in_time() -> Result<()> {
    let silent_listener = TcpListener::bind("127.0.0.1:0")?;
    let accepting = silent_listener.local_addr()?;
    std::thread::spawn(move || {
        // Keeps the connections.
        silent_listener.incoming().collect::<Vec<_>>()
    });
    let (_listener, _waiting, full) = full_listener()?;
    // The body of a reply, byte by byte.
    let body = RtspServer::start(|request, stream| {
        if request.method != "DESCRIBE" {
            return stream.write_all(&request.answer());
        }
        stream.write_all(&request.reply(
            "200 OK",
            "Content-Type: application/sdp\r\nContent-Length: 100000\r\n",
            "",
        ))?;
        loop {
            stream.write_all(b"x")?;
            std::thread::sleep(Duration::from_millis(20));
        }
    })?;
    let mute = RtspServer::start(|request, stream| stream.write_all(&request.answer()))?;
    // A lab server whose reply never ends.
    let lab = TcpListener::bind("127.0.0.1:0")?;
    let drip = lab.local_addr()?;
    std::thread::spawn(move || {
        for stream in lab.incoming().flatten() {
            std::thread::spawn(move || {
                let mut stream = stream;
                let _ = stream.write_all(b"RTSP/1.0 200 OK\r\nX: ");
                while stream.write_all(b"x").is_ok() {
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
        }
    });
    let no_answer = "SERVER does not answer within 2 s: check the address; the host may be off, or a firewall may \
         drop the connection";
    // Address, transport, and the message.
    let rows = [
        (format!("rtsp://{full}/m"), "tcp", no_answer),
        (
            format!("rtsps://{accepting}/m"),
            "tcp",
            "SERVER accepts the connection, but does not answer with TLS: it may expect plain RTSP. Use \
             rtsp:// instead of rtsps://",
        ),
        (
            format!("rtsp://{accepting}/m"),
            "http",
            "SERVER does not support RTSP through HTTP: use --transport auto, or the port for HTTP",
        ),
        (
            format!("rtsp://{}/m", body.address()),
            "tcp",
            "SERVER does not reply to DESCRIBE within 2 s: the server may be busy or slow (--timeout), or \
             another program than an RTSP server may listen on this port",
        ),
        (format!("rtsp://{}/m", mute.address()), "tcp", "no new frame within 2 s"),
        (
            format!("labrtsp://{full}/m"),
            "auto",
            "cannot connect to SERVER: connection timed out; is the server running there?",
        ),
        (
            format!("labrtsp://{accepting}/m"),
            "auto",
            "the server does not reply to SETUP within 2 s: it may not have the movie \"m\" (the \
             textbook's server does not reply then), or it may not speak the lab's dialect",
        ),
        (format!("labrtsp://{drip}/m"), "auto", "no new frame within 2 s"),
    ];
    std::thread::scope(|scope| {
        let all: Vec<_> = rows
            .iter()
            .map(|(url, transport, want)| {
                scope.spawn(move || -> Result<String> {
                    let started = Instant::now();
                    let (code, _, stderr) =
                        headless(&["--timeout", "2", "--transport", transport, url])?;
                    let elapsed = started.elapsed();
                    assert!(elapsed < Duration::from_secs(20), "{url}: {elapsed:?}: {stderr}");
                    assert_eq!(code, Some(1), "{url}: {stderr}");
                    let server = url.split('/').nth(2).context("no server")?;
                    let want = format!("ERROR {url}: {}\n", want.replace("SERVER", server));
                    Ok(if stderr == want { String::new() } else { format!("{stderr}{want}") })
                })
            })
            .collect();
        let mut wrong = String::new();
        for one in all {
            wrong += &one.join().map_err(|_| anyhow::anyhow!("panicked"))??;
        }
        assert_eq!(wrong, "");
        Ok(())
    })
}

#[test]
fn a_password_is_blanked_in_every_output() -> Result<()> {
    let server = RtspServer::start(|request, stream| {
        let challenge = "WWW-Authenticate: Basic realm=\"x\"\r\n";
        if request.method == "OPTIONS" {
            return stream.write_all(&request.answer());
        }
        // The server repeats what it was sent.
        let headers = format!("{challenge}X-Url: {}\r\nX-Title: \x1b]0;t\x07\r\n", request.url);
        stream.write_all(&request.reply("401 Unauthorized \x1b[2J", &headers, ""))
    })?;
    let address = server.address();
    for credentials in ["admin:secret", "admin:se@secret", "admin"] {
        let url = format!("rtsp://{credentials}@{address}/movie.mjpeg");
        let (code, _, stderr) = headless(&["--explain", "--timeout", "5", &url])?;
        assert_eq!(code, Some(1), "{stderr}");
        assert!(!stderr.contains("secret"), "{stderr}");
        assert!(stderr.contains("401 Unauthorized"), "{stderr}");
        assert!(!stderr.contains(['\x1b', '\x07']), "{stderr:?}");
        let hint = "Write @ in a password as %40";
        assert_eq!(stderr.contains(hint), credentials.contains('@'), "{stderr}");
    }
    Ok(())
}

#[test]
fn users_and_passwords_are_sent_as_they_are_meant() -> Result<()> {
    // What stands in the address, and in base64 what must be sent (RFC 7617).
    let rows = [
        ("user:pass", "dXNlcjpwYXNz"),
        ("user:p@ss", "dXNlcjpwQHNz"),
        ("user:p%40ss", "dXNlcjpwQHNz"),
        ("user", "dXNlcjo="),
    ];
    for (credentials, want) in rows {
        let authorization = format!("Authorization: Basic {want}\r\n");
        let server = RtspServer::start(move |request, stream| {
            let is_user = request.text.contains(&authorization) || request.method == "OPTIONS";
            let challenge = "WWW-Authenticate: Basic realm=\"x\"\r\n";
            stream.write_all(&match request.method.as_str() {
                _ if !is_user => request.reply("401 Unauthorized", challenge, ""),
                // The session was opened: that is enough.
                "SETUP" => request.reply("404 Not Found", "", ""),
                _ => request.answer(),
            })
        })?;
        let url = format!("rtsp://{credentials}@{}/movie.mjpeg", server.address());
        let (code, _, stderr) = headless(&["--timeout", "5", "--transport", "tcp", &url])?;
        assert!(code == Some(1) && stderr.contains("404"), "{credentials}: {stderr}");
        assert!(server.methods().contains(&"SETUP".to_owned()), "{credentials}: {stderr}");
    }
    Ok(())
}

/// Waits until a number of sessions have ended, each by TEARDOWN.
fn all_ended_by_teardown(server: &Server, sessions: usize) -> Result<()> {
    let ended = || server.log().map(|log| log.matches(" session ended: ").count());
    wait_until("the sessions' ends", LIMIT, || ended().is_ok_and(|count| count == sessions));
    let log = server.log()?;
    assert_eq!(log.matches(" session ended: TEARDOWN ").count(), sessions, "{log}");
    Ok(())
}

#[test]
fn a_signal_ends_the_session_with_teardown_and_the_summary() -> Result<()> {
    let images = vec![movies::images(100, "I420")?; 4].concat();
    let (folder, mut server) = serve_as("movie.mjpeg", &images, &["--log", "debug"])?;
    for (signal, want) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        for scheme in ["rtsp", "labrtsp"] {
            let url = server.urls[0].replace("rtsp", scheme);
            let out = folder.path().join(format!("{signal}-{scheme}"));
            let save = folder.path().join(format!("{signal}-{scheme}-frames"));
            let mut command = program("mjpeg-rtsp-client")?;
            command.args(["--headless", "--json", "--save"]).arg(&save).arg(&url);
            let mut client = Guard::new(command.stdout(std::fs::File::create(&out)?).spawn()?);
            let first = save.join("frame-000005.png");
            wait_until("frames", LIMIT, || first.exists());
            client.signal(signal)?;
            assert_eq!(client.wait(LIMIT)?.code(), Some(want), "{signal}, {scheme}");
            let summary: serde_json::Value = serde_json::from_slice(&std::fs::read(&out)?)?;
            assert!(summary["frames"].as_u64() >= Some(5), "{summary}");
        }
    }
    all_ended_by_teardown(&server, 6)?;
    server.is_well()
}

/// The sink ends the frame that it saves before the source can send TEARDOWN.
#[test]
fn a_signal_while_a_frame_is_saved_ends_the_session_with_teardown() -> Result<()> {
    let image = cjpeg(&Picture::made(SIZE.0, SIZE.1), &["-sample", "2x2"])?;
    let (folder, mut server) = serve_as("movie.mjpeg", &vec![image; 400], &["--framerate", "5"])?;
    for scheme in ["rtsp", "labrtsp"] {
        let url = server.urls[0].replace("rtsp", scheme);
        let save = folder.path().join(scheme);
        std::fs::create_dir(&save)?;
        // The third picture does not fit this pipe, so the client waits until it is read.
        let path = save.join("frame-000003.png");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU)?;
        let flags = nix::fcntl::OFlag::O_NONBLOCK.bits();
        let mut slow = std::fs::File::options().read(true).custom_flags(flags).open(&path)?;
        let mut command = program("mjpeg-rtsp-client")?;
        command.args(["--headless", "--timeout", "30", "--save"]).arg(&save).arg(&url);
        let mut client = Guard::new(command.stdout(Stdio::null()).spawn()?);
        let mut picture = Vec::new();
        let mut read = || Read::by_ref(&mut slow).take(8192).read_to_end(&mut picture);
        wait_until("the third picture", LIMIT, || read().is_ok_and(|bytes| bytes > 0));
        client.signal("INT")?;
        pace(Duration::from_millis(1500));
        wait_until("all of it", LIMIT, || read().is_ok_and(|bytes| bytes == 0));
        assert_eq!(client.wait(LIMIT)?.code(), Some(130), "{scheme}");
        assert!(picture.len() > 90_000, "{scheme}: {} bytes", picture.len());
        assert!(picture.ends_with(b"IEND\xae\x42\x60\x82"), "{scheme}: the picture is cut");
        let saved = std::fs::read_dir(&save)?.count();
        assert_eq!(saved, 3, "{scheme}: frames are saved after the signal");
    }
    all_ended_by_teardown(&server, 2)?;
    server.is_well()
}

#[test]
fn a_server_that_dies_midway_is_an_error_with_the_frames_so_far() -> Result<()> {
    let folder = Folder::new()?;
    let movie = folder.file("movie.mjpeg", &movies::movie(&movies::images(400, "I420")?)?)?;
    for transport in ["tcp", "udp"] {
        let mut server = Server::start([&movie], 1)?;
        let out = folder.path().join(format!("{transport}-out"));
        let mut command = program("mjpeg-rtsp-client")?;
        command.args(["--headless", "--json", "--timeout", "3", "--transport", transport]);
        let save = folder.path().join(transport);
        command.arg("--save").arg(&save).arg(&server.urls[0]);
        let child = command.stdout(std::fs::File::create(&out)?).spawn()?;
        let mut client = Guard::new(child);
        mjpeg_rtsp_tests::wait_until("frames", LIMIT, || save.join("frame-000005.png").exists());
        server.process().signal("KILL")?;
        let status = client.wait(LIMIT)?;
        let summary: serde_json::Value = serde_json::from_slice(&std::fs::read(&out)?)?;
        assert_eq!(status.code(), Some(1), "{transport}: {summary}");
        assert!(summary["frames"].as_u64() >= Some(5), "{transport}: {summary}");
    }
    Ok(())
}

/// Checks a status line.
type Check = fn(&str) -> bool;

#[test]
fn keys_control_the_player_in_the_terminal() -> Result<()> {
    let images = vec![movies::images(100, "I420")?; 4].concat();
    let (_folder, mut server) = serve_as("movie.mjpeg", &images, &[])?;
    let client = target_folder()?.join("mjpeg-rtsp-client");
    let line = format!("{} {}", client.display(), server.urls[0]);
    let mut terminal = Terminal::start(&line)?;
    let until = |terminal: &Terminal, what: &str, ready: Check| {
        wait_until(what, LIMIT, || terminal.status_line().is_ok_and(|line| ready(&line)));
    };
    until(&terminal, "playing", |line| {
        line.contains("[PLAYING]") && line.contains("/ 0:20.0") && line.contains("lost 0 (0.0 %)")
    });
    until(&terminal, "a data rate", |line| line.contains("kbit/s") && !line.contains(" 0 kbit/s"));
    assert!(terminal.shown()?.contains("no display"), "{}", terminal.shown()?);
    // A key, and a check of the status line after it.
    let steps: [(&str, Check); 7] = [
        ("\x1b[C", |line| line.contains("[PLAYING] 0:0") && line > "\x1b[K[PLAYING] 0:05"),
        (" ", |line| line.contains("[READY]")),
        (" ", |line| line.contains("[PLAYING]")),
        ("t", |line| line.contains("[INIT]")),
        ("s", |line| line.contains("[READY]")),
        ("p", |line| line.contains("[PLAYING]")),
        ("p", |line| line.contains("[PLAYING]")),
    ];
    for (key, ready) in steps {
        terminal.press(key)?;
        until(&terminal, &format!("after {key:?}"), ready);
    }
    let refused = "Play needs READY; the movie is already playing";
    wait_until(refused, LIMIT, || terminal.shown().is_ok_and(|shown| shown.contains(refused)));
    terminal.press("q")?;
    assert!(terminal.wait(LIMIT)?.success(), "{}", terminal.shown()?);
    server.is_well()
}
