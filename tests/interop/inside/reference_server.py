# SPDX-License-Identifier: MIT OR Apache-2.0
"""reference_server.py FILE: serves a Matroska file of JPEGs at rtsp://127.0.0.1:8555/movie by
gst-rtsp-server and rtpjpegpay. Runs in the root. Prints a line once it serves."""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

Gst.init(None)
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(
    f"( filesrc location={sys.argv[1]} ! matroskademux ! rtpjpegpay name=pay0 pt=26 )"
)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service("8555")
server.get_mount_points().add_factory("/movie", factory)
server.attach(None)
print("serves", flush=True)
GLib.MainLoop().run()
