// SPDX-License-Identifier: MIT OR Apache-2.0
//! The file of a movie, or a part of it.

use super::Service;
use super::conditional::{Part, Validators};
use super::images::NOT_READ;
use super::reply::Refusal;
use crate::mount::Mount;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use hyper::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    ETAG, HeaderMap, HeaderName, HeaderValue, LAST_MODIFIED,
};
use hyper::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::sync::Semaphore;

/// The number of bytes that are read at once. A client takes no more memory than this.
const CHUNK: u64 = 128 * 1024;

/// The media type of a movie of records with lengths.
const MEDIA_TYPE: &str = "video/x-mjpegfile";

/// A version of the file of a movie.
struct Version {
    file: Arc<File>,
    length: u64,
    validators: Validators,
}

impl Service {
    /// Answers a request for the file of a movie.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub(super) async fn movie(
        &self,
        mount: Arc<Mount>,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Response, Refusal> {
        let (movie, limit_log) = (self.open(&mount).await?, self.context.limit_log.clone());
        let version = self
            .run("http-movie", move || {
                let version = || -> io::Result<Version> {
                    let file = movie.file()?;
                    let metadata = file.metadata()?;
                    let (inode, length) = (metadata.ino(), metadata.len());
                    let (seconds, rest) = (metadata.mtime(), metadata.mtime_nsec());
                    let etag = format!("\"{inode:x}-{length:x}-{seconds:x}.{rest:x}\"");
                    let validators = Validators { etag, modified: metadata.modified().ok() };
                    Ok(Version { file: Arc::new(file), length, validators })
                };
                version().map_err(|error| {
                    let error = format!("{}: {error}", movie.path().display());
                    limit_log.count_error(NOT_READ, None, &error);
                    let text = "The file of the movie cannot be opened.";
                    Refusal::new(StatusCode::NOT_FOUND, text)
                })
            })
            .await?;
        let Version { file, length, validators } = version;
        if validators.is_refused(headers) {
            let text = "The file is another one than the client wants.";
            return Err(Refusal::new(StatusCode::PRECONDITION_FAILED, text));
        }
        let mut response = Response::new(Body::empty());
        let mut set = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::try_from(value) {
                response.headers_mut().insert(name, value);
            }
        };
        set(ETAG, &validators.etag);
        set(ACCEPT_RANGES, "bytes");
        // Kept, but compared each time.
        set(CACHE_CONTROL, "no-cache");
        if let Some(modified) = validators.modified {
            set(LAST_MODIFIED, &httpdate::fmt_http_date(modified));
        }
        if validators.is_known(headers) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return Ok(response);
        }
        set(CONTENT_TYPE, MEDIA_TYPE);
        set(CONTENT_DISPOSITION, &disposition(&mount.point));
        // A range has a meaning for GET only.
        let part = match *method {
            Method::GET => validators.part(headers, length),
            _ => Part::Whole,
        };
        let (status, range) = match part {
            Part::Whole => (StatusCode::OK, 0..length),
            Part::Bytes(range) => {
                let (first, last) = (range.start, range.end - 1);
                set(CONTENT_RANGE, &format!("bytes {first}-{last}/{length}"));
                (StatusCode::PARTIAL_CONTENT, range)
            }
            Part::Outside => {
                let text = format!("The file has {length} bytes.");
                let refusal = Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, text);
                return Err(refusal.with(CONTENT_RANGE, format!("bytes */{length}")));
            }
        };
        set(CONTENT_LENGTH, &(range.end - range.start).to_string());
        *response.status_mut() = status;
        let permits = self.permits.clone();
        *response.body_mut() = Body::new(FileBody { file, range, permits, reading: None });
        Ok(response)
    }
}

/// The name under which a browser stores the movie at a mount point.
fn disposition(point: &str) -> String {
    let name = point.rsplit('/').next().unwrap_or_default();
    let encoded = utf8_percent_encode(name, NON_ALPHANUMERIC);
    format!("inline; filename*=UTF-8''{encoded}")
}

type Reading = Pin<Box<dyn Future<Output = io::Result<Bytes>> + Send>>;

/// A part of a file as a body, which is read piece by piece on threads that may wait.
struct FileBody {
    file: Arc<File>,
    /// What is left.
    range: Range<u64>,
    permits: Arc<Semaphore>,
    /// The piece that is being read.
    reading: Option<Reading>,
}

/// Reads a piece of a file, which ends before it if the file has become shorter.
async fn read(file: Arc<File>, range: Range<u64>, permits: Arc<Semaphore>) -> io::Result<Bytes> {
    // The semaphore is never closed.
    let permit = permits.acquire_owned().await;
    let read = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let length = usize::try_from(range.end - range.start).unwrap_or(0);
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, range.start)?;
        Ok(Bytes::from(bytes))
    });
    read.await.map_err(io::Error::other)?
}

impl hyper::body::Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        if this.range.is_empty() {
            return Poll::Ready(None);
        }
        let end = this.range.end.min(this.range.start + CHUNK);
        let reading = this.reading.get_or_insert_with(|| {
            Box::pin(read(this.file.clone(), this.range.start..end, this.permits.clone()))
        });
        let bytes = ready!(reading.as_mut().poll(context));
        this.reading = None;
        this.range.start = if bytes.is_ok() { end } else { this.range.end };
        Poll::Ready(Some(bytes.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.range.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.range.end - self.range.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_file_is_that_of_its_mount_point() {
        let rows = [
            ("/movie.mjpeg", "inline; filename*=UTF-8''movie%2Emjpeg"),
            ("/cam/a \"b\".mjpeg", "inline; filename*=UTF-8''a%20%22b%22%2Emjpeg"),
            ("/\u{e9}\r\n", "inline; filename*=UTF-8''%C3%A9%0D%0A"),
        ];
        for (point, want) in rows {
            assert_eq!(disposition(point), want);
        }
    }
}
