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
    Frame(RtpHeader, Vec<u8>),
    /// This frame, which no datagram holds.
    Oversize(u64, Vec<u8>),
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
        loop {
            match self.next() {
                Next::Frame(header, jpeg) => self.send(header, &jpeg).await,
                Next::Oversize(frame, jpeg) => self.send_smaller(frame, jpeg).await,
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

    fn next(&self) -> Next {
        let mut position = self.position();
        let frame = position.next;
        let found = position.movie.frame(frame, &AtomicBool::new(false), Some(Duration::ZERO));
        let location = match found {
            Lookup::Frame(location) => location,
            Lookup::Cancelled => return Next::NotYet,
            Lookup::End(frames) if self.looping && frames > 0 => {
                position.next = 0;
                return Next::NotYet;
            }
            Lookup::End(_) => return Next::End,
        };
        let mut jpeg = vec![0; location.length as usize];
        if !position.movie.read(location, &mut jpeg).unwrap_or(false) {
            return Next::End;
        }
        position.next += 1;
        let path = position.movie.path().display().to_string();
        let (number, bytes) = (frame + 1, jpeg.len());
        if bytes > CLIENT_BUFFER && !position.said_large {
            position.said_large = true;
            tracing::warn!(path, frame = number, bytes, "most clients cut frames over 20468 bytes");
        }
        if bytes > MAX_LAB_FRAME && self.fragments == Fragments::Off {
            if !position.said_oversize {
                position.said_oversize = true;
                let what = match self.oversize {
                    Oversize::Shrink => "encoded again at lower quality",
                    Oversize::Drop => "dropped",
                };
                tracing::warn!(path, frame = number, bytes, "over what a datagram holds: {what}");
            }
            return Next::Oversize(frame, jpeg);
        }
        let time = self.framerate.start_of(frame);
        Next::Frame(position.packetizer.header(time), jpeg)
    }

    async fn send_smaller(&self, frame: u64, jpeg: Vec<u8>) {
        if self.oversize == Oversize::Drop {
            return;
        }
        // It takes as long as many frames of other sessions.
        let smaller = spawn_blocking(move || encode_within(&jpeg, MAX_LAB_FRAME)).await;
        if let Ok(Some(smaller)) = smaller {
            let header = self.position().packetizer.header(self.framerate.start_of(frame));
            self.send(header, &smaller).await;
        }
    }

    async fn send(&self, mut header: RtpHeader, jpeg: &[u8]) {
        let whole = jpeg.len().max(1);
        let size = if self.fragments == Fragments::Off { whole } else { FRAGMENT };
        let mut parts = jpeg.chunks(size).peekable();
        let mut first = true;
        while let Some(part) = parts.next() {
            if !first && self.fragments == Fragments::NextSeq {
                header.sequence_number = self.position().packetizer.next_number();
            }
            first = false;
            header.marker = parts.peek().is_none();
            let datagram = [&header.to_bytes()[..], part].concat();
            if let Err(error) = self.socket.send_to(&datagram, self.to).await {
                tracing::debug!(to = %self.to, "not sent: {error}");
            }
        }
    }
}
