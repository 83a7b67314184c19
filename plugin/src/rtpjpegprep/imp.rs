// SPDX-License-Identifier: MIT OR Apache-2.0

use super::cache::{self, Entry, Key};
use crate::border;
use crate::jpeg::{Conversion, Prepared, prepare, prepared_size};
use crate::movie::EOI;
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::subclass::base_transform::{BaseTransformMode, GenerateOutputSuccess};
use gst_base::subclass::prelude::*;
use std::collections::BTreeMap;
use std::path::PathBuf;
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

#[derive(Debug, Default, Clone)]
struct Settings {
    keep_size: bool,
    cache_key: Option<String>,
}

#[derive(Debug, Default)]
struct State {
    /// Frames that have come.
    frames: u64,
    /// The size of the first one that was sent, in pixels.
    size: Option<(u16, u16)>,
    ways: BTreeMap<&'static str, u64>,
    dropped: u64,
    kinds: BTreeMap<&'static str, u64>,
}

#[derive(Default)]
pub struct RtpJpegPrep {
    settings: Mutex<Settings>,
    state: Mutex<State>,
}

#[glib::object_subclass]
impl ObjectSubclass for RtpJpegPrep {
    const NAME: &'static str = "GstRtpJpegPrep";
    type Type = super::RtpJpegPrep;
    type ParentType = gst_base::BaseTransform;
}

impl RtpJpegPrep {
    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

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
            stats.set(way.name(), state.ways.get(way.name()).copied().unwrap_or(0));
        }
        stats.set("dropped", state.dropped);
        stats.set("kinds", kinds);
        stats
    }

    /// The size that a session keeps, once it has one.
    fn kept_size(&self) -> Option<(u16, u16)> {
        let keep = self.settings().keep_size;
        self.state().size.filter(|_| keep)
    }

    /// Remembers the size of the first frame that is sent.
    fn keep_first_size(&self, sent: &gst::Buffer) {
        if self.state().size.is_none() {
            let size = sent.map_readable().ok().and_then(|map| crate::jpeg::frame_size(&map));
            self.state().size = size;
        }
    }

    /// What is sent for a buffer: from the cache, if it has a key and an offset.
    fn entry(&self, buffer: &gst::Buffer) -> Result<Entry, gst::FlowError> {
        let map = buffer.map_readable().map_err(|_| gst::FlowError::Error)?;
        let size = self.kept_size();
        let make = || match prepare(&map, size) {
            Ok(Prepared::AsIs(image)) => {
                Entry::AsIs { length: image.bytes().len(), lacks_eoi: image.lacks_eoi() }
            }
            Ok(Prepared::Made { jpeg, conversion: way, reason, .. }) => {
                Entry::Made { image: gst::Buffer::from_slice(jpeg), way, reason }
            }
            Err(unusable) => Entry::Dropped(unusable),
        };
        let movie = self.settings().cache_key.clone();
        Ok(match (movie, buffer.offset()) {
            (Some(movie), frame) if frame != NO_OFFSET => {
                cache::get(&Key { movie, frame, size }, make)
            }
            _ => make(),
        })
    }

    /// Counts what became of frame `number`; says so if it is the first of its kind.
    fn count(&self, entry: &Entry, number: u64) {
        let (way, kind) = match entry {
            Entry::AsIs { .. } => (Some(Conversion::AsIs), None),
            Entry::Made { way, reason, .. } => (Some(*way), Some(reason.kind())),
            Entry::Dropped(why) => (None, Some(why.kind())),
        };
        let first = {
            let mut state = self.state();
            match way {
                Some(way) => *state.ways.entry(way.name()).or_default() += 1,
                None => state.dropped += 1,
            }
            kind.is_some_and(|kind| {
                let count = state.kinds.entry(kind).or_default();
                *count += 1;
                *count == 1
            })
        };
        let (way, reason) = match entry {
            Entry::Dropped(why) if first => {
                gst::element_imp_warning!(
                    self,
                    gst::StreamError::Decode,
                    ("frame {number} dropped, others like it are only counted: {why}")
                );
                ("dropped", why.to_string())
            }
            Entry::Made { way, reason, .. } if first => (way.describe(), reason.to_string()),
            _ => return,
        };
        let structure = gst::Structure::builder("rtpjpegprep-kind")
            .field("frame", number)
            .field("kind", kind.unwrap_or_default())
            .field("way", way)
            .field("reason", reason)
            .build();
        let obj = self.obj();
        let _ = obj.post_message(gst::message::Element::builder(structure).src(&*obj).build());
    }
}

/// The buffer itself, or the `length` bytes of its image alone, with EOI.
fn trimmed(buffer: gst::Buffer, length: usize, lacks_eoi: bool) -> Option<gst::Buffer> {
    if length == buffer.size() && !lacks_eoi {
        return Some(buffer);
    }
    // Shares the memory.
    let mut image = buffer.copy_region(gst::BufferCopyFlags::all(), ..length).ok()?;
    if lacks_eoi {
        image.get_mut()?.append_memory(gst::Memory::from_slice(EOI));
    }
    Some(image)
}

/// The made image with the buffer's timestamps and offsets.
fn stamped(image: &gst::Buffer, buffer: &gst::Buffer) -> Option<gst::Buffer> {
    let mut out = image.copy();
    let flags =
        gst::BufferCopyFlags::FLAGS | gst::BufferCopyFlags::TIMESTAMPS | gst::BufferCopyFlags::META;
    buffer.copy_into(out.get_mut()?, flags, ..).ok()?;
    let stamped = out.get_mut()?;
    stamped.set_offset(buffer.offset());
    stamped.set_offset_end(buffer.offset_end());
    Some(out)
}

/// A cache key; `None` for one that is not UTF-8. A path is what takes any bytes.
fn key_of(value: &glib::Value) -> Option<String> {
    value.get::<Option<PathBuf>>().ok()??.into_os_string().into_string().ok()
}

impl ObjectImpl for RtpJpegPrep {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            vec![
                glib::ParamSpecBoolean::builder("keep-size")
                    .nick("Keep size")
                    .blurb("Scale later frames to the size of the first one")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecString::builder("cache-key")
                    .nick("Cache key")
                    .blurb("Names the movie that the frames are of: prepared once for all elements with the same key")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
                    .nick("Statistics")
                    .blurb("Counters of frames: as-is, exact, luma-exact, lossy, dropped, and by kind")
                    .read_only()
                    .build(),
            ]
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        border::guarded(self, (), || {
            let mut settings = self.settings();
            match pspec.name() {
                "keep-size" => settings.keep_size = value.get().unwrap_or_default(),
                "cache-key" => settings.cache_key = key_of(value),
                _ => {}
            }
        });
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        border::guarded(self, pspec.default_value().clone(), || match pspec.name() {
            "keep-size" => self.settings().keep_size.to_value(),
            "cache-key" => self.settings().cache_key.to_value(),
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
        let kept = self.kept_size();
        let mut out = gst::Caps::new_empty();
        for structure in caps.iter() {
            let mut structure = structure.to_owned();
            let side = |name| structure.get::<i32>(name).ok().and_then(|it| u16::try_from(it).ok());
            let size = side("width").zip(side("height"));
            structure.remove_fields(["width", "height", "parsed"]);
            if direction == gst::PadDirection::Sink {
                structure.set("parsed", true);
                let sent = size.map(|(width, height)| prepared_size(width, height));
                if let Some((width, height)) = kept.or(sent) {
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
        let entry = self.entry(&buffer)?;
        let number = {
            let mut state = self.state();
            state.frames += 1;
            let counted = state.frames;
            let offset = buffer.offset();
            if offset == NO_OFFSET { counted } else { offset + 1 }
        };
        self.count(&entry, number);
        gst::log!(CAT, imp = self, "frame {number}: {entry:?}");
        let out = match entry {
            Entry::Dropped(_) => return Ok(GenerateOutputSuccess::Dropped),
            Entry::AsIs { length, lacks_eoi } => trimmed(buffer, length, lacks_eoi),
            Entry::Made { image, .. } => stamped(&image, &buffer),
        };
        let out = out.ok_or(gst::FlowError::Error)?;
        self.keep_first_size(&out);
        Ok(GenerateOutputSuccess::Buffer(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn a_cache_key_that_is_not_utf8_is_none() {
        let path = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes)).to_value();
        assert_eq!(key_of(&path(b"movie")), Some("movie".to_owned()));
        assert_eq!(key_of(&path(b"movie\xff")), None);
        assert_eq!(key_of(&None::<String>.to_value()), None);
    }
}
