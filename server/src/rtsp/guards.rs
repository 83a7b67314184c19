// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is looked at before gst-rtsp-server 1.22 handles a request: missing and unusable movies
//! get their status at once, requests that abort the library never reach it, and what PLAY, PAUSE
//! and TEARDOWN mean is done by [`Sessions`].

use super::mount_points::MountPoints;
use super::play_request::{Asked, Refused};
use super::rtsp_message;
use super::sessions::{Answer, NotPlayed, Prepared, Sessions};
use crate::carriage::NotShown;
use gst_rtsp::RTSPHeaderField;
use gst_rtsp::RTSPStatusCode as Status;
use gst_rtsp_server::prelude::*;
use gst_rtsp_server::{RTSPClient, RTSPContext, RTSPServer, RTSPSessionMedia};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long DESCRIBE waits for the movie's index, to state its duration.
const WAIT_FOR_INDEX: Duration = Duration::from_millis(100);

pub(super) fn install(server: &RTSPServer, points: &MountPoints, sessions: &Arc<Sessions>) {
    let (points, sessions) = (points.clone(), sessions.clone());
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
        play(client, &points, &sessions);
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
        Ok(movie) => {
            if describe {
                movie.wait_total(WAIT_FOR_INDEX);
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

/// The session and the mount that a request is for.
fn target(points: &MountPoints, context: &RTSPContext) -> Option<(String, String)> {
    let session = context.session()?.sessionid()?.to_string();
    Some((session, points.find(context.uri()?)?.point))
}

/// Does what the client's PLAY, PAUSE and TEARDOWN requests mean. The library handles them too, and
/// answers.
fn play(client: &RTSPClient, points: &MountPoints, sessions: &Arc<Sessions>) {
    // Between a PLAY and its answer; requests of a connection are handled one by one.
    let prepared = Arc::new(Mutex::new(None::<Prepared>));
    let take = |prepared: &Mutex<Option<Prepared>>| {
        prepared.lock().unwrap_or_else(PoisonError::into_inner).take()
    };
    client.connect_pre_play_request({
        let (points, sessions, prepared) = (points.clone(), sessions.clone(), prepared.clone());
        move |client, context| match prepare(&points, &sessions, client, context) {
            Ok(next) => {
                *prepared.lock().unwrap_or_else(PoisonError::into_inner) = next;
                Status::Ok
            }
            Err(status) => {
                take(&prepared);
                status
            }
        }
    });
    // The bindings leave this signal out for its arguments, which are not looked at here.
    client.connect("send-message", false, {
        let prepared = prepared.clone();
        move |_| {
            RTSPContext::with_current_context(|context| {
                let prepared = prepared.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(prepared) = &*prepared {
                    tell(context, &prepared.answer);
                }
            });
            None
        }
    });
    client.connect_play_request(move |_, _| {
        if let Some(prepared) = take(&prepared) {
            prepared.start();
        }
    });
    client.connect_pre_pause_request({
        let (points, sessions) = (points.clone(), sessions.clone());
        move |_, context| {
            if let Some((session, mount)) = target(&points, context) {
                sessions.pause(&session, &mount);
            }
            Status::Ok
        }
    });
    client.connect_pre_teardown_request({
        let (points, sessions) = (points.clone(), sessions.clone());
        move |_, context| {
            if let Some((session, mount)) = target(&points, context) {
                sessions.end(&session, Some(&mount));
            }
            Status::Ok
        }
    });
}

/// Reads a PLAY, and takes out of it what the library is not to act on.
fn prepare(
    points: &MountPoints,
    sessions: &Arc<Sessions>,
    client: &RTSPClient,
    context: &RTSPContext,
) -> Result<Option<Prepared>, Status> {
    let Some(request) = context.request() else { return Ok(None) };
    let Some(factory) = context.uri().and_then(|url| points.factory(url)) else { return Ok(None) };
    let Some(session) = context.session().and_then(RTSPSessionExt::sessionid) else {
        return Ok(None);
    };
    let Some(media) = media(client, context) else { return Ok(None) };
    let header = |field| rtsp_message::get(request, field);
    let duration = factory.open().and_then(|movie| factory.duration(&movie));
    let asked = Asked::read(
        header(RTSPHeaderField::Range).as_deref(),
        header(RTSPHeaderField::Scale).as_deref(),
        header(RTSPHeaderField::Speed).as_deref(),
        duration.map(gst::ClockTime::seconds_f64),
    );
    let asked = asked.map_err(|refused| match refused {
        Refused::BadRequest => Status::BadRequest,
        Refused::InvalidRange => Status::InvalidRange,
    })?;
    for field in [RTSPHeaderField::Range, RTSPHeaderField::Scale, RTSPHeaderField::Speed] {
        rtsp_message::remove(request, field);
    }
    let prepared = sessions.prepare(client, &factory, (&session, &media), &asked);
    prepared.map(Some).map_err(|reason| match reason {
        NotPlayed::NoMovie => Status::NotFound,
        NotPlayed::NoTransport => Status::UnsupportedTransport,
    })
}

/// Says in a PLAY's reply what is played.
fn tell(context: &RTSPContext, answer: &Answer) {
    let Some(response) = context.response() else { return };
    let asked = context.request().and_then(rtsp_message::request_line);
    let is_play = asked.is_some_and(|(method, _)| method == "PLAY");
    if !is_play || rtsp_message::status(response) != Some(200) {
        return;
    }
    let library = rtsp_message::get(response, RTSPHeaderField::RtpInfo);
    let rows = [
        (RTSPHeaderField::RtpInfo, library.map(|library| answer.rtp_info(&library))),
        (RTSPHeaderField::Range, Some(answer.range.clone())),
        (RTSPHeaderField::Scale, answer.scale.clone()),
        (RTSPHeaderField::Speed, answer.speed.clone()),
    ];
    for (field, value) in rows {
        rtsp_message::remove(response, field);
        if let Some(value) = value {
            response.add_header(field, &value);
        }
    }
}
