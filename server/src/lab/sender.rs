// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sends a session's frames, each at its time: the n-th at the begin plus n periods, so that
//! nothing drifts. A task for each session, no thread.

use crate::config::{Fragments, Oversize};
use gstmjpegfile::jpeg::encode_within;
use gstmjpegfile::movie::FrameRate;
use gstmjpegfile::movie_file::{Lookup, MovieFile};
use gstmjpegfile::rtp::{LabPacketizer, MAX_LAB_FRAME, RtpHeader};
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, sleep_until};

/// Payload of a fragment, in bytes: with the headers it fits Ethernet's 1500.
const FRAGMENT: usize = 1400;

/// Bytes of the RTP header.
const HEADER: usize = 12;

/// Until the index has got further.
const INDEX: Duration = Duration::from_millis(10);

/// What a session's frames are, and which is next.
#[derive(Debug)]
pub(super) struct Position {
    pub movie: Arc<MovieFile>,
    /// The frame that is sent next, from 0.
    pub next: u64,
    pub packetizer: LabPacketizer,
    /// In halves of the usual frame rate.
    pub speed: u8,
    /// What the log has said of this session.
    said_large: bool,
    said_oversize: bool,
}

impl Position {
    pub fn new(movie: Arc<MovieFile>, ssrc: u32) -> Self {
        let packetizer = LabPacketizer::new(ssrc);
        Self { movie, next: 0, packetizer, speed: 2, said_large: false, said_oversize: false }
    }
}

/// How a session is sent.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    pub position: Arc<Mutex<Position>>,
    pub socket: Arc<UdpSocket>,
    pub to: SocketAddr,
    pub framerate: FrameRate,
    pub looping: bool,
    pub oversize: Oversize,
    pub fragments: Fragments,
}

enum Next {
    /// It is in the packet.
    Frame(RtpHeader),
    /// This frame is, and no datagram holds it.
    Oversize(u64),
    NotYet,
    End,
}

/// Clients cut what is longer than their buffer of 20 480 bytes.
const CLIENT_BUFFER: usize = 20_480 - 12;

impl Sender {
    fn position(&self) -> MutexGuard<'_, Position> {
        self.position.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends until the movie ends; then the next play starts from its first frame.
    pub async fn run(self) {
        let begin = Instant::now();
        let mut ticks = 0;
        // Place for the header, and a JPEG: one buffer for all frames, sent as it is.
        let mut packet = vec![0; HEADER];
        loop {
            match self.next(&mut packet) {
                Next::Frame(header) => self.send(header, &mut packet).await,
                Next::Oversize(frame) => self.send_smaller(frame, &packet).await,
                Next::NotYet => {
                    sleep(INDEX).await;
                    continue;
                }
                Next::End => {
                    self.position().next = 0;
                    tracing::info!(to = %self.to, "end of the movie");
                    return;
                }
            }
            ticks += 1;
            let halves = u64::from(self.position().speed.max(1));
            let due = self.framerate.start_of(ticks) * 2 / halves;
            sleep_until(begin + Duration::from_nanos(due)).await;
        }
    }

    /// Reads the next frame into the packet, behind the place for its header.
    fn next(&self, packet: &mut Vec<u8>) -> Next {
        let mut position = self.position();
        let look = |movie: &MovieFile, frame| {
            movie.frame(frame, &AtomicBool::new(false), Some(Duration::ZERO))
        };
        let mut found = look(&position.movie, position.next);
        if self.looping && matches!(found, Lookup::End(frames) if frames > 0) {
            position.next = 0;
            found = look(&position.movie, 0);
        }
        let frame = position.next;
        let location = match found {
            Lookup::Frame(location) => location,
            Lookup::Cancelled => return Next::NotYet,
            Lookup::End(_) => return Next::End,
        };
        packet.resize(HEADER + location.length as usize, 0);
        let jpeg = packet.get_mut(HEADER..).unwrap_or_default();
        if !position.movie.read(location, jpeg).unwrap_or(false) {
            return Next::End;
        }
        position.next += 1;
        let (number, bytes) = (frame + 1, jpeg.len());
        if bytes > CLIENT_BUFFER && !position.said_large {
            position.said_large = true;
            let path = position.movie.path().display();
            tracing::warn!(%path, frame = number, bytes, "most clients cut frames over 20468 bytes");
        }
        if bytes > MAX_LAB_FRAME && self.fragments == Fragments::Off {
            if !position.said_oversize {
                position.said_oversize = true;
                let what = match self.oversize {
                    Oversize::Shrink => "encoded again at lower quality",
                    Oversize::Drop => "dropped",
                };
                let path = position.movie.path().display();
                tracing::warn!(%path, frame = number, bytes, "over what a datagram holds: {what}");
            }
            return Next::Oversize(frame);
        }
        let time = self.framerate.start_of(frame);
        Next::Frame(position.packetizer.header(time))
    }

    async fn send_smaller(&self, frame: u64, packet: &[u8]) {
        if self.oversize == Oversize::Drop {
            return;
        }
        let jpeg = packet.get(HEADER..).unwrap_or_default().to_vec();
        // It takes as long as many frames of other sessions.
        let smaller = spawn_blocking(move || encode_within(&jpeg, MAX_LAB_FRAME)).await;
        if let Ok(Some(smaller)) = smaller {
            let header = self.position().packetizer.header(self.framerate.start_of(frame));
            let mut packet = [&[0; HEADER][..], &smaller].concat();
            self.send(header, &mut packet).await;
        }
    }

    async fn send(&self, mut header: RtpHeader, packet: &mut [u8]) {
        if self.fragments == Fragments::Off {
            self.send_one(header, packet).await;
            return;
        }
        let mut parts = packet.get(HEADER..).unwrap_or_default().chunks(FRAGMENT).peekable();
        let mut first = true;
        while let Some(part) = parts.next() {
            if !first && self.fragments == Fragments::NextSeq {
                header.sequence_number = self.position().packetizer.next_number();
            }
            first = false;
            header.marker = parts.peek().is_none();
            self.send_one(header, &mut [&[0; HEADER][..], part].concat()).await;
        }
    }

    /// Sends a packet that has place for its header.
    async fn send_one(&self, header: RtpHeader, packet: &mut [u8]) {
        if let Some(place) = packet.first_chunk_mut() {
            *place = header.to_bytes();
        }
        if let Err(error) = self.socket.send_to(packet, self.to).await {
            tracing::debug!(to = %self.to, "not sent: {error}");
        }
    }
}
