# SPDX-License-Identifier: MIT OR Apache-2.0
"""The connection to mjpeg-lab-check, and the main loop that it gives orders to.

Reports are lines of JSON; the bytes of a picture follow its line. Orders are lines of JSON too.
"""

import heapq
import itertools
import json
import os
import socket
import sys
import threading
import time
import traceback

SOCKET = "MJPEG_LAB_CHECK_SOCKET"

# Of longer texts, the end is reported.
MAX_TEXT = 4000


class Link:
    """Sends reports, and puts orders into the main loop."""

    def __init__(self):
        self.lock = threading.Lock()
        self.socket = None
        path = os.environ.get(SOCKET)
        if path:
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.socket.connect(path)

    def report(self, event, data=None, **values):
        values["event"] = event
        if "text" in values:
            values["text"] = values["text"][-MAX_TEXT:]
        if data is not None:
            values["length"] = len(data)
        line = (json.dumps(values) + "\n").encode()
        if self.socket is None:
            return
        try:
            with self.lock:
                self.socket.sendall(line + (data or b""))
        except OSError:
            pass

    def orders(self):
        if self.socket is None:
            return
        buffer = b""
        while True:
            try:
                more = self.socket.recv(4096)
            except OSError:
                return
            if not more:
                return
            buffer += more
            *lines, buffer = buffer.split(b"\n")
            for line in lines:
                yield json.loads(line)


class Loop:
    """A main loop: runs what is due, in the thread that calls it."""

    def __init__(self):
        self.changed = threading.Condition()
        self.tasks = []
        self.numbers = itertools.count()
        self.cancelled = set()
        self.depth = 0
        self.ended = False
        self.running = False

    def add(self, delay, task):
        with self.changed:
            number = next(self.numbers)
            heapq.heappush(self.tasks, (time.monotonic() + delay, number, task))
            self.changed.notify_all()
        return "after#%d" % number

    def cancel(self, name):
        self.cancelled.add(name)

    def take(self):
        """The next task that is due, or the time until it is."""
        if self.tasks and self.tasks[0][0] <= time.monotonic():
            return heapq.heappop(self.tasks)[1:], 0
        wait = self.tasks[0][0] - time.monotonic() if self.tasks else None
        return None, wait

    def run_task(self, number, task):
        if "after#%d" % number in self.cancelled:
            return
        try:
            task()
        except Exception:
            # Tk prints what a callback raises, and goes on.
            print("Exception in Tkinter callback", file=sys.stderr)
            traceback.print_exc()

    def step(self):
        """Runs what is due now."""
        while True:
            with self.changed:
                task, _ = self.take()
            if task is None:
                return
            self.run_task(*task)

    def run(self, is_over):
        first = not self.running
        self.running = True
        if first:
            link.report("ready")
        while not self.ended and not is_over():
            with self.changed:
                task, wait = self.take()
                if task is None:
                    # Looked at again: another thread may have ended it, and woken this one, just before.
                    if not self.ended and not is_over():
                        self.changed.wait(wait)
                    continue
            self.run_task(*task)
        self.ended = False

    def end(self):
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def wake(self):
        with self.changed:
            self.changed.notify_all()


link = Link()
loop = Loop()


def listen(obey):
    """Puts each order into the main loop."""

    def read():
        for order in link.orders():
            loop.add(0, lambda order=order: obey(order))

    if link.socket is not None:
        threading.Thread(target=read, name="mjpeg-lab-check", daemon=True).start()
