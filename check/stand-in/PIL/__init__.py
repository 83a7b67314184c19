# SPDX-License-Identifier: MIT OR Apache-2.0
"""A stand-in for Pillow: pictures keep the bytes that they were made of."""

__version__ = "10.0.0"


class UnidentifiedImageError(OSError):
    pass
