// SPDX-License-Identifier: MIT OR Apache-2.0
//! `mjpeg-lab-check`: grades servers and clients of the course lab.
#![forbid(unsafe_code)]

fn main() {}
