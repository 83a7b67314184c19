// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is looked at before gst-rtsp-server 1.22 handles a request: missing and unusable movies
//! get their status at once, and requests that abort or stall the library never reach it.

use super::mount_points::MountPoints;
use super::play_request::{MAX_NPT, Refused, check_range, check_rate};
use super::rtsp_message;
use super::watchdog::{PlayWatch, Watchdog};
use crate::carriage::NotShown;
use gst_rtsp::RTSPHeaderField;
use gst_rtsp::RTSPStatusCode as Status;
use gst_rtsp_server::prelude::*;
use gst_rtsp_server::{RTSPClient, RTSPContext, RTSPServer, RTSPSessionMedia};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long DESCRIBE waits for the movie's index, to state its duration.
const WAIT_FOR_INDEX: Duration = Duration::from_millis(100);

/// The sender thread of an interleaved stream stops within this after a pause.
const SENDER_STOPS: Duration = Duration::from_millis(5);

pub(super) fn install(server: &RTSPServer, points: &MountPoints, watchdog: &Watchdog) {
    let (points, watchdog) = (points.clone(), watchdog.clone());
    let connections = AtomicU64::new(0);
    server.connect_client_connected(move |_, client| {
        log_replies(client, connections.fetch_add(1, Ordering::Relaxed) + 1);
        let describe = points.clone();
        client.connect_pre_describe_request(move |_, context| usable(&describe, context, true));
        let setup = points.clone();
        client.connect_pre_setup_request(move |client, context| match media(client, context) {
            // A second SETUP of the stream on another transport aborts in get_data_seq.
            Some(_) => Status::MethodNotValidInThisState,
            None => usable(&setup, context, false),
        });
        guard_play(client, &points, watchdog.watch(client));
    });
}

/// Logs each request with its reply's status.
fn log_replies(client: &RTSPClient, connection: u64) {
    tracing::debug!(connection, "connected");
    client.connect_closed(move |_| tracing::debug!(connection, "closed"));
    // The bindings leave this signal out for its arguments, which are not looked at here.
    client.connect("send-message", false, move |_| {
        RTSPContext::with_current_context(|context| {
            let request = context.request().and_then(rtsp_message::request_line);
            let status = context.response().and_then(rtsp_message::status);
            if let Some(((method, uri), status)) = request.zip(status) {
                tracing::debug!(connection, method, ?uri, status, "answered");
            }
        });
        None
    });
}

/// Whether the movie can be shown, as a status.
fn usable(points: &MountPoints, context: &RTSPContext, describe: bool) -> Status {
    let Some(factory) = context.uri().and_then(|url| points.factory(url)) else {
        return Status::NotFound;
    };
    match factory.choose() {
        Ok(shown) => {
            if describe {
                shown.movie.wait_total(WAIT_FOR_INDEX);
            }
            Status::Ok
        }
        Err(reason) => {
            tracing::warn!("cannot be shown: {reason}");
            match reason {
                NotShown::Open(_) => Status::NotFound,
                NotShown::NoFrame { .. } | NotShown::NoUsableFrame { .. } => {
                    Status::UnsupportedMediaType
                }
            }
        }
    }
}

/// The session's media that the request is for.
fn media(client: &RTSPClient, context: &RTSPContext) -> Option<RTSPSessionMedia> {
    let path = client.mount_points()?.make_path(context.uri()?).ok()?;
    context.session()?.media(&path).0
}

fn guard_play(client: &RTSPClient, points: &MountPoints, watch: Arc<PlayWatch>) {
    let playing = Arc::new(AtomicBool::new(false));
    let flag = playing.clone();
    client.connect_play_request(move |_, _| flag.store(true, Ordering::SeqCst));
    let flag = playing.clone();
    client.connect_pause_request(move |_, _| flag.store(false, Ordering::SeqCst));
    let points = points.clone();
    let bounded = AtomicBool::new(false);
    let rates = Arc::new(Rates::default());
    let asked = rates.clone();
    client.connect("send-message", false, move |_| {
        let asked = std::mem::take(&mut *asked.lock().unwrap_or_else(PoisonError::into_inner));
        RTSPContext::with_current_context(|context| {
            let response = context.response()?;
            for field in asked {
                response.add_header(field, "1");
            }
            Some(())
        });
        None
    });
    client.connect_pre_play_request(move |client, context| {
        if let Err(refused) = check_play(&points, context, &bounded, &rates) {
            rates.lock().unwrap_or_else(PoisonError::into_inner).clear();
            return match refused {
                Refused::BadRequest => Status::BadRequest,
                Refused::InvalidRange => Status::InvalidRange,
            };
        }
        // A seek while the sender thread of an interleaved stream holds its lock deadlocks the
        // thread for ever: pause first, as a player should have done, and let the sender drain.
        let media = media(client, context);
        if let Some(media) = media.as_ref().and_then(RTSPSessionMedia::media) {
            let factory = context.uri().and_then(|url| points.factory(url));
            watch.begin(&media, factory.and_then(|factory| factory.open()));
        }
        if playing.swap(false, Ordering::SeqCst)
            && let Some(media) = media
        {
            let _ = media.set_state(gst::State::Paused);
            std::thread::sleep(SENDER_STOPS);
        }
        Status::Ok
    });
}

/// Headers of a PLAY that ask for a rate, to be answered with the rate that is played.
type Rates = Mutex<Vec<RTSPHeaderField>>;

/// `bounded` says whether an earlier range of this connection had an end.
fn check_play(
    points: &MountPoints,
    context: &RTSPContext,
    bounded: &AtomicBool,
    rates: &Rates,
) -> Result<(), Refused> {
    let Some(request) = context.request() else { return Ok(()) };
    for field in [RTSPHeaderField::Scale, RTSPHeaderField::Speed] {
        if let Some(rate) = rtsp_message::get(request, field) {
            check_rate(&rate)?;
            // Rates other than 1 come later; until then 1 is what is done, for any rate, and what
            // the reply says (RFC 2326 sections 12.34 and 12.35).
            rtsp_message::remove(request, field);
            rates.lock().unwrap_or_else(PoisonError::into_inner).push(field);
        }
    }
    if let Some(range) = rtsp_message::get(request, RTSPHeaderField::Range) {
        let duration = context
            .uri()
            .and_then(|url| points.factory(url))
            .and_then(|factory| factory.duration(factory.open()?.as_ref()));
        let duration = duration.map(gst::ClockTime::seconds_f64);
        let has_end = check_range(&range, duration)?;
        if !has_end && bounded.swap(has_end, Ordering::SeqCst) {
            // gst-rtsp-server keeps the end of the range before, which may lie before the new
            // start (a GLib critical), or would end the movie early: state the movie's own.
            let range = range.split(';').next().unwrap_or_default();
            let end = duration.unwrap_or(MAX_NPT);
            rtsp_message::remove(request, RTSPHeaderField::Range);
            request.add_header(RTSPHeaderField::Range, &format!("{range}{end}"));
        }
        bounded.fetch_or(has_end, Ordering::SeqCst);
    }
    Ok(())
}
