# SPDX-License-Identifier: MIT OR Apache-2.0
"""Opens the client's window: python3 ClientLauncher.py HOST PORT RTP_PORT MOVIE

Nothing is to be done in this file.
"""

import sys
from tkinter import Tk

from Client import Client


def main():
    if len(sys.argv) != 5:
        sys.exit("usage: python3 ClientLauncher.py HOST PORT RTP_PORT MOVIE")
    host, port, rtp_port, movie = sys.argv[1:]
    root = Tk()
    root.title("RTPClient")
    try:
        Client(root, host, int(port), int(rtp_port), movie)
    except OSError as error:
        sys.exit(f"no connection to {host}:{port}: {error}")
    root.mainloop()


if __name__ == "__main__":
    main()
