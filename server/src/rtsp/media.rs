// SPDX-License-Identifier: MIT OR Apache-2.0
//! Media that do not take one seek's end for another's.

use glib::subclass::prelude::*;
use gst::prelude::*;
use gst_rtsp_server::prelude::*;
use gst_rtsp_server::subclass::prelude::*;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

glib::wrapper! {
    /// A media that survives quick seeks.
    pub struct GuardedMedia(ObjectSubclass<imp::GuardedMedia>) @extends gst_rtsp_server::RTSPMedia;
}

/// Logs what an element warns of; once, since each viewer's own elements say it again.
fn say_once(text: &str) {
    const KEPT: usize = 64;
    static SAID: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if !said.iter().any(|it| it == text) {
        said.truncate(KEPT - 1);
        said.push_front(text.to_owned());
        drop(said);
        tracing::warn!("{text}");
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
            if let gst::MessageView::Warning(warning) = message.view() {
                say_once(&warning.error().to_string());
            }
            self.parent_handle_message(message)
        }
    }
}
