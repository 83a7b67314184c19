# SPDX-License-Identifier: MIT OR Apache-2.0
"""Pictures that keep the bytes of their file. They are not decoded."""

from PIL import UnidentifiedImageError

NEAREST, BOX, BILINEAR, HAMMING, BICUBIC, LANCZOS = range(6)
ANTIALIAS = LANCZOS


class Resampling:
    NEAREST, BOX, BILINEAR, HAMMING, BICUBIC, LANCZOS = range(6)


def _size(data):
    """Width and height in the frame header of a JPEG."""
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF:
        kind, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            height = int.from_bytes(data[at + 5 : at + 7], "big")
            return int.from_bytes(data[at + 7 : at + 9], "big"), height
        at += 2 + length
    raise UnidentifiedImageError("cannot identify image file")


class Image:
    """A picture. What changes it keeps its bytes."""

    mode = "RGB"
    format = "JPEG"

    def __init__(self, data=b"", size=(384, 288)):
        self._data = data
        self.size = size

    @property
    def width(self):
        return self.size[0]

    @property
    def height(self):
        return self.size[1]

    def load(self):
        return None

    verify = close = load

    def resize(self, size, *_, **__):
        return Image(self._data, tuple(size))

    def thumbnail(self, size, *_, **__):
        self.size = tuple(size)

    def _same(self, *_, **__):
        return Image(self._data, self.size)

    copy = convert = rotate = transpose = crop = _same

    def save(self, target, *_, **__):
        if hasattr(target, "write"):
            target.write(self._data)
        else:
            with open(target, "wb") as opened:
                opened.write(self._data)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


def open(fp, mode="r", formats=None):
    """Reads a file. One that does not start as a JPEG is refused, as in Pillow."""
    if hasattr(fp, "read"):
        data = fp.read()
    else:
        import builtins

        with builtins.open(fp, "rb") as opened:
            data = opened.read()
    if data[:2] != b"\xff\xd8":
        raise UnidentifiedImageError("cannot identify image file %r" % (fp,))
    return Image(data, _size(data))


def frombytes(mode, size, data, *_):
    return Image(bytes(data), size)


def fromarray(array, mode=None):
    """A decoded picture. The colour in its middle is what is known of it."""
    height, width = len(array), len(array[0])
    colour = [int(value) for value in array[height // 2][width // 2][:3]]
    return Image(b"RGB" + bytes(colour), (width, height))


def new(mode, size, color=0):
    return Image(b"", size)
