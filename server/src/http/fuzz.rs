// SPDX-License-Identifier: MIT OR Apache-2.0
//! For any bytes: a path leads to no other folder, a range lies within the file, and parameters are valid or refused.

use super::conditional::{Part, Validators};
use super::parameters::{ListParameters, StreamParameters, snapshot_position};
use super::target::{decode, parse};
use crate::fuzz_words::expand;
use bolero::check;
use hyper::header::{HeaderMap, HeaderValue, RANGE};

/// Pieces of paths, queries and ranges.
const WORDS: [&[u8]; 28] = [
    b"/",
    b"..",
    b".",
    b"%2e%2e",
    b"%2F",
    b"%5c",
    b"%00",
    b"%ff",
    b"%C3%A9",
    b"movie.mjpeg",
    b"/stream.mjpeg",
    b"/snapshot.jpg",
    b"/frames/",
    b".jpg",
    b"7",
    b"18446744073709551616",
    b"start=",
    b"frame:",
    b"speed=",
    b"framerate=",
    b"30000/1001",
    b"&",
    b"frame=",
    b"t=",
    b"limit=",
    b"bytes=",
    b"-",
    b",",
];

#[test]
fn http_parts() {
    check!().with_type().for_each(|input: &Vec<u8>| {
        let bytes = expand(input, &WORDS);
        let text = String::from_utf8_lossy(&bytes);
        let names = [parse(&text).map(|(name, _)| name), decode(&text)];
        for segment in names.iter().flatten().flat_map(|name| name.split('/')) {
            assert!(!matches!(segment, "" | "." | "..") && !segment.contains(['\0', '\\']));
        }
        if let Ok(parameters) = StreamParameters::parse(&text) {
            let rate = "20".parse().unwrap();
            assert!(parameters.step(rate) >= 1);
            assert!(parameters.speed.is_none_or(|speed| (0.25..=8.0).contains(&speed)));
            parameters.start.map(|start| start.frame(rate));
        }
        let _ = snapshot_position(&text);
        if let Ok(list) = ListParameters::parse(&text) {
            assert!((1..=1000).contains(&list.limit));
        }
        if let Ok(value) = HeaderValue::from_bytes(&bytes) {
            let headers = HeaderMap::from_iter([(RANGE, value)]);
            let validators = Validators { etag: "\"x\"".to_owned(), modified: None };
            if let Part::Bytes(range) = validators.part(&headers, 100) {
                assert!(range.start < range.end && range.end <= 100);
            }
        }
    });
}
