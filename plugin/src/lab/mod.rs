// SPDX-License-Identifier: MIT OR Apache-2.0
//! The control messages of the course lab, which resemble RTSP but are not. Requests are accepted in
//! all forms that lab clients send; replies have exactly the bytes that lab clients expect.
//! `docs/lab-protocol.md` is the specification.
//!
//! This code converts bytes to values; it opens no sockets and reads no clocks.

#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod explain;
mod framer;
mod reply;
mod request;
#[cfg(test)]
mod tests;

pub use explain::{Explanation, explain_reply, explain_request, explain_rtp, visible};
pub use framer::{Framer, FramerError, MAX_REQUEST, Pause};
pub use reply::{Description, Reply, ReplyError, Status};
pub use request::{
    Dialect, FourthLine, LineEnd, LineFormat, MIN_PORT, Method, Request, RequestError, RequestForm,
};
