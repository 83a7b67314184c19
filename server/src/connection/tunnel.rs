// SPDX-License-Identifier: MIT OR Apache-2.0
//! RTSP through HTTP, as QuickTime introduced it: the server sends in the connection of a GET request,
//! the client sends base64 in the connection of a POST request with the same `x-sessioncookie`.

use super::limits::{ConnectionSlot, Origin};
use super::wire::Wire;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// The longest HTTP request in bytes.
pub const MAX_REQUEST: usize = 16 * 1024;

/// The longest cookie in bytes.
const MAX_COOKIE: usize = 256;

/// What an HTTP request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpRequest {
    /// The half of a tunnel in which the server sends.
    Get {
        /// The `x-sessioncookie`, which both halves have in common.
        cookie: String,
    },
    /// The half of a tunnel in which the client sends.
    Post {
        /// The `x-sessioncookie`, which both halves have in common.
        cookie: String,
    },
    /// The request is longer than [`MAX_REQUEST`].
    TooLong,
    /// Something other than a tunnel, which is refused with this status.
    Other(&'static str),
}

const NOT_FOUND: &str = "404 Not Found";

impl HttpRequest {
    /// Reads a request, and returns it with the number of its bytes; `None` until it is complete.
    pub fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let too_long = || (Self::TooLong, bytes.len());
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

/// The reply that refuses a request with a status such as `404 Not Found`.
pub fn refusal(status: &str) -> String {
    let allow = if status.starts_with("405") { "Allow: GET, POST\r\n" } else { "" };
    format!("HTTP/1.0 {status}\r\n{allow}Content-Length: 0\r\nConnection: close\r\n\r\n")
}

/// The reply to the GET of a tunnel.
pub const ACCEPTED: &str = "HTTP/1.0 200 OK\r\nCache-Control: no-store\r\nPragma: no-cache\r\n\
    Connection: close\r\nContent-Type: application/x-rtsp-tunnelled\r\n\r\n";

/// The client's half of a tunnel.
#[derive(Debug)]
pub struct PostHalf {
    /// The connection of the POST.
    pub(crate) wire: Wire,
    /// The bytes that were received after the POST request.
    pub first: Vec<u8>,
    /// Counts the connection of the POST.
    pub slot: ConnectionSlot,
}

/// Why a POST is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// There is no GET from the same address with the same cookie.
    #[error("no GET from the same address has its x-sessioncookie")]
    NoTunnel,
    /// Two POSTs of the tunnel are open already, of which the second waits for the first to end.
    #[error("another POST of its tunnel is waiting already")]
    Full,
}

/// For each open tunnel, the channel to the task that serves it.
type OpenTunnels = HashMap<(Origin, String), Sender<PostHalf>>;

/// The tunnels of a server.
#[derive(Debug, Clone, Default)]
pub struct Tunnels(Arc<Mutex<OpenTunnels>>);

impl Tunnels {
    fn lock(&self) -> MutexGuard<'_, OpenTunnels> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a tunnel for its GET; `None` if the address has a tunnel with the same cookie.
    pub fn open(&self, origin: Origin, cookie: String) -> Option<Tunnel> {
        let key = (origin, cookie);
        let mut open = self.lock();
        if open.contains_key(&key) {
            return None;
        }
        let (sender, posts) = channel(1);
        open.insert(key.clone(), sender);
        Some(Tunnel { tunnels: self.clone(), key, posts })
    }

    /// Passes a POST to the tunnel that its address and cookie belong to.
    ///
    /// # Errors
    /// If there is no such tunnel, or it accepts no POST now. The POST is dropped.
    pub fn join(&self, cookie: String, post: PostHalf) -> Result<(), JoinError> {
        // The lock is released before the POST is dropped: its slot takes other locks then.
        let sender = self.lock().get(&(post.slot.origin(), cookie)).cloned();
        sender.ok_or(JoinError::NoTunnel)?.try_send(post).map_err(|error| match error {
            TrySendError::Full(_) => JoinError::Full,
            TrySendError::Closed(_) => JoinError::NoTunnel,
        })
    }
}

/// An open tunnel. Dropping it closes the tunnel.
#[derive(Debug)]
pub struct Tunnel {
    tunnels: Tunnels,
    key: (Origin, String),
    /// Receives the first POST and later ones: clients may close a POST and open another.
    pub posts: Receiver<PostHalf>,
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.tunnels.lock().remove(&self.key);
    }
}

/// Some bytes are not base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotBase64;

/// Decodes base64 that is received in pieces of any length. Each request may be encoded separately,
/// so any group of four may end with `=`. White space is ignored.
#[derive(Debug, Default)]
pub struct Base64 {
    group: Vec<u8>,
}

impl Base64 {
    /// Decodes all groups of four that are complete, and appends the bytes to `out`.
    ///
    /// # Errors
    /// If the bytes are not base64. The decoder must not be used any more.
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
    fn a_request_is_half_of_a_tunnel_or_is_refused() {
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
            (long.as_bytes(), Some(HttpRequest::TooLong)),
            (&endless, Some(HttpRequest::TooLong)),
            (cookie.as_bytes(), Some(HttpRequest::Other(NOT_FOUND))),
        ];
        for (bytes, want) in rows {
            let printable = bytes.get(..60).unwrap_or(bytes).escape_ascii();
            assert_eq!(HttpRequest::read(bytes).map(|(request, _)| request), want, "{printable}");
        }
        let (_, length) = HttpRequest::read(b"GET / HTTP/1.0\r\n\r\nrest").unwrap();
        assert_eq!(length, 18);
    }

    #[test]
    fn base64_is_decoded_in_pieces_of_any_length() {
        // "OPTIONS", encoded separately twice, the second time with a line end.
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
