// SPDX-License-Identifier: MIT OR Apache-2.0
//! What people can see of the server over HTTP: its sessions, the exchange, and metrics.
//!
//! These routes check neither users nor origins. The router that they are merged into does.

mod exchange;
mod metrics;
mod sessions;
#[cfg(test)]
mod tests;

use crate::ending::Ending;
use crate::observe::Observatory;
use axum::Router;
use axum::routing::{get, post};
use std::sync::Arc;

/// What the handlers need.
#[derive(Clone)]
struct ObserveState {
    observatory: Arc<Observatory>,
    ending: Ending,
}

/// The routes. Streams of events end with the server.
pub(crate) fn observe_routes(observatory: Arc<Observatory>, ending: Ending) -> Router {
    Router::new()
        .route("/metrics", get(metrics::metrics))
        .route("/api/v1/sessions", get(sessions::list))
        .route("/api/v1/sessions/{id}", get(sessions::one))
        .route("/api/v1/sessions/{id}/close", post(sessions::close))
        .route("/api/v1/exchange", get(exchange::events))
        .with_state(ObserveState { observatory, ending })
}
