// SPDX-License-Identifier: MIT OR Apache-2.0
//! All sessions of standard RTSP, and the plays that they start.

use super::frame_sink::RtspSink;
use super::gst_server::GstServer;
use super::multicast::Group;
use super::payload_cache::PayloadCache;
use super::play_request::PlayRequest;
use super::sdp::seconds;
use super::session::{Goodbye, Session, Stream, duration};
use crate::config::Limits;
use crate::connection::limits::Origin;
use crate::send::live::LiveStreams;
use crate::send::pacer::Pacer;
use crate::send::stream::Resources;
use crate::send::timeline::Plan;
use crate::send::{ReportTime, SendContext};
use crate::viewers::ViewerLimit;
use gst_rtsp_server::prelude::*;
use gstmjpegfile::movie_file::MovieFile;
use gstmjpegfile::rtp::Timestamp;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

/// A play that starts once the PLAY request has been answered.
pub(super) struct PreparedPlay {
    session: Arc<Session>,
    stream: Arc<Stream>,
    /// What is played; `None` to continue the present play.
    plan: Option<Plan>,
    live: bool,
    pub reply: PlayReply,
}

impl PreparedPlay {
    /// Whether packets are sent from now on that would not be sent without this play.
    pub fn is_new(&self) -> bool {
        self.plan.is_some()
    }
}

/// The values of the headers in the reply to PLAY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PlayReply {
    pub range: String,
    pub scale: Option<String>,
    pub speed: Option<String>,
    /// The sequence number of the first packet; `None` for a live movie, where it is not known.
    pub sequence_number: Option<u16>,
    /// The RTP timestamp of the start of the range.
    pub timestamp: Timestamp,
}

impl PlayReply {
    /// The RTP-Info header (RFC 2326 section 12.33) for the URL of the stream.
    pub fn rtp_info(&self, url: &str) -> String {
        let number = self.sequence_number.map_or_else(String::new, |it| format!(";seq={it}"));
        format!("url={url}{number};rtptime={}", self.timestamp)
    }
}

/// The sessions of the server.
pub(super) struct Sessions {
    all: Mutex<HashMap<String, Arc<Session>>>,
    /// The streams of live movies.
    live_streams: LiveStreams<RtspSink>,
    gst_server: Arc<GstServer>,
    context: SendContext,
    resources: Arc<Resources<PayloadCache>>,
    /// The CNAME of the server in RTCP.
    cname: Arc<str>,
}

/// Why a PLAY request cannot be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PlayError {
    /// The movie cannot be opened any more.
    NoMovie,
    /// There is no pacer.
    NoPacer,
    /// The limit of viewers is reached.
    TooManyViewers(ViewerLimit),
}

/// The limit because of which a session is not set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SessionLimit {
    /// The number of sessions in total.
    Server,
    /// The number of sessions from its address.
    Address,
}

impl SessionLimit {
    /// The event for the limit log.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Server => "SETUP refused: the server has max-sessions sessions",
            Self::Address => {
                "SETUP refused: the address has --max-connections-per-address sessions"
            }
        }
    }
}

/// Checks whether an origin may have one more session besides `all`.
fn check_limits(
    all: &HashMap<String, Arc<Session>>,
    origin: Origin,
    limits: &Limits,
) -> Result<(), SessionLimit> {
    if all.len() >= limits.max_sessions {
        return Err(SessionLimit::Server);
    }
    let of_origin = all.values().filter(|session| session.origin == origin).count();
    if of_origin >= limits.max_connections_per_address {
        return Err(SessionLimit::Address);
    }
    Ok(())
}

impl Sessions {
    /// No sessions. `cache_capacity` is the size of the cache of prepared frames in bytes.
    pub fn new(
        gst_server: &Arc<GstServer>,
        context: SendContext,
        cache_capacity: u64,
    ) -> Arc<Self> {
        let metrics = context.observatory.as_ref().map(|observatory| observatory.metrics.clone());
        let fetcher = PayloadCache::new(cache_capacity, metrics);
        let sessions = Arc::new(Self {
            all: Mutex::default(),
            live_streams: LiveStreams::default(),
            gst_server: gst_server.clone(),
            resources: Arc::new(Resources { fetcher, workers: context.workers.clone() }),
            context,
            // RFC 7022 section 5: 96 random bits.
            cname: [(); 3].map(|()| format!("{:08x}", crate::random())).concat().into(),
        });
        // gst-rtsp-server ends sessions too, such as those that time out. This is its first handler,
        // so that no packet is sent to a viewer after other code has seen the session end.
        let weak = Arc::downgrade(&sessions);
        sessions.gst_server.on_session_ended(move |id| {
            if let Some(sessions) = weak.upgrade() {
                sessions.remove(id, "no sign of life within idle-time", Goodbye::None);
            }
        });
        sessions
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Arc<Session>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session with an identifier, if it has not ended.
    pub fn get(&self, id: &str) -> Option<Arc<Session>> {
        self.all().get(id).cloned()
    }

    /// Adds a new session.
    ///
    /// # Errors
    /// If the limit is reached.
    pub fn add(&self, session: Session, limits: &Limits) -> Result<(), SessionLimit> {
        let mut all = self.all();
        check_limits(&all, session.origin, limits)?;
        all.insert(session.id.clone(), Arc::new(session));
        Ok(())
    }

    /// Checks whether an origin may have one more session.
    ///
    /// # Errors
    /// If the limit is reached.
    pub fn has_room(&self, origin: Origin, limits: &Limits) -> Result<(), SessionLimit> {
        check_limits(&self.all(), origin, limits)
    }

    fn remove(&self, id: &str, reason: &str, goodbye: Goodbye) {
        let session = self.all().remove(id);
        if let Some(session) = session {
            session.leave_stream(goodbye);
            session.report_end(reason);
        }
    }

    /// Ends a session. No packet is sent to its viewer once this returns. May wait for locks of
    /// gst-rtsp-server.
    pub fn end(&self, id: &str, reason: &str) {
        self.end_with(id, reason, Goodbye::None);
    }

    fn end_with(&self, id: &str, reason: &str, goodbye: Goodbye) {
        self.remove(id, reason, goodbye);
        self.gst_server.end(id);
    }

    /// Ends a session at the request of an operator, and reports the end to its viewer. May wait for locks of
    /// gst-rtsp-server.
    pub fn close(&self, id: &str, reason: &str) {
        let Some(session) = self.get(id) else { return };
        let is_shared = session.mount.mode().live_since.is_some();
        self.end_with(id, reason, if is_shared { Goodbye::ToViewer } else { Goodbye::ToAll });
    }

    /// Ends the sessions that have timed out. A session over TCP is kept alive by the frames that its
    /// connection accepts, one over UDP by the reports that gst-rtsp-server receives from its viewer.
    pub fn end_expired(&self) {
        let alive: Vec<Arc<Session>> = {
            let all = self.all();
            all.values().filter(|session| session.delivery.was_used()).cloned().collect()
        };
        for session in alive {
            session.gst_handle.touch();
        }
        let ended = self.gst_server.end_expired();
        if ended > 0 {
            tracing::info!(sessions = ended, "sessions timed out");
        }
    }

    /// Ends all sessions, and reports the end to their viewers.
    pub fn end_all(&self) {
        let all = std::mem::take(&mut *self.all());
        for session in all.values() {
            session.leave_stream(Goodbye::ToAll);
        }
        for session in all.values() {
            session.report_end("the server exits");
        }
    }

    /// Ends the sessions for which `reason` returns why, and reports the end to their viewers. May wait for
    /// locks of gst-rtsp-server.
    pub fn end_if(&self, reason: impl Fn(&Session) -> Option<&'static str>) {
        let all: Vec<_> = self.all().values().cloned().collect();
        for session in all {
            let Some(reason) = reason(&session) else { continue };
            // The viewers of a live movie share its stream, which ends only if the movie does.
            let is_shared = session.mount.mode().live_since.is_some();
            let goes_on = is_shared && !session.mount.is_removed();
            let goodbye = if goes_on { Goodbye::ToViewer } else { Goodbye::ToAll };
            self.end_with(&session.id, reason, goodbye);
        }
    }

    fn new_stream(&self, session: &Session, movie: Arc<MovieFile>, pacer: Pacer) -> Arc<Stream> {
        let (mode, limit_log) = (session.mount.mode(), &self.context.limit_log);
        let live = mode.live_since.is_some();
        // The size that DESCRIBE states, wherever the play starts.
        let size = session.mount.size_of(&movie);
        let cname = self.cname.clone();
        let sink = RtspSink::new(session.ssrc, cname, live, size, limit_log.clone());
        let observatory = self.context.observatory.as_ref();
        let sink = sink.observed(observatory.map(|observatory| observatory.metrics.clone()));
        let sink = match session.delivery.group() {
            Some(group) => sink.with_group(group.clone()),
            None => sink,
        };
        // RFC 3550 section 5.1 asks for a random start.
        let start = Timestamp::from_ticks(crate::random());
        Stream::new(movie, mode, start, self.resources.clone(), pacer, sink)
    }

    /// Stops the present play and prepares the one that a PLAY request asks for.
    pub fn prepare(
        &self,
        session: &Arc<Session>,
        request: &PlayRequest,
    ) -> Result<PreparedPlay, PlayError> {
        let mode = session.mount.mode();
        {
            let mut viewer = session.viewer();
            if viewer.is_none() {
                let SendContext { viewers, limits, .. } = &self.context;
                let slot = viewers.admit(&session.mount, session.origin, &limits.get());
                *viewer = Some(slot.map_err(PlayError::TooManyViewers)?);
            }
        }
        let present = session.stream().clone();
        if let Some(since) = mode.live_since {
            let stream = match present {
                Some(stream) => stream,
                None => match session.delivery.group() {
                    Some(group) => self.group_stream(session, group)?,
                    None => self.live_stream(session)?,
                },
            };
            return Ok(prepare_live(session, stream, since, request));
        }
        let stream = match present {
            Some(stream) => stream,
            None => {
                let movie = session.mount.open().map_err(|_| PlayError::NoMovie)?;
                let pacer = self.context.pacers.pick().ok_or(PlayError::NoPacer)?;
                let stream = self.new_stream(session, movie, pacer);
                stream.with_sink(|sink| sink.add_viewer(&session.id, session.delivery.clone()));
                *session.stream() = Some(stream.clone());
                stream
            }
        };
        let continues = stream.is_playing() && request.is_plain();
        if !continues {
            stream.stop();
        }
        let position = stream.position();
        let duration = duration(&session.mount, &stream.movie());
        let start = request.start.unwrap_or(position.nanoseconds);
        let (scale, speed) = (request.scale.unwrap_or(1.0), request.speed.unwrap_or(1.0));
        let mut plan = Plan::new(mode.framerate, start, request.end, scale, speed);
        // The position in a looping movie counts on over its passes.
        if let Some(frames) = stream.movie().total_frames()
            && !mode.looping
        {
            plan.start_within(frames);
        }
        // The reply does not state the end of the movie. rtspsrc 1.22 would estimate the time until
        // then, partly from packets before a seek, and stop. RTCP BYE reports the end.
        let end = match (request.end, plan.is_backwards()) {
            (None, true) => Some(0),
            (end, true) => end,
            (end, false) => end.filter(|end| duration.is_none_or(|duration| *end < duration)),
        };
        let end = end.map_or_else(String::new, seconds);
        let rate = |rate: f64| format!("{rate:.3}");
        let reply = PlayReply {
            range: format!("npt={}-{end}", seconds(plan.position(0))),
            scale: request.scale.map(rate),
            speed: request.speed.map(rate),
            sequence_number: stream.with_sink(|sink| sink.sequence_number()),
            timestamp: position.rtptime,
        };
        let (session, plan) = (session.clone(), (!continues).then_some(plan));
        Ok(PreparedPlay { session, stream, plan, live: false, reply })
    }

    /// The stream of a live movie that is sent to a multicast group.
    fn group_stream(&self, session: &Session, group: &Group) -> Result<Arc<Stream>, PlayError> {
        let movie = session.mount.open().map_err(|_| PlayError::NoMovie)?;
        group.stream(&session.id, || {
            let pacer = self.context.pacers.pick().ok_or(PlayError::NoPacer)?;
            Ok(self.new_stream(session, movie, pacer))
        })
    }

    /// The stream of a live movie for one more viewer.
    fn live_stream(&self, session: &Session) -> Result<Arc<Stream>, PlayError> {
        let movie = session.mount.open().map_err(|_| PlayError::NoMovie)?;
        let new = |movie, pacer| self.new_stream(session, movie, pacer);
        let stream = self.live_streams.stream(&session.mount, movie, &self.context.pacers, new);
        stream.ok_or(PlayError::NoPacer)
    }
}

/// Prepares the play of a live movie, from its live position.
fn prepare_live(
    session: &Arc<Session>,
    stream: Arc<Stream>,
    since: Instant,
    request: &PlayRequest,
) -> PreparedPlay {
    *session.stream() = Some(stream.clone());
    let elapsed = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let timestamp = stream.position().rtptime;
    // A live movie is always played at its own rate.
    let own_rate = |rate: Option<f64>| rate.map(|_| "1.000".to_owned());
    let reply = PlayReply {
        range: "npt=now-".to_owned(),
        scale: own_rate(request.scale),
        speed: own_rate(request.speed),
        sequence_number: None,
        timestamp,
    };
    let framerate = session.mount.mode().framerate;
    let plan = Some(Plan::new(framerate, elapsed, None, 1.0, 1.0));
    PreparedPlay { session: session.clone(), stream, plan, live: true, reply }
}

impl PreparedPlay {
    /// Starts the play. Must be called after the reply has been sent.
    ///
    /// If the session has ended since the request was accepted, the viewer has been told that it plays: it gets the end
    /// of the movie, without which players wait for packets.
    pub fn start(self) {
        let Self { session, stream, plan, live, reply } = self;
        // Locked until the play has started: a session that ends meanwhile has either ended before, or
        // stops this play afterwards.
        let mut present = session.stream();
        if session.has_ended() {
            present.take();
            drop(present);
            let wall_clock = SystemTime::now();
            let time = ReportTime { wall_clock, rtptime: reply.timestamp };
            return session.refuse_play(&stream, time);
        }
        if !present.as_ref().is_some_and(|present| Arc::ptr_eq(present, &stream)) {
            return;
        }
        if live {
            stream.with_sink(|sink| sink.add_viewer(&session.id, session.delivery.clone()));
            // The new viewer needs a sender report.
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
    fn rtp_info_has_the_sequence_number_if_it_is_known() {
        let reply = |sequence_number| PlayReply {
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
            assert_eq!(reply(number).rtp_info(url), want);
        }
    }
}
