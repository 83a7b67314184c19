// SPDX-License-Identifier: MIT OR Apache-2.0
//! Single frames of movies.

use super::Service;
use super::client::Context;
use super::conditional::Validators;
use super::frame_sink::seconds;
use super::parameters::snapshot_position;
use super::reply::Refusal;
use crate::mount::Mount;
use crate::send::{FetchOutcome, FrameFetcher, FrameRef};
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use gstmjpegfile::movie::{FrameLocation, Nanoseconds};
use gstmjpegfile::movie_file::{Lookup, MovieFile};
use hyper::StatusCode;
use hyper::header::{
    CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// The number of a frame in its movie, from 0.
const X_FRAME_NUMBER: HeaderName = HeaderName::from_static("x-frame-number");

/// The time of a frame in its movie in seconds.
const X_TIMESTAMP: HeaderName = HeaderName::from_static("x-timestamp");

/// The event for the limit log when a movie cannot be opened or read.
pub(super) const NOT_READ: &str = "movie cannot be sent over HTTP";

/// How long a request waits until a frame is indexed.
const INDEX_LIMIT: Duration = Duration::from_secs(5);

/// Finds a frame of a movie. Waits until it is indexed.
fn locate(movie: &MovieFile, number: u64) -> Result<FrameLocation, Refusal> {
    match movie.frame(number, &AtomicBool::new(false), Some(INDEX_LIMIT)) {
        Lookup::Frame(location) => Ok(location),
        Lookup::End(frames) => Err(Refusal::new(
            StatusCode::NOT_FOUND,
            format!("The movie has {frames} frames, numbered from 0; there is no frame {number}."),
        )),
        Lookup::Cancelled => {
            let text = "The movie is long, and this part of it has not been read yet.";
            Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text).with(RETRY_AFTER, "1"))
        }
    }
}

impl Service {
    /// Opens a movie that has a frame.
    ///
    /// # Errors
    /// If it cannot be opened or has no frame.
    pub(super) async fn open(&self, mount: &Arc<Mount>) -> Result<Arc<MovieFile>, Refusal> {
        let (mount, limit_log) = (mount.clone(), self.context.limit_log.clone());
        self.run("http-open", move || {
            let movie = mount.open().map_err(|error| {
                limit_log.count_error(NOT_READ, None, &error);
                Refusal::new(StatusCode::NOT_FOUND, "The file of the movie cannot be opened.")
            })?;
            match movie.frame(0, &AtomicBool::new(false), Some(INDEX_LIMIT)) {
                Lookup::Frame(_) => Ok(movie),
                Lookup::Cancelled | Lookup::End(_) => {
                    let text = format!("This is not a movie: {}.", movie.why_not_a_movie());
                    Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text))
                }
            }
        })
        .await
    }

    /// Checks that a movie has a frame.
    ///
    /// # Errors
    /// If it has not, or that is not known yet.
    pub(super) async fn locate(&self, movie: &Arc<MovieFile>, number: u64) -> Result<(), Refusal> {
        let movie = movie.clone();
        self.run("http-locate", move || locate(&movie, number).map(drop)).await
    }

    /// Reads a frame of a movie.
    async fn read_frame(&self, movie: &Arc<MovieFile>, number: u64) -> Result<Bytes, Refusal> {
        let (movie, resources) = (movie.clone(), self.frames.clone());
        let limit_log = self.context.limit_log.clone();
        self.run("http-frame", move || {
            let location = locate(&movie, number)?;
            let frame = FrameRef { movie: &movie, number, location };
            match resources.fetcher.fetch_waiting(frame, ()) {
                Ok(FetchOutcome::Ready(jpeg)) if !jpeg.is_empty() => Ok(jpeg),
                Ok(_) => {
                    let text = "The file of the movie has been changed.";
                    Err(Refusal::new(StatusCode::NOT_FOUND, text))
                }
                Err(error) => {
                    let error = format!("{}: {error}", movie.path().display());
                    limit_log.count_error(NOT_READ, None, &error);
                    let text = "The file of the movie cannot be read.";
                    Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, text))
                }
            }
        })
        .await
    }

    /// Answers a request for the frame with a number.
    ///
    /// # Errors
    /// If there is no such frame.
    pub(super) async fn frame(
        &self,
        mount: Arc<Mount>,
        number: u64,
        headers: &HeaderMap,
    ) -> Result<Response, Refusal> {
        let movie = self.open(&mount).await?;
        let etag = format!("\"{:x}-{number}\"", movie.number());
        let validators = Validators { etag, modified: None };
        if validators.is_refused(headers) {
            self.locate(&movie, number).await?;
            let text = "The frame is another one than the client wants.";
            return Err(Refusal::new(StatusCode::PRECONDITION_FAILED, text));
        }
        if validators.is_known(headers) {
            // Not without knowing that there is such a frame.
            self.locate(&movie, number).await?;
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            insert(&mut response, ETAG, &validators.etag);
            insert(&mut response, CACHE_CONTROL, "no-cache");
            return Ok(response);
        }
        let jpeg = self.read_frame(&movie, number).await?;
        let mut response = image(&mount, number, jpeg);
        insert(&mut response, ETAG, &validators.etag);
        // Kept, but compared each time: the movie may be another one.
        insert(&mut response, CACHE_CONTROL, "no-cache");
        Ok(response)
    }

    /// Answers a request for a snapshot: the current frame of a live movie, otherwise the one that the query chooses
    /// or the first.
    ///
    /// # Errors
    /// If there is no such frame.
    pub(super) async fn snapshot(
        &self,
        _context: &Context,
        mount: Arc<Mount>,
        query: &str,
    ) -> Result<Response, Refusal> {
        let position = snapshot_position(query)?;
        let mode = *mount.mode();
        let movie = self.open(&mount).await?;
        let number = match (mode.live_since, position) {
            (Some(_), Some(_)) => {
                let text =
                    "A live movie has neither frame nor t: its snapshot is the frame of now.";
                return Err(Refusal::bad_request(text));
            }
            (Some(since), None) => {
                let counted =
                    mode.framerate.frame_at(Nanoseconds::saturating_from(since.elapsed()));
                let frames = movie.total_frames().unwrap_or_else(|| movie.frames());
                counted % frames.max(1)
            }
            (None, position) => position.map_or(0, |position| position.frame(mode.framerate)),
        };
        let jpeg = self.read_frame(&movie, number).await?;
        let mut response = image(&mount, number, jpeg);
        insert(&mut response, CACHE_CONTROL, "no-store");
        Ok(response)
    }
}

fn insert(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::try_from(value) {
        response.headers_mut().insert(name, value);
    }
}

/// The response with a frame.
fn image(mount: &Mount, number: u64, jpeg: Bytes) -> Response {
    let mut response = Response::new(Body::from(jpeg));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("image/jpeg"));
    headers.insert(X_FRAME_NUMBER, number.into());
    insert(&mut response, X_TIMESTAMP, &seconds(mount.mode().framerate, number));
    response
}
