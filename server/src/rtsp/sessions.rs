// SPDX-License-Identifier: MIT OR Apache-2.0
//! RTSP sessions: what has been agreed on with each viewer, and what it is sent.

use super::delivery::Delivery;
use super::library::Library;
use super::plan::Plan;
use super::play_request::Asked;
use super::sdp::seconds;
use super::stream::{Manner, Means, Stream};
use crate::connection::limits::Origin;
use crate::mount::Mount;
use crate::pacer::Pacers;
use gst_rtsp_server::RTSPSession;
use gst_rtsp_server::prelude::*;
use gstmjpegfile::movie::FrameRate;
use gstmjpegfile::movie_file::MovieFile;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

/// A viewer's session. It plays one movie.
pub(super) struct Session {
    /// The identifier, which gst-rtsp-server has chosen.
    pub id: String,
    /// The movie's mount.
    pub mount: Arc<Mount>,
    /// The library's session, which has the time limit.
    pub library: RTSPSession,
    /// Whose limits it counts for.
    pub origin: Origin,
    /// The synchronization source that SETUP has told the viewer.
    pub ssrc: u32,
    /// The way to the viewer.
    pub delivery: Arc<Delivery>,
    /// What it is sent, from the first PLAY on.
    stream: Mutex<Option<Arc<Stream>>>,
}

impl Session {
    /// A session in which nothing has been played.
    pub fn new(
        (id, library): (String, RTSPSession),
        mount: Arc<Mount>,
        origin: Origin,
        ssrc: u32,
        delivery: Delivery,
    ) -> Self {
        let (delivery, stream) = (Arc::new(delivery), Mutex::default());
        Self { id, mount, library, origin, ssrc, delivery, stream }
    }

    fn stream(&self) -> MutexGuard<'_, Option<Arc<Stream>>> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether frames are being sent to it.
    pub fn is_playing(&self) -> bool {
        self.stream().as_ref().is_some_and(|stream| stream.is_playing())
    }

    /// Sends no more; no packet is sent to it once this returns.
    fn leave(&self) {
        let stream = self.stream().take();
        if let Some(stream) = stream {
            stream.leave(&self.id);
        }
    }
}

/// What a PLAY starts once it has been answered, and what the answer says of it.
pub(super) struct Prepared {
    session: Arc<Session>,
    stream: Arc<Stream>,
    /// What is played; `None` goes on with what is under way.
    plan: Option<Plan>,
    live: bool,
    pub answer: PlayAnswer,
}

/// What a PLAY's reply says of what is sent from then on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PlayAnswer {
    /// The Range header.
    pub range: String,
    pub scale: Option<String>,
    pub speed: Option<String>,
    /// The sequence number of the first packet; not known of what is live.
    pub sequence_number: Option<u16>,
    /// The RTP timestamp of the range's start.
    pub timestamp: u32,
}

impl PlayAnswer {
    /// The RTP-Info header (RFC 2326 section 12.33) for the URL of the stream.
    pub fn rtp_info(&self, url: &str) -> String {
        let number = self.sequence_number.map_or_else(String::new, |it| format!(";seq={it}"));
        format!("url={url}{number};rtptime={}", self.timestamp)
    }
}

/// A live movie: its mount point and the file.
type LiveKey = (String, u64);

/// A stream of a live movie has so many viewers before there is another one: what is sent within a
/// millisecond or so.
const FULL: usize = 32;

/// All sessions.
pub(super) struct Sessions {
    all: Mutex<HashMap<String, Arc<Session>>>,
    /// The streams that share a live movie's viewers, each at a time of its own within a frame's.
    live: Mutex<HashMap<LiveKey, Vec<Weak<Stream>>>>,
    library: Arc<Library>,
    manner: Manner,
    framerate: FrameRate,
    means: Arc<Means>,
    pacers: Arc<Pacers>,
    /// When live movies began.
    begin: Instant,
}

/// Why a PLAY cannot be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotPlayed {
    /// The movie is gone.
    NoMovie,
    /// There is no thread that sends.
    NoPacer,
}

impl Sessions {
    /// `begin` is when live movies began.
    pub fn new(
        library: &Arc<Library>,
        (manner, framerate, begin): (Manner, FrameRate, Instant),
        means: Arc<Means>,
        pacers: Arc<Pacers>,
    ) -> Arc<Self> {
        let (all, live) = (Mutex::default(), Mutex::default());
        let sessions =
            Self { all, live, library: library.clone(), manner, framerate, means, pacers, begin };
        let sessions = Arc::new(sessions);
        let of_library = Arc::downgrade(&sessions);
        // Before anything else hears of it, so that nothing is sent to a viewer that is gone.
        library.on_session_ended(move |id| {
            if let Some(sessions) = of_library.upgrade() {
                sessions.forget(id);
            }
        });
        sessions
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Arc<Session>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session that has not ended.
    pub fn get(&self, id: &str) -> Option<Arc<Session>> {
        self.all().get(id).cloned()
    }

    /// Takes a new session in.
    pub fn add(&self, session: Session) {
        self.all().insert(session.id.clone(), Arc::new(session));
    }

    /// How many sessions count for an origin.
    pub fn count(&self, origin: Origin) -> usize {
        self.all().values().filter(|session| session.origin == origin).count()
    }

    fn forget(&self, id: &str) {
        let session = self.all().remove(id);
        if let Some(session) = session {
            session.leave();
        }
    }

    /// Ends a session: no packet is sent to it once this returns. It may wait for locks of the
    /// library.
    pub fn end(&self, id: &str) {
        self.forget(id);
        self.library.end(id);
    }

    /// Ends the sessions that nobody has kept alive. What a connection takes keeps its viewer's
    /// session alive; of datagrams the viewer's reports do, which the library receives.
    pub fn end_expired(&self) {
        let taken: Vec<Arc<Session>> = {
            let all = self.all();
            all.values().filter(|session| session.delivery.was_taken()).cloned().collect()
        };
        for session in taken {
            session.library.touch();
        }
        let ended = self.library.end_expired();
        if ended > 0 {
            tracing::info!(sessions = ended, "sessions timed out");
        }
    }

    /// Stops all that is sent, and says so to whoever it is sent to.
    pub fn end_all(&self) {
        let all = std::mem::take(&mut *self.all());
        for session in all.into_values() {
            let stream = session.stream().take();
            if let Some(stream) = stream {
                stream.say_goodbye();
            }
        }
    }

    /// Stops for a PAUSE.
    pub fn pause(&self, session: &Session) {
        if let Some(stream) = &*session.stream() {
            if self.manner.live {
                stream.leave(&session.id);
            } else {
                stream.stop();
            }
        }
    }

    /// A movie's time in nanoseconds, if its end is known and it has one.
    pub fn duration(&self, movie: &MovieFile) -> Option<u64> {
        let frames = movie.total_frames().filter(|_| !self.manner.looping)?;
        Some(self.framerate.start_of(frames))
    }

    /// The duration of the movie that a session plays.
    pub fn duration_of(&self, session: &Session) -> Option<u64> {
        let playing = session.stream().as_ref().map(|stream| stream.movie());
        let movie = playing.or_else(|| session.mount.open().ok())?;
        self.duration(&movie)
    }

    /// Stops what is played and makes ready what a PLAY asks for.
    pub fn prepare(&self, session: &Arc<Session>, asked: &Asked) -> Result<Prepared, NotPlayed> {
        let present = session.stream().clone();
        if self.manner.live {
            let stream = match present {
                Some(stream) => stream,
                None => self.live_stream(session)?,
            };
            return Ok(self.join_live(session, stream, asked));
        }
        let stream = match present {
            Some(stream) => stream,
            None => {
                let movie = session.mount.open().map_err(|_| NotPlayed::NoMovie)?;
                let pacer = self.pacers.pick().ok_or(NotPlayed::NoPacer)?;
                let means = self.means.clone();
                let stream = Stream::new(movie, self.manner, session.ssrc, means, pacer);
                let stream = Arc::new(stream);
                stream.join(&session.id, session.delivery.clone());
                *session.stream() = Some(stream.clone());
                stream
            }
        };
        let on = stream.is_playing() && asked.is_plain();
        if !on {
            stream.stop();
        }
        let (place, number, timestamp) = stream.stands();
        let duration = self.duration(&stream.movie());
        let begin = asked.begin.unwrap_or(place);
        let (scale, speed) = (asked.scale.unwrap_or(1.0), asked.speed.unwrap_or(1.0));
        let mut plan = Plan::new(self.framerate, begin, asked.end, scale, speed);
        if let Some(frames) = stream.movie().total_frames() {
            plan.first = plan.first.min(frames.saturating_sub(1));
        }
        // The movie's own end is left open: rtspsrc 1.22 would estimate when it comes, from packets
        // of before a seek too, and stop there. RTCP BYE reports it.
        let end = match (asked.end, plan.backwards) {
            (None, true) => Some(0),
            (end, true) => end,
            (end, false) => end.filter(|end| duration.is_none_or(|duration| *end < duration)),
        };
        let end = end.map_or_else(String::new, seconds);
        let rate = |rate: f64| format!("{rate:.3}");
        let answer = PlayAnswer {
            range: format!("npt={}-{end}", seconds(plan.place(0))),
            scale: asked.scale.map(rate),
            speed: asked.speed.map(rate),
            sequence_number: Some(number),
            timestamp,
        };
        let (session, plan) = (session.clone(), (!on).then_some(plan));
        Ok(Prepared { session, stream, plan, live: false, answer })
    }

    /// The stream of a live movie for one more viewer: the emptiest, or a new one if all are full
    /// and there is a place for one. All at once, they would be in one another's way.
    fn live_stream(&self, session: &Session) -> Result<Arc<Stream>, NotPlayed> {
        let movie = session.mount.open().map_err(|_| NotPlayed::NoMovie)?;
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.retain(|_, streams| streams.iter().any(|stream| stream.strong_count() > 0));
        let key = (session.mount.point.clone(), movie.number());
        let streams = live.entry(key).or_default();
        let places = self.pacers.places(self.framerate);
        let mut free = None;
        let mut emptiest = None;
        for (which, pacer) in places.enumerate() {
            let Some(stream) = streams.get(which).and_then(Weak::upgrade) else {
                free = free.or(Some((which, pacer)));
                continue;
            };
            // Each session that watches holds it.
            let viewers = Arc::strong_count(&stream);
            if emptiest.as_ref().is_none_or(|(least, _)| viewers < *least) {
                emptiest = Some((viewers, stream));
            }
        }
        match (emptiest, free) {
            (Some((viewers, stream)), free) if viewers < FULL || free.is_none() => Ok(stream),
            (_, Some((which, pacer))) => {
                let means = self.means.clone();
                let stream = Stream::new(movie, self.manner, session.ssrc, means, pacer);
                let stream = Arc::new(stream);
                let count = streams.len().max(which + 1);
                streams.resize_with(count, Weak::new);
                streams[which] = Arc::downgrade(&stream);
                Ok(stream)
            }
            (_, None) => Err(NotPlayed::NoPacer),
        }
    }

    fn join_live(&self, session: &Arc<Session>, stream: Arc<Stream>, asked: &Asked) -> Prepared {
        *session.stream() = Some(stream.clone());
        let elapsed = u64::try_from(self.begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let (_, _, timestamp) = stream.stands();
        // At its own rate, whatever is asked for.
        let own = |rate: Option<f64>| rate.map(|_| "1.000".to_owned());
        let answer = PlayAnswer {
            range: "npt=now-".to_owned(),
            scale: own(asked.scale),
            speed: own(asked.speed),
            sequence_number: None,
            timestamp,
        };
        let plan = Some(Plan::new(self.framerate, elapsed, None, 1.0, 1.0));
        Prepared { session: session.clone(), stream, plan, live: true, answer }
    }
}

impl Prepared {
    /// The PLAY has been answered: packets follow.
    pub fn start(self) {
        let Self { session, stream, plan, live, .. } = self;
        // Held, so that a session that ends meanwhile has ended, or ends what is started here.
        let present = session.stream();
        if !present.as_ref().is_some_and(|present| Arc::ptr_eq(present, &stream)) {
            return;
        }
        if live {
            stream.join(&session.id, session.delivery.clone());
        }
        if let Some(plan) = plan
            && !(live && stream.is_playing())
        {
            stream.play(plan);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rtp_info_states_what_is_known() {
        let answer = |sequence_number| PlayAnswer {
            range: String::new(),
            scale: None,
            speed: None,
            sequence_number,
            timestamp: 9,
        };
        let url = "rtsp://host/movie.mjpeg/stream=0";
        let rows = [
            (Some(7), "url=rtsp://host/movie.mjpeg/stream=0;seq=7;rtptime=9"),
            (None, "url=rtsp://host/movie.mjpeg/stream=0;rtptime=9"),
        ];
        for (number, want) in rows {
            assert_eq!(answer(number).rtp_info(url), want);
        }
    }
}
