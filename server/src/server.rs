// SPDX-License-Identifier: MIT OR Apache-2.0
//! The whole server: standard RTSP and the lab's dialect on one port.

use crate::catalog::Catalog;
use crate::config::{Config, LabMode, SharedLimits, Switch};
use crate::connection::limits::OpenConnections;
use crate::connection::tunnel::Tunnels;
use crate::connection::{Listener, Services};
use crate::limit_log::LimitLog;
use crate::mount::Mount;
use crate::send::SendContext;
use crate::send::clock::SystemClock;
use crate::send::pacer::Pacers;
use crate::send::workers::{self, Workers};
use crate::viewers::Viewers;
use crate::{connection, lab, rtsp};
use anyhow::{Context, Result};
use mjpeg_program::border::guarded;
use signal_hook::iterator::Signals;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

/// The time between two checks for sessions that have timed out.
const CLEAN_UP_INTERVAL: Duration = Duration::from_secs(1);

/// The number of clean-ups between two checks for movies without viewers, which are closed.
const CLEAN_UPS_PER_MOVIE_CHECK: u64 = 10;

/// File descriptors that are reserved for the log, the runtime and GStreamer, for opening a movie while
/// the maximum number of connections is open, and for connections that are refused.
const RESERVED_DESCRIPTORS: u64 = 64 + connection::REFUSALS as u64 + rtsp::DESCRIPTORS;

/// File descriptors per connection: its socket, and either a movie that no other connection plays or
/// the UDP socket of a lab client.
const DESCRIPTORS_PER_CONNECTION: u64 = 2;

/// A server that accepts connections.
pub struct Server {
    rtsp: Arc<rtsp::Service>,
    catalog: Arc<Catalog>,
    limit_log: Arc<LimitLog>,
    address: SocketAddr,
    /// Accepts connections until it is dropped.
    _listener: Listener,
    /// Is always there until the server is dropped, which shuts the runtime down.
    runtime: Option<Runtime>,
}

impl Server {
    /// Listens on a port, and accepts connections from then on.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub fn start(config: &Config, catalog: Arc<Catalog>) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(workers::THREADS + 2 * rtsp::HANDLERS)
            .thread_name("worker")
            .enable_all()
            .build()
            .context("cannot start the worker threads")?;
        let pacers = Pacers::start(&SystemClock).context("cannot start the pacer threads")?;
        let limit_log = Arc::new(LimitLog::default());
        let mut limits = config.limits.clone();
        limits.max_connections = max_connections(limits.max_connections);
        let connections = limits.max_connections;
        let limits = SharedLimits::new(limits);
        let context = SendContext {
            pacers: Arc::new(pacers),
            workers: Workers::new(runtime.handle().clone()),
            limits: limits.clone(),
            viewers: Viewers::default(),
            limit_log: limit_log.clone(),
        };
        let rtsp = rtsp::Service::new(config, catalog.clone(), context.clone())?;
        let services = Services {
            rtsp: rtsp.clone(),
            lab: lab::Service::new(config, catalog.clone(), context),
            mode: config.server.lab,
            tunnels: (config.server.http_tunnel == Switch::On).then(Tunnels::default),
            open: OpenConnections::new(limits.clone()),
            limits,
            limit_log: limit_log.clone(),
        };
        let listener = Listener::start(config.server.listen, services, runtime.handle())?;
        let address = listener.address();
        let movies = catalog.mounts().len();
        tracing::info!(%address, movies, max_connections = connections, "serving");
        if config.server.lab == LabMode::Only {
            tracing::info!("standard RTSP is not served, because --lab is only");
        }
        let runtime = Some(runtime);
        Ok(Self { rtsp, catalog, limit_log, address, _listener: listener, runtime })
    }

    /// The URL of a mount for viewers on this machine.
    pub fn url(&self, mount: &Mount) -> String {
        let port = self.address.port();
        let host = match self.address {
            any if any.ip().is_unspecified() => "127.0.0.1".to_owned(),
            SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
            SocketAddr::V4(v4) => v4.ip().to_string(),
        };
        format!("rtsp://{host}:{port}{}", mount.encoded())
    }

    /// Serves until the process receives one of the signals, then ends all sessions.
    pub fn run_until(&self, signals: &mut Signals) {
        let clean_up = self.runtime.as_ref().map(|runtime| runtime.spawn(self.clean_up()));
        if signals.forever().next().is_some() {
            tracing::info!("ending all sessions");
        }
        if let Some(clean_up) = clean_up {
            clean_up.abort();
        }
        // Viewers receive RTCP BYE. Their connections end with the process.
        self.rtsp.end_all();
        self.limit_log.report_rest();
    }

    /// Cleans up regularly, for ever.
    fn clean_up(&self) -> impl Future<Output = ()> + use<> {
        let (rtsp, catalog) = (self.rtsp.clone(), self.catalog.clone());
        let limit_log = self.limit_log.clone();
        async move {
            let mut interval = tokio::time::interval(CLEAN_UP_INTERVAL);
            for number in 0_u64.. {
                interval.tick().await;
                limit_log.report();
                let (rtsp, catalog) = (rtsp.clone(), catalog.clone());
                // On another thread, since it may wait for locks of gst-rtsp-server.
                let cleaned_up = tokio::task::spawn_blocking(move || {
                    let _ = guarded("clean-up", || {
                        rtsp.clean_up();
                        if number % CLEAN_UPS_PER_MOVIE_CHECK == 0 {
                            catalog.mounts().for_each(|mount| mount.close_if_idle());
                        }
                    });
                });
                let _ = cleaned_up.await;
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The maximum number of connections: `requested`, or fewer if the process may open too few files.
fn max_connections(requested: usize) -> usize {
    // The limit of open files that a process starts with is often low, but may be raised.
    let raised = rlimit::increase_nofile_limit(u64::MAX);
    let files = raised.unwrap_or_else(|error| {
        tracing::warn!("cannot raise the limit of open files: {error}");
        rlimit::Resource::NOFILE.get_soft().unwrap_or(1024)
    });
    let connections = files.saturating_sub(RESERVED_DESCRIPTORS) / DESCRIPTORS_PER_CONNECTION;
    let connections = usize::try_from(connections).unwrap_or(usize::MAX).max(1);
    if connections < requested {
        tracing::warn!(
            files,
            connections,
            "fewer connections than --max-connections are accepted, because the process may open \
             too few files: raise the limit (ulimit -n)"
        );
    }
    requested.min(connections)
}
