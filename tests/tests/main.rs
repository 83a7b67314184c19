// SPDX-License-Identifier: MIT OR Apache-2.0
//! End-to-end tests, one binary.

mod access;
mod borders;
mod captures;
mod catalogue;
mod client;
mod configuration;
mod connections;
mod encryption;
mod lab_client;
mod lab_server;
mod lab_states;
mod legal_images;
mod life_cycle;
mod limits;
mod many_viewers;
mod mjpegfile;
mod mjpegfilesrc;
mod movie_forms;
mod movie_program;
mod odd_images;
mod odd_servers;
mod pipelines;
mod playback;
mod player;
mod positions;
mod readme;
mod recode;
mod reload;
mod requests;
mod rtpjpegprep;
mod rtsp_peers;
mod server_program;
mod sessions;
mod strangers;
mod window;
