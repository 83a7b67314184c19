// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which movies a server has: the lab's request LIST, on the server's port.

use super::Protocol;
use gstmjpegfile::lab::{Method, Reply, RequestForm};
use gstmjpegfile::labrtspsrc::Location;
use mjpeg_program::border::guarded;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// A server that says nothing for so long has no list.
pub const LIMIT: Duration = Duration::from_secs(1);

/// The longest list that is read.
const MOST: usize = 1 << 20;

/// Host and port of a source that a server has.
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
        // An IPv6 address without a port has colons too.
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (authority, 554),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

/// The addresses of the movies of the server that `source` is of, in the same language.
pub fn addresses(source: &str) -> Vec<String> {
    let Some((host, port)) = server_of(source) else { return Vec::new() };
    let names = list(&host, port).unwrap_or_default();
    if Protocol::of(source) == Protocol::Lab {
        let of = |name: &String| Location::new(&host, port, name).ok().map(|it| it.to_string());
        return names.iter().filter_map(of).collect();
    }
    // As it was, with what stands before the host.
    let authority = source.split_once("://").map_or(source, |(_, rest)| rest);
    let authority = authority.split(['/', '?']).next().unwrap_or_default();
    let of = |name: &String| {
        let name = glib::Uri::escape_string(name, Some("/"), false);
        format!("rtsp://{authority}/{name}")
    };
    names.iter().map(of).collect()
}

/// Runs [`addresses`] in a thread of its own, and hands the result, or nothing after a panic, to
/// `done`.
///
/// # Errors
/// If the system has no thread left.
pub fn find(source: &str, done: impl FnOnce(Vec<String>) + Send + 'static) -> std::io::Result<()> {
    let source = source.to_owned();
    let thread = std::thread::Builder::new().name("movies".to_owned());
    let find = move || done(guarded("movie-list", || addresses(&source)).unwrap_or_default());
    thread.spawn(find).map(drop)
}

/// The movies' names. Empty where the server does not know LIST, or does not answer within
/// [`LIMIT`].
///
/// # Errors
/// If there is no connection to it.
pub fn list(host: &str, port: u16) -> std::io::Result<Vec<String>> {
    let mut error = std::io::Error::new(std::io::ErrorKind::NotFound, "the host has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, LIMIT) {
            Ok(connection) => return ask(connection),
            Err(refused) => error = refused,
        }
    }
    Err(error)
}

fn ask(mut connection: TcpStream) -> std::io::Result<Vec<String>> {
    let end = Instant::now() + LIMIT;
    let request = RequestForm::BlankLine.write(Method::List, "movies", 1, 0, "0");
    connection.write_all(request.as_bytes())?;
    connection.shutdown(std::net::Shutdown::Write)?;
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    while answer.len() < MOST {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        connection.set_read_timeout(Some(left))?;
        match connection.read(&mut piece) {
            Ok(0) | Err(_) => break,
            Ok(len) => answer.extend_from_slice(piece.get(..len).unwrap_or_default()),
        }
    }
    Ok(names(&String::from_utf8_lossy(&answer)))
}

/// The lines behind the three of a reply.
fn names(answer: &str) -> Vec<String> {
    let known = Reply::parse(answer).is_ok_and(|reply| reply.code == 200);
    let lines = answer.lines().skip(3).map(str::trim).filter(|line| !line.is_empty());
    if known { lines.map(ToOwned::to_owned).collect() } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_in_the_source() {
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
    fn the_names_stand_behind_three_lines() {
        let rows: [(&str, &[&str]); 4] = [
            ("RTSP/1.0 200 OK\nCSeq: 1\nSession: 123456\na.mjpeg\nb\n", &["a.mjpeg", "b"]),
            ("RTSP/1.0 200 OK\r\nCSeq: 1\r\nSession: 1\r\n\r\na\r\n", &["a"]),
            ("RTSP/1.0 501 Not Implemented\nCSeq: 1\nSession: 0\nx\n", &[]),
            ("", &[]),
        ];
        for (answer, want) in rows {
            assert_eq!(names(answer), want, "{answer:?}");
        }
    }
}
