// SPDX-License-Identifier: MIT OR Apache-2.0
//! The sessions of the server.

use super::ObserveState;
use crate::http::api::json;
use crate::http::reply::Refusal;
use crate::observe::sessions::{ObservedSession, SessionView};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use mjpeg_program::border::guarded;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long the reply to a request to close a session waits for the end of the session.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

fn find(state: &ObserveState, id: &str) -> Result<Arc<ObservedSession>, Refusal> {
    let session = id.parse().ok().and_then(|id| state.observatory.registry.get(id));
    session
        .ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, "There is no session with this number."))
}

/// All sessions.
#[derive(Debug, serde::Serialize)]
struct Sessions {
    sessions: Vec<SessionView>,
}

/// GET /api/v1/sessions
pub(super) async fn list(State(state): State<ObserveState>) -> Response {
    let sessions = state.observatory.registry.all();
    json(&Sessions { sessions: sessions.iter().map(|session| session.view()).collect() })
}

/// GET /api/v1/sessions/ID
pub(super) async fn one(
    State(state): State<ObserveState>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    Ok(json(&find(&state, &id)?.view()))
}

/// POST /api/v1/sessions/ID/close
pub(super) async fn close(
    State(state): State<ObserveState>,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    let session = find(&state, &id)?;
    tracing::info!(session = session.id, "session closed over HTTP");
    let closing = session.clone();
    // On another thread, since it may wait for locks of gst-rtsp-server.
    let closed = tokio::task::spawn_blocking(move || guarded("close-session", || closing.close()));
    if !matches!(closed.await, Ok(Ok(()))) {
        return Err(Refusal::internal());
    }
    // The end of a connection is up to its task.
    let _ = timeout(CLOSE_LIMIT, session.gone()).await;
    Ok(StatusCode::NO_CONTENT)
}
