// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mutations of requests: of single parts, of their bytes, and interleaved packets between them.

use super::random::Random;
use super::request::Request;

/// Bytes with a meaning in one of the protocols.
const BYTES: &[u8] = b"\0\r\n\t :;,=-$/%*?#\"+.0919\x16\x1b\x7f\x80\xc3\xff";

/// Header values that parsers often handle wrongly.
const VALUES: [&[u8]; 32] = [
    b"",
    b" ",
    b"0",
    b"-1",
    b"+1",
    b"1.5",
    b"1e300",
    b"nan",
    b"inf",
    b"4294967296",
    b"18446744073709551616",
    b"99999999999999999999999999",
    b"0x10",
    b"npt=",
    b"npt=1e9-",
    b"npt=9000000000-",
    b"npt=0-0.000000001",
    b"RTP/AVP;client_port=",
    b"RTP/AVP;;;;=;client_port=-",
    b"RTP/AVP/TCP;interleaved=0-1;interleaved=2-3",
    b"RTP/UDP; client_port= ",
    b"rtsp://127.0.0.1/%ff%00%2f..",
    b"\xf0\x9f\x8e\xac\xed\xa0\x80",
    b"%s%n%x{}",
    b"Basic YW5hOnNlY3JldA==",
    b"Basic Og==",
    b"Basic =",
    b"Digest ",
    b"Digest username=\"a\", realm=\"mjpeg-rtsp\", nonce=\"0\", uri=\"*\", response=\"0\"",
    b"Digest username=\"a\", username=\"b\", nc=00000001, qop=auth, cnonce=\"\"",
    b"Digest algorithm=SHA-256, response=\"\\",
    b"Bearer x",
];

/// Names of headers that a server reads.
const NAMES: [&[u8]; 11] = [
    b"CSeq",
    b"Session",
    b"Transport",
    b"Range",
    b"Scale",
    b"Speed",
    b"Require",
    b"Content-Length",
    b"x-sessioncookie",
    b"Content-Base",
    b"Authorization",
];

const LINE_ENDS: [&str; 7] = ["\r\n", "\n", "\r", "\n\r", "\r\r\n", "\r\n ", ""];

/// Mutates one part of a request.
pub(crate) fn mutate_request(random: &mut Random, request: &mut Request) {
    let header = random.below(request.headers.len());
    match random.below(14) {
        0 => mutate_bytes(random, &mut request.method),
        1 => mutate_bytes(random, &mut request.uri),
        2 => mutate_bytes(random, &mut request.version),
        3 => mutate_bytes(random, &mut request.body),
        4 => request.line_end = random.pick(&LINE_ENDS),
        5 => {
            let name = random.pick(&NAMES).to_vec();
            let value = random.pick(&VALUES).to_vec();
            request.headers.insert(header, (name, value));
        }
        6 if !request.headers.is_empty() => {
            request.headers.remove(header);
        }
        7 => {
            if let Some(copy) = request.headers.get(header).cloned() {
                request.headers.push(copy);
            }
        }
        8 => {
            // Rarely longer than any limit.
            let limit = if random.chance(3) { 70_000 } else { 500 };
            let value = vec![random.pick(b"x0 ;"); random.below(limit)];
            request.headers.push((random.pick(&NAMES).to_vec(), value));
        }
        9 => request.method.make_ascii_lowercase(),
        10 => {
            request.version = random.pick(&["RTSP/2.0", "RTSP/1.1", "HTTP/1.0", ""]).into();
        }
        11 => {
            if let Some((name, _)) = request.headers.get_mut(header) {
                mutate_bytes(random, name);
            }
        }
        12 => {
            if let Some((_, value)) = request.headers.get_mut(header) {
                *value = random.pick(&VALUES).to_vec();
            }
        }
        _ => {
            if let Some((_, value)) = request.headers.get_mut(header) {
                mutate_bytes(random, value);
            }
        }
    }
}

/// Applies one random mutation to bytes.
pub(crate) fn mutate_bytes(random: &mut Random, bytes: &mut Vec<u8>) {
    let at = random.below(bytes.len() + 1);
    let length = random.below((bytes.len() - at).min(20) + 1);
    match random.below(8) {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = random.byte();
            }
        }
        1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = random.pick(BYTES);
            }
        }
        2 => bytes.insert(at, random.pick(BYTES)),
        3 => {
            bytes.splice(at..at, random.pick(&VALUES).iter().copied());
        }
        4 => {
            bytes.drain(at..at + length);
        }
        5 => {
            let copy = bytes.get(at..at + length).unwrap_or_default().to_vec();
            bytes.splice(at..at, copy);
        }
        6 => bytes.truncate(at),
        _ => {
            let noise: Vec<u8> = (0..random.below(9)).map(|_| random.byte()).collect();
            bytes.splice(at..at, noise);
        }
    }
}

/// An interleaved packet from the client; sometimes its length field does not match its length.
pub(crate) fn packet(random: &mut Random) -> Vec<u8> {
    let length = if random.chance(5) { random.below(3000) } else { random.below(64) };
    let stated = if random.chance(10) { random.below(300) } else { length };
    let [high, low] = u16::try_from(stated).unwrap_or(u16::MAX).to_be_bytes();
    let channel = if random.chance(80) { 1 } else { random.byte() };
    let mut packet = vec![b'$', channel, high, low];
    packet.extend((0..length).map(|_| random.byte()));
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_request_can_be_mutated() {
        let mut random = Random::of_connection(1, 1);
        for start in [&b""[..], b"x", b"PLAY rtsp://127.0.0.1/movie RTSP/1.0"] {
            let mut bytes = start.to_vec();
            for _ in 0..2000 {
                mutate_bytes(&mut random, &mut bytes);
                bytes.truncate(300);
            }
        }
        for _ in 0..2000 {
            let mut request = Request::default();
            mutate_request(&mut random, &mut request);
            mutate_request(&mut random, &mut request);
            assert!(request.to_bytes().len() < 200_000);
        }
    }
}
