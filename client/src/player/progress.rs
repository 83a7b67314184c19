// SPDX-License-Identifier: MIT OR Apache-2.0
//! How far the exchange with a standard RTSP server has got, which explains errors that rtspsrc
//! reports without their cause.

use super::connecting::ConnectError;
use super::exchange::Exchange;
use super::movies::{self, server_text};
use super::{Failure, FailureKind, Protocol, Transport};
use std::net::IpAddr;
use std::time::Duration;

/// Advice for a port on which something else listens.
const CHECK_PORT: &str =
    "check the port (common ones are 554 and 8554), and try rtsps:// if the server requires TLS";

/// The exchange since SETUP was commanded.
#[derive(Debug, Default)]
pub(super) struct Progress {
    url: String,
    transport: Transport,
    /// The method of the request that was sent last.
    method: Option<String>,
    /// That request has no reply.
    waits: bool,
    /// Replies that have arrived.
    replies: u64,
    /// The status of the last one.
    status: String,
    /// The description states a multicast group: rtspsrc asks for nothing else then.
    multicast_only: bool,
}

impl Progress {
    pub fn new(url: &str, transport: Transport) -> Self {
        Self { url: url.to_owned(), transport, ..Self::default() }
    }

    /// Forgets the last session.
    pub fn start(&mut self) {
        *self = Self::new(&self.url, self.transport);
    }

    pub fn update(&mut self, exchange: &Exchange) {
        match exchange {
            Exchange::RtspRequest(text) => {
                self.method = text.split(' ').next().map(ToOwned::to_owned);
                self.waits = true;
            }
            Exchange::RtspReply { reply, .. } => {
                self.waits = false;
                self.replies += 1;
                let status = reply.lines().next().and_then(|line| line.split_once(' '));
                status.map_or("", |(_, status)| status).clone_into(&mut self.status);
                self.multicast_only |= reply.lines().any(is_multicast_group);
            }
            _ => {}
        }
    }

    /// Whether the last reply is an interim one.
    pub fn replied_interim(&self) -> bool {
        let code = self.status.split(' ').next();
        !self.waits && code.is_some_and(|code| code.len() == 3 && code.starts_with('1'))
    }

    fn server(&self) -> String {
        server_text(&self.url).unwrap_or_else(|| "the server".to_owned())
    }

    fn method(&self) -> &str {
        self.method.as_deref().unwrap_or("the request")
    }

    /// The cause of an error of rtspsrc; `None` if its own text says it.
    pub fn explain(
        &self,
        message: &gst::message::Error,
        certificate: gio::TlsCertificateFlags,
    ) -> Option<Failure> {
        if Protocol::from_uri(&self.url) != Protocol::Rtsp {
            return None;
        }
        let error = message.error();
        if self.replied_interim() {
            let text = format!(
                "{} sends an interim reply ({}) before its reply to {}, which GStreamer 1.22 takes for \
                 the reply",
                self.server(),
                self.status,
                self.method()
            );
            return Some(Failure::new(FailureKind::Refused, &text));
        }
        if self.multicast_only && self.transport != Transport::Multicast {
            let text = format!(
                "{} sends this movie by multicast only: try --transport multicast",
                self.server()
            );
            return Some(Failure::new(FailureKind::Refused, &text));
        }
        let has_status = message.details().is_some_and(|it| it.has_field("rtsp-status-code"));
        if error.matches(gst::ResourceError::NotAuthorized) {
            return Some(self.not_authorized());
        }
        if error.matches(gst::ResourceError::OpenReadWrite) {
            return Some(ConnectError::find(&self.url, certificate).into());
        }
        // The server has answered, so it is not missing.
        if error.matches(gst::ResourceError::OpenRead) && self.replies > 0 {
            let text = Failure::from_message(message).text;
            return Some(Failure::new(FailureKind::Refused, &text));
        }
        // Of rtspsrc or, before it, of uridecodebin.
        let missing = error.matches(gst::StreamError::CodecNotFound)
            || error.matches(gst::CoreError::MissingPlugin);
        if missing && self.replies > 0 {
            return Some(self.no_stream());
        }
        let io =
            error.matches(gst::ResourceError::Read) || error.matches(gst::ResourceError::Write);
        if io && !has_status && self.replies == 0 && self.method.is_some() {
            let text = format!(
                "{} accepts the connection, but its answer to {} is not RTSP: {CHECK_PORT}",
                self.server(),
                self.method()
            );
            return Some(Failure::new(FailureKind::Refused, &text));
        }
        // With the reply to a request missing, rtspsrc reports the end of the connection as an error.
        let debug = message.debug().unwrap_or_default();
        let closed = ["Received end-of-file", "Connection reset", "Broken pipe"];
        if io && !has_status && closed.iter().any(|cause| debug.contains(cause)) {
            return Some(self.connection_closed());
        }
        None
    }

    /// The server asks for a user and a password, or refuses the given ones.
    fn not_authorized(&self) -> Failure {
        let server = self.server();
        let text = if movies::has_user(&self.url) {
            format!("{server} refuses the user or the password ({})", self.status)
        } else {
            format!("{server} asks for a user and a password ({})", self.status)
        };
        Failure::new(FailureKind::NotAuthorized, &text)
    }

    /// No stream was set up.
    fn no_stream(&self) -> Failure {
        let server = self.server();
        let (kind, text) = if self.status.starts_with("461") {
            let (name, other) = match self.transport {
                Transport::Udp => ("UDP", "--transport tcp"),
                Transport::Multicast => ("multicast", "--transport udp"),
                Transport::Tcp => ("TCP", "--transport udp"),
                Transport::Http => ("HTTP", "--transport udp"),
                Transport::Auto => ("UDP or TCP", "--transport http"),
            };
            let text = format!(
                "{server} does not send RTP over {name} ({} to SETUP): try {other}",
                self.status
            );
            (FailureKind::Refused, text)
        } else {
            let text = format!(
                "{server} offers no stream that can be played (the last reply is {}); --explain shows \
                 what it offers",
                self.status
            );
            (FailureKind::Other, text)
        };
        Failure::new(kind, &text)
    }

    /// The server has closed the connection.
    pub fn connection_closed(&self) -> Failure {
        if self.replies == 0 {
            let text = format!(
                "{} closed the connection without an RTSP reply to {}: {CHECK_PORT}",
                self.server(),
                self.method()
            );
            return Failure::new(FailureKind::Refused, &text);
        }
        Failure::new(FailureKind::Lost, "the connection to the server was lost")
    }

    /// The server was silent for `limit`.
    pub fn silence(&self, limit: Duration, has_packets: bool) -> Failure {
        let (server, seconds) = (self.server(), limit.as_secs_f64());
        let is_rtsp = Protocol::from_uri(&self.url) == Protocol::Rtsp;
        if is_rtsp && self.method.is_none() {
            return ConnectError::of_silence(&self.url, server, limit).into();
        }
        let no_reply = is_rtsp && (self.waits || self.method.as_deref() != Some("PLAY"));
        let text = if is_rtsp && self.waits {
            format!(
                "{server} does not reply to {} within {seconds} s: the server may be busy or slow \
                 (--timeout), or another program than an RTSP server may listen on this port",
                self.method()
            )
        } else if no_reply {
            format!(
                "the stream was not set up within {seconds} s; {server} has sent {} replies, the last \
                 one to {}: {}",
                self.replies,
                self.method(),
                self.status
            )
        } else if is_rtsp && !has_packets && self.transport != Transport::Tcp {
            format!(
                "no packet arrived within {seconds} s, although PLAY was answered: a firewall may block \
                 UDP (try --transport tcp)"
            )
        } else {
            format!("no new frame within {seconds} s")
        };
        Failure::new(if no_reply { FailureKind::NoReply } else { FailureKind::Silent }, &text)
    }
}

/// Whether a line of a description states a multicast address (RFC 4566 section 5.7).
fn is_multicast_group(line: &str) -> bool {
    let address = line.strip_prefix("c=IN IP4 ").or_else(|| line.strip_prefix("c=IN IP6 "));
    let address = address.and_then(|it| it.trim().split('/').next()?.parse::<IpAddr>().ok());
    address.is_some_and(|address| address.is_multicast())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_may_state_a_multicast_group() {
        let rows = [
            ("c=IN IP4 239.1.2.3/16", true),
            ("c=IN IP6 ff15::1", true),
            ("c=IN IP4 0.0.0.0", false),
            ("c=IN IP6 ::", false),
            ("c=IN IP4 host", false),
            ("a=c=IN IP4 239.1.2.3", false),
        ];
        for (line, want) in rows {
            assert_eq!(is_multicast_group(line), want, "{line}");
        }
    }

    #[test]
    fn silence_names_what_is_missing() {
        const LIMIT: Duration = Duration::from_secs(1);
        let request = |method: &str| Exchange::RtspRequest(format!("{method} rtsp://h/m RTSP/1.0"));
        let reply = |status: &str| Exchange::RtspReply {
            request: String::new(),
            reply: format!("RTSP/1.0 {status}\r\n\r\n"),
        };
        let rows = [
            (
                "no connection",
                vec![],
                FailureKind::NoConnection,
                "h:554 does not answer within 1 s: check the address; the host may be off, or a \
                 firewall may drop the connection",
            ),
            (
                "no reply",
                vec![request("OPTIONS")],
                FailureKind::NoReply,
                "h:554 does not reply to OPTIONS within 1 s: the server may be busy or slow \
                 (--timeout), or another program than an RTSP server may listen on this port",
            ),
            (
                "no SETUP",
                vec![request("OPTIONS"), reply("200 OK"), request("DESCRIBE"), reply("302 Found")],
                FailureKind::NoReply,
                "the stream was not set up within 1 s; h:554 has sent 2 replies, the last one to \
                 DESCRIBE: 302 Found",
            ),
            (
                "no packet",
                vec![request("PLAY"), reply("200 OK")],
                FailureKind::Silent,
                "no packet arrived within 1 s, although PLAY was answered: a firewall may block UDP \
                 (try --transport tcp)",
            ),
        ];
        for (name, exchanges, kind, text) in rows {
            let mut progress = Progress::new("rtsp://u:p@h/m", Transport::Auto);
            for exchange in &exchanges {
                progress.update(exchange);
            }
            assert_eq!(progress.silence(LIMIT, false), Failure::new(kind, text), "{name}");
        }
    }
}
