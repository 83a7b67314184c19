# SPDX-License-Identifier: MIT OR Apache-2.0
"""The course report's client: it reads replies by line and word, datagrams of up to 20 480
bytes, and frames by their number. Writes each frame to FOLDER/NUMBER.jpg.

usage: course_report_client.py HOST PORT RTP_PORT FILE FRAMES FOLDER
"""

import socket
import sys

host, port, rtp_port, name, frames, folder = sys.argv[1:]
rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
rtp.bind(("", int(rtp_port)))
rtp.settimeout(10)
control = socket.create_connection((host, int(port)))
control.settimeout(10)
number = 0
session = 0


def ask(request):
    global session
    control.send(request.encode("utf-8"))
    lines = control.recv(1024).decode("utf-8").split("\n")
    answered = int(lines[1].split(" ")[1])
    if answered != number:
        sys.exit(f"CSeq {answered} in the reply to {number}")
    stated = int(lines[2].split(" ")[1])
    if session == 0:
        session = stated
    if session != stated:
        sys.exit(f"session {stated}, was {session}")
    status = int(lines[0].split(" ")[1])
    if status != 200:
        sys.exit(f"status {status}")


number += 1
ask(f"SETUP {name}\n{number}\n RTSP/1.0 RTP/UDP {rtp_port}")
number += 1
ask(f"PLAY \n{number}")
shown = 0
while shown < int(frames):
    packet = bytearray(rtp.recv(20480))
    header, payload = packet[:12], packet[12:]
    if header[0] >> 6 != 2 or header[1] & 127 != 26:
        sys.exit(f"header {header.hex()}")
    frame = header[2] << 8 | header[3]
    # Late frames are dropped; so is number 0.
    if frame > shown:
        shown = frame
        with open(f"{folder}/{frame}.jpg", "wb") as out:
            out.write(payload)
    if frame == int(frames) // 2:
        number += 1
        ask(f"PAUSE \n{number}")
        number += 1
        ask(f"PLAY \n{number}")
number += 1
ask(f"TEARDOWN \n{number}")
control.shutdown(socket.SHUT_RDWR)
control.close()
