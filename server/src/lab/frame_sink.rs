// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sends frames as the lab does: each frame in one datagram after a 12-byte RTP header, or in
//! fragments for clients that need them.

use super::explainer::Explainer;
use crate::config::{Fragments, Oversize};
use crate::connection::outbox::SendOutcome;
use crate::limit_log::LimitLog;
use crate::observe::metrics::Metrics;
use crate::observe::sessions::{Dialect, State};
use crate::send::counts::{FirstPacket, SendCounts, SentFrame};
use crate::send::{
    DueFrame, FetchOutcome, FrameFetcher, FrameRef, FrameSink, ReportTime, Resume, movie_log,
};
use gstmjpegfile::jpeg::{Reduced, first_image, reduce_within};
use gstmjpegfile::movie::{FrameRate, SOI};
use gstmjpegfile::rtp::{LabPacketizer, MAX_LAB_FRAME, RtpHeader};
use socket2::Socket;
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// The payload of a fragment in bytes. With the headers it fits the 1500 bytes of Ethernet.
const FRAGMENT: usize = 1400;

/// The longest frame that fits the buffer of 20 480 bytes that most clients have.
const CLIENT_BUFFER: usize = 20_480 - 12;

/// A frame as it is sent to a lab client.
#[derive(Debug)]
pub(super) enum LabFrame {
    /// The frame as it is in the movie.
    Unchanged(Vec<u8>),
    /// The frame in fewer bytes, and its size in the movie in bytes.
    Shrunk(Reduced, usize),
    /// A frame that no datagram can hold, and its size in bytes. It is dropped.
    TooLarge(usize),
    /// Bytes that are not an image, since the file was overwritten. They are dropped; the stream
    /// soon continues with the file's new content.
    Overwritten,
}

/// Prepares frames for lab clients.
#[derive(Debug, Clone)]
pub(super) struct LabFetcher {
    pub oversize: Oversize,
    pub fragments: Fragments,
    /// Counts the frames that are encoded again, and those that are dropped.
    pub metrics: Option<Arc<Metrics>>,
}

impl LabFetcher {
    /// Prepares a frame that has been read.
    fn prepare(&self, mut jpeg: Vec<u8>) -> FetchOutcome<LabFrame> {
        if !jpeg.starts_with(&SOI) {
            return FetchOutcome::Ready(LabFrame::Overwritten);
        }
        if jpeg.len() > MAX_LAB_FRAME {
            // Clients show only the first of several images.
            jpeg.truncate(first_image(&jpeg).len());
        }
        if jpeg.len() <= MAX_LAB_FRAME || self.fragments != Fragments::Off {
            return FetchOutcome::Ready(LabFrame::Unchanged(jpeg));
        }
        match self.oversize {
            Oversize::Shrink => FetchOutcome::MustEncode,
            Oversize::Drop => FetchOutcome::Ready(LabFrame::TooLarge(jpeg.len())),
        }
    }
}

/// Reads a frame, and waits for the disk. Returns `None` if the file ends before the frame does.
fn read(frame: FrameRef) -> io::Result<Option<Vec<u8>>> {
    let mut jpeg = vec![0; frame.location.length as usize];
    let whole = frame.movie.read(frame.location, &mut jpeg)?;
    Ok(whole.then_some(jpeg))
}

impl FrameFetcher for LabFetcher {
    type Frame = LabFrame;
    type Options = ();

    fn fetch_now(
        &self,
        frame: FrameRef,
        (): (),
        scratch: &mut Vec<u8>,
    ) -> io::Result<FetchOutcome<LabFrame>> {
        scratch.resize(frame.location.length as usize, 0);
        match frame.movie.read_at_once(frame.location, scratch) {
            Ok(true) => Ok(self.prepare(std::mem::take(scratch))),
            Ok(false) => Ok(FetchOutcome::Shrunk),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(FetchOutcome::NotInMemory),
            Err(error) => Err(error),
        }
    }

    fn fetch_waiting(&self, frame: FrameRef, (): ()) -> io::Result<FetchOutcome<LabFrame>> {
        Ok(read(frame)?.map_or(FetchOutcome::Shrunk, |jpeg| self.prepare(jpeg)))
    }

    fn fetch_encoded(&self, frame: FrameRef, (): ()) -> io::Result<FetchOutcome<LabFrame>> {
        let Some(jpeg) = read(frame)? else { return Ok(FetchOutcome::Shrunk) };
        let start = Instant::now();
        let smaller = reduce_within(&jpeg, MAX_LAB_FRAME);
        if let Some(metrics) = &self.metrics {
            metrics.add_recoded(Dialect::Lab, start.elapsed());
        }
        Ok(FetchOutcome::Ready(LabFrame::Shrunk(smaller, jpeg.len())))
    }

    fn is_slow(_: &LabFrame) -> bool {
        // It is not known which frames are too large before they have been read.
        false
    }

    fn recycle(frame: LabFrame, scratch: &mut Vec<u8>) {
        match frame {
            LabFrame::Unchanged(jpeg) => *scratch = jpeg,
            LabFrame::Shrunk(smaller, _) => *scratch = smaller.jpeg,
            LabFrame::TooLarge(_) | LabFrame::Overwritten => {}
        }
    }
}

/// Which warnings have been logged for a session.
#[derive(Debug, Default)]
struct LoggedOnce {
    over_client_buffer: bool,
    sequence_wrap: bool,
}

/// Sends the datagrams of a session.
pub(super) struct LabSink {
    peer: SocketAddr,
    socket: Socket,
    framerate: FrameRate,
    fragments: Fragments,
    packetizer: LabPacketizer,
    explainer: Explainer,
    /// The first packet of the present play has been explained.
    explained: bool,
    logged: LoggedOnce,
    /// The number of frames that were too large to be sent.
    dropped: u64,
    /// The file of the movie that the dropped frames are from.
    path: PathBuf,
    /// Counts the packets that the kernel does not accept.
    limit_log: Arc<LimitLog>,
    /// Counts what was sent, for the log and the fourth line of a reply.
    counts: Arc<SendCounts>,
    /// Counts the frames that are dropped.
    metrics: Option<Arc<Metrics>>,
}

/// The packets of one frame that were sent.
#[derive(Debug, Clone, Copy, Default)]
struct SentPackets {
    packets: usize,
    bytes: usize,
    /// The first one.
    first: Option<FirstPacket>,
    /// The sequence number of the last one.
    sequence_number: u16,
}

impl LabSink {
    /// A sink that sends to the RTP port of a client, from a socket that is connected to it. The frames are those
    /// of `fetcher`.
    pub fn new(
        socket: Socket,
        peer: SocketAddr,
        framerate: FrameRate,
        fetcher: &LabFetcher,
        explainer: Explainer,
        limit_log: Arc<LimitLog>,
        counts: Arc<SendCounts>,
    ) -> Self {
        Self {
            peer,
            socket,
            framerate,
            fragments: fetcher.fragments,
            packetizer: LabPacketizer::new(crate::random()),
            explainer,
            explained: false,
            logged: LoggedOnce::default(),
            dropped: 0,
            path: PathBuf::new(),
            limit_log,
            counts,
            metrics: fetcher.metrics.clone(),
        }
    }

    /// Logs the first frame that is too large for most clients. `bytes` is its size in the movie.
    fn log_size(&mut self, source: FrameRef, bytes: usize) {
        if bytes > CLIENT_BUFFER && !std::mem::replace(&mut self.logged.over_client_buffer, true) {
            let (path, frame) = (source.movie.path().display(), source.number + 1);
            tracing::warn!(%path, frame, bytes, "most clients cut off frames after 20468 bytes");
        }
    }

    /// Counts a frame that is not sent because of its size, and logs the first one.
    fn drop_frame(&mut self, source: FrameRef, bytes: usize) {
        self.dropped += 1;
        if let Some(metrics) = &self.metrics {
            metrics.add_dropped("larger-than-datagram");
        }
        if self.dropped == 1 {
            source.movie.path().clone_into(&mut self.path);
            movie_log::too_large(source, bytes, "dropped");
        }
    }

    fn log_sequence_wrap(&mut self, sequence_number: u16) {
        if sequence_number == u16::MAX && !std::mem::replace(&mut self.logged.sequence_wrap, true) {
            tracing::info!(
                peer = %self.peer,
                "the sequence number after 65535 is 1: clients that do not expect a wrap freeze"
            );
        }
    }

    /// Sends a frame, and counts its packets.
    fn send_jpeg(&mut self, jpeg: &[u8], source: FrameRef) {
        let mut sent = SentPackets::default();
        let mut header = self.packetizer.header(self.framerate.start_of(source.number));
        self.log_sequence_wrap(header.sequence_number);
        if !std::mem::replace(&mut self.explained, true) {
            self.explainer.explain_rtp(&header, jpeg.len());
        }
        if self.fragments == Fragments::Off {
            self.send_packet(header, jpeg, &mut sent);
            return self.count(source, sent);
        }
        let mut fragments = jpeg.chunks(FRAGMENT).peekable();
        let mut first = true;
        while let Some(fragment) = fragments.next() {
            if !first && self.fragments == Fragments::NextSeq {
                header.sequence_number = self.packetizer.next_number();
                self.log_sequence_wrap(header.sequence_number);
            }
            first = false;
            header.marker = fragments.peek().is_none();
            self.send_packet(header, fragment, &mut sent);
        }
        self.count(source, sent);
    }

    fn count(&self, source: FrameRef, sent: SentPackets) {
        let SentPackets { packets, bytes, first, sequence_number } = sent;
        if packets > 0 {
            let frame = SentFrame { number: source.number, packets, bytes, sequence_number };
            self.counts.add_frame(frame, || first);
        }
    }

    /// Sends one datagram, and adds it to those of its frame. The kernel gathers header and payload.
    fn send_packet(&self, header: RtpHeader, payload: &[u8], sent: &mut SentPackets) {
        let bytes = header.to_bytes();
        let parts = [IoSlice::new(&bytes), IoSlice::new(payload)];
        let result = match self.socket.send_vectored(&parts) {
            // An earlier packet has found the client's port closed. This one has not been sent.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                self.socket.send_vectored(&parts)
            }
            result => result,
        };
        match result {
            // The client has closed its port, and may open it again.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            Ok(_) => {
                sent.packets += 1;
                sent.bytes += bytes.len() + payload.len();
                let payload = payload.len();
                let first = FirstPacket { header, payload, jpeg_header: None };
                sent.first.get_or_insert(first);
                sent.sequence_number = header.sequence_number;
            }
            Err(error) => {
                let kind = match error.kind() {
                    ErrorKind::WouldBlock => "lab packets dropped: the UDP send buffer is full",
                    _ => "lab packets not sent over UDP",
                };
                self.limit_log.count_error(kind, Some(self.peer), &error);
            }
        }
    }
}

impl FrameSink for LabSink {
    type Fetcher = LabFetcher;

    fn options(&self) {}

    fn is_watched(&self) -> bool {
        // The session has one viewer for as long as it has a stream.
        true
    }

    fn send(&mut self, frame: &LabFrame, due: DueFrame, _resume: Resume) -> SendOutcome {
        let source = due.source;
        match frame {
            LabFrame::Unchanged(jpeg) => {
                self.log_size(source, jpeg.len());
                self.send_jpeg(jpeg, source);
            }
            LabFrame::Shrunk(smaller, bytes) => {
                self.log_size(source, *bytes);
                movie_log::too_large(source, *bytes, &smaller.reduction.to_string());
                self.send_jpeg(&smaller.jpeg, source);
            }
            LabFrame::TooLarge(bytes) => {
                self.log_size(source, *bytes);
                self.drop_frame(source, *bytes);
            }
            LabFrame::Overwritten => {}
        }
        SendOutcome::Accepted
    }

    fn play_started(&mut self) {
        self.explained = false;
    }

    fn play_ended(&mut self, _time: ReportTime) {
        tracing::info!(peer = %self.peer, "end of the movie");
        if let Some(observer) = self.counts.observer() {
            observer.change_state(State::Ready);
        }
    }
}

impl Drop for LabSink {
    fn drop(&mut self) {
        if self.dropped > 0 {
            let (path, dropped) = (self.path.display(), self.dropped);
            tracing::info!(%path, dropped, "frames dropped in total by this stream");
        }
    }
}
