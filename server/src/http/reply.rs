// SPDX-License-Identifier: MIT OR Apache-2.0
//! Replies that refuse a request, and headers that all replies have.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};

/// A reply that refuses a request, with a sentence that says why.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    status: StatusCode,
    text: String,
    headers: Vec<(HeaderName, String)>,
}

/// The sentence of a refusal. The body is made of it when it is known for whom: JSON for the API, plain text
/// for everything else.
#[derive(Debug, Clone)]
struct Sentence(String);

impl Refusal {
    /// A refusal with a status and a sentence.
    pub fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), headers: Vec::new() }
    }

    /// 400, because of something in the request.
    pub fn bad_request(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    /// 404, for what does not exist, or not for the client.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "There is nothing at this address.")
    }

    /// 500, after a panic that is in the log.
    pub fn internal() -> Self {
        let text = "The server has made a mistake; its log says which.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, text)
    }

    /// The refusal with one more header.
    pub fn with(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status;
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::try_from(value) {
                response.headers_mut().append(name, value);
            }
        }
        response.extensions_mut().insert(Sentence(self.text));
        response
    }
}

/// The path under which errors are JSON.
const API: &str = "/api/";

/// Completes a response to a request for a path: the sentence of a refusal, and the headers of all responses.
pub(super) fn complete(mut response: Response, path: &str) -> Response {
    let sentence = response.extensions_mut().remove().map(|Sentence(text)| text);
    // axum itself refuses other methods.
    let is_of_axum = sentence.is_none() && response.status() == StatusCode::METHOD_NOT_ALLOWED;
    let of_axum = is_of_axum.then(|| "This method is not possible here.".to_owned());
    if let Some(text) = sentence.or(of_axum) {
        let (kind, body) = if path.starts_with(API) {
            ("application/json", format!("{}\n", serde_json::json!({ "error": text })))
        } else {
            ("text/plain; charset=utf-8", format!("{text}\n"))
        };
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CONTENT_LENGTH, body.len().into());
        *response.body_mut() = Body::from(body);
    }
    let headers = response.headers_mut();
    set_default(headers, &X_CONTENT_TYPE_OPTIONS, "nosniff");
    set_default(headers, &REFERRER_POLICY, "no-referrer");
    set_default(headers, &CACHE_CONTROL, "no-store");
    response
}

/// Sets a header that a response does not have.
fn set_default(headers: &mut HeaderMap, name: &HeaderName, value: &'static str) {
    if !headers.contains_key(name) {
        headers.insert(name.clone(), HeaderValue::from_static(value));
    }
}
