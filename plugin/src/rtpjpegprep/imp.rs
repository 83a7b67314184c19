// SPDX-License-Identifier: MIT OR Apache-2.0

use crate::border;
use crate::jpeg::{Conversion, Prepared, Unusable, prepare, prepare_for_jpegdec, prepared_size};
use crate::movie::EOI;
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::subclass::base_transform::{BaseTransformMode, GenerateOutputSuccess};
use gst_base::subclass::prelude::*;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "rtpjpegprep",
        gst::DebugColorFlags::empty(),
        Some("Makes JPEGs fit RTP/JPEG"),
    )
});

/// A buffer's offset that is not set (GST_BUFFER_OFFSET_NONE).
const NO_OFFSET: u64 = u64::MAX;

#[derive(Debug, Default)]
struct State {
    /// Frames received.
    frames: u64,
    /// Width and height in pixels of the first frame that was sent.
    size: Option<(u16, u16)>,
    /// Frames sent, by the name of their conversion.
    sent: BTreeMap<&'static str, u64>,
    dropped: u64,
    /// Frames that were converted or dropped, by the kind of their reason.
    kinds: BTreeMap<&'static str, u64>,
}

#[derive(Default)]
pub struct RtpJpegPrep {
    /// The property `keep-size`.
    keep_size: AtomicBool,
    /// The property `for-decoder`.
    for_decoder: AtomicBool,
    state: Mutex<State>,
}

#[glib::object_subclass]
impl ObjectSubclass for RtpJpegPrep {
    const NAME: &'static str = "GstRtpJpegPrep";
    type Type = super::RtpJpegPrep;
    type ParentType = gst_base::BaseTransform;
}

impl RtpJpegPrep {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stats(&self) -> gst::Structure {
        let state = self.state();
        let mut kinds = gst::Structure::new_empty("kinds");
        for (kind, count) in &state.kinds {
            kinds.set(*kind, *count);
        }
        let mut stats = gst::Structure::new_empty("rtpjpegprep-stats");
        for way in Conversion::ALL {
            stats.set(way.name(), state.sent.get(way.name()).copied().unwrap_or(0));
        }
        stats.set("dropped", state.dropped);
        stats.set("kinds", kinds);
        stats
    }

    fn is_for_decoder(&self) -> bool {
        self.for_decoder.load(Ordering::Relaxed)
    }

    /// The size that all frames are scaled to: the first frame's, if `keep-size` is set.
    fn fixed_size(&self) -> Option<(u16, u16)> {
        let keep = self.keep_size.load(Ordering::Relaxed);
        self.state().size.filter(|_| keep)
    }

    /// Remembers the size of the first frame that is sent.
    fn remember_first_size(&self, size: (u16, u16)) {
        self.state().size.get_or_insert(size);
    }

    /// Counts a frame that passes as it is.
    fn count_same(&self) {
        *self.state().sent.entry(Conversion::AsIs.name()).or_default() += 1;
    }

    /// Counts frame `number`; reports it on the bus if it is the first of its kind.
    fn count(&self, prepared: Result<&Prepared<'_>, &Unusable>, number: u64) {
        let kind = match prepared {
            Ok(prepared) => prepared.reason().map(|reason| reason.kind()),
            Err(unusable) => Some(unusable.kind()),
        };
        let is_first = {
            let mut state = self.state();
            match prepared {
                Ok(prepared) => *state.sent.entry(prepared.conversion().name()).or_default() += 1,
                Err(_) => state.dropped += 1,
            }
            kind.is_some_and(|kind| {
                let count = state.kinds.entry(kind).or_default();
                *count += 1;
                *count == 1
            })
        };
        let Some(kind) = kind.filter(|_| is_first) else { return };
        let (conversion, reason) = match prepared {
            Ok(prepared) => {
                let reason = prepared.reason().map(|reason| reason.to_string());
                (prepared.conversion().describe(), reason.unwrap_or_default())
            }
            Err(unusable) => {
                gst::element_imp_warning!(
                    self,
                    gst::StreamError::Decode,
                    ("frame {number} dropped: {unusable} (further frames of this kind are only \
                         counted)")
                );
                ("dropped", unusable.to_string())
            }
        };
        let structure = gst::Structure::builder("rtpjpegprep-kind")
            .field("frame", number)
            .field("kind", kind)
            .field("conversion", conversion)
            .field("reason", reason)
            .build();
        let obj = self.obj();
        let _ = obj.post_message(gst::message::Element::builder(structure).src(&*obj).build());
    }
}

/// What is pushed for a frame.
enum Output {
    /// The first bytes of its buffer, and EOI if that is missing.
    Same {
        length: usize,
        lacks_eoi: bool,
    },
    New(Vec<u8>),
}

/// The buffer itself, or its image without the bytes after it and with EOI.
fn trimmed(buffer: gst::Buffer, length: usize, lacks_eoi: bool) -> Option<gst::Buffer> {
    if length == buffer.size() && !lacks_eoi {
        return Some(buffer);
    }
    // The new buffer shares the memory.
    let mut image = buffer.copy_region(gst::BufferCopyFlags::all(), ..length).ok()?;
    if lacks_eoi {
        image.get_mut()?.append_memory(gst::Memory::from_slice(EOI));
    }
    Some(image)
}

/// The new image with the timestamps and offsets of the buffer that it replaces.
fn stamped(mut image: gst::Buffer, buffer: &gst::Buffer) -> Option<gst::Buffer> {
    let flags =
        gst::BufferCopyFlags::FLAGS | gst::BufferCopyFlags::TIMESTAMPS | gst::BufferCopyFlags::META;
    let stamped = image.get_mut()?;
    buffer.copy_into(stamped, flags, ..).ok()?;
    stamped.set_offset(buffer.offset());
    stamped.set_offset_end(buffer.offset_end());
    Some(image)
}

/// The frame as `jpegdec` of GStreamer 1.22 shows it as libjpeg does, in its size; `None` if `jpegdec`
/// shows it as it is, or if nothing can be made of it. For pad probes of programs that do not choose the
/// elements before a decoder.
pub fn for_jpegdec(frame: &gst::Buffer) -> Option<gst::Buffer> {
    let image = {
        let map = frame.map_readable().ok()?;
        let Prepared::Made { jpeg, .. } = prepare_for_jpegdec(&map)? else { return None };
        gst::Buffer::from_slice(jpeg)
    };
    stamped(image, frame)
}

impl ObjectImpl for RtpJpegPrep {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            vec![
                glib::ParamSpecBoolean::builder("keep-size")
                    .nick("Keep size")
                    .blurb("Fit later frames into the size of the first one, with black bars")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecBoolean::builder("for-decoder")
                    .nick("For decoder")
                    .blurb("Convert only images that jpegdec cannot show; drop none")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
                    .nick("Statistics")
                    .blurb(
                        "Counters of frames: as-is, exact, luma-exact, lossy, dropped, and by kind",
                    )
                    .read_only()
                    .build(),
            ]
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        border::set_property(self, pspec, || {
            let property = match pspec.name() {
                "keep-size" => &self.keep_size,
                _ => &self.for_decoder,
            };
            property.store(value.get().unwrap_or_default(), Ordering::Relaxed);
        });
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        border::guarded(self, pspec.default_value().clone(), || match pspec.name() {
            "keep-size" => self.keep_size.load(Ordering::Relaxed).to_value(),
            "for-decoder" => self.is_for_decoder().to_value(),
            _ => self.stats().to_value(),
        })
    }
}

impl GstObjectImpl for RtpJpegPrep {}

impl ElementImpl for RtpJpegPrep {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "JPEG preparer for RTP",
                "Filter/Converter/Video",
                "Makes every JPEG one that RTP/JPEG (RFC 2435) carries, luma untouched where there is a way",
                "The mjpeg-rtsp authors",
            )
        });
        Some(&*METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let any = gst::Caps::new_empty_simple("image/jpeg");
            let parsed = gst::Caps::builder("image/jpeg").field("parsed", true).build();
            crate::pads::templates(&any, &parsed)
        });
        &TEMPLATES
    }
}

impl BaseTransformImpl for RtpJpegPrep {
    const MODE: BaseTransformMode = BaseTransformMode::NeverInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn start(&self) -> Result<(), gst::ErrorMessage> {
        *self.state() = State::default();
        Ok(())
    }

    fn transform_caps(
        &self,
        direction: gst::PadDirection,
        caps: &gst::Caps,
        filter: Option<&gst::Caps>,
    ) -> Option<gst::Caps> {
        let (fixed, for_decoder) = (self.fixed_size(), self.is_for_decoder());
        let mut out = gst::Caps::new_empty();
        for structure in caps.iter() {
            let mut structure = structure.to_owned();
            let side = |name| structure.get::<i32>(name).ok().and_then(|it| u16::try_from(it).ok());
            let size = side("width").zip(side("height"));
            structure.remove_fields(["width", "height", "parsed"]);
            if direction == gst::PadDirection::Sink {
                structure.set("parsed", true);
                let sent = size.map(|(width, height)| {
                    if for_decoder { (width, height) } else { prepared_size(width, height) }
                });
                if let Some((width, height)) = fixed.or(sent) {
                    structure.set("width", i32::from(width));
                    structure.set("height", i32::from(height));
                }
            }
            out.merge_structure(structure);
        }
        Some(match filter {
            Some(filter) => filter.intersect_with_mode(&out, gst::CapsIntersectMode::First),
            None => out,
        })
    }

    fn generate_output(&self) -> Result<GenerateOutputSuccess, gst::FlowError> {
        let Some(buffer) = self.take_queued_buffer() else {
            return Ok(GenerateOutputSuccess::NoOutput);
        };
        let number = {
            let mut state = self.state();
            state.frames += 1;
            let counted = state.frames;
            let offset = buffer.offset();
            if offset == NO_OFFSET { counted } else { offset + 1 }
        };
        let (output, size) = {
            let map = buffer.map_readable().map_err(|_| gst::FlowError::Error)?;
            let fixed = self.fixed_size();
            let prepared = if self.is_for_decoder() {
                let Some(prepared) = prepare_for_jpegdec(&map) else {
                    self.count_same();
                    drop(map);
                    return Ok(GenerateOutputSuccess::Buffer(buffer));
                };
                Ok(prepared)
            } else {
                prepare(&map, fixed)
            };
            self.count(prepared.as_ref(), number);
            let prepared = match prepared {
                Ok(prepared) => prepared,
                Err(unusable) => {
                    gst::log!(CAT, imp = self, "frame {number}: {unusable}");
                    return Ok(GenerateOutputSuccess::Dropped);
                }
            };
            let size = prepared.image().size();
            let output = match prepared {
                Prepared::AsIs(image) => {
                    Output::Same { length: image.bytes().len(), lacks_eoi: image.lacks_eoi() }
                }
                Prepared::Made { jpeg, .. } => Output::New(jpeg),
            };
            (output, size)
        };
        let out = match output {
            Output::Same { length, lacks_eoi } => trimmed(buffer, length, lacks_eoi),
            Output::New(jpeg) => stamped(gst::Buffer::from_slice(jpeg), &buffer),
        };
        let out = out.ok_or(gst::FlowError::Error)?;
        self.remember_first_size(size);
        Ok(GenerateOutputSuccess::Buffer(out))
    }
}
