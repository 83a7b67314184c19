// SPDX-License-Identifier: MIT OR Apache-2.0
//! Recognises movies by their first records.

use super::{EOI, LengthPrefix, PREFIX_LEN, SOI};

/// This number of consecutive records makes it certain that bytes are a movie.
const CERTAIN_RECORDS: usize = 3;

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
pub fn recognise(
    mut peek: impl FnMut(u64, &mut [u8]) -> bool,
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

    #[test]
    fn only_movies_are_recognised() {
        let record = |body: &[u8]| {
            let image = [&SOI[..], body, &EOI].concat();
            [format!("{:05}", image.len()).as_bytes(), &image].concat()
        };
        let (one, two) = (record(b"one"), record(b"two two"));
        let three = [&one[..], &two, &one, &two].concat();
        let plain = [&SOI[..], b"x", &EOI, &SOI, b"y", &EOI].concat();
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
            ("plain JPEG", &plain, whole(&plain), None),
            ("digits", b"12345123451234512345", Some(20), None),
            ("digits and text", b"00012 hello world", Some(17), None),
            ("four digits", b"0007\xff\xd8abc\xff\xd9", Some(13), None),
        ];
        for (name, bytes, length, want) in rows {
            assert_eq!(of(bytes, length), want, "{name}");
        }
    }
}
