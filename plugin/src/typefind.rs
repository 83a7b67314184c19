// SPDX-License-Identifier: MIT OR Apache-2.0
//! The type finder: movies are known by their first records or images, whatever their name.

use crate::movie::{Confidence, recognise};
use gst::glib;

/// Caps of movies. The name is this project's own: there is no common one.
pub(crate) fn movie_caps() -> gst::Caps {
    gst::Caps::new_empty_simple("application/x-mjpegfile")
}

pub(crate) fn register(plugin: Option<&gst::Plugin>) -> Result<(), glib::BoolError> {
    let caps = movie_caps();
    let suggest = caps.clone();
    gst::TypeFind::register(
        plugin,
        "application/x-mjpegfile",
        // Before those of single images (PRIMARY + 15) and of multipart streams, which are as certain.
        gst::Rank::PRIMARY + 16,
        Some("mjpeg,mjpg"),
        Some(&caps),
        move |type_find| {
            let length = type_find.length();
            let peek = |offset: u64, buf: &mut [u8]| {
                let at = i64::try_from(offset).ok().zip(u32::try_from(buf.len()).ok());
                let bytes = at.and_then(|(offset, count)| type_find.peek(offset, count));
                let fits = bytes.filter(|bytes| bytes.len() == buf.len());
                fits.map(|bytes| buf.copy_from_slice(bytes)).is_some()
            };
            let found = recognise(peek, length);
            let probability = match found {
                Some(Confidence::Certain) => gst::TypeFindProbability::Maximum,
                Some(Confidence::Likely) => gst::TypeFindProbability::Likely,
                None => return,
            };
            type_find.suggest(probability, &suggest);
        },
    )
}
