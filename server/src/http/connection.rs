// SPDX-License-Identifier: MIT OR Apache-2.0
//! Serves one HTTP connection: hyper reads the requests and writes the responses, until a stream takes the
//! connection over.

use super::Service;
use super::client::{Client, Context};
use super::io::HttpIo;
use super::reply::{Refusal, complete};
use super::{host, origin};
use crate::connection::limits::ConnectionSlot;
use crate::connection::wire::Wire;
use crate::connection::{linger, set_keepalive};
use crate::ending::Ending;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioTimer;
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;
use tokio::time::timeout;
use tower::Service as _;

/// The maximum length of the first line and headers of a request in bytes, and the number of headers.
const MAX_HEAD: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;

/// The longest body of a request in bytes. No resource uses one.
const MAX_BODY: usize = 16 * 1024;

/// The longest target of a request in bytes.
const MAX_TARGET: usize = 8 * 1024;

/// The reply to the first request of a connection that is refused because of a limit.
pub(crate) const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\n\
    Content-Type: text/plain; charset=utf-8\r\nContent-Length: 38\r\nConnection: close\r\n\r\n\
    The server has too many connections.\r\n";

type Responding = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

/// Serves a connection until it ends. `first` are the bytes that have been received.
pub(crate) async fn serve(
    service: Arc<Service>,
    wire: Wire,
    peer: SocketAddr,
    first: Vec<u8>,
    slot: ConnectionSlot,
) {
    let socket = wire.socket();
    let _ = socket.set_nodelay(true);
    // Nothing else detects that the host of a client is gone while nothing is sent.
    set_keepalive(socket);
    let Ok(local) = socket.local_addr() else { return };
    let client = Client::new(peer, local, wire.is_encrypted(), slot);
    let limits = service.context.limits.get();
    let io = HttpIo::new(wire, first, client.received_flag(), limits.stall_time);
    let respond = {
        let (service, client) = (service.clone(), client.clone());
        move |request| -> Responding { Box::pin(answer(service.clone(), client.clone(), request)) }
    };
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.request_time)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        // A client that sends nothing any more still gets its responses.
        .half_close(true)
        .serve_connection(io, service_fn(respond));
    let mut ending = pin!(service.ending.clone().announced());
    let mut exiting = false;
    let served = loop {
        tokio::select! {
            served = &mut connection => break served,
            () = &mut ending, if !exiting => {
                // After the present response, if there is one.
                Pin::new(&mut connection).graceful_shutdown();
                exiting = true;
            }
        }
    };
    let wire = connection.into_parts().io.into_wire();
    if let Err(error) = &served {
        log_failure(&service, &client, error);
    }
    match client.take_stream() {
        Some(stream) if served.is_ok() => {
            client.set_idle(false);
            Box::pin(service.send_stream(stream, wire)).await;
        }
        _ => {
            let end = wire.write_last(&[]);
            if matches!(timeout(limits.stall_time, end).await, Ok(Ok(()))) {
                linger(wire.socket()).await;
            }
        }
    }
}

/// Logs why a connection has failed.
fn log_failure(service: &Service, client: &Client, error: &hyper::Error) {
    let (limit_log, peer) = (&service.context.limit_log, client.peer);
    if error.is_timeout() && !client.has_received() {
        tracing::debug!(%peer, "HTTP connection closed: no request within request-time");
    } else if error.is_timeout() {
        let kind = "connection closed: no complete HTTP request within request-time";
        limit_log.count(kind, peer);
    } else if error.is_parse() {
        limit_log.count_error("HTTP request refused: it is not valid", Some(peer), error);
    } else {
        let cause = std::error::Error::source(error).map(ToString::to_string);
        tracing::debug!(%peer, cause, "HTTP connection failed: {error}");
    }
}

/// Answers a request.
async fn answer(
    service: Arc<Service>,
    client: Arc<Client>,
    request: Request<Incoming>,
) -> Result<Response, Infallible> {
    let (head, body) = request.into_parts();
    let discarded = discard(body, service.context.limits.get().request_time).await;
    client.start_request();
    let (method, path) = (head.method.clone(), head.uri.path().to_owned());
    let peer = client.peer;
    let checked = match discarded {
        Ok(()) => check(&service, &client, &head).await,
        Err(refusal) => {
            // What follows is the rest of the body.
            client.close_after_response();
            Err(refusal)
        }
    };
    let response = match checked {
        Ok(context) => {
            let mut request = Request::from_parts(head, Body::empty());
            request.extensions_mut().insert(context);
            service.router().call(request).await.unwrap_or_else(|never| match never {})
        }
        Err(refusal) => refusal.into_response(),
    };
    let mut response = complete(response, &path);
    if client.is_closing() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let status = response.status().as_u16();
    tracing::debug!(%peer, %method, path, status, "HTTP request answered");
    let ending = service.ending.clone();
    Ok(response.map(|body| Body::new(TrackedBody::new(body, client, ending))))
}

/// Reads the body of a request, which nothing uses, to its end: hyper closes the connection if a part of it has not
/// arrived when the request is answered.
async fn discard(mut body: Incoming, limit: Duration) -> Result<(), Refusal> {
    if body.is_end_stream() {
        return Ok(());
    }
    let too_large = || {
        let text = format!("The body of the request has over {MAX_BODY} bytes.");
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, text)
    };
    if body.size_hint().lower() > MAX_BODY as u64 {
        return Err(too_large());
    }
    let read = async {
        let mut length = 0;
        while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            let invalid = |_| Refusal::bad_request("The body of the request is not valid.");
            length += frame.map_err(invalid)?.data_ref().map_or(0, Bytes::len);
            if length > MAX_BODY {
                return Err(too_large());
            }
        }
        Ok(())
    };
    timeout(limit, read).await.unwrap_or_else(|_| {
        let text = format!("The body of the request did not arrive within {limit:?}.");
        Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, text))
    })
}

/// Makes the checks that apply to all requests. Returns what is known about the client.
async fn check(
    service: &Service,
    client: &Arc<Client>,
    request: &Parts,
) -> Result<Context, Refusal> {
    let (uri, headers) = (&request.uri, &request.headers);
    if uri.to_string().len() > MAX_TARGET {
        let text = format!("The address has over {MAX_TARGET} bytes.");
        return Err(Refusal::new(StatusCode::URI_TOO_LONG, text));
    }
    let host = host::of_request(request.version, uri, headers)?;
    let is_local = service.is_local();
    host::check(host.as_ref(), &service.access.get().http_hosts, is_local)?;
    origin::check(&request.method, headers, host.as_ref())?;
    let user = service.identify(client, &request.method, uri, headers).await?;
    Ok(Context { client: client.clone(), user, host })
}

/// The body of a response. While it is sent, the connection is not idle. One without a known length ends
/// when the server exits.
struct TrackedBody {
    body: Body,
    client: Arc<Client>,
    ending: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl TrackedBody {
    fn new(body: Body, client: Arc<Client>, ending: Ending) -> Self {
        let is_endless = hyper::body::Body::size_hint(&body).exact().is_none();
        let ending: Option<Pin<Box<dyn Future<Output = ()> + Send>>> =
            if is_endless { Some(Box::pin(ending.announced())) } else { None };
        Self { body, client, ending }
    }
}

impl Drop for TrackedBody {
    fn drop(&mut self) {
        self.client.finish_response();
    }
}

impl hyper::body::Body for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(ending) = &mut self.ending
            && ending.as_mut().poll(context).is_ready()
        {
            self.ending = None;
            self.body = Body::empty();
        }
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_has_the_length_that_it_states() {
        let text = std::str::from_utf8(REFUSAL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{}", body.len());
    }
}
