// SPDX-License-Identifier: MIT OR Apache-2.0
//! The course lab's control messages, which look like RTSP and are not: the requests of its many
//! clients are read liberally, replies are written to the byte. `docs/lab-protocol.md` is the
//! specification.
//!
//! Code in here takes bytes and gives values; it opens no socket and asks no clock.

#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod explain;
mod framer;
mod reply;
mod request;
#[cfg(test)]
mod tests;

pub use explain::{Explanation, explain_reply, explain_request, explain_rtp};
pub use framer::{Framer, FramerError, MAX_REQUEST};
pub use reply::{Description, Reply, ReplyError, Status};
pub use request::{Dialect, LineEnd, LineFormat, Method, Request, RequestError, RequestForm};
