// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is looked at before gst-rtsp-server 1.22 handles a request: missing and unusable movies
//! get their status at once, and requests that abort or stall the library never reach it.

use super::factory;
use super::mount_points::MountPoints;
use super::play_request::{MAX_NPT, Refused, check_range, read_rate};
use super::rtsp_message;
use super::watchdog::{PlayWatch, Watchdog};
use crate::carriage::NotShown;
use gst_rtsp::RTSPHeaderField;
use gst_rtsp::RTSPStatusCode as Status;
use gst_rtsp_server::prelude::*;
use gst_rtsp_server::{RTSPClient, RTSPContext, RTSPServer, RTSPSessionMedia};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
    client.connect_pre_play_request(move |client, context| {
        let asked = match check_play(&points, context) {
            Ok(asked) => asked,
            Err(Refused::BadRequest) => return Status::BadRequest,
            Err(Refused::InvalidRange) => return Status::InvalidRange,
        };
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
        // What gst-rtsp-server keeps of the range before may lie before the new start (a GLib
        // critical), would end the movie early, or is of a segment with another rate.
        if asked.rated || asked.ranged && bounded.load(Ordering::SeqCst) {
            state_range(client, context, &asked);
        }
        bounded.fetch_or(asked.rated || asked.ends, Ordering::SeqCst);
        Status::Ok
    });
}

/// What a PLAY asks for.
#[allow(clippy::struct_excessive_bools, reason = "headers that are there or not")]
struct Asked {
    /// It has a Scale or a Speed.
    rated: bool,
    backwards: bool,
    /// It has a Range, with an end.
    ranged: bool,
    ends: bool,
    /// The movie's time in seconds, if that is known.
    duration: Option<f64>,
}

/// States both ends of what is to be played: from the present position, where no begin is asked
/// for, and to the movie's end, backwards to its begin.
fn state_range(client: &RTSPClient, context: &RTSPContext, asked: &Asked) {
    let Some(request) = context.request() else { return };
    let range = rtsp_message::get(request, RTSPHeaderField::Range).unwrap_or_default();
    let range = range.split(';').next().unwrap_or_default().trim();
    let stated = range.strip_prefix("npt=").and_then(|npt| npt.split_once('-'));
    let present = || {
        let media = media(client, context)?.media()?.element().downcast::<gst::Bin>().ok()?;
        media.by_name(factory::SOURCE)?.query_position::<gst::ClockTime>()
    };
    let begin = match stated.map(|(begin, _)| begin) {
        None | Some("now") => format!("{:.9}", present().unwrap_or_default().seconds_f64()),
        Some("") => "0".to_owned(),
        Some(begin) => begin.to_owned(),
    };
    let end = match stated.map(|(_, end)| end) {
        Some(end) if !end.is_empty() => end.to_owned(),
        _ if asked.backwards => "0".to_owned(),
        _ => asked.duration.unwrap_or(MAX_NPT).to_string(),
    };
    rtsp_message::remove(request, RTSPHeaderField::Range);
    request.add_header(RTSPHeaderField::Range, &format!("npt={begin}-{end}"));
}

/// Checks a PLAY, and states rates that are played.
fn check_play(points: &MountPoints, context: &RTSPContext) -> Result<Asked, Refused> {
    let mut asked =
        Asked { rated: false, backwards: false, ranged: false, ends: false, duration: None };
    let Some(request) = context.request() else { return Ok(asked) };
    let read = |field, backwards| {
        let header = rtsp_message::get(request, field);
        header.map(|header| read_rate(&header, backwards)).transpose()
    };
    let scale = read(RTSPHeaderField::Scale, true)?;
    let speed = read(RTSPHeaderField::Speed, false)?;
    // The library multiplies them: one at a time, so that the bounds hold. Speed is answered with
    // every Scale, since rtspsrc 1.22 takes a Scale alone for how fast it has to show frames.
    let scaled = scale.is_some_and(|scale| (scale - 1.0).abs() > f64::EPSILON);
    let speed = if scaled { Some(1.0) } else { speed };
    for (field, rate) in [(RTSPHeaderField::Scale, scale), (RTSPHeaderField::Speed, speed)] {
        if let Some(rate) = rate {
            rtsp_message::remove(request, field);
            request.add_header(field, &format!("{rate:.3}"));
        }
    }
    asked.rated = scale.is_some() || speed.is_some();
    asked.backwards = scale.is_some_and(|scale| scale < 0.0);
    let factory = context.uri().and_then(|url| points.factory(url));
    let duration = factory.and_then(|factory| factory.duration(factory.open()?.as_ref()));
    asked.duration = duration.map(gst::ClockTime::seconds_f64);
    if let Some(range) = rtsp_message::get(request, RTSPHeaderField::Range) {
        asked.ranged = true;
        asked.ends = check_range(&range, asked.duration, asked.backwards)?;
    }
    Ok(asked)
}
