// SPDX-License-Identifier: MIT OR Apache-2.0
//! Movies as they are broken in the wild, made by code, with what must become of each.

use crate::peer::libjpeg::{Picture, cjpeg};
use anyhow::{Result, ensure};
use gstmjpegfile::movie::PREFIX_LEN;

/// One of them.
#[derive(Debug)]
pub struct Broken {
    /// The problem.
    pub name: &'static str,
    /// The file.
    pub bytes: Vec<u8>,
    /// The lines that `mjpeg-movie check` prints; nothing, if it is good.
    pub wrong: Option<String>,
    /// What `check` says of its form, if it has no lengths.
    pub form: Option<&'static str>,
    /// The frames that a reader delivers, as they are; an error, if there is none.
    pub delivered: Vec<Vec<u8>>,
    /// The frames that `mjpeg-movie repair` writes; nothing, if it refuses.
    pub saved: Option<Vec<Vec<u8>>>,
}

fn record(digits: &[u8], image: &[u8]) -> Vec<u8> {
    [digits, image].concat()
}

fn counted(image: &[u8]) -> Vec<u8> {
    record(format!("{:05}", image.len()).as_bytes(), image)
}

fn row(
    name: &'static str,
    parts: &[&[u8]],
    wrong: &str,
    delivered: &[&[u8]],
    saved: &[&[u8]],
) -> Broken {
    let owned = |images: &[&[u8]]| images.iter().map(|it| it.to_vec()).collect::<Vec<_>>();
    Broken {
        name,
        bytes: parts.concat(),
        wrong: (!wrong.is_empty()).then(|| wrong.to_owned()),
        form: None,
        delivered: owned(delivered),
        saved: (!saved.is_empty()).then(|| owned(saved)),
    }
}

/// All of them, of four images.
///
/// # Errors
/// If there are fewer, or no large one can be made.
pub fn movies(images: &[Vec<u8>]) -> Result<Vec<Broken>> {
    let [a, b, c, d] = images else { anyhow::bail!("four images") };
    let (a, b, c, d) = (&a[..], &b[..], &c[..], &d[..]);
    let [ra, rb, rc, rd] = [a, b, c, d].map(counted);
    let (ra, rb, rc, rd) = (&ra[..], &rb[..], &rc[..], &rd[..]);
    let two = [b, c].concat();
    let padded = [b, b"xyz"].concat();
    let (endless, cut) = (&b[..b.len() - 2], &b[..b.len() / 2]);
    let large = cjpeg(&Picture::made(1600, 1200), &["-quality", "75"])?;
    ensure!(large.len() > 99_999, "{}", large.len());
    let second = format!("frame 2, byte {}: ", ra.len());
    let image = format!("frame 2, byte {}: ", ra.len() + 5);
    let at = |place: &str, what: &str| format!("{place}{what}");
    let no_end = "the image has no end marker (FF D9): it was truncated or never completed";
    let zeros = vec![b'0'; 100_000];
    let text = b"hello world, hello";
    let six = [a, b].map(|image| record(format!("{:06}", image.len()).as_bytes(), image)).concat();
    let six_wrong = format!(
        "frame 1, byte 0: {}\nframe 2, byte {}: {}",
        six_digits(a),
        a.len() + 6,
        six_digits(b)
    );
    let mut rows = vec![
        row("good", &[ra, rb], "", &[a, b], &[a, b]),
        row(
            "two images under one length",
            &[ra, &counted(&two), rd],
            &at(&image, &format!("another image follows at byte {}", ra.len() + 5 + b.len())),
            &[a, &two, d],
            &[a, b, c, d],
        ),
        row(
            "bytes after the image",
            &[ra, &counted(&padded)],
            &at(&image, "3 bytes after the end of the image"),
            &[a, &padded],
            &[a, b],
        ),
        row(
            "no end of image",
            &[ra, &counted(endless), rc],
            &at(&image, no_end),
            &[a, endless, c],
            &[a, b, c],
        ),
        row("a cut image", &[ra, &counted(cut), rc], &at(&image, no_end), &[a, cut, c], &[a, c]),
        row(
            "past the end",
            &[ra, b"90000", &b[..1000]],
            &at(
                &second,
                "the record states 90000 bytes, the file ends after 1000; 1005 bytes skipped",
            ),
            &[a],
            &[a],
        ),
        row(
            "empty records",
            &[ra, &zeros, rb],
            &at(&second, "length prefix is 00000; 100000 bytes skipped"),
            &[a, b],
            &[a, b],
        ),
        row(
            "no JPEG",
            &[ra, b"00011hello world", rb],
            &at(
                &second,
                "the 11 bytes of the record are not a JPEG image: they do not start with FF D8; 16 bytes \
                 skipped",
            ),
            &[a, b],
            &[a, b],
        ),
        row("a tail", &[ra, b"000"], &at(&second, "3 bytes after the last record"), &[a], &[a]),
        row("six digits", &[&six], &six_wrong, &[a, b], &[a, b]),
        row("text", &[text], &not_digits("frame 1, byte 0: ", text, text.len()), &[], &[]),
        row("nothing", &[], "frame 1, byte 0: the file is empty", &[], &[]),
        row(
            "an image that no movie holds",
            &[ra, &large],
            &not_digits(&second, &large, large.len()),
            &[a],
            &[a, &large],
        ),
    ];
    rows.extend(bad_prefixes(a, b, c));
    rows.extend(unusual_images(a, b, c)?);
    rows.extend(without_lengths(a, b, c)?);
    Ok(rows)
}

/// Movies without lengths: images one after another, and recorded multipart streams.
fn without_lengths(a: &[u8], b: &[u8], c: &[u8]) -> Result<Vec<Broken>> {
    let plain = |row: Broken| Broken { form: Some("the images have no lengths"), ..row };
    let multipart =
        |row: Broken| Broken { form: Some("the movie is a recorded multipart stream"), ..row };
    let (endless, cut) = (&b[..b.len() - 2], &c[..c.len() / 2]);
    let second = format!("frame 2, byte {}: ", a.len());
    let cut_wrong = format!(
        "frame 3, byte {}: the image is damaged: the image is truncated: the end of its scan is \
         missing; {} bytes skipped",
        a.len() + b.len(),
        cut.len()
    );
    let no_end = "the image has no end marker (FF D9): it was truncated or never completed";
    let thumbnail = cjpeg(&Picture::made(16, 16), &[])?;
    let with_thumbnail = |image: &[u8]| -> Result<Vec<u8>> {
        let length = u16::try_from(thumbnail.len() + 8)?.to_be_bytes();
        let exif = [b"\xff\xe1", &length[..], b"Exif\0\0", &thumbnail].concat();
        Ok([&image[..2], &exif, &image[2..]].concat())
    };
    let (first, last) = (&with_thumbnail(a)?[..], &with_thumbnail(b)?[..]);
    let part = |length: &str| format!("\r\n--frame\r\nContent-Type: image/jpeg\r\n{length}\r\n");
    let length = |image: &[u8]| part(&format!("Content-Length: {}\r\n", image.len())).into_bytes();
    let (la, lb, lc) = (&length(a)[..], &length(b)[..], &length(c)[..]);
    let no_length = part("").into_bytes();
    Ok(vec![
        plain(row("two plain images", &[a, b], "", &[a, b], &[a, b])),
        plain(row("plain images and zeros", &[a, &[0; 99], b, &[0]], "", &[a, b], &[a, b])),
        plain(row(
            "plain images with junk between them",
            &[a, b"junk", b],
            &format!("{second}the bytes belong to no image; 4 bytes skipped"),
            &[a, b],
            &[a, b],
        )),
        plain(row("plain images, the last one cut", &[a, b, cut], &cut_wrong, &[a, b], &[a, b])),
        plain(row(
            "plain images, one without an end",
            &[a, endless, c],
            &format!("{second}{no_end}"),
            &[a, endless, c],
            &[a, b, c],
        )),
        plain(row(
            "plain images with thumbnails",
            &[first, last],
            "",
            &[first, last],
            &[first, last],
        )),
        multipart(row(
            "a multipart stream",
            &[&la[2..], a, lb, b, lc, c, b"\r\n--frame--\r\n"],
            "",
            &[a, b, c],
            &[a, b, c],
        )),
        multipart(row(
            "a multipart stream without Content-Length",
            &[&no_length, a, &no_length, b, &no_length, c],
            "",
            &[a, b, c],
            &[a, b, c],
        )),
    ])
}

/// Movies whose second image has stray bytes, or an unusual form that is legal.
fn unusual_images(a: &[u8], b: &[u8], c: &[u8]) -> Result<[Broken; 3]> {
    let (first, third) = (&counted(a)[..], &counted(c)[..]);
    let tables = b.windows(2).position(|pair| pair == [0xff, 0xdb]).unwrap_or_default();
    let stray = [&b[..tables], b"\0stray\xff\0", &b[tables..]].concat();
    let comment = [&b[..b.len() - 2], b"\xff\xfe\0\x06text\xff\xd9"].concat();
    let progressive = cjpeg(&Picture::made(384, 288), &["-progressive"])?;
    let zeros = [&progressive[..], &[0; 7]].concat();
    let start = first.len() + PREFIX_LEN;
    let wrong = format!(
        "frame 2, byte {start}: stray bytes between the segments of the image at byte {}",
        start + tables
    );
    Ok([
        row(
            "stray bytes in an image",
            &[first, &counted(&stray), third],
            &wrong,
            &[a, &stray, c],
            &[a, b, c],
        ),
        row(
            "a comment after the scan",
            &[first, &counted(&comment)],
            "",
            &[a, &comment],
            &[a, &comment],
        ),
        row(
            "a progressive image and zeros",
            &[first, &counted(&zeros)],
            "",
            &[a, &zeros],
            // `check` accepts it, so `repair` does not change it.
            &[a, &zeros],
        ),
    ])
}

/// What `check` prints of a length prefix that is not five digits, and of the record with it.
fn not_digits(place: &str, record: &[u8], length: usize) -> String {
    let prefix = record.get(..PREFIX_LEN).unwrap_or_default().escape_ascii();
    format!("{place}length prefix \"{prefix}\" is not five ASCII digits; {length} bytes skipped")
}

/// What `check` prints of a length with six digits.
fn six_digits(image: &[u8]) -> String {
    let length = image.len() / 10;
    format!(
        "the {length} bytes of the record are not a JPEG image: they do not start with FF D8; 1 byte \
         skipped"
    )
}

/// Movies of three images, the second of which has another prefix than five digits.
fn bad_prefixes(a: &[u8], b: &[u8], c: &[u8]) -> Vec<Broken> {
    let (first, third) = (&counted(a)[..], &counted(c)[..]);
    let second = format!("frame 2, byte {}: ", first.len());
    let prefixes: [(&str, &[u8]); 7] = [
        ("a sign in the length", b"+0616"),
        ("a blank in the length", b" 0616"),
        ("a hexadecimal length", b"0x1A2"),
        ("NUL in the length", b"616\0\0"),
        ("a line end in the length", b"616\r\n"),
        ("a byte order mark", b"\xef\xbb\xbf06"),
        ("digits of another script", b"\xd9\xa6\xd9\xa1\xd9"),
    ];
    let rows = prefixes.map(|(name, prefix)| {
        let wrong = not_digits(&second, prefix, PREFIX_LEN + b.len());
        row(name, &[first, prefix, b, third], &wrong, &[a, c], &[a, b, c])
    });
    rows.into()
}

/// Images that must not reach a decoder, made from a good one: the problem, and the
/// bytes.
///
/// # Errors
/// If the image lacks a segment that is to be broken.
pub fn images(good: &[u8]) -> Result<Vec<(&'static str, Vec<u8>)>> {
    let find = |marker: u8| {
        let at = good.windows(2).position(|pair| pair == [0xff, marker]);
        at.ok_or_else(|| anyhow::anyhow!("no marker {marker:02x}"))
    };
    let (dqt, sof, sos) = (find(0xdb)?, find(0xc0)?, find(0xda)?);
    let length = |at: usize| usize::from(u16::from_be_bytes([good[at + 2], good[at + 3]]));
    let scan = sos + 2 + length(sos);
    let with = |at: usize, bytes: &[u8]| {
        let mut image = good.to_vec();
        image[at..at + bytes.len()].copy_from_slice(bytes);
        image
    };
    let without = |at: usize| {
        let mut image = good.to_vec();
        image.drain(at..at + 2 + length(at));
        image
    };
    let twice = |at: usize| [&good[..at + 2 + length(at)], &good[at..]].concat();
    let eoi = [0xff, 0xd9];
    Ok(vec![
        ("SOS lies about its length", with(sos + 2, &[0, 3])),
        ("SOS of nine components", with(sos + 4, &[9])),
        ("SOS of length 0", with(sos + 2, &[0, 0])),
        ("no SOS", [&good[..sos], &eoi].concat()),
        ("the image ends at SOS", [&good[..scan], &eoi].concat()),
        ("DQT of length 0", with(dqt + 2, &[0, 0])),
        ("DQT of length 1", with(dqt + 2, &[0, 1])),
        ("DQT past the end", with(dqt + 2, &[0xff, 0xff])),
        ("DQT of table 15", with(dqt + 4, &[15])),
        ("no SOF", without(sof)),
        ("two SOF", twice(sof)),
        ("0x0", with(sof + 5, &[0, 0, 0, 0])),
        ("65535x65535", with(sof + 5, &[0xff; 4])),
        ("a marker inside the scan", with(scan + 20, &[0xff, 0xc4])),
    ])
}
