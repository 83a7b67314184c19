// SPDX-License-Identifier: MIT OR Apache-2.0
//! RTSP over TLS.

use anyhow::{Context, Result, ensure};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::ffmpeg;
use mjpeg_rtsp_tests::peer::rtsp_client::RtspClient;
use mjpeg_rtsp_tests::peer::tls_client::TlsStream;
use mjpeg_rtsp_tests::programs::{Guard, Server, headless, program, run};
use mjpeg_rtsp_tests::wait_until;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

/// Makes a certificate for localhost in a folder; returns what the program prints.
fn make_certificate(folder: &Folder, name: &str) -> Result<String> {
    let out = folder.path().join(name);
    let mut command = program("mjpeg-rtsp-server")?;
    command.args(["certificate", "--out"]).arg(&out).args(["localhost", "127.0.0.1"]);
    let done = run(&mut command, LIMIT)?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Ok(String::from_utf8(done.stdout)?)
}

/// A server of a movie of 20 frames with TLS on a port of its own too, and that port's address.
fn start(keys: &str) -> Result<(Folder, Server, String)> {
    let folder = Folder::new()?;
    let images = movies::images(20, "I420")?;
    folder.file("movie.mjpeg", &movies::movie(&images)?)?;
    folder.file("plain", &images.concat())?;
    make_certificate(&folder, "tls")?;
    let text = format!(
        "tls-certificate = 'tls/certificate.pem'\ntls-key = 'tls/key.pem'\n\
         tls-listen = '127.0.0.1:0'\n{keys}\n[[mount]]\npath = 'movie.mjpeg'\n"
    );
    let config = folder.file("server.toml", text.as_bytes())?;
    let server = Server::start(["--config".as_ref(), config.as_os_str()], 1)?;
    let line = "serving TLS address=";
    server.wait_for_log(line, LIMIT);
    let log = server.log()?;
    let address = log.split_once(line).and_then(|(_, rest)| rest.split_whitespace().next());
    Ok((folder, server, address.context("no address")?.to_owned()))
}

#[test]
fn players_play_over_tls() -> Result<()> {
    let (folder, mut server, own) = start("")?;
    let want = ffmpeg::file_checksums(&folder.path().join("plain"))?;
    let plain = folder.path().join("received");
    let authority = folder.path().join("tls/certificate.pem").display().to_string();
    for address in [server.address()?.to_owned(), own] {
        let url = format!("rtsps://{address}/movie.mjpeg");
        assert_eq!(ffmpeg::stream_checksums(&url, "tcp")?, want, "{url}");
        for (scheme, protocols) in [("rtsps", "tcp"), ("rtsps", "udp+tcp"), ("rtspsh", "http+tcp")]
        {
            let url = url.replace("rtsps", scheme);
            let got = movies::pull_all(&format!(
                "rtspsrc location={url} protocols={protocols} tls-validation-flags=0 latency=200 \
                 ! rtpjpegdepay ! appsink name=out sync=false"
            ))?;
            std::fs::write(&plain, got.concat())?;
            assert_eq!(ffmpeg::file_checksums(&plain)?, want, "rtspsrc {url} {protocols}");
        }
        let (code, summary, stderr) = headless(&["--tls-ca", &authority, &url])?;
        assert_eq!((code, &summary["frames"]), (Some(0), &20.into()), "{stderr}");
        // The certificate is not trusted by itself.
        let (code, _, stderr) = headless(&[&url])?;
        assert_eq!(code, Some(1), "{stderr}");
    }
    server.is_well()?;
    assert!(server.log()?.contains("transport=\"TLS\""), "{}", server.log()?);
    Ok(())
}

/// A client with TLS: openssl, whose standard input and output are the plain text.
struct TlsClient {
    process: Guard,
    input: std::process::ChildStdin,
    output: PathBuf,
    _folder: tempfile::TempDir,
}

impl TlsClient {
    fn connect(address: &str, version: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let output = folder.path().join("out");
        let mut child = Command::new("openssl")
            .args(["s_client", "-quiet", version, "-connect", address])
            .stdin(Stdio::piped())
            .stdout(File::create(&output)?)
            .stderr(Stdio::null())
            .spawn()
            .context("openssl")?;
        let input = child.stdin.take().context("no standard input")?;
        Ok(Self { process: Guard::new(child), input, output, _folder: folder })
    }

    fn ask(&mut self, request: &str, reply: &str) -> Result<()> {
        self.input.write_all(request.as_bytes())?;
        self.input.flush()?;
        wait_until(reply, LIMIT, || {
            std::fs::read(&self.output).is_ok_and(|it| String::from_utf8_lossy(&it).contains(reply))
        });
        Ok(())
    }
}

#[test]
fn requests_over_tls_get_the_replies_of_rtsp() -> Result<()> {
    let (_folder, mut server, own) = start("")?;
    let setup = |transport: &str| {
        format!(
            "SETUP rtsps://h/movie.mjpeg/stream=0 RTSP/1.0\r\nCSeq: 2\r\nTransport: {transport}\r\n\r\n"
        )
    };
    let udp = setup("RTP/AVP;unicast;client_port=50000-50001");
    let both = setup("RTP/AVP;unicast;client_port=50000-50001,RTP/AVP/TCP;interleaved=2-3");
    let rows = [
        ("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n", "RTSP/1.0 200 OK\r\nCSeq: 1\r\n"),
        (
            "DESCRIBE rtsps://h/movie RTSP/1.0\r\nCSeq: 1\r\n\r\n",
            "Content-Base: rtsps://h/movie.mjpeg/",
        ),
        (&udp, "RTSP/1.0 461 Unsupported Transport\r\n"),
        (&both, "interleaved=2-3"),
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.0 404 Not Found\r\n"),
        // Lab clients have no TLS.
        ("SETUP movie RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP; client_port= 50000\n\n", "RTSP/1.0 "),
    ];
    for version in ["-tls1_2", "-tls1_3"] {
        for (request, reply) in rows {
            TlsClient::connect(&own, version)?.ask(request, reply)?;
        }
    }
    server.is_well()?;
    // UDP, if the configuration allows it.
    let (_folder, mut server, own) = start("tls-udp = 'on'")?;
    TlsClient::connect(&own, "-tls1_3")?.ask(&udp, "client_port=50000-50001")?;
    server.is_well()
}

#[test]
fn what_is_not_tls_is_closed_and_disturbs_nobody() -> Result<()> {
    let (_folder, mut server, own) =
        start("[limits]\nrequest-time = '1s'\n[defaults]\nloop = true")?;
    let shared = server.address()?.to_owned();
    let mut viewer = RtspClient::connect(&shared)?;
    viewer.play(&server.urls[0], "tcp")?;
    let long = vec![0x16; 20_000];
    let hello = [0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3];
    // The port, what is sent, whether the client then stops sending, and what the log says.
    let rows: [(&str, &[u8], bool, &str); 7] = [
        (&own, b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n", false, "no TLS on the port for TLS"),
        (&own, b"SETUP movie RTSP/1.0\nCSeq: 1\n\n", false, "no TLS on the port for TLS"),
        (&own, &hello, false, "no complete TLS handshake within request-time"),
        (&shared, &hello, false, "no complete TLS handshake within request-time"),
        (&shared, &hello, true, "TLS handshake failed"),
        (&shared, &[0x16, 0x16, 0x16, 0xff, 0xff, 0x16], false, "TLS handshake failed"),
        (&shared, &long, false, "TLS handshake failed"),
    ];
    for (address, bytes, ends, log) in rows {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(LIMIT))?;
        // The server may have closed the connection already.
        let _ = stream.write_all(bytes);
        if ends {
            stream.shutdown(std::net::Shutdown::Write)?;
        }
        let mut received = Vec::new();
        let _ = stream.read_to_end(&mut received);
        // At most an alert.
        assert!(received.is_empty() || received.starts_with(&[0x15, 3]), "{log}: {received:?}");
        server.wait_for_log(log, LIMIT);
    }
    // A client that is gone after the handshake.
    let mut client = TlsClient::connect(&shared, "-tls1_3")?;
    client.ask("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n", "RTSP/1.0 200 OK")?;
    client.process.signal("KILL")?;
    viewer.receive_packets(20)?;
    assert_eq!(viewer.missing, 0);
    server.is_well()?;
    // Without a certificate, TLS is closed at once.
    let (_folder, mut server) = mjpeg_rtsp_tests::programs::serve(5, &[])?;
    let mut stream = TcpStream::connect(server.address()?)?;
    stream.write_all(&hello)?;
    stream.set_read_timeout(Some(LIMIT))?;
    let _ = stream.read_to_end(&mut Vec::new());
    server.wait_for_log("TLS, but the configuration has no tls-certificate", LIMIT);
    server.is_well()
}

/// Changes the records of a request.
type Damage = fn(&mut Vec<u8>);

#[test]
fn damage_after_the_handshake_ends_the_connection_and_disturbs_nobody() -> Result<()> {
    let (_folder, mut server, own) = start("[limits]\nidle-time = '2s'\n[defaults]\nloop = true")?;
    let mut viewer = RtspClient::connect_encrypted(&own)?;
    viewer.play(&server.urls[0], "tcp")?;
    let request = b"OPTIONS * RTSP/1.0\r\nCSeq: 7\r\n\r\n";
    // How the records of a request are damaged, and whether the client then stops sending. The second one has
    // no reply, since its end does not arrive.
    let rows: [(&str, Damage, bool); 11] = [
        ("a changed byte", |it| it[7] ^= 1, false),
        ("a changed tag", |it| *it.last_mut().unwrap() ^= 0x80, false),
        ("cut", |it| it.truncate(it.len() / 2), true),
        ("cut in the header", |it| it.truncate(3), true),
        ("cut, then silence", |it| it.truncate(it.len() / 2), false),
        (
            "cut, then other bytes",
            |it| {
                it.truncate(it.len() / 2);
                it.extend(vec![0x17; 20_000]);
            },
            false,
        ),
        ("too long", |it| it[3..5].copy_from_slice(&[0xff, 0xff]), false),
        ("empty", |it| it.splice(3.., [0, 0]).for_each(drop), true),
        ("an unknown type", |it| it[0] = 0x63, false),
        ("plain text", |it| *it = b"OPTIONS * RTSP/1.0\r\nCSeq: 7\r\n\r\n".to_vec(), false),
        ("a new handshake", |it| *it = vec![0x16, 3, 3, 0, 4, 0, 0, 0, 0], false),
    ];
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for (name, damage, ends) in rows {
            let mut client = TlsStream::connect(&own, version, LIMIT)?;
            let mut records = client.records(request)?;
            damage(&mut records);
            client.socket.write_all(&records)?;
            if ends {
                client.socket.shutdown(std::net::Shutdown::Write)?;
            }
            let mut received = Vec::new();
            let closed = client.socket.read_to_end(&mut received);
            let is_reset = |error: &std::io::Error| error.kind() == ErrorKind::ConnectionReset;
            let is_closed = closed.as_ref().map_or_else(is_reset, |_| true);
            assert!(is_closed, "{name}, {:?}: {closed:?}", version.version);
            // At most TLS 1.3's tickets and an alert; no reply to the request.
            assert!(received.len() < 600, "{name}, {:?}: {}", version.version, received.len());
        }
        // A record that is sent twice is answered at most once: not at all if both arrive together.
        let mut client = TlsStream::connect(&own, version, LIMIT)?;
        let records = client.records(request)?;
        client.socket.write_all(&[&records[..], &records].concat())?;
        let mut plain = Vec::new();
        let end = client.read_to_end(&mut plain);
        let text = String::from_utf8_lossy(&plain);
        assert!(text.matches("CSeq: 7").count() <= 1, "{text}");
        assert!(end.is_err(), "no alert");
        // What follows the end of the encrypted text is not read.
        let mut client = TlsStream::connect(&own, version, LIMIT)?;
        let closing = [client.close_notify()?, request.to_vec()].concat();
        client.socket.write_all(&closing)?;
        let mut plain = Vec::new();
        let _ = client.read_to_end(&mut plain);
        assert!(plain.is_empty(), "{}", String::from_utf8_lossy(&plain));
    }
    server.wait_for_log("connection closed: what was received is not valid", LIMIT);
    viewer.receive_packets(20)?;
    assert_eq!(viewer.missing, 0);
    server.is_well()
}

#[test]
fn a_reload_replaces_the_certificate_and_keeps_the_old_one_if_the_new_is_bad() -> Result<()> {
    let (folder, mut server, own) = start("[defaults]\nloop = true")?;
    let path = |name: &str| folder.path().join(name);
    let fingerprint = || -> Result<String> {
        let line = format!(
            "openssl s_client -connect {own} </dev/null 2>/dev/null | openssl x509 -noout -fingerprint"
        );
        let done = Command::new("sh").args(["-c", &line]).output()?;
        Ok(String::from_utf8(done.stdout)?)
    };
    let first = fingerprint()?;
    assert!(first.contains("Fingerprint="), "{first}");
    make_certificate(&folder, "other")?;
    // The key belongs to the other certificate.
    std::fs::copy(path("tls/key.pem"), path("key of tls"))?;
    std::fs::copy(path("other/key.pem"), path("tls/key.pem"))?;
    server.process().signal("HUP")?;
    server.wait_for_log("the configuration was not reloaded; the old one goes on", LIMIT);
    assert_eq!(fingerprint()?, first);
    // Now both are the others.
    std::fs::copy(path("other/certificate.pem"), path("tls/certificate.pem"))?;
    server.process().signal("HUP")?;
    server.wait_for_log("configuration reloaded", LIMIT);
    let second = fingerprint()?;
    assert!(second.contains("Fingerprint=") && second != first, "{second}");
    // What cannot be used.
    std::fs::write(path("text"), "no key\n")?;
    nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::S_IRWXU)?;
    let rows = [
        ("none", "tls/key.pem", "No such file or directory"),
        ("text", "tls/key.pem", "it has no certificate in PEM format"),
        ("tls/certificate.pem", "text", "it has no key in PEM format"),
        ("fifo", "tls/key.pem", "it is not a regular file"),
        ("tls/certificate.pem", "key of tls", "cannot use"),
    ];
    for (certificate, key, want) in rows {
        let text = format!("tls-certificate = '{certificate}'\ntls-key = '{key}'\n");
        let config = folder.file("bad.toml", text.as_bytes())?;
        let mut command = program("mjpeg-rtsp-server")?;
        let done = run(command.arg("--config").arg(config).arg("--check-config"), LIMIT)?;
        let log = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.code() == Some(1) && log.contains(want), "{certificate} {key}: {log}");
    }
    server.is_well()
}

#[test]
fn certificate_makes_a_pair_that_others_can_read_and_overwrites_nothing() -> Result<()> {
    let folder = Folder::new()?;
    let printed = make_certificate(&folder, "a/b")?;
    let path = folder.path().join("a/b");
    let want = format!(
        "tls-certificate = \"{0}/certificate.pem\"\ntls-key = \"{0}/key.pem\"\n",
        path.display()
    );
    assert_eq!(printed, want);
    let mode = |name: &str| -> Result<u32> {
        Ok(std::fs::metadata(path.join(name))?.permissions().mode() & 0o777)
    };
    assert_eq!(mode("key.pem")?, 0o600);
    let mut openssl = Command::new("openssl");
    openssl.args(["x509", "-noout", "-checkhost", "localhost", "-checkip", "127.0.0.1", "-in"]);
    let done = run(openssl.arg(path.join("certificate.pem")), LIMIT)?;
    let text = String::from_utf8(done.stdout)?;
    assert!(text.contains("does match") && !text.contains("NOT"), "{text}");
    assert!(make_certificate(&folder, "a/b").is_err());
    Ok(())
}
