// SPDX-License-Identifier: MIT OR Apache-2.0
//! A movie as the lab sends it: each frame whole in one datagram after a 12-byte RTP header, or in
//! fragments for the clients that want them.

use super::explainer::Explainer;
use crate::config::{Fragments, Oversize};
use crate::connection::outbox::{Drained, Sent};
use crate::send::{Fetched, FrameRef, Frames, Moment, Outlet};
use gstmjpegfile::jpeg::{encode_within, first_image};
use gstmjpegfile::movie::FrameRate;
use gstmjpegfile::rtp::{LabPacketizer, MAX_LAB_FRAME, RtpHeader, Timestamp};
use socket2::{SockAddr, Socket};
use std::io::{self, IoSlice};
use std::net::SocketAddr;

/// Payload of a fragment, in bytes: with the headers it fits Ethernet's 1500.
const FRAGMENT: usize = 1400;

/// Clients cut what is longer than their buffer of 20 480 bytes.
const CLIENT_BUFFER: usize = 20_480 - 12;

/// A frame as a lab client is sent it.
#[derive(Debug)]
pub(super) enum LabFrame {
    /// As it is in the movie.
    Whole(Vec<u8>),
    /// Encoded again at lower quality, of so many bytes before.
    Smaller(Vec<u8>, usize),
    /// Left out: of so many bytes, which no datagram holds.
    TooLarge(usize),
}

/// Makes a movie's frames for lab clients.
#[derive(Debug, Clone, Copy)]
pub(super) struct LabFrames {
    pub oversize: Oversize,
    pub fragments: Fragments,
}

impl LabFrames {
    fn of(self, mut jpeg: Vec<u8>) -> Fetched<LabFrame> {
        if jpeg.len() > MAX_LAB_FRAME {
            // Clients show only the first of several images.
            jpeg.truncate(first_image(&jpeg).len());
        }
        if jpeg.len() <= MAX_LAB_FRAME || self.fragments != Fragments::Off {
            return Fetched::Ready(LabFrame::Whole(jpeg));
        }
        match self.oversize {
            Oversize::Shrink => Fetched::MustEncode,
            Oversize::Drop => Fetched::Ready(LabFrame::TooLarge(jpeg.len())),
        }
    }
}

impl Frames for LabFrames {
    type Frame = LabFrame;
    type Options = ();

    fn fetch_now(
        &self,
        frame: FrameRef,
        (): (),
        scratch: &mut Vec<u8>,
    ) -> io::Result<Fetched<LabFrame>> {
        scratch.resize(frame.location.length as usize, 0);
        match frame.movie.read_at_once(frame.location, scratch) {
            Ok(true) => Ok(self.of(std::mem::take(scratch))),
            Ok(false) => Ok(Fetched::Shrunk),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Fetched::NotInMemory),
            Err(error) => Err(error),
        }
    }

    fn wait_for(&self, frame: FrameRef, (): ()) -> io::Result<Fetched<LabFrame>> {
        let mut jpeg = vec![0; frame.location.length as usize];
        let whole = frame.movie.read(frame.location, &mut jpeg)?;
        Ok(if whole { self.of(jpeg) } else { Fetched::Shrunk })
    }

    fn encode(&self, frame: FrameRef, (): ()) -> io::Result<Fetched<LabFrame>> {
        let mut jpeg = vec![0; frame.location.length as usize];
        if !frame.movie.read(frame.location, &mut jpeg)? {
            return Ok(Fetched::Shrunk);
        }
        Ok(Fetched::Ready(match encode_within(&jpeg, MAX_LAB_FRAME) {
            Some(smaller) => LabFrame::Smaller(smaller, jpeg.len()),
            None => LabFrame::TooLarge(jpeg.len()),
        }))
    }

    fn is_slow(_: &LabFrame) -> bool {
        // Which frames are too large is not known before they are read.
        false
    }

    fn recycle(frame: LabFrame, scratch: &mut Vec<u8>) {
        if let LabFrame::Whole(jpeg) | LabFrame::Smaller(jpeg, _) = frame {
            *scratch = jpeg;
        }
    }
}

/// What the log has said of a session, each once.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is logged once, by itself")]
struct Logged {
    large: bool,
    oversize: bool,
    wrap: bool,
    not_sent: bool,
}

/// Sends a session's datagrams.
pub(super) struct LabOutlet {
    to: SocketAddr,
    address: SockAddr,
    socket: Socket,
    framerate: FrameRate,
    frames: LabFrames,
    packetizer: LabPacketizer,
    explainer: Explainer,
    /// The first packet of this play has been explained.
    explained: bool,
    logged: Logged,
}

impl LabOutlet {
    /// From a socket to a client's RTP port.
    pub fn new(
        socket: Socket,
        to: SocketAddr,
        framerate: FrameRate,
        frames: LabFrames,
        explainer: Explainer,
    ) -> Self {
        Self {
            to,
            address: to.into(),
            socket,
            framerate,
            frames,
            packetizer: LabPacketizer::new(crate::random()),
            explainer,
            explained: false,
            logged: Logged::default(),
        }
    }

    fn log_size(&mut self, of: FrameRef, bytes: usize) {
        if bytes <= CLIENT_BUFFER {
            return;
        }
        let (path, frame) = (of.movie.path().display(), of.number + 1);
        if !std::mem::replace(&mut self.logged.large, true) {
            tracing::warn!(%path, frame, bytes, "most clients cut frames over 20468 bytes");
        }
        let whole = self.frames.fragments == Fragments::Off;
        if whole && bytes > MAX_LAB_FRAME && !std::mem::replace(&mut self.logged.oversize, true) {
            let what = match self.frames.oversize {
                Oversize::Shrink => "encoded again at lower quality",
                Oversize::Drop => "dropped",
            };
            tracing::warn!(%path, frame, bytes, "over what a datagram holds: {what}");
        }
    }

    fn log_wrap(&mut self, number: u16) {
        if number == u16::MAX && !std::mem::replace(&mut self.logged.wrap, true) {
            tracing::info!(
                to = %self.to,
                "sequence numbers go on with 1 after 65535: clients that do not expect it freeze"
            );
        }
    }

    fn send_jpeg(&mut self, jpeg: &[u8], of: FrameRef) {
        let mut header = self.packetizer.header(self.framerate.start_of(of.number));
        self.log_wrap(header.sequence_number);
        if !std::mem::replace(&mut self.explained, true) {
            self.explainer.rtp(&header, jpeg.len());
        }
        if self.frames.fragments == Fragments::Off {
            self.send_one(header, jpeg);
            return;
        }
        let mut parts = jpeg.chunks(FRAGMENT).peekable();
        let mut first = true;
        while let Some(part) = parts.next() {
            if !first && self.frames.fragments == Fragments::NextSeq {
                header.sequence_number = self.packetizer.next_number();
                self.log_wrap(header.sequence_number);
            }
            first = false;
            header.marker = parts.peek().is_none();
            self.send_one(header, part);
        }
    }

    /// One datagram, gathered by the kernel.
    fn send_one(&mut self, header: RtpHeader, payload: &[u8]) {
        let header = header.to_bytes();
        let parts = [IoSlice::new(&header), IoSlice::new(payload)];
        if let Err(error) = self.socket.send_to_vectored(&parts, &self.address) {
            if std::mem::replace(&mut self.logged.not_sent, true) {
                tracing::debug!(to = %self.to, "packet not sent: {error}");
            } else {
                tracing::warn!(
                    to = %self.to,
                    "packet not sent (further failures are not logged): {error}"
                );
            }
        }
    }
}

impl Outlet for LabOutlet {
    type Frames = LabFrames;

    fn options(&self) {}

    fn is_watched(&self) -> bool {
        // A session has one viewer for as long as it has a stream.
        true
    }

    fn send(
        &mut self,
        frame: &LabFrame,
        of: FrameRef,
        _rtptime: Timestamp,
        _resume: &dyn Fn() -> Drained,
    ) -> Sent {
        match frame {
            LabFrame::Whole(jpeg) => {
                self.log_size(of, jpeg.len());
                self.send_jpeg(jpeg, of);
            }
            LabFrame::Smaller(jpeg, before) => {
                self.log_size(of, *before);
                self.send_jpeg(jpeg, of);
            }
            LabFrame::TooLarge(bytes) => self.log_size(of, *bytes),
        }
        Sent::Done
    }

    fn begin(&mut self) {
        self.explained = false;
    }

    fn end(&mut self, _moment: Moment) {
        tracing::info!(to = %self.to, "end of the movie");
    }
}
