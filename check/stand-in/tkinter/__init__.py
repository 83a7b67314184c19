# SPDX-License-Identifier: MIT OR Apache-2.0
"""A stand-in for tkinter, which mjpeg-lab-check puts first on PYTHONPATH.

It draws nothing. It presses buttons when it is told to, and reports the pictures that widgets show. Only
what clients of the course lab use is here; other widgets, options and methods do nothing.
"""

import time
import traceback
import weakref

from mjpeg_lab_check_link import link, listen, loop
from tkinter.constants import *

TkVersion = 8.6
TclVersion = 8.6
wantobjects = 1


class TclError(Exception):
    pass


_default_root = None
_images = weakref.WeakValueDictionary()
_widgets = {}
_count = 0


def _next_id():
    global _count
    _count += 1
    return _count


class Event:
    """An event of a binding."""

    def __init__(self, widget):
        self.widget = widget
        self.x = self.y = self.x_root = self.y_root = 1
        self.num = 1
        self.char = self.keysym = ""
        self.keycode = self.delta = 0


class Variable:
    """A value that widgets share."""

    _default = ""

    def __init__(self, master=None, value=None, name=None):
        self._value = self._default if value is None else value
        self._widgets = []
        self._traces = []

    def get(self):
        return self._value

    def set(self, value):
        self._value = value
        for widget in list(self._widgets):
            widget._text_changed(str(value))
        for trace in list(self._traces):
            trace("", "", "w")

    initialize = set

    def trace_add(self, mode, callback):
        self._traces.append(callback)
        return str(len(self._traces))

    def trace(self, mode, callback):
        return self.trace_add(mode, callback)


class StringVar(Variable):
    pass


class IntVar(Variable):
    _default = 0


class DoubleVar(Variable):
    _default = 0.0


class BooleanVar(Variable):
    _default = False


class Misc:
    """What all widgets and windows have."""

    def __init__(self, master=None, cnf=None, **options):
        global _default_root
        if master is None and not isinstance(self, Tk):
            if _default_root is None:
                _default_root = Tk()
            master = _default_root
        self.master = master
        self.tk = self
        self.children = {}
        self._id = _next_id()
        self._w = ".!%s%d" % (type(self).__name__.lower(), self._id)
        self._options = {}
        self._bindings = {}
        self._alive = True
        self._shown = 0
        if isinstance(master, Misc):
            master.children[self._w] = self
        _widgets[self._id] = self
        self._set(cnf, options)

    # Options

    def _set(self, cnf, options):
        self._check()
        options = {**(cnf or {}), **options}
        self._options.update(options)
        if "textvariable" in options and isinstance(options["textvariable"], Variable):
            options["textvariable"]._widgets.append(self)
            options.setdefault("text", options["textvariable"].get())
        if "text" in options:
            self._text_changed(str(options["text"]))
        if "image" in options:
            self._show(options["image"])

    def _text_changed(self, text):
        self._options["text"] = text
        kind = "button" if isinstance(self, Button) else "text"
        link.report(kind, widget=self._id, text=text)

    def _show(self, image):
        name = str(image) if image else ""
        known = _images.get(name)
        if name and known is None:
            raise TclError('image "%s" doesn\'t exist' % name)
        self._shown = known._name if known is not None else ""
        link.report("picture", known._data if known is not None else b"", widget=self._id)

    def _check(self):
        root = self._root()
        if not self._alive or root is None or not root._alive:
            raise TclError('invalid command name "%s"' % self._w)

    def _root(self):
        widget = self
        while isinstance(widget.master, Misc):
            widget = widget.master
        return widget

    def configure(self, cnf=None, **options):
        if cnf is None and not options:
            return {name: (name, "", "", "", value) for name, value in self._options.items()}
        self._set(cnf if isinstance(cnf, dict) else None, options)

    config = configure

    def cget(self, name):
        self._check()
        return self._options.get(name, "")

    __getitem__ = cget

    def __setitem__(self, name, value):
        self._set(None, {name: value})

    def keys(self):
        return list(self._options)

    def __str__(self):
        return self._w

    # Geometry: nothing is drawn

    def _place(self, *_, **__):
        self._check()

    grid = pack = place = pack_configure = grid_configure = place_configure = _place
    grid_forget = pack_forget = place_forget = grid_remove = _place
    columnconfigure = rowconfigure = grid_columnconfigure = grid_rowconfigure = _place
    grid_propagate = pack_propagate = _place

    def winfo_exists(self):
        return 1 if self._alive else 0

    def winfo_width(self):
        return 390

    winfo_reqwidth = winfo_width

    def winfo_height(self):
        return 370

    winfo_reqheight = winfo_height

    def winfo_screenwidth(self):
        return 1280

    def winfo_screenheight(self):
        return 1024

    def winfo_children(self):
        return list(self.children.values())

    def winfo_toplevel(self):
        return self._root()

    def winfo_x(self):
        return 0

    winfo_y = winfo_rootx = winfo_rooty = winfo_x

    # Events

    def bind(self, sequence=None, func=None, add=None):
        if func is not None:
            handlers = self._bindings.setdefault(sequence, [])
            if not add:
                handlers.clear()
            handlers.append(func)

    def bind_all(self, sequence=None, func=None, add=None):
        pass

    def unbind(self, sequence, funcid=None):
        self._bindings.pop(sequence, None)

    def _click(self):
        if self._options.get("state") in ("disabled", DISABLED):
            return
        for sequence in ("<Button-1>", "<ButtonPress-1>", "<1>", "<ButtonRelease-1>"):
            for handler in list(self._bindings.get(sequence, [])):
                handler(Event(self))
        command = self._options.get("command")
        if callable(command):
            command()

    def after(self, ms, func=None, *arguments):
        if func is None:
            time.sleep(ms / 1000)
            return None
        return loop.add(max(ms, 0) / 1000, lambda: func(*arguments))

    def after_idle(self, func, *arguments):
        return self.after(0, func, *arguments)

    def after_cancel(self, name):
        loop.cancel(name)

    def mainloop(self, n=0):
        root = self._root()
        loop.run(lambda: not root._alive)

    def quit(self):
        loop.end()

    def update(self):
        self._check()
        if not loop.running:
            loop.running = True
            link.report("ready")
        loop.step()

    def update_idletasks(self):
        self._check()

    def destroy(self):
        for child in list(self.children.values()):
            child.destroy()
        self._alive = False
        _widgets.pop(self._id, None)
        if isinstance(self.master, Misc):
            self.master.children.pop(self._w, None)

    # Anything else does nothing.

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)

        def nothing(*_, **__):
            return None

        return nothing


class Wm:
    """What windows have besides."""

    def protocol(self, name=None, func=None):
        if name == "WM_DELETE_WINDOW":
            self._on_close = func

    wm_protocol = protocol

    def title(self, text=None):
        return ""

    wm_title = title

    def geometry(self, text=None):
        return "390x370+0+0"

    def _close(self):
        func = getattr(self, "_on_close", None)
        if func is not None:
            func()
        else:
            self.destroy()


class Tk(Misc, Wm):
    """The main window."""

    _on_close = None

    def __init__(self, *_, **__):
        global _default_root
        super().__init__(None)
        if _default_root is None or not _default_root._alive:
            _default_root = self
        listen(_obey)

    def destroy(self):
        was_alive = self._alive
        super().destroy()
        if was_alive:
            link.report("closed")
            loop.wake()

    def report_callback_exception(self, *_):
        traceback.print_exc()


class Toplevel(Misc, Wm):
    """Another window."""

    _on_close = None


class Widget(Misc):
    pass


class Button(Widget):
    def invoke(self):
        return self._click()


class Label(Widget):
    pass


class Frame(Widget):
    pass


class LabelFrame(Widget):
    pass


class Canvas(Widget):
    def create_image(self, *_, image=None, **__):
        if image is not None:
            self._show(image)
        return 1

    def create_text(self, *_, text="", **__):
        link.report("text", widget=self._id, text=str(text))
        return _next_id() + 1000

    def itemconfig(self, item, cnf=None, image=None, text=None, **__):
        self._check()
        if image is not None:
            self._show(image)
        if text is not None:
            link.report("text", widget=self._id, text=str(text))

    itemconfigure = itemconfig

    def delete(self, *_):
        self._show("")

    def coords(self, *_):
        return [0, 0]


class Entry(Widget):
    _value = ""

    def get(self):
        return self._value

    def insert(self, index, text):
        self._value += text

    def delete(self, *_):
        self._value = ""


class Text(Entry):
    def get(self, *_):
        return self._value

    def insert(self, index, text, *_):
        self._value += text
        link.report("text", widget=self._id, text=self._value[-2000:])


class Scale(Widget):
    _value = 0

    def get(self):
        return self._value

    def set(self, value):
        self._value = value


class Listbox(Widget):
    def curselection(self):
        return ()

    def get(self, *_):
        return ()

    def size(self):
        return 0


class Checkbutton(Widget):
    pass


class Radiobutton(Widget):
    pass


class Menu(Widget):
    pass


class Menubutton(Widget):
    pass


class OptionMenu(Widget):
    def __init__(self, master, variable=None, *_, **__):
        super().__init__(master)


class Message(Label):
    pass


class Scrollbar(Widget):
    pass


class Spinbox(Entry):
    pass


class PanedWindow(Widget):
    pass


class Image:
    """A picture. As in Tk, it disappears from widgets when Python has deleted it."""

    _data = b""

    def __init__(self, imgtype=None, name=None, cnf=None, master=None, data=None, file=None, **options):
        self._name = name or "pyimage%d" % _next_id()
        if file is not None:
            with open(file, "rb") as opened:
                self._data = opened.read()
        elif isinstance(data, (bytes, bytearray)):
            self._data = bytes(data)
        _images[self._name] = self

    def __str__(self):
        return self._name

    def __del__(self):
        for widget in list(_widgets.values()):
            if widget._shown == self._name and widget._alive:
                widget._shown = ""
                link.report("picture", b"", widget=widget._id)

    def width(self):
        return 384

    def height(self):
        return 288

    def configure(self, *_, **__):
        pass

    config = configure


class PhotoImage(Image):
    def __init__(self, name=None, cnf=None, master=None, **options):
        super().__init__("photo", name, cnf, master, **options)


class BitmapImage(Image):
    pass


def mainloop(n=0):
    _default_root.mainloop(n)


def NoDefaultRoot():
    pass


def _obey(order):
    """Carries out an order, and reports that it is done."""
    try:
        if order["order"] == "press":
            widget = _widgets.get(order["widget"])
            if widget is not None:
                widget._click()
        elif order["order"] == "close":
            if _default_root is not None and _default_root._alive:
                _default_root._close()
    finally:
        link.report("done", number=order["number"])
