// SPDX-License-Identifier: MIT OR Apache-2.0
//! What to say of a failure, and what to offer.

use super::model::{Action, Banner};
use crate::player::engine::Status;
use crate::player::movies::server_of;
use crate::player::{Failure, FailureKind, Protocol, Transport};

/// A failure as the picture's place shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Advice {
    /// What happened.
    pub title: String,
    /// As the system or the server put it.
    pub detail: String,
    /// Why it is likely.
    pub why: &'static str,
    /// What can be done, the likeliest first.
    pub offers: Vec<(String, Action)>,
}

impl Advice {
    /// On a failure of `source`.
    pub fn on(failure: &Failure, source: &str, protocol: Protocol) -> Self {
        let server = server_of(source).map_or("the server".to_owned(), |(host, port)| {
            if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
        });
        let again = ("Try again".to_owned(), Action::Again);
        let address = ("Change the address".to_owned(), Action::FocusAddress);
        let tcp = ("Try TCP".to_owned(), Action::AgainBy(Transport::Tcp));
        let (title, why, mut offers) = match failure.kind {
            FailureKind::PortTaken { free } => (
                "The RTP port is taken".to_owned(),
                "Another program receives on this UDP port: another client that still runs, or a \
                 server that was given the same number.",
                free.map(|free| (format!("Use port {free}"), Action::AgainOnPort(free)))
                    .into_iter()
                    .chain([again])
                    .collect::<Vec<_>>(),
            ),
            FailureKind::NoConnection => (
                format!("Nobody answers at {server}"),
                "Is the server running there, and is this its port? A firewall may stand between.",
                vec![again, address],
            ),
            FailureKind::NotFound if protocol == Protocol::None => (
                "There is no such file".to_owned(),
                "Was it moved, or is its name spelled in another way?",
                vec![("Open a file".to_owned(), Action::OpenFile), address],
            ),
            FailureKind::NotFound => (
                "The server has no such movie".to_owned(),
                "Names are exact: movie.Mjpeg and movie.mjpeg are two movies to most servers.",
                vec![("Movies of this server".to_owned(), Action::ListMovies), address, again],
            ),
            FailureKind::NotAuthorized => (
                "The server wants a user and a password".to_owned(),
                "Write them into the address: rtsp://USER:PASSWORD@HOST/MOVIE",
                vec![address],
            ),
            FailureKind::Refused => (
                "The server refuses".to_owned(),
                "Its answer is in the protocol view, with a sentence for each line.",
                vec![again, address],
            ),
            FailureKind::Silent => (
                "Nothing comes from the server".to_owned(),
                "It may be busy, its movie may be missing, or something blocks UDP on the way.",
                if protocol == Protocol::Rtsp { vec![tcp, again] } else { vec![again, address] },
            ),
            FailureKind::Lost => (
                "The server has gone".to_owned(),
                "It was ended or restarted, or the network was cut.",
                vec![("Reconnect".to_owned(), Action::Again)],
            ),
            FailureKind::Other => (
                "This cannot be played".to_owned(),
                "Is it the address that was meant?",
                vec![again, address],
            ),
        };
        offers.truncate(3);
        Self { title, detail: failure.text.clone(), why, offers }
    }
}

/// What to say while PLAYING brings no packets.
pub fn on_silence(status: &Status) -> Banner {
    let mut offers = Vec::new();
    if status.protocol == Protocol::Rtsp {
        offers.push(("Try TCP", Action::AgainBy(Transport::Tcp)));
    }
    offers.push(("Set up again", Action::Again));
    Banner {
        text:
            "No packets for 3 s, though PLAY was answered with 200. A firewall? A wrong RTP port?"
                .to_owned(),
        offers,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_its_next_step() {
        let lab = "labrtsp://127.0.0.1:1025/m?rtp-port=25000";
        let rows = [
            (
                FailureKind::PortTaken { free: Some(25002) },
                lab,
                Protocol::Lab,
                "taken",
                "Use port 25002",
            ),
            (FailureKind::PortTaken { free: None }, lab, Protocol::Lab, "taken", "Try again"),
            (FailureKind::NoConnection, lab, Protocol::Lab, "127.0.0.1:1025", "Try again"),
            (FailureKind::NoConnection, "rtsp://[::1]/m", Protocol::Rtsp, "[::1]:554", "Try again"),
            (FailureKind::NotFound, lab, Protocol::Lab, "no such movie", "Movies of this server"),
            (FailureKind::NotFound, "file:///m", Protocol::None, "no such file", "Open a file"),
            (FailureKind::NotAuthorized, "rtsp://h/m", Protocol::Rtsp, "password", "Change"),
            (FailureKind::Refused, "rtsp://h/m", Protocol::Rtsp, "refuses", "Try again"),
            (FailureKind::Silent, "rtsp://h/m", Protocol::Rtsp, "Nothing comes", "Try TCP"),
            (FailureKind::Silent, lab, Protocol::Lab, "Nothing comes", "Try again"),
            (FailureKind::Lost, lab, Protocol::Lab, "gone", "Reconnect"),
            (FailureKind::Other, lab, Protocol::Lab, "cannot be played", "Try again"),
        ];
        for (kind, source, protocol, title, offer) in rows {
            let failure = Failure { kind, text: "as it was told".to_owned() };
            let advice = Advice::on(&failure, source, protocol);
            assert!(advice.title.contains(title), "{kind:?}: {}", advice.title);
            assert!(advice.offers[0].0.contains(offer), "{kind:?}: {:?}", advice.offers);
            assert_eq!(advice.detail, "as it was told");
            assert!(!advice.why.is_empty());
        }
    }
}
