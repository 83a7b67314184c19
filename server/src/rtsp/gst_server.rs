// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls gst-rtsp-server, which agrees on transports, keeps the time limits of sessions, and receives
//! RTCP from viewers. It never reads or writes a client's connection: it handles requests that are
//! written here, all for one path, and its replies are read here.
//!
//! The Rust bindings lack some functions for that. They are called by FFI, only in this file.
#![allow(unsafe_code)]

use super::gst_media::MovieFactory;
use super::loss_reports::LossReports;
use anyhow::{Context, Result, bail};
use glib::translate::{IntoGlib, ToGlibPtr, from_glib};
use gst_rtsp::{RTSPHeaderField, RTSPMethod};
use gst_rtsp_server::prelude::*;
use gst_rtsp_server::{
    RTSPClient, RTSPFilterResult, RTSPMountPoints, RTSPSession, RTSPSessionPool, RTSPThreadPool,
};
use gst_rtsp_server_sys as server_ffi;
use gst_rtsp_sys as ffi;
use mjpeg_program::border::guarded;
use std::ffi::{CStr, CString, c_char};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

/// The URL of the only media of gst-rtsp-server, and of its stream.
const MEDIA_URL: &CStr = c"rtsp://127.0.0.1/movie";
const STREAM_URL: &CStr = c"rtsp://127.0.0.1/movie/stream=0";

/// The number of file descriptors that gst-rtsp-server uses for all viewers: sockets for RTP and RTCP
/// of two address families, and those that GStreamer needs.
pub(super) const DESCRIPTORS: u64 = 24;

/// A request to gst-rtsp-server.
#[derive(Debug, Clone)]
pub(super) enum GstRequest<'a> {
    /// Creates a session with a transport, from [`super::transport::Transport::offer`].
    Setup { transport: &'a str },
    /// Sets the state of a session to playing.
    Play { session: &'a str },
    /// Sets the state of a session to paused.
    Pause { session: &'a str },
}

/// A reply of gst-rtsp-server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct GstReply {
    /// The status code; 0 if there was no reply.
    pub code: u32,
    /// The identifier of the session, without parameters.
    pub session: Option<String>,
    /// The `Transport` header.
    pub transport: Option<String>,
}

/// The objects of gst-rtsp-server that all its clients share.
pub(super) struct GstServer {
    pool: RTSPSessionPool,
    points: RTSPMountPoints,
    threads: RTSPThreadPool,
    factory: MovieFactory,
}

impl GstServer {
    /// Starts gst-rtsp-server, and creates and ends a session, so that the first viewer need not wait
    /// until the media is prepared.
    ///
    /// # Errors
    /// If gst-rtsp-server does not reply with 200.
    pub fn start() -> Result<Self> {
        let points = RTSPMountPoints::new();
        let factory = MovieFactory::new();
        points.add_factory("/movie", factory.clone());
        let (pool, threads) = (RTSPSessionPool::new(), RTSPThreadPool::new());
        let server = Self { pool, points, threads, factory };
        // gst-rtsp-server reads its own address from a socket. This one is not connected.
        let socket = std::net::TcpListener::bind("127.0.0.1:0").context("no free TCP port")?;
        let unused_peer = SocketAddr::from(([127, 0, 0, 1], 9));
        let client = GstClient::new(&server, socket.into(), unused_peer)?;
        let setup = GstRequest::Setup { transport: "RTP/AVP/TCP;unicast;interleaved=0-1" };
        let reply = client.handle(&setup);
        let GstReply { code: 200, session: Some(session), .. } = reply else {
            match reply.code {
                0 => bail!("gst-rtsp-server does not work: it does not reply to SETUP"),
                code => bail!("gst-rtsp-server does not work: it replies {code} to SETUP"),
            }
        };
        server.end(&session);
        Ok(server)
    }

    /// The session with an identifier, if it has not ended.
    pub fn session(&self, id: &str) -> Option<RTSPSession> {
        self.pool.find(id)
    }

    /// Calls `handler` with the identifier of each session that ends.
    pub fn on_session_ended(&self, handler: impl Fn(&str) + Send + Sync + 'static) {
        self.pool.connect_session_removed(move |_, session| {
            let _ = guarded("session-removed", || {
                if let Some(id) = session.sessionid() {
                    handler(&id);
                }
            });
        });
    }

    /// Ends the sessions that have timed out, and returns their number.
    pub fn end_expired(&self) -> u32 {
        self.pool.cleanup()
    }

    /// Ends a session and its media, unless it has ended before.
    pub fn end(&self, id: &str) {
        let Some(session) = self.pool.find(id) else { return };
        session.filter(Some(&mut |_, media| {
            let _ = media.set_state(gst::State::Null);
            RTSPFilterResult::Remove
        }));
        // The session may have timed out meanwhile.
        let _ = self.pool.remove(&session);
    }

    /// The losses that viewers over UDP report.
    pub fn loss_reports(&self) -> &LossReports {
        self.factory.loss_reports()
    }

    /// Replaces the media after it has failed.
    pub fn replace_media(&self) {
        self.factory.replace();
    }
}

/// Holds the last reply to a client. gst-rtsp-server writes it by [`store_reply`].
type ReplySlot = Mutex<GstReply>;

/// A client of gst-rtsp-server, which represents one connection.
pub(super) struct GstClient {
    client: RTSPClient,
    reply: Arc<ReplySlot>,
}

impl GstClient {
    /// A client for a peer, to which UDP packets are sent. gst-rtsp-server reads its own address from
    /// `socket`, which is closed then.
    ///
    /// # Errors
    /// If gst-rtsp-server accepts no connection.
    pub fn new(server: &GstServer, socket: OwnedFd, peer: SocketAddr) -> Result<Self> {
        let client = RTSPClient::new();
        client.set_session_pool(Some(&server.pool));
        client.set_mount_points(Some(&server.points));
        client.set_thread_pool(Some(&server.threads));
        let socket = gio::Socket::from_fd(socket).context("GLib cannot use the socket")?;
        let ip = CString::new(peer.ip().to_string())?;
        let reply = Arc::new(ReplySlot::default());
        // SAFETY: `socket` and `ip` are alive for the call, which copies the address and takes a
        // reference of the socket. On GST_RTSP_OK `connection` is a new connection, which the client
        // owns from then on, also if it refuses it (then it leaks, which is not undefined). The send
        // function is set with a reference of the slot, which `free_slot` releases when
        // gst-rtsp-server drops the function.
        unsafe {
            let mut connection = std::ptr::null_mut();
            let result = ffi::gst_rtsp_connection_create_from_socket(
                socket.to_glib_none().0,
                ip.as_ptr(),
                peer.port(),
                std::ptr::null(),
                &raw mut connection,
            );
            if result != ffi::GST_RTSP_OK {
                bail!("gst-rtsp-server cannot create a connection from a socket");
            }
            let accepted: bool = from_glib(server_ffi::gst_rtsp_client_set_connection(
                client.to_glib_none().0,
                connection,
            ));
            if !accepted {
                bail!("gst-rtsp-server refuses a connection");
            }
            server_ffi::gst_rtsp_client_set_send_func(
                client.to_glib_none().0,
                Some(store_reply),
                Arc::into_raw(reply.clone()).cast_mut().cast(),
                Some(free_slot),
            );
        }
        // Closed, since gst-rtsp-server neither reads nor writes there: this frees the descriptor.
        let _ = socket.close();
        Ok(Self { client, reply })
    }

    /// Makes gst-rtsp-server handle a request in this thread. May wait for its locks.
    pub fn handle(&self, request: &GstRequest) -> GstReply {
        let lock = || self.reply.lock().unwrap_or_else(PoisonError::into_inner);
        *lock() = GstReply::default();
        let (method, uri) = match request {
            GstRequest::Setup { .. } => (RTSPMethod::SETUP, STREAM_URL),
            GstRequest::Play { .. } => (RTSPMethod::PLAY, MEDIA_URL),
            GstRequest::Pause { .. } => (RTSPMethod::PAUSE, MEDIA_URL),
        };
        let (field, value) = match request {
            GstRequest::Setup { transport } => (RTSPHeaderField::Transport, *transport),
            GstRequest::Play { session } | GstRequest::Pause { session } => {
                (RTSPHeaderField::Session, *session)
            }
        };
        // The value has no NUL: it was written by this server or by gst-rtsp-server.
        let Ok(value) = CString::new(value) else { return GstReply::default() };
        // SAFETY: the message is made, filled, handled and freed here; all strings are
        // NUL-terminated and copied by the functions. Requests of one client are handled one by one:
        // `&self` is behind the lock of its connection. gst-rtsp-server replies within the call, by
        // `store_reply`.
        unsafe {
            let mut message = std::ptr::null_mut();
            let result = ffi::gst_rtsp_message_new_request(
                &raw mut message,
                method.into_glib(),
                uri.as_ptr(),
            );
            if result != ffi::GST_RTSP_OK {
                return GstReply::default();
            }
            for (field, value) in [(RTSPHeaderField::Cseq, c"1"), (field, value.as_c_str())] {
                ffi::gst_rtsp_message_add_header(message, field.into_glib(), value.as_ptr());
            }
            server_ffi::gst_rtsp_client_handle_message(self.client.to_glib_none().0, message);
            ffi::gst_rtsp_message_free(message);
        }
        std::mem::take(&mut *lock())
    }
}

impl Drop for GstClient {
    fn drop(&mut self) {
        // SAFETY: a null function replaces the one that was set, which is not called after that.
        unsafe {
            server_ffi::gst_rtsp_client_set_send_func(
                self.client.to_glib_none().0,
                None,
                std::ptr::null_mut(),
                None,
            );
        }
    }
}

/// Called by gst-rtsp-server to send a message, which is always a reply: the packets of its streams
/// are dropped in its pipeline. Returns true in any case: otherwise gst-rtsp-server would schedule a
/// close of the client without holding a reference to it.
unsafe extern "C" fn store_reply(
    _: *mut server_ffi::GstRTSPClient,
    message: *mut ffi::GstRTSPMessage,
    _: glib::ffi::gboolean,
    slot: glib::ffi::gpointer,
) -> glib::ffi::gboolean {
    // SAFETY: `slot` is the reference that was given with this function, and lives until
    // `free_slot` is called, after the last call of this function. `message` is alive for the call.
    let _ = guarded("library-answer", || unsafe {
        let slot = &*slot.cast_const().cast::<ReplySlot>();
        let mut code = ffi::GST_RTSP_STS_INVALID;
        let parsed = ffi::gst_rtsp_message_parse_response(
            message,
            &raw mut code,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
        );
        if parsed == ffi::GST_RTSP_OK {
            let session = header(message, RTSPHeaderField::Session);
            let id = session.and_then(|it| it.split(';').next().map(ToOwned::to_owned));
            let transport = header(message, RTSPHeaderField::Transport);
            let reply = GstReply { code: u32::try_from(code).unwrap_or(0), session: id, transport };
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = reply;
        }
    });
    glib::ffi::GTRUE
}

unsafe extern "C" fn free_slot(slot: glib::ffi::gpointer) {
    // SAFETY: the reference that was passed with the send function, released once.
    drop(unsafe { Arc::from_raw(slot.cast_const().cast::<ReplySlot>()) });
}

/// The value of the first header with a name, if there is one and it is UTF-8.
///
/// # Safety
/// `message` must be a live message.
unsafe fn header(message: *mut ffi::GstRTSPMessage, field: RTSPHeaderField) -> Option<String> {
    let mut value: *mut c_char = std::ptr::null_mut();
    // SAFETY: the caller's promise. On GST_RTSP_OK `value` points to a NUL-terminated string that
    // the message owns; it is copied.
    unsafe {
        let result =
            ffi::gst_rtsp_message_get_header(message, field.into_glib(), &raw mut value, 0);
        if result != ffi::GST_RTSP_OK || value.is_null() {
            return None;
        }
        CStr::from_ptr(value).to_str().ok().map(ToOwned::to_owned)
    }
}
