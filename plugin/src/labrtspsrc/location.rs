// SPDX-License-Identifier: MIT OR Apache-2.0
//! `labrtsp://HOST:PORT/FILE?rtp-port=N&dialect=NAME`: where a movie is, and how to ask for it.

use crate::lab::RequestForm;
use gst::glib;
use std::fmt;

/// The scheme of our URIs.
pub const SCHEME: &str = "labrtsp";

/// The port where none is stated: our server's.
const PORT: u16 = 8554;

/// Ports below are not a student's, and servers refuse them.
const LEAST_RTP_PORT: u16 = 1024;

/// In which form requests are written.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstLabRtspSrcDialect")]
#[repr(i32)]
pub enum Dialect {
    /// Each form is tried until RTP arrives.
    #[default]
    #[enum_value(name = "Try each form until RTP arrives", nick = "auto")]
    Auto,
    /// [`RequestForm::Java`]
    #[enum_value(name = "Three CRLF lines, as Java clients send", nick = "j")]
    J,
    /// [`RequestForm::Textbook`]
    #[enum_value(name = "The textbook's LF lines", nick = "a")]
    Textbook,
    /// [`RequestForm::BlankLine`]
    #[enum_value(name = "CRLF lines and a blank line", nick = "c")]
    BlankLine,
    /// [`RequestForm::Seed`]
    #[enum_value(name = "The course report's lines without names", nick = "s")]
    Seed,
    /// [`RequestForm::SeedTwice`]
    #[enum_value(name = "The course report's lines, the number twice", nick = "s1")]
    SeedTwice,
    /// [`RequestForm::SeedBlanks`]
    #[enum_value(name = "The course report's lines, blanks around the number", nick = "s2")]
    SeedBlanks,
    /// [`RequestForm::Url`]
    #[enum_value(name = "CRLF lines with a URL", nick = "u")]
    Url,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Auto,
        Self::J,
        Self::Textbook,
        Self::BlankLine,
        Self::Seed,
        Self::SeedTwice,
        Self::SeedBlanks,
        Self::Url,
    ];

    /// The form, if one is fixed.
    pub fn form(self) -> Option<RequestForm> {
        match self {
            Self::Auto => None,
            Self::J => Some(RequestForm::Java),
            Self::Textbook => Some(RequestForm::Textbook),
            Self::BlankLine => Some(RequestForm::BlankLine),
            Self::Seed => Some(RequestForm::Seed),
            Self::SeedTwice => Some(RequestForm::SeedTwice),
            Self::SeedBlanks => Some(RequestForm::SeedBlanks),
            Self::Url => Some(RequestForm::Url),
        }
    }

    /// Short name, as in the URI.
    pub fn name(self) -> &'static str {
        self.form().map_or("auto", RequestForm::name)
    }

    /// The dialect of a short name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == name)
    }
}

/// A movie at a lab server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// Name or address of the server, without brackets.
    pub host: String,
    /// TCP port of the control connection.
    pub port: u16,
    /// Name of the movie at the server.
    pub file: String,
    /// UDP port to receive RTP on, if the URI contains one; 0 is a free one.
    pub rtp_port: Option<u16>,
    /// Form of the requests, if the URI contains it.
    pub dialect: Option<Dialect>,
}

/// Why a URI does not name a movie at a lab server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// It is not a URI, or has another scheme.
    #[error("the URI is not of the form labrtsp://HOST:PORT/FILE?rtp-port=N&dialect=NAME")]
    Form,
    /// It has no host.
    #[error("the URI has no host: labrtsp://HOST:PORT/FILE")]
    Host,
    /// It has no path.
    #[error("the URI names no movie: labrtsp://HOST:PORT/FILE")]
    File,
    /// In a request, a blank ends a name and a control character ends a line.
    #[error("a lab request cannot contain a name with blanks or control characters: {0:?}")]
    Name(String),
    /// The RTP port is not a number, or servers refuse it.
    #[error("rtp-port={0} is neither 0 (a free one) nor from 1024 to 65535")]
    RtpPort(String),
    /// The dialect is unknown.
    #[error("unknown dialect {0:?}: auto, j, a, c, s, s1, s2 and u are known")]
    Dialect(String),
}

impl Location {
    /// A movie, from parts that are not percent-encoded.
    ///
    /// # Errors
    /// See [`LocationError`].
    pub fn new(host: &str, port: u16, file: &str) -> Result<Self, LocationError> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(LocationError::Host);
        }
        if file.is_empty() {
            return Err(LocationError::File);
        }
        if file.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(LocationError::Name(file.to_owned()));
        }
        let (host, file) = (host.to_owned(), file.to_owned());
        Ok(Self { host, port, file, rtp_port: None, dialect: None })
    }

    /// The movie as servers that are asked by URL expect it.
    pub(super) fn rtsp_url(&self) -> String {
        let colon = self.host.contains(':');
        let (open, close) = if colon { ("[", "]") } else { ("", "") };
        format!("rtsp://{open}{}{close}:{}/{}", self.host, self.port, self.file)
    }

    /// Reads a URI.
    ///
    /// # Errors
    /// See [`LocationError`].
    pub fn parse(uri: &str) -> Result<Self, LocationError> {
        let parsed =
            glib::Uri::parse(uri, glib::UriFlags::NONE).map_err(|_| LocationError::Form)?;
        if parsed.scheme() != SCHEME {
            return Err(LocationError::Form);
        }
        let port = u16::try_from(parsed.port()).unwrap_or(PORT);
        let path = parsed.path();
        let file = path.strip_prefix('/').unwrap_or(&path);
        let mut location = Self::new(parsed.host().as_deref().unwrap_or_default(), port, file)?;
        let query = parsed.query();
        for pair in query.as_deref().unwrap_or_default().split('&').filter(|it| !it.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "rtp-port" => {
                    let wrong = || LocationError::RtpPort(value.to_owned());
                    location.rtp_port = Some(rtp_port(value).ok_or_else(wrong)?);
                }
                "dialect" => {
                    let wrong = || LocationError::Dialect(value.to_owned());
                    location.dialect = Some(Dialect::of(value).ok_or_else(wrong)?);
                }
                // A parameter for another program or a later version.
                _ => {}
            }
        }
        Ok(location)
    }
}

/// Parses 0 or a port that servers send to.
pub fn rtp_port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port == 0 || *port >= LEAST_RTP_PORT)
}

/// Writes the URI.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = glib::Uri::escape_string(&self.file, Some("/"), true);
        let colon = self.host.contains(':');
        let (open, close) = if colon { ("[", "]") } else { ("", "") };
        write!(f, "{SCHEME}://{open}{}{close}:{}/{path}", self.host, self.port)?;
        let port = self.rtp_port.map(|port| format!("rtp-port={port}"));
        let dialect = self.dialect.map(|dialect| format!("dialect={}", dialect.name()));
        let query: Vec<String> = port.into_iter().chain(dialect).collect();
        if query.is_empty() { Ok(()) } else { write!(f, "?{}", query.join("&")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_are_read_and_written() {
        let location = |host: &str, port, file: &str| Location {
            host: host.into(),
            port,
            file: file.into(),
            rtp_port: None,
            dialect: None,
        };
        let rows = [
            ("labrtsp://127.0.0.1:1025/movie.Mjpeg", location("127.0.0.1", 1025, "movie.Mjpeg")),
            ("labrtsp://[::1]:1025/a/b.Mjpeg", location("::1", 1025, "a/b.Mjpeg")),
            (
                "labrtsp://lab:1025/m%C3%BC%3F.Mjpeg?rtp-port=25000&dialect=s",
                Location {
                    rtp_port: Some(25_000),
                    dialect: Some(Dialect::Seed),
                    ..location("lab", 1025, "mü?.Mjpeg")
                },
            ),
        ];
        for (uri, want) in rows {
            assert_eq!(Location::parse(uri), Ok(want.clone()), "{uri}");
            assert_eq!(Location::parse(&want.to_string()), Ok(want), "{uri}, written");
        }
        assert_eq!(Location::parse("labrtsp://h/m").map(|it| it.port), Ok(PORT));
    }

    #[test]
    fn what_is_no_uri_says_why() {
        let rows = [
            ("movie.Mjpeg", LocationError::Form),
            ("rtsp://h/m", LocationError::Form),
            ("labrtsp://h:99999/m", LocationError::Form),
            ("labrtsp:///m", LocationError::Host),
            ("labrtsp://h:1025", LocationError::File),
            ("labrtsp://h:1025/", LocationError::File),
            ("labrtsp://h/a%20b", LocationError::Name("a b".into())),
            ("labrtsp://h/a%0Ab", LocationError::Name("a\nb".into())),
            ("labrtsp://h/m?rtp-port=80", LocationError::RtpPort("80".into())),
            ("labrtsp://h/m?rtp-port=65536", LocationError::RtpPort("65536".into())),
            ("labrtsp://h/m?rtp-port=x", LocationError::RtpPort("x".into())),
            ("labrtsp://h/m?dialect=x", LocationError::Dialect("x".into())),
        ];
        for (uri, want) in rows {
            assert_eq!(Location::parse(uri), Err(want), "{uri}");
        }
    }
}
