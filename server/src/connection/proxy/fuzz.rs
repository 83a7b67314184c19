// SPDX-License-Identifier: MIT OR Apache-2.0
//! For any bytes: a header is the same whatever follows it, and is found once it is complete.

use super::*;
use crate::fuzz_words::expand;
use bolero::check;

/// Pieces of headers.
const WORDS: [&[u8]; 20] = [
    b"PROXY ",
    b"TCP4 ",
    b"TCP6 ",
    b"UNKNOWN",
    b"10.0.0.1 ",
    b"fd00::1 ",
    b"::ffff:10.0.0.9 ",
    b"1 ",
    b"65535",
    b"65536",
    b" ",
    b"\r\n",
    SIGNATURE,
    b"\x21\x11\x00\x0c",
    b"\x21\x21\x00\x24",
    b"\x20\x00\x00\x00",
    b"\x21\x11\xff\xff",
    b"\x0a\x00\x00\x01\x0a\x00\x00\x02\x00\x01\x00\x02",
    b"\xfd\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01",
    b"OPTIONS * RTSP/1.0\r\n",
];

#[test]
fn proxy_header() {
    check!().with_type().for_each(|input: &Vec<u8>| {
        let bytes = expand(input, &WORDS);
        let header = Header::read(&bytes);
        if let Header::Complete { length, .. } = header {
            assert_eq!(Header::read(&bytes[..length]), header);
            assert_eq!(Header::read(&bytes[..length - 1]), Header::Incomplete);
            assert!(Header::starts(&bytes) && length <= FIXED + MAX_REST);
        }
        if header == Header::Incomplete {
            assert!(bytes.len() < FIXED + MAX_REST);
        }
    });
}
