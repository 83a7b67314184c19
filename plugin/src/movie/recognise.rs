// SPDX-License-Identifier: MIT OR Apache-2.0
//! Recognises movies by their first records or images.

use super::{
    EOI, HEAD_LEN, LengthPrefix, MovieForm, NextImage, PREFIX_LEN, SOI, is_filler, next_image,
};
use crate::jpeg::Segments;

/// This number of consecutive records makes it certain that bytes are a movie.
const CERTAIN_RECORDS: usize = 3;

/// The largest first image of a movie without lengths that is recognised, in bytes. A larger one would
/// make each photograph slow to recognise.
const MAX_FIRST_IMAGE: usize = 4 * 1024 * 1024;

/// The most bytes between the first two images of a movie that is recognised.
const MAX_GAP: usize = 1024;

/// How certain it is that bytes are a movie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// There are one or two records, and the visible bytes after them fit.
    Likely,
    /// There are several consecutive records, or nothing but records.
    Certain,
}

/// Inspects the start of a file or stream; `None` if it is not a movie. `peek` fills a buffer with the
/// bytes at an offset, or returns false if they are not available. `length` is the number of all
/// bytes, if it is known.
///
/// One image alone is not a movie, nor is a picture with the previews that cameras store after it. A
/// multipart stream of unknown length comes from a camera: others recognise it, and play it without
/// delay.
pub fn recognise(
    mut peek: impl FnMut(u64, &mut [u8]) -> bool,
    length: Option<u64>,
) -> Option<Confidence> {
    let peek: &mut dyn FnMut(u64, &mut [u8]) -> bool = &mut peek;
    match MovieForm::of(&available(peek, 0, HEAD_LEN)) {
        MovieForm::Records => recognise_records(peek, length),
        MovieForm::Multipart if length.is_none() => None,
        MovieForm::Images | MovieForm::Multipart => {
            has_two_images(peek).then_some(Confidence::Certain)
        }
    }
}

/// Up to `most` bytes at an offset: all that are available, or at least half of them.
fn available(peek: &mut dyn FnMut(u64, &mut [u8]) -> bool, offset: u64, most: usize) -> Vec<u8> {
    let mut bytes = vec![0; most];
    while !bytes.is_empty() && !peek(offset, &mut bytes) {
        bytes.truncate(bytes.len() * 7 / 8);
    }
    bytes
}

/// Whether bytes start with two images, except for a part's header before each.
fn has_two_images(peek: &mut dyn FnMut(u64, &mut [u8]) -> bool) -> bool {
    let mut size = 4096;
    loop {
        let bytes = available(peek, 0, size);
        match next_image(&bytes, 0, false) {
            NextImage::Complete { start, end, lacks_eoi: false } => {
                let image = bytes.get(start..end).unwrap_or_default();
                let after = available(peek, end as u64, MAX_GAP);
                return is_filler(bytes.get(..start).unwrap_or_default())
                    && !has_previews(image)
                    && starts_with_image(&after);
            }
            NextImage::Unfinished { .. } if bytes.len() == size && size < MAX_FIRST_IMAGE => {
                size *= 2;
            }
            _ => return false,
        }
    }
}

/// Whether cameras' previews follow the image (CIPA DC-007, the multi-picture format).
pub fn has_previews(image: &[u8]) -> bool {
    const APP2: u8 = 0xe2;
    let mut segments = Segments::new(image).map_while(Result::ok);
    segments.any(|segment| segment.marker == APP2 && segment.body.starts_with(b"MPF\0"))
}

/// Whether bytes start with an image, after padding or the header of a part.
pub fn starts_with_image(bytes: &[u8]) -> bool {
    let start = memchr::memmem::find(bytes, &[SOI[0], SOI[1], 0xff]);
    start.is_some_and(|start| is_filler(bytes.get(..start).unwrap_or_default()))
}

fn recognise_records(
    peek: &mut dyn FnMut(u64, &mut [u8]) -> bool,
    length: Option<u64>,
) -> Option<Confidence> {
    let mut offset = 0;
    for records in 0..CERTAIN_RECORDS {
        if length.is_some_and(|length| offset == length) && records > 0 {
            return Some(Confidence::Certain);
        }
        // Bytes after the first ones may not be available.
        let (mut digits, mut image, mut end) = ([0; PREFIX_LEN], [0; SOI.len()], [0; EOI.len()]);
        if !peek(offset, &mut digits) || !peek(offset + PREFIX_LEN as u64, &mut image) {
            return (records > 0 && length.is_none()).then_some(Confidence::Likely);
        }
        let image_length = u64::from(LengthPrefix::parse(digits).ok()?.length());
        if image != SOI {
            return None;
        }
        offset += PREFIX_LEN as u64 + image_length;
        // An image may lack EOI; then the record is confirmed by the next one.
        let ends = peek(offset - EOI.len() as u64, &mut end) && end == EOI;
        let last = length.is_some_and(|length| offset >= length);
        if last && !ends {
            return (records > 0).then_some(Confidence::Likely);
        }
    }
    Some(Confidence::Certain)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name, bytes, length if it is known, and the expected result.
    type Row<'a> = (&'a str, &'a [u8], Option<u64>, Option<Confidence>);

    fn of(bytes: &[u8], length: Option<u64>) -> Option<Confidence> {
        let peek = |offset: u64, buffer: &mut [u8]| {
            let start = usize::try_from(offset).unwrap_or(usize::MAX);
            let available = bytes.get(start..start.saturating_add(buffer.len()));
            available.map(|available| buffer.copy_from_slice(available)).is_some()
        };
        recognise(peek, length)
    }

    /// An image of 8x8 pixels with these segments.
    fn image_with(segments: &[u8]) -> Vec<u8> {
        let tables = [&b"\xff\xdb\0\x43\0"[..], &[1; 64]].concat();
        let header = b"\xff\xc0\0\x0b\x08\0\x08\0\x08\x01\x01\x11\0";
        let scan = b"\xff\xda\0\x08\x01\x01\0\0\x3f\0\x2b";
        [&SOI, segments, &tables, header, scan, &EOI].concat()
    }

    #[test]
    fn only_movies_are_recognised() {
        let record = |body: &[u8]| {
            let image = [&SOI[..], body, &EOI].concat();
            [format!("{:05}", image.len()).as_bytes(), &image].concat()
        };
        let (one, two) = (record(b"one"), record(b"two two"));
        let three = [&one[..], &two, &one, &two].concat();
        let plain = [&SOI[..], b"x", &EOI, &SOI, b"y", &EOI].concat();
        let image = image_with(b"\xff\xfe\0\x04ab");
        let images = [&image[..], &image].concat();
        let padded = [&image[..], &[0; 100], &image].concat();
        let previews = [&image_with(b"\xff\xe2\0\x06MPF\0")[..], &image].concat();
        let text = [&image[..], b"and text"].concat();
        let comment = [&b"\xff\xfe\xff\xff"[..], &vec![b'c'; 0xfffd]].concat();
        let large = [&image[..], &image_with(&comment)].concat();
        let header = b"\r\n--b\r\nContent-Type: image/jpeg\r\n\r\n";
        let multipart = [&header[..], &image, header, &image].concat();
        let cut = &three[..three.len() - 4];
        let only_cut = &two[..two.len() - 3];
        let whole = |bytes: &[u8]| Some(bytes.len() as u64);
        let rows: Vec<Row> = vec![
            ("several records", &three, whole(&three), Some(Confidence::Certain)),
            ("the same without an end", &three, None, Some(Confidence::Certain)),
            ("cut at the end", cut, whole(cut), Some(Confidence::Certain)),
            ("one record", &one, whole(&one), Some(Confidence::Certain)),
            ("one record of a stream", &one, None, Some(Confidence::Likely)),
            ("one record, cut", only_cut, whole(only_cut), None),
            ("nothing", b"", Some(0), None),
            ("damaged images", &plain, whole(&plain), None),
            ("one image", &image, whole(&image), None),
            ("two images", &images, whole(&images), Some(Confidence::Certain)),
            ("the same without an end", &images, None, Some(Confidence::Certain)),
            ("padded images", &padded, None, Some(Confidence::Certain)),
            ("an image and its preview", &previews, whole(&previews), None),
            ("an image and text", &text, whole(&text), None),
            ("a large second image", &large, whole(&large), Some(Confidence::Certain)),
            ("a large first image", &large[image.len()..], None, None),
            ("multipart", &multipart, whole(&multipart), Some(Confidence::Certain)),
            ("multipart without an end", &multipart, None, None),
            ("digits", b"12345123451234512345", Some(20), None),
            ("digits and text", b"00012 hello world", Some(17), None),
            ("four digits", b"0007\xff\xd8abc\xff\xd9", Some(13), None),
        ];
        for (name, bytes, length, want) in rows {
            assert_eq!(of(bytes, length), want, "{name}");
        }
    }
}
