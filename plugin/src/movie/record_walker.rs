// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds one record after another, and the next good record after a bad one. Only this module knows
//! how; the frame index uses it for files, the frame splitter for streams.

use super::{EOI, LengthPrefix, PREFIX_LEN, PrefixError, SOI};
use crate::jpeg::Damage;
use std::io;

/// Bytes that one step searches; limits the memory and the time of a step.
const SEARCH_WINDOW: usize = 64 * 1024;

/// Size of a record's length field and SOI, which decide whether the record is good.
const HEAD_LEN: usize = PREFIX_LEN + SOI.len();

/// The bytes of a movie: a file, or the part of a stream that has arrived.
pub trait MovieBytes {
    /// Reads up to `buf.len()` bytes at `offset`; fewer only at the end.
    ///
    /// # Errors
    /// The error of the file or stream.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// The offset of the end of the available bytes.
    fn end(&self) -> u64;

    /// Whether [`Self::end`] is the end of the movie, so that no more bytes can arrive.
    fn is_whole(&self) -> bool;
}

impl MovieBytes for [u8] {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest =
            usize::try_from(offset).ok().and_then(|offset| self.get(offset..)).unwrap_or_default();
        let length = rest.len().min(buf.len());
        for (to, from) in buf.iter_mut().zip(rest) {
            *to = *from;
        }
        Ok(length)
    }

    fn end(&self) -> u64 {
        self.len() as u64
    }

    fn is_whole(&self) -> bool {
        true
    }
}

/// What is wrong with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    /// The length field is not a length.
    #[error(transparent)]
    Prefix(#[from] PrefixError),
    /// The record extends past the end of the file: it is truncated.
    #[error("the record states {length} bytes, the file ends after {left}")]
    PastEnd {
        /// Bytes that the length field states.
        length: u32,
        /// Bytes between the length field and the end of the file.
        left: u64,
    },
    /// The length is valid, but the bytes that follow do not start with FF D8.
    #[error("the {length} bytes of the record are not a JPEG image: they do not start with FF D8")]
    NotJpeg {
        /// Bytes that the length field states.
        length: u32,
    },
    /// One to four bytes after the last record.
    #[error("{bytes} bytes after the last record")]
    Tail {
        /// Number of bytes.
        bytes: u64,
    },
    /// In a movie without lengths: an image that is not complete.
    #[error("the image is damaged: {0}")]
    Image(#[from] Damage),
    /// In a movie without lengths: bytes that are neither an image nor expected between images.
    #[error("the bytes belong to no image")]
    NoImage,
}

impl BadRecord {
    /// What such bytes are called.
    pub fn noun(&self) -> &'static str {
        match self {
            Self::Image(_) => "damaged image",
            Self::NoImage => "unknown bytes",
            _ => "bad record",
        }
    }
}

/// Bytes that do not belong to a frame, from a bad record to the next good one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadSpan {
    /// Byte offset of the first bad record.
    pub offset: u64,
    /// Number of skipped bytes.
    pub bytes: u64,
    /// Number of records that these bytes certainly are. In a run of `00000`, each one is counted.
    pub records: u64,
    /// What is wrong with the first record.
    pub first: BadRecord,
}

/// Result of one step of a [`RecordWalker`] or [`super::MovieWalker`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A good record or image was found.
    Frame {
        /// Byte offset of the JPEG, after its length field if it has one.
        offset: u64,
        /// Size of the JPEG in bytes.
        length: u32,
    },
    /// Bytes were skipped.
    Bad(BadSpan),
    /// The search for the next good record continues with the next step.
    Searching,
    /// More bytes of the stream must arrive first.
    NeedMore,
    /// The movie has ended.
    End,
}

#[derive(Debug, Clone, Copy)]
enum State {
    AtRecord,
    Searching(BadSpan),
}

/// Finds the records of a movie one after another.
#[derive(Debug)]
pub struct RecordWalker {
    next: u64,
    state: State,
}

impl Default for RecordWalker {
    fn default() -> Self {
        Self::new()
    }
}

/// Result of inspecting the bytes at the start of a record.
enum RecordHead {
    Good { length: u32 },
    Bad(BadRecord),
    Unknown,
}

impl RecordWalker {
    /// Starts at byte 0.
    pub fn new() -> Self {
        Self { next: 0, state: State::AtRecord }
    }

    /// Offset of the first byte that later steps need.
    pub fn offset(&self) -> u64 {
        self.next
    }

    /// One step: a frame, a bad span, or a bounded part of the search for the next good record.
    ///
    /// # Errors
    /// The error of reading the movie.
    pub fn step<M: MovieBytes + ?Sized>(&mut self, movie: &M) -> io::Result<Step> {
        match self.state {
            State::AtRecord => self.record(movie),
            State::Searching(span) => self.search(movie, span),
        }
    }

    fn record<M: MovieBytes + ?Sized>(&mut self, movie: &M) -> io::Result<Step> {
        let offset = self.next;
        if offset >= movie.end() {
            return Ok(if movie.is_whole() { Step::End } else { Step::NeedMore });
        }
        match inspect_head(movie, offset)? {
            // There are no bytes although the file was longer: it has shrunk.
            RecordHead::Unknown if movie.is_whole() => Ok(Step::End),
            RecordHead::Unknown => Ok(Step::NeedMore),
            RecordHead::Good { length } => Ok(self.frame_at(offset, length)),
            RecordHead::Bad(first) => {
                // Empty records are often consecutive; the search counts them, including this one.
                let empty = first == BadRecord::Prefix(PrefixError::Zero);
                let span = BadSpan { offset, bytes: 0, records: u64::from(!empty), first };
                // If a record is empty or not a JPEG, the next one may still be good.
                let skip = match first {
                    BadRecord::NotJpeg { length } => PREFIX_LEN as u64 + u64::from(length),
                    BadRecord::Prefix(PrefixError::Zero) => PREFIX_LEN as u64,
                    BadRecord::Tail { bytes } => bytes,
                    _ => 0,
                };
                if skip > 0 {
                    let after = offset + skip;
                    if after >= movie.end() && movie.is_whole() {
                        return Ok(self.close(span, movie.end()));
                    }
                    match inspect_head(movie, after)? {
                        RecordHead::Unknown => return Ok(Step::NeedMore),
                        RecordHead::Good { .. } => return Ok(self.close(span, after)),
                        RecordHead::Bad(_) => {}
                    }
                }
                self.state = State::Searching(span);
                self.next = offset + u64::from(!empty);
                Ok(Step::Searching)
            }
        }
    }

    fn frame_at(&mut self, offset: u64, length: u32) -> Step {
        let jpeg = offset + PREFIX_LEN as u64;
        self.next = jpeg + u64::from(length);
        self.state = State::AtRecord;
        Step::Frame { offset: jpeg, length }
    }

    fn close(&mut self, span: BadSpan, end: u64) -> Step {
        self.next = end;
        self.state = State::AtRecord;
        Step::Bad(BadSpan { bytes: end - span.offset, records: span.records.max(1), ..span })
    }

    /// Searches one window for the next offset at which a record probably starts.
    fn search<M: MovieBytes + ?Sized>(&mut self, movie: &M, mut span: BadSpan) -> io::Result<Step> {
        let mut buf = vec![0; SEARCH_WINDOW];
        let have = read_full(movie, &mut buf, self.next)?;
        let window = buf.get(..have).unwrap_or_default();
        if span.first == BadRecord::Prefix(PrefixError::Zero) && self.next == zero_run_end(&span) {
            // Still inside the run of empty records: count them.
            let zeros = window
                .chunks_exact(PREFIX_LEN)
                .take_while(|chunk| chunk.iter().all(|byte| *byte == b'0'))
                .count();
            if zeros > 0 {
                span.records += zeros as u64;
                self.next += (zeros * PREFIX_LEN) as u64;
                self.state = State::Searching(span);
                let after = self.next;
                return match inspect_head(movie, after)? {
                    RecordHead::Good { .. } => Ok(self.close(span, after)),
                    RecordHead::Unknown if movie.is_whole() => Ok(self.close(span, movie.end())),
                    RecordHead::Unknown | RecordHead::Bad(_) => Ok(Step::Searching),
                };
            }
        }
        for soi in memchr::memmem::find_iter(window, &SOI) {
            let Some(start) = soi.checked_sub(PREFIX_LEN) else {
                continue;
            };
            let digits = window.get(start..soi).unwrap_or_default();
            if !digits.iter().all(u8::is_ascii_digit) {
                continue;
            }
            let candidate = self.next + start as u64;
            match confirm(movie, candidate)? {
                Confirmation::Yes => return Ok(self.close(span, candidate)),
                Confirmation::No => {}
                Confirmation::Unknown => {
                    self.next = candidate;
                    self.state = State::Searching(span);
                    return Ok(Step::NeedMore);
                }
            }
        }
        if have < SEARCH_WINDOW {
            if movie.is_whole() {
                // A file that has shrunk ends before its former end.
                return Ok(self.close(span, movie.end().min(self.next + have as u64)));
            }
            self.next += have.saturating_sub(HEAD_LEN - 1) as u64;
            self.state = State::Searching(span);
            return Ok(Step::NeedMore);
        }
        self.next += (have - (HEAD_LEN - 1)) as u64;
        self.state = State::Searching(span);
        Ok(Step::Searching)
    }
}

/// Checks whether a record starts at `candidate`: its head must be good, and the stated length must
/// lead to the byte after an EOI, to another good head, or to the end of the file.
fn confirm<M: MovieBytes + ?Sized>(movie: &M, candidate: u64) -> io::Result<Confirmation> {
    let length = match inspect_head(movie, candidate)? {
        RecordHead::Good { length } => length,
        RecordHead::Bad(_) => return Ok(Confirmation::No),
        RecordHead::Unknown => return Ok(Confirmation::Unknown),
    };
    let after = candidate + PREFIX_LEN as u64 + u64::from(length);
    let mut end = [0; EOI.len()];
    let ends = read_full(movie, &mut end, after - EOI.len() as u64)? == EOI.len() && end == EOI;
    if ends || (after >= movie.end() && movie.is_whole()) {
        return Ok(Confirmation::Yes);
    }
    Ok(match inspect_head(movie, after)? {
        RecordHead::Good { .. } => Confirmation::Yes,
        RecordHead::Bad(_) => Confirmation::No,
        RecordHead::Unknown => Confirmation::Unknown,
    })
}

enum Confirmation {
    Yes,
    No,
    Unknown,
}

/// End of the empty records that have been counted.
fn zero_run_end(span: &BadSpan) -> u64 {
    span.offset + span.records * PREFIX_LEN as u64
}

fn inspect_head<M: MovieBytes + ?Sized>(movie: &M, offset: u64) -> io::Result<RecordHead> {
    let mut head = [0; HEAD_LEN];
    let have = read_full(movie, &mut head, offset)?;
    if have < HEAD_LEN && !movie.is_whole() {
        return Ok(RecordHead::Unknown);
    }
    let [prefix @ .., soi1, soi2] = head;
    let soi = [soi1, soi2];
    if have == 0 {
        return Ok(RecordHead::Unknown);
    }
    if have < PREFIX_LEN {
        return Ok(RecordHead::Bad(BadRecord::Tail { bytes: have as u64 }));
    }
    let length = match LengthPrefix::parse(prefix) {
        Ok(prefix) => prefix.length(),
        Err(error) => return Ok(RecordHead::Bad(error.into())),
    };
    let left = movie.end().saturating_sub(offset + PREFIX_LEN as u64);
    if u64::from(length) > left {
        return Ok(if movie.is_whole() {
            RecordHead::Bad(BadRecord::PastEnd { length, left })
        } else if soi == SOI {
            RecordHead::Unknown
        } else {
            RecordHead::Bad(BadRecord::NotJpeg { length })
        });
    }
    Ok(if length as usize >= SOI.len() && soi == SOI {
        RecordHead::Good { length }
    } else {
        RecordHead::Bad(BadRecord::NotJpeg { length })
    })
}

/// Reads bytes of a movie until `buf` is full or the movie ends; returns the number of bytes read.
pub(super) fn read_full<M: MovieBytes + ?Sized>(
    movie: &M,
    buf: &mut [u8],
    offset: u64,
) -> io::Result<usize> {
    // Bytes that a file grows by after it was opened are not part of the movie.
    let left = usize::try_from(movie.end().saturating_sub(offset)).unwrap_or(usize::MAX);
    let length = buf.len().min(left);
    let buf = buf.get_mut(..length).unwrap_or_default();
    read_until_full(buf, offset, |rest, offset| movie.read_at(rest, offset))
}

/// Calls `read` with the rest of `buf` and its offset until `buf` is full or the bytes end; returns the
/// number of bytes read. Repeats reads that a signal has interrupted.
pub(crate) fn read_until_full(
    buf: &mut [u8],
    offset: u64,
    read: impl Fn(&mut [u8], u64) -> io::Result<usize>,
) -> io::Result<usize> {
    let mut have = 0;
    while let Some(rest) = buf.get_mut(have..).filter(|rest| !rest.is_empty()) {
        match read(rest, offset + have as u64) {
            Ok(0) => break,
            Ok(count) => have += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(have)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A placeholder for a JPEG of `length` bytes, with SOI and EOI.
    fn jpeg(length: usize) -> Vec<u8> {
        let mut bytes = vec![b'x'; length];
        bytes[..2].copy_from_slice(&SOI);
        bytes[length - 2..].copy_from_slice(&EOI);
        bytes
    }

    fn record(length: usize) -> Vec<u8> {
        [format!("{length:05}").into_bytes(), jpeg(length)].concat()
    }

    fn walk(movie: &[u8]) -> (Vec<(u64, u32)>, Vec<BadSpan>) {
        let mut walker = RecordWalker::new();
        let (mut frames, mut bad) = (Vec::new(), Vec::new());
        loop {
            match walker.step(movie).unwrap() {
                Step::Frame { offset, length } => frames.push((offset, length)),
                Step::Bad(span) => bad.push(span),
                Step::Searching => {}
                Step::NeedMore => panic!("a whole movie needs no more"),
                Step::End => return (frames, bad),
            }
        }
    }

    #[test]
    fn only_the_bad_record_is_lost() {
        let not_digits =
            |found: &[u8; 5]| BadRecord::Prefix(PrefixError::NotDigits { found: *found });
        let no_image = [b"00020".to_vec(), vec![b'-'; 20]].concat();
        // Name, bytes between two good records of 30 and 40 bytes, bad records, the first error.
        let rows: Vec<(&str, Vec<u8>, u64, BadRecord)> = vec![
            ("sign", [b"+0030".to_vec(), jpeg(30)].concat(), 1, not_digits(b"+0030")),
            ("blank", [b" 0030".to_vec(), jpeg(30)].concat(), 1, not_digits(b" 0030")),
            ("four digits", [b"0030".to_vec(), jpeg(30)].concat(), 1, not_digits(b"0030\xff")),
            ("line end", b"616\r\n".to_vec(), 1, not_digits(b"616\r\n")),
            ("one empty record", b"00000".to_vec(), 1, PrefixError::Zero.into()),
            ("three empty records", b"000000000000000".to_vec(), 3, PrefixError::Zero.into()),
            ("20 000 empty records", b"00000".repeat(20_000), 20_000, PrefixError::Zero.into()),
            ("empty, then garbage", b"00000--".to_vec(), 1, PrefixError::Zero.into()),
            ("no image", no_image, 1, BadRecord::NotJpeg { length: 20 }),
            ("one byte", b"00001\xff".to_vec(), 1, BadRecord::NotJpeg { length: 1 }),
            ("garbage over windows", vec![b'-'; 3 * SEARCH_WINDOW], 1, not_digits(b"-----")),
        ];
        for (name, between, records, first) in rows {
            let movie = [record(30), between.clone(), record(40)].concat();
            let (frames, bad) = walk(&movie);
            let second = (35 + between.len() + 5) as u64;
            assert_eq!(frames, [(5, 30), (second, 40)], "{name}");
            let bytes = between.len() as u64;
            assert_eq!(bad, [BadSpan { offset: 35, bytes, records, first }], "{name}");
        }
    }

    #[test]
    fn a_truncated_movie_keeps_its_complete_records() {
        let whole = [record(30), record(40)].concat();
        for cut in 36..whole.len() {
            let (frames, bad) = walk(&whole[..cut]);
            assert_eq!(frames, [(5, 30)], "cut at {cut}");
            let bytes = cut as u64 - 35;
            let first = if bytes < 5 {
                BadRecord::Tail { bytes }
            } else {
                BadRecord::PastEnd { length: 40, left: bytes - 5 }
            };
            assert_eq!(bad, [BadSpan { offset: 35, bytes, records: 1, first }], "cut at {cut}");
        }
    }

    #[test]
    fn after_a_wrong_length_reading_resumes_at_the_next_record() {
        // The first record states more than the whole movie has.
        let movie = [b"90000".to_vec(), jpeg(30), record(40), record(50)].concat();
        let (frames, bad) = walk(&movie);
        assert_eq!(frames, [(40, 40), (85, 50)]);
        let first = BadRecord::PastEnd { length: 90_000, left: 130 };
        assert_eq!(bad, [BadSpan { offset: 0, bytes: 35, records: 1, first }]);
    }

    #[test]
    fn digits_before_soi_are_a_record_only_if_the_length_fits() {
        // "12345" is before FF D8 by chance; 12345 bytes later no record starts.
        let movie = [b"-----12345\xff\xd8------".to_vec(), vec![b'-'; 20_000], record(30)].concat();
        let (frames, _) = walk(&movie);
        assert_eq!(frames, [(movie.len() as u64 - 30, 30)]);
    }

    #[test]
    fn bytes_without_records_are_skipped_to_the_end() {
        for (name, movie) in [
            ("nothing", Vec::new()),
            ("text", b"no movie".to_vec()),
            ("zeros", vec![0; 200_000]),
            ("digits", vec![b'7'; 200_000]),
            ("empty records", b"00000".repeat(50)),
        ] {
            let (frames, bad) = walk(&movie);
            assert!(frames.is_empty(), "{name}");
            let bytes: u64 = bad.iter().map(|span| span.bytes).sum();
            assert_eq!(bytes, movie.len() as u64, "{name}");
        }
    }
}
