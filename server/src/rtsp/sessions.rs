// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who is sent what: from RTSP sessions to streams.

use super::delivery::Delivery;
use super::factory::MovieFactory;
use super::media::MovieMedia;
use super::plan::Plan;
use super::play_request::Asked;
use super::stream::{Manner, Means, Stream};
use crate::pacer::Pacers;
use glib::prelude::*;
use gst_rtsp_server::prelude::*;
use gst_rtsp_server::{RTSPClient, RTSPSessionMedia};
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

/// What a PLAY starts once it has been answered, and what the answer says of it.
pub(super) struct Prepared {
    session: String,
    stream: Arc<Stream>,
    /// What is played; `None` goes on with what is under way.
    plan: Option<Plan>,
    /// Who joins a live movie.
    joins: Option<Delivery>,
    pub answer: Answer,
}

/// What a PLAY's reply says of what is sent from then on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// The Range header.
    pub range: String,
    pub scale: Option<String>,
    pub speed: Option<String>,
    /// The sequence number of the first packet; not known of what is live.
    pub sequence_number: Option<u16>,
    /// The RTP timestamp of the range's begin.
    pub timestamp: u32,
}

impl Answer {
    /// The RTP-Info header (RFC 2326 section 12.33), from the one that has the stream's URL.
    pub fn rtp_info(&self, library: &str) -> String {
        let url = library.split(';').next().unwrap_or_default();
        let mut info = url.to_owned();
        if let Some(number) = self.sequence_number {
            // Writing to a String does not fail.
            let _ = write!(info, ";seq={number}");
        }
        let _ = write!(info, ";rtptime={}", self.timestamp);
        info
    }
}

/// A session's streams, by mount point.
type OfSession = Vec<(String, Arc<Stream>)>;

/// A live movie: its mount point and the file.
type LiveKey = (String, u64);

/// A stream of a live movie has so many viewers before there is another one: what is sent within a
/// millisecond or so.
const FULL: usize = 32;

/// All sessions.
pub(super) struct Sessions {
    all: Mutex<HashMap<String, OfSession>>,
    /// The streams that share a live movie's viewers, each at a time of its own within a frame's.
    live: Mutex<HashMap<LiveKey, Vec<Weak<Stream>>>>,
    manner: Manner,
    offload: bool,
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
    /// The transport is none that is served.
    NoTransport,
}

impl Sessions {
    /// `begin` is when live movies began.
    pub fn new(
        (manner, begin): (Manner, Instant),
        offload: bool,
        means: Arc<Means>,
        pacers: Arc<Pacers>,
    ) -> Self {
        let (all, live) = (Mutex::default(), Mutex::default());
        Self { all, live, manner, offload, means, pacers, begin }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, OfSession>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session's stream of a mount.
    pub fn stream(&self, session: &str, mount: &str) -> Option<Arc<Stream>> {
        let all = self.all();
        let of_session = all.get(session)?;
        of_session.iter().find(|(point, _)| point == mount).map(|(_, stream)| stream.clone())
    }

    fn remember(&self, session: &str, mount: &str, stream: &Arc<Stream>) {
        let mut all = self.all();
        let of_session = all.entry(session.to_owned()).or_default();
        of_session.retain(|(point, _)| point != mount);
        of_session.push((mount.to_owned(), stream.clone()));
    }

    /// The mount points that are being watched.
    pub fn used(&self) -> HashSet<String> {
        self.all().values().flatten().map(|(mount, _)| mount.clone()).collect()
    }

    /// Stops what is sent to a session: of one mount, or all of it. No packet is sent to it once
    /// this returns.
    pub fn end(&self, session: &str, mount: Option<&str>) {
        let ended: OfSession = {
            let mut all = self.all();
            match mount {
                None => all.remove(session).unwrap_or_default(),
                Some(mount) => {
                    let Some(of_session) = all.get_mut(session) else { return };
                    let ended = of_session.extract_if(.., |(point, _)| point == mount).collect();
                    if of_session.is_empty() {
                        all.remove(session);
                    }
                    ended
                }
            }
        };
        for (_, stream) in ended {
            stream.leave(session);
        }
    }

    /// Stops a session's stream when the library lets the session's media go: at TEARDOWN, when
    /// the session times out, and when its connection closes.
    ///
    /// Behind a connection that has closed, gst-rtsp-server 1.22 says of all packets that they were
    /// sent, and keeps the session alive for it.
    fn end_with(
        self: &Arc<Self>,
        (session, media): (&str, &RTSPSessionMedia),
        stream: &Arc<Stream>,
    ) {
        let (sessions, stream) = (Arc::downgrade(self), Arc::downgrade(stream));
        let session = session.to_owned();
        media.add_weak_ref_notify(move || {
            let Some(stream) = stream.upgrade() else { return };
            stream.leave(&session);
            let Some(sessions) = sessions.upgrade() else { return };
            let mut all = sessions.all();
            if let Some(of_session) = all.get_mut(&session) {
                of_session.retain(|(_, it)| !Arc::ptr_eq(it, &stream));
                if of_session.is_empty() {
                    all.remove(&session);
                }
            }
        });
    }

    /// Stops all that is sent, and says so to who is sent it.
    pub fn end_all(&self) {
        let all = std::mem::take(&mut *self.all());
        for (_, stream) in all.into_values().flatten() {
            stream.say_goodbye();
        }
    }

    /// Stops for a PAUSE.
    pub fn pause(&self, session: &str, mount: &str) {
        let Some(stream) = self.stream(session, mount) else { return };
        if self.manner.live {
            stream.leave(session);
        } else {
            stream.stop();
        }
    }

    /// Stops what is played and makes ready what a PLAY asks for.
    pub fn prepare(
        self: &Arc<Self>,
        client: &RTSPClient,
        factory: &MovieFactory,
        (session, media): (&str, &RTSPSessionMedia),
        asked: &Asked,
    ) -> Result<Prepared, NotPlayed> {
        let mount = factory.mount().point.as_str();
        let present = self.stream(session, mount);
        let delivery = || self.delivery(client, media).ok_or(NotPlayed::NoTransport);
        let ssrc = || {
            let stream = media.transport(0).and_then(|transport| transport.stream());
            stream.map_or(0, |stream| stream.ssrc())
        };
        if self.manner.live {
            let stream = match present {
                Some(stream) => stream,
                None => {
                    let stream = self.live_stream(factory, mount, ssrc())?;
                    self.end_with((session, media), &stream);
                    stream
                }
            };
            let joins = Some(delivery()?);
            self.remember(session, mount, &stream);
            return Ok(self.join_live(session, factory, stream, joins, asked));
        }
        let stream = match present {
            Some(stream) => stream,
            None => {
                let movie = factory.open().ok_or(NotPlayed::NoMovie)?;
                let pacer = self.pacers.pick().ok_or(NotPlayed::NoTransport)?;
                let means = self.means.clone();
                let stream = Stream::new(movie, self.manner, ssrc(), means, pacer);
                let stream = Arc::new(stream);
                stream.join(session, delivery()?);
                self.end_with((session, media), &stream);
                self.remember(session, mount, &stream);
                stream
            }
        };
        let on = stream.is_playing() && asked.is_plain();
        if !on {
            stream.stop();
        }
        let (place, number, timestamp) = stream.stands();
        let duration = factory.duration(&stream.movie()).map(gst::ClockTime::nseconds);
        let begin = asked.begin.unwrap_or(place);
        let (scale, speed) = (asked.scale.unwrap_or(1.0), asked.speed.unwrap_or(1.0));
        let mut plan = Plan::new(factory.framerate(), begin, asked.end, scale, speed);
        if let Some(frames) = stream.movie().total_frames() {
            plan.first = plan.first.min(frames.saturating_sub(1));
        }
        // The movie's own end is left open: rtspsrc 1.22 would estimate when it comes, from packets
        // of before a seek too, and stop there. It is told by RTCP BYE.
        let end = match (asked.end, plan.backwards) {
            (None, true) => Some(0),
            (end, true) => end,
            (end, false) => end.filter(|end| duration.is_none_or(|duration| *end < duration)),
        };
        let seconds = |place: u64| gst::ClockTime::from_nseconds(place).seconds_f64();
        let end = end.map_or_else(String::new, |end| seconds(end).to_string());
        let rate = |rate: f64| format!("{rate:.3}");
        let answer = Answer {
            range: format!("npt={}-{end}", seconds(plan.place(0))),
            scale: asked.scale.map(rate),
            speed: asked.speed.map(rate),
            sequence_number: Some(number),
            timestamp,
        };
        let plan = (!on).then_some(plan);
        Ok(Prepared { session: session.to_owned(), stream, plan, joins: None, answer })
    }

    /// The way to a session's viewer, as SETUP has agreed.
    fn delivery(&self, client: &RTSPClient, media: &RTSPSessionMedia) -> Option<Delivery> {
        let transport = media.transport(0)?;
        let stream = transport.stream()?;
        let media = media.media()?.downcast::<MovieMedia>().ok()?;
        Delivery::new(transport, client, self.offload, |ip| media.sockets(&stream, ip))
    }

    /// The stream of a live movie for one more viewer: the emptiest, or a new one if all are full
    /// and there is a place for one. All at once, they would be in one another's way.
    fn live_stream(
        &self,
        factory: &MovieFactory,
        mount: &str,
        ssrc: u32,
    ) -> Result<Arc<Stream>, NotPlayed> {
        let movie = factory.open().ok_or(NotPlayed::NoMovie)?;
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.retain(|_, streams| streams.iter().any(|stream| stream.strong_count() > 0));
        let streams = live.entry((mount.to_owned(), movie.number())).or_default();
        let places = self.pacers.places(factory.framerate());
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
                let stream = Arc::new(Stream::new(movie, self.manner, ssrc, means, pacer));
                let count = streams.len().max(which + 1);
                streams.resize_with(count, Weak::new);
                streams[which] = Arc::downgrade(&stream);
                Ok(stream)
            }
            (_, None) => Err(NotPlayed::NoTransport),
        }
    }

    fn join_live(
        &self,
        session: &str,
        factory: &MovieFactory,
        stream: Arc<Stream>,
        joins: Option<Delivery>,
        asked: &Asked,
    ) -> Prepared {
        let elapsed = u64::try_from(self.begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let (_, _, timestamp) = stream.stands();
        // At its own rate, whatever is asked for.
        let own = |rate: Option<f64>| rate.map(|_| "1.000".to_owned());
        let answer = Answer {
            range: "npt=now-".to_owned(),
            scale: own(asked.scale),
            speed: own(asked.speed),
            sequence_number: None,
            timestamp,
        };
        let plan = Some(Plan::new(factory.framerate(), elapsed, None, 1.0, 1.0));
        Prepared { session: session.to_owned(), stream, plan, joins, answer }
    }
}

impl Prepared {
    /// The PLAY has been answered: packets follow.
    pub fn start(self) {
        let live = self.joins.is_some();
        if let Some(delivery) = self.joins {
            self.stream.join(&self.session, delivery);
        }
        if let Some(plan) = self.plan
            && !(live && self.stream.is_playing())
        {
            self.stream.play(plan);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rtp_info_keeps_the_url() {
        let range = String::new();
        let answer = |sequence_number| Answer {
            range: range.clone(),
            scale: None,
            speed: None,
            sequence_number,
            timestamp: 9,
        };
        let library = "url=rtsp://host/movie.mjpeg/stream=0;seq=1;rtptime=2";
        let rows = [
            (Some(7), "url=rtsp://host/movie.mjpeg/stream=0;seq=7;rtptime=9"),
            (None, "url=rtsp://host/movie.mjpeg/stream=0;rtptime=9"),
        ];
        for (number, want) in rows {
            assert_eq!(answer(number).rtp_info(library), want);
        }
    }
}
