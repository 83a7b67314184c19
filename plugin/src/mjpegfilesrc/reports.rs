// SPDX-License-Identifier: MIT OR Apache-2.0
//! Warnings on the bus about damage in a movie.

use super::reader::FrameReport;
use std::io;
use std::path::Path;

fn warn(element: &super::MjpegFileSrc, text: &str) {
    gst::element_warning!(element, gst::StreamError::Decode, ("{}", text));
}

/// Reports a bad span, which was skipped.
pub(super) fn bad_span(element: &super::MjpegFileSrc, text: &str, last_listed: bool) {
    warn(element, text);
    if last_listed {
        warn(element, "further bad records are not reported, only counted (property stats)");
    }
}

/// Reports the irregularities of a frame, which is pushed as it is in the file.
pub(super) fn frame(element: &super::MjpegFileSrc, report: &FrameReport, frame: u64, offset: u64) {
    let number = frame + 1;
    if report.first_lacks_eoi {
        let text = format!(
            "frame {number} at byte {offset} does not end with FF D9; it is passed on (further \
             frames like it are only counted)"
        );
        warn(element, &text);
    }
    if report.first_several {
        let text = format!(
            "frame {number} at byte {offset} holds two or more images under one length; decoders \
             show the first (further frames like it are only counted); mjpeg-movie repair IN OUT splits \
             them"
        );
        warn(element, &text);
    }
}

/// Reports that the file ends before a frame that it contained when it was opened.
pub(super) fn shrunk(element: &super::MjpegFileSrc, path: &Path, frame: u64, offset: u64) {
    let path = path.display();
    let text =
        format!("{path} has shrunk: the movie ends before frame {} at byte {offset}", frame + 1);
    gst::element_warning!(element, gst::ResourceError::Read, ("{}", text));
}

/// Reports that the file could not be read to its end.
pub(super) fn unreadable(
    element: &super::MjpegFileSrc,
    path: &Path,
    frames: u64,
    kind: io::ErrorKind,
) {
    let path = path.display();
    let text = format!("cannot read all of {path}: {kind}; the movie ends after frame {frames}");
    gst::element_warning!(element, gst::ResourceError::Read, ("{}", text));
}
