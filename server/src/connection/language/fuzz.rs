// SPDX-License-Identifier: MIT OR Apache-2.0
//! For any bytes: once the language is decided, more bytes do not change it.

use super::*;
use crate::fuzz_words::expand;
use bolero::check;

/// Pieces of first requests.
const WORDS: [&[u8]; 20] = [
    b"SETUP ",
    b"PLAY ",
    b"GET ",
    b"rtsp://h/m",
    b"*",
    b"movie.Mjpeg",
    b" RTSP/1.0",
    b" HTTP/1.0",
    b"\r",
    b" \t",
    b"\n",
    b"\r\n",
    b"Transport: RTP/AVP",
    b"Transport: RTP/UDP",
    b"transport",
    b":rtp/udp",
    b"CSeq: 1\r\n",
    b"\x16",
    b" ",
    b"RTP/UDP",
];

#[test]
fn language() {
    check!().for_each(|input: &[u8]| {
        for mut bytes in [input.to_vec(), expand(input, &WORDS)] {
            // The language of a longer first line is decided by its length.
            bytes.truncate(2000);
            let mut decided = None;
            for length in 0..=bytes.len() {
                let now = Language::of(&bytes[..length]);
                if decided.is_some() {
                    assert_eq!(now, decided, "{} bytes of {}", length, bytes.escape_ascii());
                }
                decided = now;
            }
        }
    });
}
