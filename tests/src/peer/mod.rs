// SPDX-License-Identifier: MIT OR Apache-2.0
//! The programs and protocols at the other end, one file each.

pub mod browser;
pub mod display;
pub mod ffmpeg;
pub mod http_client;
pub mod http_server;
pub mod lab_server;
pub mod libjpeg;
pub mod relay;
pub mod retina;
pub mod rtp_receiver;
pub mod rtsp_client;
pub mod rtsp_server;
pub mod tls_client;
