// SPDX-License-Identifier: MIT OR Apache-2.0
//! Standard RTSP (RFC 2326). Requests are read, checked and answered here, and frames are sent from
//! here; gst-rtsp-server agrees on transports and keeps the time limits of sessions.
//!
//! A request: `connection.rs` receives it, `request.rs` reads it, `authorization.rs` checks it,
//! `answer.rs` and `methods.rs` answer it with `sessions.rs`, and `reply.rs` writes the reply.
//!
//! A frame: `payload_cache.rs` reads it and cuts it into RTP payloads, `frame_sink.rs` adds the RTP
//! headers, and `delivery.rs` sends the packets to a viewer, or `multicast.rs` to a group.

mod answer;
mod authorization;
pub(crate) mod connection;
mod delivery;
pub(crate) mod explain;
mod frame_sink;
mod gst_media;
mod gst_server;
mod loss_reports;
mod methods;
mod multicast;
mod observed;
mod payload_cache;
mod play_request;
mod reply;
mod request;
mod sdp;
mod session;
mod sessions;
mod transport;

use crate::access::SharedAccess;
use crate::access::attempts::Attempts;
use crate::catalog::SharedCatalog;
use crate::config::{Config, SharedLimits};
use crate::ending::Ending;
use crate::limit_log::LimitLog;
use crate::observe::Observatory;
use crate::send::SendContext;
use anyhow::{Result, bail};
use gst_server::GstServer;
use multicast::Groups;
use sessions::Sessions;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// The number of requests that are answered at a time, each on a thread that may wait.
pub(crate) const HANDLERS: usize = 4;

/// The number of file descriptors that standard RTSP needs for any number of viewers.
pub(crate) const DESCRIPTORS: u64 = gst_server::DESCRIPTORS;

/// Checks that the GStreamer elements are installed which the server needs.
///
/// # Errors
/// If one is missing.
pub fn require_elements() -> Result<()> {
    let needed = ["videotestsrc", "rtpjpegpay", "rtpbin", "jpegenc"];
    for element in needed {
        if gst::ElementFactory::find(element).is_none() {
            bail!(
                "GStreamer's element {element} is missing: install gstreamer1.0-plugins-base and gstreamer1.0-plugins-good"
            );
        }
    }
    Ok(())
}

/// What all connections of standard RTSP share.
pub struct Service {
    catalog: SharedCatalog,
    access: SharedAccess,
    attempts: Attempts,
    gst_server: Arc<GstServer>,
    sessions: Arc<Sessions>,
    groups: Groups,
    limit_log: Arc<LimitLog>,
    limits: SharedLimits,
    observatory: Option<Arc<Observatory>>,
    ending: Ending,
    /// Limits the number of requests that are answered at a time.
    handler_permits: Arc<Semaphore>,
}

impl Service {
    /// A service for the movies of a catalog.
    ///
    /// # Errors
    /// If gst-rtsp-server does not work.
    pub(crate) fn new(
        config: &Config,
        (catalog, access): (SharedCatalog, SharedAccess),
        context: SendContext,
        ending: Ending,
    ) -> Result<Arc<Self>> {
        let gst_server = Arc::new(GstServer::start()?);
        let (limits, limit_log) = (context.limits.clone(), context.limit_log.clone());
        let observatory = context.observatory.clone();
        Ok(Arc::new(Self {
            catalog,
            access,
            attempts: Attempts::default(),
            sessions: Sessions::new(
                &gst_server,
                context,
                u64::from(config.server.prepare_cache) * 1_000_000,
            ),
            gst_server,
            groups: Groups::default(),
            limit_log,
            limits,
            observatory,
            ending,
            handler_permits: Arc::new(Semaphore::new(HANDLERS)),
        }))
    }

    /// Ends the sessions that have timed out. Must be called every second.
    pub(crate) fn clean_up(&self) {
        self.sessions.end_expired();
    }

    /// Ends the sessions of movies that are not served any more, and those whose viewers may not watch
    /// them any more. Reports the end to the viewers, except to those of a multicast group that goes on.
    pub(crate) fn end_removed(&self) {
        let (catalog, access) = (self.catalog.get(), self.access.get());
        self.sessions.end_if(|session| {
            if session.mount.is_removed() {
                return Some("the movie is not served any more");
            }
            let present = catalog.at(&session.mount.point).unwrap_or(&session.mount);
            let may_watch = access.may_watch(present, session.user.as_deref(), session.peer.ip());
            (!may_watch).then_some("the viewer may not watch the movie any more")
        });
    }

    /// Ends all sessions, and reports the end to the viewers by RTCP.
    pub(crate) fn end_all(&self) {
        self.sessions.end_all();
    }
}
