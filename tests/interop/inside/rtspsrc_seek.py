# SPDX-License-Identifier: MIT OR Apache-2.0
"""rtspsrc_seek.py URL FILE SECONDS: plays by rtspsrc over TCP, seeks once the first frame is there, and
writes the JPEGs that arrive. Runs in the root."""

import sys

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

Gst.init(None)
url, path, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3])
pipeline = Gst.parse_launch(
    f"rtspsrc location={url} protocols=tcp ! rtpjpegdepay ! filesink name=sink async=true location={path}"
)
pipeline.set_state(Gst.State.PLAYING)
bus = pipeline.get_bus()
wanted = Gst.MessageType.ASYNC_DONE | Gst.MessageType.EOS | Gst.MessageType.ERROR
message = bus.timed_pop_filtered(10 * Gst.SECOND, wanted)
if message is None or message.type != Gst.MessageType.ASYNC_DONE:
    sys.exit("no first frame")
if not pipeline.seek_simple(Gst.Format.TIME, Gst.SeekFlags.FLUSH, seconds * Gst.SECOND):
    sys.exit("the seek is refused")
message = bus.timed_pop_filtered(20 * Gst.SECOND, Gst.MessageType.EOS | Gst.MessageType.ERROR)
pipeline.set_state(Gst.State.NULL)
if message is None:
    sys.exit("no end")
if message.type == Gst.MessageType.ERROR:
    sys.exit(message.parse_error()[0].message)
