// SPDX-License-Identifier: MIT OR Apache-2.0
//! The host that a request is for. A page of another site can reach a server on this machine under the site's
//! name, if the site's DNS entry changes (DNS rebinding). So requests for names of others are refused.

use super::reply::Refusal;
use crate::config::HostName;
use hyper::StatusCode;
use hyper::header::{HOST, HeaderMap};
use hyper::http::uri::Authority;
use hyper::http::{Uri, Version};
use std::net::IpAddr;

/// The host of a request; `None` if an old client states none.
///
/// # Errors
/// If the header is missing, there twice, or not valid.
pub(super) fn of_request(
    version: Version,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Option<Authority>, Refusal> {
    let mut all = headers.get_all(HOST).iter();
    let (first, second) = (all.next(), all.next());
    let invalid = || Refusal::bad_request("The header Host must be there once, and be valid.");
    if second.is_some() {
        return Err(invalid());
    }
    let header = match first.map(|value| Authority::try_from(value.as_bytes())) {
        Some(Ok(host)) if !host.as_str().contains('@') => Some(host),
        None if version <= Version::HTTP_10 => None,
        Some(_) | None => return Err(invalid()),
    };
    // RFC 9112 section 3.2.2: the host of an absolute URL wins.
    Ok(uri.authority().cloned().or(header))
}

/// Checks that a host is one of this server: an address, `localhost`, or one of the configured names. Without
/// such names every host is, unless the server can be reached from this machine only.
///
/// # Errors
/// If it is not.
pub(super) fn check(
    host: Option<&Authority>,
    names: &[HostName],
    is_local: bool,
) -> Result<(), Refusal> {
    let Some(host) = host.map(Authority::host) else { return Ok(()) };
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let is_ours = match address.parse::<IpAddr>() {
        Ok(address) => !is_local || !names.is_empty() || address.is_loopback(),
        Err(_) if host.eq_ignore_ascii_case("localhost") => true,
        Err(_) if names.is_empty() => !is_local,
        Err(_) => names.iter().any(|name| name.is(host)),
    };
    if is_ours {
        return Ok(());
    }
    Err(Refusal::new(
        StatusCode::MISDIRECTED_REQUEST,
        "This server is not reached by this name. Use its address, or add the name to http-hosts in its \
         configuration.",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_for_this_machine_is_reached_by_names_of_this_machine() {
        let names = [HostName::parse("cam.example.org").unwrap()];
        // Host, whether it is allowed: for a local server and others, without and with a name of its own.
        let rows = [
            (None, [true; 4]),
            (Some("localhost"), [true; 4]),
            (Some("LocalHost:8080"), [true; 4]),
            (Some("127.0.0.1:8080"), [true; 4]),
            (Some("[::1]:80"), [true; 4]),
            (Some("192.168.1.7"), [false, true, true, true]),
            (Some("cam.example.org:80"), [false, true, true, true]),
            (Some("CAM.example.org"), [false, true, true, true]),
            (Some("evil.example"), [false, true, false, false]),
            (Some("localhost.evil.example"), [false, true, false, false]),
            (Some("127.0.0.1.evil.example"), [false, true, false, false]),
        ];
        for (host, want) in rows {
            let host = host.map(|host| Authority::try_from(host).unwrap());
            let got = [(true, &[][..]), (false, &[]), (true, &names), (false, &names)]
                .map(|(local, names)| check(host.as_ref(), names, local).is_ok());
            assert_eq!(got, want, "{host:?}");
        }
    }
}
