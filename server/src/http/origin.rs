// SPDX-License-Identifier: MIT OR Apache-2.0
//! Refuses requests that change something and come from a page of another site: a browser sends the user's
//! login with them too.

use super::reply::Refusal;
use hyper::header::{HeaderMap, HeaderName, ORIGIN};
use hyper::http::uri::Authority;
use hyper::{Method, StatusCode, Uri};

/// States how a browser's request came about.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Checks the origin of a request that is for a host. Programs other than browsers do not state an origin.
///
/// # Errors
/// If the request changes something and comes from a page of another site.
pub(crate) fn check(
    method: &Method,
    headers: &HeaderMap,
    host: Option<&Authority>,
) -> Result<(), Refusal> {
    if method.is_safe() {
        return Ok(());
    }
    let text = |name| headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("?"));
    let is_same_site = text(SEC_FETCH_SITE).all(|site| matches!(site, "same-origin" | "none"));
    // A proxy may end the encryption, so the scheme of the origin may be another one.
    let is_host = |origin: &str| {
        let origin: Option<Uri> = origin.parse().ok();
        let origin = origin.as_ref().and_then(Uri::authority);
        origin.is_some_and(|origin| host.is_some_and(|host| origin == host))
    };
    if is_same_site && text(ORIGIN).all(is_host) {
        return Ok(());
    }
    Err(Refusal::new(StatusCode::FORBIDDEN, "Pages of other sites may not change anything here."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_the_server_and_programs_may_change_something() {
        let host = Authority::from_static("127.0.0.1:8080");
        // Method, Origin, Sec-Fetch-Site, whether it is allowed.
        let rows = [
            ("GET", Some("http://evil.example"), Some("cross-site"), true),
            ("HEAD", Some("null"), None, true),
            ("POST", None, None, true),
            ("POST", Some("http://127.0.0.1:8080"), None, true),
            ("POST", Some("https://127.0.0.1:8080"), Some("same-origin"), true),
            ("POST", None, Some("none"), true),
            ("POST", Some("http://127.0.0.1:8081"), None, false),
            ("POST", Some("http://127.0.0.1"), None, false),
            ("POST", Some("http://127.0.0.1:8080.evil.example"), None, false),
            ("POST", Some("null"), None, false),
            ("POST", Some(""), None, false),
            ("POST", Some("http://127.0.0.1:8080"), Some("cross-site"), false),
            ("POST", None, Some("same-site"), false),
            ("DELETE", Some("http://evil.example"), None, false),
        ];
        for (method, origin, site, want) in rows {
            let mut headers = HeaderMap::new();
            for (name, value) in [(ORIGIN, origin), (SEC_FETCH_SITE, site)] {
                headers.extend(value.map(|value| (name, value.parse().unwrap())));
            }
            let got = check(&method.parse().unwrap(), &headers, Some(&host)).is_ok();
            assert_eq!(got, want, "{method} {origin:?} {site:?}");
        }
    }
}
