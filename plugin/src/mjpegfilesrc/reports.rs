// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the element says on the bus about a movie's damage.

use super::reader::News;
use std::path::Path;

fn warn(element: &super::MjpegFileSrc, text: &str) {
    gst::element_warning!(element, gst::StreamError::Decode, ("{}", text));
}

/// A bad span that was passed over.
pub(super) fn bad_span(element: &super::MjpegFileSrc, text: &str, last_listed: bool) {
    warn(element, text);
    if last_listed {
        warn(element, "further bad records are counted (property stats), not reported");
    }
}

/// What is new about a frame that is pushed as it is.
pub(super) fn news(element: &super::MjpegFileSrc, news: &News, frame: u64, offset: u64) {
    let number = frame + 1;
    if news.first_lacks_eoi {
        let text = format!(
            "frame {number} at byte {offset} has bytes other than FF D9 at its end; it is passed \
             on, others like it are only counted"
        );
        warn(element, &text);
    }
    if news.first_several {
        let text = format!(
            "frame {number} at byte {offset} holds two or more images under one length; decoders \
             show the first (mjpeg-movie repair IN OUT splits them), others like it are only counted"
        );
        warn(element, &text);
    }
}

/// The file ends before a frame that it had when it was opened.
pub(super) fn shrunk(element: &super::MjpegFileSrc, path: &Path, frame: u64, offset: u64) {
    let path = path.display();
    let text =
        format!("{path} has shrunk: the movie ends before frame {} at byte {offset}", frame + 1);
    gst::element_warning!(element, gst::ResourceError::Read, ("{}", text));
}
