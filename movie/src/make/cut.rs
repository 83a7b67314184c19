// SPDX-License-Identifier: MIT OR Apache-2.0
//! Computes the length of a video file from its structure, to detect a file whose end is missing:
//! demuxers end there without an error.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes of the largest header that is read: a box of MP4 with a 64-bit size, or the start of a
/// Matroska file.
const HEADER: usize = 64;

/// The maximum number of boxes that are followed: each costs a read, and a hostile file has one in each 8 bytes.
const MAX_BOXES: usize = 1_000_000;

/// The length of an MP4, QuickTime, AVI or Matroska file in bytes, as its structure states it. `None`
/// for other files and those that state no length.
pub fn stated_length(path: &Path) -> Option<u64> {
    let file = File::open(path).ok()?;
    let head = read(&file, 0)?;
    match head.get(..12)? {
        [_, _, _, _, b'f', b't', b'y', b'p', ..]
        | [_, _, _, _, b'm', b'o' | b'd', b'o' | b'a', b'v' | b't', ..]
        | [_, _, _, _, b'w', b'i', b'd', b'e', ..] => end_of_boxes(&file),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'A', b'V', b'I', b' '] => end_of_riff(&file),
        [0x1a, 0x45, 0xdf, 0xa3, ..] => end_of_matroska(&head),
        _ => None,
    }
}

/// Up to [`HEADER`] bytes at an offset; `None` at the end of the file.
fn read(file: &File, offset: u64) -> Option<Vec<u8>> {
    let mut bytes = vec![0; HEADER];
    let have = file.read_at(&mut bytes, offset).ok()?;
    bytes.truncate(have);
    (have > 0).then_some(bytes)
}

/// The end of the boxes of an MP4 or QuickTime file (ISO/IEC 14496-12 section 4.2).
fn end_of_boxes(file: &File) -> Option<u64> {
    let mut offset = 0_u64;
    for _ in 0..MAX_BOXES {
        let Some(header) = read(file, offset) else { return Some(offset) };
        let (size, rest) = header.split_first_chunk::<4>()?;
        let (name, rest) = rest.split_first_chunk::<4>()?;
        // Something else may follow the last box.
        if !name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b' ') {
            return None;
        }
        let size = match u32::from_be_bytes(*size) {
            // The box extends to the end of the file.
            0 => return None,
            1 => u64::from_be_bytes(*rest.first_chunk()?),
            size => u64::from(size),
        };
        offset = offset.checked_add(size.max(8))?;
    }
    None
}

/// The end of the RIFF chunks of an AVI file; large files have several.
fn end_of_riff(file: &File) -> Option<u64> {
    let mut offset = 0_u64;
    while let Some(header) = read(file, offset) {
        let Some((b"RIFF", rest)) = header.split_first_chunk::<4>() else { break };
        let size = u32::from_le_bytes(*rest.first_chunk()?);
        // A writer that cannot seek states no size.
        if matches!(size, 0 | u32::MAX) {
            return None;
        }
        offset = offset.checked_add(8 + u64::from(size))?;
    }
    Some(offset)
}

/// The end of the segment of a Matroska or WebM file (RFC 9559 section 4).
fn end_of_matroska(head: &[u8]) -> Option<u64> {
    let (header_size, header_start) = ebml_size(head, 4)?;
    let segment = header_start.checked_add(usize::try_from(header_size).ok()?)?;
    let id = head.get(segment..segment.checked_add(4)?)?;
    let (size, start) = ebml_size(head, segment + 4)?;
    (id == [0x18, 0x53, 0x80, 0x67]).then(|| size.checked_add(start as u64)).flatten()
}

/// An element's size (RFC 8794 section 4) and the offset after it; `None` if it is unknown.
fn ebml_size(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let first = *bytes.get(at)?;
    let length = first.leading_zeros() as usize + 1;
    let digits = bytes.get(at..at.checked_add(length)?)?;
    let value = digits.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    let mask = (1_u64 << (7 * length).min(63)) - 1;
    let size = value & mask;
    (length <= 8 && size != mask).then_some((size, at + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structure_states_the_length() {
        let folder = tempfile::tempdir().unwrap();
        let ftyp = b"\0\0\0\x10ftypisom\0\0\0\0";
        let rows: [(&str, Vec<u8>, Option<u64>); 9] = [
            ("mp4", [&ftyp[..], b"\0\0\0\x64mdat1234"].concat(), Some(116)),
            (
                "64 bits",
                [&ftyp[..], b"\0\0\0\x01mdat\0\0\0\x01\0\0\0\0"].concat(),
                Some(16 + (1 << 32)),
            ),
            ("open end", [&ftyp[..], b"\0\0\0\0mdat1234"].concat(), None),
            ("other bytes", [&ftyp[..], b"\0\0\0\0\0\0\0\0\0\0"].concat(), None),
            ("avi", b"RIFF\x20\0\0\0AVI LIST".to_vec(), Some(40)),
            ("avi without size", b"RIFF\0\0\0\0AVI LIST".to_vec(), None),
            ("mkv", b"\x1a\x45\xdf\xa3\x81a\x18\x53\x80\x67\x40\xffab".to_vec(), Some(12 + 255)),
            ("mkv live", b"\x1a\x45\xdf\xa3\x81a\x18\x53\x80\x67\xffabcdefgh".to_vec(), None),
            ("text", b"hello world, hello".to_vec(), None),
        ];
        for (name, bytes, want) in rows {
            let path = folder.path().join("file");
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(stated_length(&path), want, "{name}");
        }
    }
}
