// SPDX-License-Identifier: MIT OR Apache-2.0
//! Limits against slow, many and greedy HTTP clients.

use anyhow::{Context, Result};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::http_client::{HttpClient, HttpStream, get, request};
use mjpeg_rtsp_tests::peer::rtsp_client::RtspClient;
use mjpeg_rtsp_tests::programs::Server;
use mjpeg_rtsp_tests::wait_until;
use socket2::SockRef;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(40);

/// A server of a looping movie with some keys, and its address for HTTP.
fn start(images: &[Vec<u8>], keys: &str) -> Result<(Folder, Server, String)> {
    let folder = Folder::new()?;
    folder.file("movie.mjpeg", &movies::movie(images)?)?;
    let text =
        format!("http = '127.0.0.1:0'\n{keys}\n[[mount]]\npath = 'movie.mjpeg'\nloop = true\n");
    let config = folder.file("server.toml", text.as_bytes())?;
    let server = Server::start(["--config".as_ref(), config.as_os_str()], 1)?;
    let address = server.http_address()?;
    Ok((folder, server, address))
}

#[test]
fn a_request_that_is_not_complete_in_time_ends_its_connection() -> Result<()> {
    let images = movies::images(2, "I420")?;
    let keys = "tls-certificate = ''\n[limits]\nrequest-time = '1s'\nidle-time = '1s'";
    let (_folder, mut server, address) = start(&images, keys)?;
    // What is sent, and how often.
    let rows: [(&[u8], u32); 4] = [
        // A byte now and then.
        (b"G", 1),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n", 1),
        (b"X", 1000),
        // Nothing.
        (b"", 1),
    ];
    for (bytes, times) in rows {
        let mut client = HttpClient::connect(&address)?;
        let start = Instant::now();
        for _ in 0..times {
            if client.send(bytes).is_err() || start.elapsed() > Duration::from_secs(3) {
                break;
            }
            if times > 1 {
                mjpeg_rtsp_tests::pace(Duration::from_millis(100));
            }
        }
        assert!(client.is_closed()?, "{}", bytes.escape_ascii());
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    }
    let log = server.log()?;
    let mut client = HttpClient::connect(&address)?;
    client.ask("GET /healthz", "Content-Length: 5\r\n")?;
    client.send(b"GET ")?;
    let reply = client.response()?;
    let text = "The body of the request did not arrive within 1s.\n";
    assert_eq!((reply.status(), reply.text()), (408, text.into()));
    assert!(client.is_closed()?);
    let kind = "connection closed: no complete HTTP request within request-time";
    assert!(log.contains(kind), "{log}");
    server.is_well()
}

#[test]
fn a_client_that_does_not_read_is_closed_and_disturbs_nobody() -> Result<()> {
    // A file that no buffer of the system holds.
    let images: Vec<Vec<u8>> = movies::images(10, "I420")?;
    let pad = |image: &Vec<u8>| [image.clone(), vec![0; 90_000 - image.len()]].concat();
    let images: Vec<Vec<u8>> = images.iter().map(pad).cycle().take(400).collect();
    let (folder, mut server, address) = start(&images, "[limits]\nstall-time = '2s'")?;
    let mut other = HttpStream::open(&address, "/mounts/movie.mjpeg/stream.mjpeg?framerate=10")?;
    other.take(2)?;
    // It reads all the time.
    let stop = Arc::new(AtomicBool::new(false));
    let reading = std::thread::spawn({
        let stop = stop.clone();
        move || -> Result<usize> {
            let mut count = 0;
            while !stop.load(Ordering::SeqCst) {
                count += other.take(1)?.len();
            }
            Ok(count)
        }
    });
    let mut lazy = Vec::new();
    for path in ["movie.mjpeg", "stream.mjpeg"] {
        let mut client = HttpClient::connect(&address)?;
        SockRef::from(client.socket()).set_recv_buffer_size(16 * 1024)?;
        client.ask(&format!("GET /mounts/movie.mjpeg/{path}"), "")?;
        lazy.push(client);
    }
    server.wait_for_log("stream closed: nothing read for stall-time", LIMIT);
    let connections = || -> Result<u64> {
        get(&address, "/api/v1/server")?.json()?["connections"].as_u64().context("no count")
    };
    // The stream, and the connection that asks.
    wait_until("the lazy ones are closed", LIMIT, || connections().is_ok_and(|count| count == 2));
    // A slow reader gets all of it.
    let size = std::fs::metadata(folder.path().join("movie.mjpeg"))?.len();
    let whole = get(&address, "/mounts/movie.mjpeg/movie.mjpeg")?;
    assert_eq!(whole.body.len() as u64, size);
    stop.store(true, Ordering::SeqCst);
    let count = reading.join().map_err(|_| anyhow::anyhow!("the reader panicked"))??;
    assert!(count > 10, "{count} frames");
    server.is_well()
}

/// Counts the packets of a live movie until it is told to stop.
struct Watcher {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Result<RtspClient>>,
}

impl Watcher {
    fn start(server: &Server) -> Result<Self> {
        let url = server.urls.iter().find(|url| url.ends_with("live.mjpeg")).context("no URL")?;
        let mut client = RtspClient::connect(server.address()?)?;
        client.play(url, "tcp")?;
        client.receive_packets(2)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                client.receive_packets(1)?;
            }
            Ok(client)
        });
        Ok(Self { stop, thread })
    }

    fn stop(self) -> Result<RtspClient> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().map_err(|_| anyhow::anyhow!("the viewer panicked"))?
    }
}

#[test]
fn a_thousand_streams_at_once_are_all_served() -> Result<()> {
    const STREAMS: usize = 1000;
    // The server raises its own limit.
    let files = rlimit::increase_nofile_limit(4096)?;
    anyhow::ensure!(files >= 4096, "the system allows {files} open files");
    let images = movies::coloured(40)?;
    let folder = Folder::new()?;
    folder.file("movie.mjpeg", &movies::movie(&images)?)?;
    let text = format!(
        "http = '127.0.0.1:0'\n[limits]\nmax-viewers = {}\n[defaults]\nframerate = 10\n[[mount]]\n\
         path = 'movie.mjpeg'\nloop = true\n[[mount]]\npath = 'movie.mjpeg'\nname = 'live.mjpeg'\n\
         kind = 'live'\n",
        STREAMS + 1
    );
    let config = folder.file("server.toml", text.as_bytes())?;
    let mut server = Server::start(["--config".as_ref(), config.as_os_str()], 2)?;
    let address = server.http_address()?;
    let watcher = Watcher::start(&server)?;
    let (threads, memory, descriptors) = (server.threads()?, server.memory()?, server.files()?);
    let path = "/mounts/movie.mjpeg/stream.mjpeg?framerate=1";
    let mut streams =
        (0..STREAMS).map(|_| HttpStream::open(&address, path)).collect::<Result<Vec<_>>>()?;
    for stream in &streams {
        assert_eq!(stream.head.status(), 200);
    }
    // Whatever else is asked for is answered as always.
    let rows = [
        ("GET /mounts/movie.mjpeg/stream.mjpeg", 503),
        ("GET /mounts/live.mjpeg/stream.mjpeg", 503),
        ("HEAD /mounts/movie.mjpeg/stream.mjpeg", 200),
        ("GET /mounts/movie.mjpeg/stream.mjpeg?speed=99", 400),
        ("GET /mounts/other.mjpeg/stream.mjpeg", 404),
        ("POST /mounts/movie.mjpeg/stream.mjpeg", 405),
        ("GET /mounts/movie.mjpeg/frames/3.jpg", 200),
        ("GET /readyz", 200),
        ("GET /metrics", 200),
    ];
    for (line, status) in rows {
        assert_eq!(request(&address, line, "")?.status(), status, "{line}");
    }
    let state = get(&address, "/api/v1/server")?.json()?;
    assert_eq!(state["viewers"], STREAMS + 1);
    let sessions = get(&address, "/api/v1/sessions")?.json()?;
    assert_eq!(sessions["sessions"].as_array().map(Vec::len), Some(STREAMS + 1));
    // No thread for a viewer: those that may wait end again when they have nothing to do.
    assert!(server.threads()? <= threads + 25, "{} {threads}", server.threads()?);
    // A socket, and the file of the movie.
    let more = server.files()?.saturating_sub(descriptors);
    assert!(more <= 2 * STREAMS + 50, "{more} descriptors");
    let grown = server.memory()?.saturating_sub(memory);
    assert!(grown < 200_000_000, "{grown} bytes");
    // Each has one frame a second, and ends when the movie is not served any more.
    let mut parts = streams.iter_mut().map(|it| it.take(3)).collect::<Result<Vec<_>>>()?;
    std::fs::write(&config, text.replace("loop = true", "name = 'other.mjpeg'"))?;
    server.process().signal("HUP")?;
    for (stream, parts) in streams.iter_mut().zip(&mut parts) {
        parts.extend(stream.rest()?);
    }
    for (at, parts) in parts.iter().enumerate() {
        let numbers: Vec<u64> = parts.iter().map(|part| part.number).collect();
        let want: Vec<u64> = (0..4).cycle().map(|it| 10 * it).take(parts.len()).collect();
        assert_eq!(numbers, want, "stream {at}");
        for part in parts {
            assert!(part.jpeg == images[usize::try_from(part.number)?], "stream {at}");
        }
    }
    let viewers = || -> Result<u64> {
        get(&address, "/api/v1/server")?.json()?["viewers"].as_u64().context("no count")
    };
    wait_until("all have gone", LIMIT, || viewers().is_ok_and(|count| count == 1));
    wait_until("their descriptors are closed", LIMIT, || {
        server.files().is_ok_and(|files| files <= descriptors + 5)
    });
    let viewer = watcher.stop()?;
    assert_eq!(viewer.missing, 0);
    assert!(viewer.packets > 40, "{} packets", viewer.packets);
    server.is_well()
}

#[test]
fn http_connections_count_against_the_limits_of_all() -> Result<()> {
    let images = movies::images(20, "I420")?;
    let (_folder, mut server, address) = start(&images, "[limits]\nmax-connections = 3")?;
    let path = "/mounts/movie.mjpeg/stream.mjpeg";
    let mut streams =
        (0..3).map(|_| HttpStream::open(&address, path)).collect::<Result<Vec<_>>>()?;
    let refused = get(&address, "/healthz")?;
    assert_eq!(refused.status_line, "HTTP/1.1 503 Service Unavailable");
    assert_eq!(refused.text(), "The server has too many connections.\r\n");
    for stream in &mut streams {
        stream.take(1)?;
    }
    streams.pop();
    // An idle connection makes room for a new one; one that sends a stream does not.
    wait_until("a connection is free", LIMIT, || {
        get(&address, "/healthz").is_ok_and(|reply| reply.status() == 200)
    });
    let mut idle = HttpClient::connect(&address)?;
    wait_until("the connection is accepted", LIMIT, || {
        idle.ask("GET /healthz", "").is_ok()
            && idle.response().is_ok_and(|reply| reply.status() == 200)
            || HttpClient::connect(&address).map(|it| idle = it).is_err()
    });
    assert_eq!(get(&address, "/healthz")?.status(), 200);
    assert!(idle.is_closed()?);
    for stream in &mut streams {
        stream.take(1)?;
    }
    server.is_well()
}
