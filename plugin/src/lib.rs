// SPDX-License-Identifier: MIT OR Apache-2.0
//! Length-prefixed MJPEG movies in GStreamer.
pub mod jpeg;
pub mod movie;
