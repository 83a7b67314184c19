// SPDX-License-Identifier: MIT OR Apache-2.0
//! Requests: parsed in every form that lab clients send, written in the forms that our client sends.

use std::fmt::Write;

/// Method of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Open a movie.
    Setup,
    /// Start or resume sending.
    Play,
    /// Stop sending.
    Pause,
    /// End the session; also written `STOP`.
    Teardown,
    /// Describe a movie.
    Describe,
    /// List the methods.
    Options,
    /// Skip forward by a tenth of the movie.
    Forward,
    /// Skip back by a tenth of the movie.
    Backward,
    /// Go to the position in `X-Seek`.
    Seek,
    /// Set the speed, in halves of the normal frame rate: 1, 2 or 4.
    Speed(u8),
    /// List the movies.
    List,
    /// Switch to another movie.
    Switch,
}

impl Method {
    /// The first word of a request with this method.
    pub fn word(self) -> &'static str {
        match self {
            Self::Setup => "SETUP",
            Self::Play => "PLAY",
            Self::Pause => "PAUSE",
            Self::Teardown => "TEARDOWN",
            Self::Describe => "DESCRIBE",
            Self::Options => "OPTIONS",
            Self::Forward => "FORWARD",
            Self::Backward => "BACKWARD",
            Self::Seek => "SEEK",
            Self::Speed(1) => "SPEED_0_5X",
            Self::Speed(4) => "SPEED_2X",
            Self::Speed(_) => "SPEED_1X",
            Self::List => "LIST",
            Self::Switch => "SWITCH",
        }
    }

    /// The method with this word, in upper or lower case.
    pub fn of(word: &str) -> Option<Self> {
        const ALL: [Method; 14] = [
            Method::Setup,
            Method::Play,
            Method::Pause,
            Method::Teardown,
            Method::Describe,
            Method::Options,
            Method::Forward,
            Method::Backward,
            Method::Seek,
            Method::Speed(1),
            Method::Speed(2),
            Method::Speed(4),
            Method::List,
            Method::Switch,
        ];
        if word.eq_ignore_ascii_case("STOP") {
            return Some(Self::Teardown);
        }
        ALL.into_iter().find(|method| word.eq_ignore_ascii_case(method.word()))
    }
}

/// Line end of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LineEnd {
    /// Line feed.
    Lf,
    /// Carriage return and line feed.
    CrLf,
}

impl LineEnd {
    /// The bytes of the line end.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lf => "\n",
            Self::CrLf => "\r\n",
        }
    }
}

/// The properties of a request that its reply adopts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LineFormat {
    /// Line end of the first line.
    pub line_end: LineEnd,
    /// Whether the last line has a line end. The textbook's client writes none, and some clients
    /// take what follows the last blank of a reply as the session.
    pub final_line_end: bool,
    /// Whether the request ended with a blank line.
    pub blank_line: bool,
}

impl LineFormat {
    /// Joins lines in this format.
    pub fn join(self, lines: &[String]) -> String {
        let end = self.line_end.as_str();
        let last = if self.final_line_end { end } else { "" };
        let blank = if self.blank_line { end } else { "" };
        [&lines.join(end), last, blank].concat()
    }
}

/// The fourth line that some clients read in the reply to SETUP. Other clients must not get it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FourthLine {
    /// `Frames: N`, for clients that write `RTSP/1.4`.
    Frames,
    /// `TotalFrame: N`, for clients that write `CSeq 1` without a colon. They also read
    /// `TotalSendPacketCount: N` in the reply to TEARDOWN.
    TotalFrame,
}

impl FourthLine {
    /// The fourth line that the client which wrote these lines reads.
    fn of(lines: &[&str]) -> Option<Self> {
        let first = lines.first().copied().unwrap_or_default().to_ascii_uppercase();
        let has_no_colon = |line: &&str| is_like_cseq(line) && !line.contains(':');
        if first.ends_with("RTSP/1.4") {
            Some(Self::Frames)
        } else if lines.iter().skip(1).any(has_no_colon) {
            Some(Self::TotalFrame)
        } else {
            None
        }
    }

    /// The line in the reply to SETUP.
    pub fn in_setup(self, frames: u64) -> String {
        match self {
            Self::Frames => format!("Frames: {frames}"),
            Self::TotalFrame => format!("TotalFrame: {frames}"),
        }
    }

    /// The line in the reply to TEARDOWN, if there is one.
    pub fn in_teardown(self, packets: u64) -> Option<String> {
        (self == Self::TotalFrame).then(|| format!("TotalSendPacketCount: {packets}"))
    }
}

/// The lowest RTP port that a request may state: lower ones belong to system services.
pub const MIN_PORT: u16 = 1024;

/// The kind of client that writes requests like this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// The textbook's client: lines with names, with LF or with a blank line.
    Textbook,
    /// Java clients: lines with names, with CRLF, without a blank line.
    Java,
    /// The seed's client (the course report): numbers without names.
    Seed,
}

impl Dialect {
    /// The dialect of a request.
    pub fn of(text: &str) -> Self {
        let second = text.lines().nth(1).unwrap_or_default();
        let has = |kind: fn(&char) -> bool| second.contains(|c| kind(&c));
        if has(char::is_ascii_digit) && !has(char::is_ascii_alphabetic) {
            return Self::Seed;
        }
        match line_format_of(text) {
            LineFormat { line_end: LineEnd::CrLf, blank_line: false, .. } => Self::Java,
            _ => Self::Textbook,
        }
    }

    /// Name in log messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Textbook => "textbook",
            Self::Java => "java",
            Self::Seed => "seed",
        }
    }
}

pub(super) fn line_format_of(text: &str) -> LineFormat {
    LineFormat {
        line_end: match text.split_once('\n') {
            Some((first, _)) if first.ends_with('\r') => LineEnd::CrLf,
            _ => LineEnd::Lf,
        },
        final_line_end: text.ends_with('\n'),
        blank_line: text.ends_with("\n\n") || text.ends_with("\n\r\n"),
    }
}

/// A parsed request.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Name of the movie, without path and host; always present in SETUP.
    pub file: Option<String>,
    /// The sequence number, CSeq.
    pub cseq: u64,
    /// RTP port of the client; only in SETUP.
    pub rtp_port: Option<u16>,
    /// The session, if there is one and it is a number.
    pub session: Option<u64>,
    /// `X-Seek`: the position in the movie, from 0 to 1.
    pub seek: Option<f64>,
    /// `Startpoint`: the frame to start with.
    pub start_frame: Option<u64>,
    /// The properties that the reply adopts.
    pub line_format: LineFormat,
    /// The fourth line that the client reads, if it reads one.
    pub fourth_line: Option<FourthLine>,
}

/// Why a text is not a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The first word is not a method.
    #[error("unknown method")]
    Method,
    /// There is no sequence number.
    #[error("no sequence number")]
    SequenceNumber,
    /// SETUP without a movie.
    #[error("SETUP without a movie")]
    File,
    /// SETUP without a port.
    #[error("SETUP without an RTP port")]
    NoPort,
    /// The port in SETUP is too low or too high.
    #[error("the RTP port in SETUP is not from {MIN_PORT} to 65535")]
    Port,
}

impl Request {
    /// Parses one request, as [`super::Framer`] returns it.
    ///
    /// # Errors
    /// See [`RequestError`]. The error comes with what the reply needs: the line format, and the
    /// sequence number if there is one.
    pub fn parse(text: &str) -> Result<Self, (RequestError, LineFormat, Option<u64>)> {
        let line_format = line_format_of(text);
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let cseq = sequence_number(&lines);
        Self::read(&lines, line_format, cseq).map_err(|error| (error, line_format, cseq))
    }

    fn read(
        lines: &[&str],
        line_format: LineFormat,
        cseq: Option<u64>,
    ) -> Result<Self, RequestError> {
        let mut words = lines.first().copied().unwrap_or_default().split_ascii_whitespace();
        let method = words.next().and_then(Method::of).ok_or(RequestError::Method)?;
        let file = words.next().and_then(file_name);
        let cseq = cseq.ok_or(RequestError::SequenceNumber)?;
        let mut rtp_port = None;
        if method == Method::Setup {
            if file.is_none() {
                return Err(RequestError::File);
            }
            rtp_port = Some(port(lines)?);
        }
        let value = |name: &str| header(lines, name);
        Ok(Self {
            method,
            file,
            cseq,
            rtp_port,
            session: value("session").and_then(|text| text.parse().ok()),
            seek: value("x-seek")
                .and_then(|text| text.parse().ok())
                .filter(|at| (0.0..=1.0).contains(at)),
            start_frame: value("startpoint").and_then(|text| text.parse().ok()),
            line_format,
            fourth_line: FourthLine::of(lines),
        })
    }
}

/// The value of the header with this name, in upper or lower case.
fn header<'a>(lines: &[&'a str], name: &str) -> Option<&'a str> {
    let mut pairs = lines.iter().skip(1).filter_map(|line| line.split_once(':'));
    let (_, value) = pairs.find(|(key, _)| key.trim().eq_ignore_ascii_case(name))?;
    Some(value.trim())
}

/// The name of a movie in a word: without a version at its end, and without host and path.
fn file_name(word: &str) -> Option<String> {
    let upper = word.to_ascii_uppercase();
    let name = upper.find("RTSP/").and_then(|at| {
        // `rtsp://` is not a version.
        let version = upper.get(at + 5..)?;
        version.starts_with(|c: char| c.is_ascii_digit()).then(|| word.get(..at)).flatten()
    });
    let name = name.unwrap_or(word);
    let name = name.rsplit('/').next().unwrap_or_default();
    (!name.is_empty()).then(|| name.to_owned())
}

/// All integers in a line, in order.
pub(super) fn integers(line: &str) -> impl DoubleEndedIterator<Item = u64> {
    digits(line).filter_map(|digits| digits.parse().ok())
}

/// All runs of digits in a line, in order.
fn digits(line: &str) -> impl DoubleEndedIterator<Item = &str> {
    line.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty())
}

/// The first integer in the first line that starts like CSeq, in any spelling that was seen; without
/// such a line, in the second line, unless that is another header.
fn sequence_number(lines: &[&str]) -> Option<u64> {
    let named = lines.iter().skip(1).find(|line| is_like_cseq(line)).copied();
    let second = || lines.get(1).copied().filter(|line| !is_other_header(line));
    integers(named.or_else(second)?).next()
}

/// Whether a line has a header other than CSeq.
fn is_other_header(line: &str) -> bool {
    const NAMES: [&str; 5] = ["transport", "session", "x-seek", "startpoint", "prefer"];
    let line = line.to_ascii_lowercase();
    NAMES.iter().any(|name| line.starts_with(name))
        || ["client_port", "rtp/", "rtsp/"].iter().any(|part| line.contains(part))
}

/// Whether a line starts with CSeq or a misspelling of it.
pub(super) fn is_like_cseq(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    let rest = line.strip_prefix('c').unwrap_or(&line);
    rest.starts_with("se") && !line.starts_with("session")
}

/// The port after `client_port` and `=`; without these, the last integer in the third line.
fn port(lines: &[&str]) -> Result<u16, RequestError> {
    let named = lines.iter().find_map(|line| {
        let at = line.to_ascii_lowercase().find("client_port")?;
        line.get(at..)?.split_once('=').map(|(_, value)| value)
    });
    let third = lines.get(2).copied().unwrap_or_default();
    let number = match named {
        Some(value) => digits(value).next(),
        None => digits(third).next_back(),
    };
    let port = number.ok_or(RequestError::NoPort)?.parse().map_err(|_| RequestError::Port)?;
    if port < MIN_PORT { Err(RequestError::Port) } else { Ok(port) }
}

/// The forms in which our client writes requests. A lab server understands at least one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestForm {
    /// Three CRLF lines without a blank line, which most servers understand.
    Java,
    /// The lines of the course report's client, without header names.
    Seed,
    /// CRLF lines with a blank line at the end, and `client_port=P` without a blank.
    BlankLine,
    /// Like [`Self::Seed`], with a blank before the number, and the number twice.
    SeedTwice,
    /// The textbook's lines, with LF between them.
    Textbook,
    /// Like [`Self::Seed`], with blanks around the number.
    SeedBlanks,
    /// Three CRLF lines with a URL in place of the movie's name, and `client_port=P` without a blank.
    Url,
}

impl RequestForm {
    /// All forms.
    pub const ALL: [Self; 7] = [
        Self::Java,
        Self::Seed,
        Self::BlankLine,
        Self::SeedTwice,
        Self::Textbook,
        Self::SeedBlanks,
        Self::Url,
    ];

    /// The forms to try, in this order, until a server sends RTP.
    pub const SEARCH: [Self; 5] =
        [Self::Java, Self::Seed, Self::BlankLine, Self::SeedTwice, Self::Url];

    /// Short name in command lines and URIs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Java => "j",
            Self::Seed => "s",
            Self::BlankLine => "c",
            Self::SeedTwice => "s1",
            Self::Textbook => "a",
            Self::SeedBlanks => "s2",
            Self::Url => "u",
        }
    }

    /// Short description.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Java => "three CRLF lines, as Java clients send",
            Self::Seed => "the course report's lines without names",
            Self::BlankLine => "CRLF lines and a blank line, as RFC 2326 asks",
            Self::SeedTwice => "the course report's lines with the number twice",
            Self::Textbook => "the textbook's LF lines",
            Self::SeedBlanks => "the course report's lines with blanks around the number",
            Self::Url => "three CRLF lines with a URL",
        }
    }

    /// Writes a request. Only SETUP contains `port`, only the other methods `session`. `file` is the
    /// movie's URL in the form [`Self::Url`].
    pub fn write(self, method: Method, file: &str, cseq: u64, port: u16, session: &str) -> String {
        let word = method.word();
        let mut out = String::new();
        let setup = method == Method::Setup;
        // Writing to a String does not fail.
        let _ = match (self, setup) {
            (Self::Java, true) => write!(
                out,
                "{word} {file} RTSP/1.0\r\nCSeq: {cseq}\r\nTransport: RTP/UDP; client_port= {port}\r\n"
            ),
            (Self::Url, true) => write!(
                out,
                "{word} {file} RTSP/1.0\r\nCSeq: {cseq}\r\nTransport: RTP/UDP;client_port={port}\r\n"
            ),
            (Self::Java | Self::Url, false) => {
                write!(out, "{word} {file} RTSP/1.0\r\nCSeq: {cseq}\r\nSession: {session}\r\n")
            }
            (Self::Textbook, true) => write!(
                out,
                "{word} {file} RTSP/1.0\nCSeq: {cseq}\nTransport: RTP/UDP; client_port= {port}"
            ),
            (Self::Textbook, false) => {
                write!(out, "{word} {file} RTSP/1.0\nCSeq: {cseq}\nSession: {session}")
            }
            (Self::Seed, true) => {
                write!(out, "{word} {file}\n{cseq}\n RTSP/1.0 RTP/UDP {port}")
            }
            (Self::Seed, false) => write!(out, "{word} \n{cseq}"),
            (Self::BlankLine, true) => write!(
                out,
                "{word} {file} RTSP/1.0\r\nCSeq: {cseq}\r\nTransport: RTP/UDP;client_port={port}\r\n\r\n"
            ),
            (Self::BlankLine, false) => {
                write!(out, "{word} {file} RTSP/1.0\r\nCSeq: {cseq}\r\nSession: {session}\r\n\r\n")
            }
            (Self::SeedTwice, true) => {
                write!(out, "{word} {file}\n {cseq} {cseq}\n RTSP/1.0 RTP/UDP {port}")
            }
            (Self::SeedTwice, false) => write!(out, "{word} \n {cseq} {cseq}"),
            (Self::SeedBlanks, true) => {
                write!(out, "{word} {file}\n {cseq} \n RTSP/1.0 RTP/UDP {port}")
            }
            (Self::SeedBlanks, false) => write!(out, "{word} \n {cseq}"),
        };
        out
    }

    /// Writes SEEK with `X-Seek`, the position in the movie from 0 to 1. This is an extension of some
    /// servers that understand lines with names.
    pub fn write_seek(self, file: &str, cseq: u64, session: &str, position: f64) -> String {
        let (end, blank) = match self {
            Self::Textbook => ("\n", ""),
            Self::BlankLine => ("\r\n", "\r\n"),
            _ => ("\r\n", ""),
        };
        format!(
            "SEEK {file} RTSP/1.0{end}CSeq: {cseq}{end}Session: {session}{end}X-Seek: {position:.9}{end}{blank}"
        )
    }
}
