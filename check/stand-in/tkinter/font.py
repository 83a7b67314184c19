# SPDX-License-Identifier: MIT OR Apache-2.0
"""Fonts, which do nothing."""

NORMAL, BOLD, ROMAN, ITALIC = "normal", "bold", "roman", "italic"


class Font:
    def __init__(self, *_, **__):
        pass

    def __getattr__(self, name):
        return lambda *_, **__: 0
