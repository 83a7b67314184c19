// SPDX-License-Identifier: MIT OR Apache-2.0
//! The lab's dialect: one connection, its states, its RTP.

mod explainer;
mod outlet;
mod session;

use crate::catalog::Catalog;
use crate::config::Config;
use crate::connection::limits::Open;
use crate::connection::{read_some, set_keepalive};
use crate::pacer::Pacers;
use crate::send::stream::Resources;
use crate::workers::Workers;
use explainer::Explainer;
use gstmjpegfile::lab::{Dialect, Framer, Request};
use gstmjpegfile::movie::FrameRate;
use mjpeg_program::border::guarded;
use outlet::LabFrames;
use session::Session;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// After this without another byte, what has come is a request, if it makes one.
const QUIET: Duration = Duration::from_millis(25);

/// A request must be complete this long after its first byte.
const COMPLETE: Duration = Duration::from_secs(10);

/// How long a connection may take nothing of a reply.
const REPLY: Duration = Duration::from_secs(10);

/// Between two looks whether a session still plays. One that does not may make room for others, and
/// is otherwise kept: it is a person who has not pressed a button yet.
const LOOK: Duration = Duration::from_mins(1);

/// What all sessions share.
pub struct Service {
    catalog: Arc<Catalog>,
    mode: PlaybackMode,
    resources: Arc<Resources<LabFrames>>,
    pacers: Arc<Pacers>,
    explain: bool,
}

/// How movies are played.
#[derive(Debug, Clone, Copy)]
struct PlaybackMode {
    framerate: FrameRate,
    looping: bool,
    /// All see the same of a movie since this moment.
    live_since: Option<std::time::Instant>,
}

impl Service {
    /// Serves the catalog's movies, each frame sent by one of the `pacers`; live ones began at
    /// `begin`.
    pub(crate) fn new(
        config: &Config,
        catalog: Arc<Catalog>,
        (pacers, workers): (Arc<Pacers>, Workers),
        begin: std::time::Instant,
    ) -> Arc<Self> {
        let mode = PlaybackMode {
            framerate: config.framerate,
            looping: config.looping,
            live_since: config.live.then_some(begin),
        };
        let frames = LabFrames { oversize: config.lab_oversize, fragments: config.lab_fragment };
        let resources = Arc::new(Resources { frames, workers });
        Arc::new(Self { catalog, mode, resources, pacers, explain: config.explain })
    }
}

/// Serves one connection to its end. `first` is what has come of it.
pub(crate) async fn serve(
    service: Arc<Service>,
    mut stream: TcpStream,
    peer: SocketAddr,
    first: Vec<u8>,
    mut open: Open,
) {
    // A reply is one segment.
    let _ = stream.set_nodelay(true);
    // Nothing else finds out that a host which is PLAYING has died.
    set_keepalive(&stream);
    tracing::info!(%peer, "lab client");
    let explainer = Explainer::new(service.explain, peer);
    let mut session = Session::new(service, peer, explainer.clone());
    let mut framer = Framer::default();
    let mut begun = None;
    let mut came = Some(first);
    let why = loop {
        let quiet = came.is_none();
        if let Some(bytes) = came.take()
            && let Err(error) = framer.push(&bytes)
        {
            break format!("closed: {error}");
        }
        let mut lost = None;
        while let Some(text) = framer.next_request(quiet) {
            // It may wait for a disk.
            let reply = tokio::task::block_in_place(|| {
                guarded("lab-request", || answer(&mut session, &text, peer, &explainer))
            });
            let Ok(reply) = reply else {
                lost = Some("closed: a request could not be handled".to_owned());
                break;
            };
            match timeout(REPLY, stream.write_all(reply.as_bytes())).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => lost = Some(error.to_string()),
                Err(_) => lost = Some("closed: it does not read replies".to_owned()),
            }
            if lost.is_some() {
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
        open.set_idle(!session.is_playing());
        let wait = match begun {
            // Silence may end the request, once; what it does not end has to go on.
            Some(_) if !quiet => QUIET,
            Some(begun) => COMPLETE.saturating_sub(begun.elapsed()) + QUIET,
            None => LOOK,
        };
        match timeout(wait, read_some(&stream)).await {
            Ok(Ok(bytes)) if bytes.is_empty() => break "closed by the client".to_owned(),
            Ok(Ok(bytes)) => came = Some(bytes),
            Ok(Err(error)) => break error.to_string(),
            Err(_) => {}
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
