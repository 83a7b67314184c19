// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds out which user has sent a request, and which movies the user may watch.

use super::Service;
use super::client::{Client, Context};
use super::reply::Refusal;
use crate::access::login::{FirstStep, Proof, Verdict};
use crate::access::users::User;
use crate::access::{Access, HIDDEN_FROM_NETWORK, Requirement};
use crate::mount::Mount;
use hyper::header::{AUTHORIZATION, HeaderMap, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Method, StatusCode, Uri};
use mjpeg_program::border::guarded;
use std::sync::Arc;
use std::time::Instant;

/// Whether the URI that a client has hashed is that of its request.
fn is_same_uri(hashed: &str, uri: &Uri) -> bool {
    let hashed: Option<Uri> = hashed.parse().ok();
    let path = |uri: &Uri| uri.path_and_query().map(ToString::to_string);
    hashed.is_some_and(|hashed| path(&hashed) == path(uri))
}

/// Starts to check the credentials of a request.
fn first_step(
    client: &Client,
    access: &Access,
    method: &Method,
    uri: &Uri,
    header: &str,
) -> FirstStep {
    let is_same_uri = |hashed: &str| is_same_uri(hashed, uri);
    let (method, encrypted) = (method.as_str(), client.encrypted);
    let proof = Proof { method, header, is_same_uri: &is_same_uri, encrypted };
    client.login().check(access, &proof, Instant::now())
}

impl Service {
    /// The user who has sent a request; `None` if it has no credentials, or there are no users.
    ///
    /// # Errors
    /// If the credentials are not right, or cannot be checked now.
    pub(super) async fn identify(
        &self,
        client: &Client,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<Option<Arc<User>>, Refusal> {
        let access = self.access.get();
        let mut all = headers.get_all(AUTHORIZATION).iter();
        let Some(header) = all.next() else { return Ok(None) };
        if access.users.is_empty() {
            return Ok(None);
        }
        let header = header.to_str().ok().filter(|_| all.next().is_none());
        let invalid = || Refusal::bad_request("The header Authorization is not valid.");
        let header = header.ok_or_else(invalid)?;
        if let Some(user) = client.login().known(&access, header) {
            return Ok(Some(user));
        }
        let Some(attempt) = self.attempts.start(client.origin, Instant::now()) else {
            let kind = "login refused: ten wrong names or passwords in a second from its address";
            self.context.limit_log.count(kind, client.peer);
            let text = "Too many wrong names or passwords were sent from this address.";
            let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text);
            return Err(refusal.with(RETRY_AFTER, "1"));
        };
        let verdict = match first_step(client, &access, method, uri, header) {
            FirstStep::Done(verdict) => verdict,
            FirstStep::Slow(step) => {
                // The semaphore is never closed.
                let permit = self.permits.clone().acquire_owned().await;
                let check = move || {
                    let _permit = permit;
                    let right = guarded("http-login", || step.run()).unwrap_or(false);
                    (step, right)
                };
                let (step, right) = self.on_blocking_thread(check).await?;
                client.login().finish(step, right)
            }
        };
        match verdict {
            Verdict::Right(user) => Ok(Some(user)),
            Verdict::Stale => Err(ask_for_login(client, &access, true)),
            Verdict::Malformed => Err(invalid()),
            Verdict::Wrong => {
                attempt.wrong(Instant::now());
                self.context.limit_log.count("wrong name or password", client.peer);
                if client.login().count_wrong() {
                    let kind = "connection closed: five wrong names or passwords";
                    self.context.limit_log.count(kind, client.peer);
                    client.close_after_response();
                }
                Err(ask_for_login(client, &access, false))
            }
        }
    }

    /// The movie with a name, if the client of a request may watch it.
    ///
    /// # Errors
    /// If there is no such movie for the client: 401 if a login may help, 404 otherwise.
    pub(super) fn find(&self, context: &Context, name: &str) -> Result<Arc<Mount>, Refusal> {
        let (access, ip) = (self.access.get(), context.client.peer.ip());
        let mount = self.catalog.get().find(&format!("/{name}")).cloned();
        let is_hidden = mount.as_ref().is_some_and(|mount| !access.is_visible(mount, ip));
        if is_hidden {
            self.context.limit_log.count(HIDDEN_FROM_NETWORK, context.client.peer);
        }
        let mount = mount.filter(|_| !is_hidden);
        if access.requirement(mount.as_deref()) == Requirement::Login && context.user.is_none() {
            return Err(ask_for_login(&context.client, &access, false));
        }
        let may_watch = |mount: &Arc<Mount>| access.may_watch(mount, context.user(), ip);
        let no_movie = || Refusal::new(StatusCode::NOT_FOUND, "There is no such movie.");
        mount.filter(may_watch).ok_or_else(no_movie)
    }

    /// Checks that the client of a request may see and close the sessions of others.
    ///
    /// # Errors
    /// If it may not.
    pub(super) fn require_operator(&self, context: &Context) -> Result<(), Refusal> {
        let access = self.access.get();
        if access.may_operate(context.user()) {
            return Ok(());
        }
        if context.user.is_none() {
            return Err(ask_for_login(&context.client, &access, false));
        }
        let text = "Only users with the role \"operator\" may do this.";
        Err(Refusal::new(StatusCode::FORBIDDEN, text))
    }
}

/// Asks a client to log in.
pub(super) fn ask_for_login(client: &Client, access: &Access, stale: bool) -> Refusal {
    let challenges = client.login().challenges(access, stale, client.encrypted);
    let refusal = Refusal::new(StatusCode::UNAUTHORIZED, "A user and a password are needed.");
    let with = |refusal: Refusal, challenge: String| refusal.with(WWW_AUTHENTICATE, challenge);
    challenges.into_iter().fold(refusal, with)
}
