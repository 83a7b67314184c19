// SPDX-License-Identifier: MIT OR Apache-2.0
//! The API: movies and the server as JSON. `openapi.json` describes it.

mod mounts;
mod server;

use super::Service;
use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::header::{CONTENT_TYPE, HeaderName};
use std::sync::Arc;

/// The description of the API.
const OPENAPI: &str = include_str!("openapi.json");

const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-resource-policy");

/// The handlers of the API.
pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new()
        .route("/api/openapi.json", get(([(CONTENT_TYPE, "application/json")], OPENAPI)))
        .route("/api/v1/server", get(server::server))
        .route("/api/v1/mounts", get(mounts::list))
        .route("/api/v1/mounts/{*name}", get(mounts::mount))
}

/// A response with a value as JSON, which pages of other sites cannot load.
pub(super) fn json<T: serde::Serialize>(value: &T) -> Response {
    ([(CROSS_ORIGIN_RESOURCE_POLICY, "same-origin")], axum::Json(value)).into_response()
}
