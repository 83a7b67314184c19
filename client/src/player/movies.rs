// SPDX-License-Identifier: MIT OR Apache-2.0
//! The movies of a server, requested by the lab's LIST on the server's port, of a folder, or of a list.

use super::{Protocol, Transport};
use clap::ValueEnum;
use gstmjpegfile::lab::{Method, Reply, RequestForm};
use gstmjpegfile::labrtspsrc::Location;
use mjpeg_program::border::guarded;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
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

/// An RTSP address without its parameter `transport`, such as `?transport=multicast`, and the transport that
/// it names. The server never sees the parameter. One with another value is part of the address.
pub fn split_transport(address: &str) -> (String, Option<Transport>) {
    let whole = || (address.to_owned(), None);
    if !address.starts_with("rtsp://") && !address.starts_with("rtsps://") {
        return whole();
    }
    let Some((path, query)) = address.split_once('?') else { return whole() };
    let read = |parameter: &str| {
        let name = parameter.strip_prefix("transport=")?;
        Transport::from_str(name, true).ok()
    };
    let Some(transport) = query.split('&').find_map(read) else { return whole() };
    let rest: Vec<&str> = query.split('&').filter(|it| read(it).is_none()).collect();
    let rest = rest.join("&");
    let address = if rest.is_empty() { path.to_owned() } else { format!("{path}?{rest}") };
    (address, Some(transport))
}

/// Whether two addresses name the same movie: users, passwords, queries and ports for RTP do not count.
pub fn is_same(one: &str, other: &str) -> bool {
    let movie = |address: &str| {
        if let Ok(location) = Location::parse(address) {
            return (Some((location.host, location.port)), location.file);
        }
        let server = server_of(address);
        let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
        let path = match &server {
            Some(_) => rest.split_once('/').map_or("", |(_, path)| path),
            None => rest,
        };
        let path = path.split('?').next().unwrap_or_default();
        let decoded = glib::Uri::unescape_string(path, None);
        (server, decoded.map_or_else(|| path.to_owned(), Into::into))
    };
    movie(one) == movie(other)
}

/// Whether the address has a user.
pub fn has_user(address: &str) -> bool {
    let rest = address.split_once("://").map_or("", |(_, rest)| rest);
    rest.split(['/', '?']).next().is_some_and(|authority| authority.contains('@'))
}

/// The address with this user and password; `None` if it names no server.
pub fn with_credentials(address: &str, user: &str, password: &str) -> Option<String> {
    let (scheme, rest) = address.split_once("://").filter(|_| server_of(address).is_some())?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit('@').next().unwrap_or_default();
    let [user, password] = [user, password].map(|it| glib::Uri::escape_string(it, None, false));
    Some(format!("{scheme}://{user}:{password}@{host}{path}"))
}

/// The address of a file: its path, or a URI if the path is not UTF-8.
pub fn address_of(path: &Path) -> String {
    let uri = || Some(glib::filename_to_uri(std::path::absolute(path).ok()?, None).ok()?.into());
    let text = path.to_str().map(ToOwned::to_owned);
    text.or_else(uri).unwrap_or_else(|| path.to_string_lossy().into_owned())
}

/// Extensions of the files that the player opens, in lower case.
pub const EXTENSIONS: [&str; 6] = ["mjpeg", "mjpg", "avi", "mkv", "mp4", "mov"];

/// Bytes of a list of movies that are read.
const MAX_LIST: u64 = 1 << 20;

/// The movies that a list (`.m3u`, `.m3u8`) names: one address or file on each line, files relative to the
/// list's folder; lines that begin with `#` are comments. `None` if the file is not a list.
///
/// # Errors
/// If the list cannot be read.
pub fn read_list(path: &Path) -> Option<io::Result<Vec<String>>> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    if extension != "m3u" && extension != "m3u8" {
        return None;
    }
    let read = || {
        let mut text = Vec::new();
        File::open(path)?.take(MAX_LIST).read_to_end(&mut text)?;
        // Names of files may hold any bytes.
        let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&text);
        let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        let named = lines.filter(|line| !line.is_empty() && !line.starts_with(b"#"));
        let folder = path.parent().unwrap_or(Path::new(""));
        let address = |line: &[u8]| match str::from_utf8(line) {
            Ok(line) if line.contains("://") => line.to_owned(),
            _ => address_of(&folder.join(OsStr::from_bytes(line))),
        };
        Ok(named.map(address).collect())
    };
    Some(read())
}

/// The movies in the folder of the file `source`, in the order of their names.
fn files_beside(source: &str) -> Vec<String> {
    let is_uri = source.contains("://");
    let path = if is_uri {
        glib::filename_from_uri(source).map(|(path, _)| path).unwrap_or_default()
    } else {
        PathBuf::from(source)
    };
    let folder = path.parent().unwrap_or(Path::new(""));
    let readable = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries = std::fs::read_dir(readable).into_iter().flatten().flatten();
    let is_movie = |name: &OsString| {
        let extension = Path::new(name).extension().and_then(|it| it.to_str());
        extension.is_some_and(|it| EXTENSIONS.contains(&it.to_ascii_lowercase().as_str()))
    };
    let mut names: Vec<OsString> =
        entries.map(|entry| entry.file_name()).filter(is_movie).collect();
    names.sort_by_cached_key(|name| (name.to_string_lossy().to_lowercase(), name.clone()));
    let address = |name: OsString| {
        let path = folder.join(name);
        if is_uri {
            return glib::filename_to_uri(&path, None).ok().map(Into::into);
        }
        Some(address_of(&path))
    };
    names.into_iter().filter_map(address).collect()
}

/// The addresses of all movies of the server, or in the folder, that `source` names, for the same
/// protocol.
pub fn addresses(source: &str) -> Vec<String> {
    let Some((host, port)) = server_of(source) else { return files_beside(source) };
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
) -> io::Result<()> {
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
fn names(host: &str, port: u16) -> io::Result<Vec<String>> {
    let mut error = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, TIMEOUT) {
            Ok(connection) => return request_names(connection),
            Err(connect_error) => error = connect_error,
        }
    }
    Err(error)
}

fn request_names(mut connection: TcpStream) -> io::Result<Vec<String>> {
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
    fn an_address_may_name_the_transport() {
        let rows = [
            ("rtsp://h/m?transport=multicast", "rtsp://h/m", Some(Transport::Multicast)),
            ("rtsps://u:p@h/m?transport=TCP", "rtsps://u:p@h/m", Some(Transport::Tcp)),
            ("rtsp://h/m?a=1&transport=udp&b", "rtsp://h/m?a=1&b", Some(Transport::Udp)),
            ("rtsp://h/m?transport=pigeon", "rtsp://h/m?transport=pigeon", None),
            ("rtsp://h/m?a=transport=udp", "rtsp://h/m?a=transport=udp", None),
            ("rtsp://h/transport=udp", "rtsp://h/transport=udp", None),
            ("http://h/m?transport=udp", "http://h/m?transport=udp", None),
            ("movie?transport=udp", "movie?transport=udp", None),
        ];
        for (address, rest, transport) in rows {
            assert_eq!(split_transport(address), (rest.to_owned(), transport), "{address}");
        }
    }
    use std::os::unix::ffi::OsStringExt;

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
    fn the_same_movie_has_several_addresses() {
        let rows = [
            ("rtsp://h/a%20b", "rtsp://u:p@h:554/a b?start=5", true),
            ("rtsp://h/a", "rtsp://h/b", false),
            ("rtsp://h/a", "rtsp://g/a", false),
            ("labrtsp://h:1025/a?rtp-port=25000", "labrtsp://h:1025/a", true),
            ("/tmp/a.mjpeg", "/tmp/a.mjpeg", true),
            ("/tmp/a.mjpeg", "/tmp/b.mjpeg", false),
        ];
        for (one, other, want) in rows {
            assert_eq!(is_same(one, other), want, "{one} {other}");
        }
    }

    #[test]
    fn a_user_and_a_password_are_written_into_the_address() {
        let rows = [
            ("rtsp://h/m?x", Some("rtsp://u%40x:p%2F%3A@h/m?x")),
            ("rtsps://old:secret@[::1]:8322/m", Some("rtsps://u%40x:p%2F%3A@[::1]:8322/m")),
            ("/tmp/m", None),
        ];
        for (address, want) in rows {
            assert_eq!(with_credentials(address, "u@x", "p/:").as_deref(), want, "{address}");
        }
    }

    #[test]
    fn a_list_and_a_folder_name_their_movies() -> io::Result<()> {
        let folder = std::env::temp_dir().join(format!("mjpeg-rtsp-list-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
        for name in ["b.mjpeg", "A.MJPEG", "c.txt", "d.mjpg"] {
            std::fs::write(folder.join(name), "")?;
        }
        let list =
            b"\xef\xbb\xbf#EXTM3U\r\nb.mjpeg\r\n\r\n# no\nrtsp://h/m\n/x/y.mjpeg\n/x/\xe9.mjpeg\n";
        std::fs::write(folder.join("l.M3U"), list)?;
        let want = [&path("b.mjpeg"), "rtsp://h/m", "/x/y.mjpeg", "file:///x/%E9.mjpeg"];
        assert_eq!(
            read_list(&folder.join("l.M3U")).transpose()?,
            Some(want.map(ToOwned::to_owned).to_vec())
        );
        assert!(read_list(&folder.join("b.mjpeg")).is_none());
        assert!(read_list(&folder.join("none.m3u")).is_some_and(|read| read.is_err()));
        let want = ["A.MJPEG", "b.mjpeg", "d.mjpg"];
        assert_eq!(addresses(&path("b.mjpeg")), want.map(path));
        let uri = |name: &str| format!("file://{}", path(name));
        assert_eq!(addresses(&uri("b.mjpeg")), want.map(uri));
        let odd = OsString::from_vec(b"e\xff.mjpeg".to_vec());
        assert_eq!(address_of(&folder.join(odd)), uri("e%FF.mjpeg"));
        std::fs::remove_dir_all(&folder)
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
