// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who may do what over HTTP: users, TLS, networks, pages of other sites.

use anyhow::{Context, Result, ensure};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::http_client::{HttpClient, HttpStream, get, request};
use mjpeg_rtsp_tests::programs::{Server, program, run};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(40);

const SECRET: &str = "Zaubersäge-1729";

/// Adds a user with a role and a password to a configuration.
pub(crate) fn add_user(config: &Path, [name, role, password]: [&str; 3], hash: &str) -> Result<()> {
    let mut child = program("mjpeg-rtsp-server")?
        .args(["user", "add", "--password-stdin", name, "--role", role, "--hash", hash])
        .arg("--config")
        .arg(config)
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    child.stdin.take().context("no standard input")?.write_all(password.as_bytes())?;
    ensure!(child.wait()?.success(), "user add {name}");
    Ok(())
}

/// A folder with a movie, and a configuration with the users ana (a viewer) and olga (an operator).
fn folder(keys: &str, hash: &str) -> Result<Folder> {
    let folder = Folder::new()?;
    folder.file("movie.mjpeg", &movies::movie(&movies::images(10, "I420")?)?)?;
    let config = folder.path().join("server.toml");
    let users = [
        ("ana", "viewer", SECRET),
        ("olga", "operator", SECRET),
        ("bob", "viewer", SECRET),
        // urllib's digest is for ASCII only.
        ("tim", "viewer", "plain-1729"),
    ];
    for (name, role, password) in users {
        add_user(&config, [name, role, password], hash)?;
    }
    let certificate = folder.path().join("tls");
    let mut make = program("mjpeg-rtsp-server")?;
    make.args(["certificate", "--out"]).arg(certificate).args(["localhost", "127.0.0.1"]);
    ensure!(run(&mut make, LIMIT)?.status.success(), "certificate");
    let users = std::fs::read_to_string(&config)?;
    let text = format!(
        "http = '127.0.0.1:0'\ntls-certificate = 'tls/certificate.pem'\ntls-key = 'tls/key.pem'\n{keys}\n\
         {users}\n[[mount]]\npath = 'movie.mjpeg'\nname = 'closed.mjpeg'\nusers = ['ana', 'olga', 'tim']\n\
         [[mount]]\npath = 'movie.mjpeg'\nname = 'open.mjpeg'\n\
         [[mount]]\npath = 'movie.mjpeg'\nname = 'far.mjpeg'\nallow = ['10.0.0.0/8']\n"
    );
    folder.file("server.toml", text.as_bytes())?;
    Ok(folder)
}

fn start(folder: &Folder) -> Result<(Server, String)> {
    let config = folder.path().join("server.toml");
    let server = Server::start(["--config".as_ref(), config.as_os_str()], 3)?;
    let address = server.http_address()?;
    Ok((server, address))
}

/// Asks with curl; returns the status and the body.
fn curl(folder: &Folder, arguments: &[&str]) -> Result<(String, String)> {
    let mut command = Command::new("curl");
    let authority = folder.path().join("tls/certificate.pem");
    command.args(["-s", "--max-time", "30", "-w", "\n%{http_code}", "--cacert"]).arg(authority);
    let done = run(command.args(arguments), LIMIT)?;
    let shown = String::from_utf8_lossy(&done.stdout).into_owned();
    let (body, status) = shown.rsplit_once('\n').unwrap_or_default();
    Ok((status.to_owned(), body.to_owned()))
}

#[test]
fn clients_log_in_by_digest_and_over_tls_by_basic() -> Result<()> {
    for hash in ["digest", "argon2"] {
        let folder = folder("", hash)?;
        let (mut server, address) = start(&folder)?;
        let (plain, tls) = (format!("http://{address}"), format!("https://{address}"));
        let movie = |base: &str, name: &str| format!("{base}/mounts/{name}/frames/3.jpg");
        let user = |name: &str| format!("{name}:{SECRET}");
        let digest = if hash == "digest" { "200" } else { "401" };
        // Options, URL, status.
        let rows: Vec<(Vec<String>, String, &str)> = vec![
            (vec![], movie(&plain, "open.mjpeg"), "200"),
            (vec![], movie(&tls, "open.mjpeg"), "200"),
            (vec![], movie(&plain, "closed.mjpeg"), "401"),
            // For a client without a login, it could be there.
            (vec![], movie(&plain, "nothing.mjpeg"), "401"),
            (vec![], movie(&plain, "far.mjpeg"), "401"),
            (
                vec!["--digest".into(), "-u".into(), user("ana")],
                movie(&plain, "closed.mjpeg"),
                digest,
            ),
            (
                vec!["--digest".into(), "-u".into(), user("ana")],
                movie(&tls, "closed.mjpeg"),
                digest,
            ),
            (vec!["--basic".into(), "-u".into(), user("ana")], movie(&tls, "closed.mjpeg"), "200"),
            // The password would be sent in the clear.
            (
                vec!["--basic".into(), "-u".into(), user("ana")],
                movie(&plain, "closed.mjpeg"),
                "401",
            ),
            (vec!["--basic".into(), "-u".into(), user("bob")], movie(&tls, "closed.mjpeg"), "404"),
            (vec!["--basic".into(), "-u".into(), user("ana")], movie(&tls, "nothing.mjpeg"), "404"),
            (vec!["--basic".into(), "-u".into(), user("ana")], movie(&tls, "far.mjpeg"), "404"),
            (
                vec!["--basic".into(), "-u".into(), "ana:wrong".into()],
                movie(&tls, "closed.mjpeg"),
                "401",
            ),
            (
                vec!["--basic".into(), "-u".into(), "eve:wrong".into()],
                movie(&tls, "open.mjpeg"),
                "401",
            ),
        ];
        for (options, url, status) in rows {
            let arguments: Vec<&str> = options.iter().map(String::as_str).collect();
            let (got, _) = curl(&folder, &[&arguments[..], &["-o", "/dev/null", &url]].concat())?;
            assert_eq!(got, status, "{hash}: {options:?} {url}");
        }
        let log = server.log()?;
        assert!(!log.contains(SECRET) && !log.contains("Zauber"), "{log}");
        server.is_well()?;
    }
    Ok(())
}

/// Logs in by digest in a new connection for each request, as urllib does.
const PYTHON: &str = "
import sys, urllib.request
passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
passwords.add_password(None, sys.argv[1], 'tim', sys.argv[2])
class Handler(urllib.request.HTTPDigestAuthHandler):
    def http_error_401(self, request, file, code, message, headers):
        # urllib of Python 3.11 reads only the first challenge, and knows no SHA-256.
        challenge = [it for it in headers.get_all('www-authenticate') if 'MD5' in it][0]
        del headers['www-authenticate']
        headers['www-authenticate'] = challenge
        return super().http_error_401(request, file, code, message, headers)
opener = urllib.request.build_opener(Handler(passwords))
for number in range(5):
    reply = opener.open('%s/mounts/closed.mjpeg/frames/%d.jpg' % (sys.argv[1], number))
    print(reply.status, reply.headers['X-Frame-Number'])
";

#[test]
fn a_nonce_is_valid_in_all_connections_of_a_client() -> Result<()> {
    let folder = folder("", "digest")?;
    let (mut server, address) = start(&folder)?;
    let mut python = Command::new("python3");
    python.args(["-c", PYTHON, &format!("http://{address}"), "plain-1729"]);
    let done = run(&mut python, LIMIT)?;
    let want = "200 0\n200 1\n200 2\n200 3\n200 4\n";
    let error = String::from_utf8_lossy(&done.stderr);
    assert_eq!(String::from_utf8_lossy(&done.stdout), want, "{error}");
    // The challenges: ffmpeg reads the last one.
    let refused = get(&address, "/mounts/closed.mjpeg/stream.mjpeg")?;
    let challenges = refused.all("www-authenticate");
    let schemes: Vec<_> = challenges.iter().map(|it| it.split(' ').next().unwrap_or("")).collect();
    assert_eq!((refused.status(), schemes), (401, vec!["Digest", "Digest"]));
    assert!(challenges[1].contains("algorithm=MD5"), "{challenges:?}");
    let url = format!("http://ana:Zaubers%C3%A4ge-1729@{address}/mounts/closed.mjpeg/stream.mjpeg");
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-f", "mpjpeg", "-i", &url, "-c", "copy", "-f", "framemd5", "-"]);
    let done = run(&mut ffmpeg, LIMIT)?;
    let frames =
        String::from_utf8_lossy(&done.stdout).lines().filter(|it| !it.starts_with('#')).count();
    assert_eq!(frames, 10, "{}", String::from_utf8_lossy(&done.stderr));
    server.is_well()
}

#[test]
fn the_api_shows_what_the_user_may_watch() -> Result<()> {
    let folder = folder("", "digest")?;
    let (mut server, address) = start(&folder)?;
    // Basic is sent at once, also for what needs no login.
    let base = format!("https://{address}");
    // User, movies, the name in the state of the server, whether sessions may be closed.
    let rows = [
        (None, vec!["open.mjpeg"], None, false),
        (Some("ana"), vec!["closed.mjpeg", "open.mjpeg"], Some("ana"), false),
        (Some("bob"), vec!["open.mjpeg"], Some("bob"), false),
        (Some("olga"), vec!["closed.mjpeg", "open.mjpeg"], Some("olga"), true),
    ];
    for (user, movies, name, may_close) in rows {
        let credentials = user.map(|user| format!("{user}:{SECRET}"));
        let login = credentials.as_ref().map_or(vec![], |it| vec!["--basic", "-u", it]);
        let ask = |path: &str| -> Result<serde_json::Value> {
            let url = format!("{base}{path}");
            let (status, body) = curl(&folder, &[&login[..], &[&url]].concat())?;
            ensure!(status == "200", "{user:?} {path}: {status}");
            Ok(serde_json::from_str(&body)?)
        };
        let list = ask("/api/v1/mounts")?;
        let names: Vec<_> = list["mounts"].as_array().context("no mounts")?.iter().collect();
        let names: Vec<_> = names.iter().filter_map(|mount| mount["name"].as_str()).collect();
        assert_eq!(names, movies, "{user:?}");
        let state = ask("/api/v1/server")?;
        assert_eq!(state["user"].as_str(), name);
        assert_eq!(state["may_close_sessions"], may_close, "{user:?}");
        assert_eq!(state["mounts"], movies.len());
        let url = format!("{base}/login");
        let (status, _) = curl(&folder, &[&login[..], &["-o", "/dev/null", &url]].concat())?;
        assert_eq!(status, if user.is_some() { "303" } else { "401" });
    }
    // Digest is sent only after a challenge, such as that of /login.
    let (plain, ana) = (format!("http://{address}"), format!("ana:{SECRET}"));
    let login = format!("{plain}/login?to=/api/v1/server");
    let (status, shown) = curl(&folder, &["-L", "--digest", "-u", &ana, &login])?;
    let state: serde_json::Value = serde_json::from_str(&shown)?;
    assert_eq!((status.as_str(), state["user"].as_str()), ("200", Some("ana")));
    // Encrypted addresses are stated, since there is a certificate.
    let open = get(&address, "/api/v1/mounts/open.mjpeg")?.json()?;
    let rtsp = server.address()?;
    assert_eq!(open["urls"]["rtsps"], format!("rtsps://{rtsp}/open.mjpeg"));
    server.is_well()
}

#[test]
fn wrong_passwords_are_limited() -> Result<()> {
    let folder = folder("basic-auth = 'on'", "digest")?;
    let (mut server, address) = start(&folder)?;
    let wrong = "Authorization: Basic YW5hOndyb25n\r\n";
    let mut client = HttpClient::connect(&address)?;
    for number in 1..=5 {
        client.ask("GET /mounts/closed.mjpeg/frames/0.jpg", wrong)?;
        let reply = client.response()?;
        let is_last = number == 5;
        assert_eq!((reply.status(), reply.header("connection") == "close"), (401, is_last));
    }
    assert!(client.is_closed()?);
    let statuses = (0..20).map(|_| {
        let reply = request(&address, "GET /mounts/closed.mjpeg/frames/0.jpg", wrong);
        reply.map(|reply| (reply.status(), reply.header("retry-after").to_owned()))
    });
    let statuses = statuses.collect::<Result<Vec<_>>>()?;
    assert!(statuses.contains(&(503, "1".to_owned())), "{statuses:?}");
    // Others are not affected by a header that is not valid.
    for header in ["Authorization: x\r\n", "Authorization: Basic !\r\n"] {
        let reply = request(&address, "GET /healthz", header)?;
        assert!(matches!(reply.status(), 400 | 401 | 503), "{header} {}", reply.status());
    }
    server.is_well()
}

#[test]
fn pages_of_other_sites_reach_nothing() -> Result<()> {
    let folder = folder("http-hosts = ['cam.example.org']", "digest")?;
    let (mut server, address) = start(&folder)?;
    // Host, status.
    let rows = [
        ("localhost", 200),
        (address.as_str(), 200),
        ("cam.example.org", 200),
        ("CAM.EXAMPLE.ORG:8080", 200),
        ("evil.example", 421),
        ("cam.example.org.evil.example", 421),
    ];
    for (host, status) in rows {
        for path in ["/", "/healthz", "/api/v1/mounts", "/mounts/open.mjpeg/snapshot.jpg"] {
            let mut client = HttpClient::connect(&address)?;
            let asked = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            client.send(asked.as_bytes())?;
            assert_eq!(client.response()?.status(), status, "{host} {path}");
        }
    }
    // What changes something must not come from a page of another site, whatever the address.
    let rows = [
        ("Origin: http://evil.example\r\n", 403),
        ("Origin: null\r\n", 403),
        ("Sec-Fetch-Site: cross-site\r\n", 403),
        ("", 405),
    ];
    for (headers, status) in rows {
        let reply = request(&address, "POST /api/v1/server", headers)?;
        assert_eq!(reply.status(), status, "{headers}");
    }
    let reply = request(&address, "POST /", &format!("Origin: http://{address}\r\n"))?;
    assert_eq!(reply.status(), 405);
    server.is_well()
}

#[test]
fn streams_end_when_their_users_may_not_watch_any_more() -> Result<()> {
    let folder = folder("basic-auth = 'on'", "digest")?;
    let (mut server, address) = start(&folder)?;
    let config = folder.path().join("server.toml");
    let text = std::fs::read_to_string(&config)?;
    let looping = text.replace("'tim']", "'tim']\nloop = true");
    std::fs::write(&config, &looping)?;
    server.process().signal("HUP")?;
    server.wait_for_log("configuration reloaded", LIMIT);
    // base64 of ana and of olga with the password.
    let login = |name: &str| -> Result<String> {
        let mut encode = Command::new("base64");
        let mut child = encode.arg("-w0").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let text = format!("{name}:{SECRET}");
        child.stdin.take().context("no standard input")?.write_all(text.as_bytes())?;
        let coded = String::from_utf8(child.wait_with_output()?.stdout)?;
        Ok(format!("Authorization: Basic {coded}\r\n"))
    };
    let open = |name: &str| -> Result<HttpStream> {
        let client = HttpClient::connect(&address)?;
        let mut stream =
            HttpStream::with(client, "/mounts/closed.mjpeg/stream.mjpeg", &login(name)?)?;
        stream.take(1)?;
        Ok(stream)
    };
    let (mut ana, mut olga) = (open("ana")?, open("olga")?);
    std::fs::write(&config, looping.replace("['ana', 'olga', 'tim']", "['olga', 'tim']"))?;
    server.process().signal("HUP")?;
    ana.rest()?;
    server.wait_for_log("session ended: the viewer may not watch the movie any more", LIMIT);
    olga.take(3)?;
    server.is_well()
}

#[test]
fn a_proxy_states_the_address_of_its_viewer() -> Result<()> {
    let folder =
        folder("proxy-from = ['127.0.0.1']\nallow = ['10.0.0.0/8', '127.0.0.1']", "digest")?;
    let (mut server, address) = start(&folder)?;
    // The viewer's address, the movie, the status; 0 if the connection is closed.
    let rows = [
        ("10.1.2.3", "far.mjpeg", 200),
        ("127.0.0.1", "far.mjpeg", 401),
        ("127.0.0.1", "open.mjpeg", 200),
        ("192.168.1.1", "open.mjpeg", 0),
    ];
    for (viewer, movie, status) in rows {
        let mut client = HttpClient::connect(&address)?;
        let asked = format!("GET /mounts/{movie}/frames/0.jpg HTTP/1.1\r\nHost: localhost\r\n\r\n");
        client.send(format!("PROXY TCP4 {viewer} 127.0.0.1 40000 80\r\n{asked}").as_bytes())?;
        if status == 0 {
            assert!(client.is_closed()?, "{viewer}");
        } else {
            assert_eq!(client.response()?.status(), status, "{viewer} {movie}");
        }
    }
    server.is_well()
}

#[test]
fn a_stream_is_encrypted() -> Result<()> {
    let folder = folder("", "digest")?;
    let (mut server, address) = start(&folder)?;
    let file = folder.path().join("received");
    let url = format!("https://{address}/mounts/open.mjpeg/stream.mjpeg");
    let target = file.to_str().context("no path")?;
    // curl checks the certificate.
    assert_eq!(curl(&folder, &["-o", target, &url])?.0, "200");
    let received = std::fs::read(&file)?;
    for (number, image) in movies::images(10, "I420")?.iter().enumerate() {
        ensure!(received.windows(image.len()).any(|part| part == image), "frame {number}");
    }
    server.wait_for_log("transport=\"HTTPS\" frames=10", LIMIT);
    let url = format!("https://{address}/mounts/open.mjpeg/movie.mjpeg");
    assert_eq!(curl(&folder, &["-o", target, &url])?.0, "200");
    ensure!(std::fs::read(&file)? == std::fs::read(folder.path().join("movie.mjpeg"))?, "the file");
    server.is_well()
}
