// SPDX-License-Identifier: MIT OR Apache-2.0
//! gst-rtsp-server as it comes, on a Matroska file of JPEGs: `stock-rtsp-server FILE
//! shared|on-demand` prints its port.
#![allow(clippy::print_stdout, reason = "the port is the product")]

use anyhow::{Context, Result};
use gst_rtsp_server::prelude::*;
use gst_rtsp_server::{RTSPMediaFactory, RTSPServer};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (file, how) = arguments.next().zip(arguments.next()).context("FILE shared|on-demand")?;
    gst::init()?;
    let server = RTSPServer::new();
    server.set_address("127.0.0.1");
    server.set_service("0");
    // The library's own backlog of 5 refuses a crowd.
    server.set_backlog(1024);
    let factory = RTSPMediaFactory::new();
    factory
        .set_launch(&format!("( filesrc location={file} ! matroskademux ! rtpjpegpay name=pay0 )"));
    factory.set_shared(how == "shared");
    server.mount_points().context("no mount points")?.add_factory("/movie", factory);
    server.attach(None)?;
    println!("{}", server.bound_port());
    glib::MainLoop::new(None, false).run();
    Ok(())
}
