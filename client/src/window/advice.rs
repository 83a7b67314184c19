// SPDX-License-Identifier: MIT OR Apache-2.0
//! Advice on failures: what happened, why it is likely, what to do.

use super::model::{Action, Banner};
use crate::player::engine::{SILENCE, Status};
use crate::player::movies::server_text;
use crate::player::{Failure, FailureKind, Protocol, Transport};

/// Advice on a failure, shown in place of the picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Advice {
    /// What happened.
    pub title: String,
    /// The message of the system or the server.
    pub detail: String,
    /// What likely caused it.
    pub likely_cause: &'static str,
    /// Labels and actions of the buttons; the most likely solution comes first.
    pub offers: Vec<(String, Action)>,
}

impl Advice {
    /// Makes the advice on a failure of `source`.
    pub fn for_failure(failure: &Failure, source: &str, protocol: Protocol) -> Self {
        let server = server_text(source).unwrap_or_else(|| "this address".to_owned());
        let retry = ("Try again".to_owned(), Action::Retry);
        let address = ("Change the address".to_owned(), Action::FocusAddress);
        let tcp = ("Try TCP".to_owned(), Action::RetryWithTransport(Transport::Tcp));
        let (title, likely_cause, mut offers) = match failure.kind {
            FailureKind::PortTaken { free } => (
                "The RTP port is in use".to_owned(),
                "Another program uses this UDP port: perhaps another client that is still running, or \
                 a server with the same port.",
                free.map(|free| (format!("Use port {free}"), Action::RetryOnPort(free)))
                    .into_iter()
                    .chain([retry])
                    .collect::<Vec<_>>(),
            ),
            FailureKind::NoConnection => (
                format!("No server answers at {server}"),
                "The server may not be running, it may use another port, or a firewall may block the \
                 connection.",
                vec![retry, address],
            ),
            FailureKind::UnknownHost => (
                format!("The host of {server} is unknown"),
                "The name may be misspelled, or this machine may have no connection to the network \
                 that knows it.",
                vec![address, retry],
            ),
            FailureKind::NotFound if protocol == Protocol::None => (
                "There is no such file".to_owned(),
                "It may have been moved, or its name may be spelled differently.",
                vec![("Open a file".to_owned(), Action::OpenFile), address],
            ),
            FailureKind::NotFound => (
                "The server has no such movie".to_owned(),
                "Most servers distinguish upper and lower case: movie.Mjpeg is not movie.mjpeg.",
                vec![("Movies of this server".to_owned(), Action::ListMovies), address, retry],
            ),
            FailureKind::NotAuthorized => (
                "The server requires a user and a password".to_owned(),
                "They may also be written into the address: rtsp://USER:PASSWORD@HOST/MOVIE",
                vec![("Log in".to_owned(), Action::ShowLogin), address],
            ),
            FailureKind::Untrusted => (
                "The server's certificate is not trusted".to_owned(),
                "It is the server's own or has expired, the address has another name than the \
                 certificate, or another machine answers in place of the server.",
                vec![address, retry],
            ),
            FailureKind::Refused => (
                "The server refused the request".to_owned(),
                "The protocol view shows the server's answer and explains each line.",
                vec![retry, address],
            ),
            FailureKind::NoReply => (
                "The server does not reply".to_owned(),
                "It may be busy or slow, it may speak another protocol, or its movie may be missing.",
                vec![retry, address],
            ),
            FailureKind::Silent => (
                "The server sends no packets".to_owned(),
                "Its movie may be missing, or a firewall may block UDP.",
                if protocol == Protocol::Rtsp { vec![tcp, retry] } else { vec![retry, address] },
            ),
            FailureKind::Lost => (
                "The stream was interrupted".to_owned(),
                "The server was stopped or restarted, or the network failed.",
                vec![("Reconnect".to_owned(), Action::Retry)],
            ),
            FailureKind::Other => (
                "This cannot be played".to_owned(),
                "The address may be wrong.",
                vec![retry, address],
            ),
        };
        offers.truncate(3);
        Self { title, detail: failure.text.clone(), likely_cause, offers }
    }
}

/// Makes the banner for a stream that is PLAYING but receives no packets.
pub fn silence_banner(status: &Status) -> Banner {
    let mut offers = Vec::new();
    if status.protocol == Protocol::Rtsp {
        offers.push(("Try TCP", Action::RetryWithTransport(Transport::Tcp)));
    }
    offers.push(("Set up again", Action::Retry));
    Banner {
        text: format!(
            "No packets for {} s, although PLAY was answered with 200. A firewall may block them, or \
             the RTP port may be wrong.",
            SILENCE.as_secs()
        ),
        offers,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_a_title_and_a_first_offer() {
        let lab = "labrtsp://127.0.0.1:1025/m?rtp-port=25000";
        let rows = [
            (
                FailureKind::PortTaken { free: Some(25002) },
                lab,
                Protocol::Lab,
                "The RTP port is in use",
                "Use port 25002",
            ),
            (
                FailureKind::PortTaken { free: None },
                lab,
                Protocol::Lab,
                "The RTP port is in use",
                "Try again",
            ),
            (
                FailureKind::NoConnection,
                lab,
                Protocol::Lab,
                "No server answers at 127.0.0.1:1025",
                "Try again",
            ),
            (
                FailureKind::NoConnection,
                "rtsp://[::1]/m",
                Protocol::Rtsp,
                "No server answers at [::1]:554",
                "Try again",
            ),
            (
                FailureKind::NotFound,
                lab,
                Protocol::Lab,
                "The server has no such movie",
                "Movies of this server",
            ),
            (
                FailureKind::NotFound,
                "file:///m",
                Protocol::None,
                "There is no such file",
                "Open a file",
            ),
            (
                FailureKind::NotAuthorized,
                "rtsp://h/m",
                Protocol::Rtsp,
                "The server requires a user and a password",
                "Log in",
            ),
            (
                FailureKind::Untrusted,
                "rtsps://h/m",
                Protocol::Rtsp,
                "The server's certificate is not trusted",
                "Change the address",
            ),
            (
                FailureKind::Refused,
                "rtsp://h/m",
                Protocol::Rtsp,
                "The server refused the request",
                "Try again",
            ),
            (
                FailureKind::Silent,
                "rtsp://h/m",
                Protocol::Rtsp,
                "The server sends no packets",
                "Try TCP",
            ),
            (FailureKind::Silent, lab, Protocol::Lab, "The server sends no packets", "Try again"),
            (
                FailureKind::NoReply,
                "rtsp://h/m",
                Protocol::Rtsp,
                "The server does not reply",
                "Try again",
            ),
            (
                FailureKind::UnknownHost,
                "rtsp://h/m",
                Protocol::Rtsp,
                "The host of h:554 is unknown",
                "Change the address",
            ),
            (FailureKind::Lost, lab, Protocol::Lab, "The stream was interrupted", "Reconnect"),
            (FailureKind::Other, lab, Protocol::Lab, "This cannot be played", "Try again"),
        ];
        for (kind, source, protocol, title, offer) in rows {
            let failure = Failure { kind, text: "the server's message".to_owned() };
            let advice = Advice::for_failure(&failure, source, protocol);
            assert_eq!(advice.title, title, "{kind:?}");
            assert_eq!(advice.offers[0].0, offer, "{kind:?}");
            assert_eq!(advice.detail, "the server's message");
            assert!(!advice.likely_cause.is_empty());
        }
    }
}
