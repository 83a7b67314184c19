// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reports the requests by which rtspsrc keeps its session alive, and the replies to them.
//!
//! rtspsrc 1.22 calls no extension and no signal for them, and ignores the replies. But its debug log
//! says when it sends one, and has the headers of each reply. So a function of the log reads the lines of
//! two of rtspsrc's functions, and posts element messages as the RTSP monitor does. The log has neither
//! the request's method nor its headers; the session's other messages have them.
//!
//! If the environment sets GStreamer's log (`GST_DEBUG`), it is left alone, and keep-alives are not
//! reported.

use super::capture::Capture;
use super::exchange::Exchange;
use super::lock;
use super::protocol_log::ProtocolLog;
use glib::prelude::*;
use gst::prelude::*;
use mjpeg_program::border::guarded;
use std::cell::RefCell;
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once, Weak};

/// Name of the element message before a keep-alive request is sent. Its field `request` lacks CSeq.
pub(super) const SENT: &str = "rtsp-keep-alive";
/// Name of the element message after its reply. Its fields are `request` and `reply`.
pub(super) const REPLIED: &str = "rtsp-keep-alive-reply";

/// The most bytes of a reply that are reported.
const MAX_REPLY: usize = 4096;

/// Whether an element message is one of these two.
pub(super) fn is_report(structure: &gst::StructureRef) -> bool {
    [SENT, REPLIED].contains(&structure.name().as_str())
}

/// The lines of a reply that the log has shown.
#[derive(Debug, Default)]
struct Reply {
    code: String,
    reason: String,
    headers: String,
    /// Lines of dashes: one before and one after the message.
    rules: u32,
}

impl Reply {
    /// Adds a line of the log; returns the message after its last line.
    fn add(&mut self, line: &str) -> Option<String> {
        let line = line.trim();
        let quoted = |line: &str| line.trim().trim_matches('\'').to_owned();
        if line.starts_with("-----") {
            self.rules += 1;
            return (self.rules == 2).then(|| {
                format!("RTSP/1.0 {} {}\r\n{}\r\n", self.code, self.reason, self.headers)
            });
        }
        if let Some(code) = line.strip_prefix("code:") {
            self.code = quoted(code);
        } else if let Some(reason) = line.strip_prefix("reason:") {
            self.reason = quoted(reason);
        } else if let Some((key, value)) =
            line.strip_prefix("key: ").and_then(|rest| rest.split_once(", value: "))
            && self.headers.len() < MAX_REPLY
        {
            // Writing to a string does not fail.
            let _ = write!(self.headers, "{}: {}\r\n", quoted(key), quoted(value));
        }
        None
    }
}

thread_local! {
    /// The reply that this thread is logging.
    static REPLY: RefCell<Option<Reply>> = const { RefCell::new(None) };
}

/// An rtspsrc, and the capture of its session.
type Watched = (glib::WeakRef<gst::Element>, Weak<Capture>);

/// After a panic, keep-alives are no longer reported.
static PANICKED: AtomicBool = AtomicBool::new(false);

static WATCHED: Mutex<Vec<Watched>> = Mutex::new(Vec::new());

/// Reports the keep-alives of `source`, an rtspsrc.
pub(super) fn watch(source: &gst::Element, capture: &Arc<Capture>) {
    static ONCE: Once = Once::new();
    let mut watched = lock(&WATCHED);
    watched.retain(|(_, capture)| capture.strong_count() > 0);
    watched.push((source.downgrade(), Arc::downgrade(capture)));
    drop(watched);
    ONCE.call_once(|| {
        let Some(category) = gst::DebugCategory::get("rtspsrc") else { return };
        if std::env::var_os("GST_DEBUG").is_some_and(|it| !it.is_empty()) {
            return;
        }
        // It would print the lines.
        gst::log::remove_default_log_function();
        gst::log::add_log_function(move |of, _, _, function, _, object, message| {
            let kind = match function.as_str() {
                "gst_rtspsrc_send_keep_alive" => Line::Sent,
                "gst_rtspsrc_loop_udp" | "gst_rtspsrc_loop_interleaved" => Line::Loop,
                "gst_rtspsrc_print_rtsp_message" | "dump_key_value"
                    if REPLY.with_borrow(Option::is_some) =>
                {
                    Line::Reply
                }
                _ => return,
            };
            if of != category || PANICKED.load(Ordering::Relaxed) {
                return;
            }
            let result = guarded("rtspsrc-log", || {
                if let (Some(object), Some(line)) = (object, message.get()) {
                    read(kind, &line, object.as_ptr().cast());
                }
            });
            if result.is_err() {
                PANICKED.store(true, Ordering::Relaxed);
            }
        });
        category.set_threshold(gst::DebugLevel::Log);
    });
}

/// The function that writes a line of the log.
#[derive(Debug, Clone, Copy)]
enum Line {
    /// It sends a keep-alive.
    Sent,
    /// It waits for messages.
    Loop,
    /// It shows the reply that is ignored.
    Reply,
}

/// Reads a line of the log of an element.
fn read(kind: Line, line: &str, element: *const ()) {
    match kind {
        Line::Sent if line == "creating server keep-alive" => {
            post(element, |log| {
                let request = request(log)?;
                Some(gst::Structure::builder(SENT).field("request", request).build())
            });
        }
        Line::Loop if line == "ignoring response message" => {
            REPLY.set(Some(Reply::default()));
        }
        Line::Reply => {
            let whole = REPLY.with_borrow_mut(|reply| reply.as_mut().and_then(|it| it.add(line)));
            if let Some(reply) = whole {
                REPLY.set(None);
                post(element, |log| {
                    let request = with_cseq(&last_request(log)?, &reply);
                    let message = gst::Structure::builder(REPLIED);
                    Some(message.field("request", request).field("reply", &reply).build())
                });
            }
        }
        Line::Sent | Line::Loop => {}
    }
}

/// Posts the message that `make` makes with the log of the session, as one of the element.
fn post(element: *const (), make: impl FnOnce(&ProtocolLog) -> Option<gst::Structure>) {
    let found = lock(&WATCHED).iter().find_map(|(source, capture)| {
        let source = source.upgrade().filter(|it| it.as_ptr().cast_const().cast() == element)?;
        Some((source, capture.upgrade()?))
    });
    let Some((source, capture)) = found else { return };
    if let Some(structure) = capture.with_log(make) {
        let message = gst::message::Element::builder(structure).src(&source).build();
        let _ = source.post_message(message);
    }
}

/// The request that rtspsrc sends: GET_PARAMETER if the server has it, otherwise OPTIONS, to the address
/// of PLAY. CSeq is unknown.
fn request(log: &ProtocolLog) -> Option<String> {
    let messages = || log.entries().rev().filter_map(|(_, entry)| entry.message());
    let play = messages().find(|it| it.starts_with("PLAY "))?;
    let uri = play.split(' ').nth(1)?;
    let session = play.lines().find(|line| line.starts_with("Session: ")).unwrap_or_default();
    let public = messages().filter(|it| it.starts_with("RTSP/")).find_map(|reply| {
        reply.lines().find(|line| line.starts_with("Public: ") || line.starts_with("Allow: "))
    });
    let method = match public {
        Some(methods) if methods.contains("GET_PARAMETER") => "GET_PARAMETER",
        _ => "OPTIONS",
    };
    let session = if session.is_empty() { String::new() } else { format!("{session}\r\n") };
    Some(format!("{method} {uri} RTSP/1.0\r\n{session}\r\n"))
}

/// The last request of the log.
fn last_request(log: &ProtocolLog) -> Option<String> {
    log.entries().rev().find_map(|(_, entry)| match &entry.exchange {
        Exchange::RtspRequest(text) => Some(text.clone()),
        _ => None,
    })
}

/// The request with the CSeq of its reply.
fn with_cseq(request: &str, reply: &str) -> String {
    let cseq = reply.lines().find(|line| line.starts_with("CSeq: "));
    match (request.split_once("\r\n"), cseq) {
        (Some((first, rest)), Some(cseq)) if !rest.contains("CSeq: ") => {
            format!("{first}\r\n{cseq}\r\n{rest}")
        }
        _ => request.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_reply_is_read_from_the_lines_of_the_log() {
        let rule = "--------------------------------------------";
        let lines = [
            rule,
            "RTSP response message 0x7f00",
            " status line:",
            "   code:   '200'",
            "   reason: 'OK'",
            "   version: '1.0",
            " headers:",
            "   key: 'CSeq', value: '9'",
            "   key: 'Session', value: '12'",
            " body: length 0",
        ];
        let mut reply = Reply::default();
        for line in lines {
            assert_eq!(reply.add(line), None, "{line}");
        }
        let want = "RTSP/1.0 200 OK\r\nCSeq: 9\r\nSession: 12\r\n\r\n";
        assert_eq!(reply.add(rule).as_deref(), Some(want));
    }

    #[test]
    fn the_request_is_that_of_rtspsrc() {
        let play = "PLAY rtsp://h/m RTSP/1.0\r\nCSeq: 4\r\nSession: 12\r\n\r\n";
        let rows =
            [("OPTIONS, GET_PARAMETER, PLAY", "GET_PARAMETER"), ("OPTIONS, PLAY", "OPTIONS")];
        for (methods, method) in rows {
            let mut log = ProtocolLog::default();
            let reply = format!("RTSP/1.0 200 OK\r\nCSeq: 1\r\nPublic: {methods}\r\n\r\n");
            for exchange in [
                Exchange::RtspRequest("OPTIONS rtsp://h/m RTSP/1.0\r\n\r\n".to_owned()),
                Exchange::RtspReply { request: String::new(), reply },
                Exchange::RtspRequest(play.to_owned()),
            ] {
                log.push(Duration::ZERO, &exchange);
            }
            let got = request(&log).expect("there was a PLAY");
            assert_eq!(got, format!("{method} rtsp://h/m RTSP/1.0\r\nSession: 12\r\n\r\n"));
            let numbered = with_cseq(&got, "RTSP/1.0 200 OK\r\nCSeq: 9\r\n\r\n");
            let want = format!("{method} rtsp://h/m RTSP/1.0\r\nCSeq: 9\r\nSession: 12\r\n\r\n");
            assert_eq!(numbered, want);
        }
        assert_eq!(request(&ProtocolLog::default()), None);
    }
}
