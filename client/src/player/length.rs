// SPDX-License-Identifier: MIT OR Apache-2.0
//! Asks our server again for the length of a movie that it did not know at first.
//!
//! The server answers DESCRIBE before the index of a large movie is complete, and does not state a length
//! then. rtspsrc 1.22 asks only once, and takes no length from the reply to PLAY. So another player sets up a
//! session of its own, reads the length, and ends it.

use super::{Exchange, Failure, Options, Player, ProtocolLog, Transport, movies};
use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

/// How our server names itself in the header Server.
pub(crate) const OUR_SERVER: &str = "mjpeg-rtsp-server/";

/// The waits before the attempts. A movie that is played again and again never has a length.
const WAITS: [u64; 5] = [1, 2, 4, 8, 16];

/// Finds out the length of one source.
#[derive(Debug, Default)]
pub(super) struct LengthProbe {
    found: Cell<Option<gst::ClockTime>>,
    player: RefCell<Option<Player>>,
    /// Number of the attempts so far.
    attempts: Cell<usize>,
    /// When the last attempt was started, or the session.
    since: Cell<Option<Instant>>,
}

impl LengthProbe {
    /// The length, if it has been found.
    pub fn found(&self) -> Option<gst::ClockTime> {
        self.found.get()
    }

    /// Forgets everything: another session starts, or another source.
    pub fn reset(&self) {
        self.found.set(None);
        self.attempts.set(0);
        self.since.set(None);
        self.close();
    }

    /// Asks, if the length is unknown and it is time to. Called again and again while there is a session.
    pub fn tick(&self, player: &Player, source: &str, options: &Options) {
        let is_answered = self.player.borrow().as_ref().is_some_and(|asking| {
            self.found.set(asking.capture().with_log(length));
            asking.pending().is_none()
        });
        if is_answered {
            self.close();
        }
        let is_open = player.capture().with_log(is_open_range);
        if self.found.get().is_some() || player.duration().is_some() || !is_open {
            return;
        }
        let now = Instant::now();
        let Some(since) = self.since.get() else {
            self.since.set(Some(now));
            return;
        };
        let Some(wait) = WAITS.get(self.attempts.get()) else { return };
        if now >= since + Duration::from_secs(*wait) {
            self.since.set(Some(now));
            self.attempts.set(self.attempts.get() + 1);
            self.ask(source, options);
        }
    }

    fn ask(&self, source: &str, options: &Options) {
        self.close();
        let transport = match options.transport {
            Transport::Http => Transport::Http,
            // Nothing is sent: rtspsrc 1.22 logs a critical message at the end of a session over TCP
            // that has not played.
            _ => Transport::Udp,
        };
        let options = Options { transport, reconnect: false, repeat: false, ..options.clone() };
        let sink = gst::ElementFactory::make("fakesink").build();
        let (source, _) = movies::split_transport(source);
        let (Ok(player), Ok(sink)) = (Player::new(&source, &options), sink) else { return };
        player.set_video_sink(&sink);
        player.connect_error(|failure: &Failure| {
            tracing::debug!("the length of the movie is still unknown: {failure}");
        });
        player.command("setup");
        self.player.replace(Some(player));
    }

    fn close(&self) {
        if let Some(player) = self.player.take() {
            player.command("teardown");
        }
    }
}

/// The range of the movie that the last reply to DESCRIBE states, if the server is ours.
fn range(log: &ProtocolLog) -> Option<&str> {
    log.server().filter(|server| server.starts_with(OUR_SERVER))?;
    let described = log.entries().rev().find_map(|(_, entry)| match &entry.exchange {
        Exchange::RtspReply { request, reply } if request.starts_with("DESCRIBE ") => Some(reply),
        _ => None,
    });
    described?.lines().find_map(|line| line.strip_prefix("a=range:npt="))
}

/// Whether the range has no end. That of a live movie starts now.
fn is_open_range(log: &ProtocolLog) -> bool {
    range(log) == Some("0-")
}

/// The length that the range states.
fn length(log: &ProtocolLog) -> Option<gst::ClockTime> {
    let seconds = range(log)?.strip_prefix("0-")?.parse().ok()?;
    let length = Duration::try_from_secs_f64(seconds).ok()?;
    gst::ClockTime::try_from(length).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_open_range_of_our_server_has_a_length_later() {
        let ours = "mjpeg-rtsp-server/0.1.0";
        let rows = [
            ("no reply", None, "", (false, None)),
            ("open", Some(ours), "0-", (true, None)),
            ("with an end", Some(ours), "0-12.5", (false, Some(12_500))),
            ("no number", Some(ours), "0-inf", (false, None)),
            ("live", Some(ours), "now-", (false, None)),
            ("another server", Some("GStreamer RTSP server"), "0-", (false, None)),
        ];
        for (name, server, range, want) in rows {
            let mut log = ProtocolLog::default();
            if let Some(server) = server {
                let exchange = Exchange::RtspReply {
                    request: "DESCRIBE rtsp://h/m RTSP/1.0\r\n\r\n".to_owned(),
                    reply: format!(
                        "RTSP/1.0 200 OK\r\nServer: {server}\r\n\r\nv=0\r\na=range:npt={range}\r\n"
                    ),
                };
                log.push(Duration::ZERO, &exchange);
            }
            let milliseconds = length(&log).map(gst::ClockTime::mseconds);
            assert_eq!((is_open_range(&log), milliseconds), want, "{name}");
        }
    }
}
