// SPDX-License-Identifier: MIT OR Apache-2.0
//! For any bytes: the requests are the same in pieces of any length, and the buffer stays within its
//! limits.

use super::*;
use crate::fuzz_words::expand;
use bolero::check;

/// Pieces of requests.
const WORDS: [&[u8]; 32] = [
    b"OPTIONS * RTSP/1.0\r\n",
    b"GET_PARAMETER rtsp://h/m RTSP/1.0\r\n",
    b"PLAY rtsp://h/m RTSP/1.0\n",
    b"RTSP/1.0 200 OK\r\n",
    b"CSeq: 1\r\n",
    b"CSeq: 2\n",
    b"CSeq: -\r\n",
    b"cseq:3\r\n",
    b"Content-Length: 3\r\n",
    b"Content-Length: 0\r\n",
    b"content-length : 70000\r\n",
    b"Content-Length: x\r\n",
    b"Content-Length: 65536\r\n",
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\n\n",
    b"abc",
    b"$",
    b"$\x00\x00\x00",
    b"$\x01\x00\x02ab",
    b"$\x01\x00",
    b"$\x01\xff\xff",
    b"X: \xff\r\n",
    b"X\r\n",
    b":",
    b" ",
    b"\t",
    b"Session: 1\r\n",
    b"RTSP/2.0",
    b"FETCH a RTSP/1.0\r\n",
];

/// Reads bytes in pieces of these lengths, which are repeated.
fn read(bytes: &[u8], lengths: &[u8]) -> Vec<Result<Incoming, Unreadable>> {
    let mut reader = RequestReader::default();
    let mut lengths = lengths.iter().cycle();
    let mut rest = bytes;
    let mut all = Vec::new();
    while !rest.is_empty() {
        let length = lengths.next().map_or(rest.len(), |length| usize::from(*length) + 1);
        let (piece, after) = rest.split_at(length.min(rest.len()));
        rest = after;
        reader.push(piece);
        loop {
            match reader.next() {
                Ok(Some(incoming)) => all.push(Ok(incoming)),
                Ok(None) => break,
                Err(unreadable) => {
                    all.push(Err(unreadable));
                    return all;
                }
            }
        }
        // An interleaved packet is up to 64 KiB long, and has a prefix of 4 bytes.
        let limit = DEFAULT_LIMIT + 4 + length;
        assert!(reader.buffer.len() <= limit, "{} bytes are buffered", reader.buffer.len());
        if reader.buffer.is_empty() {
            assert!(reader.buffer.capacity() <= MAX_EMPTY_CAPACITY, "{}", reader.buffer.capacity());
        }
    }
    all
}

#[test]
fn request_reader() {
    check!().with_type().for_each(|(input, lengths): &(Vec<u8>, [u8; 4])| {
        let bytes = expand(input, &WORDS);
        let whole = read(&bytes, &[]);
        assert_eq!(read(&bytes, &[0]), whole, "byte by byte");
        assert_eq!(read(&bytes, lengths), whole, "in pieces of {lengths:?}");
    });
}
