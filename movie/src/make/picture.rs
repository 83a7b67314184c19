// SPDX-License-Identifier: MIT OR Apache-2.0
//! One picture in a file of its own.

use super::decoder::{Decoded, Decoder, Encoded};
use anyhow::{Context, Result, bail};
use gstmjpegfile::jpeg::{Damage, Header, ImageEnd, Segments, image_end, scan_is_complete};
use gstmjpegfile::movie::{SOI, has_previews, starts_with_image};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// Largest file of one picture, in bytes.
const MAX_BYTES: u64 = 1 << 30;

/// Bytes of a JPEG file in which the end of its first image is searched.
const MAX_FIRST_IMAGE: u64 = 64 << 20;

/// First bytes of the formats of pictures.
const FIRST_BYTES: [&[u8]; 16] = [
    b"\xff\xd8\xff",
    b"\x89PNG\r\n",
    b"GIF8",
    b"II*\0",
    b"MM\0*",
    b"P1\n",
    b"P2\n",
    b"P3\n",
    b"P4\n",
    b"P5\n",
    b"P6\n",
    b"P7\n",
    b"8BPS",
    b"qoif",
    b"\x76\x2f\x31\x01",
    b"\0\0\0\x0cjP  ",
];

/// Extensions of pictures: a file with one is treated as a picture, whatever it contains.
const EXTENSIONS: [&str; 24] = [
    "jpg", "jpeg", "jpe", "jfif", "png", "gif", "bmp", "dib", "tif", "tiff", "webp", "pbm", "pgm",
    "ppm", "pnm", "pam", "tga", "psd", "jp2", "j2k", "avif", "heic", "heif", "ico",
];

/// Whether a file is a picture, by its first bytes or its name.
pub fn is_picture(path: &Path) -> bool {
    let extension = path.extension().map(|it| it.to_string_lossy().to_ascii_lowercase());
    extension.is_some_and(|it| EXTENSIONS.contains(&it.as_str()))
        || first_bytes(path).is_ok_and(|head| has_format(&head))
}

/// Whether a file is one picture that does not move, of a format that is decoded as a whole.
pub fn is_single_picture(path: &Path) -> Result<bool> {
    let head = first_bytes(path)?;
    if !head.starts_with(&SOI) {
        return Ok(has_format(&head) && !head.starts_with(b"GIF8"));
    }
    // A movie may be large; its first image ends in this part.
    let cannot_read = || format!("cannot read {}", path.display());
    let mut jpeg = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FIRST_IMAGE).read_to_end(&mut jpeg))
        .with_context(cannot_read)?;
    let Ok(header) = Header::parse(&jpeg) else { return Ok(true) };
    let Ok(ImageEnd::Eoi(end)) = image_end(&jpeg, &header) else { return Ok(true) };
    // Images one after another are a movie.
    Ok(has_previews(&jpeg) || !starts_with_image(jpeg.get(end..).unwrap_or_default()))
}

fn has_format(head: &[u8]) -> bool {
    let is_webp = head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP");
    // The bytes 6 to 9 of BMP are reserved and 0.
    let is_bmp = head.starts_with(b"BM") && head.get(6..10) == Some(&[0; 4]);
    let brand = head.get(4..12).unwrap_or_default();
    let is_heif = [b"ftypavif", b"ftypheic", b"ftypmif1"].iter().any(|it| brand == *it);
    is_webp || is_bmp || is_heif || FIRST_BYTES.iter().any(|first| head.starts_with(first))
}

pub fn first_bytes(path: &Path) -> Result<Vec<u8>> {
    let cannot_open = || format!("cannot open {}", path.display());
    let mut head = Vec::new();
    File::open(path).with_context(cannot_open)?.take(16).read_to_end(&mut head)?;
    Ok(head)
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    let length = std::fs::metadata(path).map_or(0, |it| it.len());
    if length > MAX_BYTES {
        bail!("{} has {length} bytes; a picture has at most {MAX_BYTES}", path.display());
    }
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Decodes a picture; `None` if the user has pressed Ctrl-C.
pub fn read(path: &Path, stop: &AtomicBool) -> Result<Option<gst::Sample>> {
    let name = path.display().to_string();
    let bytes = read_file(path)?;
    let orientation = Some(orientation(&bytes).unwrap_or(1));
    let uri;
    let encoded = if bytes.starts_with(&SOI) {
        let jpeg = first_image(&bytes).with_context(|| format!("cannot decode {name}"))?;
        Encoded::Picture(jpeg, orientation)
    } else if bytes.starts_with(b"GIF8") {
        // The demuxer of GIF must be able to seek.
        uri = gst::glib::filename_to_uri(path.canonicalize()?, None)?;
        Encoded::Gif(&uri)
    } else {
        Encoded::Picture(&bytes, orientation)
    };
    match Decoder::start(&encoded, &name, stop)?.next() {
        Decoded::Picture(picture) => Ok(Some(picture)),
        Decoded::Failed(error) => Err(error),
        Decoded::End => bail!("cannot decode {name}: it contains no complete picture"),
        Decoded::Stopped => Ok(None),
    }
}

/// The first image of `jpeg`, if it is complete.
fn first_image(jpeg: &[u8]) -> Result<&[u8]> {
    let header = match Header::parse(jpeg) {
        // The library's decoder has no limit.
        Err(Damage::TooLarge { .. }) => return Ok(jpeg),
        header => header?,
    };
    match image_end(jpeg, &header)? {
        ImageEnd::Eoi(end) => Ok(jpeg.get(..end).unwrap_or(jpeg)),
        ImageEnd::Missing if scan_is_complete(jpeg, &header) => Ok(jpeg),
        ImageEnd::Missing => Err(Damage::ScanCut.into()),
    }
}

/// The bodies of a JPEG image's segments of one kind.
fn segments(jpeg: &[u8], marker: u8) -> impl Iterator<Item = &[u8]> {
    let segments = Segments::new(jpeg).map_while(Result::ok);
    segments.filter(move |it| it.marker == marker).map(|it| it.body)
}

/// The orientation of a JPEG, TIFF, PNG or WebP picture, 1 to 8 as in TIFF 6.0 and EXIF; `None` if
/// there is none.
fn orientation(picture: &[u8]) -> Option<u8> {
    if picture.starts_with(&SOI) {
        return segments(picture, 0xe1)
            .find_map(|body| tiff_orientation(body.strip_prefix(b"Exif\0\0")?));
    }
    if let Some(chunks) = picture.strip_prefix(b"\x89PNG\r\n\x1a\n") {
        return tiff_orientation(png_chunk(chunks, *b"eXIf")?);
    }
    if picture.starts_with(b"RIFF") {
        let exif = riff_chunk(picture.get(12..)?, *b"EXIF")?;
        return tiff_orientation(exif.strip_prefix(b"Exif\0\0").unwrap_or(exif));
    }
    tiff_orientation(picture)
}

/// The body of a chunk: length, name, body, check sum.
fn png_chunk(mut chunks: &[u8], wanted: [u8; 4]) -> Option<&[u8]> {
    loop {
        let (length, rest) = chunks.split_first_chunk()?;
        let (name, rest) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let body = rest.get(..length)?;
        if *name == wanted {
            return Some(body);
        }
        chunks = rest.get(length.checked_add(4)?..)?;
    }
}

/// The body of a chunk: name, length, body, a zero if the length is odd.
fn riff_chunk(mut chunks: &[u8], wanted: [u8; 4]) -> Option<&[u8]> {
    loop {
        let (name, rest) = chunks.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let body = rest.get(..length)?;
        if *name == wanted {
            return Some(body);
        }
        chunks = rest.get(length.checked_add(length % 2)?..)?;
    }
}

/// The value of tag 274, Orientation, in the first directory of a TIFF file (TIFF 6.0 section 2).
fn tiff_orientation(tiff: &[u8]) -> Option<u8> {
    let big_endian = match tiff.get(..4)? {
        b"II*\0" => false,
        b"MM\0*" => true,
        _ => return None,
    };
    let u16_at = |at: usize| {
        let bytes = *tiff.get(at..)?.first_chunk()?;
        Some(if big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    };
    let bytes = *tiff.get(4..)?.first_chunk()?;
    let directory = if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
    let directory = usize::try_from(directory).ok()?;
    let entries = (0..usize::from(u16_at(directory)?)).map(|entry| directory + 2 + 12 * entry);
    let entry = entries.into_iter().find(|at| u16_at(*at) == Some(274))?;
    let value = u8::try_from(u16_at(entry + 8)?).ok()?;
    (1..=8).contains(&value).then_some(value)
}
