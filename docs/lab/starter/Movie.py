# SPDX-License-Identifier: MIT OR Apache-2.0
"""Reads a movie: five decimal digits with the length of a JPEG image, the image, and so on.

Nothing is to be done in this file.
"""


class Movie:
    """An open movie. Raises OSError if there is no such file."""

    def __init__(self, name):
        if "/" in name or "\\" in name:
            raise FileNotFoundError(f"{name}: only movies in the server's folder can be played")
        self.file = open(name, "rb")
        # The number of the frame that was read last; the first one is number 1.
        self.number = 0

    def next_frame(self):
        """The bytes of the next image; None at the end of the movie."""
        digits = self.file.read(5)
        if len(digits) < 5:
            return None
        frame = self.file.read(int(digits))
        self.number += 1
        return frame

    def close(self):
        self.file.close()
