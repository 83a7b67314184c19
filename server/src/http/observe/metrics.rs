// SPDX-License-Identifier: MIT OR Apache-2.0
//! Metrics for Prometheus.

use super::ObserveState;
use crate::observe::exposition::CONTENT_TYPE;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;

/// GET /metrics
pub(super) async fn metrics(State(state): State<ObserveState>) -> impl IntoResponse {
    let headers = [(header::CONTENT_TYPE, CONTENT_TYPE), (header::CACHE_CONTROL, "no-store")];
    (headers, state.observatory.exposition())
}
