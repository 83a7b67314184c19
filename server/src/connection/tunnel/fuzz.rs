// SPDX-License-Identifier: MIT OR Apache-2.0
//! HTTP tunnels: any bytes decode to the same in pieces of any length, and to no more bytes than
//! there were.

use super::*;
use crate::fuzz_words::expand;
use bolero::check;

/// Decodes bytes in pieces of a length. Returns the decoded bytes, and whether all were base64.
fn decoded(bytes: &[u8], length: usize) -> (Vec<u8>, Result<(), NotBase64>) {
    let (mut decoder, mut out) = (Base64::default(), Vec::new());
    for piece in bytes.chunks(length.max(1)) {
        if decoder.decode(piece, &mut out).is_err() {
            return (out, Err(NotBase64));
        }
    }
    (out, Ok(()))
}

#[test]
fn tunnel_base64() {
    check!().with_type().for_each(|(input, length): &(Vec<u8>, u8)| {
        let whole = decoded(input, input.len());
        assert!(whole.0.len() <= input.len());
        assert_eq!(decoded(input, 1), whole);
        assert_eq!(decoded(input, usize::from(*length)), whole);
        // Encoding and decoding returns the same bytes, also with line ends between.
        let mut text = STANDARD.encode(input).into_bytes();
        assert_eq!(decoded(&text, usize::from(*length)), (input.clone(), Ok(())));
        text.splice(text.len() / 2..text.len() / 2, *b"\r\n ");
        assert_eq!(decoded(&text, 1), (input.clone(), Ok(())));
    });
}

/// Pieces of HTTP requests.
const WORDS: [&[u8]; 10] = [
    b"GET /m HTTP/1.0\r\n",
    b"POST /m HTTP/1.0\r\n",
    b"x-sessioncookie: c\r\n",
    b"X-SessionCookie:",
    b"\r\n",
    b"\r\n\r\n",
    b"\r",
    b"HEAD ",
    b": ",
    b"\xff",
];

#[test]
fn http_request() {
    check!().for_each(|input: &[u8]| {
        for bytes in [input.to_vec(), expand(input, &WORDS)] {
            let whole = HttpRequest::read(&bytes);
            if bytes.len() > MAX_REQUEST {
                continue;
            }
            let Some((request, length)) = &whole else { continue };
            assert!(*length <= bytes.len());
            if let HttpRequest::Get { cookie } | HttpRequest::Post { cookie } = request {
                assert!(!cookie.is_empty() && cookie.len() <= MAX_COOKIE);
            }
            // The request is complete with its last byte, and not before.
            assert_eq!(HttpRequest::read(&bytes[..*length]), whole);
            let before = length.checked_sub(1).and_then(|end| bytes.get(..end));
            assert_eq!(before.and_then(HttpRequest::read), None);
        }
    });
}
