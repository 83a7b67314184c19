// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a SETUP has agreed on, and sending in an RTSP connection: the 0.25 bindings leave out the
//! getter of a transport's fields, and sending lists.
#![allow(unsafe_code)]

use glib::translate::{ToGlibPtr, from_glib};
use gst_rtsp_server::RTSPStreamTransport;
use gst_rtsp_server::prelude::*;
use std::ffi::CStr;

/// How RTP gets to a viewer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Carrier {
    /// In datagrams to these ports.
    Udp { destination: String, rtp: u16, rtcp: u16 },
    /// In the RTSP connection (RFC 2326 section 10.12).
    Interleaved,
}

/// One stream's transport to one viewer, for any thread.
#[derive(Debug)]
pub(super) struct Transport(RTSPStreamTransport);

// SAFETY: a GObject's references are counted atomically. Of this one only the functions below are
// called: its fields are set at SETUP, before it gets here, and gst-rtsp-server itself calls its
// send functions from threads of its own; they take the client's lock.
unsafe impl Send for Transport {}
// SAFETY: as above.
unsafe impl Sync for Transport {}

impl Transport {
    pub fn new(transport: RTSPStreamTransport) -> Self {
        Self(transport)
    }

    /// As SETUP has agreed; `None` if it is neither of the two.
    pub fn carrier(&self) -> Option<Carrier> {
        // SAFETY: the transport is alive while `self` borrows it; it owns the structure that is
        // pointed to, which is set once, at SETUP, and only read here. `destination` is null or a
        // NUL-terminated string; it is copied.
        unsafe {
            let fields = gst_rtsp_server_sys::gst_rtsp_stream_transport_get_transport(
                self.0.to_glib_none().0,
            )
            .as_ref()?;
            let udp = gst_rtsp_sys::GST_RTSP_LOWER_TRANS_UDP;
            let tcp = gst_rtsp_sys::GST_RTSP_LOWER_TRANS_TCP;
            if fields.lower_transport & tcp != 0 {
                return Some(Carrier::Interleaved);
            }
            if fields.lower_transport & udp == 0 || fields.destination.is_null() {
                return None;
            }
            let destination = CStr::from_ptr(fields.destination).to_str().ok()?.to_owned();
            let rtp = u16::try_from(fields.client_port.min).ok()?;
            let rtcp = u16::try_from(fields.client_port.max).ok()?;
            Some(Carrier::Udp { destination, rtp, rtcp })
        }
    }

    /// Sends RTP packets in the connection; false if it still has to send what was sent before.
    pub fn send_rtp(&self, packets: &gst::BufferList) -> bool {
        // SAFETY: both are alive while they are borrowed; the list is only read.
        unsafe {
            from_glib(gst_rtsp_server_sys::gst_rtsp_stream_transport_send_rtp_list(
                self.0.to_glib_none().0,
                packets.to_glib_none().0,
            ))
        }
    }

    /// Sends an RTCP packet in the connection; false if it still has to send one.
    pub fn send_rtcp(&self, packet: &gst::Buffer) -> bool {
        self.0.send_rtcp(packet).is_ok()
    }
}
