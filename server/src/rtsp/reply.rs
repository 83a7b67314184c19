// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes RTSP replies (RFC 2326 section 7).

use std::fmt::Write;

/// The value of the `Server` header.
const SERVER: &str = concat!("mjpeg-rtsp-server/", env!("CARGO_PKG_VERSION"));

/// The status codes that the server uses (RFC 2326 section 7.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as in the RFC")]
pub enum Status {
    Ok,
    BadRequest,
    Unauthorized,
    NotFound,
    MethodNotAllowed,
    RequestTimeOut,
    RequestEntityTooLarge,
    UnsupportedMediaType,
    ParameterNotUnderstood,
    NotEnoughBandwidth,
    SessionNotFound,
    MethodNotValidInThisState,
    InvalidRange,
    AggregateOperationNotAllowed,
    UnsupportedTransport,
    InternalServerError,
    NotImplemented,
    ServiceUnavailable,
    RtspVersionNotSupported,
    OptionNotSupported,
}

impl Status {
    /// All of them.
    #[cfg(test)]
    pub const ALL: [Self; 20] = [
        Self::Ok,
        Self::BadRequest,
        Self::Unauthorized,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::RequestTimeOut,
        Self::RequestEntityTooLarge,
        Self::UnsupportedMediaType,
        Self::ParameterNotUnderstood,
        Self::NotEnoughBandwidth,
        Self::SessionNotFound,
        Self::MethodNotValidInThisState,
        Self::InvalidRange,
        Self::AggregateOperationNotAllowed,
        Self::UnsupportedTransport,
        Self::InternalServerError,
        Self::NotImplemented,
        Self::ServiceUnavailable,
        Self::RtspVersionNotSupported,
        Self::OptionNotSupported,
    ];

    /// The number and the reason phrase.
    pub fn code_and_reason(self) -> (u16, &'static str) {
        match self {
            Self::Ok => (200, "OK"),
            Self::BadRequest => (400, "Bad Request"),
            Self::Unauthorized => (401, "Unauthorized"),
            Self::NotFound => (404, "Not Found"),
            Self::MethodNotAllowed => (405, "Method Not Allowed"),
            Self::RequestTimeOut => (408, "Request Time-out"),
            Self::RequestEntityTooLarge => (413, "Request Entity Too Large"),
            Self::UnsupportedMediaType => (415, "Unsupported Media Type"),
            Self::ParameterNotUnderstood => (451, "Parameter Not Understood"),
            Self::NotEnoughBandwidth => (453, "Not Enough Bandwidth"),
            Self::SessionNotFound => (454, "Session Not Found"),
            Self::MethodNotValidInThisState => (455, "Method Not Valid in This State"),
            Self::InvalidRange => (457, "Invalid Range"),
            Self::AggregateOperationNotAllowed => (459, "Aggregate Operation Not Allowed"),
            Self::UnsupportedTransport => (461, "Unsupported Transport"),
            Self::InternalServerError => (500, "Internal Server Error"),
            Self::NotImplemented => (501, "Not Implemented"),
            Self::ServiceUnavailable => (503, "Service Unavailable"),
            Self::RtspVersionNotSupported => (505, "RTSP Version Not Supported"),
            Self::OptionNotSupported => (551, "Option not supported"),
        }
    }

    /// The status for a code in a reply of gst-rtsp-server.
    pub fn from_code(code: u32) -> Self {
        match code {
            200 => Self::Ok,
            400 => Self::BadRequest,
            404 => Self::NotFound,
            405 => Self::MethodNotAllowed,
            454 => Self::SessionNotFound,
            455 => Self::MethodNotValidInThisState,
            457 => Self::InvalidRange,
            459 => Self::AggregateOperationNotAllowed,
            461 => Self::UnsupportedTransport,
            501 => Self::NotImplemented,
            503 => Self::ServiceUnavailable,
            _ => Self::InternalServerError,
        }
    }
}

/// A reply to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status line.
    pub status: Status,
    /// Names and values of the headers after `CSeq`, `Date` and `Server`, without line ends.
    pub headers: Vec<(&'static str, String)>,
    /// The body. If it is not empty, a `Content-Length` header is written.
    pub body: String,
}

impl Reply {
    /// A reply without a body. Only 405 has a header, `Allow`.
    pub fn new(status: Status) -> Self {
        let headers = match status {
            Status::MethodNotAllowed => vec![("Allow", super::request::Method::SERVED.to_owned())],
            _ => Vec::new(),
        };
        Self { status, headers, body: String::new() }
    }

    /// Adds a header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Writes the reply to the request with a sequence number. `date` is in the format of HTTP.
    pub fn to_bytes(&self, cseq: Option<u32>, date: &str) -> Vec<u8> {
        let (code, reason) = self.status.code_and_reason();
        let mut out = format!("RTSP/1.0 {code} {reason}\r\n");
        // Writing to a String does not fail.
        if let Some(cseq) = cseq {
            let _ = write!(out, "CSeq: {cseq}\r\n");
        }
        let _ = write!(out, "Date: {date}\r\nServer: {SERVER}\r\n");
        for (name, value) in &self.headers {
            let _ = write!(out, "{name}: {value}\r\n");
        }
        if !self.body.is_empty() {
            let _ = write!(out, "Content-Length: {}\r\n", self.body.len());
        }
        let _ = write!(out, "\r\n{}", self.body);
        out.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_have_status_line_headers_and_body() {
        let date = "Thu, 26 Nov 2026 01:10:00 GMT";
        let rows = [
            (
                Reply::new(Status::Ok).with("Session", "abc;timeout=60"),
                Some(3),
                "RTSP/1.0 200 OK\r\nCSeq: 3\r\nDate: Thu, 26 Nov 2026 01:10:00 GMT\r\n\
                 Server: mjpeg-rtsp-server/0.1.0\r\nSession: abc;timeout=60\r\n\r\n",
            ),
            (
                Reply { body: "v=0\r\n".to_owned(), ..Reply::new(Status::NotFound) },
                None,
                "RTSP/1.0 404 Not Found\r\nDate: Thu, 26 Nov 2026 01:10:00 GMT\r\n\
                 Server: mjpeg-rtsp-server/0.1.0\r\nContent-Length: 5\r\n\r\nv=0\r\n",
            ),
        ];
        for (reply, cseq, want) in rows {
            assert_eq!(String::from_utf8(reply.to_bytes(cseq, date)).unwrap(), want);
        }
    }
}
