// SPDX-License-Identifier: MIT OR Apache-2.0
//! Media that do not take one seek's end for another's.

use super::factory;
use glib::subclass::prelude::*;
use gst::prelude::*;
use gst_rtsp_server::prelude::*;
use gst_rtsp_server::subclass::prelude::*;
use gstmjpegfile::movie_file::{Lookup, MovieFile};
use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

glib::wrapper! {
    /// A media that survives quick seeks.
    pub struct GuardedMedia(ObjectSubclass<imp::GuardedMedia>) @extends gst_rtsp_server::RTSPMedia;
}

/// Logs something once, since each viewer's own elements say it again.
fn once(text: &str, log: impl FnOnce()) {
    const KEPT: usize = 256;
    static SAID: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if !said.iter().any(|it| it == text) {
        said.truncate(KEPT - 1);
        said.push_front(text.to_owned());
        drop(said);
        log();
    }
}

/// The path of the movie that a media shows.
fn path(media: &gst_rtsp_server::RTSPMedia) -> Option<String> {
    let source = media.element().downcast::<gst::Bin>().ok()?.by_name(factory::SOURCE)?;
    source.property("location")
}

/// Logs what elements say of the movie, each thing once.
fn log(media: &gst_rtsp_server::RTSPMedia, message: &gst::MessageRef) {
    match message.view() {
        // What rtpjpegprep warns of it also says by an element message, with more in it.
        gst::MessageView::Warning(warning)
            if message.src().is_none_or(|src| src.name() != factory::PREPARE) =>
        {
            let text = warning.error().to_string();
            once(&text, || tracing::warn!("{text}"));
        }
        gst::MessageView::Element(element) => {
            if let Some(kind) = element.structure().filter(|it| it.name() == "rtpjpegprep-kind") {
                log_kind(&path(media).unwrap_or_default(), kind);
            }
        }
        _ => {}
    }
}

/// Logs the first frame of a kind that is not carried as it is.
fn log_kind(path: &str, structure: &gst::StructureRef) {
    let text = |name| structure.get::<String>(name).unwrap_or_default();
    let (kind, way, reason) = (text("kind"), text("way"), text("reason"));
    let frame = structure.get::<u64>("frame").unwrap_or_default();
    once(&format!("{path}\0{kind}\0{way}"), || {
        if way == "dropped" {
            let offset = offset(path, frame);
            tracing::warn!(path, frame, offset, kind, "dropped, others are only counted: {reason}");
        } else {
            tracing::debug!(path, frame, kind, "{way}: {reason}");
        }
    });
}

/// The byte offset of frame `number`, from 1, if the index has it.
fn offset(path: &str, number: u64) -> Option<u64> {
    let movie = MovieFile::open(path.as_ref()).ok()?;
    let now = Some(std::time::Duration::ZERO);
    match movie.frame(number.checked_sub(1)?, &AtomicBool::new(false), now) {
        Lookup::Frame(location) => Some(location.offset),
        Lookup::End(_) | Lookup::Cancelled => None,
    }
}

/// Says in all how many frames were dropped for one viewer.
fn log_total(media: &gst_rtsp_server::RTSPMedia) {
    let bin = media.element().downcast::<gst::Bin>().ok();
    let Some(prepare) = bin.and_then(|bin| bin.by_name(factory::PREPARE)) else { return };
    let stats = prepare.property::<gst::Structure>("stats");
    let dropped = stats.get::<u64>("dropped").unwrap_or_default();
    if dropped > 0 {
        let path = path(media).unwrap_or_default();
        let kinds = stats.get::<gst::Structure>("kinds").map(|kinds| kinds.to_string());
        let kinds = kinds.unwrap_or_default();
        tracing::info!(path, dropped, kinds, "frames dropped in all for a viewer");
    }
}

mod imp {
    use super::*;

    #[derive(Default)]
    pub struct GuardedMedia;

    #[glib::object_subclass]
    impl ObjectSubclass for GuardedMedia {
        const NAME: &'static str = "MjpegRtspGuardedMedia";
        type Type = super::GuardedMedia;
        type ParentType = gst_rtsp_server::RTSPMedia;
    }

    impl ObjectImpl for GuardedMedia {}

    impl RTSPMediaImpl for GuardedMedia {
        /// gst-rtsp-server 1.22 takes an ASYNC_DONE that an earlier seek left behind for the
        /// present one's, then finds no segment on the pad and aborts (CVE-2024-44331). Such a
        /// message is dropped; the real one follows. `status()` must not be asked here: it
        /// waits for this very thread.
        fn handle_message(&self, message: &gst::MessageRef) -> bool {
            if message.type_() == gst::MessageType::AsyncDone {
                let media = self.obj();
                let flushed = (0..media.n_streams()).any(|index| {
                    let pad = media.stream(index).and_then(|stream| stream.srcpad());
                    let peer = pad.and_then(|pad| pad.peer());
                    peer.is_some_and(|pad| pad.sticky_event::<gst::event::Segment>(0).is_none())
                });
                if flushed {
                    return true;
                }
            }
            log(self.obj().upcast_ref(), message);
            self.parent_handle_message(message)
        }

        fn unprepared(&self) {
            log_total(self.obj().upcast_ref());
            self.parent_unprepared();
        }
    }
}
