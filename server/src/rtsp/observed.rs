// SPDX-License-Identifier: MIT OR Apache-2.0
//! Shows people what a connection of standard RTSP says, if the server has an observatory.

use super::request::{Method, Request};
use super::session::Session;
use crate::observe::Observatory;
use crate::observe::event::{Answered, Kind, Message};
use crate::observe::sessions::{Dialect, NewSession, ObservedSession, State};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::Notify;

/// A connection that people can see.
pub(super) struct ObservedConnection {
    observatory: Arc<Observatory>,
    /// What each of its sessions starts with.
    new: NewSession,
    /// Notified when an operator closes the connection.
    close: Arc<Notify>,
    present: Mutex<Present>,
}

/// The request that is being answered. Requests of a connection are answered one by one.
#[derive(Default)]
struct Present {
    /// The session of requests that state none.
    session: Option<Arc<ObservedSession>>,
    /// The session of the request.
    answering: Option<Arc<ObservedSession>>,
    method: Option<Method>,
    received: Option<Instant>,
}

impl ObservedConnection {
    /// A connection that has not spoken yet.
    pub fn new(observatory: Arc<Observatory>, new: NewSession) -> Self {
        Self { observatory, new, close: Arc::default(), present: Mutex::default() }
    }

    fn present(&self) -> MutexGuard<'_, Present> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a session. An operator closes the connection with it, until a movie is set up.
    fn begin(&self) -> Arc<ObservedSession> {
        let session = self.observatory.begin(self.new.clone());
        let close = self.close.clone();
        session.set_closer(move || close.notify_one());
        session
    }

    /// Waits until an operator closes the connection.
    pub async fn close_requested(&self) {
        self.close.notified().await;
    }

    /// Shows a request; `None` if it has errors. `session` is that of the request, if it states one that
    /// exists.
    pub fn received(&self, request: Option<&Request>, text: &[u8], session: Option<&Session>) {
        let session = session.and_then(|session| session.observed.get().cloned());
        let session = self.answer_in(session, request.map(|request| request.method));
        if let Some(agent) = request.and_then(|request| request.header("User-Agent")) {
            session.set_agent(agent);
        }
        session.record(Kind::Request(Message::rtsp(text), session.state()));
    }

    /// Shows bytes that cannot be read as a request.
    pub fn received_unreadable(&self, text: &[u8]) {
        let session = self.answer_in(None, None);
        session.record(Kind::Request(Message::rtsp(text), session.state()));
    }

    /// Notes which session is answered next, and returns it.
    fn answer_in(
        &self,
        session: Option<Arc<ObservedSession>>,
        method: Option<Method>,
    ) -> Arc<ObservedSession> {
        let mut present = self.present();
        (present.method, present.received) = (method, Some(Instant::now()));
        let session = session.unwrap_or_else(|| {
            let known = present.session.take_if(|session| !session.has_ended());
            known.unwrap_or_else(|| self.begin())
        });
        if present.session.as_ref().is_none_or(|it| it.has_ended()) {
            present.session = Some(session.clone());
        }
        present.answering = Some(session.clone());
        session
    }

    /// The session for a movie that is being set up: a new one if that of the connection has a movie.
    pub fn set_up(&self) -> Arc<ObservedSession> {
        let mut present = self.present();
        let known = present.answering.take_if(|it| !it.has_media() && !it.has_ended());
        let session = known.unwrap_or_else(|| self.begin());
        present.answering = Some(session.clone());
        session
    }

    /// Notes that a play starts with the reply.
    pub fn play_starts(&self) {
        let present = self.present();
        if let (Some(session), Some(received)) = (&present.answering, present.received) {
            session.play_starts(received);
        }
    }

    /// Shows the reply, which is about to be sent.
    pub fn replies(&self, code: u16, text: &[u8]) {
        let (session, method) = {
            let mut present = self.present();
            (present.answering.take(), present.method.take())
        };
        self.observatory.metrics.add_reply(Dialect::Rtsp, code);
        let Some(session) = session else { return };
        if (method, code) == (Some(Method::Pause), 200) {
            session.set_state(State::Ready);
        }
        let answered = Answered::Rtsp(method.map(Method::name));
        session.record(Kind::Reply(Message::rtsp(text), answered, session.state()));
        if (method, code) == (Some(Method::Teardown), 200) {
            session.end(TEARDOWN);
        }
    }

    /// Ends the session of the connection, unless it has ended.
    pub fn end(&self, reason: &str) {
        let session = self.present().session.take();
        if let Some(session) = session {
            session.end(reason);
        }
    }
}

/// Why a session ends that its client ends. The reply is shown before the end.
pub(super) const TEARDOWN: &str = "TEARDOWN";
