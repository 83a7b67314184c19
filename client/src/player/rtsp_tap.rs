// SPDX-License-Identifier: MIT OR Apache-2.0
//! Hears what rtspsrc says to a server and is answered.
//!
//! rtspsrc 1.22 has a signal before a request and none for a reply. But it makes one of each
//! element that has the interface `GstRTSPExtension` (gst-plugins-good, gst/rtsp/gstrtspext.c), and
//! calls it before a request and with request and reply after it. This is such an element: it
//! changes nothing, and posts both as an element message in the name of its rtspsrc. Keep-alive
//! requests, which rtspsrc sends behind the extensions' back, are not heard.
#![allow(unsafe_code)] // The interface and RTSP messages' headers are not in the bindings.

use super::border;
use glib::prelude::*;
use glib::subclass::prelude::*;
use glib::translate::*;
use gst::prelude::*;
use gst_rtsp_sys as ffi;
use mjpeg_program::border::guarded;
use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_uint};
use std::ptr;

/// Name of the element message about a request that goes out: `request`, without CSeq, session
/// and authorization, which the connection adds.
pub(super) const SENT: &str = "rtsp-request";
/// Name of the element message about a reply: `request` as it went out, `reply`.
pub(super) const ANSWERED: &str = "rtsp-reply";

/// The longest body that is told; SDP has a few hundred bytes.
const MAX_BODY: usize = 16 * 1024;

glib::wrapper! {
    /// The interface.
    pub struct RtspExtension(Interface<ffi::GstRTSPExtension, ffi::GstRTSPExtensionInterface>);

    match fn {
        type_ => || ffi::gst_rtsp_extension_get_type(),
    }
}

glib::wrapper! {
    /// The element.
    pub struct Tap(ObjectSubclass<imp::Tap>)
        @extends gst::Element, gst::Object,
        @implements RtspExtension;
}

thread_local! {
    /// The tap that was made last in this thread: that of the rtspsrc that is being made.
    static NEWEST: RefCell<Option<glib::WeakRef<Tap>>> = const { RefCell::new(None) };
}

mod imp {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{LazyLock, Mutex, PoisonError};

    #[derive(Debug, Default)]
    pub struct Tap {
        source: Mutex<glib::WeakRef<gst::Element>>,
        /// It listens no more.
        panicked: AtomicBool,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Tap {
        const NAME: &'static str = "MjpegRtspTap";
        type Type = super::Tap;
        type ParentType = gst::Element;
        type Interfaces = (RtspExtension,);
    }

    impl ObjectImpl for Tap {
        fn constructed(&self) {
            self.parent_constructed();
            let _ = guarded("rtsp-monitor-new", || {
                NEWEST.with(|newest| newest.replace(Some(self.obj().downgrade())));
            });
        }
    }

    impl gst::subclass::prelude::GstObjectImpl for Tap {}

    impl gst::subclass::prelude::ElementImpl for Tap {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
                gst::subclass::ElementMetadata::new(
                    "RTSP exchange listener",
                    "Network/Extension/Protocol",
                    "Tells an application what rtspsrc sends and receives",
                    "the mjpeg-rtsp developers",
                )
            });
            Some(&METADATA)
        }
    }

    impl Tap {
        pub fn attach(&self, source: &gst::Element) {
            *self.source.lock().unwrap_or_else(PoisonError::into_inner) = source.downgrade();
        }

        fn source(&self) -> Option<gst::Element> {
            self.source.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
        }

        /// Runs `work` for rtspsrc; a panic ends the session, and what follows is not heard.
        pub fn listen(&self, work: impl FnOnce(&Self)) {
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

        pub fn tell(&self, structure: gst::Structure) {
            if let Some(source) = self.source() {
                let message = gst::message::Element::builder(structure).src(&source).build();
                let _ = source.post_message(message);
            }
        }
    }
}

// SAFETY: only function pointers of the interface's own types are set, and the functions take
// instances of this one class, whose type registers the interface.
unsafe impl IsImplementable<imp::Tap> for RtspExtension {
    fn interface_init(interface: &mut glib::Interface<Self>) {
        let interface = interface.as_mut();
        interface.before_send = Some(before_send);
        interface.after_send = Some(after_send);
    }
}

/// Runs `f` on the tap behind a C pointer.
///
/// # Safety
/// `tap` must be null or an instance of [`Tap`].
unsafe fn with_tap(tap: *mut ffi::GstRTSPExtension, f: impl FnOnce(&imp::Tap)) {
    // SAFETY: the caller's promise; the instance is borrowed for the call.
    let tap: Borrowed<Option<Tap>> = unsafe { from_glib_borrow(tap.cast::<TapInstance>()) };
    if let Some(tap) = tap.as_ref() {
        tap.imp().listen(f);
    }
}

type TapInstance = <imp::Tap as ObjectSubclass>::Instance;

unsafe extern "C" fn before_send(
    tap: *mut ffi::GstRTSPExtension,
    request: *mut ffi::GstRTSPMessage,
) -> ffi::GstRTSPResult {
    // SAFETY: rtspsrc calls with the extension that it made and a message of its own.
    unsafe {
        with_tap(tap, |tap| {
            if let Some(text) = request_text(request, None) {
                tap.tell(gst::Structure::builder(SENT).field("request", text).build());
            }
        });
    }
    ffi::GST_RTSP_OK
}

unsafe extern "C" fn after_send(
    tap: *mut ffi::GstRTSPExtension,
    request: *mut ffi::GstRTSPMessage,
    reply: *mut ffi::GstRTSPMessage,
) -> ffi::GstRTSPResult {
    // SAFETY: as in `before_send`.
    unsafe {
        with_tap(tap, |tap| {
            let Some(reply) = reply_text(reply) else { return };
            // The connection writes it first of all headers, and not into the message.
            let cseq = reply.lines().find_map(|line| line.strip_prefix("CSeq: "));
            if let Some(request) = request_text(request, cseq) {
                let answered = gst::Structure::builder(ANSWERED)
                    .field("request", request)
                    .field("reply", &reply)
                    .build();
                tap.tell(answered);
            }
        });
    }
    ffi::GST_RTSP_OK
}

/// The request as it goes over the wire.
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

/// The reply as it came, its headers' names in the RFC's spelling.
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
        let there = result == ffi::GST_RTSP_OK && !data.is_null();
        // The library counts the zero that it puts behind a body.
        let len = if there { (size as usize).min(MAX_BODY) } else { 0 };
        if len == 0 { &[][..] } else { std::slice::from_raw_parts(data, len) }
    };
    let body = String::from_utf8_lossy(body);
    format!("{}\r\n{}", joined(&headers), body.trim_end_matches('\0'))
}

/// rtspsrc's parser cuts lists at their commas (`Public: OPTIONS, PLAY`): puts them together.
fn joined(headers: &str) -> String {
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

/// # Safety
/// `string` must be null or end with a zero.
unsafe fn text(string: *const c_char) -> String {
    if string.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(string) }.to_string_lossy().into_owned()
}

/// Makes rtspsrc ask taps. Before the first rtspsrc, which looks for extensions once.
pub(super) fn register() -> Result<(), glib::BoolError> {
    gst::Element::register(None, "mjpegrtsptap", gst::Rank::MARGINAL, Tap::static_type())
}

/// Lets the tap of `source`, which this thread has just made, tell in its name.
pub(super) fn attach(source: &gst::Element) {
    let newest = NEWEST.with(RefCell::take).and_then(|tap| tap.upgrade());
    if let Some(tap) = newest {
        tap.imp().attach(source);
    }
}

#[cfg(test)]
mod tests {
    use super::joined;

    #[test]
    fn lists_that_were_cut_are_one_line_again() {
        let cut = "CSeq: 1\r\nPublic: OPTIONS\r\nPublic: PLAY\r\nServer: s\r\n\
                   WWW-Authenticate: Basic\r\nWWW-Authenticate: Digest\r\n";
        let whole = "CSeq: 1\r\nPublic: OPTIONS, PLAY\r\nServer: s\r\n\
                     WWW-Authenticate: Basic\r\nWWW-Authenticate: Digest\r\n";
        assert_eq!(joined(cut), whole);
        assert_eq!(joined(""), "");
    }
}
