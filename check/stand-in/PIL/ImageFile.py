# SPDX-License-Identifier: MIT OR Apache-2.0
"""Settings of Pillow, which have no effect."""

LOAD_TRUNCATED_IMAGES = False
