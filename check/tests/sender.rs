// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sends frames as the lab does, but for one mistake.

use crate::defect::{Defect, Habit};
use crate::lab_server::Shared;
use mjpeg_lab_check::profile::Fragments;
use std::net::{IpAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// The payload of a fragment in bytes.
const FRAGMENT: usize = 1400;

/// The time between two frames.
const PERIOD: Duration = Duration::from_millis(50);

/// How late the first packet is, by mistake. The check waits for 3 s, so that it can go on.
const LATE_START: Duration = Duration::from_millis(2800);

/// Where a stream is.
pub struct Position {
    pub movie: usize,
    pub frame: usize,
    pub number: u16,
    pub timestamp: u32,
    pub sent: usize,
    pub resumed: bool,
}

/// A sender's stop, which it waits for between frames.
#[derive(Default)]
pub struct Stop(Mutex<bool>, Condvar);

impl Stop {
    pub fn set(&self) {
        *self.0.lock().unwrap() = true;
        self.1.notify_all();
    }

    /// Waits until a time; returns whether to stop.
    fn wait(&self, until: Instant) -> bool {
        let left = until.saturating_duration_since(Instant::now());
        let stopped = self.0.lock().unwrap();
        *self.1.wait_timeout_while(stopped, left, |stopped| !*stopped).unwrap().0
    }
}

/// Sends the frames of one play.
pub struct Sender {
    pub shared: Arc<Shared>,
    pub socket: UdpSocket,
    pub peer: IpAddr,
    pub port: u16,
    pub ssrc: u32,
    pub position: Arc<Mutex<Position>>,
    pub ended: Arc<AtomicBool>,
    pub control: Option<TcpStream>,
}

impl Sender {
    pub fn run(&mut self, stop: &Stop, first_session: bool) {
        let resumed = self.position.lock().unwrap().resumed;
        let late = self.shared.has(Defect::StartsLate) && first_session && !resumed;
        let mut due = Instant::now() + if late { LATE_START } else { Duration::ZERO };
        let period = match self.shared.behaviour.defect {
            Some(Defect::TenFrames) => 2 * PERIOD,
            Some(Defect::FortyFrames) => PERIOD / 2,
            _ => PERIOD,
        };
        while !stop.wait(due) {
            due += period;
            if !self.send_frame() {
                return;
            }
        }
    }

    /// Sends the next frame. Returns whether there may be another one.
    fn send_frame(&mut self) -> bool {
        let has = |defect| self.shared.has(defect);
        let position = self.position.clone();
        let mut position = position.lock().unwrap();
        let shared = self.shared.clone();
        let frames = &shared.behaviour.movies[position.movie].1;
        if position.frame >= frames.len() {
            if has(Defect::LoopsAtEnd) {
                position.frame = 0;
            } else if has(Defect::EmptyPacketsAtEnd) {
                self.send_packet(&mut position, &[], true);
                return true;
            } else {
                if has(Defect::ClosesAtEnd)
                    && let Some(control) = &self.control
                {
                    let _ = control.shutdown(std::net::Shutdown::Both);
                }
                self.ended.store(true, Ordering::SeqCst);
                position.frame = 0;
                return false;
            }
        }
        let number = match (self.shared.behaviour.defect, position.frame) {
            (Some(Defect::SwapsFrames), 10) => 11,
            (Some(Defect::SwapsFrames), 11) => 10,
            (Some(Defect::RepeatsFrame), 10) => 9,
            (_, frame) => frame,
        };
        let frame = &frames[number];
        position.frame += 1;
        let with_digits = [format!("{:05}", frame.len()).as_bytes(), frame].concat();
        let payload: &[u8] = match self.shared.behaviour.defect {
            Some(Defect::DigitsBeforeFrame) => &with_digits,
            Some(Defect::CutFrames) => &frame[..frame.len() / 2],
            _ => frame,
        };
        let fragments = self.shared.behaviour.fragments;
        if fragments == Fragments::Off || has(Defect::WholeFrames) {
            self.send_packet(&mut position, payload, true);
        } else {
            let count = payload.len().div_ceil(FRAGMENT);
            let wanted = fragments == Fragments::SameSeq;
            let same = if has(Defect::OtherNumbers) { !wanted } else { wanted };
            for (at, fragment) in payload.chunks(FRAGMENT).enumerate() {
                let last = at + 1 == count;
                let before = position.number;
                self.send_packet(&mut position, fragment, last);
                if same && !last {
                    position.number = before;
                }
            }
        }
        position.timestamp = position.timestamp.wrapping_add(4500);
        true
    }

    fn send_packet(&self, position: &mut Position, payload: &[u8], last: bool) {
        let has = |defect| self.shared.has(defect);
        let number = match self.shared.behaviour.defect {
            Some(Defect::NumbersAre0) => 0,
            Some(Defect::NumbersAre1) => 1,
            _ => position.number,
        };
        let mut header = [0x80, 26, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        match self.shared.behaviour.defect {
            Some(Defect::Version0) => header[0] = 0,
            Some(Defect::PaddingBit) => header[0] |= 0x20,
            Some(Defect::ExtensionBit) => header[0] |= 0x10,
            Some(Defect::CsrcCount) => header[0] |= 1,
            Some(Defect::PayloadType0) => header[1] = 0,
            _ => {}
        }
        let marker = match self.shared.behaviour.defect {
            Some(Defect::MarkerChanges) => number.is_multiple_of(2),
            Some(Defect::NoMarker) => false,
            _ => last,
        };
        header[1] |= u8::from(marker) << 7;
        let bytes =
            if has(Defect::LowByteFirst) { number.to_le_bytes() } else { number.to_be_bytes() };
        header[2..4].copy_from_slice(&bytes);
        let timestamp = match self.shared.behaviour.defect {
            Some(Defect::FixedTimestamp) => 77,
            Some(Defect::RandomTimestamp) => u32::from(number).pow(2).wrapping_mul(2_654_435_761),
            _ => position.timestamp,
        };
        header[4..8].copy_from_slice(&timestamp.to_be_bytes());
        let fresh = if has(Defect::NewSsrcInEachPacket) { u32::from(number) } else { 0 };
        let is_0 = self.shared.behaviour.habit == Some(Habit::SsrcIs0);
        let ssrc = if is_0 { 0 } else { self.ssrc + fresh };
        header[8..12].copy_from_slice(&ssrc.to_be_bytes());
        position.number = position.number.wrapping_add(if has(Defect::StepsByTwo) { 2 } else { 1 });
        if has(Defect::NoPackets) || has(Defect::LosesPackets) && number.is_multiple_of(9) {
            return;
        }
        let port = match self.shared.behaviour.defect {
            Some(Defect::FixedPort) => 25_000,
            Some(Defect::OnePortForAll) => self.shared.last_port.load(Ordering::SeqCst),
            _ => self.port,
        };
        position.sent += 1;
        let packet = [&header[..], payload].concat();
        // The client may have gone.
        let _ = self.socket.send_to(&packet, (self.peer, port));
    }
}
