// SPDX-License-Identifier: MIT OR Apache-2.0
//! Replies. Ours have three lines of exact bytes, since lab clients split them by lines and words. The
//! replies of servers are accepted in all forms that were seen.

use super::{LineEnd, LineFormat};

/// The status of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// 200, in the lab `OK_200`.
    Ok,
    /// 400: the sequence number, the movie or the port is missing or invalid.
    BadRequest,
    /// 404, in the lab `FILE_NOT_FOUND_404`.
    NotFound,
    /// 453: the server has as many viewers as it may have.
    NotEnoughBandwidth,
    /// 454: the session number is wrong.
    SessionNotFound,
    /// 455: the state does not allow the method.
    MethodNotValidInThisState,
    /// 500, in the lab `CON_ERR_500`: RTP cannot be sent.
    InternalServerError,
    /// 501: the method is not supported.
    NotImplemented,
}

impl Status {
    /// The status code.
    pub fn code(self) -> u16 {
        match self {
            Self::Ok => 200,
            Self::BadRequest => 400,
            Self::NotFound => 404,
            Self::NotEnoughBandwidth => 453,
            Self::SessionNotFound => 454,
            Self::MethodNotValidInThisState => 455,
            Self::InternalServerError => 500,
            Self::NotImplemented => 501,
        }
    }

    /// The reason phrase.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::BadRequest => "Bad Request",
            Self::NotFound => "Not Found",
            Self::NotEnoughBandwidth => "Not Enough Bandwidth",
            Self::SessionNotFound => "Session Not Found",
            Self::MethodNotValidInThisState => "Method Not Valid in This State",
            Self::InternalServerError => "Internal Server Error",
            Self::NotImplemented => "Not Implemented",
        }
    }

    /// The lines of a reply: three. `session` has six digits; in errors it is 0. Errors in reply to
    /// CRLF lines without a blank line, which Java clients send, have only the first line.
    pub fn lines(self, cseq: u64, session: u32, line_format: LineFormat) -> Vec<String> {
        let first = format!("RTSP/1.0 {} {}", self.code(), self.reason());
        let ok = self == Self::Ok;
        if !ok && line_format.line_end == LineEnd::CrLf && !line_format.blank_line {
            return vec![first];
        }
        let session = if ok { session } else { 0 };
        vec![first, format!("CSeq: {cseq}"), format!("Session: {session}")]
    }

    /// Writes a reply with these [`lines`](Self::lines), in the format of the request.
    pub fn write(self, cseq: u64, session: u32, line_format: LineFormat) -> String {
        line_format.join(&self.lines(cseq, session, line_format))
    }
}

/// A server's reply; fields that cannot be read are `None`.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// The status code in the first line.
    pub code: u16,
    /// The sequence number. Servers after the course report do not repeat it.
    pub cseq: Option<u64>,
    /// The session, without what follows a blank or semicolon.
    pub session: Option<String>,
    /// `TotalTime`, in seconds.
    pub seconds: Option<f64>,
    /// `TotalFrames`, `X-TotalFrames`, `TotalFrame` or `Frames`, or the second of two bare numbers.
    pub frames: Option<u64>,
}

/// Why a text is not a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the first line is not a status line")]
pub struct ReplyError;

impl Reply {
    /// Parses a reply in any form that was seen.
    ///
    /// # Errors
    /// If the first line contains no status code.
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
                "totalframes" | "x-totalframes" | "totalframe" | "frames" => {
                    reply.frames = value.parse().ok();
                }
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

/// The description of a movie in the reply to DESCRIBE.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Description {
    /// `a=x-total-frames`, which only our server writes.
    pub frames: u64,
    /// `a=framerate`, in frames per second.
    pub framerate: f64,
}

impl Description {
    /// Parses the text of a reply; `None` if one of the two values is missing.
    pub fn parse(text: &str) -> Option<Self> {
        let value = |name: &str| text.lines().find_map(|line| line.trim().strip_prefix(name));
        let framerate: f64 = value("a=framerate:")?.parse().ok()?;
        let frames = value("a=x-total-frames:")?.parse().ok()?;
        (framerate > 0.0 && framerate.is_finite()).then_some(Self { frames, framerate })
    }
}
