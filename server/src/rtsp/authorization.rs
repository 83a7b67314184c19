// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks whether the client of a request may watch the movie in its URL, before anything else is
//! answered that depends on the URL.

use super::methods::Connection;
use super::reply::{Reply, Status};
use super::request::{Method, Request};
use crate::access::login::{FirstStep, Proof, Verdict};
use crate::access::{Access, HIDDEN_FROM_NETWORK, Requirement};
use crate::mount::Mount;
use std::sync::Arc;
use std::time::Instant;

/// The event for the limit log when a connection is closed because of wrong passwords.
pub(super) const TOO_MANY_WRONG: &str = "connection closed: five wrong names or passwords";

/// Whether a request may be answered.
pub(super) enum Authorization {
    /// Yes.
    Granted(Permission),
    /// No. The reply says why.
    Refused(Reply),
    /// The check takes too long for the task of the connection: ask again, on a thread that may wait.
    Slow,
}

/// What a request may use.
#[derive(Default)]
pub(super) struct Permission {
    /// The name by which the client has logged in, if the movie needs that.
    pub user: Option<Arc<str>>,
    /// The movie that the URL names.
    pub mount: Option<Arc<Mount>>,
}

/// Where a request is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Thread {
    /// In the task of the connection.
    Task,
    /// On a thread that may wait.
    MayWait,
}

impl Connection {
    /// Checks a request. OPTIONS needs no login: players use it to query capabilities.
    pub fn authorize(&self, request: &Request, thread: Thread) -> Authorization {
        if request.method == Method::Options {
            return Authorization::Granted(Permission::default());
        }
        let access = self.service.access.get();
        let of_url = self.service.catalog.get().find_url(&request.uri).cloned();
        // A request is about the movie of its URL, otherwise about that of its session.
        let mount = of_url.clone().or_else(|| self.mount_of_session(request));
        let has_mount = mount.is_some();
        let is_visible = |mount: &Arc<Mount>| access.is_visible(mount, self.peer.ip());
        if mount.as_ref().is_some_and(|mount| !is_visible(mount)) {
            self.service.limit_log.count(HIDDEN_FROM_NETWORK, self.peer);
        }
        let mount = mount.filter(is_visible);
        let user = match access.requirement(mount.as_deref()) {
            Requirement::Nothing => None,
            Requirement::Login => match self.log_in(&access, request, thread) {
                Ok(user) => Some(user),
                Err(refused) => return refused,
            },
        };
        match mount {
            Some(mount) if !access.may_watch(&mount, user.as_deref(), self.peer.ip()) => {
                // What a user may not watch does not exist for that user.
                Authorization::Refused(Reply::new(Status::NotFound))
            }
            // A path that leads to no visible movie. Requests that need one would find the hidden one.
            None if has_mount => Authorization::Refused(Reply::new(Status::NotFound)),
            _ => Authorization::Granted(Permission { user, mount: of_url }),
        }
    }

    fn mount_of_session(&self, request: &Request) -> Option<Arc<Mount>> {
        Some(self.service.sessions.get(request.session()?)?.mount.clone())
    }

    /// Returns the name of the user who has sent a request.
    fn log_in(
        &self,
        access: &Access,
        request: &Request,
        thread: Thread,
    ) -> Result<Arc<str>, Authorization> {
        let mut headers =
            request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("Authorization"));
        let Some((_, header)) = headers.next() else {
            return Err(self.ask_for_login(access, false));
        };
        if headers.next().is_some() {
            return Err(Authorization::Refused(Reply::new(Status::BadRequest)));
        }
        if let Some(user) = self.login().known(access, header) {
            return Ok(user.name.as_str().into());
        }
        let Some(attempt) = self.service.attempts.start(self.origin, Instant::now()) else {
            let kind = "login refused: ten wrong names or passwords in a second from its address";
            self.service.limit_log.count(kind, self.peer);
            let reply = Reply::new(Status::ServiceUnavailable).with("Retry-After", "1");
            return Err(Authorization::Refused(reply));
        };
        let is_same_uri = |uri: &str| self.is_same_uri(uri.as_bytes(), &request.uri);
        let method = request.method.name();
        let proof = Proof { method, header, is_same_uri: &is_same_uri, encrypted: self.encrypted };
        let first = self.login().check(access, &proof, Instant::now());
        let verdict = match first {
            FirstStep::Done(verdict) => verdict,
            FirstStep::Slow(_) if thread == Thread::Task => return Err(Authorization::Slow),
            FirstStep::Slow(step) => {
                let right = step.run();
                self.login().finish(step, right)
            }
        };
        match verdict {
            Verdict::Right(user) => Ok(user.name.as_str().into()),
            Verdict::Stale => Err(self.ask_for_login(access, true)),
            Verdict::Malformed => Err(Authorization::Refused(Reply::new(Status::BadRequest))),
            Verdict::Wrong => {
                attempt.wrong(Instant::now());
                self.service.limit_log.count("wrong name or password", self.peer);
                if self.login().count_wrong() {
                    self.close_after_reply(TOO_MANY_WRONG);
                }
                Err(self.ask_for_login(access, false))
            }
        }
    }

    fn ask_for_login(&self, access: &Access, stale: bool) -> Authorization {
        let challenges = self.login().challenges(access, stale, self.encrypted);
        let reply = Reply::new(Status::Unauthorized);
        let with = |reply: Reply, challenge: String| reply.with("WWW-Authenticate", challenge);
        Authorization::Refused(challenges.into_iter().fold(reply, with))
    }

    /// Whether two URIs are the same, or lead to the same movie.
    fn is_same_uri(&self, one: &[u8], two: &[u8]) -> bool {
        let catalog = self.service.catalog.get();
        one == two
            || match (catalog.find_url(one), catalog.find_url(two)) {
                (Some(one), Some(two)) => Arc::ptr_eq(one, two),
                _ => false,
            }
    }
}
