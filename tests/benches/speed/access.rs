// SPDX-License-Identifier: MIT OR Apache-2.0
//! What logins and encryption cost: the time to the first packet, the CPU time of a frame over TLS, and the
//! time of the replies to wrong passwords. Measures the server that `MJPEG_RTSP_BENCH_SERVER` names, if set.

use crate::strangers::SERVER;
use crate::viewers::cpu_time;
use crate::{ms, quiet, spread};
use anyhow::{Context, Result, anyhow, ensure};
use http_auth::{PasswordClient, PasswordParams};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::rtsp_client::{Reply, RtspClient};
use mjpeg_rtsp_tests::programs::{Server, program, run as run_program};
use std::collections::VecDeque;
use std::io::Write;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PASSWORD: &str = "a-password-1729";

/// Connections for each row of the first table.
const CONNECTIONS: usize = 60;

/// Viewers for the CPU time of a frame, and how long they watch.
const VIEWERS: u32 = 100;
const WATCHED: Duration = Duration::from_secs(10);
const RATE: u32 = 20;

/// Wrong passwords, and the time between two.
const WRONG: usize = 1000;
const PACE: Duration = Duration::from_millis(20);

/// Replies for each of the names that are compared: of hashes that are fast, and of argon2.
const COMPARED: usize = 4000;
const COMPARED_SLOW: usize = 400;

pub fn run() -> Result<()> {
    quiet();
    let folder = Folder::new()?;
    folder.file("open.mjpeg", &movies::movie(&movies::images(100, "I420")?)?)?;
    folder.file("closed.mjpeg", &movies::movie(&movies::images(100, "I420")?)?)?;
    first_packets(&folder)?;
    frames(&folder)?;
    wrong_passwords(&folder)?;
    names(&folder)
}

/// A server of the two movies, of which users may watch the second one, with and without TLS on one port.
fn start(folder: &Folder, hash: &str) -> Result<Server> {
    let text = "basic-auth = 'on'\ntls-certificate = 'tls/certificate.pem'\ntls-key = 'tls/key.pem'\n\
                [defaults]\nloop = true\n[[mount]]\npath = 'open.mjpeg'\n[[mount]]\npath = 'closed.mjpeg'\n";
    if !folder.path().join("tls").exists() {
        let mut command = server_program()?;
        command.args(["certificate", "--out"]).arg(folder.path().join("tls")).arg("localhost");
        let done = run_program(&mut command, Duration::from_secs(20))?;
        ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    let config = folder.file("server.toml", text.as_bytes())?;
    let mut child = server_program()?
        .args(["user", "add", "ana", "--password-stdin", "--hash", hash, "--config"])
        .arg(&config)
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    child.stdin.take().context("no standard input")?.write_all(PASSWORD.as_bytes())?;
    ensure!(child.wait()?.success(), "user add");
    let text = std::fs::read_to_string(&config)?;
    let text = text.replace("'closed.mjpeg'", "'closed.mjpeg'\nusers = ['ana']");
    let config = folder.file("server.toml", text.as_bytes())?;
    let mut command = server_program()?;
    command.args(["--listen", "127.0.0.1:0", "--log", "error", "--config"]).arg(config);
    Server::spawn(&mut command, 2)
}

/// The server to measure.
fn server_program() -> Result<Command> {
    match std::env::var_os(SERVER) {
        Some(path) => Ok(Command::new(path)),
        None => program("mjpeg-rtsp-server"),
    }
}

/// The `Authorization` lines of a user, by a scheme that a challenge offers.
struct Login {
    client: Option<PasswordClient>,
    user: &'static str,
    password: String,
}

impl Login {
    fn none() -> Self {
        Self { client: None, user: "", password: String::new() }
    }

    fn new(refused: &Reply, scheme: &str, user: &'static str, password: &str) -> Result<Self> {
        let challenges = refused.headers("WWW-Authenticate");
        let challenge = challenges.iter().rfind(|it| it.starts_with(scheme));
        let challenge = challenge.with_context(|| refused.to_string())?;
        let client = PasswordClient::try_from(*challenge).map_err(|error| anyhow!("{error}"))?;
        Ok(Self { client: Some(client), user, password: password.to_owned() })
    }

    fn line(&mut self, request: &str) -> Result<String> {
        let Some(client) = &mut self.client else { return Ok(String::new()) };
        let (method, uri) = request.split_once(' ').context("no URI")?;
        let (username, password) = (self.user, self.password.as_str());
        let parameters = PasswordParams { username, password, uri, method, body: None };
        let value = client.respond(&parameters).map_err(|error| anyhow!("{error}"))?;
        Ok(format!("Authorization: {value}\r\n"))
    }
}

fn request_ok(
    client: &mut RtspClient,
    login: &mut Login,
    line: &str,
    headers: &str,
) -> Result<Reply> {
    let reply = client.request(line, &(login.line(line)? + headers))?;
    ensure!(reply.status == 200, "{line}: {reply}");
    Ok(reply)
}

/// Plays a movie up to its first packet.
fn play(address: &str, url: &str, scheme: Option<&str>, encrypted: bool) -> Result<Duration> {
    let start = Instant::now();
    let mut client = if encrypted {
        RtspClient::connect_encrypted(address)?
    } else {
        RtspClient::connect(address)?
    };
    let describe = format!("DESCRIBE {url}");
    let mut login = Login::none();
    if let Some(scheme) = scheme {
        // As players do, which ask without a password first.
        let refused = client.request(&describe, "")?;
        ensure!(refused.status == 401, "{refused}");
        login = Login::new(&refused, scheme, "ana", PASSWORD)?;
    }
    request_ok(&mut client, &mut login, &describe, "")?;
    let transport = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n";
    let setup = format!("SETUP {url}/stream=0");
    let session = request_ok(&mut client, &mut login, &setup, transport)?.session_line()?;
    request_ok(&mut client, &mut login, &format!("PLAY {url}/"), &session)?;
    // The first one is a sender report.
    client.receive_packets(2)?;
    Ok(start.elapsed())
}

fn first_packets(folder: &Folder) -> Result<()> {
    println!("\nfrom connect to the first RTP packet, TCP, loopback, {CONNECTIONS} connections\n");
    println!("| login | median ms | 95th percentile | most |\n|---|---|---|---|");
    let rows = [
        ("none", "digest", None, false),
        ("Basic, stored as digest", "digest", Some("Basic"), false),
        ("Basic, stored with argon2", "argon2", Some("Basic"), false),
        ("digest (SHA-256)", "digest", Some("Digest"), false),
        ("none, TLS", "digest", None, true),
        ("digest (SHA-256), TLS", "digest", Some("Digest"), true),
    ];
    for (name, hash, scheme, encrypted) in rows {
        let mut server = start(folder, hash)?;
        let address = server.address()?.to_owned();
        let movie = if scheme.is_some() { "closed" } else { "open" };
        let url = format!("rtsp://{address}/{movie}.mjpeg");
        let mut times = (0..CONNECTIONS)
            .map(|_| play(&address, &url, scheme, encrypted))
            .collect::<Result<Vec<_>>>()?;
        let (median, _, most) = spread(&mut times).context("no times")?;
        let percentile = times[times.len() * 95 / 100];
        println!("| {name} | {:.1} | {:.1} | {:.1} |", ms(median), ms(percentile), ms(most));
        server.is_well()?;
    }
    Ok(())
}

fn frames(folder: &Folder) -> Result<()> {
    let size = std::fs::metadata(folder.path().join("open.mjpeg"))?.len() / 100;
    println!(
        "\nserver's CPU time of a frame of {size} bytes, {VIEWERS} viewers, {RATE} frames/s, {} s\n",
        WATCHED.as_secs()
    );
    println!("| connection | µs a frame | times |\n|---|---|---|");
    let mut plain = None;
    for (name, encrypted) in [("TCP", false), ("TLS 1.3", true)] {
        let mut server = start(folder, "digest")?;
        let address = server.address()?.to_owned();
        let url = format!("rtsp://{address}/open.mjpeg");
        let mut viewers = Vec::new();
        for _ in 0..VIEWERS {
            let mut client = if encrypted {
                RtspClient::connect_encrypted(&address)?
            } else {
                RtspClient::connect(&address)?
            };
            let session = client.set_up(&url, "tcp")?;
            viewers.push((client, session));
        }
        let id = server.process().id();
        let (before, end) = (cpu_time(id)?, Instant::now() + WATCHED);
        let threads: Vec<_> = viewers
            .into_iter()
            .map(|(mut client, session)| {
                let line = format!("PLAY {url}/");
                std::thread::spawn(move || -> Result<u64> {
                    client.request(&line, &session)?;
                    client.receive_until(end)?;
                    ensure!(client.missing == 0, "packets are missing");
                    Ok(client.packets)
                })
            })
            .collect();
        for thread in threads {
            thread.join().map_err(|_| anyhow!("a viewer panicked"))??;
        }
        let frames = f64::from(VIEWERS * RATE) * WATCHED.as_secs_f64();
        let each = (cpu_time(id)? - before) * 1e6 / frames;
        let times = each / *plain.get_or_insert(each);
        println!("| {name} | {each:.0} | {times:.2} |");
        server.is_well()?;
    }
    Ok(())
}

fn wrong_passwords(folder: &Folder) -> Result<()> {
    let mut server = start(folder, "digest")?;
    let address = server.address()?.to_owned();
    let line = format!("DESCRIBE rtsp://{address}/closed.mjpeg");
    let (mut checked, mut refused, mut connections, mut most_in_connection) = (0, 0, 0, 0);
    let (mut recent, mut most_in_second) = (VecDeque::new(), 0);
    let start = Instant::now();
    let mut open: Option<(RtspClient, usize)> = None;
    for number in 0..WRONG {
        std::thread::sleep(
            (start + PACE * u32::try_from(number)?).saturating_duration_since(Instant::now()),
        );
        let (client, wrong) = match &mut open {
            Some(open) => (&mut open.0, &mut open.1),
            None => {
                connections += 1;
                let open = open.insert((RtspClient::connect(&address)?, 0));
                (&mut open.0, &mut open.1)
            }
        };
        // ana:wrong
        let reply = client.request(&line, "Authorization: Basic YW5hOndyb25n\r\n")?;
        if reply.status == 503 {
            refused += 1;
            continue;
        }
        ensure!(reply.status == 401, "{reply}");
        checked += 1;
        *wrong += 1;
        most_in_connection = most_in_connection.max(*wrong);
        let now = Instant::now();
        recent.push_back(now);
        while recent.front().is_some_and(|at| now - *at >= Duration::from_secs(1)) {
            recent.pop_front();
        }
        most_in_second = most_in_second.max(recent.len());
        if *wrong == 5 {
            client.wait_until_closed()?;
            open = None;
        }
    }
    println!(
        "\n{WRONG} wrong passwords from one address in {:.1} s: {checked} checked (401), {refused} refused \
         (503) in {connections} connections; at most {most_in_connection} in a connection and \
         {most_in_second} in a second\n",
        start.elapsed().as_secs_f64()
    );
    server.is_well()
}

fn names(folder: &Folder) -> Result<()> {
    println!(
        "reply to a wrong password, µs, {COMPARED} for each name (argon2: {COMPARED_SLOW}), in turn\n"
    );
    println!(
        "| stored | scheme | the name exists | it does not | difference |\n|---|---|---|---|---|"
    );
    for (hash, scheme) in [("digest", "Digest"), ("digest", "Basic"), ("argon2", "Basic")] {
        let mut server = start(folder, hash)?;
        let address = server.address()?.to_owned();
        let line = format!("DESCRIBE rtsp://{address}/closed.mjpeg");
        let mut times = [Vec::new(), Vec::new()];
        let mut host = 0_u32;
        let count = if hash == "argon2" { COMPARED_SLOW } else { COMPARED };
        while times[1].len() < count {
            // Four wrong passwords for each address and connection.
            host += 1;
            let local = Ipv4Addr::from(0x7f02_0000 + host);
            let mut client = RtspClient::connect_from(local, &address)?;
            let refused = client.request(&line, "")?;
            for at in 0..4 {
                // Who is first changes.
                let which = (at + host as usize) % 2;
                let mut login = Login::new(&refused, scheme, ["ana", "eve"][which], "wrong")?;
                let header = login.line(&line)?;
                let start = Instant::now();
                let reply = client.request(&line, &header)?;
                let time = start.elapsed();
                ensure!(reply.status == 401, "{reply}");
                times[which].push(time);
            }
        }
        let [known, unknown] = &mut times;
        let known = spread(known).context("no times")?.0.as_secs_f64() * 1e6;
        let unknown = spread(unknown).context("no times")?.0.as_secs_f64() * 1e6;
        let difference = (unknown / known - 1.0) * 100.0;
        println!("| {hash} | {scheme} | {known:.0} | {unknown:.0} | {difference:+.1} % |");
        server.is_well()?;
    }
    Ok(())
}
