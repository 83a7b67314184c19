// SPDX-License-Identifier: MIT OR Apache-2.0
//! Recognises the probable format of a file that is not a movie, by its first bytes.

use super::SOI;

/// Converts what GStreamer decodes.
const MAKE: &str = "mjpeg-movie make INPUT OUTPUT.mjpeg";

/// Adds missing or wrong lengths to JPEG images.
const REPAIR: &str = "mjpeg-movie repair INPUT OUTPUT.mjpeg";

/// A format that is often mistaken for a movie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LikelyFormat {
    /// RIFF AVI.
    Avi,
    /// `QuickTime` or MP4.
    QuickTime,
    /// Matroska or `WebM`.
    Matroska,
    /// Records whose length field has this number of digits, not five.
    OtherDigits(u8),
    /// Records with a binary length field of this number of bytes.
    BinaryLength(u8),
    /// A byte order mark before the first record: a text editor has rewritten the file.
    ByteOrderMark,
}

impl LikelyFormat {
    /// Recognises a file by its first bytes; 16 are enough.
    pub fn of(head: &[u8]) -> Option<Self> {
        let has = |offset: usize, what: &[u8]| {
            head.get(offset..).is_some_and(|rest| rest.starts_with(what))
        };
        let quicktime = [&b"ftyp"[..], b"moov", b"mdat", b"wide", b"free", b"skip"];
        if has(0, b"RIFF") && has(8, b"AVI ") {
            Some(Self::Avi)
        } else if quicktime.iter().any(|atom| has(4, atom)) {
            Some(Self::QuickTime)
        } else if has(0, &[0x1a, 0x45, 0xdf, 0xa3]) {
            Some(Self::Matroska)
        } else if has(0, &[0xef, 0xbb, 0xbf]) || has(0, &[0xff, 0xfe]) || has(0, &[0xfe, 0xff]) {
            Some(Self::ByteOrderMark)
        } else {
            let digits = head.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let other = u8::try_from(digits).ok().filter(|n| *n > 0 && *n != 5);
            if let Some(count) = other.filter(|_| has(digits, &SOI)) {
                return Some(Self::OtherDigits(count));
            }
            // An SOI at the start is not a length.
            let mut lengths = [2, 4, 8].into_iter().filter(|_| !has(0, &SOI));
            let binary = lengths.find(|n| has(usize::from(*n), &SOI));
            binary.map(Self::BinaryLength)
        }
    }

    /// A message with the name of the format and the command that converts the file to a movie.
    pub fn advice(self) -> String {
        let (what, command) = match self {
            Self::Avi => ("an AVI file".to_owned(), MAKE),
            Self::QuickTime => ("a QuickTime or MP4 file".to_owned(), MAKE),
            Self::Matroska => ("a Matroska or WebM file".to_owned(), MAKE),
            Self::OtherDigits(n) => {
                (format!("a movie with lengths of {n} digits instead of 5"), REPAIR)
            }
            Self::BinaryLength(n) => {
                (format!("a movie with binary lengths of {n} bytes instead of 5 digits"), REPAIR)
            }
            Self::ByteOrderMark => (
                "a file that a text editor has rewritten (it starts with a byte order mark)"
                    .to_owned(),
                REPAIR,
            ),
        };
        format!("it looks like {what}; to convert it: {command}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_recognised_by_their_first_bytes() {
        let rows: &[(&[u8], Option<LikelyFormat>)] = &[
            (b"", None),
            (b"06014\xff\xd8\xff", None),
            (b"hello world", None),
            (b"\xff\xd8\xff\xe0", None),
            (b"\xff\xd8\xff\xd8\xff\xd8", None),
            (b"RIFF\x10\x00\x00\x00AVI LIST", Some(LikelyFormat::Avi)),
            (b"RIFF\x10\x00\x00\x00WAVEfmt ", None),
            (b"\0\0\0\x18ftypisom", Some(LikelyFormat::QuickTime)),
            (b"\x1a\x45\xdf\xa3\x01", Some(LikelyFormat::Matroska)),
            (b"6014\xff\xd8\xff", Some(LikelyFormat::OtherDigits(4))),
            (b"006014\xff\xd8\xff", Some(LikelyFormat::OtherDigits(6))),
            (b"\0\0\x17\x7e\xff\xd8\xff", Some(LikelyFormat::BinaryLength(4))),
            (b"\x17\x7e\xff\xd8\xff", Some(LikelyFormat::BinaryLength(2))),
            (b"\xef\xbb\xbf06014\xff\xd8", Some(LikelyFormat::ByteOrderMark)),
        ];
        for (head, want) in rows {
            assert_eq!(LikelyFormat::of(head), *want, "{}", head.escape_ascii());
        }
    }
}
