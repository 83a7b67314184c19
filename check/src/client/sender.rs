// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sends the movie over RTP as the lab's server does, or with the faults of a network.

use crate::clock::Clock;
use crate::movie::Movie;
use crate::profile::{Fragments, Lab};
use crate::recording::Packet;
use gstmjpegfile::movie::Nanoseconds;
use gstmjpegfile::rtp::{RtpHeader, Timestamp};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What is sent in one period of the frame rate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A frame, from 0, with the sequence number of its position in the movie.
    Frame(usize),
    /// Bytes that are not an RTP packet.
    Garbage(Vec<u8>),
    /// Nothing: a frame was lost, or is late.
    Nothing,
}

/// A frame that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentFrame {
    /// When its last packet was sent.
    pub at: Duration,
    /// The frame, from 0.
    pub frame: usize,
}

#[derive(Debug, Default)]
struct State {
    /// Where packets go; `None` while the sender is stopped.
    target: Option<SocketAddr>,
    steps: Vec<Step>,
    next: usize,
    packets: Vec<Packet>,
    frames: Vec<SentFrame>,
    /// The number of times that PLAY was carried out.
    plays: usize,
    ended: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A sender. It ends when dropped.
#[derive(Debug)]
pub struct Sender {
    shared: Arc<Shared>,
}

impl Sender {
    /// A sender that waits for [`Self::play`], and then sends these steps.
    ///
    /// # Errors
    /// If no socket can be opened.
    pub fn start(clock: Clock, movie: &Movie, lab: &Lab, steps: Vec<Step>) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        let shared = Arc::new(Shared::default());
        shared.lock().steps = steps;
        let worker = Worker {
            shared: shared.clone(),
            clock,
            movie: movie.clone(),
            lab: lab.clone(),
            socket,
        };
        std::thread::Builder::new().name("rtp-sender".to_owned()).spawn(move || worker.run())?;
        Ok(Self { shared })
    }

    /// Sends what is next.
    pub fn play(&self, to: SocketAddr) {
        let mut state = self.shared.lock();
        state.target = Some(to);
        state.plays += 1;
        self.shared.changed.notify_all();
    }

    /// Stops. What is next stays next.
    pub fn pause(&self) {
        self.shared.lock().target = None;
        self.shared.changed.notify_all();
    }

    /// The frames that were sent.
    pub fn frames(&self) -> Vec<SentFrame> {
        self.shared.lock().frames.clone()
    }

    /// The number of steps that were carried out.
    pub fn steps_done(&self) -> usize {
        self.shared.lock().next
    }

    /// All packets that were sent.
    pub fn packets(&self) -> Vec<Packet> {
        self.shared.lock().packets.clone()
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_all();
    }
}

struct Worker {
    shared: Arc<Shared>,
    clock: Clock,
    movie: Movie,
    lab: Lab,
    socket: UdpSocket,
}

impl Worker {
    fn run(&self) {
        let mut due = Instant::now();
        let mut state = self.shared.lock();
        while !state.ended {
            let left = due.saturating_duration_since(Instant::now());
            let wait = match state.target {
                Some(_) if left.is_zero() => None,
                Some(_) => Some(left),
                None => Some(Duration::from_secs(1)),
            };
            if let Some(wait) = wait {
                let was_stopped = state.target.is_none();
                let waited = self.shared.changed.wait_timeout(state, wait);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
                if was_stopped {
                    due = Instant::now();
                }
                continue;
            }
            due += self.lab.period();
            self.step(&mut state);
        }
    }

    fn step(&self, state: &mut State) {
        let Some(target) = state.target else { return };
        let step = state.steps.get(state.next).cloned().unwrap_or(Step::Nothing);
        match step {
            Step::Nothing => {}
            Step::Garbage(bytes) => self.send(state, target, bytes),
            Step::Frame(frame) => {
                // It may be shown before this thread goes on.
                let at = self.clock.now();
                for packet in self.packets(frame) {
                    self.send(state, target, packet);
                }
                state.frames.push(SentFrame { at, frame });
            }
        }
        if state.next < state.steps.len() {
            state.next += 1;
        }
    }

    fn send(&self, state: &mut State, target: SocketAddr, bytes: Vec<u8>) {
        // The client may have closed its port.
        let _ = self.socket.send_to(&bytes, target);
        let at = self.clock.now();
        state.packets.push(Packet { at, port: 0, length: bytes.len(), bytes });
    }

    /// The packets of a frame, as the profile has them.
    fn packets(&self, frame: usize) -> Vec<Vec<u8>> {
        const SSRC: u32 = 0x6c61_6263;
        let image = self.movie.frame(frame);
        let period = u64::try_from(self.lab.period().as_nanos()).unwrap_or(u64::MAX);
        let nanoseconds = period.saturating_mul(frame as u64);
        let timestamp = Timestamp::default().after(Nanoseconds::new(nanoseconds));
        let size = match self.lab.fragments {
            Fragments::Off => image.len().max(1),
            Fragments::SameSeq | Fragments::NextSeq => self.lab.max_payload,
        };
        // Fragments with numbers of their own: all frames have the same count, so that a lost frame's
        // numbers are known.
        let count = image.len().div_ceil(size).max(1);
        let first = match self.lab.fragments {
            Fragments::Off | Fragments::SameSeq => number_of(frame),
            Fragments::NextSeq => {
                let before = (0..frame).map(|it| self.movie.frame(it).len().div_ceil(size));
                number_of(before.sum())
            }
        };
        let packet = |(at, part): (usize, &[u8])| {
            let own = if self.lab.fragments == Fragments::NextSeq { at } else { 0 };
            let number = first.wrapping_add(u16::try_from(own).unwrap_or(0));
            let header = RtpHeader::jpeg(number, timestamp, SSRC, at + 1 == count);
            [&header.to_bytes()[..], part].concat()
        };
        image.chunks(size).enumerate().map(packet).collect()
    }
}

/// The sequence number of a packet that has others before it. The first one is 1.
fn number_of(before: usize) -> u16 {
    u16::try_from(before).unwrap_or(0).wrapping_add(1)
}
