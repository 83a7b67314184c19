# SPDX-License-Identifier: MIT OR Apache-2.0
"""Pictures for widgets."""

import tkinter

from PIL import Image as _Image


class PhotoImage(tkinter.Image):
    def __init__(self, image=None, size=None, file=None, data=None, **options):
        if image is None:
            import io

            image = _Image.open(file if file is not None else io.BytesIO(data))
        super().__init__("photo", data=image._data or b"blank")

    def paste(self, image):
        self._data = image._data
        for widget in list(tkinter._widgets.values()):
            if widget._shown == self._name:
                widget._show(self)
