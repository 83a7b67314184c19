// SPDX-License-Identifier: MIT OR Apache-2.0
//! Movies without lengths over HTTP.
//!
//! Over HTTP, typefind 1.22 sees the first few kilobytes only: an image, or the header of a part. So it
//! takes a movie of images without lengths for one image, and its images would be shown as fast as they
//! arrive. The player decides that it is a movie, unless its name says that it is a picture.

use super::Borders;
use gst::prelude::*;
use gstmjpegfile::movie::MovieForm;
use std::sync::atomic::{AtomicBool, Ordering};

/// In the header of a part that is an image.
const IMAGE_TYPE: &[u8] = b"image/";

/// In the first image of a picture with previews (CIPA DC-007).
const PREVIEWS: &[u8] = b"MPF\0";

/// Watches an element, if it is a type finder.
pub(super) fn watch(element: &gst::Element, borders: &Borders) {
    let is_finder = element.factory().is_some_and(|factory| factory.name() == "typefind");
    let Some(pad) = element.static_pad("sink").filter(|_| is_finder) else { return };
    let (is_first, weak) = (AtomicBool::new(true), element.downgrade());
    borders.on_pad(&pad, gst::PadProbeType::BUFFER, "http-movie", move |info| {
        let is_first = is_first.swap(false, Ordering::Relaxed);
        let Some(finder) = weak.upgrade().filter(|_| is_first) else { return };
        let bytes = info.buffer().and_then(|buffer| buffer.map_readable().ok());
        let Some(pad) = finder.static_pad("sink") else { return };
        if bytes.is_some_and(|bytes| is_movie(&bytes, &pad))
            && let Some(caps) = movie_caps()
        {
            finder.set_property("force-caps", caps);
        }
    });
}

/// The caps that `mjpegfileparse` takes.
fn movie_caps() -> Option<gst::Caps> {
    let parser = gst::ElementFactory::find("mjpegfileparse")?;
    let templates = parser.static_pad_templates();
    let sink = templates.iter().find(|template| template.direction() == gst::PadDirection::Sink);
    sink.map(gst::StaticPadTemplate::caps)
}

/// Whether the source before a pad sends a movie over HTTP that starts with these bytes.
fn is_movie(bytes: &[u8], pad: &gst::Pad) -> bool {
    let mut query = gst::query::Uri::new();
    if !pad.peer_query(&mut query) {
        return false;
    }
    let (Some(uri), is_whole) = (query.uri(), pad.peer_query_duration::<gst::format::Bytes>())
    else {
        return false;
    };
    starts_movie(&uri, bytes, is_whole.is_some())
}

/// Whether bytes from a URI start a movie without lengths. A multipart stream of unknown length comes from
/// a camera; others play it without delay.
fn starts_movie(uri: &str, bytes: &[u8], has_length: bool) -> bool {
    let is_http = uri.starts_with("http://") || uri.starts_with("https://");
    let has = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    is_http
        && match MovieForm::of(bytes) {
            MovieForm::Images => !has(PREVIEWS) && !has_extension_of_picture(uri),
            MovieForm::Multipart => has_length && has(IMAGE_TYPE),
            MovieForm::Records => false,
        }
}

fn has_extension_of_picture(uri: &str) -> bool {
    let path = uri.split(['?', '#']).next().unwrap_or_default();
    let extension = path.rsplit('/').next().and_then(|name| name.rsplit_once('.'));
    let extension = extension.map(|(_, extension)| extension.to_ascii_lowercase());
    matches!(extension.as_deref(), Some("jpg" | "jpeg" | "jpe" | "jfif"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_movie_is_told_from_a_picture_and_from_a_camera() {
        let image = b"\xff\xd8\xff\xe0\0\x10JFIF";
        let previews = b"\xff\xd8\xff\xe2\0\x06MPF\0";
        let part = b"\r\n--frame\r\nContent-Type: image/jpeg\r\n\r\n";
        let rows: [(&str, &[u8], bool, bool); 12] = [
            ("http://h/movie.mjpeg", image, true, true),
            ("https://h/movie", image, false, true),
            ("http://h/movie.mjpeg?x=a.jpg", image, true, true),
            ("http://h/photo.JPG?x=1", image, true, false),
            ("http://h/photo.jpeg", image, false, false),
            ("http://h/photo", previews, true, false),
            ("http://h/movie.mjpeg", part, true, true),
            ("http://h/camera", part, false, false),
            ("http://h/script.sql", b"-- no movie", true, false),
            ("http://h/movie.mjpeg", b"06014\xff\xd8\xff", true, false),
            ("http://h/movie.mp4", b"\0\0\0\x20ftyp", true, false),
            ("file:///movie.mjpeg", image, true, false),
        ];
        for (uri, bytes, has_length, want) in rows {
            assert_eq!(starts_movie(uri, bytes, has_length), want, "{uri}, {has_length}");
        }
    }
}
