// SPDX-License-Identifier: MIT OR Apache-2.0
//! Images, files, the API and the page over HTTP.

use anyhow::{Context, Result, ensure};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::http_client::{HttpClient, get, request};
use mjpeg_rtsp_tests::programs::{Server, run};
use serde_json::Value;
use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

/// A date before that of every file.
const LONG_AGO: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

const LIMIT: Duration = Duration::from_secs(30);

const FRAMES: u32 = 10;

/// A server of some movies in a folder, and its address for HTTP.
fn start(images: &[Vec<u8>], flags: &[&str]) -> Result<(Folder, Server, String)> {
    let folder = Folder::new()?;
    let movie = movies::movie(images)?;
    for name in ["a b?.mjpeg", "cam/door.mjpeg", "cam/north/gate.mjpeg"] {
        folder.file(&format!("movies/{name}"), &movie)?;
    }
    folder.file("movies/empty.mjpeg", b"")?;
    let path = folder.path().join("movies");
    let flags = ["--http", "127.0.0.1:0"].iter().chain(flags).map(std::ffi::OsStr::new);
    let server = Server::start(flags.chain([path.as_os_str()]), 4)?;
    let address = server.http_address()?;
    Ok((folder, server, address))
}

#[test]
fn a_frame_is_chosen_by_number_or_time() -> Result<()> {
    let images = movies::images(FRAMES, "I420")?;
    let (_folder, mut server, address) = start(&images, &[])?;
    // Path within the movie, the frame.
    let rows = [
        ("snapshot.jpg", 0),
        ("snapshot.jpg?frame=9", 9),
        ("snapshot.jpg?t=0.2", 4),
        ("snapshot.jpg?t=0.249", 4),
        ("frames/0.jpg", 0),
        ("frames/7.jpg", 7),
        ("frames/007.jpg", 7),
        ("frames/7.jpg?x=1", 7),
    ];
    for mount in ["a%20b%3F.mjpeg", "cam/door.mjpeg", "CAM/door"] {
        for (path, number) in rows {
            let reply = get(&address, &format!("/mounts/{mount}/{path}"))?;
            assert_eq!(reply.status_line, "HTTP/1.1 200 OK", "{mount} {path}");
            assert_eq!(reply.header("content-type"), "image/jpeg");
            assert_eq!(reply.header("x-frame-number"), number.to_string(), "{mount} {path}");
            assert_eq!(reply.header("x-timestamp"), format!("0.{:03}000", 50 * number));
            assert!(reply.body == images[number], "{mount} {path}");
        }
    }
    server.is_well()
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn what_is_not_there_or_not_valid_is_refused() -> Result<()> {
    let images = movies::images(FRAMES, "I420")?;
    let (_folder, mut server, address) = start(&images, &[])?;
    let live = "/mounts/live.mjpeg";
    let door = "/mounts/cam/door.mjpeg";
    let nothing = "There is nothing at this address.\n";
    let no_movie = "There is no such movie.\n";
    let no_frame = "The movie has 10 frames, numbered from 0; there is no frame";
    let speed = "speed must be a number from 0.25 to 8, such as 1.5.\n";
    let rate = "framerate: expected frames per second above 0, such as 20, 12.5 or 30000/1001.\n";
    // Request, status, body.
    let rows: Vec<(String, u16, String)> = vec![
        ("GET /x".into(), 404, nothing.into()),
        ("GET /lab/x".into(), 404, nothing.into()),
        ("GET /assets/x.js".into(), 404, nothing.into()),
        ("GET /assets/index.html".into(), 404, nothing.into()),
        ("GET /assets/../Cargo.toml".into(), 404, nothing.into()),
        ("GET /assets/%2e%2e/Cargo.toml".into(), 404, nothing.into()),
        ("GET /mounts/".into(), 404, nothing.into()),
        ("GET //mounts//cam".into(), 404, nothing.into()),
        ("GET /mounts/x.mjpeg/stream.mjpeg".into(), 404, no_movie.into()),
        ("GET /mounts/x.mjpeg/snapshot.jpg".into(), 404, no_movie.into()),
        (format!("GET {live}/movie.mjpeg"), 404, no_movie.into()),
        ("GET /mounts/cam/door.mjpeg".into(), 404, no_movie.into()),
        ("GET /mounts/cam/door.mjpeg/".into(), 404, no_movie.into()),
        ("GET /mounts/stream.mjpeg".into(), 404, no_movie.into()),
        ("GET /mounts//stream.mjpeg".into(), 404, no_movie.into()),
        ("GET /mounts/cam//door.mjpeg/stream.mjpeg".into(), 404, no_movie.into()),
        ("GET /mounts/cam/./door.mjpeg/stream.mjpeg".into(), 404, no_movie.into()),
        ("GET /mounts/../movies/cam/door.mjpeg/movie.mjpeg".into(), 404, no_movie.into()),
        ("GET /mounts/x/../cam/door.mjpeg/movie.mjpeg".into(), 404, no_movie.into()),
        ("GET /mounts/x/%2e%2e/cam/door.mjpeg/movie.mjpeg".into(), 404, no_movie.into()),
        ("GET /mounts/x%2F..%2Fcam/door.mjpeg/movie.mjpeg".into(), 404, no_movie.into()),
        ("GET /mounts/cam%2Fdoor.mjpeg/movie.mjpeg".into(), 404, no_movie.into()),
        ("GET /mounts/cam%5Cdoor.mjpeg/movie.mjpeg".into(), 404, no_movie.into()),
        ("GET /mounts/cam/door.mjpeg%00/movie.mjpeg".into(), 404, no_movie.into()),
        ("GET /mounts/%FF%FE/movie.mjpeg".into(), 404, no_movie.into()),
        ("GET /mounts/%/movie.mjpeg".into(), 404, no_movie.into()),
        ("GET /mounts/%252e%252e/movie.mjpeg".into(), 404, no_movie.into()),
        ("GET /mounts//etc/passwd/movie.mjpeg".into(), 404, no_movie.into()),
        (format!("GET {door}/frames/10.jpg"), 404, format!("{no_frame} 10.\n")),
        (format!("GET {door}/frames/-1.jpg"), 404, no_movie.into()),
        (format!("GET {door}/frames/x.jpg"), 404, no_movie.into()),
        (
            format!("GET {door}/frames/18446744073709551615.jpg"),
            404,
            format!("{no_frame} 18446744073709551615.\n"),
        ),
        (format!("GET {door}/snapshot.jpg?frame=10"), 404, format!("{no_frame} 10.\n")),
        (format!("GET {door}/snapshot.jpg?t=0.5"), 404, format!("{no_frame} 10.\n")),
        (format!("GET {door}/snapshot.jpg?frame=x"), 400, "frame must be a whole number.\n".into()),
        (
            format!("GET {door}/snapshot.jpg?frame=1&t=1"),
            400,
            "There may be either frame or t, once.\n".into(),
        ),
        (format!("GET {door}/stream.mjpeg?start=0.5"), 404, format!("{no_frame} 10.\n")),
        (format!("GET {door}/stream.mjpeg?start=frame:10"), 404, format!("{no_frame} 10.\n")),
        (
            format!("GET {door}/stream.mjpeg?start=-1"),
            400,
            "start (seconds, or frame:N) must be a number from 0 to 1000000000, such as 1.5.\n"
                .into(),
        ),
        (format!("GET {door}/stream.mjpeg?speed=0"), 400, speed.into()),
        (format!("GET {door}/stream.mjpeg?speed=inf"), 400, speed.into()),
        (format!("GET {door}/stream.mjpeg?framerate=0"), 400, rate.into()),
        (
            format!("GET {door}/stream.mjpeg?fps=2"),
            400,
            "There is no parameter \"fps\" here; there are framerate, start and speed.\n".into(),
        ),
        (
            "GET /mounts/empty.mjpeg/stream.mjpeg".into(),
            415,
            "This is not a movie: it is empty.\n".into(),
        ),
        ("POST /".into(), 405, "This method is not possible here.\n".into()),
        (format!("DELETE {door}/stream.mjpeg"), 405, "This method is not possible here.\n".into()),
        (format!("PUT {door}/movie.mjpeg"), 405, "This method is not possible here.\n".into()),
        ("OPTIONS *".into(), 404, nothing.into()),
        ("GET /api/v1/x".into(), 404, "{\"error\":\"There is nothing at this address.\"}\n".into()),
        (
            "GET /api/v1/mounts/x.mjpeg".into(),
            404,
            "{\"error\":\"There is no such movie.\"}\n".into(),
        ),
        (
            "GET /api/v1/mounts?limit=0".into(),
            400,
            "{\"error\":\"limit must be a number from 1 to 1000.\"}\n".into(),
        ),
        (
            "DELETE /api/v1/mounts".into(),
            405,
            "{\"error\":\"This method is not possible here.\"}\n".into(),
        ),
        (format!("GET /{}", "x".repeat(9000)), 414, "The address has over 8192 bytes.\n".into()),
    ];
    for (asked, status, body) in rows {
        let reply = request(&address, &asked, "")?;
        assert_eq!((reply.status(), reply.text()), (status, body), "{asked}");
        let kind =
            if asked.contains("/api/") { "application/json" } else { "text/plain; charset=utf-8" };
        assert_eq!(reply.header("content-type"), kind, "{asked}");
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{asked}");
        assert!(status != 405 || reply.header("allow") == "GET,HEAD", "{asked}");
        // HEAD has the same status.
        if let Some(path) = asked.strip_prefix("GET ") {
            let head = request(&address, &format!("HEAD {path}"), "")?;
            assert_eq!(head.status(), status, "HEAD {path}");
        }
    }
    server.is_well()
}

#[test]
fn bytes_that_are_no_valid_request_disturb_nobody() -> Result<()> {
    let images = movies::images(FRAMES, "I420")?;
    let (_folder, mut server, address) = start(&images, &[])?;
    let host = "Host: localhost\r\n";
    let long = "a".repeat(40_000);
    let many = "X: 1\r\n".repeat(200);
    let close = "Connection: close\r\n\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n\r\n";
    // Bytes, status; 0 if the connection is closed without a reply.
    let rows: Vec<(Vec<u8>, u16)> = vec![
        (format!("GET /{long} HTTP/1.1\r\n{host}\r\n").into(), 431),
        (format!("GET / HTTP/1.1\r\n{host}X: {long}\r\n\r\n").into(), 431),
        (format!("GET / HTTP/1.1\r\n{host}{many}\r\n").into(), 431),
        (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n".to_vec(), 400),
        (format!("GET / HTTP/1.1\r\n{host}{host}{close}").into(), 400),
        (format!("GET / HTTP/1.1\r\nHost: a@localhost\r\n{close}").into(), 400),
        (format!("GET / HTTP/1.1\r\nHost: a b\r\n{close}").into(), 400),
        (format!("GET / HTTP/1.1\r\nHost: evil.example\r\n{close}").into(), 421),
        (format!("GET http://localhost/healthz HTTP/1.1\r\nHost: x\r\n{close}").into(), 200),
        (format!("CONNECT localhost:1 HTTP/1.1\r\n{host}{close}").into(), 404),
        (format!("TRACE /healthz HTTP/1.1\r\n{host}{close}").into(), 405),
        (format!("GET /healthz HTTP/1.1\r\n{host}Content-Length: -1\r\n{close}").into(), 400),
        (format!("GET /healthz HTTP/1.1\r\n{host}Transfer-Encoding: x\r\n{close}").into(), 400),
        (format!("POST / HTTP/1.1\r\n{host}Content-Length: 4000000000\r\n\r\nxx").into(), 413),
        (format!("POST / HTTP/1.1\r\n{host}Content-Length: 16385\r\n\r\n").into(), 413),
        (format!("GET / HTTP/1.1\r\n{host}{chunked}4001\r\n{}\r\n", &long[..0x4001]).into(), 413),
        (format!("GET / HTTP/1.1\r\n{host}{chunked}zz\r\n").into(), 400),
        (b"GET /healthz HTTP/1.0\r\n\r\n".to_vec(), 200),
        (b"GET /healthz HTTP/3.0\r\n\r\n".to_vec(), 400),
        (b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n".to_vec(), 400),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\nGET / HTTP/1.1\r\n\r\n".to_vec(), 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), 0),
        (b"GET /\xff\xfe HTTP/1.1\r\n\r\n".to_vec(), 400),
        (b"GET /\0 HTTP/1.1\r\n\r\n".to_vec(), 400),
        (b"\0\x01\x02\r\n\r\n".to_vec(), 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), 0),
    ];
    for (bytes, status) in rows {
        let shown = bytes.get(..60).unwrap_or(&bytes).escape_ascii().to_string();
        let mut client = HttpClient::connect(&address)?;
        client.send(&bytes)?;
        if status == 0 {
            assert!(client.is_closed()?, "{shown}");
        } else {
            let reply = client.response().with_context(|| shown.clone())?;
            assert_eq!(reply.status(), status, "{shown}");
        }
    }
    assert_eq!(get(&address, "/healthz")?.text(), "ok\n");
    assert_eq!(get(&address, "/readyz")?.text(), "ok\n");
    server.is_well()
}

#[test]
fn several_requests_are_answered_in_a_connection() -> Result<()> {
    let images = movies::images(FRAMES, "I420")?;
    let (_folder, mut server, address) = start(&images, &[])?;
    let mut client = HttpClient::connect(&address)?;
    for _ in 0..3 {
        for number in [0, 3] {
            client.ask(&format!("GET /mounts/cam/door.mjpeg/frames/{number}.jpg"), "")?;
        }
        for number in [0, 3] {
            assert!(client.response()?.body == images[number]);
        }
        client.ask("HEAD /mounts/cam/door.mjpeg/movie.mjpeg", "")?;
        assert_eq!(client.head()?.header("accept-ranges"), "bytes");
    }
    // A client that says all at once, and closes its sending side.
    for path in ["frames/3.jpg", "snapshot.jpg?frame=3"] {
        client.ask(&format!("GET /mounts/cam/door.mjpeg/{path}"), "")?;
    }
    client.socket().shutdown(std::net::Shutdown::Write)?;
    for _ in 0..2 {
        assert!(client.response()?.body == images[3]);
    }
    assert!(client.is_closed()?);
    server.is_well()
}

#[test]
fn a_body_that_nothing_uses_is_no_request() -> Result<()> {
    let images = movies::images(FRAMES, "I420")?;
    let (_folder, mut server, address) = start(&images, &[])?;
    let mut client = HttpClient::connect(&address)?;
    let long = "x".repeat(16 * 1024);
    // Headers, the body in two parts.
    let rows = [
        ("Content-Length: 5", "", "GET /"),
        ("Content-Length: 5", "GET", " /"),
        ("Content-Length: 5\r\nExpect: 100-continue", "", "GET /"),
        ("Content-Length: 16384", "", &*long),
        ("Transfer-Encoding: chunked", "5\r\nGE", "T /\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked", "", "4000\r\n"),
    ];
    for (headers, first, rest) in rows {
        client.ask("GET /healthz", &format!("{headers}\r\n"))?;
        client.send(first.as_bytes())?;
        if headers.contains("Expect") {
            assert_eq!(client.head()?.status_line, "HTTP/1.1 100 Continue");
        }
        // Others are answered meanwhile.
        assert_eq!(get(&address, "/healthz")?.text(), "ok\n");
        client.send(rest.as_bytes())?;
        if rest == "4000\r\n" {
            client.send(format!("{long}\r\n0\r\n\r\n").as_bytes())?;
        }
        assert_eq!(client.response()?.text(), "ok\n", "{headers}");
    }
    server.is_well()
}

#[test]
fn a_movie_is_sent_as_a_file_or_a_part_of_it() -> Result<()> {
    let images = movies::images(FRAMES, "I420")?;
    let (folder, mut server, address) = start(&images, &[])?;
    let file = std::fs::read(folder.path().join("movies/cam/door.mjpeg"))?;
    let path = "/mounts/cam/door.mjpeg/movie.mjpeg";
    let whole = get(&address, path)?;
    let (etag, modified) = (whole.header("etag"), whole.header("last-modified"));
    assert_eq!(whole.header("content-type"), "video/x-mjpegfile");
    assert_eq!(whole.header("content-disposition"), "inline; filename*=UTF-8''door%2Emjpeg");
    let size = file.len();
    // Method, header lines, status, the part, Content-Range.
    let rows: Vec<(&str, String, u16, std::ops::Range<usize>, String)> = vec![
        ("GET", String::new(), 200, 0..size, String::new()),
        ("GET", "Range: bytes=5-9\r\n".into(), 206, 5..10, format!("bytes 5-9/{size}")),
        (
            "GET",
            "Range: bytes=100-\r\n".into(),
            206,
            100..size,
            format!("bytes 100-{}/{size}", size - 1),
        ),
        (
            "GET",
            "Range: bytes=-3\r\n".into(),
            206,
            size - 3..size,
            format!("bytes {}-{}/{size}", size - 3, size - 1),
        ),
        ("GET", format!("Range: bytes={size}-\r\n"), 416, 0..0, format!("bytes */{size}")),
        ("GET", "Range: bytes=0-1,4-5\r\n".into(), 200, 0..size, String::new()),
        ("GET", "Range: bytes=9-5\r\n".into(), 200, 0..size, String::new()),
        ("GET", "Range: frames=0-1\r\n".into(), 200, 0..size, String::new()),
        (
            "GET",
            format!("Range: bytes=0-0\r\nIf-Range: {etag}\r\n"),
            206,
            0..1,
            format!("bytes 0-0/{size}"),
        ),
        ("GET", "Range: bytes=0-0\r\nIf-Range: \"x\"\r\n".into(), 200, 0..size, String::new()),
        (
            "GET",
            format!("Range: bytes=0-0\r\nIf-Range: {modified}\r\n"),
            206,
            0..1,
            format!("bytes 0-0/{size}"),
        ),
        ("GET", format!("If-None-Match: {etag}\r\n"), 304, 0..0, String::new()),
        ("GET", format!("If-None-Match: \"x\", W/{etag}\r\n"), 304, 0..0, String::new()),
        ("GET", "If-None-Match: \"x\"\r\n".into(), 200, 0..size, String::new()),
        ("GET", format!("If-Modified-Since: {modified}\r\n"), 304, 0..0, String::new()),
        // A client that has a part of another version must not continue with this one.
        ("GET", format!("If-Match: {etag}\r\n"), 200, 0..size, String::new()),
        ("GET", "If-Match: \"x\"\r\nRange: bytes=5-9\r\n".into(), 412, 0..0, String::new()),
        ("HEAD", "If-Match: \"x\"\r\n".into(), 412, 0..0, String::new()),
        ("GET", format!("If-Unmodified-Since: {modified}\r\n"), 200, 0..size, String::new()),
        ("GET", format!("If-Unmodified-Since: {LONG_AGO}\r\n"), 412, 0..0, String::new()),
        ("HEAD", "Range: bytes=5-9\r\n".into(), 200, 0..0, String::new()),
        ("HEAD", format!("If-None-Match: {etag}\r\n"), 304, 0..0, String::new()),
    ];
    for (method, headers, status, part, range) in rows {
        let reply = request(&address, &format!("{method} {path}"), &headers)?;
        assert_eq!(reply.status(), status, "{method} {headers}");
        assert_eq!(reply.header("content-range"), range, "{headers}");
        if matches!(status, 200 | 206) {
            let length = if method == "HEAD" { size } else { part.len() };
            assert_eq!(reply.header("content-length"), length.to_string(), "{headers}");
            assert!(reply.body == file[part], "{headers}");
        }
        if !matches!(status, 412 | 416) {
            assert_eq!(reply.header("etag"), etag, "{headers}");
        }
    }
    // A file that has been written to is another version.
    folder.file("movies/cam/door.mjpeg", &movies::movie(&images[..5])?)?;
    let changed = request(&address, &format!("GET {path}"), &format!("If-None-Match: {etag}\r\n"))?;
    assert_eq!(changed.status(), 200);
    assert!(changed.body == std::fs::read(folder.path().join("movies/cam/door.mjpeg"))?);
    server.is_well()
}

#[test]
fn a_frame_that_the_client_has_is_not_sent_again() -> Result<()> {
    let images = movies::images(FRAMES, "I420")?;
    let (folder, mut server, address) = start(&images, &[])?;
    let frame = |number: u32, headers: &str| {
        let path = format!("GET /mounts/cam/door.mjpeg/frames/{number}.jpg");
        request(&address, &path, headers)
    };
    let etag = frame(3, "")?.header("etag").to_owned();
    let known = format!("If-None-Match: {etag}\r\n");
    assert_eq!((frame(3, &known)?.status(), frame(3, &known)?.body.len()), (304, 0));
    assert_eq!(frame(4, &known)?.status(), 200);
    let wanted = format!("If-Match: {etag}\r\n");
    assert_eq!((frame(3, &wanted)?.status(), frame(4, &wanted)?.status()), (200, 412));
    assert_eq!(frame(10_000, &wanted)?.status(), 404);
    folder.file("movies/cam/door.mjpeg", &movies::movie(&images[4..])?)?;
    let changed = frame(3, &known)?;
    assert!(changed.status() == 200 && changed.body == images[7]);
    server.is_well()
}

/// Compares a value with a schema of OpenAPI 3.1, to the extent that this project uses it. Adds what differs.
fn check(value: &Value, schema: &Value, whole: &Value, at: &str, problems: &mut Vec<String>) {
    if let Some(path) = schema["$ref"].as_str() {
        let target = path.strip_prefix('#').and_then(|path| whole.pointer(path));
        return match target {
            Some(target) => check(value, target, whole, at, problems),
            None => problems.push(format!("{at}: no {path}")),
        };
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() || number.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let is_kind = |name: &Value| name == kind || name == "number" && kind == "integer";
    let fits = match &schema["type"] {
        Value::Null => true,
        Value::Array(kinds) => kinds.iter().any(is_kind),
        name => is_kind(name),
    };
    let number = |key: &str| schema[key].as_f64().zip(value.as_f64());
    let is_in = schema["enum"].as_array().is_none_or(|values| values.contains(value));
    let is_date = schema["format"] != "date-time"
        || value.as_str().is_some_and(|text| text.len() >= 20 && text.ends_with('Z'));
    let is_small = number("minimum").is_some_and(|(minimum, value)| value < minimum)
        || number("exclusiveMinimum").is_some_and(|(minimum, value)| value <= minimum);
    if !fits || !is_in || !is_date || is_small {
        problems.push(format!("{at}: {value} is not {schema}"));
    }
    if let Some(values) = value.as_array() {
        for (index, value) in values.iter().enumerate() {
            check(value, &schema["items"], whole, &format!("{at}[{index}]"), problems);
        }
    }
    let Some(fields) = value.as_object() else { return };
    let properties = &schema["properties"];
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            problems.push(format!("{at}: no {name}"));
        }
    }
    for (name, value) in fields {
        match properties.get(name) {
            Some(schema) => check(value, schema, whole, &format!("{at}.{name}"), problems),
            None if schema["additionalProperties"] == false => {
                problems.push(format!("{at}: {name} is not described"));
            }
            None => {}
        }
    }
}

#[test]
fn the_api_is_as_it_is_described() -> Result<()> {
    let images = movies::images(FRAMES, "I420")?;
    let (_folder, mut server, address) = start(&images, &[])?;
    let openapi = get(&address, "/api/openapi.json")?.json()?;
    let paths = openapi["paths"].as_object().context("no paths")?;
    for (path, methods) in paths {
        let asked = path.replace("{name}", "cam/door.mjpeg").replace("{number}", "3");
        if methods.get("get").is_none() || asked.contains('{') || path.contains("stream") {
            continue;
        }
        let mut client = HttpClient::connect(&address)?;
        client.ask(&format!("GET {asked}"), "")?;
        let head = client.head()?;
        let described = &methods["get"]["responses"][head.status().to_string()];
        assert!(described.is_object(), "{path}: {} is not described", head.status());
        let kind = head.header("content-type").split(';').next().unwrap_or_default();
        if head.status() == 200 {
            let kinds = described["content"].as_object().context("no content")?;
            assert!(kinds.contains_key(kind), "{path}: {kind} is not described");
        }
    }
    // What is asked for, and the schema of the answer.
    let rows = [
        ("/api/v1/server", "Server"),
        ("/api/v1/mounts", "MountList"),
        ("/api/v1/mounts?folder=cam&limit=1", "MountList"),
        ("/api/v1/mounts/cam/door.mjpeg", "Mount"),
        ("/api/v1/mounts/a%20b%3F.mjpeg", "Mount"),
        ("/api/v1/mounts/empty.mjpeg", "Mount"),
        ("/api/v1/mounts/x", "Error"),
        ("/api/v1/sessions", "SessionList"),
        ("/api/v1/sessions/9", "Error"),
        ("/api/v1/mounts?limit=x", "Error"),
    ];
    for (path, schema) in rows {
        let (value, mut problems) = (get(&address, path)?.json()?, Vec::new());
        let schema = &openapi["components"]["schemas"][schema];
        check(&value, schema, &openapi, path, &mut problems);
        assert!(problems.is_empty(), "{problems:#?}");
    }
    // The check itself finds what is wrong.
    let wrong = serde_json::json!({ "error": 1, "more": 2 });
    let mut problems = Vec::new();
    check(&wrong, &openapi["components"]["schemas"]["Error"], &openapi, "", &mut problems);
    assert_eq!(problems.len(), 2, "{problems:?}");
    server.is_well()
}

#[test]
fn the_api_lists_movies_and_folders() -> Result<()> {
    let images = movies::images(FRAMES, "I420")?;
    let (folder, mut server, address) = start(&images, &[])?;
    let names = |query: &str| -> Result<String> {
        let list = get(&address, &format!("/api/v1/mounts{query}"))?.json()?;
        let mut text = format!("{} of {}:", list["offset"], list["total"]);
        for mount in list["mounts"].as_array().context("no mounts")? {
            let _ = write!(text, " {}", mount["name"]);
        }
        Ok(text + " " + &list["folders"].to_string())
    };
    let rows = [
        (
            "",
            "0 of 4: \"a b?.mjpeg\" \"cam/door.mjpeg\" \"cam/north/gate.mjpeg\" \"empty.mjpeg\" [\"cam\"]",
        ),
        ("?folder=", "0 of 2: \"a b?.mjpeg\" \"empty.mjpeg\" [\"cam\"]"),
        ("?folder=cam", "0 of 1: \"cam/door.mjpeg\" [\"cam/north\"]"),
        ("?search=GATE", "0 of 1: \"cam/north/gate.mjpeg\" []"),
        ("?offset=1&limit=2", "1 of 4: \"cam/door.mjpeg\" \"cam/north/gate.mjpeg\" [\"cam\"]"),
        ("?offset=9", "9 of 4: [\"cam\"]"),
    ];
    for (query, want) in rows {
        assert_eq!(names(query)?, want, "{query}");
    }
    let port = server.address()?.rsplit(':').next().context("no port")?.to_owned();
    let size = std::fs::metadata(folder.path().join("movies/cam/door.mjpeg"))?.len();
    let want = serde_json::json!({
        "name": "cam/door.mjpeg", "title": "door.mjpeg", "folder": "cam", "kind": "on-demand",
        "framerate": 20.0, "frames": 10, "duration_seconds": 0.5, "width": 384, "height": 288,
        "size_bytes": size, "viewers": 0, "looping": false, "lab": true, "error": null,
        "urls": {
            "stream": "/mounts/cam/door.mjpeg/stream.mjpeg",
            "snapshot": "/mounts/cam/door.mjpeg/snapshot.jpg",
            "frames": "/mounts/cam/door.mjpeg/frames/{number}.jpg",
            "movie": "/mounts/cam/door.mjpeg/movie.mjpeg",
            "rtsp": format!("rtsp://127.0.0.1:{port}/cam/door.mjpeg"),
            "rtsps": null, "lab": "cam/door.mjpeg",
        },
    });
    assert_eq!(get(&address, "/api/v1/mounts/cam/door.mjpeg")?.json()?, want);
    let empty = get(&address, "/api/v1/mounts/empty.mjpeg")?.json()?;
    assert_eq!(empty["error"], "This is not a movie: it is empty.");
    // Files are open only while they are read.
    let files = server.files()?;
    for _ in 0..3 {
        names("")?;
    }
    assert!(server.files()? <= files + 2, "{} {files}", server.files()?);
    server.is_well()
}

#[test]
fn the_page_may_load_only_what_is_on_the_server() -> Result<()> {
    let images = movies::images(1, "I420")?;
    let (_folder, mut server, address) = start(&images, &[])?;
    for path in ["/", "/play/cam/door.mjpeg", "/play/x"] {
        let page = get(&address, path)?;
        assert_eq!((page.status(), page.header("content-type")), (200, "text/html; charset=utf-8"));
        let policy = page.header("content-security-policy");
        for rule in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"] {
            assert!(policy.contains(rule), "{policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
        let known = format!("If-None-Match: {}\r\n", page.header("etag"));
        assert_eq!(request(&address, &format!("GET {path}"), &known)?.status(), 304, "{path}");
    }
    server.is_well()
}

#[test]
fn http_is_off_unless_asked_for_and_local_unless_an_address_is_given() -> Result<()> {
    let images = movies::images(1, "I420")?;
    let (_folder, server) = mjpeg_rtsp_tests::programs::serve_as("movie.mjpeg", &images, &[])?;
    assert!(!server.log()?.contains("serving HTTP"));
    // The port for RTSP answers no browser.
    assert_eq!(get(server.address()?, "/")?.status(), 404);
    let port = crate::ports::free()?.to_string();
    let (_folder, server) =
        mjpeg_rtsp_tests::programs::serve_as("movie.mjpeg", &images, &["--http", &port])?;
    assert_eq!(server.http_address()?, format!("127.0.0.1:{port}"));
    let mut taken = mjpeg_rtsp_tests::programs::program("mjpeg-rtsp-server")?;
    let done = run(taken.args(["--listen", "127.0.0.1:0", "--http", &port]), LIMIT)?;
    let error = String::from_utf8_lossy(&done.stderr).into_owned();
    ensure!(done.status.code() == Some(1), "{error}");
    ensure!(error.contains(&format!("cannot listen on 127.0.0.1:{port}")), "{error}");
    ensure!(error.contains("choose another port with --http"), "{error}");
    let mut wrong = mjpeg_rtsp_tests::programs::program("mjpeg-rtsp-server")?;
    let done = run(wrong.args(["--http", "localhost"]), LIMIT)?;
    ensure!(done.status.code() == Some(2), "{:?}", done.status);
    let done = run(
        Command::new("curl").args(["-sf", &format!("http://{}/healthz", server.http_address()?)]),
        LIMIT,
    )?;
    assert_eq!(String::from_utf8_lossy(&done.stdout), "ok\n");
    Ok(())
}
