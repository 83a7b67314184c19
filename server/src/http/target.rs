// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the paths of URLs: the name of a movie, and what of the movie is asked for.

use percent_encoding::percent_decode_str;

/// What of a movie is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resource {
    /// The frames, each at its time.
    Stream,
    /// The current frame, or one that the query chooses.
    Snapshot,
    /// The frame with a number.
    Frame(u64),
    /// The file.
    Movie,
}

/// Reads what follows `/mounts/` in a path. The name of a movie may contain slashes, and any segment of it may be
/// one of the words that follow it here, so the path is read from its end.
pub(super) fn parse(path: &str) -> Option<(String, Resource)> {
    let (rest, last) = path.rsplit_once('/')?;
    let (name, resource) = match last {
        "stream.mjpeg" => (rest, Resource::Stream),
        "snapshot.jpg" => (rest, Resource::Snapshot),
        "movie.mjpeg" => (rest, Resource::Movie),
        frame => {
            let number = frame.strip_suffix(".jpg")?;
            let is_number = !number.is_empty() && number.bytes().all(|it| it.is_ascii_digit());
            let number = number.parse().ok().filter(|_| is_number)?;
            (rest.strip_suffix("/frames")?, Resource::Frame(number))
        }
    };
    Some((decode(name)?, resource))
}

/// The name of a movie in a path. Each segment is decoded once; `None` if it would not be a segment any more, or
/// is not UTF-8.
pub(super) fn decode(path: &str) -> Option<String> {
    let decoded = |segment: &str| {
        let text = percent_decode_str(segment).decode_utf8().ok()?;
        let is_segment = !matches!(&*text, "" | "." | "..") && !text.contains(['/', '\0', '\\']);
        is_segment.then(|| text.into_owned())
    };
    let segments: Option<Vec<String>> = path.split('/').map(decoded).collect();
    Some(segments?.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_path_is_the_resource_of_a_movie() {
        let rows = [
            ("movie.mjpeg/stream.mjpeg", Some(("movie.mjpeg", Resource::Stream))),
            ("cam/door.mjpeg/snapshot.jpg", Some(("cam/door.mjpeg", Resource::Snapshot))),
            ("a%20b%3F.mjpeg/movie.mjpeg", Some(("a b?.mjpeg", Resource::Movie))),
            ("m/frames/0.jpg", Some(("m", Resource::Frame(0)))),
            ("m/frames/18446744073709551615.jpg", Some(("m", Resource::Frame(u64::MAX)))),
            ("frames/frames/7.jpg", Some(("frames", Resource::Frame(7)))),
            ("stream.mjpeg/stream.mjpeg", Some(("stream.mjpeg", Resource::Stream))),
            ("%C3%A9.mjpeg/movie.mjpeg", Some(("\u{e9}.mjpeg", Resource::Movie))),
            ("m/frames/18446744073709551616.jpg", None),
            ("m/frames/+1.jpg", None),
            ("m/frames/-1.jpg", None),
            ("m/frames/1.jpeg", None),
            ("m/frames/.jpg", None),
            ("m/1.jpg", None),
            ("stream.mjpeg", None),
            ("/stream.mjpeg", None),
            ("//m/stream.mjpeg", None),
            ("m//stream.mjpeg", None),
            ("m/stream.mjpeg/", None),
            ("m/STREAM.mjpeg", None),
            ("../m/stream.mjpeg", None),
            ("a/./m/stream.mjpeg", None),
            ("%2e%2e/m/stream.mjpeg", None),
            ("..%2fm/stream.mjpeg", None),
            ("a%2Fm/stream.mjpeg", None),
            ("a%5cm/stream.mjpeg", None),
            ("m%00/stream.mjpeg", None),
            ("%ff/stream.mjpeg", None),
            ("", None),
        ];
        for (path, want) in rows {
            let want = want.map(|(name, resource)| (name.to_owned(), resource));
            assert_eq!(parse(path), want, "{path}");
        }
        // Decoded once only.
        assert_eq!(decode("%252e%252e"), Some("%2e%2e".to_owned()));
    }
}
