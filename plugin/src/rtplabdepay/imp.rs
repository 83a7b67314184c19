// SPDX-License-Identifier: MIT OR Apache-2.0

use crate::border;
use crate::jpeg::frame_size;
use crate::movie::Nanoseconds;
use crate::movie_position;
use crate::pads::{HeldEvents, Pads, SinkPad};
use crate::rtp::{LabDepacketizer, MAX_REASSEMBLED, ReceivedFrame};
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "rtplabdepay",
        gst::DebugColorFlags::empty(),
        Some("Frames from lab RTP packets"),
    )
});

/// Returns the position of a frame in the movie, if it is known.
pub type PositionOf = Arc<dyn Fn(&ReceivedFrame) -> Option<gst::ClockTime> + Send + Sync>;

#[derive(Default)]
struct State {
    depacketizer: LabDepacketizer,
    /// Width and height in pixels in the source pad's caps.
    size: Option<(u16, u16)>,
    frames: u64,
    bytes: u64,
    /// Number of datagrams that are not RTP packets and of frames that are not pictures, lack their
    /// end or are larger than [`MAX_REASSEMBLED`].
    damaged: u64,
    /// Sequence number and timestamp of the last frame that was pushed.
    last: Option<(u16, u32)>,
    discont: bool,
    held: HeldEvents,
    position_of: Option<PositionOf>,
}

pub struct RtpLabDepay {
    pads: Pads,
    state: Mutex<State>,
}

#[glib::object_subclass]
impl ObjectSubclass for RtpLabDepay {
    const NAME: &'static str = "GstRtpLabDepay";
    type Type = super::RtpLabDepay;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        Self { pads: Pads::new::<Self>(class), state: Mutex::default() }
    }
}

/// A frame, with new caps if it has another size than the one before.
struct Output {
    caps: Option<gst::Caps>,
    buffer: gst::Buffer,
}

impl RtpLabDepay {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn reset(&self) {
        self.state().depacketizer.reset();
    }

    /// Attaches to each frame the position that `position_of` returns.
    pub fn set_positions(&self, position_of: PositionOf) {
        self.state().position_of = Some(position_of);
    }

    fn push(&self, frames: Vec<ReceivedFrame>) -> Result<gst::FlowSuccess, gst::FlowError> {
        for received in frames {
            let (number, length) = (received.sequence_number, received.jpeg.len());
            let position_of = self.state().position_of.clone();
            // A damaged frame has a number as well.
            let position = position_of.and_then(|position_of| position_of(&received));
            let Some(Output { caps, mut buffer }) = self.output(received) else {
                gst::warning!(
                    CAT,
                    imp = self,
                    "frame {number} dropped after {length} bytes: it is damaged, incomplete or larger \
                     than {MAX_REASSEMBLED} bytes"
                );
                continue;
            };
            if let Some(caps) = caps {
                self.pads.src.push_event(gst::event::Caps::new(&caps));
                let held = self.state().held.release();
                for event in held {
                    self.pads.src.push_event(event);
                }
            }
            gst::log!(CAT, imp = self, "frame {number}, {} bytes", buffer.size());
            if let Some(position) = position {
                movie_position::set(buffer.make_mut(), position);
            }
            self.pads.src.push(buffer)?;
        }
        Ok(gst::FlowSuccess::Ok)
    }

    /// The buffer for a frame; `None` if the frame is damaged.
    fn output(&self, received: ReceivedFrame) -> Option<Output> {
        let mut state = self.state();
        let size = frame_size(&received.jpeg).filter(|_| received.whole);
        let Some((width, height)) = size else {
            state.damaged += 1;
            state.discont = true;
            return None;
        };
        let caps = (state.size.replace((width, height)) != Some((width, height))).then(|| {
            gst::Caps::builder("image/jpeg")
                .field("parsed", true)
                .field("width", i32::from(width))
                .field("height", i32::from(height))
                .build()
        });
        state.frames += 1;
        state.last = Some((received.sequence_number, received.timestamp.ticks()));
        let mut buffer = gst::Buffer::from_slice(received.jpeg);
        let stamped = buffer.get_mut()?;
        stamped.set_pts(received.arrival.map(|it| gst::ClockTime::from_nseconds(it.get())));
        if std::mem::take(&mut state.discont) {
            stamped.set_flags(gst::BufferFlags::DISCONT);
        }
        Some(Output { caps, buffer })
    }

    /// Pushes the frames that wait for packets which overtook others.
    fn flush(&self) {
        let frames = self.state().depacketizer.flush();
        // The next buffer returns the same flow error.
        let _ = self.push(frames);
    }

    fn stats(&self) -> gst::Structure {
        let state = self.state();
        let counts = state.depacketizer.counts();
        let (number, timestamp) = state.last.unwrap_or_default();
        gst::Structure::builder("rtplabdepay-stats")
            .field("frames", state.frames)
            .field("packets", counts.received)
            .field("bytes", state.bytes)
            .field("lost", counts.lost)
            .field("repeated", counts.repeated)
            .field("late", counts.late)
            .field("damaged", state.damaged)
            .field("sequence-number", u32::from(number))
            .field("timestamp", timestamp)
            .build()
    }
}

impl SinkPad for RtpLabDepay {
    fn chain(&self, packet: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let received = {
            let map = packet.map_readable().map_err(|_| gst::FlowError::Error)?;
            let arrival = packet.pts().map(|pts| Nanoseconds::new(pts.nseconds()));
            let mut state = self.state();
            state.bytes += map.len() as u64;
            let pushed = state.depacketizer.push(&map, arrival);
            if pushed.is_err() {
                state.damaged += 1;
            }
            pushed
        };
        match received {
            Ok(frames) => self.push(frames),
            Err(error) => {
                gst::warning!(CAT, imp = self, "datagram dropped: {error}");
                Ok(gst::FlowSuccess::Ok)
            }
        }
    }

    fn sink_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        match event.view() {
            // The source pad's caps come with the first frame.
            gst::EventView::Caps(_) => return true,
            gst::EventView::Segment(_) | gst::EventView::Eos(_) => self.flush(),
            gst::EventView::Gap(_) => {
                self.flush();
                if self.state().held.wait_for_caps() {
                    return true;
                }
            }
            gst::EventView::FlushStop(_) => {
                let mut state = self.state();
                state.depacketizer.reset();
                state.discont = true;
                state.held.flush();
            }
            _ => {}
        }
        let held = self.state().held.hold(event);
        match held {
            Some(event) => gst::Pad::event_default(pad, Some(&*self.obj()), event),
            None => true,
        }
    }
}

impl ObjectImpl for RtpLabDepay {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            vec![
                glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
                    .nick("Statistics")
                    .blurb("Counters: frames, packets, bytes, lost, repeated, late, damaged")
                    .read_only()
                    .build(),
            ]
        });
        &PROPERTIES
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        border::guarded(self, pspec.default_value().clone(), || self.stats().to_value())
    }

    fn constructed(&self) {
        self.parent_constructed();
        border::guarded(self, (), || {
            self.pads.add_to(&*self.obj());
        });
    }
}

impl GstObjectImpl for RtpLabDepay {}

impl ElementImpl for RtpLabDepay {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Lab RTP depayloader",
                "Codec/Depayloader/Network/RTP",
                "Frames from the RTP packets of servers of the networking course's lab",
                "The mjpeg-rtsp authors",
            )
        });
        Some(&*METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let jpeg = gst::Caps::builder("image/jpeg").field("parsed", true).build();
            crate::pads::templates(&super::rtp_caps(), &jpeg)
        });
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        if transition == gst::StateChange::ReadyToPaused {
            let mut state = self.state();
            let position_of = state.position_of.take();
            *state = State { position_of, ..State::default() };
        }
        self.parent_change_state(transition)
    }
}
