# SPDX-License-Identifier: MIT OR Apache-2.0
"""tkinter.messagebox by its name in Python 2."""

from tkinter.messagebox import *
