// SPDX-License-Identifier: MIT OR Apache-2.0

use super::Refused;
use crate::border;
use crate::jpeg::writable;
use crate::movie::LengthPrefix;
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default, Clone, Copy)]
struct Settings {
    oversize: Refused,
    bad_frames: Refused,
}

#[derive(Debug, Default)]
struct State {
    begun: bool,
    /// Images that have come.
    came: u64,
    frames: u64,
    bytes: u64,
    dropped: u64,
}

pub struct MjpegFileMux {
    sink: gst::Pad,
    src: gst::Pad,
    settings: Mutex<Settings>,
    state: Mutex<State>,
}

#[glib::object_subclass]
impl ObjectSubclass for MjpegFileMux {
    const NAME: &'static str = "GstMjpegFileMux";
    type Type = super::MjpegFileMux;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        let sink = gst::Pad::builder_from_template(&class.pad_template("sink").expect("declared"))
            .chain_function(|_, parent, buffer| {
                Self::catch_panic_pad_function(
                    parent,
                    || Err(gst::FlowError::Error),
                    |this| this.chain(buffer),
                )
            })
            .event_function(|pad, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |this| this.event(pad, event))
            })
            .build();
        let template = class.pad_template("src").expect("declared");
        let src = gst::Pad::builder_from_template(&template).build();
        Self { sink, src, settings: Mutex::default(), state: Mutex::default() }
    }
}

impl MjpegFileMux {
    fn settings(&self) -> Settings {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes have their own segment: the caps and it go out before the first of them.
    fn begin(&self) {
        if !std::mem::replace(&mut self.state().begun, true) {
            let caps = crate::typefind::movie_caps();
            self.src.push_event(gst::event::Caps::new(&caps));
            let segment = gst::FormattedSegment::<gst::format::Bytes>::new();
            self.src.push_event(gst::event::Segment::new(&segment));
        }
    }

    fn event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::Caps(_) | gst::EventView::Segment(_) => true,
            gst::EventView::Eos(_) => {
                self.begin();
                gst::Pad::event_default(pad, Some(&*self.obj()), event)
            }
            _ => gst::Pad::event_default(pad, Some(&*self.obj()), event),
        }
    }

    fn chain(&self, image: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let number = {
            let mut state = self.state();
            state.came += 1;
            state.came
        };
        let settings = self.settings();
        let prefix = match LengthPrefix::new(image.size()) {
            Ok(prefix) => prefix,
            Err(error) => return self.refuse(settings.oversize, number, &error.to_string()),
        };
        let judged = {
            let map = image.map_readable().map_err(|_| gst::FlowError::Error)?;
            writable(&map)
        };
        if let Err(error) = judged {
            return self.refuse(settings.bad_frames, number, &error.to_string());
        }
        self.begin();
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
        self.src.push(record)
    }

    fn refuse(
        &self,
        how: Refused,
        number: u64,
        why: &str,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        if how == Refused::Error {
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
                ("frame {number} is left out, others are only counted: {why}")
            );
        }
        Ok(gst::FlowSuccess::Ok)
    }
}

impl ObjectImpl for MjpegFileMux {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            vec![
                glib::ParamSpecEnum::builder_with_default("oversize", Refused::default())
                    .nick("Oversize")
                    .blurb("What becomes of an image over 99999 bytes")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecEnum::builder_with_default("bad-frames", Refused::default())
                    .nick("Bad frames")
                    .blurb("What becomes of an image that is progressive, damaged or cut")
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
        border::guarded(self, (), || {
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
            let obj = self.obj();
            for pad in [&self.sink, &self.src] {
                // A new element has no pads of these names.
                let _ = obj.add_pad(pad);
            }
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
                "Writes JPEG images as a movie, each behind the five digits of its length",
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
