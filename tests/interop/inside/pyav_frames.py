# SPDX-License-Identifier: MIT OR Apache-2.0
"""pyav_frames.py URL FILE COUNT TRANSPORT SECONDS: writes the luma of the frames that PyAV decodes, after a
seek to SECONDS if that is not 0. COUNT 0 is all."""

import sys

import av

url, path, count, transport, seconds = *sys.argv[1:3], int(sys.argv[3]), sys.argv[4], int(sys.argv[5])
written = 0
with av.open(url, options={"rtsp_transport": transport}) as container, open(path, "wb") as file:
    if seconds:
        container.seek(seconds * av.time_base)
    for frame in container.decode(video=0):
        plane = frame.planes[0]
        luma = bytes(plane)
        for row in range(frame.height):
            start = row * plane.line_size
            file.write(luma[start : start + frame.width])
        written += 1
        if written == count:
            break
