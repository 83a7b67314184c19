// SPDX-License-Identifier: MIT OR Apache-2.0
//! The client of a connection, and what is known of it in each request.

use super::stream::PreparedStream;
use crate::access::login::Login;
use crate::access::users::User;
use crate::connection::limits::{ConnectionSlot, Origin};
use hyper::http::uri::Authority;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The client of a connection.
pub(crate) struct Client {
    /// The address of the client.
    pub peer: SocketAddr,
    /// The address by which it has reached the server.
    pub local: SocketAddr,
    /// The origin for which there are limits.
    pub origin: Origin,
    /// The connection is encrypted.
    pub encrypted: bool,
    login: Mutex<Login>,
    slot: Mutex<ConnectionSlot>,
    /// The stream that is sent in the connection once the head of its response has been.
    stream: Mutex<Option<PreparedStream>>,
    /// Bytes have been received since the last request: a part of the next one, probably.
    has_received: Arc<AtomicBool>,
    /// The connection must be closed after the present response.
    closing: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Client {
    /// The client of a connection that `slot` counts.
    pub fn new(
        peer: SocketAddr,
        local: SocketAddr,
        encrypted: bool,
        slot: ConnectionSlot,
    ) -> Arc<Self> {
        let origin = slot.origin();
        Arc::new(Self {
            peer,
            local,
            origin,
            encrypted,
            login: Mutex::new(Login::of_address(origin)),
            slot: Mutex::new(slot),
            stream: Mutex::default(),
            has_received: Arc::default(),
            closing: AtomicBool::new(false),
        })
    }

    /// Is set when bytes are received.
    pub fn received_flag(&self) -> Arc<AtomicBool> {
        self.has_received.clone()
    }

    /// Notes that a whole request has been received.
    pub fn start_request(&self) {
        self.has_received.store(false, Ordering::Relaxed);
        self.set_idle(false);
    }

    /// Whether bytes have been received since the last request.
    pub fn has_received(&self) -> bool {
        self.has_received.load(Ordering::Relaxed)
    }

    /// What the requests of the connection have proved.
    pub fn login(&self) -> MutexGuard<'_, Login> {
        lock(&self.login)
    }

    /// Sets whether the connection may be closed for a new one.
    pub fn set_idle(&self, idle: bool) {
        lock(&self.slot).set_idle(idle);
    }

    /// Notes that a response has been sent. The connection may be closed for a new one, unless a stream follows.
    pub fn finish_response(&self) {
        let starts_stream = lock(&self.stream).is_some();
        self.set_idle(!starts_stream);
    }

    /// Sets the stream that the connection is used for after the present response.
    pub fn set_stream(&self, stream: PreparedStream) {
        *lock(&self.stream) = Some(stream);
    }

    /// Takes the stream that the connection is used for from now on.
    pub fn take_stream(&self) -> Option<PreparedStream> {
        lock(&self.stream).take()
    }

    /// Closes the connection after the present response.
    pub fn close_after_response(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// Whether the connection must be closed after the present response.
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }
}

/// What is known of the client of a request.
#[derive(Clone)]
pub(crate) struct Context {
    /// The client.
    pub client: Arc<Client>,
    /// The user who has logged in.
    pub user: Option<Arc<User>>,
    /// The name or address and the port by which the client has reached the server.
    pub host: Option<Authority>,
}

impl Context {
    /// The name of the user who has logged in.
    pub fn user(&self) -> Option<&str> {
        self.user.as_ref().map(|user| user.name.as_str())
    }
}
