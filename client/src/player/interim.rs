// SPDX-License-Identifier: MIT OR Apache-2.0
//! Interim replies (`100 Continue`, RFC 2326 section 11), which a server may send before its reply.
//!
//! rtspsrc 1.22 takes the first reply to a request for the reply, so an interim one ends the session. Then
//! the player connects again and removes interim replies before rtspsrc reads them: its extension, which
//! is called before each request, lets rtspsrc send the request without a reply, waits for the first bytes
//! of the answer, and takes what is interim out of the socket. rtspsrc then sends an empty packet of an
//! unused channel, which servers ignore (RFC 2326 section 10.12), instead of the request, and reads the
//! reply. This needs a connection that has neither TLS nor HTTP around it.
#![allow(unsafe_code)] // The bindings lack RTSP messages.

use super::connections::Connections;
use gst_rtsp_sys as ffi;
use std::io::Read;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::ptr;
use std::time::{Duration, Instant};

/// A channel on which no server sends packets: they take the first ones.
const UNUSED_CHANNEL: u8 = 255;

/// Most bytes of an interim reply.
const MAX_REPLY: usize = 4096;

/// The time between two checks of a reply that has begun.
const PAUSE: Duration = Duration::from_millis(5);

/// A status line of an interim reply, up to its first digit.
const START: &[u8] = b"RTSP/1.0 1";

/// A request that was sent. Frees the message.
#[derive(Debug)]
pub(super) struct SentRequest(ffi::GstRTSPMessage);

// SAFETY: a message belongs to whoever has it, and no thread shares it.
unsafe impl Send for SentRequest {}

impl SentRequest {
    /// Takes `request`, and leaves an empty packet in its place.
    ///
    /// # Safety
    /// `request` must be a valid message.
    pub unsafe fn replace(request: *mut ffi::GstRTSPMessage) -> Self {
        // SAFETY: zeros are an empty message, as in C; the functions initialise it, and take a byte that
        // was allocated by GLib.
        unsafe {
            let sent = request.replace(std::mem::zeroed());
            ffi::gst_rtsp_message_init_data(request, UNUSED_CHANNEL);
            // rtspsrc 1.22 cannot send a packet without a body.
            ffi::gst_rtsp_message_take_body(request, glib::ffi::g_malloc0(1).cast(), 1);
            Self(sent)
        }
    }

    /// Puts the request back.
    ///
    /// # Safety
    /// `request` must be a valid message.
    pub unsafe fn restore(self, request: *mut ffi::GstRTSPMessage) {
        // SAFETY: the message is freed, then another one takes its place, which is not freed here.
        unsafe {
            ffi::gst_rtsp_message_unset(request);
            request.write(ptr::read(&raw const self.0));
        }
        std::mem::forget(self);
    }
}

impl Drop for SentRequest {
    fn drop(&mut self) {
        // SAFETY: it is a valid message.
        unsafe { ffi::gst_rtsp_message_unset(&raw mut self.0) };
    }
}

/// Waits for the answer to a request, for at most `limit`, and removes interim replies before it.
pub(super) fn remove(connections: &Connections, limit: Duration) {
    let end = Instant::now() + limit;
    let Some(mut socket) = connections.only_one() else { return };
    let mut bytes = [MaybeUninit::uninit(); MAX_REPLY];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || !is_readable(&socket, left) {
            return;
        }
        let Ok(have @ 1..) = socket.peek(&mut bytes) else { return };
        // SAFETY: this many bytes were received.
        let init = |byte: &MaybeUninit<u8>| unsafe { byte.assume_init() };
        let received: Vec<u8> = bytes.iter().take(have).map(init).collect();
        match interim_length(&received) {
            Interim::Complete(length) => {
                let mut reply = vec![0; length];
                if socket.read_exact(&mut reply).is_err() {
                    return;
                }
            }
            Interim::Unfinished if have < MAX_REPLY => std::thread::sleep(PAUSE),
            _ => return,
        }
    }
}

/// What an answer starts with.
#[derive(Debug, PartialEq, Eq)]
enum Interim {
    /// An interim reply of this many bytes.
    Complete(usize),
    /// Perhaps an interim reply.
    Unfinished,
    /// Something else.
    No,
}

fn interim_length(bytes: &[u8]) -> Interim {
    if !START.starts_with(bytes.get(..START.len()).unwrap_or(bytes)) {
        return Interim::No;
    }
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    end.map_or(Interim::Unfinished, |end| Interim::Complete(end + 4))
}

/// Whether there is something to read within `limit`.
fn is_readable(socket: &socket2::Socket, limit: Duration) -> bool {
    let mut entry = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let milliseconds = libc::c_int::try_from(limit.as_millis()).unwrap_or(libc::c_int::MAX);
    // SAFETY: one entry.
    let ready = unsafe { libc::poll(&raw mut entry, 1, milliseconds) };
    ready == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interim_reply_is_told_from_a_reply() {
        let interim = b"RTSP/1.0 100 Continue\r\nCSeq: 1\r\n\r\n";
        let rows: [(&[u8], Interim); 8] = [
            (b"R", Interim::Unfinished),
            (b"RTSP/1.0 1", Interim::Unfinished),
            (&interim[..interim.len() - 1], Interim::Unfinished),
            (interim, Interim::Complete(interim.len())),
            (&[&interim[..], b"RTSP/1.0 200 OK"].concat(), Interim::Complete(interim.len())),
            (b"RTSP/1.0 200 OK\r\n\r\n", Interim::No),
            (b"$\0\0\x0c", Interim::No),
            (b"HTTP", Interim::No),
        ];
        for (bytes, want) in rows {
            assert_eq!(interim_length(bytes), want, "{:?}", bytes.escape_ascii().to_string());
        }
    }

    #[test]
    fn a_request_is_put_back_after_an_empty_packet() {
        // SAFETY: the functions initialise a message of zeros, as C does.
        unsafe {
            let mut request: ffi::GstRTSPMessage = std::mem::zeroed();
            let uri = c"rtsp://h/m";
            let play = ffi::GST_RTSP_PLAY;
            ffi::gst_rtsp_message_init_request(&raw mut request, play, uri.as_ptr());
            let sent = SentRequest::replace(&raw mut request);
            assert_eq!(request.type_, ffi::GST_RTSP_MESSAGE_DATA);
            sent.restore(&raw mut request);
            assert_eq!(request.type_, ffi::GST_RTSP_MESSAGE_REQUEST);
            drop(SentRequest::replace(&raw mut request));
            ffi::gst_rtsp_message_unset(&raw mut request);
        }
    }
}
