# SPDX-License-Identifier: MIT OR Apache-2.0
"""A correct client of the lab, with tkinter and Pillow, and deliberate mistakes in it.

python3 client.py HOST PORT RTP_PORT FILE [--form FORM] [--defect NAME]
"""

import argparse
import io
import select
import socket
import threading
import time
from tkinter import *
import tkinter.messagebox as message

from PIL import Image, ImageTk

INIT, READY, PLAYING = range(3)
HEADER = 12

# The late replies of the check take 300 ms.
SHORT_REPLY_TIME = 0.29
# A prompt reply may be that late on a busy machine. In the run of late replies another button is pressed before, which
# may take this much longer.
PRESS_TIME = 0.15

arguments = argparse.ArgumentParser()
arguments.add_argument("host")
arguments.add_argument("port", type=int)
arguments.add_argument("rtp_port", type=int)
arguments.add_argument("file")
arguments.add_argument("--form", default="textbook")
arguments.add_argument("--defect", default="")
arguments = arguments.parse_args()


def has(defect):
    return arguments.defect == defect


class Client:
    def __init__(self, master):
        self.master = master
        if not has("no-close-handler"):
            master.protocol("WM_DELETE_WINDOW", self.handler)
        self.state = INIT
        self.seq = 0
        self.session = 0
        self.sent = None
        self.pressed_early = False
        self.closing = False
        self.torn_down = False
        self.rtp = None
        self.frame = 0
        self.lost = 0
        self.received = 0
        self.fragments = b""
        self.stopped = threading.Event()
        self.control = None
        self.leftover = None
        self.create_widgets()
        if not has("no-connection"):
            self.connect()

    # The window

    def create_widgets(self):
        buttons = [("Setup", self.setup), ("Play", self.play), ("Pause", self.pause), ("Teardown", self.exit)]
        for column, (text, command) in enumerate(buttons):
            button = Button(self.master, width=12, padx=3, pady=3, text=text, command=command)
            button.grid(row=1, column=column, padx=2, pady=2)
        self.label = Label(self.master, height=19)
        self.label.grid(row=0, column=0, columnspan=4, sticky=W + E + N + S, padx=5, pady=5)

    def setup(self):
        if has("hangs"):
            threading.Event().wait()
        if has("binary"):
            self.control.sendall(bytes(range(256)))
            return
        if has("closes-half"):
            self.control.shutdown(socket.SHUT_WR)
            return
        if has("floods"):
            self.send("SETUP")
            flood = self.request("PAUSE").encode() + b"\n\n"
            while True:
                self.control.sendall(flood * 100)
        if self.state == INIT or has("setup-in-ready") and self.state == READY:
            self.send("SETUP")
            if has("state-by-button"):
                self.state = READY

    def play(self):
        allowed = [READY]
        if has("play-in-init"):
            allowed.append(INIT)
        if has("play-in-playing"):
            allowed.append(PLAYING)
        if self.state not in allowed or has("play-sends-nothing"):
            self.pressed_early = True
            return
        if has("setup-at-resume") and self.frame > 0:
            self.send("SETUP")
            time.sleep(0.1)
        if self.state != PLAYING:
            self.stopped = threading.Event()
            once = has("thread-only-once") and self.frame > 0
            if not once:
                threading.Thread(target=self.listen, args=(self.stopped,)).start()
        self.send("PLAY")

    def pause(self):
        if self.state == PLAYING or has("pause-in-ready") and self.state == READY:
            if has("pause-sends-nothing"):
                return
            self.send("PAUSE")

    def exit(self):
        if self.state == INIT or has("teardown-only-playing") and self.state != PLAYING:
            return
        if has("teardown-sends-nothing"):
            self.torn_down = True
            self.stopped.set()
            self.control.shutdown(socket.SHUT_RDWR)
            self.master.destroy()
            return
        self.send("TEARDOWN")
        if has("keeps-control") or has("keeps-port"):
            return
        self.master.destroy()

    def handler(self):
        if has("close-without-teardown"):
            self.torn_down = True
            self.stopped.set()
            self.control.shutdown(socket.SHUT_RDWR)
            self.master.destroy()
            return
        self.closing = True
        self.pause()
        if message.askokcancel("Quit?", "Are you sure you want to quit?"):
            if self.state == INIT:
                self.stopped.set()
                self.control.shutdown(socket.SHUT_RDWR)
                self.master.destroy()
            else:
                self.exit()
                if has("keeps-control") or has("keeps-port"):
                    self.master.destroy()
        else:
            self.closing = False
            self.play()
        if has("endless-thread"):
            threading.Thread(target=threading.Event().wait).start()

    def update(self, image):
        if has("shows-header"):
            image = b"\x80\x1a" * 6 + image
        if has("cuts-frames"):
            image = image[:1500]
        if has("shows-nothing"):
            return
        try:
            photo = ImageTk.PhotoImage(Image.open(io.BytesIO(image)))
        except OSError:
            if not has("shows-header"):
                raise
            photo = PhotoImage(data=image)
        self.label.configure(image=photo, height=288)
        if not has("forgets-photo"):
            self.label.image = photo

    # Control

    def connect(self):
        port = 1 if has("other-port") else arguments.port
        try:
            self.control = socket.create_connection((arguments.host, port))
        except OSError:
            print("connection failed")
            return
        if not has("short-reply-time"):
            threading.Thread(target=self.replies, args=(self.control,)).start()

    def send(self, method):
        if self.control is None:
            return
        if has("new-connections") and method != "SETUP":
            self.control.shutdown(socket.SHUT_RDWR)
            self.connect()
        self.seq += 0 if has("fixed-cseq") and self.seq else 1
        self.sent = method
        self.pressed_early = False
        started = time.monotonic()
        self.control.sendall(self.request(method).encode())
        if has("short-reply-time"):
            # That of TEARDOWN is awaited: this mistake is no other one.
            if method == "TEARDOWN":
                started = None
            threading.Thread(target=self.replies, args=(self.control, started)).start()

    def request(self, method):
        file = "video.mjpg" if has("other-movie") else arguments.file
        port = 25001 if has("fixed-rtp-port") else arguments.rtp_port
        session = 123456 if has("fixed-session") else self.session
        if arguments.form == "seed":
            if method == "SETUP":
                return "SETUP %s\n%d\n RTSP/1.0 RTP/UDP %d" % (file, self.seq, port)
            return "%s \n%d" % (method, self.seq)
        blank = "" if has("no-blank") else " "
        lines = ["%s %s RTSP/1.0" % (method, file), "CSeq:%s%d" % (blank, self.seq)]
        if method == "SETUP":
            lines.append("Transport: RTP/UDP; client_port= %d" % port)
        else:
            lines.append("Session: %d" % session)
        if arguments.form == "java":
            return "\r\n".join(lines) + "\r\n"
        return "\n".join(lines)

    def replies(self, control, started=None):
        while True:
            try:
                if started is not None and self.gives_up(control, started):
                    return
                if has("receives-when-playing") and select.select([control], [], []):
                    # The other thread gets the processor first.
                    time.sleep(0.03)
                data = control.recv(1024, 0 if started is None else socket.MSG_DONTWAIT)
            except BlockingIOError:
                # Another thread has read it.
                continue
            except OSError:
                return
            if not data:
                return
            self.reply(data.decode())
            if self.torn_down:
                if not has("keeps-control"):
                    control.shutdown(socket.SHUT_RDWR)
                    control.close()
                return
            if started is not None:
                return

    def gives_up(self, control, started):
        """Waits for a reply. Returns whether it is too late for this mistake."""
        select.select([control], [], [])
        late = time.monotonic() - started > SHORT_REPLY_TIME
        end = time.monotonic() + PRESS_TIME
        while late and not self.pressed_early and time.monotonic() < end:
            time.sleep(0.01)
        return late and self.pressed_early

    def reply(self, text):
        lines = text.split("\n")
        code = int(lines[0].split(" ")[1])
        if len(lines) < 3 or int(lines[1].split(" ")[1]) != self.seq:
            return
        session = int(lines[2].split(" ")[1])
        if code != 200:
            ignored = has("ignores-404") and code == 404 or has("ignores-500") and code == 500
            if not ignored:
                return
        if self.session == 0:
            self.session = session
        if self.session != session and session != 0:
            return
        if self.sent == "SETUP":
            self.state = READY
            if self.rtp is None and not has("no-rtp-port"):
                self.open_port()
        elif self.sent == "PLAY":
            self.state = PLAYING
        elif self.sent == "PAUSE":
            # Play makes a new event as soon as the state is READY.
            self.stopped.set()
            self.state = READY
            if has("pause-clears"):
                # The height is now one of 288 lines of text: the buttons are below the screen.
                self.label.configure(image="")
        elif self.sent == "TEARDOWN":
            self.state = INIT
            self.torn_down = True
            self.stopped.set()
            if self.rtp is not None and not has("keeps-port"):
                self.rtp.close()
            received = self.received
            print("lost packets: %d" % (self.lost + (1 if has("wrong-loss") else 0)))
            print("loss: %.1f %%" % (100 * self.lost / max(received + self.lost, 1)))
            print("frame rate: %.1f" % (20.0 if received else 0))

    # RTP

    def open_port(self):
        self.rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.rtp.settimeout(0.5)
        self.rtp.bind(("", arguments.rtp_port))

    def listen(self, stopped):
        while not stopped.is_set():
            try:
                packet = self.rtp.recv(65536)
            except socket.timeout:
                continue
            except (OSError, AttributeError):
                return
            # On a busy machine, this thread may still wait when packets come after PAUSE.
            if has("thread-only-once") and stopped.is_set():
                return
            try:
                self.packet(packet)
            except (TclError, RuntimeError):
                return
            except EOFError:
                return
        # On a busy machine, a frame may have been shown after the reply to PAUSE.
        # A window that is closed takes no more calls of other threads.
        if has("pause-clears") and not self.torn_down and not self.closing:
            self.label.configure(image="")

    def packet(self, packet):
        if len(packet) < HEADER:
            if has("dies-of-garbage"):
                raise EOFError
            return
        # No mistake: no frame is to be shown before the reply to PLAY.
        if has("receives-when-playing") and self.state != PLAYING and self.frame == 0:
            raise EOFError
        number = packet[2] << 8 | packet[3]
        if has("dies-of-repeats") and number == self.frame:
            raise EOFError
        if has("waits-for-lost") and number != self.frame + 1:
            return
        if number <= self.frame and not has("shows-late-frames"):
            return
        self.fragments += packet[HEADER:]
        if not packet[1] & 0x80:
            return
        image, self.fragments = self.fragments, b""
        self.lost += max(number - self.frame - 1, 0)
        self.received += 1
        self.frame = number
        self.update(image)


root = Tk()
client = Client(root)
root.title("RTPClient")
root.mainloop()
