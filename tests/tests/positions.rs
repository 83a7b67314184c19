// SPDX-License-Identifier: MIT OR Apache-2.0
//! The position and the loss that the player shows, compared with the picture on screen.
//!
//! Each picture of the movie is different, so its pixels show which frame is on screen.

use anyhow::{Context, Result, ensure};
use mjpeg_rtsp_client::player::engine::{Engine, Event};
use mjpeg_rtsp_client::player::{Command, Options, Picture, State, Transport};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::pace;
use mjpeg_rtsp_tests::programs::Server;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hasher};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(20);

/// A new picture appears within this time after an action.
const NEXT_PICTURE: Duration = Duration::from_secs(3);

/// Longer than [`NEXT_PICTURE`]: the time of a pause must not be waited for after a seek.
const LONG_PAUSE: Duration = Duration::from_secs(4);

const FRAMES: u32 = 400;

/// Duration of a frame.
const FRAME: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, Copy)]
enum Action {
    Seek(Duration),
    /// Pause for this time, then play.
    Pause(Duration),
    Rate(f64),
}

/// Pseudo-random numbers (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn action(&mut self) -> Action {
        match self.below(4) {
            0 => Action::Pause(Duration::from_millis(200 + self.below(1500))),
            1 => Action::Rate(match self.below(4) {
                0 => 0.5,
                1 => 1.0,
                2 => 2.0,
                _ => 4.0,
            }),
            // Far enough from the end for what is played at four times the speed.
            _ => Action::Seek(FRAME * u32::try_from(self.below(250)).unwrap_or(0) + FRAME / 4),
        }
    }
}

/// The frame that each picture shows.
pub(crate) struct Frames(HashMap<u64, u32>);

impl Frames {
    pub(crate) fn of(images: &[Vec<u8>], folder: &Folder) -> Result<Self> {
        let movie = folder.file("decoded.mjpeg", &movies::movie(images)?)?;
        let pixels = movies::pull_all(&format!(
            "mjpegfilesrc location={} ! jpegdec ! videoconvert ! video/x-raw,format=RGBA \
             ! appsink name=out sync=false",
            movie.display()
        ))?;
        let hashes = pixels.iter().map(|pixels| hash(pixels.chunks(1 << 20)));
        let frames: HashMap<u64, u32> = hashes.zip(0..).collect();
        ensure!(frames.len() == images.len(), "two frames are alike");
        Ok(Self(frames))
    }

    pub(crate) fn number(&self, picture: &Picture) -> Result<u32> {
        let number = self.0.get(&hash(picture.rows())).copied();
        number.with_context(|| format!("{picture:?} is none of the movie's"))
    }
}

fn hash<'a>(rows: impl Iterator<Item = &'a [u8]>) -> u64 {
    let mut hasher = DefaultHasher::new();
    rows.for_each(|bytes| hasher.write(bytes));
    hasher.finish()
}

struct Watched<'a> {
    engine: Engine,
    frames: &'a Frames,
    last: u64,
    /// The position and the frame of each picture that was seen since the last action.
    seen: Vec<(Option<Duration>, u32)>,
}

impl Watched<'_> {
    /// Records the picture on screen, if it is a new one. Returns whether it is.
    fn record_picture(&mut self) -> Result<bool> {
        let Some((count, picture)) = self.engine.picture().get() else { return Ok(false) };
        if count == self.last {
            return Ok(false);
        }
        self.last = count;
        self.seen.push((picture.position.map(Duration::from), self.frames.number(&picture)?));
        Ok(true)
    }

    /// Looks at the pictures for a time, and compares each one with its position.
    fn check(&mut self, action: &str, time: Duration) -> Result<()> {
        self.seen.clear();
        // The last new picture, or the action.
        let mut last = Instant::now();
        let mut first = None;
        // The first one is shown before the clock runs, which starts after the latency of 200 ms. At half
        // the speed there is one in 100 ms.
        let mut different = HashSet::new();
        while different.len() < 3 || first.is_none_or(|first: Instant| first.elapsed() < time) {
            ensure!(
                last.elapsed() < NEXT_PICTURE,
                "{action}: the picture stands still: {:?}",
                self.seen
            );
            for event in self.engine.events() {
                ensure!(!matches!(event, Event::Failed(_)), "{action}: {event:?}");
            }
            if self.record_picture()? {
                let is_new = self.seen.last().is_some_and(|(_, number)| different.insert(*number));
                if is_new {
                    last = Instant::now();
                }
                first.get_or_insert_with(Instant::now);
            } else {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        for (position, number) in &self.seen {
            let start = FRAME * *number;
            let right = position.is_some_and(|it| it.abs_diff(start) < FRAME);
            ensure!(right, "{action}: {position:?} for frame {number}: {:?}", self.seen);
        }
        let statistics = self.engine.status().statistics;
        ensure!(statistics.lost == 0, "{action}: {statistics:?}");
        Ok(())
    }

    /// Sends a command, and waits for the state after it.
    fn command(&self, command: Command, state: State) -> Result<()> {
        self.engine.command(command);
        let end = Instant::now() + LIMIT;
        while self.engine.status().state != state {
            let event = self.engine.events().next();
            ensure!(event.is_none(), "{command:?}: {event:?}");
            ensure!(Instant::now() < end, "{command:?}: {:?}", self.engine.status());
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    fn position(&self) -> Duration {
        let picture = self.engine.picture().get();
        picture.and_then(|(_, it)| it.position).map(Duration::from).unwrap_or_default()
    }

    fn carry_out(&mut self, action: Action) -> Result<()> {
        match action {
            Action::Seek(position) => self.engine.seek(position),
            Action::Rate(rate) => self.engine.set_rate(rate, self.position()),
            Action::Pause(time) => {
                self.command(Command::Pause, State::Ready)?;
                pace(time);
                while self.record_picture()? {}
                self.command(Command::Play, State::Playing)?;
            }
        }
        Ok(())
    }
}

/// Plays a movie from each kind of source with sequences of actions.
fn positions_are_those_of_the_pictures(scheme: &str, transport: Transport) -> Result<()> {
    mjpeg_rtsp_tests::init();
    let folder = Folder::new()?;
    let images = movies::images(FRAMES, "I420")?;
    let movie = folder.file("movie.mjpeg", &movies::movie(&images)?)?;
    let server = Server::start([&movie], 1)?;
    let source = match scheme {
        "file" => movie.display().to_string(),
        scheme => server.urls[0].replace("rtsp", scheme),
    };
    let frames = Frames::of(&images, &folder)?;
    let by_hand = [
        Action::Seek(FRAME * 20),
        Action::Pause(LONG_PAUSE),
        Action::Seek(FRAME * 100),
        Action::Rate(2.0),
        Action::Rate(1.0),
        Action::Pause(LONG_PAUSE),
        Action::Rate(2.0),
        Action::Seek(FRAME * 60),
    ];
    let random = |seed: u64| {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        std::array::from_fn(|_| random.action())
    };
    // More for a longer run by hand.
    let seeds = std::env::var("POSITION_SEQUENCES").map_or(Ok(1), |it| it.parse::<u64>())?;
    let sequences = std::iter::once(by_hand).chain((1..=seeds).map(random));
    for actions in sequences {
        let engine = Engine::start(|| {})?;
        engine.open(&source, Options { transport, ..Options::default() }, true);
        let mut watched = Watched { engine, frames: &frames, last: 0, seen: Vec::new() };
        watched.check("play", Duration::from_millis(500))?;
        let mut done = Vec::new();
        for action in actions {
            done.push(action);
            watched.carry_out(action)?;
            watched.check(&format!("{done:?}"), Duration::from_millis(900))?;
        }
    }
    Ok(())
}

#[test]
fn of_a_file() -> Result<()> {
    positions_are_those_of_the_pictures("file", Transport::Auto)
}

#[test]
fn over_rtsp_and_udp() -> Result<()> {
    positions_are_those_of_the_pictures("rtsp", Transport::Udp)
}

#[test]
fn over_rtsp_and_tcp() -> Result<()> {
    positions_are_those_of_the_pictures("rtsp", Transport::Tcp)
}

#[test]
fn over_the_labs_protocol() -> Result<()> {
    positions_are_those_of_the_pictures("labrtsp", Transport::Auto)
}
