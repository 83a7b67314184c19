// SPDX-License-Identifier: MIT OR Apache-2.0
//! Standard RTSP: requests are read, checked and answered here; gst-rtsp-server agrees on transports
//! and keeps sessions; what is sent is ours.

pub(crate) mod connection;
mod delivery;
mod frames;
mod library;
mod media;
mod plan;
mod play_request;
mod reply;
mod reports;
mod request;
mod rtcp;
mod sdp;
mod service;
mod sessions;
mod stream;
mod transport;

pub use service::Service;

use crate::catalog::Catalog;
use crate::config::{Config, UdpOffload};
use crate::connection::refusals::Refusals;
use crate::pacer::Pacers;
use crate::workers::Workers;
use anyhow::{Result, bail};
use frames::Frames;
use library::Library;
use sessions::Sessions;
use std::sync::Arc;
use std::time::Instant;
use stream::{Manner, Means};
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
        let means = Means {
            frames: Frames::new(config.prepare_cache),
            workers,
            name: format!("{:08x}{:08x}", crate::random(), crate::random()),
        };
        let manner = Manner { looping: config.looping, live: config.live };
        let played = (manner, config.framerate, begin);
        let sessions = Sessions::new(&library, played, Arc::new(means), pacers);
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
