// SPDX-License-Identifier: MIT OR Apache-2.0
//! A movie that is sent: to one viewer at a place of its own, or live to all who have joined.
//!
//! gst-rtsp-server speaks RTSP; what it has agreed on with a viewer is sent from here, by a few
//! threads for all, without a pipeline for each.

use super::delivery::Delivery;
use super::frames::{Found, Frames, Key, Ready};
use super::plan::Plan;
use super::reports;
use super::rtcp::Report;
use crate::connection::outbox::{Drained, Sent};
use crate::pacer::{Paced, Pacer, new_id};
use crate::udp::Datagrams;
use crate::workers::Workers;
use gstmjpegfile::movie::FrameLocation;
use gstmjpegfile::movie_file::{Lookup, MovieFile};
use gstmjpegfile::rtp::{FIXED_LEN, JpegPayloads, PAYLOAD_TYPE_JPEG, RtpHeader, VIDEO_CLOCK_RATE};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// Until the index has got further.
const INDEX: Duration = Duration::from_millis(10);

/// Later than this, a frame's lateness is forgiven: the frames behind it are not sent in a rush.
const LATE: Duration = Duration::from_secs(1);

/// Between two sender reports (RFC 3550 section 6.2 has 5 s as the least for few members).
const REPORTS: Duration = Duration::from_secs(5);

/// What all streams of a server have.
pub(super) struct Means {
    pub frames: Frames,
    pub workers: Workers,
    /// Who sends, by RTCP (RFC 7022: random, for as long as the server runs).
    pub name: String,
}

/// Who a stream is sent to.
struct Viewer {
    /// The RTSP session's.
    session: String,
    delivery: Arc<Delivery>,
}

#[derive(Debug, Clone, Copy)]
struct Play {
    number: u64,
    plan: Plan,
    /// When tick 0 is due, and how many have been sent.
    begin: Instant,
    ticks: u64,
    /// The RTP timestamp of tick 0.
    timestamp: u32,
    /// When the next sender report is due.
    report: Instant,
    /// It waits for the index.
    waits: bool,
}

impl Play {
    fn timestamp_at(&self, nanoseconds: u64) -> u32 {
        let clock = u128::from(nanoseconds) * u128::from(VIDEO_CLOCK_RATE) / 1_000_000_000;
        // The low 32 bits: timestamps wrap.
        #[allow(clippy::cast_possible_truncation)]
        let clock = clock as u32;
        self.timestamp.wrapping_add(clock)
    }

    /// The timestamp of a moment. One that lies before the begin is not asked for.
    fn timestamp_now(&self, now: Instant) -> u32 {
        let since = now.saturating_duration_since(self.begin).as_nanos();
        self.timestamp_at(u64::try_from(since).unwrap_or(u64::MAX))
    }

    fn due(&self) -> Instant {
        self.begin + Duration::from_nanos(self.plan.due(self.ticks))
    }
}

/// A frame that is made elsewhere.
#[derive(Debug, Default)]
enum Ahead {
    #[default]
    Nothing,
    /// This frame is being made; whether its time has come.
    Making(u64, bool),
    Made(u64, io::Result<Found>),
}

struct Position {
    /// Read anew behind its end, if it starts over and has grown.
    movie: Arc<MovieFile>,
    /// Frames of the passes before this one, if it starts over.
    passed: u64,
    viewers: Vec<Viewer>,
    /// The place from which the next play goes on, in nanoseconds.
    place: u64,
    play: Option<Play>,
    plays: u64,
    sequence_number: u16,
    /// The RTP timestamp of the next play's first frame.
    timestamp: u32,
    /// The size of the first frame that was sent, in pixels: the others get it too.
    size: Option<(u16, u16)>,
    /// For reports.
    packets: u32,
    octets: u32,
    /// Frames that were not sent, by what is wrong with them.
    dropped: BTreeMap<&'static str, u64>,
    /// Why frames were made, as far as reported.
    made: BTreeSet<&'static str>,
    /// Bad spans that were reported.
    spans: usize,
    ahead: Ahead,
    headers: Vec<[u8; FIXED_LEN]>,
}

/// How a stream is sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    pub looping: bool,
    /// Many viewers see the same; one that is slow loses frames. Otherwise the one is waited for.
    pub live: bool,
}

/// A movie that is sent.
pub(super) struct Stream {
    id: u64,
    manner: Manner,
    ssrc: u32,
    means: Arc<Means>,
    pacer: Pacer,
    position: Mutex<Position>,
}

impl Stream {
    pub fn new(
        movie: Arc<MovieFile>,
        manner: Manner,
        ssrc: u32,
        means: Arc<Means>,
        pacer: Pacer,
    ) -> Self {
        let [high, low, ..] = crate::random().to_be_bytes();
        let position = Position {
            movie,
            passed: 0,
            viewers: Vec::new(),
            place: 0,
            play: None,
            plays: 0,
            // Not near the end: some players take a wrap for a loss.
            sequence_number: u16::from_be_bytes([high & 0x7f, low]),
            timestamp: crate::random(),
            size: None,
            packets: 0,
            octets: 0,
            dropped: BTreeMap::new(),
            made: BTreeSet::new(),
            spans: 0,
            ahead: Ahead::Nothing,
            headers: Vec::new(),
        };
        Self { id: new_id(), manner, ssrc, means, pacer, position: Mutex::new(position) }
    }

    fn position(&self) -> MutexGuard<'_, Position> {
        self.position.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The movie that is sent.
    pub fn movie(&self) -> Arc<MovieFile> {
        self.position().movie.clone()
    }

    /// The place from which it goes on, in nanoseconds, and the sequence number and RTP timestamp
    /// that the next play begins with. While it plays, those of the next frame.
    pub fn stands(&self) -> (u64, u16, u32) {
        let position = self.position();
        match &position.play {
            Some(play) => {
                let timestamp = play.timestamp_at(play.plan.due(play.ticks));
                (play.plan.place(play.ticks), position.sequence_number, timestamp)
            }
            None => (position.place, position.sequence_number, position.timestamp),
        }
    }

    /// Whether a play is under way.
    pub fn is_playing(&self) -> bool {
        self.position().play.is_some()
    }

    /// Sends to a viewer too, instead of in the way that it was sent before.
    pub fn join(&self, session: &str, delivery: Arc<Delivery>) {
        let mut position = self.position();
        position.viewers.retain(|viewer| viewer.session != session);
        if let Some(play) = &mut position.play {
            // A report for the new one, too.
            play.report = Instant::now();
        }
        position.viewers.push(Viewer { session: session.to_owned(), delivery });
    }

    /// Sends to that viewer no more; not even a packet once this returns.
    pub fn leave(&self, session: &str) {
        let mut position = self.position();
        position.viewers.retain(|viewer| viewer.session != session);
        if position.viewers.is_empty() {
            stop(&mut position);
        }
    }

    /// Plays a plan, instead of what is under way, if anybody watches.
    pub fn play(self: &Arc<Self>, plan: Plan) {
        let now = Instant::now();
        let begin = self.pacer.next_slot(plan.framerate);
        let number = {
            let mut position = self.position();
            stop(&mut position);
            if position.viewers.is_empty() {
                return;
            }
            position.passed = 0;
            position.plays += 1;
            let (number, timestamp) = (position.plays, position.timestamp);
            let play = Play { number, plan, begin, ticks: 0, timestamp, report: now, waits: false };
            position.play = Some(play);
            number
        };
        self.pacer.send_at(begin, number, self.clone());
    }

    /// Sends no more, not even a packet once this returns.
    pub fn stop(&self) {
        stop(&mut self.position());
    }

    /// Sends no more, and says so.
    pub fn say_goodbye(&self) {
        let mut position = self.position();
        if let Some(play) = position.play {
            self.report(&position, play.timestamp_now(Instant::now()), true);
        }
        stop(&mut position);
    }

    /// The frame's number in the movie, and where it lies.
    fn look_up(
        &self,
        position: &mut Position,
        play: &mut Play,
        frame: u64,
    ) -> Result<(u64, FrameLocation), Option<Instant>> {
        let look = |movie: &MovieFile, number| {
            movie.frame(number, &AtomicBool::new(false), Some(Duration::ZERO))
        };
        let again = |movie: &MovieFile, number| match look(movie, number) {
            Lookup::Frame(location) => Ok((number, location)),
            Lookup::End(_) | Lookup::Cancelled => Err(None),
        };
        let within = frame.saturating_sub(position.passed);
        match look(&position.movie, within) {
            Lookup::Frame(location) => Ok((within, location)),
            Lookup::Cancelled => {
                play.waits = true;
                Err(Some(Instant::now() + INDEX))
            }
            Lookup::End(frames) if frames > 0 && self.manner.looping => {
                position.passed += within - within % frames;
                // Growth is taken in between passes only, so that a pass has one length.
                if let Ok(Some(grown)) = position.movie.if_grown() {
                    position.movie = grown;
                }
                again(&position.movie, within % frames)
            }
            // The place lies behind the last frame: that one is shown.
            Lookup::End(frames) if frames > 0 && play.ticks == 0 => {
                play.plan.first = frames - 1;
                again(&position.movie, frames - 1)
            }
            Lookup::End(_) => Err(None),
        }
    }

    /// A frame's payloads, if they are there by now; otherwise when to come again.
    fn ready(
        self: &Arc<Self>,
        position: &mut Position,
        (frame, location): (u64, FrameLocation),
        room: &mut Vec<u8>,
    ) -> Result<Arc<Ready>, Option<Found>> {
        let key = key(position, frame);
        let found = match std::mem::take(&mut position.ahead) {
            Ahead::Made(made, found) if made == frame => found,
            Ahead::Making(making, _) if making == frame => {
                position.ahead = Ahead::Making(frame, true);
                return Err(Some(Found::TakesLong));
            }
            _ => self.means.frames.now(&position.movie, location, key, room),
        };
        match found {
            Ok(Found::Ready(ready)) => Ok(ready),
            Ok(Found::NotInMemory) => {
                position.ahead = Ahead::Making(frame, true);
                self.wait_for(position.movie.clone(), frame, location, key);
                Err(Some(Found::NotInMemory))
            }
            Ok(Found::TakesLong) => {
                position.ahead = Ahead::Making(frame, true);
                self.make(position.movie.clone(), frame, location, key);
                Err(Some(Found::TakesLong))
            }
            Ok(Found::Shrunk) => {
                reports::shrunk(&position.movie, frame, location.offset);
                Err(None)
            }
            Err(error) => {
                let path = position.movie.path().display();
                tracing::warn!(%path, frame = frame + 1, "cannot be read: {error}");
                Err(None)
            }
        }
    }

    /// Waits for a frame elsewhere, and goes on then.
    fn wait_for(
        self: &Arc<Self>,
        movie: Arc<MovieFile>,
        frame: u64,
        location: FrameLocation,
        key: Key,
    ) {
        let stream = self.clone();
        self.means.workers.read(self.clone(), move || {
            match stream.means.frames.wait(&movie, location, key) {
                Ok(Found::TakesLong) => stream.make(movie, frame, location, key),
                found => stream.made(frame, found),
            }
        });
    }

    /// Makes a frame elsewhere, and goes on then if it is waited for.
    fn make(
        self: &Arc<Self>,
        movie: Arc<MovieFile>,
        frame: u64,
        location: FrameLocation,
        key: Key,
    ) {
        let stream = self.clone();
        self.means.workers.encode(self.clone(), move || {
            let found = stream.means.frames.slowly(&movie, location, key);
            stream.made(frame, found);
        });
    }

    fn made(self: Arc<Self>, frame: u64, found: io::Result<Found>) {
        let mut position = self.position();
        let waited = match position.ahead {
            Ahead::Making(making, waited) if making == frame => waited,
            // Another place has been chosen since.
            _ => return,
        };
        position.ahead = Ahead::Made(frame, found);
        let play = position.play.as_ref().filter(|_| waited).map(|play| play.number);
        drop(position);
        if let Some(play) = play {
            self.pacer.clone().send_at(Instant::now(), play, self);
        }
    }

    /// Makes the frame of the next tick ahead of its time.
    fn make_ahead(self: &Arc<Self>, position: &mut Position, play: &mut Play) {
        if !matches!(position.ahead, Ahead::Nothing) {
            return;
        }
        let Some(frame) = play.plan.frame(play.ticks) else { return };
        if let Ok((frame, location)) = self.look_up(position, play, frame) {
            position.ahead = Ahead::Making(frame, false);
            self.make(position.movie.clone(), frame, location, key(position, frame));
        }
    }

    /// Sends a frame to all viewers; [`Sent::Busy`] if it has to be sent again.
    fn send(
        self: &Arc<Self>,
        position: &mut Position,
        play: &Play,
        payloads: &JpegPayloads,
    ) -> Sent {
        let mut headers = std::mem::take(&mut position.headers);
        headers.clear();
        let mut header = RtpHeader {
            version: 2,
            padding: false,
            extension: false,
            csrc_count: 0,
            marker: false,
            payload_type: PAYLOAD_TYPE_JPEG,
            sequence_number: position.sequence_number,
            timestamp: play.timestamp_at(play.plan.due(play.ticks)),
            ssrc: self.ssrc,
        };
        let count = payloads.iter().len();
        for place in 1..=count {
            header.marker = place == count;
            headers.push(header.to_bytes());
            header.sequence_number = header.sequence_number.wrapping_add(1);
        }
        let datagrams = Datagrams::new(&headers, payloads);
        let number = play.number;
        let resume = || -> Drained {
            let stream = self.clone();
            Box::new(move || stream.pacer.clone().send_at(Instant::now(), number, stream))
        };
        // A live movie waits for nobody.
        let resume: Option<&dyn Fn() -> Drained> =
            if self.manner.live { None } else { Some(&resume) };
        let mut sent = Sent::Done;
        for viewer in &position.viewers {
            let of_viewer = viewer.delivery.send(&datagrams, &headers, payloads, resume);
            if resume.is_some() && of_viewer == Sent::Busy {
                sent = Sent::Busy;
            }
        }
        if sent == Sent::Done {
            let wrapping = |number: usize| u32::try_from(number).unwrap_or(0);
            position.sequence_number = header.sequence_number;
            position.packets = position.packets.wrapping_add(wrapping(count));
            position.octets = position.octets.wrapping_add(wrapping(payloads.bytes()));
        }
        drop(datagrams);
        position.headers = headers;
        sent
    }

    fn report(&self, position: &Position, timestamp: u32, goodbye: bool) {
        let now = SystemTime::now();
        let (packets, octets) = (position.packets, position.octets);
        let report = Report { ssrc: self.ssrc, now, timestamp, packets, octets };
        let packet = report.packet(&self.means.name, goodbye);
        for viewer in &position.viewers {
            viewer.delivery.report(&packet);
        }
    }

    /// The end of the movie, or of the range.
    fn end(&self, position: &mut Position, play: &Play) -> Option<Instant> {
        self.report(position, play.timestamp_now(Instant::now()), true);
        stop(position);
        // The next play begins anew, unless the range has ended before the movie.
        if play.plan.frame(play.ticks).is_some() {
            position.place = 0;
        }
        None
    }

    /// What is done of a play when its next tick is due.
    fn tick(
        self: &Arc<Self>,
        position: &mut Position,
        play: &mut Play,
        room: &mut Vec<u8>,
    ) -> Option<Instant> {
        let found = match play.plan.frame(play.ticks) {
            Some(frame) => self.look_up(position, play, frame),
            None => Err(None),
        };
        let (frame, location) = match found {
            Ok(found) => found,
            Err(None) => return self.end(position, play),
            Err(again) => return again,
        };
        position.spans = reports::bad_spans(&position.movie, position.spans, frame);
        let now = Instant::now();
        if std::mem::take(&mut play.waits) {
            play.begin += now.saturating_duration_since(play.due());
        }
        let ready = match self.ready(position, (frame, location), room) {
            Ok(ready) => ready,
            // Who makes it goes on.
            Err(Some(_)) => return None,
            Err(None) => return self.end(position, play),
        };
        match &*ready {
            Ready::Dropped(why) => {
                let count = position.dropped.entry(why.kind()).or_default();
                *count += 1;
                if *count == 1 {
                    reports::dropped(&position.movie, frame, location.offset, why);
                }
            }
            Ready::Sent { payloads, size, way, reason } => {
                if let Some(reason) = reason
                    && position.made.insert(reason.kind())
                {
                    reports::made(&position.movie, frame, *way, reason);
                }
                if self.send(position, play, payloads) == Sent::Busy {
                    // The connection goes on once it has sent what came before.
                    position.ahead = Ahead::Made(frame, Ok(Found::Ready(ready)));
                    return None;
                }
                position.size = position.size.or(*size);
            }
        }
        play.ticks += 1;
        if now >= play.report {
            play.report = now + REPORTS;
            self.report(position, play.timestamp_now(now), false);
        }
        if ready.is_made() {
            self.make_ahead(position, play);
        }
        let late = now.saturating_duration_since(play.due());
        if late > LATE {
            play.begin += late;
        }
        Some(play.due())
    }
}

fn key(position: &Position, frame: u64) -> Key {
    Key { movie: position.movie.number(), frame, size: position.size }
}

/// Stops what is played; the next play goes on from there.
fn stop(position: &mut Position) {
    position.ahead = Ahead::Nothing;
    if let Some(play) = position.play.take() {
        position.place = play.plan.place(play.ticks);
        position.timestamp = play.timestamp_at(play.plan.due(play.ticks));
    }
}

impl Paced for Stream {
    fn id(&self) -> u64 {
        self.id
    }

    fn send_next(self: Arc<Self>, number: u64, room: &mut Vec<u8>) -> Option<Instant> {
        // Held while it sends: who stops it may rely on it.
        let mut position = self.position();
        let mut play = position.play.filter(|play| play.number == number)?;
        let next = self.tick(&mut position, &mut play, room);
        if position.play.is_some() {
            position.play = Some(play);
        }
        next
    }

    fn fail(&self) {
        self.say_goodbye();
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let position = self.position();
        let kinds = &position.dropped;
        if !kinds.is_empty() {
            let (path, dropped) = (position.movie.path().display(), kinds.values().sum::<u64>());
            tracing::info!(%path, dropped, ?kinds, "frames dropped in all for a viewer");
        }
    }
}
