// SPDX-License-Identifier: MIT OR Apache-2.0
//! A session of standard RTSP: one viewer of one movie, and the stream that it plays.

use super::delivery::Delivery;
use super::frame_sink::RtspSink;
use super::observed::TEARDOWN;
use crate::connection::limits::Origin;
use crate::mount::Mount;
use crate::observe::sessions::ObservedSession;
use crate::send::counts::SendCounts;
use crate::send::stream::Stream as StreamOf;
use crate::send::{PlaybackMode, ReportTime};
use crate::viewers::ViewerSlot;
use gst_rtsp_server::RTSPSession;
use gstmjpegfile::movie_file::MovieFile;
use gstmjpegfile::rtp::ReportBlock;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// A stream of RTP/JPEG.
pub(super) type Stream = StreamOf<RtspSink>;

/// The session of a viewer. It plays one movie.
pub(super) struct Session {
    /// The identifier, chosen by gst-rtsp-server.
    pub id: String,
    /// The mount of the movie.
    pub mount: Arc<Mount>,
    /// The session of gst-rtsp-server, which has the time limit.
    pub gst_handle: RTSPSession,
    /// The origin of its connection, which has a limited number of sessions.
    pub origin: Origin,
    /// The synchronization source in the reply to SETUP.
    pub ssrc: u32,
    /// The client.
    pub peer: SocketAddr,
    /// RTSP is received through HTTP.
    pub tunnelled: bool,
    /// The connection is encrypted.
    pub encrypted: bool,
    /// The user who has set the session up; `None` if the movie needed no login.
    pub user: Option<Arc<str>>,
    /// What people can see of the session.
    pub observed: OnceLock<Arc<ObservedSession>>,
    /// What was sent to the viewer, and what it reported.
    pub counts: Arc<SendCounts>,
    /// Sends packets to the viewer.
    pub delivery: Arc<Delivery>,
    /// The stream that is played; `None` before the first PLAY.
    stream: Mutex<Option<Arc<Stream>>>,
    /// Counts the viewer from the first PLAY on.
    viewer: Mutex<Option<ViewerSlot>>,
    /// The session has ended. It changes while `stream` is locked.
    ended: AtomicBool,
}

impl Session {
    /// A session before its first PLAY.
    pub fn new(
        (id, gst_handle): (String, RTSPSession),
        mount: Arc<Mount>,
        origin: Origin,
        ssrc: u32,
        delivery: Delivery,
    ) -> Self {
        let (stream, viewer) = (Mutex::default(), Mutex::default());
        let (peer, counts) = (delivery.peer(), delivery.counts().clone());
        let delivery = Arc::new(delivery);
        let tunnelled = false;
        Self {
            id,
            mount,
            gst_handle,
            origin,
            ssrc,
            peer,
            tunnelled,
            encrypted: false,
            user: None,
            observed: OnceLock::new(),
            counts,
            delivery,
            stream,
            viewer,
            ended: AtomicBool::new(false),
        }
    }

    /// The stream that is played.
    pub fn stream(&self) -> MutexGuard<'_, Option<Arc<Stream>>> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether frames are being sent to the viewer.
    pub fn is_playing(&self) -> bool {
        self.stream().as_ref().is_some_and(|stream| stream.is_playing())
    }

    /// Pauses the viewer.
    pub fn pause(&self) {
        // The lock is released before this waits until a frame is sent: tasks of connections take it.
        let stream = self.stream().clone();
        if let Some(stream) = stream {
            match self.mount.mode().live_since {
                Some(_) => drop(stream.with_sink(|sink| sink.remove_viewer(&self.id))),
                None => stream.stop(),
            }
        }
    }

    /// The duration of the movie, as [`duration`] returns it.
    pub fn duration(&self) -> Option<u64> {
        let playing = self.stream().as_ref().map(|stream| stream.movie());
        let movie = playing.or_else(|| self.mount.open().ok())?;
        duration(&self.mount, &movie)
    }

    /// Reads an interleaved packet of the client: its receiver reports.
    pub fn read_report(&self, channel: u8, packet: &[u8]) {
        if self.delivery.rtcp_channel() == Some(channel)
            && let Some(block) = ReportBlock::last_of(packet, self.ssrc)
        {
            self.counts.add_report(block);
        }
    }

    /// Logs and shows the end of the session.
    pub fn report_end(&self, reason: &str) {
        self.log_end(reason);
        match self.observed.get() {
            // The end follows after the reply.
            Some(observed) if reason == TEARDOWN => observed.close_media(),
            Some(observed) => observed.end(reason),
            None => {}
        }
    }

    fn log_end(&self, reason: &str) {
        let is_multicast = self.delivery.group().is_some();
        let transport = match (self.delivery.rtcp_channel(), self.tunnelled, self.encrypted) {
            _ if is_multicast => "multicast",
            (None, _, _) => "UDP",
            (Some(_), false, false) => "TCP",
            (Some(_), false, true) => "TLS",
            (Some(_), true, false) => "HTTP",
            (Some(_), true, true) => "HTTPS",
        };
        let (peer, mount, counts) = (self.peer, &self.mount.point, &self.counts);
        let (frames, packets, lost) = (counts.frames(), counts.packets(), counts.lost());
        tracing::info!(%peer, %mount, transport, frames, packets, lost, "session ended: {reason}");
    }

    /// Counts the viewer, once it has played.
    pub fn viewer(&self) -> MutexGuard<'_, Option<ViewerSlot>> {
        self.viewer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports the end of a play that was accepted and does not start, since the session has ended. `stream` is the
    /// one that was to be played.
    pub fn refuse_play(&self, stream: &Stream, time: ReportTime) {
        *self.viewer() = None;
        // A multicast group goes on for others.
        if self.delivery.group().is_none() {
            stream.with_sink(|sink| {
                sink.remove_viewer(&self.id);
                sink.report_end_to(&self.delivery, time);
            });
        }
    }

    /// Whether the session has ended. Final only while the stream is locked.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Ends the session: reports the end, and removes the viewer from its stream. No packet of the movie is sent to it
    /// once this returns.
    ///
    /// A play that is being prepared starts before this, and is reported, or is refused by [`Self::refuse_play`].
    pub fn leave_stream(&self, goodbye: Goodbye) {
        let mut present = self.stream();
        self.ended.store(true, Ordering::Relaxed);
        let stream = present.take();
        // Ending a play waits until a frame has been sent: tasks of connections take the lock.
        drop(present);
        *self.viewer() = None;
        let group = self.delivery.group();
        if let Some(stream) = &stream {
            match goodbye {
                Goodbye::ToViewer if group.is_none() => {
                    stream.with_sink_at(|sink, time| sink.dismiss_viewer(&self.id, time));
                }
                Goodbye::ToAll if group.is_none() => stream.end(),
                // A group ends its stream when the last session leaves.
                Goodbye::ToViewer | Goodbye::ToAll | Goodbye::None => {}
            }
            if group.is_none() {
                stream.with_sink(|sink| sink.remove_viewer(&self.id));
            }
        }
        if let Some(group) = group {
            group.leave(&self.id);
        }
    }
}

/// To whom the end of a session is reported, by RTCP BYE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goodbye {
    /// To nobody: the viewer has ended it, or shows no sign of life.
    None,
    /// To its viewer; other viewers of a live movie go on. Not to one by multicast: the others would hear it too.
    ToViewer,
    /// To all viewers of its stream, which ends.
    ToAll,
}

/// The duration of a movie of a mount in nanoseconds; `None` if it is not known or the movie loops.
pub(super) fn duration(mount: &Mount, movie: &MovieFile) -> Option<u64> {
    let PlaybackMode { framerate, looping, .. } = *mount.mode();
    movie.total_frames().filter(|_| !looping).map(|frames| framerate.start_of(frames).get())
}
