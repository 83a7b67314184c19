// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who may watch: users and passwords, networks.

use anyhow::{Context, Result, bail, ensure};
use http_auth::{DigestClient, PasswordParams};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::rtsp_client::{Reply, RtspClient};
use mjpeg_rtsp_tests::peer::{ffmpeg, retina};
use mjpeg_rtsp_tests::programs::{Guard, Server, program};
use mjpeg_rtsp_tests::wait_until;
use std::io::Write;
use std::net::UdpSocket;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(20);

/// A password that must be found nowhere.
pub const SECRET: &str = "Zaubersäge-1729";

/// The same in a URL.
pub const SECRET_IN_URL: &str = "Zaubers%C3%A4ge-1729";

/// Runs `user add` with a password on standard input.
pub fn add_user(folder: &Folder, arguments: &[&str], password: &str) -> Result<Output> {
    user_command(folder, &[&["add", "--password-stdin"], arguments].concat(), password)
}

/// Runs a command for users with standard input.
pub fn user_command(folder: &Folder, arguments: &[&str], password: &str) -> Result<Output> {
    let config = folder.path().join("server.toml");
    let mut child = program("mjpeg-rtsp-server")?
        .arg("user")
        .args(arguments)
        .arg("--config")
        .arg(config)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child.stdin.take().context("no standard input")?.write_all(password.as_bytes())?;
    Ok(child.wait_with_output()?)
}

/// A folder with two movies, a configuration that serves them with these keys, and users.
pub fn folder(keys: &str, users: &[&[&str]]) -> Result<Folder> {
    let folder = Folder::new()?;
    let images = movies::images(20, "I420")?;
    for name in ["closed.mjpeg", "open.mjpeg"] {
        folder.file(name, &movies::movie(&images)?)?;
    }
    folder.file("plain", &images.concat())?;
    for arguments in users {
        let done = add_user(&folder, arguments, &format!("{SECRET}\n"))?;
        ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    let users = std::fs::read_to_string(folder.path().join("server.toml")).unwrap_or_default();
    // A rule for a role that nobody has is refused.
    let rules = if users.contains("staff") { "['ana', '@staff']" } else { "['ana']" };
    let mounts = format!(
        "[[mount]]\npath = 'closed.mjpeg'\nusers = {rules}\n[[mount]]\npath = 'open.mjpeg'\n"
    );
    folder.file("server.toml", format!("{keys}\n{users}\n{mounts}").as_bytes())?;
    Ok(folder)
}

pub fn start(folder: &Folder, flags: &[&str]) -> Result<Server> {
    start_movies(folder, flags, 2)
}

fn start_movies(folder: &Folder, flags: &[&str], movies: usize) -> Result<Server> {
    let config = folder.path().join("server.toml");
    let flags = flags.iter().map(std::ffi::OsStr::new);
    Server::start(["--config".as_ref(), config.as_os_str()].into_iter().chain(flags), movies)
}

/// A URL with a user and a password.
fn with_user(url: &str, user: &str) -> String {
    url.replacen("://", &format!("://{user}:{SECRET_IN_URL}@"), 1)
}

/// The line of a request that answers the last challenge of a 401.
fn authorization(reply: &Reply, user: &str, password: &str, request: &str) -> Result<String> {
    let challenges = reply.headers("WWW-Authenticate");
    let challenge = challenges.last().with_context(|| reply.to_string())?;
    let mut client =
        DigestClient::try_from(&challenge_of(challenge)?).map_err(anyhow::Error::msg)?;
    respond(&mut client, user, password, request)
}

fn challenge_of(challenge: &str) -> Result<http_auth::ChallengeRef<'_>> {
    let mut challenges =
        http_auth::parse_challenges(challenge).map_err(|it| anyhow::anyhow!("{it}"))?;
    challenges.pop().context("no challenge")
}

fn respond(client: &mut DigestClient, user: &str, password: &str, request: &str) -> Result<String> {
    let (method, uri) = request.split_once(' ').context("no URI")?;
    let value = client
        .respond(&PasswordParams { username: user, password, uri, method, body: None })
        .map_err(anyhow::Error::msg)?;
    Ok(format!("Authorization: {value}\r\n"))
}

#[test]
fn players_log_in_by_digest_and_basic() -> Result<()> {
    // Only hashes of argon2, so that players must use Basic.
    let basic: &[&str] = &["ana", "--hash", "argon2"];
    for (scheme, user, keys) in
        [("digest", &["ana"][..], ""), ("basic", basic, "basic-auth = 'on'")]
    {
        let folder = folder(keys, &[user])?;
        let want = ffmpeg::file_checksums(&folder.path().join("plain"))?;
        let mut server = start(&folder, &["--log", "trace"])?;
        let open = server.urls[1].clone();
        let closed = with_user(&server.urls[0], "ana");
        for transport in ["tcp", "udp", "http"] {
            assert_eq!(ffmpeg::stream_checksums(&closed, transport)?, want, "{scheme} {transport}");
            // A client that needs no password may send one.
            let url = with_user(&open, "nobody");
            assert_eq!(ffmpeg::stream_checksums(&url, transport)?, want, "{transport}");
        }
        let plain = folder.path().join("received");
        for transport in ["tcp", "udp"] {
            let url = closed.replace(SECRET_IN_URL, SECRET);
            let got = retina::images(&url, transport, 20)?;
            std::fs::write(&plain, got.concat())?;
            assert_eq!(ffmpeg::file_checksums(&plain)?, want, "retina {scheme} {transport}");
        }
        for (transport, scheme_of_url) in [("tcp", "rtsp"), ("udp", "rtsp"), ("http", "rtsph")] {
            let url = server.urls[0].replacen("rtsp", scheme_of_url, 1);
            let got = movies::pull_all(&format!(
                "rtspsrc location={url} protocols={transport}+tcp latency=200 user-id=ana \
                 user-pw={SECRET} ! rtpjpegdepay ! appsink name=out sync=false"
            ))?;
            std::fs::write(&plain, got.concat())?;
            assert_eq!(ffmpeg::file_checksums(&plain)?, want, "rtspsrc {scheme} {transport}");
        }
        for url in [closed.replace("ana", "eve"), closed.replace("1729", "1730")] {
            let error = format!("{:#}", ffmpeg::stream_checksums(&url, "tcp").unwrap_err());
            assert!(error.contains("401 Unauthorized"), "{error}");
        }
        server.is_well()?;
        let log = server.log()?;
        assert!(log.contains("wrong name or password"), "{log}");
        for secret in [SECRET, SECRET_IN_URL, "Digest ", "Basic "] {
            assert!(!log.contains(secret), "{secret}: {log}");
        }
    }
    Ok(())
}

#[test]
fn a_client_without_a_login_learns_nothing_about_movies_and_names() -> Result<()> {
    let folder =
        folder("", &[&["ana"], &["bob", "--role", "guest"], &["cleo", "--role", "staff"]])?;
    let mut server = start(&folder, &[])?;
    let address = server.address()?.to_owned();
    let url = |path: &str| format!("rtsp://{address}/{path}");
    let mut rtsp = RtspClient::connect(&address)?;
    let transport = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n";
    // Without a login; ana's, bob's and cleo's status.
    let rows = [
        ("OPTIONS", "closed.mjpeg", 200, [200; 3]),
        ("OPTIONS", "none.mjpeg", 200, [200; 3]),
        ("DESCRIBE", "open.mjpeg", 200, [200; 3]),
        ("DESCRIBE", "closed.mjpeg", 401, [200, 404, 200]),
        ("DESCRIBE", "none.mjpeg", 401, [404; 3]),
        ("SETUP", "open.mjpeg/stream=0", 200, [200; 3]),
        ("SETUP", "closed.mjpeg/stream=0", 401, [200, 404, 200]),
        ("SETUP", "none.mjpeg/stream=0", 401, [404; 3]),
        ("PLAY", "open.mjpeg", 454, [454; 3]),
        ("PLAY", "closed.mjpeg", 401, [454, 404, 454]),
        ("PAUSE", "none.mjpeg", 401, [454; 3]),
        ("TEARDOWN", "closed.mjpeg", 401, [454, 404, 454]),
        ("GET_PARAMETER", "closed.mjpeg", 401, [200, 404, 200]),
        ("SET_PARAMETER", "none.mjpeg", 401, [200; 3]),
        ("RECORD", "closed.mjpeg", 405, [405; 3]),
        ("FETCH", "closed.mjpeg", 501, [501; 3]),
    ];
    for (method, path, without, statuses) in rows {
        let request = format!("{method} {}", url(path));
        let reply = rtsp.request(&request, transport)?;
        assert_eq!(reply.status, without, "{request}");
        for (user, status) in ["ana", "bob", "cleo"].into_iter().zip(statuses) {
            let mut rtsp = RtspClient::connect(&address)?;
            let challenge = rtsp.request(&format!("DESCRIBE {}", url("none")), "")?;
            let headers = authorization(&challenge, user, SECRET, &request)? + transport;
            assert_eq!(rtsp.request(&request, &headers)?.status, status, "{user}: {request}");
        }
    }
    // The challenges differ only in the nonce and the number of the request.
    let shown = |reply: &Reply| {
        let headers =
            reply.headers.iter().filter(|(name, _)| !["CSeq", "Date"].contains(&name.as_str()));
        format!("{:?} {}", headers.collect::<Vec<_>>(), reply.body)
    };
    let known = rtsp.request(&format!("DESCRIBE {}", url("closed.mjpeg")), "")?;
    let unknown = rtsp.request(&format!("DESCRIBE {}", url("none")), "")?;
    assert_eq!(shown(&known), shown(&unknown));
    server.is_well()
}

/// A name, the headers that answer a challenge, the status, and whether the reply says that the nonce is
/// stale.
type OddRow<'a> = (&'a str, Box<dyn Fn(&Reply) -> Result<String> + 'a>, u16, bool);

#[test]
fn odd_credentials_get_a_clear_status() -> Result<()> {
    let folder = folder("", &[&["ana"], &["bob", "--role", "staff"]])?;
    let mut server = start(&folder, &[])?;
    let address = server.address()?.to_owned();
    let closed = server.urls[0].clone();
    let describe = format!("DESCRIBE {closed}");
    let mut viewer = RtspClient::connect(&address)?;
    viewer.play(&server.urls[1], "tcp")?;
    let ask = |rtsp: &mut RtspClient| rtsp.request(&describe, "");
    let mut other = RtspClient::connect(&address)?;
    let of_other = ask(&mut other)?;
    let overheard = authorization(&of_other, "ana", SECRET, &describe)?;
    let other_uri = format!("DESCRIBE {}", server.urls[1]);
    let track = format!("DESCRIBE {closed}/stream=0");
    let upper = format!("DESCRIBE rtsp://{address}/CLOSED");
    let digest = |request: &'_ str| {
        let request = request.to_owned();
        move |reply: &Reply| authorization(reply, "ana", SECRET, &request)
    };
    let fixed = |text: String| move |_: &Reply| Ok(text.clone());
    let rows: Vec<OddRow> = vec![
        ("right", Box::new(digest(&describe)), 200, false),
        ("for the URL of the track", Box::new(digest(&track)), 200, false),
        ("for another name of the movie", Box::new(digest(&upper)), 200, false),
        ("for another movie", Box::new(digest(&other_uri)), 400, false),
        ("for another method", Box::new(digest(&describe.replace("DESCRIBE", "PLAY"))), 401, false),
        ("of another connection", Box::new(fixed(overheard.clone())), 401, true),
        ("twice", Box::new(|it: &Reply| Ok(digest(&describe)(it)?.repeat(2))), 400, false),
        ("empty", Box::new(fixed("Authorization:\r\n".into())), 400, false),
        ("no parameters", Box::new(fixed("Authorization: Digest\r\n".into())), 400, false),
        ("not base64", Box::new(fixed("Authorization: Basic *\r\n".into())), 400, false),
        ("another scheme", Box::new(fixed("Authorization: Bearer x\r\n".into())), 401, false),
        ("Basic", Box::new(fixed("Authorization: Basic YW5hOng=\r\n".into())), 401, false),
        (
            "long",
            Box::new(fixed(format!("Authorization: Basic {}\r\n", "A".repeat(60_000)))),
            400,
            false,
        ),
    ];
    for (name, headers, status, stale) in rows {
        let mut rtsp = RtspClient::connect(&address)?;
        let challenge = ask(&mut rtsp)?;
        let reply = rtsp.request(&describe, &headers(&challenge)?)?;
        assert_eq!(reply.status, status, "{name}: {reply}");
        let challenges = reply.headers("WWW-Authenticate").join(" ");
        assert_eq!(challenges.contains("stale=true"), stale, "{name}: {challenges}");
        assert_eq!(challenges.is_empty(), status != 401, "{name}: {challenges}");
        // The connection goes on.
        assert_eq!(rtsp.request("OPTIONS *", "")?.status, 200, "{name}");
    }
    // A replayed request needs the new nonce; with it, the client goes on.
    let replay = authorization(&ask(&mut other)?, "ana", SECRET, &describe)?;
    assert_eq!(other.request(&describe, &replay)?.status, 200);
    let reply = other.request(&describe, &replay)?;
    assert_eq!(reply.status, 401);
    let again = authorization(&reply, "ana", SECRET, &describe)?;
    assert_eq!(other.request(&describe, &again)?.status, 200);
    // Bytes that are not a header, and 64 KiB of credentials.
    let long = vec![b'A'; 65_536];
    let rows: [(&[u8], u16); 2] = [(b"Basic \xff", 400), (&long, 400)];
    for (value, status) in rows {
        let mut rtsp = RtspClient::connect(&address)?;
        let start = format!("{describe} RTSP/1.0\r\nCSeq: 1\r\nAuthorization: ");
        rtsp.send([start.as_bytes(), value, b"\r\n\r\n"].concat())?;
        assert_eq!(rtsp.receive_reply()?.status, status);
    }
    // A session belongs to its user.
    let (mut ana, mut bob) = (RtspClient::connect(&address)?, RtspClient::connect(&address)?);
    let set_up = format!("SETUP {closed}/stream=0");
    let headers = authorization(&ask(&mut ana)?, "ana", SECRET, &set_up)?
        + "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n";
    let session = ana.request(&set_up, &headers)?.session_line()?;
    let tear_down = format!("TEARDOWN {closed}");
    let headers = authorization(&ask(&mut bob)?, "bob", SECRET, &tear_down)? + &session;
    assert_eq!(bob.request(&tear_down, &headers)?.status, 454);
    assert_eq!(bob.request(&tear_down, &session)?.status, 401);
    // The number 1 was used for SETUP.
    let again = authorization(&ask(&mut ana)?, "ana", SECRET, &tear_down)? + &session;
    let stale = ana.request(&tear_down, &again)?;
    let headers = authorization(&stale, "ana", SECRET, &tear_down)? + &session;
    assert_eq!(ana.request(&tear_down, &headers)?.status, 200);
    // Nobody else was disturbed.
    viewer.receive_packets(10)?;
    assert_eq!(viewer.missing, 0);
    server.is_well()
}

#[test]
fn wrong_passwords_are_limited_by_connection_and_address() -> Result<()> {
    let folder = folder("", &[&["ana"]])?;
    let mut server = start(&folder, &[])?;
    let address = server.address()?.to_owned();
    let describe = format!("DESCRIBE {}", server.urls[0]);
    let started = Instant::now();
    // When requests were sent and their replies received.
    let mut checked: Vec<(Duration, Duration)> = Vec::new();
    let (mut connections, mut refused) = (0, 0);
    // On a busy machine, the first six may send fewer than ten in a second.
    while connections < 6 || refused == 0 {
        connections += 1;
        let mut rtsp = RtspClient::connect(&address)?;
        let mut reply = rtsp.request(&describe, "")?;
        let challenge = reply.headers("WWW-Authenticate").pop().context("no challenge")?.to_owned();
        let mut client =
            DigestClient::try_from(&challenge_of(&challenge)?).map_err(anyhow::Error::msg)?;
        let mut wrong = 0;
        while wrong < 5 {
            ensure!(started.elapsed() < LIMIT, "{checked:?}, {refused} refused");
            let sent = started.elapsed();
            reply = rtsp.request(&describe, &respond(&mut client, "ana", "wrong", &describe)?)?;
            match reply.status {
                401 => {
                    wrong += 1;
                    checked.push((sent, started.elapsed()));
                }
                503 => {
                    assert_eq!(reply.header("Retry-After"), Some("1"));
                    refused += 1;
                    // Another address is not affected.
                    if refused == 1 {
                        let from = "127.0.0.2".parse()?;
                        let mut other = RtspClient::connect_from(from, &address)?;
                        let reply = other.request(&describe, "")?;
                        let right = authorization(&reply, "ana", SECRET, &describe)?;
                        assert_eq!(other.request(&describe, &right)?.status, 200);
                    }
                }
                _ => anyhow::bail!("{connections}: {reply}"),
            }
        }
        // The fifth one closes the connection.
        rtsp.wait_until_closed()?;
    }
    // Ten in any second: the server checks a password after it was sent, and before its reply is received.
    for eleven in checked.windows(11) {
        let time = eleven[10].1.saturating_sub(eleven[0].0);
        assert!(time >= Duration::from_secs(1), "{checked:?}");
    }
    server.is_well()
}

#[test]
fn lab_clients_do_not_find_protected_movies() -> Result<()> {
    let folder = folder("lab = 'on'", &[&["ana"]])?;
    let mut server = start(&folder, &["--explain", "--log", "trace"])?;
    let address = server.address()?.to_owned();
    let rtp = UdpSocket::bind("127.0.0.1:0")?;
    let port = rtp.local_addr()?.port();
    let rows = [("closed.mjpeg", "404"), ("none.mjpeg", "404"), ("open.mjpeg", "200")];
    for (name, status) in rows {
        let mut lab = RtspClient::connect(&address)?;
        let basic = "Authorization: Basic YW5hOng=\n";
        lab.send(format!(
            "SETUP {name} RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP; client_port= {port}\n{basic}\n"
        ))?;
        wait_until(name, LIMIT, || {
            let want = format!("request=\"SETUP {name} RTSP/1.0\" reply=\"RTSP/1.0 {status}");
            server.log().is_ok_and(|log| log.contains(&want))
        });
    }
    let mut lab = RtspClient::connect(&address)?;
    lab.send("LIST x RTSP/1.0\nCSeq: 1\nSession: 1\n\n")?;
    server.wait_for_log("request=\"LIST x RTSP/1.0\" reply", LIMIT);
    let log = server.log()?;
    assert!(log.contains("open.mjpeg") && !log.contains("YW5hOng="), "{log}");
    let listed = log.lines().rfind(|line| line.contains("lab reply"));
    assert!(listed.is_some_and(|it| !it.contains("closed") && it.contains("open")), "{listed:?}");
    server.is_well()
}

#[test]
fn sessions_of_users_who_are_removed_end_with_a_reload() -> Result<()> {
    let folder = folder("[defaults]\nloop = true", &[&["ana"], &["cleo", "--role", "staff"]])?;
    let mut server = start(&folder, &[])?;
    let closed = server.urls[0].clone();
    let play = |user: &str| -> Result<Guard> {
        let url = with_user(&closed, user);
        let mut player = Command::new("ffmpeg");
        player.args(["-v", "error", "-nostdin", "-rtsp_transport", "tcp", "-i", &url]);
        player.args(["-f", "framecrc", "-flush_packets", "1"]).arg(folder.path().join(user));
        Ok(Guard::new(player.spawn()?))
    };
    // A line for each frame that a player has decoded.
    let has_frames = |user: &str| {
        let lines = std::fs::read_to_string(folder.path().join(user)).unwrap_or_default();
        lines.lines().any(|line| !line.starts_with('#'))
    };
    let (mut ana, mut cleo) = (play("ana")?, play("cleo")?);
    let mut open = RtspClient::connect(server.address()?)?;
    open.play(&server.urls[1], "tcp")?;
    let mut lab = RtspClient::connect(server.address()?)?;
    let rtp = UdpSocket::bind("127.0.0.1:0")?;
    rtp.set_read_timeout(Some(LIMIT))?;
    for (number, line) in ["SETUP", "PLAY"].iter().enumerate() {
        let port = rtp.local_addr()?.port();
        lab.send(format!(
            "{line} open.mjpeg RTSP/1.0\nCSeq: {number}\nTransport: RTP/UDP; client_port= {port}\n\n"
        ))?;
    }
    rtp.recv(&mut vec![0; 65536])?;
    wait_until("both play", LIMIT, || has_frames("ana") && has_frames("cleo"));
    let config = folder.path().join("server.toml");
    let text = std::fs::read_to_string(&config)?;
    // Ana's table, and her name in the rules.
    let start = text.find("[[user]]\nname = \"ana\"").context("no ana")?;
    let end = start + 1 + text[start + 1..].find("[[user]]").context("no cleo")?;
    let text = format!("{}{}", &text[..start], &text[end..]).replace("'ana', ", "");
    // The other movie needs a login now.
    let text = text.replace("path = 'open.mjpeg'\n", "path = 'open.mjpeg'\nusers = ['cleo']\n");
    std::fs::write(&config, text)?;
    server.process().signal("HUP")?;
    ana.wait(LIMIT).or_else(|error| bail!("{error}: {}", server.log()?))?;
    open.receive_until_bye(Instant::now() + LIMIT)?;
    let reason = "session ended: the viewer may not watch the movie any more";
    // The player ends its session itself when it gets BYE, which may be before that.
    server.wait_for_log(reason, LIMIT);
    rtp.set_read_timeout(Some(Duration::from_millis(500)))?;
    let deadline = Instant::now() + LIMIT;
    while rtp.recv(&mut vec![0; 65536]).is_ok() {
        assert!(Instant::now() < deadline, "the lab client still receives");
    }
    assert!(cleo.ended()?.is_none());
    server.is_well()
}

#[test]
fn a_viewer_of_a_live_movie_who_loses_access_gets_bye_and_others_go_on() -> Result<()> {
    let folder = folder("", &[])?;
    let text = "[[mount]]\npath = 'open.mjpeg'\nkind = 'live'\n";
    folder.file("server.toml", text.as_bytes())?;
    let mut server = start_movies(&folder, &[], 1)?;
    let mut viewers = Vec::new();
    for host in [2, 3] {
        let mut viewer = RtspClient::connect_from([127, 0, 0, host].into(), server.address()?)?;
        let session = viewer.play(&server.urls[0], "tcp")?;
        viewer.receive_packets(5)?;
        viewers.push((viewer, session));
    }
    folder.file("server.toml", format!("deny = ['127.0.0.2']\n{text}").as_bytes())?;
    server.process().signal("HUP")?;
    let [(refused, session), (other, _)] = &mut viewers[..] else { anyhow::bail!("no viewers") };
    refused.receive_until_bye(Instant::now() + LIMIT)?;
    let reply = refused.request(&format!("PLAY {}/", server.urls[0]), session)?;
    // The movie does not exist for it any more.
    assert_eq!(reply.status, 404);
    other.receive_packets(50)?;
    assert!(!other.bye && other.missing == 0);
    server.is_well()
}

#[test]
fn networks_that_are_not_served_learn_nothing() -> Result<()> {
    let text = "deny = ['127.0.0.2']\n[[mount]]\npath = 'closed.mjpeg'\nallow = ['127.0.0.3']\n\
                deny = ['::1']\n[[mount]]\npath = 'open.mjpeg'\n[limits]\nidle-time = '1m'\n";
    let folder = folder("", &[])?;
    folder.file("server.toml", text.as_bytes())?;
    let mut server = start(&folder, &[])?;
    let address = server.address()?.to_owned();
    let [closed, open] = [0, 1].map(|it: usize| server.urls[it].clone());
    let from = |host: u8| RtspClient::connect_from([127, 0, 0, host].into(), &address);
    // The lab's SETUP of a movie, and whether its reply is 200.
    let rtp = UdpSocket::bind("127.0.0.1:0")?;
    let port = rtp.local_addr()?.port();
    let lab = |host: u8, name: &str| -> Result<bool> {
        let mut lab = from(host)?;
        lab.send(format!(
            "SETUP {name} RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP; client_port= {port}\n\n"
        ))?;
        Ok(lab.receive_line()?.contains("200"))
    };
    for (host, status) in [(1, 404), (3, 200)] {
        let mut rtsp = from(host)?;
        assert_eq!(rtsp.request(&format!("DESCRIBE {closed}"), "")?.status, status, "{host}");
        assert_eq!(rtsp.request(&format!("DESCRIBE {open}"), "")?.status, 200, "{host}");
        assert_eq!(lab(host, "closed.mjpeg")?, status == 200, "{host}");
        assert!(lab(host, "open.mjpeg")?, "{host}");
    }
    // Closed before anything is said.
    assert_eq!(from(2)?.receive_to_end()?, "");
    let mut viewer = from(3)?;
    viewer.play(&closed, "tcp")?;
    server.wait_for_log("connection closed: its address is not in allow, or is in deny", LIMIT);
    server.wait_for_log("the movie is not for the network of the client", LIMIT);
    // After a reload, the others are served.
    let text = text.replace("127.0.0.2", "127.0.0.4").replace("'127.0.0.3'", "'127.0.0.2'");
    folder.file("server.toml", text.as_bytes())?;
    server.process().signal("HUP")?;
    viewer.receive_until_bye(Instant::now() + LIMIT)?;
    let mut rtsp = from(2)?;
    assert_eq!(rtsp.request(&format!("DESCRIBE {closed}"), "")?.status, 200);
    assert_eq!(from(3)?.request(&format!("DESCRIBE {closed}"), "")?.status, 404);
    server.is_well()
}
