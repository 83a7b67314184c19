// SPDX-License-Identifier: MIT OR Apache-2.0
//! Replies: three lines, written to the byte, since clients read them by line and word; and what
//! servers answer, read liberally.

use super::{LineEnd, LineFormat};

/// The statuses of the lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// OK_200.
    Ok,
    /// No method, no port.
    BadRequest,
    /// FILE_NOT_FOUND_404.
    NotFound,
    /// The session is another one.
    SessionNotFound,
    /// The state does not allow it.
    MethodNotValidInThisState,
    /// CON_ERR_500: RTP cannot be sent.
    InternalServerError,
    /// A method that is not done here.
    NotImplemented,
}

impl Status {
    /// Its number.
    pub fn code(self) -> u16 {
        match self {
            Self::Ok => 200,
            Self::BadRequest => 400,
            Self::NotFound => 404,
            Self::SessionNotFound => 454,
            Self::MethodNotValidInThisState => 455,
            Self::InternalServerError => 500,
            Self::NotImplemented => 501,
        }
    }

    /// Its words.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::BadRequest => "Bad Request",
            Self::NotFound => "Not Found",
            Self::SessionNotFound => "Session Not Found",
            Self::MethodNotValidInThisState => "Method Not Valid in This State",
            Self::InternalServerError => "Internal Server Error",
            Self::NotImplemented => "Not Implemented",
        }
    }

    /// Writes a reply: three lines in the request's form, a line end behind the last, no other
    /// header; a blank line only where the request had one. `session` is of six digits; errors
    /// state 0. An error to three CRLF lines without a blank line, which Java clients send, is
    /// its first line alone.
    pub fn write(self, cseq: u64, session: u32, line_format: LineFormat) -> String {
        let end = line_format.line_end.as_str();
        let (code, reason) = (self.code(), self.reason());
        let blank = if line_format.blank_line { end } else { "" };
        if self == Self::Ok {
            return format!("RTSP/1.0 200 OK{end}CSeq: {cseq}{end}Session: {session}{end}{blank}");
        }
        if line_format.line_end == LineEnd::CrLf && !line_format.blank_line {
            return format!("RTSP/1.0 {code} {reason}{end}");
        }
        format!("RTSP/1.0 {code} {reason}{end}CSeq: {cseq}{end}Session: 0{end}{blank}")
    }
}

/// A server's reply, as far as it can be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// The first line's number.
    pub code: u16,
    /// The sequence number, if it is one: a server that echoes no number speaks the seed's form.
    pub cseq: Option<u64>,
    /// The session, up to a blank or semicolon.
    pub session: Option<String>,
    /// `TotalTime`, in seconds.
    pub seconds: Option<f64>,
    /// `TotalFrames` or `X-TotalFrames`, or the second of two bare numbers.
    pub frames: Option<u64>,
}

/// Why bytes are no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no status line")]
pub struct ReplyError;

impl Reply {
    /// Reads a reply of any server seen.
    ///
    /// # Errors
    /// Without a status in the first line.
    pub fn parse(text: &str) -> Result<Self, ReplyError> {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let status = lines.next().unwrap_or_default();
        let code = status.split_ascii_whitespace().nth(1).and_then(|word| word.parse().ok());
        let mut reply = Self {
            code: code.ok_or(ReplyError)?,
            cseq: None,
            session: None,
            seconds: None,
            frames: None,
        };
        let mut bare = Vec::new();
        for line in lines {
            let Some((name, value)) = line.split_once(':') else {
                bare.extend(line.parse::<u64>());
                continue;
            };
            let value = value.trim();
            match name.trim().to_ascii_lowercase().as_str() {
                "cseq" => reply.cseq = value.parse().ok(),
                "session" => {
                    let session = value.split(|c: char| c == ';' || c.is_whitespace()).next();
                    reply.session = session.filter(|it| !it.is_empty()).map(ToOwned::to_owned);
                }
                "totaltime" => {
                    reply.seconds = value.parse().ok().filter(|it: &f64| it.is_finite());
                }
                "totalframes" | "x-totalframes" => reply.frames = value.parse().ok(),
                _ => {}
            }
        }
        // Two bare numbers are KiB and frames.
        if let [_, frames] = bare[..] {
            reply.frames = reply.frames.or(Some(frames));
        }
        Ok(reply)
    }
}

/// What the body of a reply to DESCRIBE tells of a movie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Description {
    /// `a=x-total-frames`: only our server writes it.
    pub frames: u64,
    /// `a=framerate`, in frames a second.
    pub framerate: f64,
}

impl Description {
    /// Reads a reply's text; `None` if it does not tell of both.
    pub fn parse(text: &str) -> Option<Self> {
        let value = |name: &str| text.lines().find_map(|line| line.trim().strip_prefix(name));
        let framerate: f64 = value("a=framerate:")?.parse().ok()?;
        let frames = value("a=x-total-frames:")?.parse().ok()?;
        (framerate > 0.0 && framerate.is_finite()).then_some(Self { frames, framerate })
    }
}
