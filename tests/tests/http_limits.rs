// SPDX-License-Identifier: MIT OR Apache-2.0
//! Limits against slow, many and greedy HTTP clients.

use anyhow::{Context, Result};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::http_client::{HttpClient, HttpStream, get};
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

#[test]
fn many_streams_at_once_are_all_served() -> Result<()> {
    const STREAMS: usize = 300;
    let images = movies::images(20, "I420")?;
    let (_folder, mut server, address) = start(&images, "")?;
    let threads = server.threads()?;
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        let mut client = HttpClient::connect(&address)?;
        client.ask("GET /mounts/movie.mjpeg/stream.mjpeg?framerate=1", "")?;
        streams.push(client);
    }
    for client in &mut streams {
        assert_eq!(client.head()?.status(), 200);
    }
    let state = get(&address, "/api/v1/server")?.json()?;
    assert_eq!(state["viewers"], STREAMS);
    // No thread for a viewer: those that may wait end again when they have nothing to do.
    assert!(server.threads()? <= threads + 25, "{} {threads}", server.threads()?);
    // RTSP is answered meanwhile.
    let mut rtsp = RtspClient::connect(server.address()?)?;
    let start = Instant::now();
    let reply = rtsp.request("OPTIONS *", "")?;
    assert_eq!(reply.status, 200);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    drop(streams);
    let viewers = || -> Result<u64> {
        get(&address, "/api/v1/server")?.json()?["viewers"].as_u64().context("no count")
    };
    wait_until("all have gone", LIMIT, || viewers().is_ok_and(|count| count == 0));
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
