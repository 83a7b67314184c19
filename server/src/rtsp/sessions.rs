// SPDX-License-Identifier: MIT OR Apache-2.0
//! RTSP sessions: what has been agreed on with each viewer, and what it is sent.

use super::delivery::Delivery;
use super::frames::PayloadCache;
use super::library::Library;
use super::outlet::RtspOutlet;
use super::play_request::Asked;
use super::sdp::seconds;
use crate::connection::limits::Origin;
use crate::mount::Mount;
use crate::pacer::{Pacer, Pacers};
use crate::send::stream::{Resources, Stream as StreamOf};
use crate::send::timeline::Plan;
use gst_rtsp_server::RTSPSession;
use gst_rtsp_server::prelude::*;
use gstmjpegfile::movie::FrameRate;
use gstmjpegfile::movie_file::MovieFile;
use gstmjpegfile::rtp::Timestamp;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

type Stream = StreamOf<RtspOutlet>;

/// How movies are played.
#[derive(Debug, Clone, Copy)]
pub(super) struct PlaybackMode {
    /// Frames a second.
    pub framerate: FrameRate,
    /// They start over at their end.
    pub looping: bool,
    /// All viewers see the same of a movie since this moment, and nobody seeks.
    pub live_since: Option<Instant>,
}

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
            stream.with_outlet(|outlet| outlet.leave(&self.id));
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
    pub timestamp: Timestamp,
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
    mode: PlaybackMode,
    resources: Arc<Resources<PayloadCache>>,
    /// The name by which RTCP knows this server.
    cname: Arc<str>,
    pacers: Arc<Pacers>,
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
    /// Without a session.
    pub fn new(
        library: &Arc<Library>,
        mode: PlaybackMode,
        resources: Resources<PayloadCache>,
        pacers: Arc<Pacers>,
    ) -> Arc<Self> {
        let (all, live) = (Mutex::default(), Mutex::default());
        let cname = format!("{:08x}{:08x}", crate::random(), crate::random()).into();
        let (library, resources) = (library.clone(), Arc::new(resources));
        let sessions = Self { all, live, library, mode, resources, cname, pacers };
        let sessions = Arc::new(sessions);
        let of_library = Arc::downgrade(&sessions);
        // Before anything else hears of it, so that nothing is sent to a viewer that is gone.
        sessions.library.on_session_ended(move |id| {
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
                stream.end();
            }
        }
    }

    /// Stops for a PAUSE.
    pub fn pause(&self, session: &Session) {
        if let Some(stream) = &*session.stream() {
            match self.mode.live_since {
                Some(_) => drop(stream.with_outlet(|outlet| outlet.leave(&session.id))),
                None => stream.stop(),
            }
        }
    }

    /// A movie's time in nanoseconds, if its end is known and it has one.
    pub fn duration(&self, movie: &MovieFile) -> Option<u64> {
        let frames = movie.total_frames().filter(|_| !self.mode.looping)?;
        Some(self.mode.framerate.start_of(frames).get())
    }

    /// The duration of the movie that a session plays.
    pub fn duration_of(&self, session: &Session) -> Option<u64> {
        let playing = session.stream().as_ref().map(|stream| stream.movie());
        let movie = playing.or_else(|| session.mount.open().ok())?;
        self.duration(&movie)
    }

    fn new_stream(&self, movie: Arc<MovieFile>, ssrc: u32, pacer: Pacer) -> Arc<Stream> {
        let PlaybackMode { framerate, looping, live_since } = self.mode;
        let outlet = RtspOutlet::new(ssrc, self.cname.clone(), live_since.is_some());
        let resources = self.resources.clone();
        // RFC 3550 section 5.1 asks for a random start.
        let start = Timestamp::from_ticks(crate::random());
        Stream::new(movie, (framerate, looping), start, resources, pacer, outlet)
    }

    /// Stops what is played and makes ready what a PLAY asks for.
    pub fn prepare(&self, session: &Arc<Session>, asked: &Asked) -> Result<Prepared, NotPlayed> {
        let present = session.stream().clone();
        if let Some(since) = self.mode.live_since {
            let stream = match present {
                Some(stream) => stream,
                None => self.live_stream(session)?,
            };
            return Ok(self.join_live(session, stream, since, asked));
        }
        let stream = match present {
            Some(stream) => stream,
            None => {
                let movie = session.mount.open().map_err(|_| NotPlayed::NoMovie)?;
                let pacer = self.pacers.pick().ok_or(NotPlayed::NoPacer)?;
                let stream = self.new_stream(movie, session.ssrc, pacer);
                stream.with_outlet(|outlet| outlet.join(&session.id, session.delivery.clone()));
                *session.stream() = Some(stream.clone());
                stream
            }
        };
        let goes_on = stream.is_playing() && asked.is_plain();
        if !goes_on {
            stream.stop();
        }
        let position = stream.position();
        let duration = self.duration(&stream.movie());
        let start = asked.begin.unwrap_or(position.nanoseconds);
        let (scale, speed) = (asked.scale.unwrap_or(1.0), asked.speed.unwrap_or(1.0));
        let mut plan = Plan::new(self.mode.framerate, start, asked.end, scale, speed);
        // A looping movie counts on over its passes.
        if let Some(frames) = stream.movie().total_frames()
            && !self.mode.looping
        {
            plan.start_within(frames);
        }
        // The movie's own end is left open: rtspsrc 1.22 would estimate when it comes, from packets
        // of before a seek too, and stop there. RTCP BYE reports it.
        let end = match (asked.end, plan.is_backwards()) {
            (None, true) => Some(0),
            (end, true) => end,
            (end, false) => end.filter(|end| duration.is_none_or(|duration| *end < duration)),
        };
        let end = end.map_or_else(String::new, seconds);
        let rate = |rate: f64| format!("{rate:.3}");
        let answer = PlayAnswer {
            range: format!("npt={}-{end}", seconds(plan.position(0))),
            scale: asked.scale.map(rate),
            speed: asked.speed.map(rate),
            sequence_number: stream.with_outlet(|outlet| outlet.sequence_number()),
            timestamp: position.rtptime,
        };
        let (session, plan) = (session.clone(), (!goes_on).then_some(plan));
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
        let places = self.pacers.places(self.mode.framerate);
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
                let stream = self.new_stream(movie, session.ssrc, pacer);
                let count = streams.len().max(which + 1);
                streams.resize_with(count, Weak::new);
                streams[which] = Arc::downgrade(&stream);
                Ok(stream)
            }
            (_, None) => Err(NotPlayed::NoPacer),
        }
    }

    fn join_live(
        &self,
        session: &Arc<Session>,
        stream: Arc<Stream>,
        since: Instant,
        asked: &Asked,
    ) -> Prepared {
        *session.stream() = Some(stream.clone());
        let elapsed = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let timestamp = stream.position().rtptime;
        // At its own rate, whatever is asked for.
        let own = |rate: Option<f64>| rate.map(|_| "1.000".to_owned());
        let answer = PlayAnswer {
            range: "npt=now-".to_owned(),
            scale: own(asked.scale),
            speed: own(asked.speed),
            sequence_number: None,
            timestamp,
        };
        let plan = Some(Plan::new(self.mode.framerate, elapsed, None, 1.0, 1.0));
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
            stream.with_outlet(|outlet| outlet.join(&session.id, session.delivery.clone()));
            // A report for the new viewer, too.
            stream.report_soon();
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
            timestamp: Timestamp::from_ticks(9),
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
