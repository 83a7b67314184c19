// SPDX-License-Identifier: MIT OR Apache-2.0
//! `stock-rtsp-server FILE shared|on-demand`: serves a Matroska file of JPEG images with an unmodified
//! gst-rtsp-server, and prints its port.
#![allow(clippy::print_stdout, reason = "the program prints its port")]

use anyhow::{Context, Result};
use gst_rtsp_server::prelude::*;
use gst_rtsp_server::{RTSPMediaFactory, RTSPServer};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (file, mode) = arguments
        .next()
        .zip(arguments.next())
        .context("usage: stock-rtsp-server FILE shared|on-demand")?;
    gst::init()?;
    let server = RTSPServer::new();
    server.set_address("127.0.0.1");
    server.set_service("0");
    // The default backlog of 5 is too short for many clients at once.
    server.set_backlog(1024);
    let factory = RTSPMediaFactory::new();
    factory
        .set_launch(&format!("( filesrc location={file} ! matroskademux ! rtpjpegpay name=pay0 )"));
    factory.set_shared(mode == "shared");
    server.mount_points().context("the server has no mount points")?.add_factory("/movie", factory);
    server.attach(None)?;
    println!("{}", server.bound_port());
    glib::MainLoop::new(None, false).run();
    Ok(())
}
