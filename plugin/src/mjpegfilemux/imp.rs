// SPDX-License-Identifier: MIT OR Apache-2.0

use super::RejectPolicy;
use crate::border;
use crate::jpeg::writable;
use crate::movie::LengthPrefix;
use crate::pads::{HeldEvents, Pads, SinkPad};
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default, Clone, Copy)]
struct Settings {
    oversize: RejectPolicy,
    bad_frames: RejectPolicy,
}

#[derive(Debug, Default)]
struct State {
    /// The caps and the segment have been sent.
    started: bool,
    /// Sequence number of the last segment event received.
    segment_seqnum: Option<gst::Seqnum>,
    held: HeldEvents,
    /// Number of images received.
    received: u64,
    frames: u64,
    bytes: u64,
    dropped: u64,
}

pub struct MjpegFileMux {
    pads: Pads,
    settings: Mutex<Settings>,
    state: Mutex<State>,
}

#[glib::object_subclass]
impl ObjectSubclass for MjpegFileMux {
    const NAME: &'static str = "GstMjpegFileMux";
    type Type = super::MjpegFileMux;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        Self { pads: Pads::new::<Self>(class), settings: Mutex::default(), state: Mutex::default() }
    }
}

impl MjpegFileMux {
    fn settings(&self) -> Settings {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends the caps, a segment in bytes and the events held back, before the first buffer.
    fn start(&self) {
        let (held, seqnum) = {
            let mut state = self.state();
            if std::mem::replace(&mut state.started, true) {
                return;
            }
            (state.held.release(), state.segment_seqnum)
        };
        let caps = crate::typefind::movie_caps();
        self.pads.src.push_event(gst::event::Caps::new(&caps));
        let segment = gst::FormattedSegment::<gst::format::Bytes>::new();
        let event = gst::event::Segment::builder(&segment).seqnum_if_some(seqnum).build();
        self.pads.src.push_event(event);
        for event in held {
            self.pads.src.push_event(event);
        }
    }

    fn reject(
        &self,
        policy: RejectPolicy,
        number: u64,
        why: &str,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        if policy == RejectPolicy::Error {
            gst::element_imp_error!(self, gst::StreamError::Mux, ("frame {number}: {why}"));
            return Err(gst::FlowError::Error);
        }
        let first = {
            let mut state = self.state();
            state.dropped += 1;
            state.dropped == 1
        };
        if first {
            gst::element_imp_warning!(
                self,
                gst::StreamError::Mux,
                ("frame {number} dropped: {why} (further dropped frames are only counted)")
            );
        }
        Ok(gst::FlowSuccess::Ok)
    }
}

impl SinkPad for MjpegFileMux {
    fn chain(&self, image: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let number = {
            let mut state = self.state();
            state.received += 1;
            state.received
        };
        let settings = self.settings();
        let prefix = match LengthPrefix::new(image.size()) {
            Ok(prefix) => prefix,
            Err(error) => return self.reject(settings.oversize, number, &error.to_string()),
        };
        let checked = {
            let map = image.map_readable().map_err(|_| gst::FlowError::Error)?;
            writable(&map)
        };
        if let Err(error) = checked {
            return self.reject(settings.bad_frames, number, &error.to_string());
        }
        self.start();
        let mut record = gst::Buffer::from_slice(prefix.to_bytes());
        let timing = gst::BufferCopyFlags::TIMESTAMPS;
        let stamped = record.get_mut().ok_or(gst::FlowError::Error)?;
        image.copy_into(stamped, timing, ..).map_err(|_| gst::FlowError::Error)?;
        // The image's memory is not copied.
        record.append(image);
        {
            let mut state = self.state();
            let stamped = record.get_mut().ok_or(gst::FlowError::Error)?;
            stamped.set_offset(state.bytes);
            state.frames += 1;
            state.bytes += stamped.size() as u64;
            stamped.set_offset_end(state.bytes);
        }
        self.pads.src.push(record)
    }

    fn sink_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::Caps(_) => return true,
            gst::EventView::Segment(_) => {
                self.state().segment_seqnum = Some(event.seqnum());
                return true;
            }
            gst::EventView::Eos(_) => self.start(),
            // A flush removes the segment from the pad.
            gst::EventView::FlushStop(_) => self.state().started = false,
            _ => {}
        }
        let held = self.state().held.hold(event);
        match held {
            Some(event) => gst::Pad::event_default(pad, Some(&*self.obj()), event),
            None => true,
        }
    }
}

impl ObjectImpl for MjpegFileMux {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            vec![
                glib::ParamSpecEnum::builder_with_default("oversize", RejectPolicy::default())
                    .nick("Oversize")
                    .blurb("What to do with an image over 99999 bytes")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecEnum::builder_with_default("bad-frames", RejectPolicy::default())
                    .nick("Bad frames")
                    .blurb("What to do with an image that is progressive, damaged or cut off")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
                    .nick("Statistics")
                    .blurb("Counters: frames, bytes, dropped")
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
                "oversize" => settings.oversize = value.get().unwrap_or_default(),
                "bad-frames" => settings.bad_frames = value.get().unwrap_or_default(),
                _ => {}
            }
        });
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        border::guarded(self, pspec.default_value().clone(), || match pspec.name() {
            "oversize" => self.settings().oversize.to_value(),
            "bad-frames" => self.settings().bad_frames.to_value(),
            _ => {
                let state = self.state();
                gst::Structure::builder("mjpegfilemux-stats")
                    .field("frames", state.frames)
                    .field("bytes", state.bytes)
                    .field("dropped", state.dropped)
                    .build()
                    .to_value()
            }
        })
    }

    fn constructed(&self) {
        self.parent_constructed();
        border::guarded(self, (), || {
            self.pads.add_to(&*self.obj());
        });
    }
}

impl GstObjectImpl for MjpegFileMux {}

impl ElementImpl for MjpegFileMux {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Length-prefixed MJPEG movie muxer",
                "Codec/Muxer",
                "Writes JPEG images as a movie, each after five digits with its length",
                "The mjpeg-rtsp authors",
            )
        });
        Some(&*METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let jpeg = gst::Caps::new_empty_simple("image/jpeg");
            let movie = crate::typefind::movie_caps();
            crate::pads::templates(&jpeg, &movie)
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
