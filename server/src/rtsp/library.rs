// SPDX-License-Identifier: MIT OR Apache-2.0
//! gst-rtsp-server's part: it agrees on transports with viewers, keeps their sessions and time
//! limits, and receives their RTCP. It owns no socket of a connection and reads no byte of one: what
//! it is handed are requests that are written here, for one path, and what it answers is read here.
//!
//! The bindings leave out the functions for that; they are called here and nowhere else.
#![allow(unsafe_code)]

use super::media::MovieFactory;
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

/// The path of the one media, and that of its stream: the library knows no others.
const PATH: &CStr = c"rtsp://127.0.0.1/movie";
const STREAM: &CStr = c"rtsp://127.0.0.1/movie/stream=0";

/// Descriptors that the library takes for all viewers: sockets for RTP and RTCP of two address
/// families, and what GStreamer needs.
pub(super) const DESCRIPTORS: u64 = 24;

/// What is asked of the library.
#[derive(Debug, Clone)]
pub(super) enum Ask<'a> {
    /// A transport, as [`super::transport::Transport::offer`] has it, in a new session.
    Setup { transport: &'a str },
    /// The session plays.
    Play { session: &'a str },
    /// It pauses.
    Pause { session: &'a str },
}

/// What the library answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// The status code.
    pub code: u32,
    /// The session's identifier, without parameters.
    pub session: Option<String>,
    /// The transport as it was agreed on.
    pub transport: Option<String>,
}

/// What all clients of the library share.
pub(super) struct Library {
    pool: RTSPSessionPool,
    points: RTSPMountPoints,
    threads: RTSPThreadPool,
    factory: MovieFactory,
}

impl Library {
    /// Starts it, and sets up a viewer once, so that the first real one does not wait for it.
    ///
    /// # Errors
    /// If it does not answer as it should.
    pub fn start() -> Result<Self> {
        let points = RTSPMountPoints::new();
        let factory = MovieFactory::new();
        points.add_factory("/movie", factory.clone());
        let (pool, threads) = (RTSPSessionPool::new(), RTSPThreadPool::new());
        let library = Self { pool, points, threads, factory };
        // The library asks a socket for the server's address; this one is connected to nothing.
        let socket = std::net::TcpListener::bind("127.0.0.1:0").context("no TCP port")?;
        let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
        let client = Client::new(&library, socket.into(), nobody)?;
        let answer = client.ask(&Ask::Setup { transport: "RTP/AVP/TCP;unicast;interleaved=0-1" });
        let Answer { code: 200, session: Some(session), .. } = answer else {
            bail!("gst-rtsp-server does not work: it answers SETUP with {}", answer.code);
        };
        library.end(&session);
        Ok(library)
    }

    /// A session that has not ended.
    pub fn session(&self, id: &str) -> Option<RTSPSession> {
        self.pool.find(id)
    }

    /// Calls `ended` with the identifier of each session that has ended.
    pub fn on_session_ended(&self, ended: impl Fn(&str) + Send + Sync + 'static) {
        self.pool.connect_session_removed(move |_, session| {
            let _ = guarded("session-removed", || {
                if let Some(id) = session.sessionid() {
                    ended(&id);
                }
            });
        });
    }

    /// Ends the sessions that nobody has kept alive; gives their number.
    pub fn end_expired(&self) -> u32 {
        self.pool.cleanup()
    }

    /// Ends a session, with all that it has. It may have ended before.
    pub fn end(&self, id: &str) {
        let Some(session) = self.pool.find(id) else { return };
        session.filter(Some(&mut |_, media| {
            let _ = media.set_state(gst::State::Null);
            RTSPFilterResult::Remove
        }));
        // It may have timed out meanwhile.
        let _ = self.pool.remove(&session);
    }

    /// The library's media has failed: the next viewers get another one.
    pub fn replace_media(&self) {
        self.factory.replace();
    }
}

/// Where a client's answer is put.
type Slot = Mutex<Answer>;

/// What the library takes for a connection.
pub(super) struct Client {
    client: RTSPClient,
    answer: Arc<Slot>,
}

impl Client {
    /// For a peer, which UDP packets are sent to. The library reads from the socket which
    /// address of this machine the peer has reached; then the socket is closed.
    ///
    /// # Errors
    /// If the library takes none.
    pub fn new(library: &Library, socket: OwnedFd, peer: SocketAddr) -> Result<Self> {
        let client = RTSPClient::new();
        client.set_session_pool(Some(&library.pool));
        client.set_mount_points(Some(&library.points));
        client.set_thread_pool(Some(&library.threads));
        let socket = gio::Socket::from_fd(socket).context("no socket")?;
        let ip = CString::new(peer.ip().to_string())?;
        let answer = Arc::new(Slot::default());
        // SAFETY: `socket` and `ip` are alive for the call, which copies the address and takes a
        // reference of the socket. On GST_RTSP_OK `connection` is a new connection, which the client
        // owns from then on, also if it refuses it (then it leaks, which is not undefined). The send
        // function is set with a reference of the slot, which `free_slot` gives back when the
        // library drops the function.
        unsafe {
            let mut connection = std::ptr::null_mut();
            let made = ffi::gst_rtsp_connection_create_from_socket(
                socket.to_glib_none().0,
                ip.as_ptr(),
                peer.port(),
                std::ptr::null(),
                &raw mut connection,
            );
            if made != ffi::GST_RTSP_OK {
                bail!("gst-rtsp-server makes no connection of a socket");
            }
            let taken: bool = from_glib(server_ffi::gst_rtsp_client_set_connection(
                client.to_glib_none().0,
                connection,
            ));
            if !taken {
                bail!("gst-rtsp-server takes no connection");
            }
            server_ffi::gst_rtsp_client_set_send_func(
                client.to_glib_none().0,
                Some(take_answer),
                Arc::into_raw(answer.clone()).cast_mut().cast(),
                Some(free_slot),
            );
        }
        // Nothing is read or written there: the library need not hold a descriptor for it.
        let _ = socket.close();
        Ok(Self { client, answer })
    }

    /// Lets the library handle a request to its end, in this thread. It may wait for locks of the
    /// library.
    pub fn ask(&self, ask: &Ask) -> Answer {
        let lock = || self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        *lock() = Answer::default();
        let (method, uri) = match ask {
            Ask::Setup { .. } => (RTSPMethod::SETUP, STREAM),
            Ask::Play { .. } => (RTSPMethod::PLAY, PATH),
            Ask::Pause { .. } => (RTSPMethod::PAUSE, PATH),
        };
        let (field, value) = match ask {
            Ask::Setup { transport } => (RTSPHeaderField::Transport, *transport),
            Ask::Play { session } | Ask::Pause { session } => (RTSPHeaderField::Session, *session),
        };
        // Written here, of numbers and the library's own identifiers.
        let Ok(value) = CString::new(value) else { return Answer::default() };
        // SAFETY: the message is made, filled, handled and freed here; all strings are
        // NUL-terminated and copied by the functions. Requests of one client are handled one by one:
        // `&self` is behind the lock of its connection. The library answers from within the call, by
        // `take_answer`.
        unsafe {
            let mut message = std::ptr::null_mut();
            let made = ffi::gst_rtsp_message_new_request(
                &raw mut message,
                method.into_glib(),
                uri.as_ptr(),
            );
            if made != ffi::GST_RTSP_OK {
                return Answer::default();
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

impl Drop for Client {
    fn drop(&mut self) {
        // SAFETY: null functions undo the ones that were set; none runs once this returns.
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

/// Called by the library with what it would send. It never sends data, since its streams' packets
/// end before they get here; true in any case, as it plans a close without a reference otherwise.
unsafe extern "C" fn take_answer(
    _: *mut server_ffi::GstRTSPClient,
    message: *mut ffi::GstRTSPMessage,
    _: glib::ffi::gboolean,
    slot: glib::ffi::gpointer,
) -> glib::ffi::gboolean {
    // SAFETY: `slot` is the reference that was given with this function, and lives until
    // `free_slot` is called, after the last call of this function. `message` is alive for the call.
    let _ = guarded("library-answer", || unsafe {
        let slot = &*slot.cast_const().cast::<Slot>();
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
            let answer = Answer { code: u32::try_from(code).unwrap_or(0), session: id, transport };
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = answer;
        }
    });
    glib::ffi::GTRUE
}

unsafe extern "C" fn free_slot(slot: glib::ffi::gpointer) {
    // SAFETY: the reference that was given with the send function, given back once.
    drop(unsafe { Arc::from_raw(slot.cast_const().cast::<Slot>()) });
}

/// The first header of that name, if it is there and is UTF-8.
///
/// # Safety
/// `message` must be a live message.
unsafe fn header(message: *mut ffi::GstRTSPMessage, field: RTSPHeaderField) -> Option<String> {
    let mut value: *mut c_char = std::ptr::null_mut();
    // SAFETY: the caller's promise. On GST_RTSP_OK `value` points to a NUL-terminated string that
    // the message owns; it is copied.
    unsafe {
        let got = ffi::gst_rtsp_message_get_header(message, field.into_glib(), &raw mut value, 0);
        if got != ffi::GST_RTSP_OK || value.is_null() {
            return None;
        }
        CStr::from_ptr(value).to_str().ok().map(ToOwned::to_owned)
    }
}
