// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads requests and replies: the 0.25 bindings of RTSPMessage have no getters.
#![allow(unsafe_code)]

use glib::translate::{IntoGlib, ToGlibPtr, from_glib};
use gst_rtsp::rtsp_message::RTSPMessage;
use gst_rtsp::{RTSPHeaderField, RTSPMethod, RTSPUrl};
use std::ffi::{CStr, c_char};

/// The first header of that name, if it is there and is UTF-8.
pub fn get(message: &RTSPMessage, field: RTSPHeaderField) -> Option<String> {
    let mut value: *mut c_char = std::ptr::null_mut();
    let pointer: *mut gst_rtsp_sys::GstRTSPMessage = message.to_glib_none().0;
    // SAFETY: `pointer` is the live message that `message` borrows, only read here. On GST_RTSP_OK
    // `value` points to a NUL-terminated string that the message owns; it is copied before
    // the borrow of `message` ends.
    unsafe {
        let result = gst_rtsp_sys::gst_rtsp_message_get_header(
            pointer,
            field.into_glib(),
            &raw mut value,
            0,
        );
        if result != gst_rtsp_sys::GST_RTSP_OK || value.is_null() {
            return None;
        }
        CStr::from_ptr(value).to_str().ok().map(ToOwned::to_owned)
    }
}

/// A request's method and URI.
pub fn request_line(message: &RTSPMessage) -> Option<(&'static str, String)> {
    let pointer: *mut gst_rtsp_sys::GstRTSPMessage = message.to_glib_none().0;
    let mut method = gst_rtsp_sys::GST_RTSP_INVALID;
    let mut uri: *const c_char = std::ptr::null();
    // SAFETY: `pointer` is the live message that `message` borrows, only read here. On GST_RTSP_OK
    // `uri` points to a NUL-terminated string that the message owns; it is copied before the
    // borrow ends. A null pointer for the version means that it is not wanted.
    unsafe {
        let result = gst_rtsp_sys::gst_rtsp_message_parse_request(
            pointer,
            &raw mut method,
            &raw mut uri,
            std::ptr::null_mut(),
        );
        if result != gst_rtsp_sys::GST_RTSP_OK || uri.is_null() {
            return None;
        }
        let method: RTSPMethod = from_glib(method);
        let name = method.iter_names().next().map_or("unknown", |(name, _)| name);
        Some((name, CStr::from_ptr(uri).to_string_lossy().into_owned()))
    }
}

/// The path of a URL as it came: percent-encoded, not checked to be UTF-8.
pub fn path(url: &RTSPUrl) -> Option<Vec<u8>> {
    let pointer: *const gst_rtsp_sys::GstRTSPUrl = url.to_glib_none().0;
    // SAFETY: the URL is alive while it is borrowed. `abspath` is null or a NUL-terminated string
    // that the URL owns; it is copied.
    unsafe {
        let path = (*pointer).abspath;
        (!path.is_null()).then(|| CStr::from_ptr(path).to_bytes().to_vec())
    }
}

/// A reply's status code.
pub fn status(message: &RTSPMessage) -> Option<i32> {
    let pointer: *mut gst_rtsp_sys::GstRTSPMessage = message.to_glib_none().0;
    let mut code = gst_rtsp_sys::GST_RTSP_STS_INVALID;
    // SAFETY: `pointer` is the live message that `message` borrows, only read here. Null pointers
    // for the reason and the version mean that they are not wanted.
    let result = unsafe {
        gst_rtsp_sys::gst_rtsp_message_parse_response(
            pointer,
            &raw mut code,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
        )
    };
    (result == gst_rtsp_sys::GST_RTSP_OK).then_some(code)
}

/// Takes all headers of that name out of the message.
pub fn remove(message: &RTSPMessage, field: RTSPHeaderField) {
    let pointer: *mut gst_rtsp_sys::GstRTSPMessage = message.to_glib_none().0;
    // SAFETY: `pointer` is the live message that `message` borrows. It is the request that is
    // being handled on this thread, which no other code reads at the same time; index -1 means
    // all headers of the name (gst_rtsp_message_remove_header).
    unsafe {
        gst_rtsp_sys::gst_rtsp_message_remove_header(pointer, field.into_glib(), -1);
    }
}
