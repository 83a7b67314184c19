// SPDX-License-Identifier: MIT OR Apache-2.0
//! The list of a server's movies, requested by the lab's LIST on the server's port.

use super::Protocol;
use gstmjpegfile::lab::{Method, Reply, RequestForm};
use gstmjpegfile::labrtspsrc::Location;
use mjpeg_program::border::guarded;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// How long to wait for the list.
pub const TIMEOUT: Duration = Duration::from_secs(1);

/// Bytes of a reply that are read.
const MAX_REPLY: usize = 1 << 20;

/// Host and port of the server that `source` names; `None` if it names none.
pub fn server_of(source: &str) -> Option<(String, u16)> {
    if let Ok(location) = Location::parse(source) {
        return Some((location.host, location.port));
    }
    let (scheme, rest) = source.split_once("://")?;
    if !scheme.starts_with("rtsp") {
        return None;
    }
    let authority = rest.split(['/', '?']).next()?;
    let authority = authority.rsplit('@').next()?;
    let (host, port) = match authority.rsplit_once(':') {
        // An IPv6 address without a port also contains colons.
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (authority, 554),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

/// The server that `source` names, as `HOST:PORT`; `None` if it names none.
pub fn server_text(source: &str) -> Option<String> {
    server_of(source).map(|(host, port)| {
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    })
}

/// The addresses of all movies of the server that `source` names, for the same protocol.
pub fn addresses(source: &str) -> Vec<String> {
    let Some((host, port)) = server_of(source) else { return Vec::new() };
    let names = names(&host, port).unwrap_or_default();
    if Protocol::from_uri(source) == Protocol::Lab {
        let address = |name: &String| Some(Location::new(&host, port, name).ok()?.to_string());
        return names.iter().filter_map(address).collect();
    }
    // Keeps the user and password before the host.
    let authority = source.split_once("://").map_or(source, |(_, rest)| rest);
    let authority = authority.split(['/', '?']).next().unwrap_or_default();
    let address = |name: &String| {
        let name = glib::Uri::escape_string(name, Some("/"), false);
        format!("rtsp://{authority}/{name}")
    };
    names.iter().map(address).collect()
}

/// Runs [`addresses`] in a thread of its own, and passes the result to `done`; after a panic, an
/// empty list.
///
/// # Errors
/// If the system cannot start a thread.
pub fn find_in_background(
    source: &str,
    done: impl FnOnce(Vec<String>) + Send + 'static,
) -> std::io::Result<()> {
    let source = source.to_owned();
    let thread = std::thread::Builder::new().name("movies".to_owned());
    let find = move || done(guarded("movie-list", || addresses(&source)).unwrap_or_default());
    thread.spawn(find).map(drop)
}

/// The names of the movies. Empty if the server does not know LIST, or does not answer within
/// [`TIMEOUT`].
///
/// # Errors
/// If the server cannot be connected to.
fn names(host: &str, port: u16) -> std::io::Result<Vec<String>> {
    let mut error = std::io::Error::new(std::io::ErrorKind::NotFound, "the host has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, TIMEOUT) {
            Ok(connection) => return request_names(connection),
            Err(connect_error) => error = connect_error,
        }
    }
    Err(error)
}

fn request_names(mut connection: TcpStream) -> std::io::Result<Vec<String>> {
    let deadline = Instant::now() + TIMEOUT;
    let request = RequestForm::BlankLine.write(Method::List, "movies", 1, 0, "0");
    connection.write_all(request.as_bytes())?;
    connection.shutdown(std::net::Shutdown::Write)?;
    let mut reply = Vec::new();
    let mut buffer = [0; 4096];
    while reply.len() < MAX_REPLY {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        connection.set_read_timeout(Some(left))?;
        match connection.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(len) => reply.extend_from_slice(buffer.get(..len).unwrap_or_default()),
        }
    }
    Ok(parse_names(&String::from_utf8_lossy(&reply)))
}

/// The names in a reply: the lines after its first three.
fn parse_names(reply: &str) -> Vec<String> {
    let listed = Reply::parse(reply).is_ok_and(|reply| reply.code == 200);
    let lines = reply.lines().skip(3).map(str::trim).filter(|line| !line.is_empty());
    if listed { lines.map(ToOwned::to_owned).collect() } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_names_its_server() {
        let rows = [
            ("rtsp://h/m", Some(("h", 554))),
            ("rtsp://h:8554/m", Some(("h", 8554))),
            ("rtsp://u:p@h:8554", Some(("h", 8554))),
            ("rtsph://[::1]:8554/m", Some(("::1", 8554))),
            ("rtsp://[::1]/m", Some(("::1", 554))),
            ("labrtsp://127.0.0.1:1025/m?rtp-port=25000", Some(("127.0.0.1", 1025))),
            ("rtsp://h:x/m", None),
            ("http://h/m", None),
            ("/tmp/m", None),
        ];
        for (source, want) in rows {
            let got = server_of(source);
            assert_eq!(got.as_ref().map(|(host, port)| (host.as_str(), *port)), want, "{source}");
        }
    }

    #[test]
    fn names_follow_the_three_lines_of_a_reply() {
        let rows: [(&str, &[&str]); 4] = [
            ("RTSP/1.0 200 OK\nCSeq: 1\nSession: 123456\na.mjpeg\nb\n", &["a.mjpeg", "b"]),
            ("RTSP/1.0 200 OK\r\nCSeq: 1\r\nSession: 1\r\n\r\na\r\n", &["a"]),
            ("RTSP/1.0 501 Not Implemented\nCSeq: 1\nSession: 0\nx\n", &[]),
            ("", &[]),
        ];
        for (reply, want) in rows {
            assert_eq!(parse_names(reply), want, "{reply:?}");
        }
    }
}
