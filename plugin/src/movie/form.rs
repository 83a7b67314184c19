// SPDX-License-Identifier: MIT OR Apache-2.0
//! The forms of movies: how the images are stored in the file.

use super::{LikelyFormat, PREFIX_LEN, SOI};
use std::path::Path;

/// Number of first bytes of a file that decide its form.
pub const HEAD_LEN: usize = 64;

/// How the images of a movie are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MovieForm {
    /// Records of five digits and an image. This is the format that the course lab defines.
    #[default]
    Records,
    /// Images one after another without lengths, as ffmpeg's `mjpeg` muxer and most cameras write
    /// them.
    Images,
    /// A recorded `multipart/x-mixed-replace` stream: headers of text before each image.
    Multipart,
}

impl MovieForm {
    /// Decides the form by the first bytes of a file or stream; [`HEAD_LEN`] are enough, seven of them
    /// also if no more have arrived. Bytes of no known form are read as records.
    pub fn of(head: &[u8]) -> Self {
        let text = head.trim_ascii_start();
        let starts_part = text.starts_with(b"--")
            || text.starts_with(b"HTTP/1.")
            || text.get(..7).is_some_and(|start| start.eq_ignore_ascii_case(b"content"));
        if head.starts_with(&SOI) {
            Self::Images
        } else if starts_part {
            Self::Multipart
        } else {
            Self::Records
        }
    }

    /// Number of bytes before each image that belong to its frame: the length field, if there is one.
    pub fn prefix_len(self) -> usize {
        match self {
            Self::Records => PREFIX_LEN,
            Self::Images | Self::Multipart => 0,
        }
    }

    /// Why other programs cannot read the movie at `path`, and the command that converts it; `None` for
    /// records.
    pub fn advice(self, path: &Path) -> Option<String> {
        let what = match self {
            Self::Records => return None,
            Self::Images => "the images have no lengths",
            Self::Multipart => "the movie is a recorded multipart stream",
        };
        let path = path.display();
        Some(format!(
            "{what}: other programs of the course lab cannot read this form; to convert it: \
             mjpeg-movie repair {path} OUT"
        ))
    }
}

/// Why a file in which no frame was found is not a movie, and what converts it if that is known. `head`
/// is its first bytes.
pub fn why_not_a_movie(head: &[u8]) -> String {
    let unknown = if head.is_empty() {
        "it is empty"
    } else {
        "it contains neither a record of five digits and a JPEG image nor a complete image alone"
    };
    LikelyFormat::of(head).map_or_else(|| unknown.to_owned(), LikelyFormat::advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_decide_the_form() {
        let rows: [(&[u8], MovieForm); 12] = [
            (b"", MovieForm::Records),
            (b"06014\xff\xd8\xff", MovieForm::Records),
            (b"hello world", MovieForm::Records),
            (b"- a list", MovieForm::Records),
            (b"\xff\xd8\xff\xe0", MovieForm::Images),
            (b"\xff\xd8", MovieForm::Images),
            (b"--frame\r\nContent-Type: image/jpeg", MovieForm::Multipart),
            (b"\r\n--frame\r\n", MovieForm::Multipart),
            (b"\r\n\r\n--frame", MovieForm::Multipart),
            (b"Content", MovieForm::Multipart),
            (b"content-type: image/jpeg", MovieForm::Multipart),
            (b"HTTP/1.1 200 OK", MovieForm::Multipart),
        ];
        for (head, want) in rows {
            assert_eq!(MovieForm::of(head), want, "{}", head.escape_ascii());
        }
    }
}
