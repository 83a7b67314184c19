// SPDX-License-Identifier: MIT OR Apache-2.0
//! Answers what a connection receives: at once if that never waits, otherwise by the methods in
//! `methods.rs`, on a thread that may wait.

use super::authorization::{Authorization, Thread};
use super::methods::{Connection, Response, with_session};
use super::reply::{Reply, Status};
use super::request::{Incoming, Method, Request};
use crate::access::login::Login;
use crate::access::redact;
use gst_rtsp_server::prelude::*;
use std::sync::{MutexGuard, PoisonError};
use std::time::SystemTime;

/// The number of characters that are repeated of the options that a client requires.
const MAX_UNSUPPORTED: usize = 200;

/// A request that is answered on a thread that may wait.
pub(super) struct Waiting {
    request: Request,
    /// The client may send it.
    authorized: bool,
}

impl Connection {
    pub fn login(&self) -> MutexGuard<'_, Login> {
        self.login.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the connection after the reply that is sent next. `kind` is for the limit log.
    pub fn close_after_reply(&self, kind: &'static str) {
        let _ = self.closing.set(kind);
    }

    /// Answers a request if that never waits. Otherwise returns the request, for [`Self::answer`].
    pub fn answer_at_once(&self, incoming: Incoming) -> Option<Waiting> {
        match incoming {
            Incoming::Faulty(status, cseq) => {
                let (code, _) = status.code_and_reason();
                let number = self.number;
                tracing::debug!(connection = number, status = code, "answered a faulty request");
                self.send(&Reply::new(status), cseq);
            }
            Incoming::Request(request) => {
                let authorized = match self.authorize(&request, Thread::Task) {
                    Authorization::Refused(reply) => {
                        self.respond(&request, reply.into());
                        return None;
                    }
                    Authorization::Granted(permission) => {
                        self.state().permission = permission;
                        if let Some(reply) = self.reply_at_once(&request) {
                            self.respond(&request, reply.into());
                            return None;
                        }
                        true
                    }
                    Authorization::Slow => false,
                };
                return Some(Waiting { request, authorized });
            }
            // A packet, such as a receiver report, keeps the sessions of the connection alive.
            Incoming::Packet(channel, bytes) => {
                for session in self.sessions() {
                    session.gst_handle.touch();
                    session.read_report(channel, &bytes);
                }
            }
            Incoming::Reply => {}
        }
        None
    }

    /// The reply to OPTIONS, to a request that keeps a session alive, or to one that is refused
    /// whatever its method is; `None` for others.
    fn reply_at_once(&self, request: &Request) -> Option<Reply> {
        if let Some(options) = request.header("Require").or(request.header("Proxy-Require")) {
            // RFC 2326 section 12.32. Only the characters of tokens are repeated.
            let is_token = |c: &char| c.is_ascii_alphanumeric() || "-._,; ".contains(*c);
            let options: String = options.chars().filter(is_token).take(MAX_UNSUPPORTED).collect();
            return Some(Reply::new(Status::OptionNotSupported).with("Unsupported", options));
        }
        let session = match request.session().map(|id| self.service.sessions.get(id)) {
            Some(None) => return Some(Reply::new(Status::SessionNotFound)),
            Some(Some(session)) => {
                session.gst_handle.touch();
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

    /// Answers a request. May wait for a disk or for locks of gst-rtsp-server.
    pub fn answer(&self, waiting: &Waiting) {
        let request = &waiting.request;
        if !waiting.authorized {
            match self.authorize(request, Thread::MayWait) {
                Authorization::Refused(reply) => return self.respond(request, reply.into()),
                Authorization::Granted(permission) => self.state().permission = permission,
                // Nothing is too slow here.
                Authorization::Slow => {
                    return self.respond(request, Status::InternalServerError.into());
                }
            }
            if let Some(reply) = self.reply_at_once(request) {
                return self.respond(request, reply.into());
            }
        }
        let response = match request.method {
            Method::Describe => self.describe(request),
            Method::Setup => self.set_up(request),
            Method::Play => self.play(request),
            Method::Pause => self.pause(request),
            Method::Teardown => self.tear_down(request),
            _ => Status::NotImplemented.into(),
        };
        self.respond(request, response);
    }

    /// Sends the reply to a request, and starts the play after it.
    fn respond(&self, request: &Request, response: Response) {
        let (method, uri) = (request.method.name(), redact::uri(&request.uri));
        let (status, _) = response.reply.status.code_and_reason();
        tracing::debug!(connection = self.number, method, %uri, status, "answered");
        if let (Some(observed), Some(play)) = (&self.observed, &response.play)
            && play.is_new()
        {
            observed.play_starts();
        }
        self.send(&response.reply, Some(request.cseq));
        if let Some(play) = response.play {
            play.start();
        }
    }

    /// Sends a reply.
    pub fn send(&self, reply: &Reply, cseq: Option<u32>) {
        let date = httpdate::fmt_http_date(SystemTime::now());
        let bytes = reply.to_bytes(cseq, &date);
        if let Some(observed) = &self.observed {
            observed.replies(reply.status.code_and_reason().0, &bytes);
        }
        self.outbox.send(&bytes);
    }
}
