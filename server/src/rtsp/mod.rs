// SPDX-License-Identifier: MIT OR Apache-2.0
//! Standard RTSP, by gst-rtsp-server with what it leaves open closed.

mod factory;
mod guards;
mod last_frame;
mod media;
mod mount_points;
mod play_request;
mod rtsp_message;
mod watchdog;

use crate::catalog::{Catalog, Mount};
use crate::config::Config;
use crate::connections::Connections;
use crate::lab;
use crate::listener::{Front, Listener};
use anyhow::{Result, bail};
use gst_rtsp_server::prelude::*;
use gst_rtsp_server::{RTSPFilterResult, RTSPServer, RTSPSessionPool};
use mount_points::MountPoints;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::net::SocketAddr;
use std::time::Duration;
use watchdog::Watchdog;

/// Threads that requests are answered on; a blocked one must not stop the others.
const POOL_THREADS: i32 = 16;

/// Bytes of a request's body; no method that we answer needs one.
const CONTENT_LENGTH_LIMIT: u32 = 64 * 1024;

/// How long ending all sessions may take.
const SHUTDOWN: Duration = Duration::from_millis(1500);

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
    main_loop: glib::MainLoop,
    address: SocketAddr,
    watchdog: Watchdog,
    /// Accepts until it is dropped.
    _listener: Listener,
}

impl Server {
    /// Listens; connections are accepted from then on.
    ///
    /// # Errors
    /// If the port cannot be had.
    pub fn start(config: &Config, catalog: &Catalog) -> Result<Self> {
        gstmjpegfile::rtpjpegprep::set_cache_capacity(config.prepare_cache);
        let server = RTSPServer::new();
        server.set_content_length_limit(CONTENT_LENGTH_LIMIT);
        server.set_session_pool(Some(&RTSPSessionPool::new()));
        if let Some(pool) = server.thread_pool() {
            pool.set_max_threads(POOL_THREADS);
        }
        let points = MountPoints::new(catalog, config.framerate, config.looping);
        server.set_mount_points(Some(&points));
        let watchdog = Watchdog::default();
        guards::install(&server, &points, &watchdog);
        let front = Front {
            rtsp: server.clone(),
            lab: lab::Service::new(config, catalog)?,
            mode: config.lab,
            connections: Connections::new(config.max_connections),
        };
        let listener = Listener::start(config.listen, front)?;
        let address = listener.address();
        tracing::info!(%address, movies = catalog.mounts().count(), "serving");
        Ok(Self {
            rtsp: server,
            main_loop: glib::MainLoop::new(None, false),
            address,
            watchdog,
            _listener: listener,
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

    /// Serves until SIGINT or SIGTERM, then ends all sessions.
    ///
    /// # Errors
    /// If the signals cannot be caught.
    pub fn run_until_signal(&self) -> Result<()> {
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let main_loop = self.main_loop.clone();
        std::thread::spawn(move || {
            if signals.forever().next().is_some() {
                tracing::info!("ending all sessions");
                main_loop.quit();
            }
        });
        let (pool, watchdog) = (self.rtsp.session_pool(), self.watchdog.clone());
        glib::timeout_add_seconds(1, move || {
            watchdog.look();
            if let Some(pool) = &pool {
                let ended = pool.cleanup();
                if ended > 0 {
                    tracing::info!(sessions = ended, "sessions timed out");
                }
            }
            glib::ControlFlow::Continue
        });
        self.main_loop.run();
        // A viewer that blocks the end of its session must not block ours.
        std::thread::spawn(|| {
            std::thread::sleep(SHUTDOWN);
            std::process::exit(0);
        });
        self.rtsp.client_filter(Some(&mut |_, client| {
            client.close();
            RTSPFilterResult::Remove
        }));
        if let Some(pool) = self.rtsp.session_pool() {
            pool.filter(Some(&mut |_, _| RTSPFilterResult::Remove));
        }
        Ok(())
    }
}
