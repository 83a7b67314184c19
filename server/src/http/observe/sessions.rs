// SPDX-License-Identifier: MIT OR Apache-2.0
//! The sessions of the server.

use super::{ObserveState, error};
use crate::observe::sessions::{ObservedSession, SessionView};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use mjpeg_program::border::guarded;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long the reply to a request to close a session waits for the end of the session.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

fn find(state: &ObserveState, id: &str) -> Result<Arc<ObservedSession>, Response> {
    let session = id.parse().ok().and_then(|id| state.observatory.registry.get(id));
    session.ok_or_else(|| error(StatusCode::NOT_FOUND, "there is no session with this number"))
}

/// GET /api/v1/sessions
pub(super) async fn list(State(state): State<ObserveState>) -> impl IntoResponse {
    let sessions = state.observatory.registry.all();
    let sessions: Vec<SessionView> = sessions.iter().map(|session| session.view()).collect();
    ([(header::CACHE_CONTROL, "no-store")], Json(json!({ "sessions": sessions })))
}

/// GET /api/v1/sessions/ID
pub(super) async fn one(State(state): State<ObserveState>, Path(id): Path<String>) -> Response {
    match find(&state, &id) {
        Ok(session) => {
            ([(header::CACHE_CONTROL, "no-store")], Json(session.view())).into_response()
        }
        Err(refused) => refused,
    }
}

/// POST /api/v1/sessions/ID/close
pub(super) async fn close(State(state): State<ObserveState>, Path(id): Path<String>) -> Response {
    let session = match find(&state, &id) {
        Ok(session) => session,
        Err(refused) => return refused,
    };
    tracing::info!(session = session.id, "session closed over HTTP");
    let closing = session.clone();
    // On another thread, since it may wait for locks of gst-rtsp-server.
    let closed = tokio::task::spawn_blocking(move || guarded("close-session", || closing.close()));
    if !matches!(closed.await, Ok(Ok(()))) {
        return error(StatusCode::INTERNAL_SERVER_ERROR, "the session cannot be closed");
    }
    // The end of a connection is up to its task.
    let _ = timeout(CLOSE_LIMIT, session.gone()).await;
    StatusCode::NO_CONTENT.into_response()
}
