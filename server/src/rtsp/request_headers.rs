// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads headers of a request: the 0.25 bindings of RTSPMessage have no getter.
#![allow(unsafe_code)]

use glib::translate::{IntoGlib, ToGlibPtr};
use gst_rtsp::RTSPHeaderField;
use gst_rtsp::rtsp_message::RTSPMessage;
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
