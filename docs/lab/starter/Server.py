# SPDX-License-Identifier: MIT OR Apache-2.0
"""A server that plays movies to clients of the lab: python3 Server.py PORT"""

import random
import socket
import sys
import threading
import time

from Movie import Movie
from RtpPacket import make_packet

INIT, READY, PLAYING = "INIT", "READY", "PLAYING"

OK = "200 OK"
NOT_FOUND = "404 Not Found"

# The time between two frames in seconds.
PERIOD = 0.05

# RTP counts the time of video by a clock of 90 kHz.
CLOCK_RATE = 90_000


class Session:
    """One client: its connection, its state, and the thread that sends its movie."""

    def __init__(self, connection, address):
        self.connection = connection
        self.host = address[0]
        self.state = INIT
        self.number = 0
        self.rtp_port = 0
        self.ssrc = random.randrange(2**32)
        self.movie = None
        self.sender = None
        self.stop = threading.Event()
        self.lock = threading.Lock()

    def run(self):
        """Answers requests until the client closes its connection."""
        with self.connection:
            while True:
                try:
                    request = self.connection.recv(1024)
                except OSError:
                    break
                if not request:
                    break
                print(request.decode(errors="replace"), flush=True)
                try:
                    self.answer(request.decode())
                except (ValueError, IndexError) as error:
                    print("not a request of the lab:", error, flush=True)
        self.stop_sending()

    def answer(self, request):
        """Carries out one request:

            SETUP movie.Mjpeg RTSP/1.0
            CSeq: 1
            Transport: RTP/UDP; client_port= 25000
        """
        lines = request.splitlines()
        method, name = lines[0].split()[:2]
        cseq = int(lines[1].split(":")[1])
        if method == "SETUP" and self.state == INIT:
            self.set_up(name, cseq, lines[2])
        elif method == "PLAY" and self.state == READY:
            self.state = PLAYING
            self.reply(OK, cseq)
            self.start_sending()
        elif method == "PAUSE" and self.state == PLAYING:
            # TODO 2 (server): stop sending. PLAY goes on with the next frame.
            self.state = READY
            self.reply(OK, cseq)
        elif method == "TEARDOWN":
            # TODO 3 (server): stop sending, close the movie if one is open, and change the state, so that
            # the client can send SETUP again.
            self.reply(OK, cseq)

    def set_up(self, name, cseq, transport):
        try:
            self.movie = Movie(name)
        except OSError as error:
            print(error, flush=True)
            # TODO 4 (server): tell the client that there is no such movie (404). The state is still INIT.
            return
        self.rtp_port = int(transport.split("=")[1])
        self.number = random.randint(100_000, 999_999)
        self.state = READY
        self.reply(OK, cseq)

    def reply(self, status, cseq):
        """Three lines, in one write. The clients of the lab expect no line end after the last one."""
        text = f"RTSP/1.0 {status}\nCSeq: {cseq}\nSession: {self.number}"
        self.connection.sendall(text.encode())

    def start_sending(self):
        if self.sender and self.sender.is_alive():
            return
        self.stop.clear()
        self.sender = threading.Thread(target=self.send, daemon=True)
        self.sender.start()

    def stop_sending(self):
        """Returns when the last packet has been sent."""
        self.stop.set()
        if self.sender:
            self.sender.join()

    def send(self):
        """Sends the movie, 20 frames a second, until it ends or stop is set."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rtp:
            due = time.monotonic()
            while not self.stop.wait(max(0, due - time.monotonic())):
                due += PERIOD
                frame = self.movie.next_frame()
                if frame is None:
                    return
                number = self.movie.number
                timestamp = int((number - 1) * PERIOD * CLOCK_RATE) % 2**32
                packet = make_packet(number % 2**16, timestamp, self.ssrc, frame)
                try:
                    rtp.sendto(packet, (self.host, self.rtp_port))
                except OSError as error:
                    print("a packet was not sent:", error, flush=True)


def main():
    if len(sys.argv) != 2 or not sys.argv[1].isdigit():
        sys.exit("usage: python3 Server.py PORT")
    listener = socket.create_server(("", int(sys.argv[1])))
    while True:
        connection, address = listener.accept()
        threading.Thread(target=Session(connection, address).run, daemon=True).start()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
