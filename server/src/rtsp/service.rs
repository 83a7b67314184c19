// SPDX-License-Identifier: MIT OR Apache-2.0
//! What standard RTSP requests mean (RFC 2326 section 10), and what they are answered.

use super::delivery::Delivery;
use super::library::{self, Ask, Library};
use super::media::MovieMedia;
use super::play_request::{Asked, Refused};
use super::reply::{Reply, Status};
use super::request::{Incoming, Method, Request};
use super::sdp::{CONTROL, Description};
use super::sessions::{NotPlayed, Prepared, Session, Sessions};
use super::transport::Transport;
use crate::carriage::NotShown;
use crate::catalog::Catalog;
use crate::connection::limits::Origin;
use crate::connection::outbox::Outbox;
use crate::connection::refusals::Refusals;
use crate::mount::Mount;
use gst_rtsp_server::prelude::*;
use gstmjpegfile::movie::FrameRate;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::Semaphore;

/// Characters of the options that a client requires which are repeated to it.
const MAX_UNSUPPORTED: usize = 200;

/// How long DESCRIBE waits for the movie's index, to state its duration.
const WAIT_FOR_INDEX: Duration = Duration::from_millis(100);

/// What all connections of standard RTSP share.
pub struct Service {
    pub(super) catalog: Arc<Catalog>,
    pub(super) library: Arc<Library>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) refusals: Arc<Refusals>,
    pub(super) framerate: FrameRate,
    pub(super) live: bool,
    /// Whether the kernel may split frames into datagrams.
    pub(super) offload: bool,
    /// Sessions at once from an address.
    pub(super) sessions_by_origin: usize,
    /// Places for requests that are being answered, each on a thread that may wait.
    pub(super) handlers: Arc<Semaphore>,
}

/// What a connection and its requests have in common. Requests of one connection are answered one
/// after another.
pub(super) struct Connection {
    pub service: Arc<Service>,
    /// A number for the log.
    pub number: u64,
    pub peer: SocketAddr,
    /// The address of this machine that the peer has reached.
    pub local: IpAddr,
    pub origin: Origin,
    pub outbox: Arc<Outbox>,
    pub state: Mutex<State>,
}

/// What a connection has set up.
#[derive(Default)]
pub(super) struct State {
    client: Option<library::Client>,
    /// The sessions that end with the connection.
    sessions: Vec<String>,
    /// It has ended, while a request may still be in work.
    ended: bool,
}

/// A reply, and what it starts.
struct Answered {
    reply: Reply,
    starts: Option<Prepared>,
}

impl From<Reply> for Answered {
    fn from(reply: Reply) -> Self {
        Self { reply, starts: None }
    }
}

impl From<Status> for Answered {
    fn from(status: Status) -> Self {
        Reply::new(status).into()
    }
}

impl Connection {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers what takes no time; gives back a request that may, for [`Self::answer`].
    pub fn answer_at_once(&self, incoming: Incoming) -> Option<Request> {
        match incoming {
            Incoming::Faulty(status, cseq) => {
                let code = status.code_and_reason().0;
                tracing::debug!(
                    connection = self.number,
                    status = code,
                    "answered a faulty request"
                );
                self.send(&Reply::new(status), cseq);
            }
            Incoming::Request(request) => match self.simple(&request) {
                Some(reply) => self.reply(&request, reply.into()),
                None => return Some(request),
            },
            // What a receiver reports; it keeps the session alive.
            Incoming::Packet(_) => {
                for id in &self.state().sessions {
                    if let Some(session) = self.service.sessions.get(id) {
                        session.library.touch();
                    }
                }
            }
            Incoming::Reply => {}
        }
        None
    }

    /// The reply to a request that only keeps a session alive, or that no method is asked for.
    fn simple(&self, request: &Request) -> Option<Reply> {
        if let Some(option) = request.header("Require").or(request.header("Proxy-Require")) {
            // RFC 2326 section 12.32. Only what may stand in a token is repeated.
            let token = |c: &char| c.is_ascii_alphanumeric() || "-._,; ".contains(*c);
            let option: String = option.chars().filter(token).take(MAX_UNSUPPORTED).collect();
            return Some(Reply::new(Status::OptionNotSupported).with("Unsupported", option));
        }
        let session = match request.session().map(|id| self.service.sessions.get(id)) {
            Some(None) => return Some(Reply::new(Status::SessionNotFound)),
            Some(Some(session)) => {
                session.library.touch();
                Some(session)
            }
            None => None,
        };
        let reply = match request.method {
            Method::Options => Reply::new(Status::Ok).with("Public", Method::SERVED),
            Method::GetParameter | Method::SetParameter if request.body.is_empty() => {
                Reply::new(Status::Ok)
            }
            Method::GetParameter | Method::SetParameter => {
                Reply::new(Status::ParameterNotUnderstood)
            }
            _ => return None,
        };
        Some(match session {
            Some(session) => with_session(reply, &session),
            None => reply,
        })
    }

    /// Answers a request. It may wait for a disk or for locks of the library.
    pub fn answer(&self, request: &Request) {
        let answered = match request.method {
            Method::Describe => self.describe(request),
            Method::Setup => self.set_up(request),
            Method::Play => self.play(request),
            Method::Pause => self.pause(request),
            Method::Teardown => self.tear_down(request),
            _ => Status::NotImplemented.into(),
        };
        self.reply(request, answered);
    }

    fn reply(&self, request: &Request, answered: Answered) {
        let (method, uri) = (request.method.word(), request.uri.escape_ascii());
        let status = answered.reply.status.code_and_reason().0;
        tracing::debug!(connection = self.number, method, %uri, status, "answered");
        self.send(&answered.reply, Some(request.cseq));
        if let Some(prepared) = answered.starts {
            prepared.start();
        }
    }

    /// Sends a reply.
    pub fn send(&self, reply: &Reply, cseq: Option<u32>) {
        let date = httpdate::fmt_http_date(SystemTime::now());
        self.outbox.send(&reply.to_bytes(cseq, &date));
    }

    fn mount(&self, request: &Request) -> Result<&Arc<Mount>, Status> {
        self.service.catalog.find_url(&request.uri).ok_or(Status::NotFound)
    }

    /// The session that a request names, which must be of its movie.
    fn session(&self, request: &Request) -> Result<Arc<Session>, Status> {
        let id = request.session().ok_or(Status::SessionNotFound)?;
        let session = self.service.sessions.get(id).ok_or(Status::SessionNotFound)?;
        let mount = self.mount(request)?;
        let same = Arc::ptr_eq(mount, &session.mount);
        same.then_some(session).ok_or(Status::AggregateOperationNotAllowed)
    }

    fn describe(&self, request: &Request) -> Answered {
        let described = self.mount(request).and_then(|mount| {
            let movie = mount.open_shown().map_err(|reason| status_of(&reason))?;
            movie.wait_total(WAIT_FOR_INDEX);
            let base = base_url(&request.uri, mount).ok_or(Status::BadRequest)?;
            let description = Description {
                name: mount.point.trim_start_matches('/'),
                id: crate::random(),
                server: self.local,
                framerate: self.service.framerate,
                duration: self.service.sessions.duration(&movie),
                live: self.service.live,
            };
            let reply = Reply::new(Status::Ok)
                .with("Content-Type", "application/sdp")
                .with("Content-Base", base);
            Ok(Reply { body: description.to_sdp(), ..reply })
        });
        described.map_or_else(Into::into, Into::into)
    }

    fn set_up(&self, request: &Request) -> Answered {
        self.try_set_up(request).map_or_else(Into::into, Into::into)
    }

    fn try_set_up(&self, request: &Request) -> Result<Reply, Status> {
        let mount = self.mount(request)?.clone();
        if let Some(session) = request.session() {
            let session = self.service.sessions.get(session).ok_or(Status::SessionNotFound)?;
            // A session plays one movie, whose transport stays as it is (section 10.4).
            let same = Arc::ptr_eq(&mount, &session.mount);
            return Err(if same {
                Status::MethodNotValidInThisState
            } else {
                Status::AggregateOperationNotAllowed
            });
        }
        mount.open_shown().map_err(|reason| status_of(&reason))?;
        let transport = request.header("Transport").and_then(Transport::choose);
        let transport = transport.ok_or(Status::UnsupportedTransport)?;
        if self.service.sessions.count(self.origin) >= self.service.sessions_by_origin {
            self.service.refusals.note("SETUP refused: too many sessions of an address", self.peer);
            return Err(Status::ServiceUnavailable);
        }
        let (id, agreed) = self.agree(&transport.offer())?;
        let session = self.new_session(&id, mount, transport);
        let Some(session) = session else {
            self.service.library.end(&id);
            return Err(Status::UnsupportedTransport);
        };
        let reply = with_session(Reply::new(Status::Ok), &session).with("Transport", agreed);
        let mut state = self.state();
        if state.ended {
            drop(state);
            self.service.library.end(&id);
            return Err(Status::ServiceUnavailable);
        }
        self.service.sessions.add(session);
        state.sessions.push(id);
        Ok(reply)
    }

    /// Lets the library agree on a transport; gives its session and the transport's text.
    fn agree(&self, offer: &str) -> Result<(String, String), Status> {
        let ask = Ask::Setup { transport: offer };
        let mut answer = self.ask(&ask)?;
        if answer.code == 503 {
            // Its media has failed.
            self.service.library.replace_media();
            answer = self.ask(&ask)?;
        }
        match answer {
            library::Answer { code: 200, session: Some(id), transport: Some(agreed) } => {
                Ok((id, agreed))
            }
            library::Answer { code, .. } => {
                let code = if code == 200 { 500 } else { code };
                Err(Status::of_code(code))
            }
        }
    }

    fn ask(&self, ask: &Ask) -> Result<library::Answer, Status> {
        let mut state = self.state();
        if state.client.is_none() {
            let socket = self.outbox.socket().as_fd().try_clone_to_owned();
            let made = socket.map_err(Into::into).and_then(|socket: OwnedFd| {
                library::Client::new(&self.service.library, socket, self.peer)
            });
            let client = made.map_err(|error| {
                tracing::error!(
                    connection = self.number,
                    "no client of gst-rtsp-server: {error:#}"
                );
                Status::InternalServerError
            })?;
            state.client = Some(client);
        }
        let client = state.client.as_ref().ok_or(Status::InternalServerError)?;
        Ok(client.ask(ask))
    }

    fn new_session(&self, id: &str, mount: Arc<Mount>, transport: Transport) -> Option<Session> {
        let library = self.service.library.session(id)?;
        let of_media = library.media("/movie").0?;
        let ssrc = of_media.transport(0)?.stream()?.ssrc();
        let delivery = match transport {
            Transport::Udp { rtp, rtcp } => {
                let ip = self.peer.ip();
                let sockets = MovieMedia::of(&of_media)?.sockets(ip)?;
                Delivery::udp(sockets, ip, (rtp, rtcp), self.service.offload)
            }
            Transport::Interleaved { rtp, rtcp } => {
                Delivery::interleaved(self.outbox.clone(), (rtp, rtcp))
            }
        };
        Some(Session::new((id.to_owned(), library), mount, self.origin, ssrc, delivery))
    }

    fn play(&self, request: &Request) -> Answered {
        self.try_play(request).unwrap_or_else(Into::into)
    }

    fn try_play(&self, request: &Request) -> Result<Answered, Status> {
        let session = self.session(request)?;
        let url = base_url(&request.uri, &session.mount).ok_or(Status::BadRequest)?;
        let asked = Asked::read(
            request.header("Range"),
            request.header("Scale"),
            request.header("Speed"),
            self.service.sessions.duration_of(&session),
        );
        let asked = asked.map_err(|refused| match refused {
            Refused::BadRequest => Status::BadRequest,
            Refused::InvalidRange => Status::InvalidRange,
            Refused::UnknownUnit => Status::NotImplemented,
        })?;
        let prepared = self.service.sessions.prepare(&session, &asked);
        let prepared = prepared.map_err(|reason| match reason {
            NotPlayed::NoMovie => Status::NotFound,
            NotPlayed::NoPacer => Status::InternalServerError,
        })?;
        let answer = self.ask(&Ask::Play { session: &session.id })?;
        if answer.code != 200 {
            return Err(Status::of_code(answer.code));
        }
        let said = &prepared.answer;
        let mut reply = with_session(Reply::new(Status::Ok), &session)
            .with("RTP-Info", said.rtp_info(&format!("{url}{CONTROL}")))
            .with("Range", said.range.as_str());
        for (name, value) in [("Scale", &said.scale), ("Speed", &said.speed)] {
            if let Some(value) = value {
                reply = reply.with(name, value.as_str());
            }
        }
        Ok(Answered { reply, starts: Some(prepared) })
    }

    fn pause(&self, request: &Request) -> Answered {
        let paused = self.session(request).and_then(|session| {
            self.service.sessions.pause(&session);
            let answer = self.ask(&Ask::Pause { session: &session.id })?;
            Ok(with_session(Reply::new(Status::of_code(answer.code)), &session))
        });
        paused.map_or_else(Into::into, Into::into)
    }

    fn tear_down(&self, request: &Request) -> Answered {
        let ended = self.session(request).map(|session| {
            self.service.sessions.end(&session.id);
            self.state().sessions.retain(|id| *id != session.id);
            with_session(Reply::new(Status::Ok), &session)
        });
        ended.map_or_else(Into::into, Into::into)
    }

    /// Whether anything is being sent to its sessions.
    pub fn is_playing(&self) -> bool {
        self.each_session(Session::is_playing)
    }

    /// Whether it has a session.
    pub fn has_session(&self) -> bool {
        self.each_session(|_| true)
    }

    fn each_session(&self, is: impl Fn(&Session) -> bool) -> bool {
        let state = self.state();
        let mut sessions = state.sessions.iter().filter_map(|id| self.service.sessions.get(id));
        sessions.any(|session| is(&session))
    }

    /// Ends what it has set up. It may wait for locks of the library.
    pub fn end(&self) {
        self.outbox.close();
        let state =
            std::mem::replace(&mut *self.state(), State { ended: true, ..State::default() });
        for id in &state.sessions {
            self.service.sessions.end(id);
        }
        // The library's client goes last: its sessions refer to it.
        drop(state.client);
    }
}

/// The status for a movie that cannot be shown.
fn status_of(reason: &NotShown) -> Status {
    match reason {
        NotShown::Open(_) => Status::NotFound,
        NotShown::NoFrame { .. } | NotShown::NoUsableFrame { .. } => Status::UnsupportedMediaType,
    }
}

fn with_session(reply: Reply, session: &Session) -> Reply {
    let timeout = session.library.timeout();
    reply.with("Session", format!("{};timeout={timeout}", session.id))
}

/// The URL of a movie, with a slash at its end, on the host that a request was sent to: what its
/// stream's URL is relative to (RFC 2326 section C.1.1).
fn base_url(uri: &[u8], mount: &Mount) -> Option<String> {
    // The path may be in any encoding, what stands before it is ASCII.
    let ascii = uri.iter().take_while(|byte| byte.is_ascii());
    let text: String = ascii.map(|byte| char::from(*byte)).collect();
    let (scheme, rest) = text.split_once("://")?;
    // Nothing of a request is repeated that has not been checked.
    let scheme = ["rtsp", "rtsps"].into_iter().find(|known| scheme.eq_ignore_ascii_case(known))?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let sound = |c: char| c.is_ascii_alphanumeric() || "-.:[]_".contains(c);
    if host.is_empty() || !host.chars().all(sound) {
        return None;
    }
    Some(format!("{scheme}://{host}{}/", mount.encoded()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn the_base_is_the_movies_url_on_the_host_that_was_asked() {
        let mount = Mount::new("/a b%.mjpeg".to_owned(), PathBuf::new());
        let rows: [(&[u8], Option<&str>); 10] = [
            (b"rtsp://h:8554/A%20b%25/stream=0", Some("rtsp://h:8554/a%20b%25.mjpeg/")),
            (b"RTSP://[::1]:8554/x", Some("rtsp://[::1]:8554/a%20b%25.mjpeg/")),
            (b"rtsps://user:p@ss@10.0.0.1/x?y", Some("rtsps://10.0.0.1/a%20b%25.mjpeg/")),
            (b"rtsp://h/\xff", Some("rtsp://h/a%20b%25.mjpeg/")),
            (b"rtsp://h", Some("rtsp://h/a%20b%25.mjpeg/")),
            (b"rtsp://<h>/x", None),
            (b"rtsp:///x", None),
            (b"r\x02sp://h/x", None),
            (b"http://h/x", None),
            (b"*", None),
        ];
        for (uri, want) in rows {
            assert_eq!(base_url(uri, &mount).as_deref(), want, "{}", uri.escape_ascii());
        }
    }
}
