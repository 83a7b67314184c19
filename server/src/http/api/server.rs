// SPDX-License-Identifier: MIT OR Apache-2.0
//! The server.

use super::super::{Asking, Shared};
use super::json;
use crate::config::LabMode;
use axum::extract::{Extension, State};
use axum::response::Response;
use serde::Serialize;
use std::time::{Duration, SystemTime};

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
        started: rfc3339(service.started.0),
        uptime_seconds: service.started.1.elapsed().as_secs_f64(),
        rtsp_port: addresses.map(|addresses| addresses.rtsp.port()),
        tls_port: addresses.and_then(|addresses| addresses.tls).map(|tls| tls.port()),
        lab: match service.lab {
            LabMode::On => "on",
            LabMode::Off => "off",
            LabMode::Only => "only",
        },
        connections: service.open.count(),
        sessions: service.context.viewers.total(),
        viewers: service.context.viewers.total(),
        mounts: visible.count(),
        user: context.user().map(ToOwned::to_owned),
        may_close_sessions: access.may_operate(context.user()),
    })
}

/// A time as RFC 3339 writes it, in whole seconds of UTC.
fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // The calendar repeats every 400 years, which are 146 097 days. Years start in March here, so that the day
    // that may be missing is the last one.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = 400 * era + year + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_a_date() {
        // By `date -u -d @SECONDS +%FT%TZ`.
        let rows = [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_772_323_199, "2026-02-28T23:59:59Z"),
            (1_772_323_200, "2026-03-01T00:00:00Z"),
            (1_798_761_599, "2026-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ];
        for (seconds, want) in rows {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(rfc3339(time), want);
        }
    }
}
