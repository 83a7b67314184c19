// SPDX-License-Identifier: MIT OR Apache-2.0
//! Standard RTSP: spoken by gst-rtsp-server, with what it leaves open closed; what is sent is ours.

mod delivery;
mod factory;
mod frames;
mod guards;
mod media;
mod mount_points;
mod plan;
mod play_request;
mod reports;
mod rtcp;
mod rtsp_message;
mod sessions;
mod stream;
mod transport;

use crate::catalog::{Catalog, Mount};
use crate::config::{Config, UdpOffload};
use crate::connections::Connections;
use crate::lab;
use crate::listener::{Front, Listener};
use crate::pacer::Pacers;
use crate::workers::{self, Workers};
use anyhow::{Result, bail};
use frames::Frames;
use gst_rtsp_server::prelude::*;
use gst_rtsp_server::{RTSPServer, RTSPSessionPool};
use mount_points::MountPoints;
use sessions::Sessions;
use signal_hook::iterator::Signals;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stream::{Manner, Means};
use tokio::runtime::Runtime;

/// Threads for each core that requests are answered on; a blocked one must not stop the others.
const POOL_THREADS: usize = 2;

/// Between two looks for sessions that have timed out.
const CLEAN_UP: Duration = Duration::from_secs(1);

/// Bytes of a request's body; no method that we answer needs one.
const CONTENT_LENGTH_LIMIT: u32 = 64 * 1024;

/// Looks for the GStreamer elements that serving needs.
///
/// # Errors
/// Names the first one that is missing.
pub fn require_elements() -> Result<()> {
    let needed = ["rtpjpegpay", "rtpbin", "jpegenc"];
    for element in needed {
        if gst::ElementFactory::find(element).is_none() {
            bail!(
                "GStreamer's element {element} is missing: install gstreamer1.0-plugins-base and gstreamer1.0-plugins-good"
            );
        }
    }
    Ok(())
}

/// A server that accepts connections.
pub struct Server {
    rtsp: RTSPServer,
    points: MountPoints,
    sessions: Arc<Sessions>,
    address: SocketAddr,
    /// Accepts until it is dropped.
    _listener: Listener,
    /// Its threads end when it is shut down.
    runtime: Option<Runtime>,
}

impl Server {
    /// Listens; connections are accepted from then on.
    ///
    /// # Errors
    /// If the port cannot be had.
    pub fn start(config: &Config, catalog: &Catalog) -> Result<Self> {
        let server = RTSPServer::new();
        server.set_content_length_limit(CONTENT_LENGTH_LIMIT);
        server.set_session_pool(Some(&RTSPSessionPool::new()));
        if let Some(pool) = server.thread_pool() {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            pool.set_max_threads(i32::try_from(POOL_THREADS * cores).unwrap_or(i32::MAX));
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(workers::THREADS)
            .thread_name("worker")
            .enable_all()
            .build()?;
        let pacers = Arc::new(Pacers::start()?);
        let workers = Workers::new(runtime.handle().clone());
        let means = Means {
            frames: Frames::new(config.prepare_cache),
            workers: workers.clone(),
            name: format!("{:08x}{:08x}", crate::random(), crate::random()),
        };
        let manner = Manner { looping: config.looping, live: config.live };
        let begin = Instant::now();
        let offload = config.udp_offload == UdpOffload::Auto;
        let sessions =
            Arc::new(Sessions::new((manner, begin), offload, Arc::new(means), pacers.clone()));
        let points = MountPoints::new(catalog, config.framerate, manner);
        server.set_mount_points(Some(&points));
        if let Some(pool) = server.session_pool() {
            // Before any client hears of it, so that nothing is sent to one that is gone.
            let sessions = sessions.clone();
            pool.connect_session_removed(move |_, session| {
                if let Some(id) = session.sessionid() {
                    sessions.end(&id, None);
                }
            });
        }
        guards::install(&server, &points, &sessions);
        let front = Front {
            rtsp: server.clone(),
            lab: lab::Service::new(config, catalog, (pacers, workers), begin),
            mode: config.lab,
            connections: Connections::new(config.max_connections),
        };
        let listener = Listener::start(config.listen, front, runtime.handle())?;
        let address = listener.address();
        tracing::info!(%address, movies = catalog.mounts().count(), "serving");
        Ok(Self {
            rtsp: server,
            points,
            sessions,
            address,
            _listener: listener,
            runtime: Some(runtime),
        })
    }

    /// The URL of a mount, as a viewer on this machine would type it.
    pub fn url(&self, mount: &Mount) -> String {
        let port = self.address.port();
        let host = match self.address {
            any if any.ip().is_unspecified() => "127.0.0.1".to_owned(),
            SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
            SocketAddr::V4(v4) => v4.ip().to_string(),
        };
        format!("rtsp://{host}:{port}{}", mount.encoded())
    }

    /// Serves until one of the signals comes, then ends all sessions.
    pub fn run_until(&self, signals: &mut Signals) {
        let clean_up = self.runtime.as_ref().map(|runtime| {
            let (pool, points) = (self.rtsp.session_pool(), self.points.clone());
            let sessions = self.sessions.clone();
            runtime.spawn(async move {
                let mut seconds = tokio::time::interval(CLEAN_UP);
                loop {
                    seconds.tick().await;
                    points.let_go(&sessions.used());
                    let ended = pool.as_ref().map_or(0, RTSPSessionPoolExt::cleanup);
                    if ended > 0 {
                        tracing::info!(sessions = ended, "sessions timed out");
                    }
                }
            })
        });
        if signals.forever().next().is_some() {
            tracing::info!("ending all sessions");
        }
        if let Some(clean_up) = clean_up {
            clean_up.abort();
        }
        // Viewers hear of it by RTCP; their connections end with the process. To close them here
        // would be beside the threads that read them.
        self.sessions.end_all();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
