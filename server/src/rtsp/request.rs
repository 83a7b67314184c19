// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads RTSP requests from the bytes of a connection, which are received in pieces of any length
//! (RFC 2326 sections 4 to 6 and 10.12). Limits their length, and searches no byte twice. Uses neither
//! sockets nor clocks.

use super::reply::Status;

/// The longest head of a request in bytes, its first line and headers, and the longest body, by default.
/// No method that is served needs a body.
pub const DEFAULT_LIMIT: usize = 64 * 1024;

/// An empty buffer with a larger capacity in bytes than this is freed.
const MAX_EMPTY_CAPACITY: usize = 4 * 1024;

/// The methods of RFC 2326 section 10.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Returns the methods that are served.
    Options,
    /// Returns the SDP of a movie.
    Describe,
    /// Agrees on a transport for the stream.
    Setup,
    /// Starts sending.
    Play,
    /// Stops sending, and keeps the session.
    Pause,
    /// Ends the session.
    Teardown,
    /// Keeps the session alive.
    GetParameter,
    /// Keeps the session alive, for some clients.
    SetParameter,
    /// A method that is known but not served: `ANNOUNCE`, `RECORD`, `REDIRECT`.
    NotAllowed,
    /// A method that is not in the RFC.
    Unknown,
}

impl Method {
    /// The methods that are served, for `Public` and `Allow`.
    pub const SERVED: &str =
        "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, TEARDOWN, GET_PARAMETER, SET_PARAMETER";

    /// The method with a name.
    pub fn from_name(name: &[u8]) -> Self {
        match name {
            b"OPTIONS" => Self::Options,
            b"DESCRIBE" => Self::Describe,
            b"SETUP" => Self::Setup,
            b"PLAY" => Self::Play,
            b"PAUSE" => Self::Pause,
            b"TEARDOWN" => Self::Teardown,
            b"GET_PARAMETER" => Self::GetParameter,
            b"SET_PARAMETER" => Self::SetParameter,
            b"ANNOUNCE" | b"RECORD" | b"REDIRECT" => Self::NotAllowed,
            _ => Self::Unknown,
        }
    }

    /// The name, for the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Options => "OPTIONS",
            Self::Describe => "DESCRIBE",
            Self::Setup => "SETUP",
            Self::Play => "PLAY",
            Self::Pause => "PAUSE",
            Self::Teardown => "TEARDOWN",
            Self::GetParameter => "GET_PARAMETER",
            Self::SetParameter => "SET_PARAMETER",
            Self::NotAllowed => "not allowed",
            Self::Unknown => "unknown",
        }
    }
}

/// A request whose headers are UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The URI, not decoded.
    pub uri: Vec<u8>,
    /// The sequence number.
    pub cseq: u32,
    /// Names and values of the headers, in their order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// The value of the first header with a name, in upper or lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The session identifier, without parameters (RFC 2326 section 12.37).
    pub fn session(&self) -> Option<&str> {
        self.header("Session").map(|it| it.split(';').next().unwrap_or_default().trim())
    }
}

/// The value of the first header with a name, in upper or lower case.
fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let mut matching = headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
    matching.next().map(|(_, value)| value.as_str())
}

/// What a client sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// A request without errors.
    Request(Request),
    /// A request with an error: the status to answer, and the sequence number if it could be read.
    Faulty(Status, Option<u32>),
    /// An interleaved packet (RFC 2326 section 10.12): the channel, and the bytes after its header.
    Packet(u8, Vec<u8>),
    /// A reply. It is ignored, since the server sends no requests.
    Reply,
}

/// An error after which the start of the next request cannot be found. It must be answered with this
/// status, and the connection closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable(pub Status);

/// The head of a request whose body is not complete.
#[derive(Debug)]
struct Head {
    incoming: Incoming,
    body: usize,
}

/// Splits the bytes of a connection into requests and packets.
#[derive(Debug)]
pub struct RequestReader {
    /// The longest head and the longest body in bytes.
    limit: usize,
    /// Bytes that have been received and belong to no complete request.
    buffer: Vec<u8>,
    /// The number of bytes in `buffer` that do not contain the end of the head.
    searched: usize,
    head: Option<Head>,
    /// The bytes of the request that was taken last; `None` if they are not observed.
    text: Option<Vec<u8>>,
}

impl Default for RequestReader {
    fn default() -> Self {
        Self::new(DEFAULT_LIMIT)
    }
}

impl RequestReader {
    /// A reader of requests whose heads and bodies have at most `limit` bytes each.
    pub fn new(limit: usize) -> Self {
        Self { limit, buffer: Vec::new(), searched: 0, head: None, text: None }
    }

    /// Keeps the bytes of each request until [`Self::take_text`] is called.
    #[must_use]
    pub fn keeping_texts(mut self) -> Self {
        self.text = Some(Vec::new());
        self
    }

    /// The bytes of the request that was taken last, or those that cannot be read.
    pub fn take_text(&mut self) -> Vec<u8> {
        let text = self.text.as_mut().map(std::mem::take).unwrap_or_default();
        if text.is_empty() { self.buffer.clone() } else { text }
    }

    /// Appends bytes that have been received.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether a part of a request or packet has been received.
    pub fn has_partial_request(&self) -> bool {
        self.head.is_some() || !self.buffer.is_empty()
    }

    /// Takes the next request or packet; `None` if it is not complete.
    ///
    /// # Errors
    /// If the start of the next request cannot be found.
    pub fn next(&mut self) -> Result<Option<Incoming>, Unreadable> {
        let next = self.take_next();
        if self.buffer.is_empty() && self.buffer.capacity() > MAX_EMPTY_CAPACITY {
            self.buffer = Vec::new();
        }
        next
    }

    fn take_next(&mut self) -> Result<Option<Incoming>, Unreadable> {
        if self.head.is_none() {
            // RFC 2068 section 4.1: empty lines before a request are ignored.
            let empty = self.buffer.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            self.buffer.drain(..empty);
            self.searched = self.searched.saturating_sub(empty);
            if self.buffer.first() == Some(&b'$') {
                return Ok(self.take_packet());
            }
            let Some(end) = self.find_end_of_head() else {
                let fits = self.buffer.len() <= self.limit;
                return if fits { Ok(None) } else { Err(Unreadable(Status::BadRequest)) };
            };
            if end > self.limit {
                return Err(Unreadable(Status::BadRequest));
            }
            self.searched = 0;
            self.head = Some(read_head(self.buffer.get(..end).unwrap_or_default(), self.limit)?);
            let head = self.buffer.drain(..end);
            if let Some(text) = &mut self.text {
                *text = head.collect();
            }
        }
        let complete = self.head.as_ref().is_some_and(|head| head.body <= self.buffer.len());
        let Some(head) = self.head.take_if(|_| complete) else { return Ok(None) };
        let body: Vec<u8> = self.buffer.drain(..head.body).collect();
        if let Some(text) = &mut self.text {
            text.extend_from_slice(&body);
        }
        Ok(Some(match head.incoming {
            Incoming::Request(request) => Incoming::Request(Request { body, ..request }),
            other => other,
        }))
    }

    /// Takes an interleaved packet, if it is complete.
    fn take_packet(&mut self) -> Option<Incoming> {
        let [b'$', channel, high, low, ..] = *self.buffer.as_slice() else { return None };
        let length = 4 + usize::from(u16::from_be_bytes([high, low]));
        (self.buffer.len() >= length).then(|| {
            let packet = self.buffer.drain(..length).skip(4).collect();
            Incoming::Packet(channel, packet)
        })
    }

    /// The length of the head with the empty line at its end, if that has been received.
    fn find_end_of_head(&mut self) -> Option<usize> {
        // Up to three bytes of the empty line may have been searched before.
        let from = self.searched.saturating_sub(3);
        let bytes = self.buffer.get(from..).unwrap_or_default();
        let end = memchr::memchr_iter(b'\n', bytes).find_map(|at| {
            let rest = bytes.get(at + 1..).unwrap_or_default();
            match rest {
                [b'\n', ..] => Some(at + 2),
                [b'\r', b'\n', ..] => Some(at + 3),
                _ => None,
            }
        });
        self.searched = self.buffer.len();
        end.map(|end| from + end)
    }
}

/// Reads the first line and the headers. A body has at most `max_body` bytes.
fn read_head(head: &[u8], max_body: usize) -> Result<Head, Unreadable> {
    let mut lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    let first = lines.next().unwrap_or_default();
    let mut headers = Vec::new();
    let mut faulty = None;
    for line in lines.filter(|line| !line.is_empty()) {
        match read_header(line) {
            Ok(header) => headers.push(header),
            Err(status) => faulty = Some(status),
        }
    }
    // The length of the body is needed even if another header cannot be read.
    let mut body = 0;
    for (_, value) in headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("Content-Length"))
    {
        body = value.parse().map_err(|_| Unreadable(Status::BadRequest))?;
    }
    let cseq = header(&headers, "CSeq").and_then(|value| value.parse().ok());
    if body > max_body {
        return Err(Unreadable(Status::RequestEntityTooLarge));
    }
    if first.starts_with(b"RTSP/") {
        return Ok(Head { incoming: Incoming::Reply, body });
    }
    let read = faulty.map_or_else(|| read_request(first, headers), Err);
    let incoming = match read {
        Ok(request) => Incoming::Request(request),
        Err(status) => Incoming::Faulty(status, cseq),
    };
    Ok(Head { incoming, body })
}

fn read_header(line: &[u8]) -> Result<(String, String), Status> {
    let line = std::str::from_utf8(line).map_err(|_| Status::BadRequest)?;
    let (name, value) = line.split_once(':').ok_or(Status::BadRequest)?;
    // No header that the server reads or logs contains control characters.
    if line.chars().any(|c| c.is_control() && c != '\t') {
        return Err(Status::BadRequest);
    }
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn read_request(first: &[u8], headers: Vec<(String, String)>) -> Result<Request, Status> {
    let words: Vec<&[u8]> =
        first.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect();
    let [method, uri, version] = *words.as_slice() else { return Err(Status::BadRequest) };
    let cseq = header(&headers, "CSeq").ok_or(Status::BadRequest)?;
    let cseq = cseq.parse().map_err(|_| Status::BadRequest)?;
    match version.strip_prefix(b"RTSP/") {
        Some(b"1.0") => {}
        Some(_) => return Err(Status::RtspVersionNotSupported),
        None => return Err(Status::BadRequest),
    }
    let method = Method::from_name(method);
    match method {
        Method::Unknown => Err(Status::NotImplemented),
        Method::NotAllowed => Err(Status::MethodNotAllowed),
        _ => Ok(Request { method, uri: uri.to_vec(), cseq, headers, body: Vec::new() }),
    }
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;

    type Next = Result<Incoming, Unreadable>;

    fn read_all(bytes: &[u8]) -> Vec<Next> {
        let mut reader = RequestReader::default();
        reader.push(bytes);
        read_rest(&mut reader)
    }

    fn read_rest(reader: &mut RequestReader) -> Vec<Next> {
        let mut out = Vec::new();
        loop {
            match reader.next() {
                Ok(None) => return out,
                Ok(Some(incoming)) => out.push(Ok(incoming)),
                Err(error) => {
                    out.push(Err(error));
                    return out;
                }
            }
        }
    }

    fn request(method: Method, uri: &str, headers: &[(&str, &str)], body: &str) -> Incoming {
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let cseq = header(&headers, "CSeq").unwrap().parse().unwrap();
        let (uri, body) = (uri.as_bytes().to_vec(), body.as_bytes().to_vec());
        Incoming::Request(Request { method, uri, cseq, headers, body })
    }

    #[test]
    fn requests_and_packets_are_read_from_pieces() {
        let options = || request(Method::Options, "*", &[("CSeq", "1")], "");
        let rows: Vec<(&str, &[u8], Vec<Next>)> = vec![
            ("nothing", b"", vec![]),
            ("a line", b"OPTIONS * RTSP/1.0\r\n", vec![]),
            ("a request", b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n", vec![Ok(options())]),
            ("LF alone", b"OPTIONS * RTSP/1.0\nCSeq: 1\n\n", vec![Ok(options())]),
            (
                "empty lines and spaces",
                b"\r\n\n\r\nOPTIONS  *\tRTSP/1.0 \r\nCSeq:1\r\n\r\n\r\n",
                vec![Ok(options())],
            ),
            (
                "pipelined, with a body and packets",
                b"GET_PARAMETER rtsp://h/m RTSP/1.0\r\ncseq: 1\r\nContent-Length: 3\r\n\r\nabc\
                  $\x01\x00\x02xyOPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n$\x00\x00\x00$\x00\x00\x05",
                vec![
                    Ok(request(
                        Method::GetParameter,
                        "rtsp://h/m",
                        &[("cseq", "1"), ("Content-Length", "3")],
                        "abc",
                    )),
                    Ok(Incoming::Packet(1, b"xy".to_vec())),
                    Ok(options()),
                    Ok(Incoming::Packet(0, Vec::new())),
                ],
            ),
            (
                "a reply",
                b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 1\r\n\r\nx",
                vec![Ok(Incoming::Reply)],
            ),
        ];
        for (name, bytes, want) in rows {
            assert_eq!(read_all(bytes), want, "{name}");
            let mut reader = RequestReader::default();
            let mut got = Vec::new();
            for byte in bytes {
                reader.push(&[*byte]);
                got.extend(read_rest(&mut reader));
            }
            assert_eq!(got, want, "{name}, byte by byte");
        }
    }

    #[test]
    fn a_faulty_request_has_the_status_to_answer() {
        let rows: [(&[u8], Status, Option<u32>); 14] = [
            (b"FOO rtsp://h/m RTSP/1.0\r\nCSeq: 7\r\n\r\n", Status::NotImplemented, Some(7)),
            (b"options * RTSP/1.0\r\nCSeq: 7\r\n\r\n", Status::NotImplemented, Some(7)),
            (b"RECORD rtsp://h/m RTSP/1.0\r\nCSeq: 7\r\n\r\n", Status::MethodNotAllowed, Some(7)),
            (b"ANNOUNCE rtsp://h/m RTSP/1.0\r\nCSeq: 7\r\n\r\n", Status::MethodNotAllowed, Some(7)),
            (b"OPTIONS * RTSP/1.1\r\nCSeq: 7\r\n\r\n", Status::RtspVersionNotSupported, Some(7)),
            (b"OPTIONS * RTSP/2.0\r\nCSeq: 7\r\n\r\n", Status::RtspVersionNotSupported, Some(7)),
            (b"OPTIONS * HTTP/1.0\r\nCSeq: 7\r\n\r\n", Status::BadRequest, Some(7)),
            (b"OPTIONS *\r\nCSeq: 7\r\n\r\n", Status::BadRequest, Some(7)),
            (b"OPTIONS a b RTSP/1.0\r\nCSeq: 7\r\n\r\n", Status::BadRequest, Some(7)),
            (b"OPTIONS * RTSP/1.0\r\n\r\n", Status::BadRequest, None),
            (b"OPTIONS * RTSP/1.0\r\nCSeq: one\r\n\r\n", Status::BadRequest, None),
            (b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nx\r\n\r\n", Status::BadRequest, Some(1)),
            (b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nX: \xff\r\n\r\n", Status::BadRequest, Some(1)),
            (b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nX: \x1b[2J\r\n\r\n", Status::BadRequest, Some(1)),
        ];
        for (bytes, status, cseq) in rows {
            let printable = bytes.escape_ascii();
            assert_eq!(read_all(bytes), [Ok(Incoming::Faulty(status, cseq))], "{printable}");
        }
    }

    #[test]
    fn the_body_of_a_request_with_an_unreadable_header_is_skipped() {
        let bytes = b"GET_PARAMETER rtsp://h/m RTSP/1.0\r\nCSeq: 1\r\nX: \xff\r\n\
                      Content-Length: 31\r\n\r\nOPTIONS * RTSP/1.0\r\nCSeq: 9\r\n\r\n";
        assert_eq!(read_all(bytes), [Ok(Incoming::Faulty(Status::BadRequest, Some(1)))]);
    }

    #[test]
    fn a_request_without_an_end_is_unreadable() {
        let rows: [(&[u8], Status); 3] = [
            (
                b"OPTIONS * RTSP/1.0\r\nContent-Length: 4000000000\r\n\r\n",
                Status::RequestEntityTooLarge,
            ),
            (b"OPTIONS * RTSP/1.0\r\nContent-Length: -1\r\n\r\n", Status::BadRequest),
            (
                b"OPTIONS * RTSP/1.0\r\nContent-Length: 99999999999999999999\r\n\r\n",
                Status::BadRequest,
            ),
        ];
        for (bytes, status) in rows {
            assert_eq!(read_all(bytes), [Err(Unreadable(status))], "{}", bytes.escape_ascii());
        }
        for line in ["X", "X: y\r\n"] {
            let mut reader = RequestReader::default();
            reader.push(b"OPTIONS * RTSP/1.0\r\n");
            let mut pushed = 0;
            while reader.next() == Ok(None) {
                reader.push(line.as_bytes());
                pushed += line.len();
                assert!(pushed <= DEFAULT_LIMIT, "no end after {pushed} bytes of {line:?}");
            }
            assert_eq!(reader.next(), Err(Unreadable(Status::BadRequest)));
        }
    }

    #[test]
    fn an_empty_reader_frees_a_large_buffer() {
        let mut reader = RequestReader::default();
        reader.push(
            format!("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nX: {}\r\n\r\n", "x".repeat(60_000))
                .as_bytes(),
        );
        assert!(matches!(reader.next(), Ok(Some(Incoming::Request(_)))));
        assert!(!reader.has_partial_request() && reader.buffer.capacity() <= MAX_EMPTY_CAPACITY);
    }
}
