// SPDX-License-Identifier: MIT OR Apache-2.0
//! Stands before the payloader, which trusts its input: a frame that would crash or fool it, or
//! that the chosen way cannot carry, is dropped and counted; the log names the first of a kind.

use crate::carriage::Carriage;
use gst::prelude::*;
use gstmjpegfile::jpeg::{Carried, Damage, NotCarried, Refusal, check};
use std::collections::HashMap;
use std::mem::{Discriminant, discriminant};
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Debug, PartialEq, Eq, Hash)]
enum Kind {
    Damaged(Discriminant<Damage>),
    NotCarried(Discriminant<NotCarried>),
}

/// One mount's gate; its counts are of all viewers.
#[derive(Debug)]
pub struct FrameGate {
    mount: String,
    dropped: Mutex<HashMap<Kind, u64>>,
}

impl FrameGate {
    pub fn new(mount: &str) -> Self {
        Self { mount: mount.to_owned(), dropped: Mutex::default() }
    }

    /// Checks each frame that leaves `pad`.
    pub fn attach(self: &Arc<Self>, pad: &gst::Pad, carriage: Carriage) {
        let gate = self.clone();
        let end = Arc::new(Mutex::new(None));
        hold_the_end(pad, &end);
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let Some(buffer) = info.buffer() else { return gst::PadProbeReturn::Ok };
            *end.lock().unwrap_or_else(PoisonError::into_inner) =
                buffer.pts().zip(buffer.duration()).map(|(pts, duration)| pts + duration);
            let checked = match buffer.map_readable() {
                Ok(map) => check(&map),
                Err(_) => return gst::PadProbeReturn::Drop,
            };
            match (checked, carriage) {
                (Ok(carried), Carriage::AsIs) => {
                    if let Some(trimmed) = trim(buffer, carried) {
                        info.data = Some(gst::PadProbeData::Buffer(trimmed));
                    }
                    gst::PadProbeReturn::Ok
                }
                (Ok(_), Carriage::Encoded { .. }) => gst::PadProbeReturn::Ok,
                (Err(refusal), Carriage::Encoded { .. }) if refusal.is_decodable() => {
                    gst::PadProbeReturn::Ok
                }
                (Err(refusal), _) => {
                    gate.dropped(refusal, buffer.offset());
                    gst::PadProbeReturn::Drop
                }
            }
        });
    }

    fn dropped(&self, refusal: Refusal, frame: u64) {
        let kind = match refusal {
            Refusal::Damaged(damage) => Kind::Damaged(discriminant(&damage)),
            Refusal::NotCarried(reason) => Kind::NotCarried(discriminant(&reason)),
        };
        let first = {
            let mut dropped = self.dropped.lock().unwrap_or_else(PoisonError::into_inner);
            let count = dropped.entry(kind).or_default();
            *count += 1;
            *count == 1
        };
        if first {
            tracing::warn!(
                mount = %self.mount, frame = frame + 1,
                "frame dropped, others like it are only counted: {refusal}"
            );
        }
    }
}

impl Drop for FrameGate {
    fn drop(&mut self) {
        let dropped = self.dropped.lock().unwrap_or_else(PoisonError::into_inner);
        let total: u64 = dropped.values().sum();
        if total > 0 {
            tracing::info!(mount = %self.mount, frames = total, kinds = dropped.len(), "dropped in all");
        }
    }
}

/// Lets the last frame last: RTP packets have no duration, so that the end of the stream, and
/// with it RTCP BYE, would follow the last packet at once, and ffmpeg 5.1 drops what it has not
/// read by then. A sink waits for the time of a gap before it takes what comes after it.
fn hold_the_end(pad: &gst::Pad, end: &Arc<Mutex<Option<gst::ClockTime>>>) {
    let end = end.clone();
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |pad, info| {
        if info.event().is_some_and(|event| event.type_() == gst::EventType::Eos) {
            let end = end.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(end) = end {
                pad.push_event(gst::event::Gap::new(end, gst::ClockTime::ZERO));
            }
        }
        gst::PadProbeReturn::Ok
    });
}

/// The first image of the buffer alone, with EOI; `None` if it is that already.
fn trim(buffer: &gst::Buffer, carried: Carried) -> Option<gst::Buffer> {
    if carried.length == buffer.size() && !carried.lacks_eoi {
        return None;
    }
    // Shares the memory.
    let mut trimmed = buffer.copy_region(gst::BufferCopyFlags::all(), ..carried.length).ok()?;
    if carried.lacks_eoi {
        trimmed.get_mut()?.append_memory(gst::Memory::from_slice([0xff, 0xd9]));
    }
    Some(trimmed)
}
