# SPDX-License-Identifier: MIT OR Apache-2.0
"""The course report's server: it reads each request once, up to 256 bytes, finds lines and words
by position, and sends one frame in each packet, with the time of day in seconds.

usage: course_report_server.py MOVIE
Prints its port.
"""

import socket
import sys
import threading
import time
from random import randint


class Movie:
    def __init__(self, path):
        self.file = open(path, "rb")
        self.number = 0

    def next_frame(self):
        digits = self.file.read(5)
        if not digits:
            return None
        self.number += 1
        return self.file.read(int(digits))


class Worker(threading.Thread):
    def __init__(self, control, peer):
        super().__init__(daemon=True)
        self.control, self.peer = control, peer
        self.state, self.movie, self.port, self.session = "INIT", None, 0, 0
        self.stop = threading.Event()

    def run(self):
        while True:
            data = self.control.recv(256)
            if not data:
                self.stop.set()
                return
            self.act(data.decode("utf-8"))

    def act(self, text):
        request = text.split("\n")
        words = request[0].split(" ")
        sequence = request[1].split(" ")
        if words[0] == "SETUP" and self.state == "INIT":
            self.movie = Movie(sys.argv[1])
            self.session = randint(100000, 999999)
            self.state = "READY"
            self.reply(sequence[0])
            self.port = int(request[2].split(" ")[3])
        elif words[0] == "PLAY" and self.state == "READY":
            self.state = "PLAYING"
            self.reply(sequence[0])
            self.stop.clear()
            threading.Thread(target=self.send, daemon=True).start()
        elif words[0] == "PAUSE" and self.state == "PLAYING":
            self.state = "READY"
            self.stop.set()
            self.reply(sequence[0])
        elif words[0] == "TEARDOWN":
            self.stop.set()
            self.reply(sequence[0])

    def reply(self, sequence):
        text = f"RTSP/1.0 200 OK\nCSeq: {sequence}\nSession: {self.session}"
        self.control.send(text.encode("utf-8"))

    def send(self):
        rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        while not self.stop.wait(0.05):
            frame = self.movie.next_frame()
            if not frame:
                continue
            seconds = int(time.time())
            header = bytearray(12)
            header[0], header[1] = 2 << 6, 26
            header[2], header[3] = self.movie.number >> 8, self.movie.number & 255
            header[4:8] = seconds.to_bytes(4, "big")
            rtp.sendto(bytes(header) + frame, (self.peer[0], self.port))


listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(5)
print(listener.getsockname()[1], flush=True)
while True:
    Worker(*listener.accept()).start()
