// SPDX-License-Identifier: MIT OR Apache-2.0
//! RTSP requests as they come out of a connection (RFC 2326 sections 4 to 6 and 10.12): cut out of
//! any pieces, within limits, without a byte looked at twice. Nothing here knows sockets or clocks.

use super::reply::Status;

/// The longest first line and headers of a request, in bytes.
pub const MAX_HEAD: usize = 64 * 1024;

/// The longest body of a request, in bytes; no method that is served needs one.
pub const MAX_BODY: usize = 64 * 1024;

/// A buffer that is larger than this is given back once it is empty.
const KEPT_CAPACITY: usize = 4 * 1024;

/// The methods of RFC 2326 section 10.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// What is served.
    Options,
    /// The movie's SDP.
    Describe,
    /// A transport for the stream.
    Setup,
    /// Start sending.
    Play,
    /// Stop sending, stay set up.
    Pause,
    /// End the session.
    Teardown,
    /// Keep the session alive.
    GetParameter,
    /// The same, in some clients.
    SetParameter,
    /// Known, and not allowed here: `ANNOUNCE`, `RECORD`, `REDIRECT`.
    NotAllowed,
    /// None that is known.
    Unknown,
}

impl Method {
    /// The methods that are served, for `Public` and `Allow`.
    pub const SERVED: &str =
        "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, TEARDOWN, GET_PARAMETER, SET_PARAMETER";

    /// By its word.
    pub fn of(word: &[u8]) -> Self {
        match word {
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

    /// Its word, for the log.
    pub fn word(self) -> &'static str {
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

/// A request, its header values checked to be UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What is asked for.
    pub method: Method,
    /// The URI, as it came: bytes.
    pub uri: Vec<u8>,
    /// The sequence number.
    pub cseq: u32,
    /// Names and values, in order.
    pub headers: Vec<(String, String)>,
    /// What follows the headers.
    pub body: Vec<u8>,
}

impl Request {
    /// The first header of a name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The session that it names, without parameters (RFC 2326 section 12.37).
    pub fn session(&self) -> Option<&str> {
        self.header("Session").map(|it| it.split(';').next().unwrap_or_default().trim())
    }
}

/// The first header of a name, in any case.
fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let mut found = headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
    found.next().map(|(_, value)| value.as_str())
}

/// What comes out of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// A request that can be answered.
    Request(Request),
    /// A request that cannot be: its status, and its sequence number if there is one.
    Faulty(Status, Option<u32>),
    /// An interleaved packet (RFC 2326 section 10.12) on this channel.
    Packet(u8),
    /// A client's reply; we ask nothing.
    Reply,
}

/// What comes next cannot be found any more: answered with this status, and closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable(pub Status);

/// A request's head, while its body has not come.
#[derive(Debug)]
struct Head {
    incoming: Incoming,
    body: usize,
}

/// Cuts a connection's bytes into requests and packets.
#[derive(Debug, Default)]
pub struct Reader {
    held: Vec<u8>,
    /// Bytes of `held` in which no end of the head was found.
    searched: usize,
    head: Option<Head>,
}

impl Reader {
    /// Takes in what came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// Whether a request or packet has begun, which has to be complete within a time.
    pub fn has_begun(&self) -> bool {
        self.head.is_some() || !self.held.is_empty()
    }

    /// The next of what came; `None` until more comes.
    ///
    /// # Errors
    /// If there is no telling where the next one begins; the connection is of no use any more.
    pub fn next(&mut self) -> Result<Option<Incoming>, Unreadable> {
        let found = self.find();
        if self.held.is_empty() && self.held.capacity() > KEPT_CAPACITY {
            self.held = Vec::new();
        }
        found
    }

    fn find(&mut self) -> Result<Option<Incoming>, Unreadable> {
        if self.head.is_none() {
            // RFC 2068 section 4.1: empty lines before a request are ignored.
            let empty = self.held.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            self.held.drain(..empty);
            self.searched = self.searched.saturating_sub(empty);
            if self.held.first() == Some(&b'$') {
                return Ok(self.packet());
            }
            let Some(end) = self.end_of_head() else {
                let fits = self.held.len() <= MAX_HEAD;
                return if fits { Ok(None) } else { Err(Unreadable(Status::BadRequest)) };
            };
            if end > MAX_HEAD {
                return Err(Unreadable(Status::BadRequest));
            }
            self.searched = 0;
            self.head = Some(read_head(self.held.get(..end).unwrap_or_default())?);
            self.held.drain(..end);
        }
        let whole = self.head.as_ref().is_some_and(|head| head.body <= self.held.len());
        let Some(head) = self.head.take_if(|_| whole) else { return Ok(None) };
        let body = self.held.drain(..head.body).collect();
        Ok(Some(match head.incoming {
            Incoming::Request(request) => Incoming::Request(Request { body, ..request }),
            other => other,
        }))
    }

    /// An interleaved packet, once it is whole. Its bytes are not looked at: what a receiver
    /// reports keeps its session alive.
    fn packet(&mut self) -> Option<Incoming> {
        let [b'$', channel, high, low, ..] = *self.held.as_slice() else { return None };
        let length = 4 + usize::from(u16::from_be_bytes([high, low]));
        (self.held.len() >= length).then(|| {
            self.held.drain(..length);
            Incoming::Packet(channel)
        })
    }

    /// Bytes up to the empty line, with it.
    fn end_of_head(&mut self) -> Option<usize> {
        // An empty line has up to three bytes that may have been searched.
        let from = self.searched.saturating_sub(3);
        let bytes = self.held.get(from..).unwrap_or_default();
        let end = memchr::memchr_iter(b'\n', bytes).find_map(|at| {
            let rest = bytes.get(at + 1..).unwrap_or_default();
            match rest {
                [b'\n', ..] => Some(at + 2),
                [b'\r', b'\n', ..] => Some(at + 3),
                _ => None,
            }
        });
        self.searched = self.held.len();
        end.map(|end| from + end)
    }
}

/// Reads the first line and the headers.
fn read_head(head: &[u8]) -> Result<Head, Unreadable> {
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
    // A line that cannot be read must not hide where the body ends.
    let mut body = 0;
    for (_, value) in headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("Content-Length"))
    {
        body = value.parse().map_err(|_| Unreadable(Status::BadRequest))?;
    }
    let cseq = header(&headers, "CSeq").and_then(|value| value.parse().ok());
    if body > MAX_BODY {
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
    // Control characters are in no value that is looked at or logged.
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
    let method = Method::of(method);
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

    type Found = Result<Incoming, Unreadable>;

    fn all(bytes: &[u8]) -> Vec<Found> {
        let mut reader = Reader::default();
        reader.push(bytes);
        rest(&mut reader)
    }

    fn rest(reader: &mut Reader) -> Vec<Found> {
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
    fn requests_and_packets_are_cut_out() {
        let options = || request(Method::Options, "*", &[("CSeq", "1")], "");
        let rows: Vec<(&str, &[u8], Vec<Found>)> = vec![
            ("nothing", b"", vec![]),
            ("a line", b"OPTIONS * RTSP/1.0\r\n", vec![]),
            ("a request", b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n", vec![Ok(options())]),
            ("LF alone", b"OPTIONS * RTSP/1.0\nCSeq: 1\n\n", vec![Ok(options())]),
            (
                "empty lines and blanks",
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
                    Ok(Incoming::Packet(1)),
                    Ok(options()),
                    Ok(Incoming::Packet(0)),
                ],
            ),
            (
                "a reply",
                b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 1\r\n\r\nx",
                vec![Ok(Incoming::Reply)],
            ),
        ];
        for (name, bytes, want) in rows {
            assert_eq!(all(bytes), want, "{name}");
            // In pieces of one byte.
            let mut reader = Reader::default();
            let mut got = Vec::new();
            for byte in bytes {
                reader.push(&[*byte]);
                got.extend(rest(&mut reader));
            }
            assert_eq!(got, want, "{name}, byte by byte");
        }
    }

    #[test]
    fn what_is_wrong_with_a_request_is_its_status() {
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
            let shown = bytes.escape_ascii();
            assert_eq!(all(bytes), [Ok(Incoming::Faulty(status, cseq))], "{shown}");
        }
    }

    #[test]
    fn a_header_that_cannot_be_read_hides_no_body() {
        let bytes = b"GET_PARAMETER rtsp://h/m RTSP/1.0\r\nCSeq: 1\r\nX: \xff\r\n\
                      Content-Length: 31\r\n\r\nOPTIONS * RTSP/1.0\r\nCSeq: 9\r\n\r\n";
        assert_eq!(all(bytes), [Ok(Incoming::Faulty(Status::BadRequest, Some(1)))]);
    }

    #[test]
    fn what_has_no_end_is_given_up() {
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
            assert_eq!(all(bytes), [Err(Unreadable(status))], "{}", bytes.escape_ascii());
        }
        for line in ["X", "X: y\r\n"] {
            let mut reader = Reader::default();
            reader.push(b"OPTIONS * RTSP/1.0\r\n");
            let mut pushed = 0;
            while reader.next() == Ok(None) {
                reader.push(line.as_bytes());
                pushed += line.len();
                assert!(pushed <= MAX_HEAD, "no end after {pushed} bytes of {line:?}");
            }
            assert_eq!(reader.next(), Err(Unreadable(Status::BadRequest)));
        }
    }

    #[test]
    fn an_empty_reader_holds_little() {
        let mut reader = Reader::default();
        reader.push(
            format!("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nX: {}\r\n\r\n", "x".repeat(60_000))
                .as_bytes(),
        );
        assert!(matches!(reader.next(), Ok(Some(Incoming::Request(_)))));
        assert!(!reader.has_begun() && reader.held.capacity() <= KEPT_CAPACITY);
    }
}
