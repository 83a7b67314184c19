// SPDX-License-Identifier: MIT OR Apache-2.0
//! An element that reports the requests of rtspsrc and the replies to them.
//!
//! rtspsrc 1.22 has a signal before a request and none for a reply. But it makes an instance of each
//! registered element that implements the interface `GstRTSPExtension` (gst-plugins-good,
//! gst/rtsp/gstrtspext.c); it calls the instance before a request, and with request and reply after
//! it. This element implements the interface. It changes nothing, and posts both as element messages
//! whose source is its rtspsrc. It does not see keep-alive requests, for which rtspsrc calls no
//! extension.
#![allow(unsafe_code)] // The bindings lack the interface and the headers of RTSP messages.

use super::interim::{self, SentRequest};
use super::play_reply::{PlayReply, video_control};
use super::statistics::Collector;
use super::{border, lock};
use glib::prelude::*;
use glib::subclass::prelude::*;
use glib::translate::*;
use gst::prelude::*;
use gst_rtsp_sys as ffi;
use mjpeg_program::border::guarded;
use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_uint};
use std::ptr;
use std::sync::{Arc, Mutex};

/// Name of the element message before a request is sent. Its field `request` lacks CSeq, session
/// and authorization, which the connection adds later.
pub(super) const REQUEST_SENT: &str = "rtsp-request";
/// Name of the element message after a reply. Its fields are `request`, as it was sent, and `reply`.
pub(super) const REPLY_RECEIVED: &str = "rtsp-reply";

/// Whether a message says that a request of this method is sent.
pub(super) fn is_sent(message: &gst::MessageRef, method: &str) -> bool {
    let structure = message.structure().filter(|structure| structure.name() == REQUEST_SENT);
    let request = structure.and_then(|structure| structure.get::<&str>("request").ok());
    request.and_then(|request| request.split(' ').next()) == Some(method)
}

/// Redirects of one session that are followed; rtspsrc 1.22 has no limit.
const MAX_REDIRECTS: u32 = 5;

/// The status that replaces that of a further redirect: Loop Detected (RFC 5842).
const LOOP_DETECTED: ffi::GstRTSPStatusCode = 508;

/// Bytes of a body that are reported; SDP has a few hundred.
const MAX_BODY: usize = 16 * 1024;

glib::wrapper! {
    /// The interface `GstRTSPExtension`.
    pub struct RtspExtension(Interface<ffi::GstRTSPExtension, ffi::GstRTSPExtensionInterface>);

    match fn {
        type_ => || ffi::gst_rtsp_extension_get_type(),
    }
}

glib::wrapper! {
    /// The element `mjpegrtspmonitor`.
    pub struct RtspMonitor(ObjectSubclass<imp::RtspMonitor>)
        @extends gst::Element, gst::Object,
        @implements RtspExtension;
}

thread_local! {
    /// The last monitor that this thread has made: that of the rtspsrc that it is making.
    static NEWEST: RefCell<Option<glib::WeakRef<RtspMonitor>>> = const { RefCell::new(None) };
}

mod imp {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
    use std::sync::{LazyLock, Weak};

    #[derive(Debug, Default)]
    pub struct RtspMonitor {
        source: Mutex<glib::WeakRef<gst::Element>>,
        collector: Mutex<Weak<Collector>>,
        /// Control URL of the video stream in the SDP.
        video_control: Mutex<Option<String>>,
        /// After a panic it reports nothing more.
        panicked: AtomicBool,
        /// Redirects that the servers have replied.
        redirects: AtomicU32,
        /// The request that was sent here, and is answered next.
        sent: Mutex<Option<SentRequest>>,
        /// A request is being sent here.
        is_sending: AtomicBool,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for RtspMonitor {
        const NAME: &'static str = "MjpegRtspMonitor";
        type Type = super::RtspMonitor;
        type ParentType = gst::Element;
        type Interfaces = (RtspExtension,);
    }

    impl ObjectImpl for RtspMonitor {
        fn constructed(&self) {
            self.parent_constructed();
            let _ = guarded("rtsp-monitor-new", || {
                NEWEST.with(|newest| newest.replace(Some(self.obj().downgrade())));
            });
        }
    }

    impl gst::subclass::prelude::GstObjectImpl for RtspMonitor {}

    impl gst::subclass::prelude::ElementImpl for RtspMonitor {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
                gst::subclass::ElementMetadata::new(
                    "RTSP monitor",
                    "Network/Extension/Protocol",
                    "Reports the requests of rtspsrc and the replies to them",
                    "the mjpeg-rtsp developers",
                )
            });
            Some(&METADATA)
        }
    }

    impl RtspMonitor {
        pub(in crate::player) fn attach(&self, source: &gst::Element, collector: &Arc<Collector>) {
            *lock(&self.source) = source.downgrade();
            *lock(&self.collector) = Arc::downgrade(collector);
        }

        /// Notes that a PLAY request is sent.
        pub fn play_sent(&self) {
            if let Some(collector) = lock(&self.collector).upgrade() {
                collector.play_sent();
            }
        }

        /// Notes a reply.
        pub fn replied(&self, request: &str, reply: &str) {
            if let Some(collector) = lock(&self.collector).upgrade() {
                collector.count_reply();
            }
            let accepted = reply.split(' ').nth(1) == Some("200");
            if request.starts_with("DESCRIBE ") && accepted {
                *lock(&self.video_control) = video_control(reply).map(str::to_owned);
            } else if is_play(request)
                && let Some(collector) = lock(&self.collector).upgrade()
            {
                let control = lock(&self.video_control).clone();
                let parsed = PlayReply::parse(reply, control.as_deref());
                collector.play_replied(accepted.then_some(parsed));
            }
        }

        /// Sends a request of rtspsrc, and removes interim replies, if the server is known to send them.
        ///
        /// # Safety
        /// `request` must be a valid message.
        pub unsafe fn send_before_interim_replies(&self, request: *mut ffi::GstRTSPMessage) {
            let collector = lock(&self.collector).upgrade();
            let Some(collector) = collector else { return };
            let Some(limit) = collector.interim_timeout() else { return };
            let extension: *mut ffi::GstRTSPExtension = self.obj().as_ptr().cast();
            self.is_sending.store(true, Ordering::Relaxed);
            // SAFETY: the extension is this one, and the caller promises the message. rtspsrc, which
            // handles the signal, does not wait for a reply that is null.
            let result =
                unsafe { ffi::gst_rtsp_extension_send(extension, request, ptr::null_mut()) };
            self.is_sending.store(false, Ordering::Relaxed);
            if result == ffi::GST_RTSP_OK {
                // SAFETY: the caller's promise.
                let sent = unsafe { SentRequest::replace(request) };
                *lock(&self.sent) = Some(sent);
                interim::remove(collector.connections(), limit);
            }
        }

        /// Whether the request that rtspsrc sends is one of [`Self::send_before_interim_replies`].
        pub fn is_sending(&self) -> bool {
            self.is_sending.load(Ordering::Relaxed)
        }

        /// Puts back the request that was sent here.
        ///
        /// # Safety
        /// `request` must be a valid message.
        pub unsafe fn restore(&self, request: *mut ffi::GstRTSPMessage) {
            if let Some(sent) = lock(&self.sent).take() {
                // SAFETY: the caller's promise.
                unsafe { sent.restore(request) };
            }
        }

        /// Counts a redirect. Returns whether it is followed, and reports the one that is not.
        pub fn follows_redirect(&self) -> bool {
            let follows = self.redirects.fetch_add(1, Ordering::Relaxed) < MAX_REDIRECTS;
            if let Some(source) = self.source().filter(|_| !follows) {
                let text = format!("the server redirects more than {MAX_REDIRECTS} times");
                gst::element_error!(source, gst::ResourceError::Failed, ("{text}"));
            }
            follows
        }

        fn source(&self) -> Option<gst::Element> {
            lock(&self.source).upgrade()
        }

        /// Runs `work` in a call from rtspsrc. A panic in it ends the session and the reports.
        pub fn run(&self, work: impl FnOnce(&Self)) {
            if self.panicked.load(Ordering::Relaxed) {
                return;
            }
            if let Err(panicked) = guarded("rtsp-monitor", || work(self)) {
                self.panicked.store(true, Ordering::Relaxed);
                if let Some(source) = self.source() {
                    border::post(&source, panicked);
                }
            }
        }

        pub fn post(&self, structure: gst::Structure) {
            if let Some(source) = self.source() {
                let message = gst::message::Element::builder(structure).src(&source).build();
                let _ = source.post_message(message);
            }
        }
    }
}

// SAFETY: only function pointers of the interface's own types are set, and the functions take
// instances of this one class, whose type registers the interface.
unsafe impl IsImplementable<imp::RtspMonitor> for RtspExtension {
    fn interface_init(interface: &mut glib::Interface<Self>) {
        let interface = interface.as_mut();
        interface.before_send = Some(before_send);
        interface.after_send = Some(after_send);
    }
}

/// Runs `f` with the monitor that `monitor` points to.
///
/// # Safety
/// `monitor` must be null or an instance of [`RtspMonitor`].
unsafe fn with_monitor(monitor: *mut ffi::GstRTSPExtension, f: impl FnOnce(&imp::RtspMonitor)) {
    // SAFETY: the caller's promise; the instance is borrowed for the call.
    let monitor: Borrowed<Option<RtspMonitor>> =
        unsafe { from_glib_borrow(monitor.cast::<MonitorInstance>()) };
    if let Some(monitor) = monitor.as_ref() {
        monitor.imp().run(f);
    }
}

type MonitorInstance = <imp::RtspMonitor as ObjectSubclass>::Instance;

unsafe extern "C" fn before_send(
    monitor: *mut ffi::GstRTSPExtension,
    request: *mut ffi::GstRTSPMessage,
) -> ffi::GstRTSPResult {
    // SAFETY: rtspsrc passes the extension that it has made, and a message of its own.
    unsafe {
        with_monitor(monitor, |monitor| {
            let text = request_text(request, None).filter(|_| !monitor.is_sending());
            if let Some(text) = text {
                if is_play(&text) {
                    monitor.play_sent();
                }
                monitor.post(gst::Structure::builder(REQUEST_SENT).field("request", text).build());
                monitor.send_before_interim_replies(request);
            }
        });
    }
    ffi::GST_RTSP_OK
}

unsafe extern "C" fn after_send(
    monitor: *mut ffi::GstRTSPExtension,
    request: *mut ffi::GstRTSPMessage,
    reply: *mut ffi::GstRTSPMessage,
) -> ffi::GstRTSPResult {
    // SAFETY: as in `before_send`.
    unsafe {
        with_monitor(monitor, |monitor| {
            monitor.restore(request);
            let Some(text) = reply_text(reply) else { return };
            // The connection writes CSeq as the first header, but does not add it to `request`.
            let cseq = text.lines().find_map(|line| line.strip_prefix("CSeq: "));
            if let Some(request) = request_text(request, cseq) {
                monitor.replied(&request, &text);
                let structure = gst::Structure::builder(REPLY_RECEIVED)
                    .field("request", request)
                    .field("reply", &text)
                    .build();
                monitor.post(structure);
            }
            // rtspsrc takes these two for redirects.
            let code = (*reply).type_data.response.code;
            let redirects =
                [ffi::GST_RTSP_STS_MOVED_PERMANENTLY, ffi::GST_RTSP_STS_MOVE_TEMPORARILY];
            if redirects.contains(&code) && !monitor.follows_redirect() {
                // An unknown status ends the session.
                (*reply).type_data.response.code = LOOP_DETECTED;
            }
        });
    }
    ffi::GST_RTSP_OK
}

fn is_play(request: &str) -> bool {
    request.starts_with("PLAY ")
}

/// The request as it is sent.
///
/// # Safety
/// `message` must be null or a valid message.
unsafe fn request_text(message: *mut ffi::GstRTSPMessage, cseq: Option<&str>) -> Option<String> {
    let (mut method, mut uri, mut version) = (0, ptr::null(), 0);
    // SAFETY: the caller's promise; the function refuses null and replies.
    let result = unsafe {
        ffi::gst_rtsp_message_parse_request(
            message,
            &raw mut method,
            &raw mut uri,
            &raw mut version,
        )
    };
    if result != ffi::GST_RTSP_OK {
        return None;
    }
    // SAFETY: both functions return constant strings or null; `uri` lives as long as the message.
    let (method, version, uri) = unsafe {
        (
            text(ffi::gst_rtsp_method_as_text(method)),
            text(ffi::gst_rtsp_version_as_text(version)),
            text(uri),
        )
    };
    let cseq = cseq.map_or(String::new(), |cseq| format!("CSeq: {cseq}\r\n"));
    // SAFETY: the caller's promise.
    let rest = unsafe { headers_and_body(message) };
    Some(format!("{method} {uri} RTSP/{version}\r\n{cseq}{rest}"))
}

/// The reply as it was received, but with the header names as RFC 2326 spells them.
///
/// # Safety
/// `message` must be null or a valid message.
unsafe fn reply_text(message: *mut ffi::GstRTSPMessage) -> Option<String> {
    let (mut code, mut reason, mut version) = (0, ptr::null(), 0);
    // SAFETY: the caller's promise; the function refuses null and requests.
    let result = unsafe {
        ffi::gst_rtsp_message_parse_response(
            message,
            &raw mut code,
            &raw mut reason,
            &raw mut version,
        )
    };
    if result != ffi::GST_RTSP_OK {
        return None;
    }
    // SAFETY: a constant string or null; `reason` lives as long as the message.
    let (version, reason) = unsafe { (text(ffi::gst_rtsp_version_as_text(version)), text(reason)) };
    // SAFETY: the caller's promise.
    let rest = unsafe { headers_and_body(message) };
    Some(format!("RTSP/{version} {code} {reason}\r\n{rest}"))
}

/// The headers, a blank line and the body.
///
/// # Safety
/// `message` must be a valid message.
unsafe fn headers_and_body(message: *mut ffi::GstRTSPMessage) -> String {
    // SAFETY: the string is made here, filled by the library, copied, and freed.
    let headers = unsafe {
        let string = glib::ffi::g_string_new(ptr::null());
        let _ = ffi::gst_rtsp_message_append_headers(message, string);
        let headers = text((*string).str);
        glib::ffi::g_string_free(string, glib::ffi::GTRUE);
        headers
    };
    let (mut data, mut size) = (ptr::null_mut::<u8>(), 0 as c_uint);
    // SAFETY: the caller's promise; the bytes are the message's and are copied before it changes.
    let body = unsafe {
        let result = ffi::gst_rtsp_message_get_body(message, &raw mut data, &raw mut size);
        let has_body = result == ffi::GST_RTSP_OK && !data.is_null();
        // The length includes the zero that the library adds after a body.
        let len = if has_body { (size as usize).min(MAX_BODY) } else { 0 };
        if len == 0 { &[][..] } else { std::slice::from_raw_parts(data, len) }
    };
    let body = String::from_utf8_lossy(body);
    format!("{}\r\n{}", join_lists(&headers), body.trim_end_matches('\0'))
}

/// Joins the lines of a header that is a list. rtspsrc's parser splits lists at their commas
/// (`Public: OPTIONS, PLAY`).
fn join_lists(headers: &str) -> String {
    let mut out: Vec<String> = Vec::new();
    for line in headers.lines() {
        let name = line.split_once(": ").map(|(name, _)| name);
        match out.last_mut() {
            Some(last)
                if name.is_some_and(|name| {
                    !name.contains("Authenticate") && last.starts_with(&format!("{name}: "))
                }) =>
            {
                last.push_str(", ");
                last.push_str(line.split_once(": ").map_or("", |(_, value)| value));
            }
            _ => out.push(line.to_owned()),
        }
    }
    out.into_iter().fold(String::new(), |text, line| text + &line + "\r\n")
}

/// Copies a C string; null becomes an empty string.
///
/// # Safety
/// `string` must be null or end with a zero.
unsafe fn text(string: *const c_char) -> String {
    if string.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(string) }.to_string_lossy().into_owned()
}

/// Registers the element, if that has not been done. The first rtspsrc of the process must come later:
/// rtspsrc looks for extensions only once.
pub(super) fn register() -> Result<(), glib::BoolError> {
    static REGISTERED: Mutex<bool> = Mutex::new(false);
    let mut registered = lock(&REGISTERED);
    if !*registered {
        let rank = gst::Rank::MARGINAL;
        gst::Element::register(None, "mjpegrtspmonitor", rank, RtspMonitor::static_type())?;
        *registered = true;
    }
    Ok(())
}

/// Lets the monitor of `source`, which this thread has just made, post messages of that element and
/// report PLAY to the filter of `collector`.
pub(super) fn attach(source: &gst::Element, collector: &Arc<Collector>) {
    let newest = NEWEST.with(RefCell::take).and_then(|monitor| monitor.upgrade());
    if let Some(monitor) = newest {
        monitor.imp().attach(source, collector);
    }
}

#[cfg(test)]
mod tests {
    use super::join_lists;

    #[test]
    fn split_lists_become_one_line_again() {
        let split = "CSeq: 1\r\nPublic: OPTIONS\r\nPublic: PLAY\r\nServer: s\r\n\
                   WWW-Authenticate: Basic\r\nWWW-Authenticate: Digest\r\n";
        let joined = "CSeq: 1\r\nPublic: OPTIONS, PLAY\r\nServer: s\r\n\
                     WWW-Authenticate: Basic\r\nWWW-Authenticate: Digest\r\n";
        assert_eq!(join_lists(split), joined);
        assert_eq!(join_lists(""), "");
    }
}
