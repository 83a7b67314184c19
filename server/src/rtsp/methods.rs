// SPDX-License-Identifier: MIT OR Apache-2.0
//! Answers the requests of standard RTSP, method by method (RFC 2326 section 10).

use super::Service;
use super::authorization::Permission;
use super::delivery::Delivery;
use super::gst_media::MovieMedia;
use super::gst_server::{GstClient, GstReply, GstRequest};
use super::multicast::Group;
use super::observed::{ObservedConnection, TEARDOWN};
use super::play_request::{PlayRequest, PlayRequestError};
use super::reply::{Reply, Status};
use super::request::Request;
use super::sdp::{CONTROL, Description};
use super::session::{Session, duration};
use super::sessions::{PlayError, PreparedPlay, SessionLimit};
use super::transport::{Permitted, Transport};
use crate::access::login::Login;
use crate::config::{MountKind, UdpOffload};
use crate::connection::limits::Origin;
use crate::connection::outbox::Outbox;
use crate::mount::Mount;
use crate::movie_check::NotPlayable;
use crate::observe::sessions::{self as observe, NewMedia};
use gst_rtsp_server::prelude::*;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// How long DESCRIBE waits for the index of a movie, from which its duration follows.
const INDEX_LIMIT: Duration = Duration::from_millis(100);

/// A connection whose requests are answered, one after another.
pub(super) struct Connection {
    pub service: Arc<Service>,
    /// Identifies the connection in the log.
    pub number: u64,
    pub peer: SocketAddr,
    /// The address of this machine that the peer is connected to.
    pub local: IpAddr,
    pub origin: Origin,
    /// RTSP is received through HTTP.
    pub tunnelled: bool,
    /// The connection is encrypted.
    pub encrypted: bool,
    pub outbox: Arc<Outbox>,
    pub state: Mutex<ConnectionState>,
    /// What the client has proved by its requests. Locked for a short time only, never while argon2 works.
    pub login: Mutex<Login>,
    /// What people can see of the connection.
    pub observed: Option<ObservedConnection>,
    /// Why the connection must be closed after the last reply: the kind for the limit log.
    pub closing: OnceLock<&'static str>,
}

/// What the requests of a connection have set up.
#[derive(Default)]
pub(super) struct ConnectionState {
    client: Option<GstClient>,
    /// The identifiers of the sessions that end with the connection.
    pub sessions: Vec<String>,
    /// What the request that is being answered may use.
    pub permission: Permission,
    /// The connection has ended. A request may still be being answered.
    ended: bool,
}

/// A reply, and the play that starts after it.
pub(super) struct Response {
    pub reply: Reply,
    pub play: Option<PreparedPlay>,
}

impl From<Reply> for Response {
    fn from(reply: Reply) -> Self {
        Self { reply, play: None }
    }
}

impl From<Status> for Response {
    fn from(status: Status) -> Self {
        Reply::new(status).into()
    }
}

impl Connection {
    pub(super) fn state(&self) -> MutexGuard<'_, ConnectionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The movie in the URL of the request that is being answered.
    fn mount(&self) -> Result<Arc<Mount>, Status> {
        self.state().permission.mount.clone().ok_or(Status::NotFound)
    }

    /// The session of a request. It must be of the movie in the URL.
    fn session(&self, request: &Request) -> Result<Arc<Session>, Status> {
        let id = request.session().ok_or(Status::SessionNotFound)?;
        let session = self.service.sessions.get(id).ok_or(Status::SessionNotFound)?;
        if session.user != self.state().permission.user {
            return Err(Status::SessionNotFound);
        }
        let mount = self.mount()?;
        // After a reload, the mount may be another one with other settings.
        let same = mount.point == session.mount.point;
        same.then_some(session).ok_or(Status::AggregateOperationNotAllowed)
    }

    pub(super) fn describe(&self, request: &Request) -> Response {
        let reply = self.mount().and_then(|mount| {
            let movie = mount.open_playable().map_err(|reason| status_of(&reason))?;
            movie.wait_total(INDEX_LIMIT);
            let base = base_url(&request.uri, &mount).ok_or(Status::BadRequest)?;
            let group = mount
                .settings
                .multicast
                .only
                .then(|| self.service.groups.destination(&mount, self.peer.ip()));
            let description = Description {
                name: mount.point.trim_start_matches('/'),
                id: crate::random(),
                server: self.local,
                framerate: mount.settings.framerate,
                duration: duration(&mount, &movie),
                live: mount.settings.kind == MountKind::Live,
                size: mount.size_of(&movie),
                group: group.and_then(Result::ok),
            };
            let reply = Reply::new(Status::Ok)
                .with("Content-Type", "application/sdp")
                .with("Content-Base", base);
            Ok(Reply { body: description.to_sdp(), ..reply })
        });
        reply.map_or_else(Into::into, Into::into)
    }

    pub(super) fn set_up(&self, request: &Request) -> Response {
        self.try_set_up(request).map_or_else(Into::into, Into::into)
    }

    fn try_set_up(&self, request: &Request) -> Result<Reply, Status> {
        let mount = self.mount()?;
        if let Some(session) = request.session() {
            let session = self.service.sessions.get(session).ok_or(Status::SessionNotFound)?;
            // A session has one movie, and its transport cannot be changed (section 10.4).
            let is_same = mount.point == session.mount.point;
            return Err(if is_same {
                Status::MethodNotValidInThisState
            } else {
                Status::AggregateOperationNotAllowed
            });
        }
        mount.open_playable().map_err(|reason| status_of(&reason))?;
        let (transport, group) = self.choose_transport(request, &mount)?;
        let limits = self.service.limits.get();
        let sessions = &self.service.sessions;
        sessions.has_room(self.origin, &limits).map_err(|limit| self.refuse_session(limit))?;
        let (id, transport_header) = self.agree_on_transport(&transport.offer())?;
        let session = self.new_session(&id, mount, transport, group);
        let Some(session) = session else {
            self.service.gst_server.end(&id);
            return Err(Status::UnsupportedTransport);
        };
        let idle = u32::try_from(limits.idle_time.as_secs()).unwrap_or(u32::MAX);
        session.gst_handle.set_timeout(idle);
        let media = NewMedia {
            mount: session.mount.point.clone(),
            transport: match (session.delivery.rtcp_channel(), self.tunnelled) {
                _ if session.delivery.group().is_some() => observe::Transport::Multicast,
                (None, _) => observe::Transport::Udp,
                (Some(_), false) => observe::Transport::Tcp,
                (Some(_), true) => observe::Transport::Tunnel,
            },
            user: session.user.clone(),
            counts: session.counts.clone(),
        };
        let delivery = session.delivery.clone();
        let transport_header = match delivery.group() {
            Some(group) => {
                group.join(&session);
                group.destination.transport(session.ssrc)
            }
            None => transport_header,
        };
        let reply =
            with_session(Reply::new(Status::Ok), &session).with("Transport", transport_header);
        let mut state = self.state();
        let added = if state.ended {
            Err(Status::ServiceUnavailable)
        } else {
            // Another SETUP may have been answered meanwhile.
            sessions.add(session, &limits).map_err(|limit| self.refuse_session(limit))
        };
        if let Err(status) = added {
            drop(state);
            if let Some(group) = delivery.group() {
                group.leave(&id);
            }
            self.service.gst_server.end(&id);
            return Err(status);
        }
        state.sessions.push(id.clone());
        drop(state);
        self.observe_set_up(&id, media);
        Ok(reply)
    }

    /// Shows a new session to people, and lets an operator end it.
    fn observe_set_up(&self, id: &str, media: NewMedia) {
        let Some(observed) = &self.observed else { return };
        let Some(session) = self.service.sessions.get(id) else { return };
        let shown = observed.set_up();
        let _ = session.observed.set(shown.clone());
        let (sessions, closed) = (Arc::downgrade(&self.service.sessions), id.to_owned());
        shown.set_closer(move || {
            if let Some(sessions) = sessions.upgrade() {
                sessions.close(&closed, observe::CLOSED_BY_OPERATOR);
            }
        });
        shown.open_media(media);
        // The connection may have ended before the session was shown.
        if self.service.sessions.get(id).is_none() {
            shown.end("the connection has ended");
        }
    }

    /// Chooses one of the transports that a request offers, and opens the multicast group if it is that.
    fn choose_transport(
        &self,
        request: &Request,
        mount: &Arc<Mount>,
    ) -> Result<(Transport, Option<Arc<Group>>), Status> {
        let multicast = &mount.settings.multicast;
        let permitted = Permitted {
            unicast: !multicast.only || mount.settings.kind != MountKind::Live,
            udp: !self.encrypted || self.service.access.get().tls_udp,
            multicast: !multicast.groups.is_empty() && mount.settings.kind == MountKind::Live,
        };
        let Service { groups, limit_log, .. } = &*self.service;
        for transport in Transport::offers(request.header("Transport").unwrap_or(""), permitted) {
            if transport != Transport::Multicast {
                return Ok((transport, None));
            }
            match groups.open(mount, self.peer.ip(), limit_log) {
                Ok(group) => return Ok((transport, Some(group))),
                Err(error) => {
                    limit_log.count_error("multicast refused", Some(self.peer), &error);
                }
            }
        }
        Err(Status::UnsupportedTransport)
    }

    /// Logs that a session is refused because of a limit. Returns the status.
    fn refuse_session(&self, limit: SessionLimit) -> Status {
        self.service.limit_log.count(limit.kind(), self.peer);
        Status::ServiceUnavailable
    }

    /// Makes gst-rtsp-server create a session with a transport. Returns the identifier of the session
    /// and the `Transport` header of the reply.
    fn agree_on_transport(&self, offer: &str) -> Result<(String, String), Status> {
        let setup = GstRequest::Setup { transport: offer };
        let mut reply = self.ask_gst_server(&setup)?;
        if reply.code == 503 {
            // The media has failed.
            self.service.gst_server.replace_media();
            reply = self.ask_gst_server(&setup)?;
        }
        match reply {
            GstReply { code: 200, session: Some(id), transport: Some(header) } => Ok((id, header)),
            GstReply { code, .. } => {
                let code = if code == 200 { 500 } else { code };
                Err(Status::from_code(code))
            }
        }
    }

    /// Makes gst-rtsp-server handle a request for a session, and returns the status. Of a session that has just ended,
    /// it may say that its media was not found.
    fn ask_about(&self, session: &Session, request: &GstRequest) -> Result<Status, Status> {
        let status = Status::from_code(self.ask_gst_server(request)?.code);
        if status != Status::Ok && session.has_ended() {
            return Err(Status::SessionNotFound);
        }
        Ok(status)
    }

    /// Makes gst-rtsp-server handle a request of this connection.
    fn ask_gst_server(&self, request: &GstRequest) -> Result<GstReply, Status> {
        let mut state = self.state();
        if state.client.is_none() {
            let socket = self.outbox.socket().as_fd().try_clone_to_owned();
            let client = socket.map_err(Into::into).and_then(|socket: OwnedFd| {
                GstClient::new(&self.service.gst_server, socket, self.peer)
            });
            let client = client.map_err(|error| {
                let connection = self.number;
                tracing::error!(connection, "cannot add a client to gst-rtsp-server: {error:#}");
                Status::InternalServerError
            })?;
            state.client = Some(client);
        }
        let client = state.client.as_ref().ok_or(Status::InternalServerError)?;
        Ok(client.handle(request))
    }

    fn new_session(
        &self,
        id: &str,
        mount: Arc<Mount>,
        transport: Transport,
        group: Option<Arc<Group>>,
    ) -> Option<Session> {
        let gst_session = self.service.gst_server.session(id)?;
        let session_media = gst_session.media("/movie").0?;
        let stream_transport = session_media.transport(0)?;
        // Called at each report of a viewer over UDP. The function that gst-rtsp-server 1.22 has set itself has a plain
        // pointer to the session, which may be freed meanwhile.
        let weak = gst_session.downgrade();
        stream_transport.set_keepalive(move || {
            if let Some(session) = weak.upgrade() {
                session.touch();
            }
        });
        let ssrc = stream_transport.stream()?.ssrc();
        let delivery = match transport {
            Transport::Udp { rtp, rtcp } => {
                let ip = self.peer.ip();
                let sockets = MovieMedia::of(&session_media)?.sockets(ip)?;
                let limit_log = self.service.limit_log.clone();
                let offload = mount.settings.udp_offload == UdpOffload::Auto;
                let peer = SocketAddr::new(ip, rtp);
                Delivery::udp(sockets, peer, rtcp, offload, limit_log)
            }
            Transport::Interleaved { rtp, rtcp } => {
                Delivery::interleaved(self.outbox.clone(), self.peer, (rtp, rtcp))
            }
            Transport::Multicast => Delivery::multicast(group?, self.peer),
        };
        let ids = (id.to_owned(), gst_session);
        let mut session = Session::new(ids, mount, self.origin, ssrc, delivery);
        (session.peer, session.tunnelled) = (self.peer, self.tunnelled);
        session.encrypted = self.encrypted;
        session.user.clone_from(&self.state().permission.user);
        if let Transport::Udp { rtcp, .. } = transport {
            let reporter = SocketAddr::new(self.peer.ip(), rtcp);
            self.service.gst_server.loss_reports().add(reporter, &session.counts);
        }
        Some(session)
    }

    pub(super) fn play(&self, request: &Request) -> Response {
        self.try_play(request).unwrap_or_else(Into::into)
    }

    fn try_play(&self, request: &Request) -> Result<Response, Status> {
        let session = self.session(request)?;
        let url = base_url(&request.uri, &session.mount).ok_or(Status::BadRequest)?;
        let play_request = PlayRequest::read(
            request.header("Range"),
            request.header("Scale"),
            request.header("Speed"),
            session.duration(),
        );
        let play_request = play_request.map_err(|error| match error {
            PlayRequestError::BadRequest => Status::BadRequest,
            PlayRequestError::InvalidRange => Status::InvalidRange,
            PlayRequestError::UnknownUnit => Status::NotImplemented,
        })?;
        // A live movie has one position and no end. Players that do not know this ask for its start, and
        // those that stop by themselves after a time (openRTSP -d) also for an end; the reply's Range
        // states what they get.
        let elsewhere = play_request.start.is_some_and(|it| it > 0);
        if session.mount.settings.kind == MountKind::Live && elsewhere {
            return Err(Status::InvalidRange);
        }
        let play = self.service.sessions.prepare(&session, &play_request);
        let play = play.map_err(|error| match error {
            PlayError::NoMovie => Status::NotFound,
            PlayError::NoPacer => Status::InternalServerError,
            PlayError::TooManyViewers(limit) => {
                self.service.limit_log.count(limit.kind(), self.peer);
                Status::NotEnoughBandwidth
            }
        })?;
        match self.ask_about(&session, &GstRequest::Play { session: &session.id })? {
            Status::Ok => {}
            status => return Err(status),
        }
        let headers = &play.reply;
        let mut reply = with_session(Reply::new(Status::Ok), &session)
            .with("RTP-Info", headers.rtp_info(&format!("{url}{CONTROL}")))
            .with("Range", headers.range.as_str());
        for (name, value) in [("Scale", &headers.scale), ("Speed", &headers.speed)] {
            if let Some(value) = value {
                reply = reply.with(name, value.as_str());
            }
        }
        Ok(Response { reply, play: Some(play) })
    }

    pub(super) fn pause(&self, request: &Request) -> Response {
        let reply = self.session(request).and_then(|session| {
            session.pause();
            let status = self.ask_about(&session, &GstRequest::Pause { session: &session.id })?;
            Ok(with_session(Reply::new(status), &session))
        });
        reply.map_or_else(Into::into, Into::into)
    }

    pub(super) fn tear_down(&self, request: &Request) -> Response {
        let reply = self.session(request).map(|session| {
            self.service.sessions.end(&session.id, TEARDOWN);
            self.state().sessions.retain(|id| *id != session.id);
            with_session(Reply::new(Status::Ok), &session)
        });
        reply.map_or_else(Into::into, Into::into)
    }

    /// Whether a session of the connection plays.
    pub fn is_playing(&self) -> bool {
        self.any_session(Session::is_playing)
    }

    /// Whether the connection has a session.
    pub fn has_session(&self) -> bool {
        self.any_session(|_| true)
    }

    fn any_session(&self, condition: impl Fn(&Session) -> bool) -> bool {
        self.sessions().iter().any(|session| condition(session))
    }

    /// The sessions that end with the connection.
    pub(super) fn sessions(&self) -> Vec<Arc<Session>> {
        self.state().sessions.iter().filter_map(|id| self.service.sessions.get(id)).collect()
    }

    /// Ends the sessions of the connection. May wait for locks of gst-rtsp-server.
    pub fn end(&self, reason: &str) {
        self.outbox.close();
        let state = std::mem::replace(
            &mut *self.state(),
            ConnectionState { ended: true, ..ConnectionState::default() },
        );
        for id in &state.sessions {
            self.service.sessions.end(id, reason);
        }
        if let Some(observed) = &self.observed {
            observed.end(reason);
        }
        // After the sessions of gst-rtsp-server, which refer to its client.
        drop(state.client);
    }
}

/// The status for a movie that cannot be played.
fn status_of(reason: &NotPlayable) -> Status {
    match reason {
        NotPlayable::Open(_) => Status::NotFound,
        NotPlayable::NotFound { .. } => Status::ServiceUnavailable,
        NotPlayable::NoFrame { .. } | NotPlayable::NoUsableFrame { .. } => {
            Status::UnsupportedMediaType
        }
    }
}

pub(super) fn with_session(reply: Reply, session: &Session) -> Reply {
    let timeout = session.gst_handle.timeout();
    reply.with("Session", format!("{};timeout={timeout}", session.id))
}

/// The URL of a movie with a slash at its end, on the host in the URI of a request. The URL of the
/// stream is relative to it (RFC 2326 section C.1.1).
fn base_url(uri: &[u8], mount: &Mount) -> Option<String> {
    // The path may be in any encoding, but the part before it is ASCII.
    let ascii = uri.iter().take_while(|byte| byte.is_ascii());
    let text: String = ascii.map(|byte| char::from(*byte)).collect();
    let (scheme, rest) = text.split_once("://")?;
    // Only checked parts of the request are repeated in the reply.
    let scheme = ["rtsp", "rtsps"].into_iter().find(|known| scheme.eq_ignore_ascii_case(known))?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let is_valid = |c: char| c.is_ascii_alphanumeric() || "-.:[]_".contains(c);
    if host.is_empty() || !host.chars().all(is_valid) {
        return None;
    }
    Some(format!("{scheme}://{host}{}/", mount.encoded()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MountSettings;
    use std::path::PathBuf;

    #[test]
    fn the_base_url_has_the_host_of_the_request_and_the_path_of_the_movie() {
        let mount = Mount::new("/a b%.mjpeg".to_owned(), PathBuf::new(), MountSettings::default());
        let rows: [(&[u8], &str); 5] = [
            (b"rtsp://h:8554/A%20b%25/stream=0", "rtsp://h:8554/a%20b%25.mjpeg/"),
            (b"RTSP://[::1]:8554/x", "rtsp://[::1]:8554/a%20b%25.mjpeg/"),
            (b"rtsps://user:p@ss@10.0.0.1/x?y", "rtsps://10.0.0.1/a%20b%25.mjpeg/"),
            (b"rtsp://h/\xff", "rtsp://h/a%20b%25.mjpeg/"),
            (b"rtsp://h", "rtsp://h/a%20b%25.mjpeg/"),
        ];
        for (uri, want) in rows {
            assert_eq!(base_url(uri, &mount).as_deref(), Some(want), "{}", uri.escape_ascii());
        }
        let invalid: [&[u8]; 5] =
            [b"rtsp://<h>/x", b"rtsp:///x", b"r\x02sp://h/x", b"http://h/x", b"*"];
        for uri in invalid {
            assert_eq!(base_url(uri, &mount), None, "{}", uri.escape_ascii());
        }
    }
}
