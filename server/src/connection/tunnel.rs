// SPDX-License-Identifier: MIT OR Apache-2.0
//! RTSP through HTTP, as QuickTime introduced it: a GET connection carries what the server sends, a
//! POST connection with the same `x-sessioncookie` what the client sends, in base64.

use super::limits::{Open, Origin};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// The longest HTTP request, in bytes.
pub const MAX_REQUEST: usize = 16 * 1024;

/// The longest cookie.
const MAX_COOKIE: usize = 256;

/// What an HTTP request wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpRequest {
    /// The half of a tunnel that the server sends in.
    Get {
        /// What the two halves have in common.
        cookie: String,
    },
    /// The half that the client sends in.
    Post {
        /// What the two halves have in common.
        cookie: String,
    },
    /// No tunnel: it is answered with this status line, and closed.
    Other(&'static str),
}

const NOT_FOUND: &str = "404 Not Found";

impl HttpRequest {
    /// Reads a request, and gives the number of its bytes; `None` until it is whole.
    pub fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let too_long = || (Self::Other("431 Request Header Fields Too Large"), bytes.len());
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            return (bytes.len() > MAX_REQUEST).then(too_long);
        };
        let length = end + 4;
        if length > MAX_REQUEST {
            return Some(too_long());
        }
        let Some(Ok(head)) = bytes.get(..end).map(std::str::from_utf8) else {
            return Some((Self::Other("400 Bad Request"), length));
        };
        let mut lines = head.lines();
        let method = lines.next().unwrap_or_default().split(' ').next().unwrap_or_default();
        let cookie = lines.find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.trim().eq_ignore_ascii_case("x-sessioncookie").then(|| value.trim().to_owned())
        });
        let cookie = cookie.filter(|cookie| !cookie.is_empty() && cookie.len() <= MAX_COOKIE);
        let request = match (method, cookie) {
            ("GET", Some(cookie)) => Self::Get { cookie },
            ("POST", Some(cookie)) => Self::Post { cookie },
            ("GET" | "POST", None) => Self::Other(NOT_FOUND),
            _ => Self::Other("405 Method Not Allowed"),
        };
        Some((request, length))
    }
}

/// A reply that ends a connection.
pub fn refusal(status: &str) -> String {
    let allow = if status.starts_with("405") { "Allow: GET, POST\r\n" } else { "" };
    format!("HTTP/1.0 {status}\r\n{allow}Content-Length: 0\r\nConnection: close\r\n\r\n")
}

/// The reply to a tunnel's GET.
pub const ACCEPTED: &str = "HTTP/1.0 200 OK\r\nCache-Control: no-store\r\nPragma: no-cache\r\n\
    Connection: close\r\nContent-Type: application/x-rtsp-tunnelled\r\n\r\n";

/// The client's half of a tunnel.
#[derive(Debug)]
pub struct PostHalf {
    /// Its connection.
    pub stream: TcpStream,
    /// What came after the request.
    pub first: Vec<u8>,
    /// Its place among the connections.
    pub open: Open,
}

type Waiting = HashMap<(Origin, String), Sender<PostHalf>>;

/// The tunnels of a server.
#[derive(Debug, Clone, Default)]
pub struct Tunnels(Arc<Mutex<Waiting>>);

impl Tunnels {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a tunnel, to be joined by its POST; `None` if the address has one of that cookie.
    pub fn open(&self, origin: Origin, cookie: String) -> Option<Tunnel> {
        let key = (origin, cookie);
        let mut waiting = self.waiting();
        if waiting.contains_key(&key) {
            return None;
        }
        let (sender, posts) = channel(1);
        waiting.insert(key.clone(), sender);
        Some(Tunnel { tunnels: self.clone(), key, posts })
    }

    /// Hands a POST to its tunnel, if that is open, from the same address, and takes it.
    pub fn join(&self, cookie: String, post: PostHalf) -> bool {
        // Taken from under the lock first: what is sent may be dropped, with its place.
        let sender = self.waiting().get(&(post.open.origin(), cookie)).cloned();
        sender.is_some_and(|sender| sender.try_send(post).is_ok())
    }
}

/// An open tunnel; closed when dropped.
#[derive(Debug)]
pub struct Tunnel {
    tunnels: Tunnels,
    key: (Origin, String),
    /// The POST, and those that take its place: clients may close one and open another.
    pub posts: Receiver<PostHalf>,
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.tunnels.waiting().remove(&self.key);
    }
}

/// Bytes that are no base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotBase64;

/// Decodes base64 that comes in any pieces. Each request may be encoded by itself, so that `=` may
/// end a group of four anywhere; line ends and blanks are passed over.
#[derive(Debug, Default)]
pub struct Base64 {
    group: Vec<u8>,
}

impl Base64 {
    /// Decodes what is complete by now.
    ///
    /// # Errors
    /// If it is no base64; what comes after it is of no use.
    pub fn decode(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), NotBase64> {
        for byte in bytes.iter().filter(|byte| !byte.is_ascii_whitespace()) {
            self.group.push(*byte);
            if self.group.len() == 4 {
                STANDARD.decode_vec(&self.group, out).map_err(|_| NotBase64)?;
                self.group.clear();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_halves_of_tunnels_or_refused() {
        let get = |cookie: &str| HttpRequest::Get { cookie: cookie.to_owned() };
        let post = |cookie: &str| HttpRequest::Post { cookie: cookie.to_owned() };
        let endless = vec![b'x'; MAX_REQUEST + 1];
        let long = format!("GET / HTTP/1.0\r\nX: {}\r\n\r\n", "x".repeat(MAX_REQUEST));
        let cookie = format!("GET / HTTP/1.0\r\nx-sessioncookie: {}\r\n\r\n", "x".repeat(300));
        let rows: [(&[u8], Option<HttpRequest>); 11] = [
            (b"GET /m HTTP/1.0\r\nX-SessionCookie: a b\r\n\r\n", Some(get("a b"))),
            (b"POST /m HTTP/1.0\r\nx-sessioncookie:c\r\n\r\nabcd", Some(post("c"))),
            (b"GET /m HTTP/1.0\r\nx-sessioncookie: c\r\n", None),
            (b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", Some(HttpRequest::Other(NOT_FOUND))),
            (b"POST / HTTP/1.1\r\n\r\n", Some(HttpRequest::Other(NOT_FOUND))),
            (b"GET / HTTP/1.1\r\nx-sessioncookie:\r\n\r\n", Some(HttpRequest::Other(NOT_FOUND))),
            (b"HEAD / HTTP/1.1\r\n\r\n", Some(HttpRequest::Other("405 Method Not Allowed"))),
            (b"GET / HTTP/1.1\r\nX: \xff\r\n\r\n", Some(HttpRequest::Other("400 Bad Request"))),
            (long.as_bytes(), Some(HttpRequest::Other("431 Request Header Fields Too Large"))),
            (&endless, Some(HttpRequest::Other("431 Request Header Fields Too Large"))),
            (cookie.as_bytes(), Some(HttpRequest::Other(NOT_FOUND))),
        ];
        for (bytes, want) in rows {
            let shown = bytes.get(..60).unwrap_or(bytes).escape_ascii();
            assert_eq!(HttpRequest::read(bytes).map(|(request, _)| request), want, "{shown}");
        }
        let (_, length) = HttpRequest::read(b"GET / HTTP/1.0\r\n\r\nrest").unwrap();
        assert_eq!(length, 18);
    }

    #[test]
    fn base64_is_decoded_in_any_pieces() {
        // "OPTIONS", encoded by itself twice, and cut by a line end.
        let text = b"T1BUSU9OUw==T1BU\r\nSU9OUw==";
        for size in 1..=text.len() {
            let (mut decoder, mut out) = (Base64::default(), Vec::new());
            for piece in text.chunks(size) {
                decoder.decode(piece, &mut out).unwrap();
            }
            assert_eq!(out, b"OPTIONSOPTIONS", "{size}");
        }
        for text in ["====", "T1B*", "\0\0\0\0", "T=BU"] {
            let decoded = Base64::default().decode(text.as_bytes(), &mut Vec::new());
            assert_eq!(decoded, Err(NotBase64), "{text}");
        }
    }
}
