// SPDX-License-Identifier: MIT OR Apache-2.0
//! The lab's dialect: one connection, its states, its RTP.

mod explainer;
mod session;
mod stream;

use crate::catalog::{Catalog, Mount};
use crate::config::Config;
use crate::pacer::Pacers;
use crate::workers::Workers;
use explainer::Explainer;
use gstmjpegfile::lab::{Dialect, Framer, Request};
use session::Session;
use socket2::{SockRef, TcpKeepalive};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use stream::Manner;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// After this without another byte, what has come is a request, if it makes one.
const QUIET: Duration = Duration::from_millis(25);

/// A request must be complete this long after its first byte.
const COMPLETE: Duration = Duration::from_secs(10);

/// A connection is probed when it has been idle for this long, so often, and is dead after so
/// many probes without an answer: within a minute.
const DEAD: Duration = Duration::from_secs(30);
const PROBE: Duration = Duration::from_secs(10);
const PROBES: u32 = 3;

/// A connection that says nothing is a person who has not pressed Setup yet.
const SILENT: Duration = Duration::from_hours(24);

/// What all sessions share.
pub struct Service {
    catalog: Catalog,
    manner: Manner,
    pacers: Arc<Pacers>,
    workers: Workers,
    explain: bool,
}

impl Service {
    /// Serves the catalog's movies, each frame sent by one of the `pacers`; live ones began at
    /// `begin`.
    pub(crate) fn new(
        config: &Config,
        catalog: &Catalog,
        (pacers, workers): (Arc<Pacers>, Workers),
        begin: std::time::Instant,
    ) -> Arc<Self> {
        let manner = Manner {
            framerate: config.framerate,
            looping: config.looping,
            live: config.live.then_some(begin),
            oversize: config.lab_oversize,
            fragments: config.lab_fragment,
        };
        let (catalog, explain) = (catalog.clone(), config.explain);
        Arc::new(Self { catalog, manner, pacers, workers, explain })
    }

    /// The movie of a base name: exactly, else the only one that matches without case.
    fn find(&self, name: &str) -> Option<&Mount> {
        let base = |mount: &&Mount| mount.point.rsplit('/').next().map(ToOwned::to_owned);
        let mut exact = self.catalog.mounts().filter(|mount| base(mount).as_deref() == Some(name));
        if let Some(mount) = exact.next() {
            return Some(mount);
        }
        let like = |mount: &&Mount| base(mount).is_some_and(|it| it.eq_ignore_ascii_case(name));
        let mut alike = self.catalog.mounts().filter(like);
        alike.next().filter(|_| alike.next().is_none())
    }
}

/// Serves one connection to its end.
pub async fn serve(service: Arc<Service>, mut stream: TcpStream, peer: SocketAddr) {
    // A reply is one segment.
    let _ = stream.set_nodelay(true);
    // Nothing else finds out that a host which is PLAYING has died.
    let probes = TcpKeepalive::new().with_time(DEAD).with_interval(PROBE).with_retries(PROBES);
    let _ = SockRef::from(&stream).set_tcp_keepalive(&probes);
    tracing::info!(%peer, "lab client");
    let explainer = Explainer::new(service.explain, peer);
    let mut session = Session::new(service, peer, explainer.clone());
    let mut framer = Framer::default();
    let mut begun = None;
    let mut bytes = [0; 4096];
    let why = loop {
        let quiet = if framer.has_begun() { QUIET } else { SILENT };
        let quiet = match timeout(quiet, stream.read(&mut bytes)).await {
            Ok(Ok(0)) => break "closed by the client".to_owned(),
            Ok(Err(error)) => break error.to_string(),
            Ok(Ok(count)) => {
                if let Err(error) = framer.push(bytes.get(..count).unwrap_or_default()) {
                    break format!("closed: {error}");
                }
                false
            }
            Err(_) => true,
        };
        let mut lost = None;
        while let Some(text) = framer.next_request(quiet) {
            let reply = answer(&mut session, &text, peer, &explainer);
            if let Err(error) = stream.write_all(reply.as_bytes()).await {
                lost = Some(error.to_string());
                break;
            }
        }
        if let Some(lost) = lost {
            break lost;
        }
        if framer.has_begun() {
            let begin = *begun.get_or_insert_with(Instant::now);
            if begin.elapsed() > COMPLETE {
                break "closed: a request that is not complete after 10 s".to_owned();
            }
        } else {
            begun = None;
        }
    };
    session.end();
    tracing::info!(%peer, "lab client gone: {why}");
}

fn answer(session: &mut Session, text: &str, peer: SocketAddr, explainer: &Explainer) -> String {
    tracing::debug!(%peer, ?text, "lab request");
    explainer.request(text);
    let request = Request::parse(text);
    let asked = request.as_ref().ok().map(|request| (request.method, request.cseq));
    let reply = match request {
        Ok(request) => session.answer(&request),
        Err((error, form, cseq)) => Session::refuse(error, form, cseq),
    };
    explainer.reply(&reply, asked);
    let first = |text: &str| text.lines().next().unwrap_or_default().to_owned();
    let (dialect, asked, answered) = (Dialect::of(text).name(), first(text), first(&reply));
    tracing::info!(%peer, dialect, ?asked, ?answered, "lab");
    tracing::debug!(%peer, ?reply, "lab reply");
    reply
}
