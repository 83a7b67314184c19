// SPDX-License-Identifier: MIT OR Apache-2.0
//! Movies as they are broken in the wild, made by code, with what must become of each.

use crate::peer::libjpeg::{Picture, cjpeg};
use anyhow::{Result, ensure};

/// One of them.
#[derive(Debug)]
pub struct Broken {
    /// What is the matter with it.
    pub name: &'static str,
    /// The file.
    pub bytes: Vec<u8>,
    /// What `mjpeg-movie check` says of it; nothing, if it is good.
    pub wrong: Option<String>,
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
    let zeros = vec![b'0'; 100_000];
    let six = [a, b].map(|image| record(format!("{:06}", image.len()).as_bytes(), image)).concat();
    let mut rows = vec![
        row("good", &[ra, rb], "", &[a, b], &[a, b]),
        row(
            "two images under one length",
            &[ra, &counted(&two), rd],
            &at(&image, "another image follows"),
            &[a, &two, d],
            &[a, b, c, d],
        ),
        row(
            "bytes behind the image",
            &[ra, &counted(&padded)],
            &at(&image, "3 bytes follow"),
            &[a, &padded],
            &[a, b],
        ),
        row(
            "no end of image",
            &[ra, &counted(endless), rc],
            &at(&image, "the image has no end"),
            &[a, endless, c],
            &[a, b, c],
        ),
        row(
            "a cut image",
            &[ra, &counted(cut), rc],
            &at(&image, "the image has no end"),
            &[a, cut, c],
            &[a, c],
        ),
        row(
            "past the end",
            &[ra, b"90000", &b[..1000]],
            &at(&second, "the record states 90000 bytes"),
            &[a],
            &[a],
        ),
        row(
            "empty records",
            &[ra, &zeros, rb],
            &at(&second, "length prefix is 00000"),
            &[a, b],
            &[a, b],
        ),
        row(
            "no JPEG",
            &[ra, b"00011hello world", rb],
            &at(&second, "the 11 bytes of the record are not"),
            &[a, b],
            &[a, b],
        ),
        row("a tail", &[ra, b"000"], &at(&second, "3 bytes after the last record"), &[a], &[a]),
        row("plain images", &[a, b, c, d], "plain concatenated", &[], &[a, b, c, d]),
        row("six digits", &[&six], "frame 1, byte 0: ", &[a, b], &[a, b]),
        row("text", &[b"hello world, hello"], "no frame in the file", &[], &[]),
        row("nothing", &[], "no frame in the file", &[], &[]),
        row("an image that no movie holds", &[ra, &large], &second, &[a], &[a, &large]),
    ];
    let prefixes: [(&str, &[u8]); 7] = [
        ("a sign in the length", b"+0616"),
        ("a blank in the length", b" 0616"),
        ("a hexadecimal length", b"0x1A2"),
        ("NUL in the length", b"616\0\0"),
        ("a line end in the length", b"616\r\n"),
        ("a byte order mark", b"\xef\xbb\xbf06"),
        ("digits of another script", b"\xd9\xa6\xd9\xa1\xd9"),
    ];
    for (name, prefix) in prefixes {
        let wrong = at(&second, "length prefix \"");
        rows.push(row(name, &[ra, prefix, b, rc], &wrong, &[a, c], &[a, b, c]));
    }
    Ok(rows)
}
