// SPDX-License-Identifier: MIT OR Apache-2.0
//! The files of the page, which are part of the program.

use super::conditional::Validators;
use super::reply::Refusal;
use crate::access::hashes::hex;
use axum::body::Body;
use axum::response::Response;
use hyper::StatusCode;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue,
};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::LazyLock;

// The names and contents of the files in `server/web`: `FILES: &[(&str, &[u8])]`.
include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// What the page may load: its own files, and images, streams and JSON of this server.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
                      connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

const CROSS_ORIGIN_OPENER_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-opener-policy");
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-resource-policy");

/// The media type of a document.
const DOCUMENT: &str = "text/html; charset=utf-8";

/// A file of the page.
struct Asset {
    bytes: &'static [u8],
    media_type: &'static str,
    etag: String,
}

static ASSETS: LazyLock<BTreeMap<&str, Asset>> = LazyLock::new(|| {
    let asset = |(name, bytes): &(&'static str, &'static [u8])| {
        let hash = Sha256::digest(bytes);
        let etag = format!("\"{}\"", hex(hash.get(..8).unwrap_or_default()));
        media_type(name).map(|media_type| (*name, Asset { bytes, media_type, etag }))
    };
    FILES.iter().filter_map(asset).collect()
});

/// The media type of a file; `None` if it is not served.
fn media_type(name: &str) -> Option<&'static str> {
    let (_, extension) = name.rsplit_once('.')?;
    Some(match extension {
        "html" => DOCUMENT,
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "json" | "webmanifest" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "txt" => "text/plain; charset=utf-8",
        _ => return None,
    })
}

/// The response with a file that a document of the page loads. The documents have addresses of their own.
///
/// # Errors
/// If there is no such file.
pub(super) fn asset(name: &str, headers: &HeaderMap) -> Result<Response, Refusal> {
    match media_type(name) {
        Some(DOCUMENT) | None => Err(Refusal::not_found()),
        Some(_) => file(name, headers),
    }
}

/// The response with a file of the page.
///
/// # Errors
/// If there is no such file.
pub(super) fn file(name: &str, headers: &HeaderMap) -> Result<Response, Refusal> {
    let asset = ASSETS.get(name).ok_or_else(Refusal::not_found)?;
    let validators = Validators { etag: asset.etag.clone(), modified: None };
    let mut response = if validators.is_known(headers) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        Response::new(Body::from(asset.bytes))
    };
    let fields = [
        (CONTENT_TYPE, asset.media_type),
        (ETAG, &asset.etag),
        // Kept, but compared each time: the next version of the server has other files.
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (CROSS_ORIGIN_OPENER_POLICY, "same-origin"),
        (CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"),
    ];
    for (name, value) in fields {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_of_the_page_is_served() {
        for (name, bytes) in FILES {
            assert!(media_type(name).is_some(), "{name} has an extension without a media type");
            assert!(!bytes.is_empty(), "{name} is empty");
        }
        assert!(ASSETS.contains_key("index.html"));
    }
}
