// SPDX-License-Identifier: MIT OR Apache-2.0
//! Standard RTSP: requests are read, checked and answered here; gst-rtsp-server agrees on transports
//! and keeps sessions; what is sent is ours.

pub(crate) mod connection;
mod delivery;
mod frames;
mod library;
mod media;
mod outlet;
mod play_request;
mod reply;
mod request;
mod sdp;
mod service;
mod sessions;
mod transport;

pub use service::Service;

use crate::catalog::Catalog;
use crate::config::{Config, UdpOffload};
use crate::connection::refusals::Refusals;
use crate::pacer::Pacers;
use crate::send::stream::Resources;
use crate::workers::Workers;
use anyhow::{Result, bail};
use frames::PayloadCache;
use library::Library;
use sessions::{PlaybackMode, Sessions};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Semaphore;

/// Requests that are answered at a time, each on a thread that may wait.
pub(crate) const HANDLERS: usize = 4;

/// Descriptors that standard RTSP takes however many viewers there are.
pub(crate) const DESCRIPTORS: u64 = library::DESCRIPTORS;

/// Looks for the GStreamer elements that serving needs.
///
/// # Errors
/// Names the first one that is missing.
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

impl Service {
    /// Serves the catalog's movies, each frame sent by one of the `pacers`; live ones began at
    /// `begin`.
    ///
    /// # Errors
    /// If gst-rtsp-server does not work.
    pub(crate) fn new(
        config: &Config,
        catalog: Arc<Catalog>,
        (pacers, workers): (Arc<Pacers>, Workers),
        refusals: Arc<Refusals>,
        begin: Instant,
    ) -> Result<Arc<Self>> {
        let library = Arc::new(Library::start()?);
        let resources = Resources { frames: PayloadCache::new(config.prepare_cache), workers };
        let mode = PlaybackMode {
            framerate: config.framerate,
            looping: config.looping,
            live_since: config.live.then_some(begin),
        };
        let sessions = Sessions::new(&library, mode, resources, pacers);
        Ok(Arc::new(Self {
            catalog,
            library,
            sessions,
            refusals,
            framerate: config.framerate,
            live: config.live,
            offload: config.udp_offload == UdpOffload::Auto,
            sessions_by_origin: config.max_connections_per_address,
            handlers: Arc::new(Semaphore::new(HANDLERS)),
        }))
    }

    /// Ends sessions that nobody keeps alive; called each second.
    pub(crate) fn clean_up(&self) {
        self.sessions.end_expired();
    }

    /// Stops all that is sent, and says so to the viewers by RTCP.
    pub(crate) fn end_all(&self) {
        self.sessions.end_all();
    }
}
