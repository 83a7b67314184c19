// SPDX-License-Identifier: MIT OR Apache-2.0
//! URIs of movie files: `mjpegfile:///PATH?framerate=25&loop=true&bad-frames=error`.

use super::settings::{BadFrames, Settings};
use crate::movie::{FrameRate, ParseFrameRateError};
use gst::glib;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// The URI scheme.
pub(super) const SCHEME: &str = "mjpegfile";

/// All but `/` and the unreserved characters (RFC 3986 section 2.3) are encoded.
const ENCODED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Why a URI does not name a movie file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum UriError {
    #[error("the URI is not of the form mjpegfile:///PATH?framerate=25&loop=true&bad-frames=error")]
    Form,
    #[error("the URI has the host {0:?}: a movie file is on this machine, mjpegfile:///PATH")]
    Host(String),
    #[error("the URI has no path: mjpegfile:///PATH")]
    NoPath,
    #[error("framerate={0}: {1}")]
    FrameRate(String, ParseFrameRateError),
    #[error("loop={0} is neither true nor false")]
    Loop(String),
    #[error("bad-frames={0} is neither skip nor error")]
    BadFrames(String),
    #[error("unknown parameter {0:?}: framerate, loop and bad-frames are known")]
    Parameter(String),
}

/// A parsed URI. Parameters that it does not contain are `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MovieUri {
    pub path: PathBuf,
    pub framerate: Option<FrameRate>,
    pub looping: Option<bool>,
    pub bad_frames: Option<BadFrames>,
}

impl MovieUri {
    pub fn parse(uri: &str) -> Result<Self, UriError> {
        // The path stays encoded: it may contain any bytes but 0.
        let flags = glib::UriFlags::ENCODED_PATH | glib::UriFlags::ENCODED_QUERY;
        let parsed = glib::Uri::parse(uri, flags).map_err(|_| UriError::Form)?;
        if parsed.scheme() != SCHEME || parsed.fragment().is_some() {
            return Err(UriError::Form);
        }
        let host = parsed.host().unwrap_or_default();
        if !host.is_empty() && host != "localhost" {
            return Err(UriError::Host(host.into()));
        }
        let path = decode(&parsed.path()).ok_or(UriError::Form)?;
        if !path.starts_with(b"/") || path == b"/" {
            return Err(UriError::NoPath);
        }
        let path = PathBuf::from(OsStr::from_bytes(&path));
        let mut movie = Self { path, framerate: None, looping: None, bad_frames: None };
        let query = parsed.query().unwrap_or_default();
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let text = decode(value).and_then(|bytes| String::from_utf8(bytes).ok());
            movie.set(name, text.ok_or(UriError::Form)?)?;
        }
        Ok(movie)
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), UriError> {
        match name {
            "framerate" => match value.parse() {
                Ok(rate) => self.framerate = Some(rate),
                Err(error) => return Err(UriError::FrameRate(value, error)),
            },
            "loop" => match value.as_str() {
                "true" => self.looping = Some(true),
                "false" => self.looping = Some(false),
                _ => return Err(UriError::Loop(value)),
            },
            "bad-frames" => match value.as_str() {
                "skip" => self.bad_frames = Some(BadFrames::Skip),
                "error" => self.bad_frames = Some(BadFrames::Error),
                _ => return Err(UriError::BadFrames(value)),
            },
            _ => return Err(UriError::Parameter(name.to_owned())),
        }
        Ok(())
    }

    /// Sets what the URI contains; other settings stay.
    pub fn apply(self, settings: &mut Settings) {
        settings.location = Some(self.path);
        settings.framerate = self.framerate.unwrap_or(settings.framerate);
        settings.looping = self.looping.unwrap_or(settings.looping);
        settings.bad_frames = self.bad_frames.unwrap_or(settings.bad_frames);
    }
}

/// The URI of the movie that is set, with the settings that are not the defaults.
pub(super) fn uri(settings: &Settings) -> Option<String> {
    let path = std::path::absolute(settings.location.as_ref()?).ok()?;
    let default = Settings::default();
    let rate = settings.framerate;
    let framerate = (rate != default.framerate).then(|| format!("framerate={rate}"));
    let looping = settings.looping.then(|| "loop=true".to_owned());
    let errors = settings.bad_frames == BadFrames::Error;
    let bad_frames = errors.then(|| "bad-frames=error".to_owned());
    let query: Vec<String> = framerate.into_iter().chain(looping).chain(bad_frames).collect();
    let start = format!("{SCHEME}://{}", percent_encode(path.as_os_str().as_bytes(), ENCODED));
    Some(if query.is_empty() { start } else { format!("{start}?{}", query.join("&")) })
}

/// Decodes `%` and two digits; `None` for a text with the byte 0, which no path has.
fn decode(text: &str) -> Option<Vec<u8>> {
    let bytes: Vec<u8> = percent_decode_str(text).collect();
    (!bytes.contains(&0)).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_are_read_and_written() {
        let rate = |text: &str| text.parse::<FrameRate>().unwrap();
        let settings = |path: &[u8], framerate, looping, bad_frames| Settings {
            location: Some(PathBuf::from(OsStr::from_bytes(path))),
            framerate,
            looping,
            bad_frames,
        };
        let (lab, skip, error) = (FrameRate::DEFAULT, BadFrames::Skip, BadFrames::Error);
        let rows = [
            ("mjpegfile:///m/a.mjpeg", settings(b"/m/a.mjpeg", lab, false, skip)),
            (
                "mjpegfile:///m/a%20b%3F%FF%25?framerate=30000/1001&loop=true&bad-frames=error",
                settings(b"/m/a b?\xff%", rate("30000/1001"), true, error),
            ),
        ];
        for (text, want) in rows {
            let mut read = Settings::default();
            MovieUri::parse(text).unwrap().apply(&mut read);
            assert_eq!(read, want, "{text}");
            assert_eq!(uri(&want).as_deref(), Some(text));
        }
        let local = MovieUri::parse("mjpegfile://localhost/a?framerate=12.5&").unwrap();
        assert_eq!((local.path, local.framerate), ("/a".into(), Some(rate("25/2"))));
        assert_eq!(uri(&Settings::default()), None);
    }

    #[test]
    fn what_is_wrong_with_a_uri_is_named() {
        let form =
            "the URI is not of the form mjpegfile:///PATH?framerate=25&loop=true&bad-frames=error";
        let rows = [
            ("/m/a.mjpeg", form),
            ("file:///m/a.mjpeg", form),
            ("mjpegfile:///a%2", form),
            ("mjpegfile:///a%00", form),
            ("mjpegfile:///a#b", form),
            (
                "mjpegfile://host/a",
                "the URI has the host \"host\": a movie file is on this machine, mjpegfile:///PATH",
            ),
            ("mjpegfile://", "the URI has no path: mjpegfile:///PATH"),
            ("mjpegfile:///?loop=true", "the URI has no path: mjpegfile:///PATH"),
            ("mjpegfile:a", "the URI has no path: mjpegfile:///PATH"),
            (
                "mjpegfile:///a?framerate=0",
                "framerate=0: expected frames per second above 0, such as 20, 12.5 or 30000/1001",
            ),
            ("mjpegfile:///a?loop=1", "loop=1 is neither true nor false"),
            ("mjpegfile:///a?bad-frames=", "bad-frames= is neither skip nor error"),
            (
                "mjpegfile:///a?fps=25",
                "unknown parameter \"fps\": framerate, loop and bad-frames are known",
            ),
        ];
        for (uri, want) in rows {
            let error = MovieUri::parse(uri).expect_err(uri);
            assert_eq!(error.to_string(), want, "{uri}");
        }
    }
}
