# SPDX-License-Identifier: MIT OR Apache-2.0
"""The client: a window with four buttons and the movie. It needs Pillow (python3-pil.imagetk)."""

import io
import queue
import socket
import threading
from tkinter import Button, Label, messagebox

from PIL import Image, ImageTk

from RtpPacket import read_packet

INIT, READY, PLAYING = "INIT", "READY", "PLAYING"

SETUP, PLAY, PAUSE, TEARDOWN = "SETUP", "PLAY", "PAUSE", "TEARDOWN"

# How often the window shows what has arrived, in milliseconds.
SHOW_PERIOD = 20


class Client:
    """Sends requests when buttons are pressed. Threads receive replies and packets; the window is only
    touched by its own thread, which takes both from a queue."""

    def __init__(self, master, host, port, rtp_port, movie):
        self.master = master
        self.server = (host, port)
        self.movie = movie
        self.rtp_port = rtp_port
        self.state = INIT
        # The number of the last request, and what it was.
        self.cseq = 0
        self.requested = None
        self.session = 0
        # The number of the frame in the window.
        self.shown = 0
        # The thread that receives packets, and what ends it.
        self.receiver = None
        self.stop = threading.Event()
        self.arrived = queue.Queue()
        self.connect()
        self.make_window()
        self.after = master.after(SHOW_PERIOD, self.show_arrived)

    def connect(self):
        """Connects, and receives replies in a thread."""
        self.connection = socket.create_connection(self.server)
        threading.Thread(
            target=self.receive_replies, args=[self.connection], daemon=True
        ).start()

    def disconnect(self):
        """Closes the connection: it ends with the session. The next SETUP connects again."""
        if self.connection:
            try:
                # Ends the thread that waits for replies.
                self.connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self.connection.close()
            self.connection = None

    def make_window(self):
        """Nothing is to be done here."""
        self.picture = Label(self.master)
        self.picture.grid(row=0, column=0, columnspan=4, padx=5, pady=5)
        names = [("Setup", SETUP), ("Play", PLAY), ("Pause", PAUSE), ("Teardown", TEARDOWN)]
        self.buttons = {}
        for column, (text, method) in enumerate(names):
            press = lambda method=method: self.press(method)
            button = Button(self.master, text=text, width=16, command=press)
            button.grid(row=1, column=column, padx=2, pady=2)
            self.buttons[text] = button
        self.master.protocol("WM_DELETE_WINDOW", self.close)

    def press(self, method):
        """A button was pressed: its request is sent if the state allows it."""
        allowed = {SETUP: [INIT], PLAY: [READY], PAUSE: [PLAYING], TEARDOWN: [READY, PLAYING]}
        if self.state in allowed[method]:
            self.send(method)

    def send(self, method):
        self.cseq += 1
        self.requested = method
        request = self.write_request(method)
        if request:
            try:
                if not self.connection:
                    self.connect()
                self.connection.sendall(request.encode())
            except OSError as error:
                print("the request was not sent:", error, flush=True)

    def write_request(self, method):
        """The text of a request."""
        # TODO 5 (client): write the three lines of a request. The first has the method, the movie and
        # RTSP/1.0; the second CSeq with the number of the request. The third line of SETUP states the port
        # on which the client receives (Transport: RTP/UDP; client_port= 25000); that of the others has the
        # session number of SETUP's reply (Session: 123456).
        return ""

    def receive_replies(self, connection):
        """Runs in a thread of its own."""
        while True:
            try:
                reply = connection.recv(1024)
            except OSError:
                return
            if not reply:
                return
            self.arrived.put(("reply", reply.decode(errors="replace")))

    def take_reply(self, reply):
        print(reply, flush=True)
        lines = reply.splitlines()
        try:
            status = int(lines[0].split()[1])
            cseq = int(lines[1].split(":")[1])
            session = int(lines[2].split(":")[1])
        except (ValueError, IndexError):
            print("not a reply of the lab", flush=True)
            return
        if cseq != self.cseq:
            return
        if status != 200:
            messagebox.showwarning("Request failed", lines[0])
            return
        if self.requested == SETUP:
            self.session = session
            self.open_rtp()
        elif self.requested == TEARDOWN:
            self.close_rtp()
            self.disconnect()
            self.shown = 0
        # TODO 7 (client): change the state to what the request that was answered leads to.

    def open_rtp(self):
        """Opens the port on which packets arrive, and receives them in a thread."""
        rtp_socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        # So that the thread sees when to end.
        rtp_socket.settimeout(0.1)
        try:
            rtp_socket.bind(("", self.rtp_port))
        except OSError as error:
            rtp_socket.close()
            messagebox.showwarning("Cannot receive", f"port {self.rtp_port}: {error}")
            return
        self.stop.clear()
        self.receiver = threading.Thread(
            target=self.receive_packets, args=[rtp_socket], daemon=True
        )
        self.receiver.start()

    def close_rtp(self):
        """Closes the port: after it, another SETUP can open it again."""
        if self.receiver:
            self.stop.set()
            self.receiver.join()
            self.receiver = None

    def receive_packets(self, rtp_socket):
        """Runs in a thread of its own."""
        with rtp_socket:
            while not self.stop.is_set():
                try:
                    # A frame may be larger than 20 KiB.
                    datagram = rtp_socket.recv(65536)
                except TimeoutError:
                    continue
                self.arrived.put(("packet", datagram))

    def show_arrived(self):
        """Takes what has arrived, in the window's thread."""
        while not self.arrived.empty():
            kind, what = self.arrived.get()
            if kind == "reply":
                self.take_reply(what)
            else:
                number, frame = read_packet(what)
                # A packet that was overtaken is not shown.
                if self.state == PLAYING and number > self.shown:
                    self.shown = number
                    self.show(frame)
        self.after = self.master.after(SHOW_PERIOD, self.show_arrived)

    def show(self, frame):
        try:
            image = ImageTk.PhotoImage(Image.open(io.BytesIO(frame)))
        except (OSError, ValueError) as error:
            print("not a picture:", error, flush=True)
            return
        self.picture.configure(image=image)
        # Tk does not keep the picture itself.
        self.picture.image = image

    def close(self):
        """The window is closed."""
        if self.state != INIT:
            # TODO 8 (client): send TEARDOWN, so that the server does not go on sending.
            pass
        self.master.after_cancel(self.after)
        self.close_rtp()
        self.disconnect()
        self.master.destroy()
