// SPDX-License-Identifier: MIT OR Apache-2.0

use super::Oversize;
use crate::border;
use crate::jpeg::{first_image, reduce_within};
use crate::movie::Nanoseconds;
use crate::pads::{Pads, SinkPad};
use crate::rtp::{LabPacketizer, MAX_LAB_FRAME, PAYLOAD_TYPE_JPEG, VIDEO_CLOCK_RATE};
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "rtplabpay",
        gst::DebugColorFlags::empty(),
        Some("One JPEG, one RTP packet"),
    )
});

#[derive(Debug, Clone, Copy)]
struct Settings {
    pt: u8,
    /// A random one is used if it is not set.
    ssrc: Option<u32>,
    oversize: Oversize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { pt: PAYLOAD_TYPE_JPEG, ssrc: None, oversize: Oversize::default() }
    }
}

#[derive(Debug, Default)]
struct State {
    packetizer: Option<LabPacketizer>,
    segment: gst::FormattedSegment<gst::ClockTime>,
    seqnum: u16,
    timestamp: u32,
    packets: u64,
    bytes: u64,
    shrunk: u64,
    dropped: u64,
}

pub struct RtpLabPay {
    pads: Pads,
    settings: Mutex<Settings>,
    state: Mutex<State>,
}

#[glib::object_subclass]
impl ObjectSubclass for RtpLabPay {
    const NAME: &'static str = "GstRtpLabPay";
    type Type = super::RtpLabPay;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        Self { pads: Pads::new::<Self>(class), settings: Mutex::default(), state: Mutex::default() }
    }
}

impl RtpLabPay {
    fn settings(&self) -> Settings {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn caps(&self) -> gst::Caps {
        gst::Caps::builder("application/x-rtp")
            .field("media", "video")
            .field("payload", i32::from(self.settings().pt))
            .field("clock-rate", i32::try_from(VIDEO_CLOCK_RATE).unwrap_or(i32::MAX))
            .field("encoding-name", "X-LAB-JPEG")
            .build()
    }

    /// An image that fits into one datagram; `None` if the frame is dropped.
    fn fitting(
        &self,
        buffer: &gst::Buffer,
        oversize: Oversize,
    ) -> Result<Option<gst::Buffer>, gst::FlowError> {
        if buffer.size() <= MAX_LAB_FRAME {
            return Ok(Some(buffer.clone()));
        }
        let smaller = {
            let map = buffer.map_readable().map_err(|_| gst::FlowError::Error)?;
            // Receivers show only the first image.
            let length = first_image(&map).len();
            if length <= MAX_LAB_FRAME {
                let image = buffer.copy_region(gst::BufferCopyFlags::all(), ..length);
                return image.map(Some).map_err(|_| gst::FlowError::Error);
            }
            match oversize {
                Oversize::Shrink => Some(reduce_within(&map, MAX_LAB_FRAME)),
                Oversize::Drop => None,
            }
        };
        let (first, what) = {
            let mut state = self.state();
            let (count, what) = match &smaller {
                Some(smaller) => (&mut state.shrunk, smaller.reduction.to_string()),
                None => (&mut state.dropped, "dropped".to_owned()),
            };
            *count += 1;
            (*count == 1, what)
        };
        if first {
            let size = buffer.size();
            gst::element_imp_warning!(
                self,
                gst::StreamError::Encode,
                ("a frame of {size} bytes is {what}: a datagram holds {MAX_LAB_FRAME} (further frames like it are only counted)")
            );
        }
        Ok(smaller.map(|smaller| gst::Buffer::from_slice(smaller.jpeg)))
    }

    /// The packet: a header, then the image, whose bytes are not copied.
    fn packet(
        &self,
        buffer: &gst::Buffer,
        image: gst::Buffer,
        settings: Settings,
    ) -> Option<gst::Buffer> {
        let mut state = self.state();
        let time = buffer.pts().and_then(|pts| state.segment.to_running_time(pts));
        let time = time.unwrap_or_default().nseconds();
        let ssrc = || settings.ssrc.unwrap_or_else(glib::random_int);
        let packetizer = state.packetizer.get_or_insert_with(|| LabPacketizer::new(ssrc()));
        let mut header = packetizer.header(Nanoseconds::new(time));
        header.payload_type = settings.pt;
        (state.seqnum, state.timestamp) = (header.sequence_number, header.timestamp.ticks());
        let mut packet = gst::Buffer::from_slice(header.to_bytes());
        packet.append(image);
        state.packets += 1;
        state.bytes += packet.size() as u64;
        drop(state);
        let stamped = packet.get_mut()?;
        let flags = gst::BufferCopyFlags::FLAGS | gst::BufferCopyFlags::TIMESTAMPS;
        buffer.copy_into(stamped, flags, ..).ok()?;
        stamped.set_flags(gst::BufferFlags::MARKER);
        Some(packet)
    }

    fn stats(&self) -> gst::Structure {
        let state = self.state();
        gst::Structure::builder("rtplabpay-stats")
            .field("packets", state.packets)
            .field("bytes", state.bytes)
            .field("shrunk", state.shrunk)
            .field("dropped", state.dropped)
            .build()
    }
}

impl SinkPad for RtpLabPay {
    fn chain(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let settings = self.settings();
        let Some(image) = self.fitting(&buffer, settings.oversize)? else {
            return Ok(gst::FlowSuccess::Ok);
        };
        let packet = self.packet(&buffer, image, settings).ok_or(gst::FlowError::Error)?;
        gst::log!(CAT, imp = self, "packet of {} bytes", packet.size());
        self.pads.src.push(packet)
    }

    fn sink_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::Caps(_) => {
                return self.pads.src.push_event(gst::event::Caps::new(&self.caps()));
            }
            gst::EventView::Segment(segment) => {
                if let Some(segment) = segment.segment().downcast_ref() {
                    self.state().segment = segment.clone();
                }
            }
            _ => {}
        }
        gst::Pad::event_default(pad, Some(&*self.obj()), event)
    }
}

impl ObjectImpl for RtpLabPay {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            vec![
                glib::ParamSpecUInt::builder("pt")
                    .nick("Payload type")
                    .blurb("The payload type of the packets")
                    .maximum(127)
                    .default_value(u32::from(PAYLOAD_TYPE_JPEG))
                    .mutable_ready()
                    .build(),
                glib::ParamSpecUInt::builder("ssrc")
                    .nick("SSRC")
                    .blurb("The synchronization source of the packets; random if it is not set")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecEnum::builder_with_default("oversize", Oversize::default())
                    .nick("Oversize")
                    .blurb("What to do with a frame that is too large for a datagram")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecUInt::builder("seqnum")
                    .nick("Sequence number")
                    .blurb("The sequence number of the last packet")
                    .read_only()
                    .build(),
                glib::ParamSpecUInt::builder("timestamp")
                    .nick("Timestamp")
                    .blurb("The timestamp of the last packet, in ticks of 90 kHz")
                    .read_only()
                    .build(),
                glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
                    .nick("Statistics")
                    .blurb("Counters: packets, bytes, shrunk, dropped")
                    .read_only()
                    .build(),
            ]
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        border::set_property(self, pspec, || {
            let mut settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
            match pspec.name() {
                "pt" => {
                    let pt = value.get::<u32>().ok().and_then(|pt| u8::try_from(pt).ok());
                    settings.pt = pt.unwrap_or(PAYLOAD_TYPE_JPEG);
                }
                "ssrc" => settings.ssrc = value.get().ok(),
                "oversize" => settings.oversize = value.get().unwrap_or_default(),
                _ => {}
            }
        });
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        border::guarded(self, pspec.default_value().clone(), || match pspec.name() {
            "pt" => u32::from(self.settings().pt).to_value(),
            "ssrc" => self.settings().ssrc.unwrap_or(0).to_value(),
            "oversize" => self.settings().oversize.to_value(),
            "seqnum" => u32::from(self.state().seqnum).to_value(),
            "timestamp" => self.state().timestamp.to_value(),
            _ => self.stats().to_value(),
        })
    }

    fn constructed(&self) {
        self.parent_constructed();
        border::guarded(self, (), || {
            self.pads.add_to(&*self.obj());
        });
    }
}

impl GstObjectImpl for RtpLabPay {}

impl ElementImpl for RtpLabPay {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Lab RTP payloader",
                "Codec/Payloader/Network/RTP",
                "One JPEG, one RTP packet, for clients of the networking course's lab",
                "The mjpeg-rtsp authors",
            )
        });
        Some(&*METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let jpeg = gst::Caps::new_empty_simple("image/jpeg");
            crate::pads::templates(&jpeg, &crate::rtplabdepay::rtp_caps())
        });
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        if transition == gst::StateChange::ReadyToPaused {
            *self.state() = State::default();
        }
        self.parent_change_state(transition)
    }
}
