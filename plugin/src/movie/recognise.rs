// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether bytes are a movie, told from its first records.

use super::{EOI, LengthPrefix, PREFIX_LEN, SOI};

/// Records that must follow one another for being sure.
const CERTAIN_RECORDS: usize = 3;

/// How sure it is that bytes are a movie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// One or two records and what can be seen behind them fit.
    Likely,
    /// Several records follow one another, or all that there is are records.
    Certain,
}

/// Looks at the begin of a file or stream. `peek` fills a place with the bytes at an offset, or
/// says that they are out of sight; `length` is the number of all bytes, if it is known.
pub fn recognise(
    mut peek: impl FnMut(u64, &mut [u8]) -> bool,
    length: Option<u64>,
) -> Option<Confidence> {
    let mut offset = 0;
    for records in 0..CERTAIN_RECORDS {
        if length.is_some_and(|length| offset == length) && records > 0 {
            return Some(Confidence::Certain);
        }
        // What lies behind the first bytes may be out of sight.
        let (mut digits, mut image, mut end) = ([0; PREFIX_LEN], [0; SOI.len()], [0; EOI.len()]);
        if !peek(offset, &mut digits) || !peek(offset + PREFIX_LEN as u64, &mut image) {
            return (records > 0 && length.is_none()).then_some(Confidence::Likely);
        }
        let stated = u64::from(LengthPrefix::parse(digits).ok()?.length());
        if image != SOI {
            return None;
        }
        offset += PREFIX_LEN as u64 + stated;
        // An image may lack its end; the next record then speaks for it.
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

    /// A name, bytes, their length if it is known, and what they are recognised as.
    type Row<'a> = (&'a str, &'a [u8], Option<u64>, Option<Confidence>);

    fn of(bytes: &[u8], length: Option<u64>) -> Option<Confidence> {
        let peek = |offset: u64, place: &mut [u8]| {
            let begin = usize::try_from(offset).unwrap_or(usize::MAX);
            let seen = bytes.get(begin..begin.saturating_add(place.len()));
            seen.map(|seen| place.copy_from_slice(seen)).is_some()
        };
        recognise(peek, length)
    }

    #[test]
    fn movies_are_recognised_and_nothing_else() {
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
