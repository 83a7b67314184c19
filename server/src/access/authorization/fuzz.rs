// SPDX-License-Identifier: MIT OR Apache-2.0
//! For any value of `Authorization`: what is read is limited, and no value is read and then logged.

use super::*;
use crate::access::redact::redacted;
use crate::fuzz_words::expand;
use bolero::check;

/// Pieces of credentials.
const WORDS: [&[u8]; 32] = [
    b"Digest ",
    b"Basic ",
    b"basic\t",
    b"Bearer ",
    b"username=\"ana\"",
    b"realm=\"mjpeg-rtsp\"",
    b"nonce=\"00\"",
    b"uri=\"rtsp://h/m\"",
    b"response=\"00\"",
    b"algorithm=MD5",
    b"algorithm=\"SHA-256\"",
    b"algorithm=MD5-sess",
    b"qop=auth",
    b"qop=\"auth-int\"",
    b"nc=00000001",
    b"nc=ffffffff",
    b"nc=+0000001",
    b"cnonce=\"c\"",
    b"opaque=",
    b"username=",
    b"uri=",
    b"\"",
    b"\\",
    b"\\\"",
    b", ",
    b",",
    b"=",
    b" ",
    b"YW5hOnNlY3JldA==",
    b"YW5h",
    b"\xc3\xa9",
    b"*",
];

#[test]
fn credentials() {
    check!().with_type().for_each(|input: &Vec<u8>| {
        let bytes = expand(input, &WORDS);
        let Ok(text) = std::str::from_utf8(&bytes) else { return };
        match Credentials::parse(text) {
            Ok(Credentials::Basic { name, password }) => {
                assert!(!name.contains(':') && name.len() + password.len() <= 3 * MAX_LENGTH);
            }
            Ok(Credentials::Digest(digest)) => {
                assert!(digest.qop.is_none_or(|qop| qop.nc.len() == 8));
            }
            Err(_) => {}
        }
        let header = format!("Authorization: {}", text.replace(['\r', '\n'], " "));
        assert_eq!(redacted(&header), "Authorization: ***");
    });
}
