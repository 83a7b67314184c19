// SPDX-License-Identifier: MIT OR Apache-2.0
//! The server.

use super::super::{Asking, Shared};
use super::json;
use crate::config::LabMode;
use axum::extract::{Extension, State};
use axum::response::Response;
use serde::Serialize;

/// The server as the API describes it.
#[derive(Debug, Serialize)]
struct Server {
    name: &'static str,
    version: &'static str,
    started: String,
    uptime_seconds: f64,
    rtsp_port: Option<u16>,
    tls_port: Option<u16>,
    lab: &'static str,
    connections: usize,
    sessions: usize,
    viewers: usize,
    mounts: usize,
    user: Option<String>,
    may_close_sessions: bool,
}

/// Answers a request for the state of the server.
pub(super) async fn server(State(service): Shared, Extension(context): Asking) -> Response {
    let (access, addresses) = (service.access.get(), service.addresses.get());
    let catalog = service.catalog.get();
    let ip = context.client.peer.ip();
    let visible = catalog.mounts().filter(|mount| access.may_watch(mount, context.user(), ip));
    json(&Server {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        started: crate::observe::time::rfc3339(service.started.0),
        uptime_seconds: service.started.1.elapsed().as_secs_f64(),
        rtsp_port: addresses.map(|addresses| addresses.rtsp.port()),
        tls_port: addresses.and_then(|addresses| addresses.tls).map(|tls| tls.port()),
        lab: match service.lab {
            LabMode::On => "on",
            LabMode::Off => "off",
            LabMode::Only => "only",
        },
        connections: service.open.count(),
        sessions: service.context.observatory.as_ref().map_or(0, |it| it.registry.count()),
        viewers: service.context.viewers.total(),
        mounts: visible.count(),
        user: context.user().map(ToOwned::to_owned),
        may_close_sessions: access.may_operate(context.user()),
    })
}
