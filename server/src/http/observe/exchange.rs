// SPDX-License-Identifier: MIT OR Apache-2.0
//! The exchange between clients and the server, as server-sent events.

use super::ObserveState;
use crate::http::reply::Refusal;
use crate::observe::exchange::{Filter, Output, Reader};
use crate::observe::sessions::Dialect;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt, stream};
use std::convert::Infallible;
use std::time::{Duration, UNIX_EPOCH};

/// A comment is sent after this much silence, so that proxies do not close the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Which events a reader wants.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Wanted {
    session: Option<String>,
    dialect: Option<String>,
}

impl Wanted {
    fn filter(&self) -> Result<Filter, &'static str> {
        let session = match &self.session {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| "The parameter session is not a number.")?),
        };
        let dialect = match &self.dialect {
            None => None,
            Some(name) => Some(
                Dialect::from_name(name)
                    .ok_or("The parameter dialect is not rtsp, lab or http.")?,
            ),
        };
        Ok(Filter { session, dialect })
    }
}

/// GET /api/v1/exchange
pub(super) async fn events(
    State(state): State<ObserveState>,
    wanted: Result<Query<Wanted>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let filter = match wanted {
        Ok(Query(wanted)) => wanted.filter(),
        Err(_) => Err("The parameters session and dialect may be stated once each."),
    };
    let filter = filter.map_err(Refusal::bad_request)?;
    let run = run_number(&state);
    let after = headers.get("Last-Event-ID").and_then(|id| last_event(id.to_str().ok()?, run));
    let Some(reader) = Reader::new(state.observatory.clone(), filter, after) else {
        let sentence = "As many pages follow the exchange as may do so.";
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, sentence));
    };
    let events = stream_of(reader, run).take_until(state.ending.announced());
    let sse = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    // Some proxies collect replies unless they are told not to.
    Ok(([(HeaderName::from_static("x-accel-buffering"), "no")], sse).into_response())
}

/// A number for this run of the server: events are counted anew in each.
fn run_number(state: &ObserveState) -> u128 {
    state.observatory.started.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()
}

/// The number of the last event that a reader has seen, if it was one of this run.
fn last_event(id: &str, run: u128) -> Option<u64> {
    let (of_run, number) = id.split_once('-')?;
    (of_run.parse() == Ok(run)).then(|| number.parse().ok())?
}

fn stream_of(reader: Reader, run: u128) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(reader, move |mut reader| async move {
        let Output { number, name, data } = reader.next().await;
        let event = Event::default().id(format!("{run}-{number}")).event(name);
        Some((Ok(event.data(data.to_string())), reader))
    })
}
