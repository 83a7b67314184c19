// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds the frames of a movie of any form.

use super::image_walker::{ImageStep, ImageWalker};
use super::record_walker::read_full;
use super::{BadRecord, BadSpan, MAX_IMAGE_LEN, MovieBytes, MovieForm, RecordWalker, Step};
use std::io;

/// The maximum number of bytes between two images that are inspected. More cannot be padding or a part's header.
pub const MAX_FILLER: usize = 64 * 1024;

/// The maximum number of damaged images that one step passes.
const DAMAGED_AT_ONCE: usize = 256;

/// Finds the frames of a movie one after another, and what is between them.
#[derive(Debug)]
pub struct MovieWalker {
    form: MovieForm,
    walker: Walker,
}

#[derive(Debug)]
enum Walker {
    Records(RecordWalker),
    Images(Images),
}

impl MovieWalker {
    /// Starts at byte 0 of a movie of a form.
    pub fn new(form: MovieForm) -> Self {
        let walker = match form {
            MovieForm::Records => Walker::Records(RecordWalker::new()),
            MovieForm::Images | MovieForm::Multipart => Walker::Images(Images::new()),
        };
        Self { form, walker }
    }

    /// The form of the movie.
    pub fn form(&self) -> MovieForm {
        self.form
    }

    /// Offset of the first byte that later steps need.
    pub fn offset(&self) -> u64 {
        match &self.walker {
            Walker::Records(walker) => walker.offset(),
            Walker::Images(images) => images.walker.offset(),
        }
    }

    /// One step: a frame, a bad span, or a bounded part of the search for the next frame. Except for
    /// records, all bytes of the movie must be available.
    ///
    /// # Errors
    /// The error of reading the movie.
    pub fn step<M: MovieBytes + ?Sized>(&mut self, movie: &M) -> io::Result<Step> {
        match &mut self.walker {
            Walker::Records(walker) => walker.step(movie),
            Walker::Images(images) => images.step(movie),
        }
    }
}

/// The images of a movie without lengths.
#[derive(Debug)]
struct Images {
    walker: ImageWalker,
    /// Offset of the first byte after the last frame or bad span.
    processed: u64,
    /// Number of damaged images since then, and what is wrong with the first one.
    damaged: Option<(u64, BadRecord)>,
    /// A frame that was found after a bad span.
    found: Option<(u64, u32)>,
}

impl Images {
    fn new() -> Self {
        let walker = ImageWalker::new(0, u64::MAX, MAX_IMAGE_LEN);
        Self { walker, processed: 0, damaged: None, found: None }
    }

    fn step<M: MovieBytes + ?Sized>(&mut self, movie: &M) -> io::Result<Step> {
        if let Some((offset, length)) = self.found.take() {
            return Ok(self.frame(offset, length));
        }
        for _ in 0..DAMAGED_AT_ONCE {
            match self.walker.step(movie)? {
                ImageStep::Image { offset, length, .. } => {
                    // The walker finds no larger ones.
                    let length = u32::try_from(length).unwrap_or(u32::MAX);
                    let Some(span) = self.bad_span(movie, offset)? else {
                        return Ok(self.frame(offset, length));
                    };
                    self.found = Some((offset, length));
                    return Ok(Step::Bad(span));
                }
                ImageStep::Damaged { damage, .. } => {
                    self.damaged.get_or_insert((0, damage.into())).0 += 1;
                }
                ImageStep::Searching => return Ok(Step::Searching),
                ImageStep::End => {
                    let end = self.walker.offset();
                    return Ok(self.bad_span(movie, end)?.map_or(Step::End, Step::Bad));
                }
            }
        }
        Ok(Step::Searching)
    }

    fn frame(&mut self, offset: u64, length: u32) -> Step {
        self.processed = offset + u64::from(length);
        Step::Frame { offset, length }
    }

    /// What is wrong with the bytes between the last frame and `end`; `None` if they may be there.
    fn bad_span<M: MovieBytes + ?Sized>(
        &mut self,
        movie: &M,
        end: u64,
    ) -> io::Result<Option<BadSpan>> {
        let offset = std::mem::replace(&mut self.processed, end);
        let bytes = end.saturating_sub(offset);
        let (records, first) = match self.damaged.take() {
            Some(damaged) => damaged,
            None if bytes == 0 => return Ok(None),
            None => {
                if bytes <= MAX_FILLER as u64 {
                    let mut filler = vec![0; usize::try_from(bytes).unwrap_or(0)];
                    let have = read_full(movie, &mut filler, offset)?;
                    if is_filler(filler.get(..have).unwrap_or_default()) {
                        return Ok(None);
                    }
                }
                (1, BadRecord::NoImage)
            }
        };
        Ok(Some(BadSpan { offset, bytes, records, first }))
    }
}

/// Whether bytes between two images, before the first one or after the last one are expected there:
/// the headers of a multipart stream (RFC 2046 section 5.1), or padding of zeros, FF or line ends.
pub fn is_filler(bytes: &[u8]) -> bool {
    if bytes.iter().all(|byte| matches!(byte, 0 | 0xff | b'\r' | b'\n')) {
        return true;
    }
    let is_text = bytes.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\r' | b'\n' | b'\t'));
    is_text && MovieForm::of(bytes) == MovieForm::Multipart
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jpeg::Damage;
    use std::time::{Duration, Instant};

    /// An image of 8x8 pixels and `length` bytes of comment.
    fn image(length: u16) -> Vec<u8> {
        let mut image = b"\xff\xd8\xff\xfe".to_vec();
        image.extend((length + 2).to_be_bytes());
        image.extend(vec![b'c'; usize::from(length)]);
        image.extend(b"\xff\xdb\0\x43\0");
        image.extend([1; 64]);
        image.extend(b"\xff\xc0\0\x0b\x08\0\x08\0\x08\x01\x01\x11\0");
        // DC difference 0 and end of block, filled up with ones.
        image.extend(b"\xff\xda\0\x08\x01\x01\0\0\x3f\0\x2b\xff\xd9");
        image
    }

    /// Frames as offset and length, and bad spans.
    type Walked = (Vec<(u64, usize)>, Vec<BadSpan>);

    fn walk(movie: &[u8]) -> Walked {
        let mut walker = MovieWalker::new(MovieForm::of(movie));
        let (mut frames, mut bad) = (Vec::new(), Vec::new());
        loop {
            match walker.step(movie).unwrap() {
                Step::Frame { offset, length } => frames.push((offset, length as usize)),
                Step::Bad(span) => bad.push(span),
                Step::Searching => {}
                Step::NeedMore => panic!("a whole movie needs no more"),
                Step::End => return (frames, bad),
            }
        }
    }

    /// A part of a movie: a frame, bytes that are expected between frames, or bad bytes.
    enum Part {
        Frame(Vec<u8>),
        Filler(Vec<u8>),
        Bad(Vec<u8>, u64, BadRecord),
    }

    /// The bytes of these parts, and what a walk must find.
    fn movie(parts: Vec<Part>) -> (Vec<u8>, Walked) {
        let (mut bytes, mut frames, mut spans) = (Vec::new(), Vec::new(), Vec::new());
        for part in parts {
            let offset = bytes.len() as u64;
            match part {
                Part::Frame(image) => {
                    frames.push((offset, image.len()));
                    bytes.extend(image);
                }
                Part::Filler(filler) => bytes.extend(filler),
                Part::Bad(bad, records, first) => {
                    spans.push(BadSpan { offset, bytes: bad.len() as u64, records, first });
                    bytes.extend(bad);
                }
            }
        }
        (bytes, (frames, spans))
    }

    #[test]
    fn the_images_of_a_movie_without_lengths_are_its_frames() {
        use Part::{Bad, Filler, Frame};
        let (one, two, large) = (image(10), image(400), image(60_000));
        let thumbnail = {
            let small = image(7);
            let mut exif = b"\xff\xd8\xff\xe1".to_vec();
            exif.extend(u16::try_from(small.len() + 8).unwrap().to_be_bytes());
            exif.extend(b"Exif\0\0");
            exif.extend(&small);
            exif.extend(&one[2..]);
            exif
        };
        let header = |length: usize| {
            format!("\r\n--b\r\nContent-Type: image/jpeg\r\nContent-Length: {length}\r\n\r\n")
                .into_bytes()
        };
        let without_length = b"\r\n--b\r\nContent-Type: image/jpeg\r\n\r\n".to_vec();
        let response = b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=b\r\n";
        let cut = two[..two.len() - 9].to_vec();
        let segment_cut =
            BadRecord::Image(Damage::SegmentCut { marker: 0xda, offset: two.len() - 13 });
        let rows: Vec<(&str, Vec<Part>)> = vec![
            ("one", vec![Frame(one.clone())]),
            ("two", vec![Frame(one.clone()), Frame(two.clone())]),
            ("thumbnails", vec![Frame(thumbnail.clone()), Frame(thumbnail)]),
            ("larger than a part", (0..20).map(|_| Frame(large.clone())).collect()),
            (
                "junk",
                vec![
                    Frame(one.clone()),
                    Bad(b"junk".to_vec(), 1, BadRecord::NoImage),
                    Frame(two.clone()),
                ],
            ),
            (
                "junk over parts",
                vec![
                    Frame(one.clone()),
                    Bad(vec![b'-'; 3 * MAX_FILLER * 4], 1, BadRecord::NoImage),
                    Frame(two.clone()),
                ],
            ),
            ("zeros", vec![Frame(one.clone()), Filler(vec![0; 512]), Frame(two.clone())]),
            ("a tail of zeros", vec![Frame(one.clone()), Filler(vec![0; 3])]),
            ("a cut last image", vec![Frame(one.clone()), Bad(cut.clone(), 1, segment_cut)]),
            (
                "multipart",
                vec![
                    Filler(header(one.len())),
                    Frame(one.clone()),
                    Filler(header(two.len())),
                    Frame(two.clone()),
                    Filler(b"\r\n--b--\r\n".to_vec()),
                ],
            ),
            (
                "multipart without Content-Length",
                vec![
                    Filler(without_length.clone()),
                    Frame(one.clone()),
                    Filler(without_length),
                    Frame(two.clone()),
                ],
            ),
            (
                "an HTTP response",
                vec![Filler([&response[..], &header(one.len())].concat()), Frame(one.clone())],
            ),
            (
                "text that is no header",
                vec![
                    Filler(header(one.len())),
                    Frame(one.clone()),
                    Bad(b"hello".to_vec(), 1, BadRecord::NoImage),
                    Frame(two),
                ],
            ),
        ];
        for (name, parts) in rows {
            let (bytes, want) = movie(parts);
            assert_eq!(walk(&bytes), want, "{name}");
        }
    }

    #[test]
    fn an_image_that_is_too_long_is_passed() {
        let one = image(10);
        let mut endless = one[..one.len() - 2].to_vec();
        endless.extend(vec![0x55; MAX_IMAGE_LEN + 10]);
        let movie = [&one[..], &endless, &one].concat();
        let (frames, bad) = walk(&movie);
        let last = movie.len() - one.len();
        assert_eq!(frames, [(0, one.len()), (last as u64, one.len())]);
        let damage = Damage::TooLong { length: MAX_IMAGE_LEN };
        let (offset, bytes) = (one.len() as u64, endless.len() as u64);
        assert_eq!(bad, [BadSpan { offset, bytes, records: 1, first: damage.into() }]);
    }

    #[test]
    fn hostile_bytes_take_linear_time_and_bounded_memory() {
        let units: [(&str, &[u8]); 7] = [
            ("SOI", b"\xff\xd8"),
            ("SOI and EOI", b"\xff\xd8\xff\xd9"),
            ("SOI and fill bytes", b"\xff\xd8\xff\xff"),
            ("markers", b"\xff\xe0\0\x02"),
            ("fill bytes", b"\xff"),
            ("zeros", b"\0"),
            ("comments", b"\xff\xfe\xff\xff"),
        ];
        for (name, unit) in units {
            let movie = [b"\xff\xd8", &unit.repeat(4_000_000 / unit.len())[..]].concat();
            let mut walker = MovieWalker::new(MovieForm::of(&movie));
            let start = Instant::now();
            loop {
                match walker.step(&movie[..]).unwrap() {
                    Step::Frame { .. } => panic!("{name}: no frame"),
                    Step::End => break,
                    _ => {}
                }
                let Walker::Images(images) = &walker.walker else { panic!("images") };
                assert!(images.walker.memory() <= MAX_IMAGE_LEN, "{name}");
            }
            // Quadratic time would be minutes.
            let taken = start.elapsed();
            assert!(taken < Duration::from_secs(10), "{name}: {taken:?}");
        }
    }
}
