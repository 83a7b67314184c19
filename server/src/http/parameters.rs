// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the parameters in the query of a URL.

use super::reply::Refusal;
use form_urlencoded::parse;
use gstmjpegfile::movie::{FrameRate, Nanoseconds};

/// The speeds at which a movie can be played, as in RTSP.
const MIN_SPEED: f64 = 0.25;
const MAX_SPEED: f64 = 8.0;

/// The latest time that can be asked for, in seconds: about 31 years.
const MAX_SECONDS: f64 = 1e9;

/// A position in a movie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Position {
    /// A frame, from 0.
    Frame(u64),
    /// A time in seconds.
    Seconds(f64),
}

impl Position {
    /// The number of the frame at the position.
    pub fn frame(self, rate: FrameRate) -> u64 {
        match self {
            Self::Frame(frame) => frame,
            // From 0 to MAX_SECONDS. Half a nanosecond more, since the time of a frame is rounded.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            Self::Seconds(seconds) => {
                rate.frame_at(Nanoseconds::new((seconds * 1e9).round() as u64))
            }
        }
    }
}

/// The parameters of a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct StreamParameters {
    /// The most frames a second that are sent.
    pub framerate: Option<FrameRate>,
    /// Where the movie starts.
    pub start: Option<Position>,
    /// How fast the movie is played.
    pub speed: Option<f64>,
}

fn unknown(name: &str, allowed: &str) -> Refusal {
    let name: String = name.chars().take(40).collect();
    Refusal::bad_request(format!("There is no parameter {name:?} here; there are {allowed}."))
}

fn twice(name: &str) -> Refusal {
    Refusal::bad_request(format!("The parameter {name} may be there once only."))
}

/// Sets a parameter that must not be set yet.
fn set<T>(name: &str, parameter: &mut Option<T>, value: T) -> Result<(), Refusal> {
    match parameter.replace(value) {
        Some(_) => Err(twice(name)),
        None => Ok(()),
    }
}

/// Reads a whole number.
fn read_number(name: &str, text: &str) -> Result<u64, Refusal> {
    let is_number = !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    let number = text.parse().ok().filter(|_| is_number);
    number.ok_or_else(|| Refusal::bad_request(format!("{name} must be a whole number.")))
}

/// Reads a decimal number of a range.
fn read_decimal(name: &str, text: &str, min: f64, max: f64) -> Result<f64, Refusal> {
    let is_decimal = |it: u8| it.is_ascii_digit() || it == b'.';
    let number: Option<f64> = text.parse().ok().filter(|_| text.bytes().all(is_decimal));
    let number = number.filter(|number| (min..=max).contains(number));
    let refusal = || format!("{name} must be a number from {min} to {max}, such as 1.5.");
    number.ok_or_else(|| Refusal::bad_request(refusal()))
}

impl StreamParameters {
    /// Reads a query.
    ///
    /// # Errors
    /// If a parameter is unknown, there twice, or not valid.
    pub fn parse(query: &str) -> Result<Self, Refusal> {
        let mut parameters = Self::default();
        for (name, value) in parse(query.as_bytes()) {
            match &*name {
                "framerate" => {
                    let rate = value.parse();
                    let rate =
                        rate.map_err(|error| Refusal::bad_request(format!("framerate: {error}.")))?;
                    set(&name, &mut parameters.framerate, rate)?;
                }
                "start" => {
                    let start = match value.strip_prefix("frame:") {
                        Some(number) => Position::Frame(read_number("start=frame:N: N", number)?),
                        None => {
                            let text = "start (seconds, or frame:N)";
                            Position::Seconds(read_decimal(text, &value, 0.0, MAX_SECONDS)?)
                        }
                    };
                    set(&name, &mut parameters.start, start)?;
                }
                "speed" => {
                    let speed = read_decimal("speed", &value, MIN_SPEED, MAX_SPEED)?;
                    set(&name, &mut parameters.speed, speed)?;
                }
                _ => return Err(unknown(&name, "framerate, start and speed")),
            }
        }
        Ok(parameters)
    }

    /// The distance between two frames that are sent of a movie, at a speed: as many frames a second as at the
    /// normal speed, and not more than [`Self::framerate`].
    pub fn step(&self, rate: FrameRate) -> u64 {
        let speed = self.speed.unwrap_or(1.0);
        let of_speed = speed.round().max(1.0);
        let due = rate.frames_per_second() * speed;
        let of_rate = self.framerate.map_or(1.0, |most| {
            // A rate that divides the movie's exactly is not missed because of rounding.
            (due / most.frames_per_second() - 1e-9).ceil()
        });
        // At least 1. Rates are above 0, and their quotient is limited by that of two 32-bit numbers.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let step = of_speed.max(of_rate) as u64;
        step.max(1)
    }
}

/// Reads the query of a snapshot: the position of its frame, if there is one.
///
/// # Errors
/// If a parameter is unknown, there twice, or not valid.
pub(super) fn snapshot_position(query: &str) -> Result<Option<Position>, Refusal> {
    let mut position = None;
    for (name, value) in parse(query.as_bytes()) {
        let value = match &*name {
            "frame" => Position::Frame(read_number("frame", &value)?),
            "t" => Position::Seconds(read_decimal("t (seconds)", &value, 0.0, MAX_SECONDS)?),
            _ => return Err(unknown(&name, "frame and t")),
        };
        if position.replace(value).is_some() {
            return Err(Refusal::bad_request("There may be either frame or t, once."));
        }
    }
    Ok(position)
}

/// Reads the query of a login: the path of this server to continue with.
///
/// # Errors
/// If a parameter is unknown, there twice, or not a path of this server.
pub(super) fn login_target(query: &str) -> Result<String, Refusal> {
    let mut target = None;
    for (name, value) in parse(query.as_bytes()) {
        match &*name {
            "to" => set(&name, &mut target, value.into_owned())?,
            _ => return Err(unknown(&name, "to")),
        }
    }
    let target = target.unwrap_or_else(|| "/".to_owned());
    // Browsers take two slashes, of either kind, for the name of another server.
    let is_path = target.starts_with('/') && !target.starts_with("//") && !target.contains('\\');
    let is_printable = target.bytes().all(|it| it.is_ascii_graphic());
    let text = "to must be a path of this server, such as /api/v1/mounts.";
    (is_path && is_printable).then_some(target).ok_or_else(|| Refusal::bad_request(text))
}

/// The parameters of the list of movies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ListParameters {
    /// The text that names must contain.
    pub search: Option<String>,
    /// The folder whose contents are listed.
    pub folder: Option<String>,
    /// The number of movies that are left out at the start.
    pub offset: usize,
    /// The number of movies that are listed.
    pub limit: usize,
}

/// The number of movies that are listed, if the query states none, and at most.
const LIMIT: usize = 100;
const MAX_LIMIT: u64 = 1000;

impl ListParameters {
    /// Reads a query.
    ///
    /// # Errors
    /// If a parameter is unknown, there twice, or not valid.
    pub fn parse(query: &str) -> Result<Self, Refusal> {
        let (mut search, mut folder, mut offset, mut limit) = (None, None, None, None);
        for (name, value) in parse(query.as_bytes()) {
            match &*name {
                "search" => set(&name, &mut search, value.to_lowercase())?,
                "folder" => set(&name, &mut folder, value.trim_matches('/').to_owned())?,
                "offset" => set(&name, &mut offset, read_number("offset", &value)?)?,
                "limit" => set(&name, &mut limit, read_number("limit", &value)?)?,
                _ => return Err(unknown(&name, "search, folder, offset and limit")),
            }
        }
        if limit.is_some_and(|limit| !(1..=MAX_LIMIT).contains(&limit)) {
            let text = format!("limit must be a number from 1 to {MAX_LIMIT}.");
            return Err(Refusal::bad_request(text));
        }
        let whole = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let (offset, limit) = (whole(offset.unwrap_or(0)), limit.map_or(LIMIT, whole));
        Ok(Self { search, folder, offset, limit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_a_stream_are_valid_or_refused() {
        let rate = |text: &str| Some(text.parse().unwrap());
        let none = StreamParameters::default();
        let valid = [
            ("", none),
            ("framerate=2", StreamParameters { framerate: rate("2"), ..none }),
            ("framerate=30000%2F1001", StreamParameters { framerate: rate("30000/1001"), ..none }),
            ("start=1.5", StreamParameters { start: Some(Position::Seconds(1.5)), ..none }),
            ("start=frame:17", StreamParameters { start: Some(Position::Frame(17)), ..none }),
            ("start=frame%3A17", StreamParameters { start: Some(Position::Frame(17)), ..none }),
            ("speed=0.5", StreamParameters { speed: Some(0.5), ..none }),
        ];
        for (query, want) in valid {
            assert_eq!(StreamParameters::parse(query).unwrap(), want, "{query}");
        }
        let refused = [
            "framerate=0",
            "framerate=-1",
            "framerate=nan",
            "framerate=",
            "framerate=1&framerate=1",
            "start=-1",
            "start=nan",
            "start=inf",
            "start=1e3",
            "start=1e300",
            "start=",
            "start=frame:",
            "start=frame:-1",
            "start=frame:+1",
            "start=frame:99999999999999999999",
            "start=99999999999",
            "speed=0",
            "speed=9",
            "speed=-1",
            "speed=nan",
            "x",
            "Speed=1",
        ];
        for query in refused {
            assert!(StreamParameters::parse(query).is_err(), "{query}");
        }
    }

    #[test]
    fn the_step_limits_the_frames_a_second() {
        // Frame rate of the movie, query, step.
        let rows = [
            ("20", "", 1),
            ("20", "framerate=20", 1),
            ("20", "framerate=40", 1),
            ("20", "framerate=10", 2),
            ("20", "framerate=3", 7),
            ("20", "framerate=2", 10),
            ("20", "framerate=0.5", 40),
            ("30000/1001", "framerate=30000/1001", 1),
            ("30000/1001", "framerate=29", 2),
            ("20", "speed=4", 4),
            ("20", "speed=0.25", 1),
            ("20", "speed=4&framerate=2", 40),
            ("20", "speed=0.5&framerate=2", 5),
        ];
        for (rate, query, want) in rows {
            let step = StreamParameters::parse(query).unwrap().step(rate.parse().unwrap());
            assert_eq!(step, want, "{rate} {query}");
        }
    }

    #[test]
    fn a_position_is_a_frame_or_a_time() {
        let rate: FrameRate = "30000/1001".parse().unwrap();
        let rows = [
            ("frame=7", Some(7)),
            ("t=0", Some(0)),
            ("t=0.033", Some(0)),
            ("t=0.034", Some(1)),
            ("t=1.001", Some(30)),
            ("", None),
        ];
        for (query, want) in rows {
            let position = snapshot_position(query).unwrap();
            assert_eq!(position.map(|position| position.frame(rate)), want, "{query}");
        }
        for query in ["frame=x", "t=-1", "frame=1&t=1", "frame=1&frame=1", "frames=1", "frame="] {
            assert!(snapshot_position(query).is_err(), "{query}");
        }
    }

    #[test]
    fn a_login_leads_to_a_path_of_this_server() {
        let rows = [
            ("", Some("/")),
            ("to=/api/v1/mounts%3Ffolder%3Dcam", Some("/api/v1/mounts?folder=cam")),
            ("to=/play/a%2520b", Some("/play/a%20b")),
            ("to=", None),
            ("to=//evil.example", None),
            ("to=/%5Cevil.example", None),
            ("to=http://evil.example", None),
            ("to=/%0d%0aX:", None),
            ("to=/&to=/", None),
            ("x=/", None),
        ];
        for (query, want) in rows {
            assert_eq!(login_target(query).ok().as_deref(), want, "{query}");
        }
    }

    #[test]
    fn a_list_has_a_limit() {
        let list = |search: Option<&str>, folder: Option<&str>, offset, limit| ListParameters {
            search: search.map(ToOwned::to_owned),
            folder: folder.map(ToOwned::to_owned),
            offset,
            limit,
        };
        let rows = [
            ("", Some(list(None, None, 0, 100))),
            ("search=DOOR&offset=5&limit=1000", Some(list(Some("door"), None, 5, 1000))),
            ("folder=cam/&limit=1", Some(list(None, Some("cam"), 0, 1))),
            ("folder=", Some(list(None, Some(""), 0, 100))),
            ("limit=0", None),
            ("limit=1001", None),
            ("offset=-1", None),
            ("page=1", None),
        ];
        for (query, want) in rows {
            assert_eq!(ListParameters::parse(query).ok(), want, "{query}");
        }
    }
}
